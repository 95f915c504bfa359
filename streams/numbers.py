"""The numbers that a producer gives its events: how many of them never came.

A batch that was acknowledged and is not in the log leaves a gap in the numbers of its partition. A gap is remembered until
an epoch reads the dataset from its beginning: an epoch that goes on from a saved position never reads what is missing. It
goes on with the numbers that were saved with that position, so the end of an epoch can't be lost unseen either. What a
crash makes it publish again has its numbers again; ``first`` says where they begin anew.

Two edges. Where a gap lies in what is published again, it is counted although it is closed: the dataset is read once more
for nothing. And where a crash is followed by an epoch of which nothing at all came in a partition, its numbers may all
have come before the crash: only the books show that (``onewindow.books``: the topic's end is behind what was saved).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Numbers(NamedTuple):
    """What came of one partition. ``reading``: the epoch that began from the beginning; ``epoch``: the newest of that
    reading; ``next_number``: the one expected next; ``missing``: how many of the reading were numbered and never came."""

    reading: int = 0
    epoch: int = 0
    next_number: int = 0
    missing: int = 0

    def after(self, sequences: Iterable[str]) -> Numbers:
        """The same after these values of ``ce_sequence``, ``<reading>.<epoch>.<first>.<n>``, in the order of the log.

        Others are left out: they were written by another tool, which numbers nothing.
        """
        reading, epoch, expected, missing = self
        usual = ""  # ``<reading>.<epoch>.<first>.`` of the number before: most differ from it in their last part alone
        for sequence in sequences:
            if usual and sequence.startswith(usual) and (last := sequence[len(usual) :]).isdecimal():
                number = int(last)
                if number >= expected:
                    missing += number - expected
                    expected = number + 1
                continue
            parts = sequence.split(".")
            if len(parts) != len(Numbers._fields) or not sequence.replace(".", "").isdecimal():
                continue
            of, under, first, number = map(int, parts)
            if under < epoch:
                continue  # of a producer that only seemed dead: its heir publishes all of it again
            if of > reading:
                reading, epoch, expected, missing = of, of, 0, 0
            if under > epoch:
                missing += max(0, first - expected)
                epoch, expected = under, first
            missing += max(0, number - expected)
            expected = max(expected, number + 1)
            usual = sequence[: sequence.rindex(".") + 1]
        return Numbers(reading, epoch, expected, missing)
