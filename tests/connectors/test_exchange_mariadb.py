"""The exchange connector on MariaDB: the same promises as on SQLite and PostgreSQL."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from exchangetown import Department, ServersCase, Taker, said, trial_of

from connectors.testing import Acceptance, Trial
from contracts.errors import FlagNotWritable

pytestmark = pytest.mark.services


@pytest.fixture
def department(mariadb):
    made = Department(mariadb.url(mariadb.new_database()))
    yield made
    made.close()


class TestOnMariaDb(ServersCase):
    pass


class TestKitOnMariaDb(Acceptance):
    @pytest.fixture(autouse=True)
    def _database(self, mariadb):
        self.url = mariadb.url(mariadb.new_database())

    def trial(self, path: Path) -> Trial:  # noqa: ARG002  # the rows lie in the server
        return trial_of(Department(self.url))


def test_a_login_that_may_not_set_the_flag_reads_nothing_until_the_grant_that_is_named(department, mariadb):
    user = f"r{uuid.uuid4().hex[:8]}"
    department.run(f"CREATE USER {user}@'%' IDENTIFIED BY '{mariadb.password}'")
    department.run(f"GRANT SELECT ON grjc TO {user}@'%'")
    department.put(("a", "1", "I"))
    taker = Taker(department.connector(mariadb.url(department.engine.url.database, user)))
    with pytest.raises(FlagNotWritable) as refused:
        taker.take()
    grant = refused.value.fix.removeprefix("let the department's DBA run: ")
    assert grant == f"GRANT UPDATE (dqbz, dqsj) ON {department.engine.url.database}.grjc TO '{user}'@'%';"
    department.run(grant)
    assert said(taker.take()) == [("a", "1")]
    assert department.flags() == {1: "1"}


def test_a_column_that_changes_with_each_update_keeps_no_row_unread(department):
    department.run("ALTER TABLE grjc ADD COLUMN gxsj timestamp(6) NOT NULL DEFAULT now(6) ON UPDATE now(6)")
    department.put(("a", "1", "I"))
    taker = Taker(department.connector())
    assert len(taker.take()) == 1
    assert department.flags() == {1: "1"}


def test_a_flag_of_one_bit(department):
    department.run(
        "CREATE TABLE jh (xh int PRIMARY KEY, bh varchar(9), yd bit(1) NOT NULL DEFAULT b'0', sj varchar(19))"
    )
    department.run("INSERT INTO jh (xh, bh) VALUES (1, 'a'), (2, 'b')")
    exchange = {"order": ["xh"], "flag": "yd", "read_at": "sj"}
    declared = {"table": "jh", "key": ["bh"], "deleted": None, "map": {"name": "bh"}, "exchange": exchange}
    taker = Taker(department.connector(**declared))
    assert [each.key for each in taker.take()] == ["a", "b"]
    assert department.ask("SELECT yd + 0, length(sj) FROM jh") == [(1, 19), (1, 19)]
