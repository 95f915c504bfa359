"""What residents and households add to the counts of the community that they live in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from contracts.events import Value
from projections import bulk
from projections.tables import community

COUNTS = tuple(column.name for column in community.columns if not column.primary_key)
_RESIDENTS, _DECEASED, _PROVISIONAL, _ALONE, _CARDS, _FEN, _HOUSEHOLDS = (
    COUNTS.index(name)
    for name in (
        "residents", "deceased", "provisional", "living_alone", "disability_cards", "benefit_fen_paying", "households",
    )
)  # fmt: skip
_BY_SEX: dict[Value, int] = {"female": COUNTS.index("female"), "male": COUNTS.index("male")}
_BY_CARE: dict[Value, int] = {"partial": COUNTS.index("care_partial"), "full": COUNTS.index("care_full")}
_BY_KIND: dict[Value, int] = {
    "pension": COUNTS.index("pensions_paying"),
    "old_age_allowance": COUNTS.index("allowances_paying"),
    "low_income": COUNTS.index("low_incomes_paying"),
}
_EMPTY = " AND ".join(f'"{name}" = 0' for name in COUNTS)


class Traits(NamedTuple):
    """The columns of a resident that decide what it counts as, in the order in which they are read."""

    community_code: str | None
    alive: bool | None
    sex: str | None
    provisional: bool
    living_alone: bool | None
    care_level: str | None
    disability_category: str | None


class Deltas:
    """Differences to the counts of communities: the new rows of residents and households, less the old ones."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def count(self, traits: Traits, benefits: Iterable[Mapping[str, Value]], sign: int) -> None:
        """Count a resident and the fields of its live assertions that grant a benefit; ``sign`` is 1 or -1."""
        code = traits.community_code
        if code is None:
            return
        counts = self._counts.get(code)
        if counts is None:
            counts = self._counts[code] = [0] * len(COUNTS)
        if traits.alive is not None and not traits.alive:
            counts[_DECEASED] += sign
        else:
            _count_living(counts, traits, sign)
        for fields in benefits:
            if fields.get("benefit_state") == "paying":
                if (at := _BY_KIND.get(fields["benefit_kind"])) is not None:
                    counts[at] += sign
                amount = fields.get("benefit_amount_fen")
                if isinstance(amount, int):
                    counts[_FEN] += sign * amount

    def count_household(self, code: str | None, sign: int) -> None:
        """Count a household that lives there; ``sign`` is 1 or -1."""
        if code is not None:
            self._counts.setdefault(code, [0] * len(COUNTS))[_HOUSEHOLDS] += sign

    def write(self, view: sa.Connection) -> None:
        """Add them in the order of the codes; a community where nothing is left to count has no row."""
        bulk.add(view, community, [(code, *counts) for code, counts in self._counts.items() if any(counts)])
        falling = sorted((code,) for code, counts in self._counts.items() if min(counts) < 0)
        bulk.delete(view, community, falling, _EMPTY)


def _count_living(counts: list[int], traits: Traits, sign: int) -> None:
    _, _, sex, provisional, living_alone, care_level, disability_category = traits
    counts[_RESIDENTS] += sign
    if (at := _BY_SEX.get(sex)) is not None:
        counts[at] += sign
    if (at := _BY_CARE.get(care_level)) is not None:
        counts[at] += sign
    if provisional:
        counts[_PROVISIONAL] += sign
    if living_alone:
        counts[_ALONE] += sign
    if disability_category is not None:
        counts[_CARDS] += sign
