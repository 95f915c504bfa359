"""The books of a dataset: what was read of its source, and what became of each record.

    read = accepted + quarantined + duplicate + stale + filtered + pending

The two sides are kept by different hands and compared here: the connectors' side saves, with its position, how many events
the broker acknowledged; streams counts, with its offset, what it decided. Between them lies the topic. Its end can be ahead
of what was saved (events whose position is not saved yet, or that a crash left there and that are published once more),
but never behind: then something that was acknowledged is gone.

What can't be asked now is None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from streams.store import BOOKS


@dataclass(frozen=True, slots=True)
class Reading:
    """The connectors' side, as saved: events that the topic must hold, and records that were recognised and left out."""

    published: int
    again: int
    duplicates: int
    stale: int

    @property
    def in_topic(self) -> int:
        """How many events were acknowledged at least."""
        return self.published + self.again


@dataclass(frozen=True, slots=True)
class Decided:
    """The side of streams: how far it has come in the topic, and its counts (``streams.store.BOOKS``)."""

    events: int
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Book:
    """The books at one moment. ``lost``: events that were acknowledged and that the topic does not hold.

    ``balanced`` is False when something is lost or was counted wrongly, None while that can't be told.
    """

    read: int | None
    parts: Mapping[str, int | None]
    pending: int | None
    lost: int
    balanced: bool | None

    @property
    def done(self) -> int | None:
        """Records of which it was decided what becomes of them."""
        return None if self.read is None or self.pending is None else self.read - self.pending

    def document(self) -> dict[str, Any]:
        """As status shows it."""
        return {"read": self.read, **self.parts, "pending": self.pending, "balanced": self.balanced}


def book(reading: Reading | None, in_topic: int | None, decided: Decided | None, *, loaded: bool) -> Book:
    """Compare the two sides. ``in_topic``: the sum of the topic's ends, looked at after both. ``loaded``: the source was
    read to its end at least once, so that nothing read means that nothing is there."""
    known = reading or Reading(0, 0, 0, 0)
    parts: dict[str, int | None] = dict.fromkeys(BOOKS)
    if decided is not None:
        parts |= decided.counts
        parts["duplicate"] = decided.counts["duplicate"] + known.duplicates
        parts["stale"] = decided.counts["stale"] + known.stale
    if in_topic is None:
        return Book(None, parts, None, 0, None)
    events = max(in_topic, known.in_topic)
    read = events + known.duplicates + known.stale
    lost = events - in_topic
    if decided is None:
        return Book(read, parts, None, lost, None)
    balanced: bool | None = not lost and sum(decided.counts.values()) == decided.events
    if reading is None or (read == 0 and not loaded):
        balanced = None
    return Book(read, parts, events - decided.events, lost, balanced)


class PartitionBook(NamedTuple):
    """The side of streams for one partition of a topic: where its log ends, how far streams has come in it, how many events
    it has counted, and how many numbers it saw that were missing. ``in_topic`` is None where the broker does not say."""

    partition: int
    in_topic: int | None
    taken: int
    counted: int
    missing: int

    @property
    def balanced(self) -> bool:
        """Whether each event that was taken was counted, and none is lacking."""
        there = self.in_topic is None or self.taken <= self.in_topic
        return self.counted == self.taken and not self.missing and there


def partition_books(
    topic: str,
    ends: Mapping[tuple[str, int], int] | None,
    positions: Mapping[tuple[str, int], int],
    counts: Mapping[tuple[str, int], Mapping[str, int]],
    missing: Mapping[tuple[str, int], int],
) -> list[PartitionBook]:
    """Those of a topic's partitions of which anything is known."""
    known = sorted(place for place in {*(ends or ()), *positions, *counts, *missing} if place[0] == topic)
    return [
        PartitionBook(
            place[1], None if ends is None else ends.get(place, 0), positions.get(place, 0),
            sum(counts.get(place, {}).values()), missing.get(place, 0),
        )
        for place in known
    ]  # fmt: skip
