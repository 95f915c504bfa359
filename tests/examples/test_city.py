import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
from cities import RESIDENTS, ROOT, SEED, called, command, digest, new_directory, rows, started, tables_equal_truth

from examples.city.ageing import HEADER
from examples.city.city import City, CityUnfinished
from examples.city.hrss import READER
from examples.city.records import ELDER, INSURED, PENSION


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
    city.hrss.server.stop("immediate")
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
    assert not list(city.drop.iterdir())
    city.build()
    city.stop()
    return city.directory


def _reader(city, password=None):
    password = password or city.hrss.password_file.read_text()
    return psycopg.connect(host="127.0.0.1", port=city.hrss.server.port, user=READER, password=password, dbname="hrss")


def test_the_tables_hold_what_the_truth_says(city):
    tables_equal_truth(city)
    assert len(rows(city, INSURED)) > 1_000
    assert len(rows(city, PENSION)) > 200


def test_the_dump_holds_what_the_truth_says(city):
    (path,) = city.drop.iterdir()
    assert path.name == "ageing_elder_202501.csv"
    with path.open(encoding="gbk", newline="") as file:
        header, *lines = csv.reader(file)
    assert tuple(header) == HEADER
    meant = [[*r.row.values()] for r in city.truth.records(ELDER) for _ in range(r.copies)]
    assert lines == meant
    assert len(meant) > 300


def test_the_reader_reads_and_does_nothing_else(city):
    with _reader(city) as connection:
        assert connection.execute("select count(*) from ac01").fetchone()[0] == len(rows(city, INSURED))
    for wish in ("delete from ac01", "create table mine(n int)", "update ac60 set aae019 = 0"):
        with _reader(city) as connection:
            connection.execute("set transaction read write")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(wish)


def test_a_wrong_password_is_refused(city):
    with pytest.raises(psycopg.OperationalError, match="password"):
        _reader(city, "wrong")
    assert city.hrss.password_file.read_text() not in city.url
    assert city.hrss.password_file.stat().st_mode & 0o777 == 0o600


def test_the_cursor_column_is_set_and_indexed(city):
    found = city.hrss.owner.execute("select indexdef from pg_indexes where tablename in ('ac01', 'ac60')").fetchall()
    city.hrss.owner.rollback()
    text = " ".join(row[0] for row in found)
    assert "(updated_at, aac001)" in text
    assert "(updated_at, aaz257)" in text


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
        ports.append(city.hrss.server.port)
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
    assert "password" not in said["hrss_url"]
    pid_file = rebuilt / "hrss-pg" / "postmaster.pid"
    written = pid_file.read_text()
    process.kill()
    process.communicate()
    until = time.monotonic() + 20
    while pid_file.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not pid_file.exists()
    pid_file.write_text(written)  # as a machine that lost its power leaves it
    process, again = started(rebuilt)
    assert again == said
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert not pid_file.exists()


def test_it_ends_with_its_parent_when_asked_to(rebuilt):
    script = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE); p.stdout.readline(); print(p.pid)"
    run = subprocess.run(
        [sys.executable, "-c", script, *command("run", rebuilt, "--with-parent")],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    until = time.monotonic() + 20
    while Path(f"/proc/{int(run.stdout)}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not (rebuilt / "hrss-pg" / "postmaster.pid").exists()


def digest_of(directory):
    city = City.open(directory)
    city.start()
    found = digest(city)
    city.stop()
    return found
