"""One column of a sample: its values in the order of the rows, and what can be counted about them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from contracts.texts import clean, is_blank, without_point_zero

FEW_CODES = 12
_LONGEST_CODE = 8
_ROWS_A_CODE = 3  # rows that a value must have on average, lest the values of single people pass for codes
_ROWS_THAT_TELL = 20


@dataclass(frozen=True)
class Column:
    """``kind`` is its type as the source names it. ``values`` are aligned with those of the other columns."""

    name: str
    kind: str
    values: Sequence[Any]

    @cached_property
    def filled(self) -> list[tuple[int, Any]]:
        """(row, value) of all that say something."""
        return [(row, value) for row, value in enumerate(self.values) if not is_blank(clean(value)[0])]

    @cached_property
    def texts(self) -> list[str]:
        """Each filled value as a cleaned text."""
        return [without_point_zero(clean(value)[0]) for _, value in self.filled]

    @cached_property
    def counted(self) -> Counter[str]:
        """How often each text comes up."""
        return Counter(self.texts)

    @property
    def always_filled(self) -> bool:
        """Whether no row lacks a value."""
        return len(self.filled) == len(self.values) > 0

    @property
    def unique(self) -> bool:
        """Whether no two rows have the same value."""
        return len(self.counted) == len(self.texts) > 0

    @property
    def codes(self) -> list[tuple[str, int]] | None:
        """(value, rows) where the column holds a few codes and not what single people are, the most frequent first."""
        few = 0 < len(self.counted) <= FEW_CODES and max(map(len, self.counted)) <= _LONGEST_CODE
        shared = len(self.texts) >= max(_ROWS_THAT_TELL, _ROWS_A_CODE * len(self.counted))
        return self.counted.most_common() if few and shared else None


def columns_of(kinds: dict[str, str], records: Sequence[dict[str, Any]]) -> Iterator[Column]:
    """The columns of a sample; one that no kind is known of is given as text."""
    names = list(dict.fromkeys([*kinds, *(name for record in records for name in record)]))
    for name in names:
        yield Column(name, kinds.get(name, "text"), [record.get(name) for record in records])
