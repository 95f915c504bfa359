"""Values of PostgreSQL as JSON, from the text that the server writes: the same that the sql connector gives.

The session must write in the forms of ``_postgres_sessions.SETTINGS``: UTC, ISO dates, bytes in hexadecimal.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.adapt import Transformer
from psycopg.pq import Format
from psycopg.types import TypeInfo

from connectors._dialects import iso
from connectors._pgoutput import Decoder
from connectors.values import json_value

_FIRST_OF_USERS = 16384  # type oids below are PostgreSQL's own, and the same everywhere
_LOOK_UP = """
SELECT t.oid::bigint, t.typname, t.typtype, t.typbasetype::bigint, t.typelem::bigint, t.typcategory
FROM pg_type t WHERE t.oid = %s
"""


def _tolerant_text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _numeric(data: bytes) -> str:
    """As ``str(Decimal)`` has it, which differs only for tiny numbers."""
    return str(Decimal(data.decode())) if data.startswith((b"0.000000", b"-0.000000")) else data.decode()


def _float(data: bytes) -> Any:
    return json_value(float(data))


def _timestamp(data: bytes) -> Any:
    return (
        f"{data[:10].decode()}T{data[11:].decode()}" if data[10:11] == b" " and data[-1] != 67 else iso(data.decode())
    )


def _timestamptz(data: bytes) -> Any:
    if data[10:11] == b" " and data.endswith(b"+00"):
        return f"{data[:10].decode()}T{data[11:].decode()}:00"
    return iso(data.decode())


_TEXTS = ("text", "varchar", "bpchar", "name", "date", "time", "timetz", "interval", "uuid")
_KNOWN: dict[str, Decoder] = {
    "bool": b"t".__eq__,
    "int2": int,
    "int4": int,
    "int8": int,
    "oid": int,
    "float4": _float,
    "float8": _float,
    "numeric": _numeric,
    "bytea": lambda data: data[2:].decode(),
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
}
_STAMPS = ("timestamp", "timestamptz")


class Values:
    """The decoders of types, each looked up once. Holds a connection for the types that users made."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        types = connection.adapters.types
        # only a database without an encoding gives bytes that are no UTF-8; they are replaced, and stop nothing
        encoded = connection.info.parameter_status("server_encoding") != "SQL_ASCII"
        self._text: Decoder = bytes.decode if encoded else _tolerant_text
        known = {**_KNOWN, **dict.fromkeys(_TEXTS, self._text)}
        self._decoders: dict[int, Decoder] = {types[name].oid: decoder for name, decoder in known.items()}
        self._stamps = {types[name].oid for name in _STAMPS}

    def decoder(self, oid: int) -> Decoder:
        """What makes a JSON value of the text of this type. Raises psycopg's errors."""
        found = self._decoders.get(oid)
        if found is None:
            found = self._decoders[oid] = self._users(oid) if oid >= _FIRST_OF_USERS else self._library(oid)
        return found

    def key_part(self, oid: int) -> Callable[[Any], Any]:
        """What makes of a JSON value the key part that the sql connector makes: points in time as PostgreSQL has them."""
        return _stamp_as_stored if oid in self._stamps else _as_it_is

    def _library(self, oid: int) -> Decoder:
        """As psycopg reads it: arrays, JSON, network addresses; anything it doesn't know stays text."""
        load = Transformer(self._connection).get_loader(oid, Format.TEXT).load
        if oid in (info.oid for info in self._connection.adapters.types if "range" in info.name):
            return self._text
        return lambda data: json_value(load(data))

    def _users(self, oid: int) -> Decoder:
        row = self._connection.execute(_LOOK_UP, (oid,)).fetchone()
        if row is None:
            return self._text
        _, name, kind, base, element, category = row
        if kind == "d":
            return self.decoder(int(base))
        if category == "A" and int(element) >= _FIRST_OF_USERS:
            TypeInfo(name, oid=int(element), array_oid=oid).register(self._connection)
        return self._library(oid)


def _as_it_is(value: Any) -> Any:
    return value


def _stamp_as_stored(value: Any) -> Any:
    return value.replace("T", " ", 1).removesuffix(":00") if value[-6:-5] == "+" else value.replace("T", " ", 1)
