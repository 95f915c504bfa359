"""The binary log of MariaDB: every change once and in order, wherever reading stops, and whatever the department alters."""

from __future__ import annotations

import random
import threading

import pytest

from connectors._mysql_sessions import about_table
from connectors.base import Delete
from connectors.mysql import MysqlConnector
from contracts.errors import (
    ColumnMissing,
    LogCaptureImpossible,
    PositionLost,
    PrivilegeMissing,
    SettingInvalid,
    SourceRefused,
    SourceUnreachable,
    TableMissing,
)
from contracts.sources import Source

pytestmark = pytest.mark.services

DDL = "CREATE TABLE person (id bigint unsigned PRIMARY KEY, xm varchar(50), n int NOT NULL DEFAULT 0)"


def source(url, *, page_rows=3, **dataset):
    person = {"table": "person", "key": ["id"], "map": {"name": "xm"}}
    return Source.model_validate(
        {
            "system": "civil", "title": "民政", "owner": "信息中心",
            "connector": {"kind": "mysql", "capture": "log", "url": url, "page_rows": page_rows},
            "datasets": {"person": person | dataset},
        }
    )  # fmt: skip


def filled(count):
    return f"INSERT INTO person VALUES {', '.join(f'({number}, {chr(39)}a{chr(39)}, 0)' for number in range(1, count + 1))}"


class Department:
    """A database, a connector to it, and what its changes add up to."""

    def __init__(self, server, **options):
        self.server, self.database, self.options = server, server.new_database(), options
        self._connection = server.connect(self.database)
        self.connector = self.position = None
        self.records, self.read, self.changes = {}, set(), []

    def run(self, *statements):
        with self._connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return cursor.fetchall()

    def rows(self):
        with self.server.connect(self.database) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id, xm, n FROM person")
            return {str(row[0]): row[1:] for row in cursor.fetchall()}

    def url(self, user=None):
        return self.server.url(self.database, user)

    def open(self):
        self.close_connector()
        self.connector = MysqlConnector(source(self.url(), **self.options))

    def take(self, page):
        for change in page.changes:
            if isinstance(change, Delete):
                self.records.pop(change.key, None)
            else:
                self.records[change.key] = change.record
                self.read.add(change.key)
        if page.mark == "complete":
            self.records = {key: record for key, record in self.records.items() if key in self.read}
        if page.mark == "cleared":
            self.records = {}
        self.changes += page.changes
        self.position = page.position

    def pull(self, stop_after=None):
        """Pull once; ``stop_after`` so many pages the process ends, and a new one goes on."""
        if self.connector is None:
            self.open()
        for number, page in enumerate(self.connector.pull("person", self.position), start=1):
            self.take(page)
            if number == stop_after:
                self.open()
                return

    def pull_all(self, stop_after=None):
        """Until what was gathered is what the table holds."""
        for _ in range(400):
            self.pull(stop_after)
            if self.state() == self.rows():
                return
        assert self.state() == self.rows()

    def pull_thrice(self):
        for _ in range(3):
            self.pull()

    def state(self):
        return {key: (record["xm"], record["n"]) for key, record in self.records.items()}

    def close_connector(self):
        if self.connector is not None:
            self.connector.close()

    def close(self):
        self.close_connector()
        self._connection.close()


@pytest.fixture
def town(mariadb):
    made = []

    def make(**options):
        made.append(Department(mariadb, **options))
        return made[-1]

    yield make
    for department in made:
        department.close()


@pytest.fixture
def civil(town):
    department = town()
    department.run(DDL)
    return department


def test_a_copy_and_then_every_change_in_order(civil):
    civil.run(filled(10))
    civil.pull()
    assert (len(civil.changes), civil.position["phase"]) == (10, "live")
    civil.run(
        "UPDATE person SET n = 1 WHERE id <= 2", "DELETE FROM person WHERE id = 3", "UPDATE person SET id = 40 WHERE id = 4",
        "INSERT INTO person VALUES (18446744073709551615, '末', -1)",
    )  # fmt: skip
    civil.pull_all()
    assert [(type(change).__name__, change.key) for change in civil.changes[10:]] == [
        ("Upsert", "1"), ("Upsert", "2"), ("Delete", "3"), ("Delete", "4"), ("Upsert", "40"),
        ("Upsert", "18446744073709551615"),
    ]  # fmt: skip
    assert all(change.committed_at for change in civil.changes[10:])


@pytest.mark.parametrize("stop_after", [None, 1])
def test_a_transaction_longer_than_a_page_comes_once_wherever_reading_stops(civil, stop_after):
    civil.pull()
    civil.run(filled(20))
    civil.run("BEGIN", "UPDATE person SET n = 1", "UPDATE person SET id = id + 100", "COMMIT")
    civil.pull_all(stop_after)
    assert len(civil.changes) == 20 + 20 + 40


def test_a_table_that_changes_all_the_time_is_never_misread(civil):
    civil.run(filled(50))
    civil.pull()
    stop, chance = threading.Event(), random.Random(7)

    def write():
        dice = random.Random(3)
        with civil.server.connect(civil.database) as connection, connection.cursor() as cursor:
            for number in range(400):
                one = dice.randrange(60)
                statement = dice.choice(
                    [
                        f"INSERT INTO person VALUES ({one}, 'i', {number}) ON DUPLICATE KEY UPDATE n = {number}",
                        f"DELETE FROM person WHERE id = {one}",
                        f"UPDATE IGNORE person SET id = {dice.randrange(60)} WHERE id = {one}",
                        f"UPDATE person SET n = {number} WHERE id BETWEEN {one} AND {one + 5}",
                    ]
                )
                cursor.execute(statement)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        civil.pull(chance.choice([None, 1, 2, 5]))
    writer.join()
    civil.pull_all()


def test_columns_may_come_go_and_be_renamed_between_changes(civil):
    civil.pull()
    civil.run(
        "INSERT INTO person VALUES (1, '一', 1)", "ALTER TABLE person ADD COLUMN z int FIRST, ADD COLUMN y date",
        "INSERT INTO person (id, xm, n, z) VALUES (2, '二', 2, 9)", "ALTER TABLE person DROP COLUMN z, RENAME COLUMN y TO w",
        "INSERT INTO person VALUES (3, '三', 3, '2026-01-02')",
    )  # fmt: skip
    civil.pull_all()
    assert [sorted(change.record) for change in civil.changes] == [
        ["id", "n", "xm"], ["id", "n", "xm", "y", "z"], ["id", "n", "w", "xm"],
    ]  # fmt: skip


def test_a_declared_column_that_goes_away_is_named_and_nothing_is_left_out(civil):
    civil.pull()
    civil.run("INSERT INTO person VALUES (1, '一', 1)", "ALTER TABLE person RENAME COLUMN xm TO name")
    civil.run("INSERT INTO person VALUES (2, '二', 2)")
    with pytest.raises(ColumnMissing, match="no column xm"):
        civil.pull_thrice()
    civil.run("ALTER TABLE person RENAME COLUMN name TO xm")
    with pytest.raises(ColumnMissing):  # the change itself has no such column: a person must decide
        civil.pull_thrice()


def test_an_emptied_table_is_empty(civil):
    civil.run(filled(5))
    civil.pull()
    civil.run("TRUNCATE TABLE person", "INSERT INTO person VALUES (9, '九', 9)")
    civil.pull_all()
    assert set(civil.records) == {"9"}


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE person", "RENAME TABLE person TO elsewhere", "ALTER TABLE person RENAME TO elsewhere",
        "CREATE OR REPLACE TABLE person (id bigint unsigned PRIMARY KEY, xm varchar(50), n int)",
    ],
)  # fmt: skip
def test_a_table_that_is_made_anew_is_read_anew(civil, statement):
    civil.run(filled(5))
    civil.pull()
    civil.run(statement)
    with pytest.raises((PositionLost, TableMissing)) as caught:
        civil.pull_thrice()
    if "CREATE" not in statement:
        civil.run(DDL)
    if isinstance(caught.value, TableMissing):
        with pytest.raises(PositionLost):
            civil.pull_thrice()
    civil.run("INSERT INTO person VALUES (3, '三', 3)")
    civil.position, civil.read = None, set()
    civil.pull_all()


def test_other_tables_and_other_schemas_are_left_out(civil, town):
    other = town()
    other.run(DDL)
    civil.pull()
    civil.run("CREATE TABLE other (id int PRIMARY KEY)", "INSERT INTO other VALUES (1)", "DROP TABLE other")
    other.run("INSERT INTO person VALUES (1, 'x', 1)", "TRUNCATE TABLE person", "DROP TABLE person")
    civil.run("INSERT INTO person VALUES (2, '二', 2)")
    civil.pull_all()
    assert [change.key for change in civil.changes] == ["2"]


def test_values_are_the_same_from_the_table_and_from_the_log(town):
    civil = town(map={"name": "xm"})
    civil.run(
        "SET SESSION sql_mode = ''",
        "CREATE TABLE person (id int PRIMARY KEY, xm varchar(50) CHARACTER SET gbk, csrq date, je decimal(12,2), zt enum('a','b'),"
        " s set('x','y'), f float, d double, ts timestamp(6) NULL, dt datetime(3), t time(2), y year, b bit(5),"
        " bin varbinary(10), js json, tiny tinyint unsigned, big bigint unsigned, note text)",
        "INSERT INTO person VALUES (1, '张三', '0000-00-00', 12.50, 'a', 'y,x', 1.1, 2.5, '2026-01-02 03:04:05.123456',"
        " '2026-01-02 03:04:05.123', '-01:02:03.5', 2026, b'00101', x'00ff', '{\"甲\":[1]}', 255, 18446744073709551615, '长\\n文'),"
        " (2, NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    )  # fmt: skip
    civil.pull()
    copied = dict(civil.records)
    civil.run("CREATE TABLE spare LIKE person", "INSERT INTO spare SELECT * FROM person", "DELETE FROM person")
    civil.run("INSERT INTO person SELECT * FROM spare")
    before = len(civil.changes)
    for _ in range(50):
        civil.pull()
        if len(civil.changes) >= before + 4:
            break
    assert civil.records == copied
    assert copied["1"] | {"t": None} == {
        "id": 1, "xm": "张三", "csrq": None, "je": "12.50", "zt": "a", "s": "x,y", "f": 1.1, "d": 2.5,
        "ts": "2026-01-01T19:04:05.123456", "dt": "2026-01-02T03:04:05.123000", "t": None, "y": 2026, "b": "101",
        "bin": "00ff", "js": '{"甲":[1]}', "tiny": 255, "big": "18446744073709551615", "note": "长\n文",
    }  # fmt: skip


# places that are lost ------------------------------------------------------------------------------------------------


def test_a_log_that_the_server_has_thrown_away_is_said_at_once(civil):
    civil.run("INSERT INTO person VALUES (1, '一', 1)")
    civil.pull()
    civil.close_connector()
    civil.connector = None
    read = civil.position["file"]
    while read in [
        file for file, *_ in civil.run("SHOW BINARY LOGS")
    ]:  # the server keeps what it still sends to somebody
        civil.run("FLUSH BINARY LOGS", "INSERT INTO person VALUES (2, '二', 2) ON DUPLICATE KEY UPDATE n = n + 1")
        ((file, *_),) = civil.run("SHOW MASTER STATUS")
        civil.run(f"PURGE BINARY LOGS TO '{file}'")
    with pytest.raises(PositionLost, match="any more"):
        civil.pull()
    civil.position, civil.read = None, set()
    civil.pull_all()


@pytest.mark.parametrize(
    "changed", [{"server": "9"}, {"at": 2_000_000_000}, {"gtid": "0-7-999999"}, {"file": "binlog.999999"}]
)
def test_a_place_of_another_history_is_lost(civil, changed):
    civil.run("INSERT INTO person VALUES (1, '一', 1)")
    civil.pull()
    civil.run("INSERT INTO person VALUES (2, '二', 2)")
    civil.pull_all()
    civil.open()
    civil.position = dict(civil.position) | changed
    with pytest.raises(PositionLost):
        civil.pull()


def test_a_copy_that_broke_off_begins_anew(civil):
    civil.run(filled(20))
    civil.pull(stop_after=1)
    with pytest.raises(PositionLost, match="broke off"):
        civil.pull()


def test_the_place_moves_on_while_only_others_change(civil, monkeypatch):
    monkeypatch.setattr("connectors._mysql_changes.HEARTBEAT_S", 0.0)
    civil.run("CREATE TABLE other (id int PRIMARY KEY)")
    civil.pull()
    before = civil.position
    civil.run("INSERT INTO other VALUES (1)")
    for _ in range(50):
        civil.pull()
        if civil.position != before:
            break
    assert (civil.position["file"], civil.position["at"]) > (before["file"], before["at"])
    assert civil.changes == []


@pytest.mark.parametrize(
    ("statement", "verb"),
    [
        ("TRUNCATE TABLE person", "truncate"),
        ("truncate civil . `person`;", "truncate"),
        ("/* a */ TRUNCATE person", "truncate"),
        ("TRUNCATE other.person", None),
        ("DROP TABLE IF EXISTS `other`, `civil`.`person` /* generated by server */", "drop"),
        ("DROP TABLE persons", None),
        ("RENAME TABLE a TO b, civil.person TO old", "rename"),
        ("CREATE OR REPLACE TABLE person (id int)", "create"),
        ("CREATE TABLE spare LIKE person", None),
        ("CREATE TABLE IF NOT EXISTS person (id int)", None),
        ("ALTER TABLE person RENAME TO old", "move"),
        ("ALTER TABLE old ADD COLUMN a int, RENAME AS person", "move"),
        ("ALTER TABLE person RENAME COLUMN person TO old", None),
        ("ALTER TABLE person ADD COLUMN a int", None),
        ("INSERT INTO person VALUES ('truncate table person')", None),
        ("CREATE INDEX person ON other (a)", None),
    ],
)
def test_statements_about_the_table_as_a_whole_are_known(statement, verb):
    assert about_table(statement, "civil", "civil", "person") == verb


# what the server must give -------------------------------------------------------------------------------------------


def login(civil, *grants):
    user = f"u{civil.database[:10]}"
    civil.run(
        f"CREATE OR REPLACE USER {user}@'127.0.0.1'", *(f"GRANT {grant} TO {user}@'127.0.0.1'" for grant in grants)
    )
    return user


def test_check_names_each_thing_that_is_missing_and_what_mends_it(civil):
    user = login(civil, f"SELECT ON {civil.database}.*")
    connector = MysqlConnector(source(civil.url(user)))
    found = {finding.text for finding in connector.check() if finding.level == "fail"}
    connector.close()
    assert len(found) == 1
    assert "GRANT REPLICATION SLAVE, BINLOG MONITOR ON *.* TO" in found.pop()

    connector = MysqlConnector(source(civil.url()))
    assert [finding.level for finding in connector.check()] == ["ok"] * 4
    connector.close()


def test_a_login_that_may_not_read_the_log_or_the_table_is_told_so(civil):
    connector = MysqlConnector(source(civil.url(login(civil, f"SELECT ON {civil.database}.*"))))
    with pytest.raises((PrivilegeMissing, SourceRefused, SourceUnreachable)):
        list(connector.pull("person", None))
    connector.close()
    connector = MysqlConnector(source(civil.url(login(civil, "REPLICATION SLAVE, BINLOG MONITOR ON *.*"))))
    with pytest.raises((PrivilegeMissing, SourceRefused)):
        list(connector.pull("person", None))
    connector.close()


def test_settings_of_the_server_that_hide_something_are_refused(civil, monkeypatch):
    monkeypatch.setattr("connectors._mysql_sessions.variables", lambda *_: {"binlog_row_metadata": "MINIMAL"})
    with pytest.raises(LogCaptureImpossible, match="log_bin is not known"):
        civil.pull()


@pytest.mark.parametrize("url", ["postgresql+psycopg://u@127.0.0.1/x", "mysql+pymysql://u@127.0.0.1"])
def test_a_url_that_names_no_database_of_mysql_is_a_setting_to_correct(url):
    with pytest.raises(SettingInvalid):
        MysqlConnector(source(url))


def test_a_server_that_is_away_is_waited_for(mariadb):
    connector = MysqlConnector(source("mysql+pymysql://root@127.0.0.1:1/x"))
    with pytest.raises(SourceUnreachable):
        list(connector.pull("person", None))
    assert [finding.level for finding in connector.check()] == ["fail"]
    connector.close()
