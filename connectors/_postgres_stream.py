"""The log of a source: one replication slot and one publication for all its datasets, read by one thread.

The server forgets only what every dataset has confirmed. So a slot that stands *beyond* the place of a dataset was made
anew, or moved by somebody else: what lies between can't be had any more, and ``verify`` says so before anything is given.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from typing import Any

import psycopg
from psycopg import errors

from connectors._log_channels import Channels
from connectors._log_reader import LogReader
from connectors._pgoutput import Malformed
from connectors._postgres_catalog import Catalog, Table
from connectors._postgres_sessions import Server, Sessions, Wire
from connectors._transactions import lsn_text
from contracts.errors import OneWindowError, PositionLost, SourceBusy, SourceUnreachable
from contracts.sources import Source

HELD_BYTES = 64 << 20  # of messages in all channels of a source
WATCH_S = 5.0  # how often slot and tables are looked at
_SLOT_WAIT_S = 5.0  # how long an old connection may hold the slot


class Stream:
    """Opens nothing until ``ensure``. Thread-safe, but a dataset is pulled by one thread at a time."""

    def __init__(self, source: Source, sessions: Sessions, *, held_bytes: int, watch_s: float) -> None:
        self._source, self._sessions, self._watch_s = source, sessions, watch_s
        self.name = source.connector.slot or f"onewindow_{source.system}"
        self.catalog = Catalog(sessions, self.name)
        self.channels = Channels(source.datasets, held_bytes)
        self._tables: dict[str, Table] = {}
        self._troubles: dict[str, OneWindowError] = {}
        self._unsettled = set(source.datasets)
        self._confirmed: dict[str, tuple[Mapping[str, Any], int]] = {}
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._server, self._remade = Server("", 0, 0), ""
        self.retained_bytes = 0

    # for whoever pulls a dataset -------------------------------------------------------------------------------------

    def ensure(self, dataset: str) -> Table:
        """The dataset's table; from here on its changes are read. Begins to read the log where that does not run.

        Raises what ended the last run, once; what is wrong with the table; SourceBusy, SourceUnreachable and the like.
        """
        trouble = self.channels.trouble(dataset)
        if trouble is not None:
            raise trouble
        with self._starting:
            if dataset in self._troubles:
                self._look_again(dataset)
            if self._thread is None or not self._thread.is_alive():
                self._end()
                self._begin()
            if dataset in self._troubles:
                raise self._troubles[dataset]
            return self._tables[dataset]

    def _look_again(self, dataset: str) -> None:
        """End the run if the table is fit now, so that the next one has it. Raises what is still wrong."""
        try:
            with closing(self._sessions.open()) as connection:
                self.catalog.table(connection, dataset, self._source.datasets[dataset], add=True)
        except psycopg.Error as error:
            raise self._sessions.known(error) from error
        self._end()

    def restart(self, run: int) -> None:
        """Read anew, unless that was begun since this run."""
        with self._starting:
            if run == self.channels.run:
                self._end()

    def close(self) -> None:
        """Let go of the slot."""
        with self._starting:
            self._end()

    def stamp(self, dataset: str) -> dict[str, Any]:
        """What a position says of where it holds."""
        return {
            "slot": self.name,
            "system_identifier": self._server.identifier,
            "timeline": self._server.timeline,
            "table": self._tables[dataset].identity,
        }

    def verify(self, dataset: str, after: Mapping[str, Any], lsn: int) -> None:
        """The log goes on at this position, or raises PositionLost."""
        now, durable, end = self.stamp(dataset), self.channels.durable(), self._server.end
        lost = None
        if after["system_identifier"] != now["system_identifier"]:
            lost = "another database server answers than the one that was read"
        elif after["timeline"] != now["timeline"]:
            lost = f"the server's history is timeline {now['timeline']}, but timeline {after['timeline']} was read"
        elif after["slot"] != now["slot"]:
            lost = f"it was read through the replication slot {after['slot']}, and now through {now['slot']}"
        elif after["table"] != now["table"]:
            lost = f"the table {self._tables[dataset]}, or its place in the publication {self.name}, was made anew"
        elif durable > lsn:
            lost = self._remade or (
                f"the replication slot {self.name} was made anew or moved: it stands at {lsn_text(durable)}, beyond"
                f" {lsn_text(lsn)}"
            )
        elif lsn > end and self.channels.before_run(dataset):
            lost = (
                f"the server's log ends at {lsn_text(end)}, before {lsn_text(lsn)}: it was restored from an older copy"
            )
        if lost:
            raise self.lost(dataset, lost)

    def lost(self, dataset: str | None, why: str) -> PositionLost:
        """The error that has a dataset, or all of them, read again."""
        where = self._source.system if dataset is None else f"{self._source.system}.{dataset}"
        return PositionLost(
            f"{where}: {why}; what happened since can't be told, so it is read again from the beginning",
            fix="nothing to do: what differs is reconciled when it has been read",
        )

    def confirm(self, dataset: str, stamp: Mapping[str, Any], lsn: int) -> None:
        """Kafka has all of the dataset that lies before this place. It counts as long as the stamp is the stream's own."""
        self._confirmed[dataset] = stamp, lsn
        self._confirm(dataset)

    def _confirm(self, dataset: str) -> None:
        if dataset in self._confirmed and dataset in self._tables:
            stamp, lsn = self._confirmed[dataset]
            if stamp == self.stamp(dataset):
                self.channels.confirm(dataset, lsn)

    def hold(self, dataset: str) -> int:
        """A first copy of the dataset begins; the server keeps for it what comes from this place on."""
        self._confirmed.pop(dataset, None)
        return self.channels.hold(dataset)

    def unsettled(self, dataset: str) -> bool:
        """Whether transactions that are open now may have written before slot and publication could see it."""
        return dataset in self._unsettled

    def settled(self, dataset: str) -> None:
        """They have ended."""
        self._unsettled.discard(dataset)

    # beginning and end -----------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        try:
            with ExitStack() as opened:
                connection = opened.enter_context(closing(self._sessions.open()))
                self._prepare(connection)
                wire = opened.enter_context(closing(self._sessions.open_log()))
                self._server = wire.server()
                self._start(wire)
                slot = self.catalog.slot(connection)  # from here on nobody else can drop or move it
                opened.pop_all()  # both stay open: the thread closes them
        except psycopg.Error as error:
            raise self._sessions.known(error) from error
        self.channels.begin(slot.confirmed if slot else 0, self._server.end, self._tables)
        for dataset in self._tables:
            self._confirm(dataset)
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._read, args=(wire, connection, self._stop), name=f"{self._source.system}-log", daemon=True
        )
        self._thread.start()

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Publication first, then slot: with a slot that is older than its publication nothing can be read."""
        self._remade = ""
        if self.catalog.ensure_publication(connection) and self.catalog.slot(connection):
            self._remade = f"the publication {self.name} was not there any more"
            self.catalog.drop_slot(connection)
        before, self._tables, self._troubles = self._tables, {}, {}
        for dataset, declared in self._source.datasets.items():
            try:
                table = self._tables[dataset] = self.catalog.table(connection, dataset, declared, add=True)
            except OneWindowError as error:
                self._troubles[dataset] = error
            else:
                if dataset in before and before[dataset].identity != table.identity:
                    self._unsettled.add(dataset)
        if not self._tables:
            raise next(iter(self._troubles.values()))
        slot = self.catalog.slot(connection)
        if slot is None or not slot.usable:
            if slot is not None:
                self._remade = f"the replication slot {self.name} lost what it should have kept ({slot.status})"
                self.catalog.drop_slot(connection)
            self._remade = self._remade or f"the replication slot {self.name} was not there any more"
            self.catalog.make_slot(connection)
            self._unsettled = set(self._source.datasets)

    def _start(self, wire: Wire) -> None:
        """Begin to read; a connection of before may hold the slot for a moment."""
        until = time.monotonic() + _SLOT_WAIT_S
        while True:
            try:
                wire.start(self.name, self.name)
            except errors.ObjectInUse as error:
                if time.monotonic() > until:
                    raise SourceBusy(
                        f"{self._source.system}: another connection reads the replication slot {self.name}",
                        fix="if that is another deployment, give one of them a connector.slot of its own;"
                        " else nothing to do: an old connection ends by itself",
                    ) from error
                time.sleep(0.05)
            else:
                return

    def _end(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            thread.join()

    # the thread ------------------------------------------------------------------------------------------------------

    def _read(self, wire: Wire, connection: psycopg.Connection[Any], stop: threading.Event) -> None:
        oids: dict[int, list[str]] = {}
        for dataset, table in self._tables.items():
            oids.setdefault(table.oid, []).append(dataset)
        reader = LogReader(
            wire, self.channels, oids, watch=lambda: self._watch(wire, connection), watch_s=self._watch_s
        )
        trouble: OneWindowError | None = None
        try:
            reader.run(stop)
        except psycopg.Error as error:
            trouble = self._sessions.known(error)
        except Malformed as error:
            trouble = SourceUnreachable(
                f"{self._source.system}: the database's log holds what can't be read ({error})",
                fix="it is tried again; if it stays, report it with the version of the server",
            )
        except OneWindowError as error:
            trouble = error
        finally:
            wire.close()
            connection.close()
            self.channels.end(trouble)

    def _watch(self, wire: Wire, connection: psycopg.Connection[Any]) -> bool:
        """Look at slot and tables; False if a table was made anew, so that the run must begin again.

        Raises PositionLost when the server keeps more log for the slot than is allowed; the slot is dropped then.
        """
        self._weigh(connection, wire.close)
        for dataset, table in self._tables.items():
            try:
                now = self.catalog.table(connection, dataset, self._source.datasets[dataset], add=False)
            except OneWindowError:
                return False
            if now.identity != table.identity:
                return False
        return True

    def weigh(self) -> None:
        """Look at what the server keeps, also while the log is not read. Raises as reading does, and psycopg's errors."""
        with self._starting:
            if self._thread is None or not self._thread.is_alive():
                with closing(self._sessions.open()) as connection:
                    self._weigh(connection, lambda: None)

    def _weigh(self, connection: psycopg.Connection[Any], let_go: Callable[[], None]) -> None:
        slot = self.catalog.slot(connection)
        self.retained_bytes = slot.retained_bytes if slot else 0
        limit_mb = self._source.connector.wal_limit_mb
        if limit_mb is not None and self.retained_bytes > limit_mb << 20:
            let_go()
            self._drop_slot(connection)
            raise self.lost(
                None, f"the server kept {self.retained_bytes >> 20} MB of its log for us, more than wal_limit_mb ({limit_mb}),"
                f" and the replication slot {self.name} was given up to protect it",
            )  # fmt: skip

    def _drop_slot(self, connection: psycopg.Connection[Any]) -> None:
        until = time.monotonic() + _SLOT_WAIT_S
        while True:
            try:
                self.catalog.drop_slot(connection)
            except errors.ObjectInUse:  # our own connection has not ended there yet
                if time.monotonic() > until:
                    raise
                time.sleep(0.05)
            else:
                return
