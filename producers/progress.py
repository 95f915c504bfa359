"""What the producer of one dataset is doing, for status and the console: written by its thread, read by any."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import Any, Literal

from connectors.base import Question

State = Literal["starting", "loading", "live", "waiting", "paused", "stopped"]


@dataclass(frozen=True, slots=True)
class Progress:
    """A dataset at one moment.

    ``paused``: a person wishes that it be not read. ``waiting`` comes with the code and text of the error that is waited
    out, and since when. ``rows`` and ``total``: of the piece of work at hand, where known. ``looked_at``: when the last
    reading that came to the source's end without an error began; all that the source held then is durable. ``reading`` and
    ``numbers``: of the events that are durable; ``sought``: the latest wish that was fulfilled (``producers.positions.Saved``). ``published``, ``again``, ``duplicates``,
    ``stale``: as saved durably, over all epochs. ``asks``: open questions. ``rate``: records a second while loading.
    """

    system: str
    dataset: str
    state: State = "starting"
    code: str | None = None
    text: str | None = None
    fix: str | None = None
    since: float | None = None
    epoch: int = 0
    reading: int = 0
    numbers: tuple[int, ...] = ()
    sought: str = ""
    rows: int | None = None
    total: int | None = None
    rate: float = 0.0
    looked_at: float | None = None
    saved_at: float | None = None
    snapshot_done: bool = False
    published: int = 0
    again: int = 0
    duplicates: int = 0
    stale: int = 0
    failures: int = 0
    notes: tuple[str, ...] = ()
    asks: tuple[Question, ...] = ()


class Board:
    """Holds the latest ``Progress`` of one dataset."""

    def __init__(self, system: str, dataset: str) -> None:
        self._lock, self._latest = threading.Lock(), Progress(system, dataset)

    def __call__(self) -> Progress:
        """The latest."""
        with self._lock:
            return self._latest

    def set(self, **fields: Any) -> None:
        """Replace these fields."""
        with self._lock:
            self._latest = replace(self._latest, **fields)
