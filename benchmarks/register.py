"""A register of 12 columns, as records of a topic and as one table: what every way to a view is measured with.

The record is the same on all sides. Debezium's sink and the hand-written loop get it as plain JSON; this project as what
its own streams emit, ``RecordAsserted`` with the 12 values as fields, numbered in the headers: twice the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import msgspec
import sqlalchemy as sa

from contracts.events import NUMBER_HEADER, ORIGIN_HEADER, RESIDENT_TOPIC, Asserted, ResidentEvent
from contracts.identity import partition_of
from producers.publisher import Publisher, Record
from producers.topics import TopicSpec, ensure_topics
from projections import bulk

PLAIN_TOPIC = "bench.register"
PARTITIONS = 4
KEY = "person_id"
COLUMNS = {
    KEY: "text",
    "name": "text",
    "sex": "text",
    "born_on": "text",
    "ethnic_group": "text",
    "address": "text",
    "area_code": "text",
    "household": "text",
    "phone": "text",
    "alive": "boolean",
    "amount_fen": "bigint",
    "updated_at": "text",
}
_NAMES = tuple(COLUMNS)
_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何高林郑"
_PAGE = 5_000
_FOREVER = {"retention.ms": "-1"}
_encode = msgspec.json.Encoder().encode


def person(number: int) -> dict[str, Any]:
    """The record of one person: about 300 bytes of JSON. Keys lie in no order, as keyed hashes do."""
    return {
        KEY: f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}",
        "name": f"{_SURNAMES[number % 20]}{number % 5_000}",
        "sex": ("female", "male")[number % 2],
        "born_on": f"{1930 + number % 90}-{1 + number % 12:02}-{1 + number % 28:02}",
        "ethnic_group": "03" if number % 11 == 0 else "01",
        "address": f"泉城路{number % 997}号{number % 20}单元{number % 31}01室",
        "area_code": f"3701020{number % 300:05}",
        "household": f"H{number // 3:08}",
        "phone": f"100{number:08}",
        "alive": number % 50 != 0,
        "amount_fen": 300_000 + number % 70_000,
        "updated_at": f"2026-11-{1 + number % 28:02}T08:00:00.000000Z",
    }


def ddl(table: str) -> str:
    """The table, for ways that make it themselves."""
    columns = ", ".join(f"{name} {kind}{' PRIMARY KEY' if name == KEY else ''}" for name, kind in COLUMNS.items())
    return f"CREATE TABLE {table} ({columns})"


_TYPES: dict[str, sa.types.TypeEngine[Any]] = {"text": sa.Text(), "boolean": sa.Boolean(), "bigint": sa.BigInteger()}
register = sa.Table(
    "register",
    sa.MetaData(),
    *(sa.Column(name, _TYPES[kind], primary_key=name == KEY) for name, kind in COLUMNS.items()),
)


class Register:
    """The register as a view of this project: the last assertion of a person is the row."""

    name = "register"
    version = 1
    topics: Sequence[str] = (RESIDENT_TOPIC,)
    tables: Sequence[sa.Table] = (register,)

    def apply(self, events: Sequence[ResidentEvent], view: sa.Connection) -> None:
        """Fold a batch of assertions."""
        latest = {event.resident_id: event.fields for event in events if isinstance(event, Asserted)}
        bulk.upsert(view, register, [tuple(map(fields.get, _NAMES)) for fields in latest.values()])


def _asserted(number: int, record: dict[str, Any]) -> bytes:
    return _encode(
        {
            "type": "RecordAsserted",
            "version": 1,
            "resident_id": record[KEY],
            "system": "bench",
            "dataset": "register",
            "record_key": record[KEY],
            "revision": 1,
            "event_id": f"{number:032x}",
            "committed_at": "2026-11-24T08:00:00+00:00",
            "fields": record,
        }
    )


def fill_plain(bootstrap: str, records: int) -> None:
    """The topic of plain JSON, keyed by person."""
    ensure_topics(bootstrap, [TopicSpec(PLAIN_TOPIC, PARTITIONS, _FOREVER)])
    made = (person(number) for number in range(records))
    publish(bootstrap, PLAIN_TOPIC, (Record(each[KEY].encode(), _encode(each)) for each in made))


def fill_events(bootstrap: str, records: int) -> None:
    """The topic of residents, as streams would have written it."""
    ensure_topics(bootstrap, [TopicSpec(RESIDENT_TOPIC, PARTITIONS, _FOREVER)])
    numbers = Numbered("department.bench.register/0")
    publish(bootstrap, RESIDENT_TOPIC, (event(numbers, number, person(number)) for number in range(records)))


class Numbered:
    """Writes events with the headers that number them, each origin and partition on its own."""

    def __init__(self, origin: str) -> None:
        self._origin, self._next = (ORIGIN_HEADER, origin.encode()), [0] * PARTITIONS

    def record(self, key: str, value: bytes) -> Record:
        """The record of an event."""
        partition = partition_of(key, PARTITIONS)
        number = self._next[partition]
        self._next[partition] = number + 1
        return Record(key.encode(), value, (self._origin, (NUMBER_HEADER, b"%d" % number)), partition)


def event(numbered: Numbered, number: int, record: dict[str, Any]) -> Record:
    """The next event, which asserts this record."""
    return numbered.record(record[KEY], _asserted(number, record))


def publish(bootstrap: str, topic: str, records: Iterator[Record]) -> None:
    """Send all, and return when all is durable."""
    publisher = Publisher(bootstrap, "benchmarks")
    try:
        while page := list(islice(records, _PAGE)):
            publisher.publish(topic, page)
        publisher.flush()
    finally:
        publisher.close()
