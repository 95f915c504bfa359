import csv
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from cities import (
    RESIDENTS,
    ROOT,
    SEED,
    called,
    command,
    crash,
    digest,
    new_directory,
    register_rows,
    rows,
    started,
    tables_equal_truth,
)

from examples.city.ageing import HEADER
from examples.city.city import City, CityUnfinished
from examples.city.grid import HEADER as HEADER_OF_GRID
from examples.city.records import CARD, ELDER, GRID, INSURED, LOW_INCOME, PENSION, REGISTERED, household_number
from examples.city.sql_department import READER
from examples.postgres import PostgresUnavailable


@pytest.fixture(scope="module")
def directory():
    directory = new_directory()
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def built(directory):
    """A city that is up, and its digest when it was new."""
    city = City(directory / "city", RESIDENTS, SEED)
    city.start()
    yield city, digest(city)
    crash(city)
    city.stop()


@pytest.fixture
def city(built):
    return built[0]


@pytest.fixture(scope="module")
def rebuilt(directory):
    """The directory of a city whose building was interrupted once. It is down."""

    def interrupt(_):
        raise KeyboardInterrupt

    city = City(directory / "rebuilt", RESIDENTS, SEED)
    with pytest.raises(KeyboardInterrupt):
        city.start(interrupt)
    assert not city.is_built
    assert not [*city.drop.iterdir(), *city.grid_drop.iterdir()]
    city.build()
    city.stop()
    return city.directory


@pytest.fixture(params=["hrss", "civil_affairs"])
def database(city, request):
    return city.databases[request.param]


def _reader(database, password=None):
    password = password or database.password_file.read_text()
    return psycopg.connect(
        host="127.0.0.1", port=database.server.port, user=READER, password=password, dbname=database.system
    )


def test_the_tables_hold_what_the_truth_says(city):
    tables_equal_truth(city)
    assert len(rows(city, INSURED)) > 1_000
    assert len(rows(city, PENSION)) > 200
    assert len(rows(city, REGISTERED)) > 1_000
    assert len(rows(city, LOW_INCOME)) > 30
    assert len(rows(city, CARD)) > 30


def test_a_table_holds_what_was_marked_as_deleted_too(city):
    marked = {key for key, row in rows(city, LOW_INCOME).items() if "1" in row[-2]}
    assert marked == {record.key for record in city.truth.rows(LOW_INCOME) if record.deleted} != set()
    assert not marked & {record.key for record in city.truth.records(LOW_INCOME)}


def test_the_dump_holds_what_the_truth_says(city):
    (path,) = city.drop.iterdir()
    assert path.name == "ageing_elder_202501.csv"
    with path.open(encoding="gbk", newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == HEADER
    meant = [[*r.row.values()] for r in city.truth.records(ELDER) for _ in range(r.copies)]
    assert lines == meant
    assert len(meant) > 300


def test_the_grids_register_is_a_workbook_of_its_month_and_holds_what_the_truth_says(city):
    (path,) = city.grid_drop.iterdir()
    assert path.name == "grid_202501.xlsx"
    title, header, *lines = register_rows(path, "2025年1月")
    assert title[0] == "历下区社区网格居民登记表（2025年1月）"
    assert header == list(HEADER_OF_GRID)
    meant = {record.key: record for record in city.truth.records(GRID)}
    last = {line[0]: line for line in lines}  # who stands twice: the last row counts
    assert last == {key: [*record.row.values()] for key, record in meant.items()}
    twice = {line[0]: line for line in lines if line != last[line[0]]}
    assert {meant[key].fault for key in twice} == {"household_twice"}
    assert all(line[5] == household_number(meant[key].person) for key, line in twice.items())
    assert len(lines) == sum(record.copies for record in meant.values()) > 300


def test_the_reader_reads_and_does_nothing_else(city, database):
    for dataset, table in database.tables.items():
        with _reader(database) as connection:
            assert connection.execute(f"select count(*) from {table.name}").fetchone()[0] == len(rows(city, dataset))
    name = table.name
    for wish in (f"delete from {name}", "create table mine(n int)", f"update {name} set {table.key} = ''"):
        with _reader(database) as connection:
            connection.execute("set transaction read write")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(wish)


def test_a_wrong_password_is_refused(database):
    with pytest.raises(psycopg.OperationalError, match="password"):
        _reader(database, "wrong")
    assert database.password_file.read_text() not in database.reader_url
    assert database.password_file.stat().st_mode & 0o777 == 0o600


def test_the_cursor_column_is_set_and_indexed(city, database):
    for dataset, table in database.tables.items():
        with database.owner.transaction():
            indexes = database.owner.execute(
                "select indexdef from pg_indexes where tablename = %s", (table.name,)
            ).fetchall()
            updated = dict(database.owner.execute(f"select {table.key}, updated_at from {table.name}").fetchall())
        assert any(f"(updated_at, {table.key})" in row[0] for row in indexes)
        first = {r.key: r.as_of for r in city.truth.rows(dataset) if r.as_of < "2025"}
        assert first
        assert {key: updated[key].astimezone(UTC).isoformat() for key in first} == first


def test_every_column_says_what_it_means(database):
    for table in database.tables.values():
        with database.owner.transaction():
            said = dict(database.owner.execute(
                "select attname, col_description(attrelid, attnum) from pg_attribute"
                " where attrelid = %s::regclass and attnum > 0", (table.name,),
            ).fetchall())  # fmt: skip
        assert said == {name: meaning for name, (_, meaning) in table.columns.items()} | {"updated_at": "更新时间"}


def test_another_process_joins_and_leaves(city):
    said = called("change", city.directory, "phone", "--resident", _insured_number(city))
    assert said.returncode == 0, said.stderr
    tables_equal_truth(city)
    assert city.hrss.owner.execute("select 1").fetchone() == (1,)
    city.hrss.owner.rollback()


def _insured_number(city):
    return next(r.person for r in city.truth.records(INSURED) if not r.fault and r.fields["alive"])


def test_a_build_that_was_interrupted_is_started_over_and_gives_the_same(built, rebuilt):
    assert digest_of(rebuilt) == built[1]


def test_a_restart_builds_nothing_and_keeps_the_port(rebuilt):
    ports = []
    for _ in range(2):
        city = City.open(rebuilt)
        city.start(progress=lambda _: pytest.fail("built again"))
        ports.append([urlsplit(department.reader_url).port for department in city.departments.values()])
        city.stop()
    assert ports[0] == ports[1]


def test_who_joins_does_not_build_another_city_over_it(city):
    other = City(city.directory, RESIDENTS + 1, SEED)
    with pytest.raises(CityUnfinished):
        other.start()
    other.stop()
    tables_equal_truth(city)


def test_killed_by_force_it_leaves_no_server_and_comes_back(rebuilt):
    process, said = started(rebuilt)
    assert said["drop"] == str(rebuilt / "ageing-drop")
    assert not any("password" in url for url in said["urls"].values())
    assert set(said["urls"]) == set(said["password_files"]) == {"hrss", "civil_affairs", "disabled_persons"}
    written = {path: path.read_text() for path in rebuilt.glob("*-pg/postmaster.pid")}
    assert len(written) == 2
    process.kill()
    process.communicate()
    until = time.monotonic() + 20
    while any(path.exists() for path in written) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(path.exists() for path in written)
    for path, text in written.items():
        path.write_text(text)  # as a machine that lost its power leaves it
    process, again = started(rebuilt)
    assert again == said
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert not any(path.exists() for path in written)


def test_it_ends_with_its_parent_when_asked_to(rebuilt):
    script = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid)"
    run = subprocess.run(
        [sys.executable, "-c", script, *command("run", rebuilt, "--with-parent")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    until = time.monotonic() + 20
    while Path(f"/proc/{int(run.stdout)}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not list(rebuilt.glob("*-pg/postmaster.pid"))


def test_a_department_that_can_not_be_had_leaves_none_of_the_others_up(rebuilt, monkeypatch):
    def refuse():
        raise PostgresUnavailable("no")

    city = City.open(rebuilt)
    monkeypatch.setattr(city.civil_affairs, "start", refuse)
    port = urlsplit(city.disabled_persons.reader_url).port
    with pytest.raises(PostgresUnavailable):
        city.start()
    assert not any(department.owned for department in city.departments.values())
    assert not (rebuilt / "hrss-pg" / "postmaster.pid").exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
    city.stop()


def digest_of(directory):
    city = City.open(directory)
    city.start()
    found = digest(city)
    city.stop()
    return found
