"""What a resident adds to the counts of the community that it lives in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import sqlalchemy as sa

from contracts.events import Value
from projections import bulk
from projections.tables import community

COUNTS = tuple(column.name for column in community.columns if not column.primary_key)
_EMPTY = " AND ".join(f'"{name}" = 0' for name in COUNTS)


class Traits(NamedTuple):
    """The columns of a resident that decide what it counts as, in the order in which they are read."""

    community_code: str | None
    alive: bool | None
    sex: str | None
    provisional: bool
    living_alone: bool | None
    care_level: str | None


class Deltas:
    """Differences to the counts of communities: the new rows of residents, less the old ones."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def count(self, traits: Traits, benefits: Iterable[Mapping[str, Value]], sign: int) -> None:
        """Count a resident and the fields of its live assertions that grant a benefit; ``sign`` is 1 or -1."""
        code, alive, sex, provisional, living_alone, care_level = traits
        if code is None:
            return
        counts = self._counts.get(code)
        if counts is None:
            counts = self._counts[code] = [0] * len(COUNTS)
        if alive is not None and not alive:
            counts[1] += sign
        else:
            counts[0] += sign
            if sex == "female":
                counts[2] += sign
            elif sex == "male":
                counts[3] += sign
            if provisional:
                counts[4] += sign
            if living_alone:
                counts[5] += sign
            if care_level == "partial":
                counts[6] += sign
            elif care_level == "full":
                counts[7] += sign
        for fields in benefits:
            if fields.get("benefit_state") == "paying":
                if fields["benefit_kind"] == "pension":
                    counts[8] += sign
                elif fields["benefit_kind"] == "old_age_allowance":
                    counts[9] += sign
                amount = fields.get("benefit_amount_fen")
                if isinstance(amount, int):
                    counts[10] += sign * amount

    def write(self, view: sa.Connection) -> None:
        """Add them in the order of the codes; a community where nothing is left to count has no row."""
        rows = [(code, *counts) for code, counts in self._counts.items() if any(counts)]
        bulk.add(view, community, rows)
        falling = sorted((row[0],) for row in rows if min(row[1:]) < 0)
        bulk.delete(view, community, falling, _EMPTY)
