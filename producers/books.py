"""The books of the connectors' side: what was read of each dataset, counted where each thing becomes durable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from contracts.sources import department_topic
from producers._kafka import reader
from producers.positions import load
from producers.topics import POSITIONS


@dataclass(frozen=True, slots=True)
class Book:
    """One dataset. ``in_topic``: change events that were ever written to its topic (what streams has to account for).

    ``published``: those that a saved position stands for; the rest was read again after a crash, or is under way.
    ``duplicates`` and ``stale``: records that the connector recognised and left out.
    """

    system: str
    dataset: str
    epoch: int
    in_topic: int
    published: int
    duplicates: int
    stale: int
    snapshot_done: bool
    saved_at: str
    notes: tuple[str, ...]

    @property
    def read(self) -> int:
        """Records read from the source: events, and records left out."""
        return self.in_topic + self.duplicates + self.stale


def books(bootstrap: str, datasets: Sequence[tuple[str, str]]) -> list[Book]:
    """The books of (system, dataset) pairs that have been read at least once. Raises BrokerUnreachable."""
    saved = load(bootstrap)
    known = [(system, dataset) for system, dataset in datasets if f"{system}.{dataset}" in saved]
    with reader(bootstrap, "onewindow-books", POSITIONS.name) as source:
        ends = source.ends([department_topic(*pair) for pair in known])
    return [
        Book(
            system,
            dataset,
            epoch=one.epoch,
            in_topic=ends.get(department_topic(system, dataset), 0),
            published=one.published,
            duplicates=one.duplicates,
            stale=one.stale,
            snapshot_done=one.snapshot_done,
            saved_at=one.saved_at,
            notes=one.notes,
        )
        for system, dataset in known
        for one in [saved[f"{system}.{dataset}"]]
    ]
