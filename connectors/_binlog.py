"""The binary log of a server, as what it says of one table: changes, and the ends of transactions."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import pymysql
from pymysqlreplication import BinLogStreamReader
from pymysqlreplication.event import GtidEvent, HeartbeatLogEvent, MariadbGtidEvent, QueryEvent, XidEvent
from pymysqlreplication.row_event import DeleteRowsEvent, UpdateRowsEvent, WriteRowsEvent

from connectors._mysql_sessions import LogPlace, Sessions, about_table
from connectors._mysql_values import values_of

HEARTBEAT_S = 0.05  # how soon an idle server says so
Row = Mapping[str, Any]


class Change(NamedTuple):
    """A row as it was, and as it is; None where it was not there."""

    before: Row | None
    after: Row | None
    committed_at: str


class Statement(NamedTuple):
    """The table was changed as a whole; the verbs are those of ``about_table``."""

    verb: str


class End(NamedTuple):
    """A transaction has ended; ``place`` lies after it, ``gtid`` is its name."""

    place: LogPlace
    gtid: str


Item = Change | Statement | End | Literal["idle"]


def _connect(**settings: Any) -> Any:
    """The library still says ``db``, which pymysql has given up."""
    if "db" in settings:
        settings["database"] = settings.pop("db")
    return pymysql.connect(**settings)


class Binlog:
    """Reads from a place on. Opens its connection with the first item. Raises pymysql's errors."""

    def __init__(self, sessions: Sessions, schema: str, table: str, place: LogPlace) -> None:
        self._schema, self._table = schema, table
        # not is_mariadb: it makes the library begin at the beginning of the log
        self._reader = BinLogStreamReader(
            sessions.settings, server_id=secrets.randbelow(1 << 30) + (1 << 30), blocking=True, resume_stream=True,
            log_file=place.file, log_pos=place.position, slave_heartbeat=HEARTBEAT_S,
            only_schemas=[schema], only_tables=[table], enable_logging=False, pymysql_wrapper=_connect,
            only_events=[
                XidEvent, QueryEvent, GtidEvent, MariadbGtidEvent, HeartbeatLogEvent, WriteRowsEvent, UpdateRowsEvent,
                DeleteRowsEvent,
            ],
        )  # fmt: skip
        self._gtid = ""

    def items(self) -> Iterator[Item]:
        """What the log says, in its order; ``idle`` where there is nothing more for now."""
        while True:
            event = self._reader.fetchone()
            if event is None:
                return
            if isinstance(event, HeartbeatLogEvent):
                yield "idle"
                continue
            at = datetime.fromtimestamp(event.timestamp, UTC).isoformat().replace("+00:00", "Z")
            if isinstance(event, MariadbGtidEvent | GtidEvent):
                self._gtid = str(event.gtid)
            elif isinstance(event, XidEvent):
                yield self._end()
            elif isinstance(event, QueryEvent):
                yield from self._query(event)
            else:
                yield from self._changes(event, at)

    def _query(self, event: QueryEvent) -> Iterator[Item]:
        text = event.query.strip()
        word = text.upper()
        if word == "BEGIN" or word.startswith("SAVEPOINT"):
            return
        if word not in ("COMMIT", "ROLLBACK"):
            schema = event.schema.decode("utf-8", "replace")
            verb = about_table(text, schema, self._schema, self._table)
            if verb is not None:
                yield Statement(verb)
        yield self._end()

    def _end(self) -> End:
        return End(LogPlace(self._reader.log_file, self._reader.log_pos), self._gtid)

    def _changes(self, event: Any, at: str) -> Iterator[Change]:
        for row in event.rows:
            if isinstance(event, UpdateRowsEvent):
                yield Change(values_of(event, row, "before_"), values_of(event, row, "after_"), at)
            elif isinstance(event, WriteRowsEvent):
                yield Change(None, values_of(event, row), at)
            else:
                yield Change(values_of(event, row), None, at)

    def close(self) -> None:
        """Let go of the connections."""
        self._reader.close()
