"""Connections to a department's PostgreSQL: for queries, and for its log.

The log's connection speaks libpq's copy protocol directly. psycopg2, which has the replication protocol built in, confirms
by itself whatever the server sent last; here only what Kafka has may be confirmed.
"""

from __future__ import annotations

import select
import struct
import time
from contextlib import suppress
from typing import Any, NamedTuple

import psycopg
from psycopg import pq
from sqlalchemy.exc import DBAPIError

from connectors._dialects import database_url, known_error, prepare_postgres
from contracts.errors import OneWindowError
from contracts.sources import Source

SETTINGS = (
    "-c TimeZone=UTC -c DateStyle=ISO -c IntervalStyle=iso_8601 -c extra_float_digits=1 -c bytea_output=hex"
    " -c client_encoding=UTF8"
)
"""In which forms the server writes values; equal for tables and log."""

_DATA, _KEEPALIVE = b"wk"
_HEADER = 25  # of a message with data: tag, its place, the server's end, the time
_REPLY = struct.Struct(">cqqqqB")
_SINCE_2000_S = 946_684_800


class Sessions:
    """Opens connections with the source's login. ``password`` shows in no message. Raises SettingInvalid for a bad URL."""

    def __init__(self, source: Source, password: str | None) -> None:
        self.system = source.system
        url = database_url(source.connector.url or "", system=source.system).set(drivername="postgresql+psycopg")
        self.url = url.set(password=password) if password is not None else url
        self._about: dict[str, Any] = {
            "application_name": "onewindow",
            "connect_timeout": 10,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            **self.url.translate_connect_args(username="user", database="dbname"),
            **self.url.query,
        }
        self._about["options"] = f"{self._about.get('options', '')} {SETTINGS}".strip()

    @property
    def plain_url(self) -> str:
        """The URL with all that it was given with. Not for messages."""
        return self.url.render_as_string(hide_password=False)

    @property
    def user(self) -> str:
        """The login, as messages show it."""
        return self.url.username or "of this system user"

    def open(self) -> psycopg.Connection[Any]:
        """A connection that only reads and waits for nobody long. Raises psycopg's errors."""
        connection = psycopg.Connection[Any].connect(**self._about, autocommit=True)
        prepare_postgres(connection, None)
        return connection

    def open_log(self) -> Wire:
        """A connection for the log. Raises psycopg's errors."""
        return Wire(psycopg.Connection[Any].connect(**self._about, autocommit=True, replication="database"))

    def known(self, error: psycopg.Error, table: str = "") -> OneWindowError:
        """The error of ours that one of psycopg's amounts to."""
        return known_error(DBAPIError(None, None, error), system=self.system, table=table, user=self.user, url=self.url)


class Server(NamedTuple):
    """Which server answers: two with the same identifier and timeline hold the same history."""

    identifier: str
    timeline: int
    end: int


class Wire:
    """The log of one replication slot, as a stream of messages. For one thread."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection, self._libpq = connection, connection.pgconn
        self.sent = 0
        """Where in the log the server said last that it has sent everything up to."""
        self.asked = False
        """Whether the server waits for a ``confirm``."""

    def server(self) -> Server:
        """Ask it who it is. Raises psycopg's errors."""
        found = self._ask(b"IDENTIFY_SYSTEM")
        identifier, timeline, end = (found.get_value(0, column) or b"" for column in range(3))
        high, _, low = end.partition(b"/")
        return Server(identifier.decode(), int(timeline), int(high, 16) << 32 | int(low, 16))

    def start(self, slot: str, publication: str) -> None:
        """Begin with what the slot has not seen confirmed. Raises psycopg's errors."""
        command = (
            f"START_REPLICATION SLOT \"{slot}\" LOGICAL 0/0 (proto_version '1', publication_names '\"{publication}\"')"
        )
        self._ask(command.encode(), pq.ExecStatus.COPY_BOTH)

    def _ask(self, command: bytes, wanted: int = pq.ExecStatus.TUPLES_OK) -> Any:
        result = self._libpq.exec_(command)
        if result.status != wanted:
            raise psycopg.errors.error_from_result(result)
        return result

    def receive(self, wait_s: float) -> bytes | None:
        """The next message, without its header; None if none came in time, or a keepalive did. Raises psycopg's errors,
        also when the server ends the stream."""
        size, data = self._libpq.get_copy_data(1)
        if size == 0:
            if not select.select([self._libpq.socket], [], [], wait_s)[0]:
                return None
            self._libpq.consume_input()
            size, data = self._libpq.get_copy_data(1)
        if size < 0:
            raise self._ended()
        if size == 0:
            return None
        if data[0] == _DATA:
            return bytes(data[_HEADER:])
        if data[0] == _KEEPALIVE:
            self.sent = int.from_bytes(data[1:9], "big")
            self.asked = self.asked or bool(data[17])
        return None

    def _ended(self) -> psycopg.Error:
        result = self._libpq.get_result()
        if result is not None and result.status == pq.ExecStatus.FATAL_ERROR:
            return psycopg.errors.error_from_result(result)
        return psycopg.OperationalError("the server ended the stream of its log")

    def confirm(self, reached: int, durable: int) -> None:
        """Tell the server up to where the log has come here, and up to where it may forget it. Raises psycopg's errors."""
        now_us = int((time.time() - _SINCE_2000_S) * 1_000_000)
        self._libpq.put_copy_data(_REPLY.pack(b"r", reached, durable, durable, now_us, 0))
        self._libpq.flush()
        self.asked = False

    def close(self) -> None:
        """Hang up."""
        with suppress(psycopg.Error):
            self._connection.close()
