"""The digest is the same wherever the same rows lie, and sees every cell."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import sqlalchemy as sa
from viewcases import Views, asserted, feed, fingerprint, held, retracted

from projections.databases import reading, writing
from projections.digest import TableDigest, digest, overall
from projections.engine import ViewEngine
from projections.tables import VIEW, assertion, community, declared

CELLS = [(table, column) for table in VIEW for column in table.columns]


def filled(views: Views) -> ViewEngine:
    """A view with text that is hard to write down the same way twice."""
    view = views.new()
    hard = '"\\/\b\f\n\r\t\x1f\x7f é 王\u00b7芳 \U00020000 \u2028'
    feed(
        view,
        asserted("b", 1, "x", name=hard, sex="female", alive=True, community_code="370102001001", as_of="2026",
                 benefit_kind="pension", benefit_state="paying", benefit_amount_fen=2**40, benefit_from="2020-01",
                 originals={"name": hard}, mends={"name": hard}),
        asserted("B", 1, "Y", name="é", living_alone=False, community_code="370102001002"),
        asserted("乙", 1, "y", provisional=True),
        asserted("c", 1, "z"), retracted("c", 2, "z"),
        asserted("grid.home/1", 1, "x", household_number="12", household_relation="02", household_room="402"),
        held("b", 2, "x", hard),
    )  # fmt: skip
    return view


def digests(view: ViewEngine) -> dict[str, TableDigest]:
    with reading(view.engine) as connection:
        return digest(connection)


def test_both_databases_give_the_same_digest(sqlite_views: Views, postgres_views: Views):
    one, other = digests(filled(sqlite_views)), digests(filled(postgres_views))
    assert one == other
    assert {name: found["rows"] for name, found in one.items()} == {
        "assertion": 5, "benefit": 1, "community": 2, "household": 1, "household_member": 1, "resident": 3,
    }  # fmt: skip


def test_the_digest_is_what_it_says_it_is(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "x", name="王", as_of="2026", community_code="370102001001"))
    line = '["370102001001",1,0,0,0,0,0,0,0,0,0,0,0,0,0]\n'
    assert digests(view)["community"] == {"rows": 1, "digest": hashlib.sha256(line.encode()).hexdigest()}
    line = (
        '["hrss","person","7","x",1,"{\\"community_code\\":\\"370102001001\\",\\"name\\":\\"王\\"}",'
        '"{}","{}","2026",0,null]\n'
    )
    assert digests(view)["assertion"]["digest"] == hashlib.sha256(line.encode()).hexdigest()


def changed(value: Any, column: sa.Column[Any]) -> Any:
    if isinstance(column.type, sa.Boolean):
        return not value
    if isinstance(column.type, sa.JSON):
        return [*value, 1] if isinstance(value, list) else {**(value or {}), "more": 1}
    if isinstance(column.type, sa.Integer):
        return (value or 0) + 1
    return (value or "") + "~"


@pytest.mark.parametrize(("table", "column"), CELLS, ids=[f"{table.name}.{column.name}" for table, column in CELLS])
def test_one_cell_changes_the_digest_of_its_table_alone(views: Views, table: sa.Table, column: sa.Column[Any]):
    view = filled(views)
    before = digests(view)
    with writing(view.engine) as connection:
        row = connection.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings().first()
        assert row is not None
        where = [key == row[key.name] for key in table.primary_key.columns]
        connection.execute(sa.update(table).where(*where).values({column: changed(row[column.name], column)}))
    after = digests(view)
    different = [name for name in before if before[name] != after[name]]
    assert different == ([table.name] if column in declared(table) else [])
    assert (overall(before) != overall(after)) == bool(different)


def test_what_is_not_declared_is_how_and_when_we_came_to_know():
    left_out = {(table.name, column.name) for table, column in CELLS if column not in declared(table)}
    assert left_out == {
        ("assertion", "revision"), ("assertion", "held_revision"), ("assertion", "event_id"), ("assertion", "committed_at"),
    }  # fmt: skip


def test_a_row_more_or_less_changes_it(views: Views):
    view = filled(views)
    before = fingerprint(view)
    with writing(view.engine) as connection:
        connection.execute(sa.delete(community).where(community.c.community_code == "370102001002"))
    assert fingerprint(view) != before


def test_null_and_empty_are_not_the_same(views: Views):
    view = filled(views)
    before = fingerprint(view)
    with writing(view.engine) as connection:
        connection.execute(sa.update(assertion).where(assertion.c.record_key == "B").values(as_of=""))
    assert fingerprint(view) != before


def test_more_rows_than_one_chunk_are_all_seen(views: Views, monkeypatch: pytest.MonkeyPatch):
    view = filled(views)
    before = digests(view)
    monkeypatch.setattr("projections.digest._CHUNK_ROWS", 1)
    assert digests(view) == before
