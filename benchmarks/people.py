"""A department's table of 12 columns, with synthetic residents, and the source file that declares it to this project."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg

from examples.city.people import Person, person

SYSTEM, OTHER_SYSTEM = "hrss", "civil"
TABLE, OTHER_TABLE = "ac01", "registered"
DATASETS = {TABLE: "insured_person", OTHER_TABLE: "registered"}
KEY = "aac001"
COLUMNS = dict.fromkeys(
    (
        "aac001",
        "aac002",
        "aac003",
        "aac004",
        "aac005",
        "aac006",
        "aae005",
        "aab301",
        "aac060",
        "aae006",
        "aae200",
        "aae036",
    ),
    "text",
)
PHONE = "aae005"
SEED = 1
_INSERT = f"INSERT INTO {{}} VALUES ({', '.join(['%s'] * len(COLUMNS))})"  # noqa: S608 - our own names
_UPDATE = f"UPDATE {{}} SET {PHONE} = %s, aae036 = %s WHERE {KEY} = %s"  # noqa: S608
_SOURCE = """system: {system}
title: 基准测试 (benchmark)
owner: 基准测试
connector:
  kind: postgres
  url: {url}
  capture: log
  slot: {slot}
datasets:
  {dataset}:
    table: {table}
    key: [aac001]
    map:
      id_number: aac002
      name: {{column: aac003, required: true}}
      sex: {{column: aac004, codes: {{"1": male, "2": female}}}}
      ethnic_group: aac005
      birth_on: {{column: aac006, date: "%Y%m%d"}}
      phone: aae005
      community_code: aab301
      alive: {{column: aac060, codes: {{"1": true, "0": false}}}}
      address: aae006
      living_alone: {{column: aae200, codes: {{"1": true, "0": false}}}}
      as_of: aae036
"""


def key(number: int) -> str:
    """The record key of a resident: keys do not follow the order of residents."""
    return f"3701{number * 7_368_787 % 9_999_991:010}"


def row(number: int) -> tuple[str, ...]:
    """The row of a resident, in the order of the columns."""
    who: Person = person(SEED, number)
    return (
        key(number), who.id_number, who.name, "1" if who.sex == "male" else "2", who.ethnic_group,
        who.birth_on.replace("-", ""), who.phone, who.community_code, "1" if who.alive else "0", who.address,
        "1" if who.living_alone else "0", f"202411{1 + number % 28:02}093000",
    )  # fmt: skip


def ddl(table: str) -> str:
    """The table."""
    columns = ", ".join(f"{name} {kind}{' PRIMARY KEY' if name == KEY else ''}" for name, kind in COLUMNS.items())
    return f"CREATE TABLE {table} ({columns})"


def fill(connection: psycopg.Connection[Any], table: str, numbers: range) -> None:
    """Make the table, and put these residents into it."""
    connection.execute(ddl(table))
    with connection.cursor().copy(f"COPY {table} FROM STDIN") as rows:
        for number in numbers:
            rows.write_row(row(number))
    connection.execute(f"VACUUM ANALYZE {table}")


def source_file(system: str, table: str, url: str) -> str:
    """``sources/<system>.yaml``."""
    return _SOURCE.format(system=system, table=table, dataset=DATASETS[table], url=url, slot=f"onewindow_{system}")


def marked_phone(serial: int) -> str:
    """The telephone number that tells a change from all others; nobody has it otherwise."""
    return f"101{serial:08}"


def changes(table: str, loaded: int, first: int, count: int) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Statements, each a transaction: updates of loaded rows and inserts of new ones, in turns; no row is met twice."""
    insert, update = _INSERT.format(table), _UPDATE.format(table)
    place = list(COLUMNS).index(PHONE)
    for serial in range(first, first + count):
        if serial % 2:
            values: tuple[str, ...] = (marked_phone(serial), "20241229120000", key(serial % loaded))
            yield update, values
        else:
            new = row(loaded + serial)
            yield insert, (*new[:place], marked_phone(serial), *new[place + 1 :])
