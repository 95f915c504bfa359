"""The thread that reads a source's log: it sorts messages into the channels of their datasets, undecoded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from connectors import _pgoutput
from connectors._log_channels import Channels, Entry
from connectors._pgoutput import BEGIN, COMMIT, DELETE, INSERT, RELATION, TRUNCATE, UPDATE, Begin
from connectors._postgres_sessions import Wire

TELL_S = 2.0  # how often the server hears that we live, and what it may forget
WAIT_S = 0.2  # the longest sleep, and so how soon it is seen that it shall end
_BATCH = 500  # messages that are put into channels at once


class LogReader:
    """``tables``: the datasets of a table, by its oid. ``watch`` is called every ``watch_s``, and ends it with False."""

    def __init__(
        self,
        wire: Wire,
        channels: Channels,
        tables: Mapping[int, Sequence[str]],
        *,
        watch: Callable[[], bool],
        watch_s: float,
    ) -> None:
        self._wire, self._channels, self._tables = wire, channels, tables
        self._watch, self._watch_s = watch, watch_s
        self._routes = {oid.to_bytes(4, "big"): datasets for oid, datasets in tables.items()}
        self._batch: list[tuple[str, Entry]] = []
        self._reached = 0
        self._told, self._watched = 0.0, time.monotonic()

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop``, or until ``watch`` ends it. Raises psycopg's errors, Malformed, and what ``watch`` raises."""
        begin, touched, count = Begin(0, "", 0), set[str](), 0
        inside = False
        while not stop.is_set():
            message = self._wire.receive(0.0 if self._batch else WAIT_S)
            if message is None:
                if not inside:  # inside a transaction the server speaks of places that are not through yet
                    self._reached = max(self._reached, self._wire.sent)
                if not self._hand_over(stop):
                    break
                continue
            tag = message[0]
            if tag in (INSERT, UPDATE, DELETE, RELATION):
                for dataset in self._routes.get(message[1:5], ()):
                    self._batch.append((dataset, (begin, message)))
                    touched.add(dataset)
            elif tag == BEGIN:
                begin, inside = _pgoutput.begin(message), True
            elif tag == COMMIT:
                self._batch += [(dataset, (begin, message)) for dataset in touched]
                touched.clear()
                self._reached, inside = _pgoutput.commit_end(message), False
            elif tag == TRUNCATE:
                emptied = {name for oid in _pgoutput.truncated(message) for name in self._tables.get(oid, ())}
                self._batch += [(dataset, (begin, message)) for dataset in emptied]
                touched |= emptied
            count += 1
            if count >= _BATCH:
                count = 0
                if not self._hand_over(stop):
                    break
        self._tell()

    def _hand_over(self, stop: threading.Event) -> bool:
        """Put what was read into the channels, waiting for room; whether to go on."""
        while not self._channels.put(self._batch, self._reached):
            self._channels.wait_for_room(WAIT_S)
            if stop.is_set() or not self._tend():
                return False
        self._batch.clear()
        return self._tend()

    def _tend(self) -> bool:
        """Tell the server what it must hear, and watch; whether to go on."""
        now = time.monotonic()
        if self._wire.asked or now - self._told >= TELL_S:
            self._told = now
            self._tell()
        if now - self._watched < self._watch_s:
            return True
        self._watched = now
        return self._watch()

    def _tell(self) -> None:
        durable = self._channels.durable()
        self._wire.confirm(max(self._reached, durable), durable)
