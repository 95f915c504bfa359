"""The exchange connector on SQLite and PostgreSQL: rows in their order, marked once they are durable, and never before."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from exchangetown import Department, ExchangeCase, ServersCase, Taker, said, trial_of
from pydantic import ValidationError

from connectors import _dialects, open_connector
from connectors.exchange import ExchangeConnector
from connectors.testing import Acceptance, Trial
from contracts.errors import FlagNotWritable, SourceBusy
from contracts.sources import Source


class TestOnSqlite(ExchangeCase):
    @pytest.fixture
    def department(self, tmp_path):
        made = Department(f"sqlite:///{tmp_path}/qzk.db")
        yield made
        made.close()


@pytest.fixture
def on_postgres(postgres):
    made = Department(postgres.url(postgres.new_database()))
    yield made
    made.close()


class TestOnPostgresql(ServersCase):
    @pytest.fixture
    def department(self, on_postgres):
        return on_postgres


class TestKitOnSqlite(Acceptance):
    def trial(self, path: Path) -> Trial:
        return trial_of(Department(f"sqlite:///{path}/qzk.db"))


class TestKitOnPostgresql(Acceptance):
    @pytest.fixture(autouse=True)
    def _database(self, postgres):
        self.url = postgres.url(postgres.new_database())

    def trial(self, path: Path) -> Trial:  # noqa: ARG002  # the rows lie in the server
        return trial_of(Department(self.url))


@pytest.fixture
def reader(postgres, on_postgres):
    """The URL of a login that may read the exchange table, and nothing else."""
    on_postgres.run("DO $$ BEGIN CREATE ROLE qzk_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    on_postgres.run("GRANT SELECT ON grjc TO qzk_reader")
    (database,) = on_postgres.ask("SELECT current_database()")[0]
    return postgres.url(database, "qzk_reader")


def test_a_login_that_may_not_set_the_flag_reads_nothing_until_the_grant_that_is_named(on_postgres, reader):
    on_postgres.put(("a", "1", "I"))
    taker = Taker(on_postgres.connector(reader))
    with pytest.raises(FlagNotWritable) as refused:
        taker.take()
    grant = refused.value.fix.removeprefix("let the department's DBA run: ")
    assert grant == "GRANT UPDATE (dqbz, dqsj) ON grjc TO qzk_reader;"
    failed = [finding for finding in on_postgres.connector(reader).check() if finding.level == "fail"]
    assert [type(finding.error) for finding in failed] == [FlagNotWritable]
    assert grant in failed[0].text
    on_postgres.run(grant)
    assert said(taker.take()) == [("a", "1")]
    assert on_postgres.flags() == {1: "1"}


def test_a_right_that_is_taken_away_amid_reading_stops_it_and_no_row_is_given_twice(on_postgres, reader):
    on_postgres.run("GRANT UPDATE (dqbz, dqsj) ON grjc TO qzk_reader")
    on_postgres.put(("a", "1", "I"))
    taker = Taker(on_postgres.connector(reader))
    taker.take(confirm=False)
    on_postgres.run("REVOKE UPDATE (dqbz, dqsj) ON grjc FROM qzk_reader")
    taker.confirm()
    on_postgres.put(("b", "1", "I"))
    for _ in range(2):
        with pytest.raises(FlagNotWritable):
            taker.take()
    on_postgres.run("GRANT UPDATE (dqbz, dqsj) ON grjc TO qzk_reader")
    assert said(taker.take()) == [("b", "1")]
    assert on_postgres.flags() == {1: "1", 2: "1"}


def test_a_row_that_the_department_holds_is_waited_for(on_postgres, monkeypatch):
    hurried = tuple(line.replace("'5s'", "'50ms'") for line in _dialects._POSTGRES_SETUP)
    monkeypatch.setattr(_dialects, "_POSTGRES_SETUP", hurried)
    on_postgres.put(("a", "1", "I"), ("b", "1", "I"))
    taker = Taker(on_postgres.connector())
    with on_postgres.engine.connect() as holding:
        taker.take(confirm=False)
        holding.exec_driver_sql("UPDATE grjc SET xm = '2' WHERE grbh = 'b'")
        taker.confirm()
        with pytest.raises(SourceBusy):
            taker.take()
        assert on_postgres.flags() == {1: "0", 2: "0"}, "a page is marked as a whole"
        holding.commit()
    assert said(taker.take()) == [("b", "2")]
    assert on_postgres.flags() == {1: "1", 2: "1"}


def test_a_check_changes_nothing_though_it_tries_to_write(on_postgres):
    """A trigger of the statement runs also where no row is meant; what it did is taken back."""
    on_postgres.run("CREATE TABLE journal (n serial)")
    on_postgres.run(
        "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO journal DEFAULT VALUES; RETURN NULL; END'"
    )
    on_postgres.run("CREATE TRIGGER noted AFTER UPDATE ON grjc FOR EACH STATEMENT EXECUTE FUNCTION note()")
    assert all(finding.level == "ok" for finding in on_postgres.connector().check())
    assert on_postgres.ask("SELECT count(*) FROM journal") == [(0,)]


def test_a_schema_of_its_own(on_postgres, reader):
    on_postgres.run("CREATE SCHEMA jhk")
    on_postgres.run("ALTER TABLE grjc SET SCHEMA jhk")
    on_postgres.run("GRANT USAGE ON SCHEMA jhk TO qzk_reader")
    with pytest.raises(FlagNotWritable, match=r"GRANT UPDATE \(dqbz, dqsj\) ON jhk.grjc TO qzk_reader;"):
        Taker(on_postgres.connector(reader, schema_name="jhk")).take()
    on_postgres.run("INSERT INTO jhk.grjc (grbh, xm, czlx) VALUES ('a', '1', 'I')")
    assert said(Taker(on_postgres.connector(schema_name="jhk")).take()) == [("a", "1")]


def test_a_source_file_makes_one(tmp_path):
    department = Department(f"sqlite:///{tmp_path}/qzk.db")
    connector = open_connector(department.source(), state=tmp_path / "state")
    assert isinstance(connector, ExchangeConnector)
    assert [each.name for each in connector.discover()] == ["grjc"]
    assert connector.sample("grjc", 5) == []
    connector.close()
    department.close()


@pytest.mark.parametrize(
    ("connector", "dataset", "flaw"),
    [
        ({}, {"exchange": {"order": ["xh"], "flag": "bz", "unread": "1"}}, "unread and read are both 1"),
        ({}, {"exchange": {"order": ["xh", "bz"], "flag": "bz"}}, "are different ones"),
        ({}, {"exchange": {"order": ["xh"], "flag": "bz", "read_at": "bz"}}, "are different ones"),
        ({}, {"exchange": None}, "kind exchange needs exchange"),
        ({"kind": "sql"}, {}, "exchange is for kind exchange"),
        ({}, {"cursor": "sj"}, "kind exchange has no cursor"),
        ({"capture": "log"}, {}, "capture log needs kind postgres or mysql"),
        ({"capture": "snapshot"}, {}, "kind exchange has capture poll alone"),
    ],
)
def test_a_declaration_that_is_wrong_says_so(connector, dataset, flaw):
    declared = {"table": "t", "key": ["a"], "map": {"name": "b"}, "exchange": {"order": ["xh"], "flag": "bz"}}
    how = {"kind": "exchange", "url": "sqlite:///x.db"}
    with pytest.raises(ValidationError, match=flaw):
        Source.model_validate(
            {
                "system": "s",
                "title": "",
                "owner": "",
                "connector": how | connector,
                "datasets": {"d": declared | dataset},
            }
        )


def test_flag_values_are_read_as_they_are_written_in_yaml():
    exchange = {"order": ["xh"], "flag": "bz", "unread": False, "read": True}
    declared = {"table": "t", "key": ["a"], "map": {"name": "b"}, "exchange": exchange}
    how = {"kind": "exchange", "url": "sqlite:///x.db"}
    made = Source.model_validate(
        {"system": "s", "title": "", "owner": "", "connector": how, "datasets": {"d": declared}}
    )
    found = made.datasets["d"].exchange
    assert (found.unread, found.read) == ("false", "true")


def test_a_flag_that_is_true_or_false(on_postgres):
    with psycopg.connect(
        on_postgres.engine.url.set(drivername="postgresql").render_as_string(False), autocommit=True
    ) as admin:
        admin.execute(
            "CREATE TABLE jh (xh int PRIMARY KEY, bh text, yd boolean NOT NULL DEFAULT false, sj timestamptz)"
        )
        admin.execute("INSERT INTO jh (xh, bh) VALUES (1, 'a'), (2, 'b')")
    exchange = {"order": ["xh"], "flag": "yd", "unread": False, "read": True, "read_at": "sj"}
    declared = {"table": "jh", "key": ["bh"], "deleted": None, "map": {"name": "bh"}, "exchange": exchange}
    taker = Taker(on_postgres.connector(**declared))
    assert [each.key for each in taker.take()] == ["a", "b"]
    assert on_postgres.ask("SELECT count(*) FROM jh WHERE yd AND sj > now() - interval '1 hour' AND sj <= now()") == [
        (2,)
    ]
