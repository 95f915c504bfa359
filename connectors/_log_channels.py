"""What was read of a source's log and not taken yet, a channel for each dataset.

Channels share a limit in bytes. Where it is reached, reading waits; but a channel that nobody has looked into for a while is
cut instead: it is emptied and takes no more until the log is read anew. So a dataset which waits for a person, or reads a
first copy for hours, holds up no other.

The server may forget what every dataset has confirmed, and nothing else.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from connectors._pgoutput import COMMIT, Begin
from connectors._transactions import Snapshot
from contracts.errors import OneWindowError

IDLE_S = 10.0  # a channel that was not looked into for so long may be cut
_TAKEN_KEPT = 10_000  # transactions of a channel that are remembered after they were taken
_COST = 100  # bytes that a message takes beside its own

Entry = tuple[Begin, bytes]
"""A message, with the transaction that it belongs to."""

Place = tuple[int, int]
"""(place in the log, messages of the transaction that commits there): all before it."""


@dataclass(slots=True)
class _Channel:
    """``given``: the place after the last page made of what was taken in this run; None: none was. ``floor``: the server
    keeps the log from here on for this dataset; None: it keeps nothing. ``taken``: ids of the last transactions taken."""

    entries: deque[Entry] = field(default_factory=deque)
    bytes: int = 0
    cut: bool = False
    looked_at: float = 0.0
    given: Place | None = None
    floor: int | None = None
    taken: deque[int] = field(default_factory=lambda: deque(maxlen=_TAKEN_KEPT))
    trouble: OneWindowError | None = None

    def clear(self) -> None:
        self.entries.clear()
        self.bytes = 0


class Look(NamedTuple):
    """What a channel holds. ``reached``: nothing of the log before it is missing, here or among what was taken. ``run``
    counts beginnings. ``cut``: messages are missing. ``ended``: nothing more comes in this run."""

    entries: list[Entry]
    reached: int
    run: int
    cut: bool
    ended: bool


class Channels:
    """Thread-safe. One thread puts, and one for each dataset takes."""

    def __init__(self, datasets: Iterable[str], held_bytes: int) -> None:
        self._held_bytes = held_bytes
        self._channels = {dataset: _Channel() for dataset in datasets}
        self._changed = threading.Condition()
        self._run, self._reached, self._durable, self._end, self._ended = 0, 0, 0, 0, True

    @property
    def run(self) -> int:
        """How often the log was begun."""
        return self._run

    # for the stream --------------------------------------------------------------------------------------------------

    def begin(self, durable: int, end: int, datasets: Iterable[str]) -> None:
        """All is empty, and the log comes from this place on, for these datasets; it ends at ``end`` now."""
        with self._changed:
            self._run, self._reached, self._durable, self._ended = self._run + 1, durable, durable, False
            self._end = max(durable, end)
            for channel in self._channels.values():
                channel.clear()
                channel.given, channel.cut, channel.trouble, channel.floor = None, False, None, None
            for dataset in datasets:
                self._channels[dataset].floor = durable

    def end(self, trouble: OneWindowError | None = None) -> None:
        """Nothing more comes; each dataset is told of the trouble once."""
        with self._changed:
            self._ended = True
            for channel in self._channels.values():
                channel.trouble = trouble if channel.floor is not None else None
            self._changed.notify_all()

    def put(self, batch: Sequence[tuple[str, Entry]], reached: int) -> bool:
        """Add messages, after which all before ``reached`` is here; or add none, and say so, if there is no room."""
        with self._changed:
            if batch and not self._room():
                return False
            for dataset, entry in batch:
                channel = self._channels[dataset]
                if not channel.cut:
                    channel.entries.append(entry)
                    channel.bytes += len(entry[1]) + _COST
            self._reached = max(self._reached, reached)
            self._changed.notify_all()
            return True

    def _room(self) -> bool:
        """Whether there is room; one that nobody takes from is cut where there is none."""
        if sum(channel.bytes for channel in self._channels.values()) < self._held_bytes:
            return True
        idle_since = time.monotonic() - IDLE_S
        idle = [channel for channel in self._channels.values() if channel.looked_at <= idle_since]
        largest = max(idle, key=lambda channel: channel.bytes, default=None)
        if largest is None or not largest.bytes:
            return False
        largest.cut = True
        largest.clear()
        return True

    def wait_for_room(self, wait_s: float) -> None:
        """Until something changes, or the time is over."""
        with self._changed:
            self._changed.wait(wait_s)

    def durable(self) -> int:
        """The place up to which every dataset has confirmed the log. It never goes back."""
        with self._changed:
            floors = [channel.floor for channel in self._channels.values() if channel.floor is not None]
            self._durable = max(self._durable, min(floors, default=0))
            return self._durable

    # for whoever pulls a dataset -------------------------------------------------------------------------------------

    def trouble(self, dataset: str) -> OneWindowError | None:
        """What ended the last run, once."""
        with self._changed:
            channel = self._channels[dataset]
            trouble, channel.trouble = channel.trouble, None
            return trouble

    def look(self, dataset: str, limit: int) -> Look:
        """Up to so many messages, in order; they stay until ``took``. Raises what ended the run, once."""
        trouble = self.trouble(dataset)
        if trouble is not None:
            raise trouble
        with self._changed:
            channel = self._channels[dataset]
            channel.looked_at = time.monotonic()
            entries = list(islice(channel.entries, limit))
            return Look(entries, self._reached, self._run, channel.cut, self._ended)

    def wait(self, dataset: str, reached: int, wait_s: float) -> None:
        """Until there are messages, or the log is read beyond ``reached``, or the run ends, or the time is over."""
        channel = self._channels[dataset]
        with self._changed:
            self._changed.wait_for(
                lambda: bool(channel.entries) or channel.cut or self._ended or self._reached > reached, wait_s
            )

    def took(self, dataset: str, look: Look, count: int) -> None:
        """The first so many messages of that look are done with."""
        with self._changed:
            channel = self._channels[dataset]
            if look.run != self._run or channel.cut:
                return  # they are gone already; those that come again are left out by their place
            for _ in range(count):
                begin, message = channel.entries.popleft()
                channel.bytes -= len(message) + _COST
                if message[0] == COMMIT:
                    channel.taken.append(begin.xid)
            self._changed.notify_all()

    def gave(self, dataset: str, run: int, place: Place) -> None:
        """What was taken in that run is given, up to this place."""
        with self._changed:
            if run == self._run:
                self._channels[dataset].given = place

    def continues(self, dataset: str, place: Place) -> bool:
        """Whether what the channel holds, and what comes, goes on at this place."""
        with self._changed:
            channel = self._channels[dataset]
            return not channel.cut and channel.given in (None, place)

    def before_run(self, dataset: str) -> bool:
        """Whether nothing was given of this run yet."""
        with self._changed:
            return self._channels[dataset].given is None

    def hold(self, dataset: str) -> int:
        """A first copy of the dataset begins: the server keeps for it what is not confirmed yet, from this place on."""
        with self._changed:
            self._channels[dataset].floor = self._durable
            return self._durable

    def saw_taken(self, dataset: str, snapshot: Snapshot) -> bool:
        """Whether a snapshot saw all that was taken from the channel. A transaction is in the log, and may have been taken,
        a moment before it shows to others."""
        with self._changed:
            return all(snapshot.saw(xid) for xid in self._channels[dataset].taken)

    def confirm(self, dataset: str, place: int) -> None:
        """The next stage has all that lies before this place."""
        with self._changed:
            channel = self._channels[dataset]
            if channel.floor is not None:
                channel.floor = max(channel.floor, min(place, max(self._reached, self._end)))
