import csv
import shutil
import signal
import time

import psycopg
import pytest
from cities import RESIDENTS, SEED, called, digest, new_directory, rows, started, tables_equal_truth

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
def city(directory):
    city = City(directory / "city", RESIDENTS, SEED)
    city.start()
    yield city
    city.stop()


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


def test_the_same_seed_gives_the_same_departments_and_a_restart_keeps_them(directory):
    digests, ports = [], []
    for name in ("one", "two"):
        city = City(directory / name, 600, 9)
        city.start()
        digests.append(digest(city))
        ports.append(city.hrss.server.port)
        city.stop()
    again = City.open(directory / "two")
    again.start(progress=lambda _: pytest.fail("built twice"))
    assert digest(again) == digests[0] == digests[1]
    assert again.hrss.server.port == ports[1]
    again.stop()


def test_a_build_that_was_interrupted_is_started_over(directory):
    def interrupt(_):
        raise KeyboardInterrupt

    city = City(directory / "interrupted", 700, 9)
    with pytest.raises(KeyboardInterrupt):
        city.start(interrupt)
    assert not city.is_built
    assert not list(city.drop.iterdir())
    city.start()
    tables_equal_truth(city)
    with pytest.raises(CityUnfinished):
        City(city.directory, 800, 9).start()
    city.stop()


def test_killed_by_force_it_leaves_no_server_and_comes_back(directory):
    place = directory / "killed"
    process, said = started(place, "--residents", 500, "--seed", 3)
    assert said["drop"] == str(place / "ageing-drop")
    port = int(said["hrss_url"].rsplit(":", 1)[1].split("/")[0])
    process.kill()
    process.communicate()
    until = time.monotonic() + 10
    while (place / "hrss-pg" / "postmaster.pid").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not (place / "hrss-pg" / "postmaster.pid").exists()
    (place / "hrss-pg" / "postmaster.pid").write_text(
        f"999999\n{place}/hrss-pg\n1\n{port}\n/tmp\n127.0.0.1\n1 1\nready\n"
    )
    process, again = started(place)
    assert again == said
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    assert not (place / "hrss-pg" / "postmaster.pid").exists()
