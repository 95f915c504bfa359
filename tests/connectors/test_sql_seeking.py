"""A polled table is read again from a value of its cursor on: what lies there comes once more, and then what is new."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from connectors.base import Seeking
from connectors.sql import SqlConnector
from contracts.errors import PlaceUnknown
from contracts.sources import Source

KINDS = {"timestamp": "2026-01-{:02} 08:00:00", "integer": "{}", "date": "2026-01-{:02}"}


class Table:
    """Twenty rows whose cursor is of some kind."""

    def __init__(self, url: str, kind: str) -> None:
        self.url, self.kind, self.engine = url, kind, sa.create_engine(url, poolclass=sa.NullPool)
        self.run(f"CREATE TABLE person (id integer PRIMARY KEY, name varchar(9), up {kind} NOT NULL)")
        for number in range(1, 21):
            self.put(number, number)

    def run(self, statement: str, **values: object) -> None:
        with self.engine.begin() as tx:
            tx.execute(sa.text(statement), values)

    def at(self, number: int) -> str:
        return KINDS[self.kind].format(number)

    def put(self, key: int, number: int) -> None:
        self.run(f"INSERT INTO person VALUES (:id, 'n', CAST(:up AS {self.kind}))" if self.engine.dialect.name != "sqlite"
                 else "INSERT INTO person VALUES (:id, 'n', :up)", id=key, up=self.at(number))  # fmt: skip

    def connector(self, **more) -> SqlConnector:
        person = {"table": "person", "key": ["id"], "cursor": "up", "map": {"name": "name"}} | more
        how = {"kind": "sql", "url": self.url, "page_rows": 3, "overlap_s": 0}
        about = {"system": "hrss", "title": "", "owner": "", "connector": how, "datasets": {"person": person}}
        return SqlConnector(Source.model_validate(about))


@pytest.fixture(
    params=[("sqlite", "timestamp"), ("sqlite", "integer"), *(("postgresql", kind) for kind in KINDS)], ids="-".join
)
def table(request, tmp_path):
    database, kind = request.param
    url = f"sqlite:///{tmp_path}/hrss.db"
    if database == "postgresql":
        postgres = request.getfixturevalue("postgres")
        url = postgres.url(postgres.new_database())
    made = Table(url, kind)
    yield made
    made.engine.dispose()


@pytest.fixture
def connector(table):
    made = table.connector()
    yield made
    made.close()


def look(connector, after=None) -> tuple[list[int], dict]:
    """The ids that came, and the position after them, as JSON keeps it."""
    found = []
    for page in connector.pull("person", after):
        found += [change.record["id"] for change in page.changes]
        after = json.loads(json.dumps(dict(page.position)))
    return found, after


def test_what_lies_there_and_behind_comes_again_and_then_what_is_new(table, connector):
    _, position = look(connector)
    look(connector, position)
    assert isinstance(connector, Seeking)
    found = connector.sought("person", position, table.at(15))
    assert found.rows == 6
    came, after = look(connector, json.loads(json.dumps(dict(found.position))))
    assert sorted(came) == list(range(15, 21))
    assert look(connector, after)[0] == []
    table.put(30, 25)
    assert look(connector, after)[0] == [30]


def test_a_restarted_process_does_the_same(table, connector):
    _, position = look(connector)
    sought = json.loads(json.dumps(dict(connector.sought("person", position, table.at(18)).position)))
    again = table.connector()
    came, after = look(again, sought)
    assert sorted(came) == [18, 19, 20]
    assert "sought" not in after
    again.close()


def test_a_place_that_is_none_or_lies_ahead_is_refused(table, connector):
    _, position = look(connector)
    for place in ("no such value", table.at(28)):
        with pytest.raises(PlaceUnknown):
            connector.sought("person", position, place)
    with pytest.raises(PlaceUnknown, match="for the first time"):
        connector.sought("person", position | {"phase": "snapshot"}, table.at(3))


@pytest.mark.parametrize("place", ["2026-01-03T08:00:00", "20260103", "2026-01-03 08:00:00Z"])
def test_text_is_compared_with_text_of_the_same_form_alone(tmp_path, place):
    """2026-01-03T08 comes after 2026-01-03 23 as text: what lies between would be left out, or be said to lie ahead."""
    table = Table(f"sqlite:///{tmp_path}/hrss.db", "timestamp")
    connector = table.connector()
    _, position = look(connector)
    with pytest.raises(PlaceUnknown, match="written otherwise"):
        connector.sought("person", position, place)
    assert connector.sought("person", position, "2026-01-03").rows == 18
    connector.close()
    table.engine.dispose()


def test_a_table_without_a_cursor_has_no_place(table):
    whole = table.connector(cursor=None)
    with pytest.raises(PlaceUnknown, match="has no cursor"):
        whole.sought("person", {}, "1")
    whole.close()
