"""A source is operated: compared with the pipeline while it changes, paused over a restart, its books looked at.

Three sources: a PostgreSQL whose log is read, an SQLite table that is polled, a dump. What is wrong is planted in our own
databases.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import sqlite3
import threading
from contextlib import closing

import psycopg
import pytest
from product import document, new_deployment, new_directory, onewindow, until, up

from examples.postgres import Postgres

pytestmark = pytest.mark.deployment

HRSS = """system: hrss
title: 人社
owner: 信息中心
connector: {{kind: postgres, capture: log, url: "{url}"}}
datasets:
  person:
    table: ac01
    key: [aac001]
    map: {{name: {{column: aac003, required: true}}}}
"""
CIVIL = """system: civil
title: 民政
owner: 民政局
connector: {{kind: sql, url: "sqlite:///{folder}/civil.db", overlap_s: 1}}
datasets:
  family:
    table: family
    key: [fno]
    cursor: updated_at
    refuse_limit: 1.0
    map: {{name: {{column: head, required: true}}, care_level: {{column: care, codes: {{"1": independent}}}}}}
"""
AGEING = """system: ageing
title: 老龄
owner: 老龄办
connector: {{kind: files, folder: "{folder}", settle_s: 0}}
datasets:
  elder: {{pattern: "elder_{{period}}.csv", key: [nr], map: {{name: name}}}}
"""
PEOPLE, FAMILIES, REFUSED = 3_000, 300, 5


@pytest.fixture(scope="module")
def server():
    directory = new_directory()
    running = Postgres(directory / "pg", "-c wal_level=logical -c fsync=off")
    running.start()
    running.create_database("hrss")
    with psycopg.connect(running.socket_dsn("hrss"), autocommit=True) as connection:
        connection.execute("CREATE TABLE ac01 (aac001 int PRIMARY KEY, aac003 text)")
        connection.execute("INSERT INTO ac01 SELECT i, '王' || chr(19968 + i) FROM generate_series(1, %s) i", (PEOPLE,))
    yield running
    running.stop("immediate")
    shutil.rmtree(directory)


class City:
    """A deployment, and its two sources that are files."""

    def __init__(self, server=None):
        self.directory, self.server = new_deployment(), server
        folder = self.directory.parent
        (folder / "drop").mkdir()
        rows = "".join(f"{number},李{chr(0x4E00 + number)}\n" for number in range(50))
        (folder / "drop" / "elder_202601.csv").write_text(f"nr,name\n{rows}", encoding="utf-8")
        self.run("CREATE TABLE family (fno TEXT PRIMARY KEY, head TEXT, care TEXT, updated_at TIMESTAMP NOT NULL)")
        for number in range(FAMILIES):
            self.put(number, care="9" if number < REFUSED else "1")
        texts = {"civil": CIVIL.format(folder=folder), "ageing": AGEING.format(folder=folder / "drop")}
        if server is not None:
            texts["hrss"] = HRSS.format(url=server.url("hrss"))
        for name, text in texts.items():
            (self.directory / "sources" / f"{name}.yaml").write_text(text, encoding="utf-8")

    def run(self, statement, *values, database="civil.db"):
        with closing(sqlite3.connect(self.directory.parent / database, timeout=20)) as connection, connection:
            return connection.execute(statement, values).rowcount

    def put(self, number, head="户主", care="1"):
        self.run("INSERT OR REPLACE INTO family VALUES (?, ?, ?, datetime('now'))", f"{number:04}", head, care)

    def plant(self, database, statement, *values):
        assert self.run(statement, *values, database=f"{self.directory.name}/{database}.sqlite") == 1

    def command(self, *words):
        return onewindow("-C", self.directory, *words)

    def document(self, *words):
        return document("-C", self.directory, *words)

    def source(self, name):
        return next(s for s in self.document("status")["sources"] if f"{s['system']}.{s['dataset']}" == name)

    def caught_up(self):
        found = self.document("status")
        return found["healthy"] and all(s["pending"] == 0 for s in found["sources"]) and not found["view_behind_events"]


@pytest.fixture(scope="module")
def city(server):
    city = City(server)
    with up(city.directory):
        until(city.caught_up)
        yield city
    shutil.rmtree(city.directory.parent)


def counts(found):
    return {kind: many for kind, many in found["counts"].items() if many}


def test_what_is_right_compares_as_equal_with_what_is_refused_told_apart(city):
    with psycopg.connect(city.server.socket_dsn("hrss")) as connection:
        (people,) = connection.execute("SELECT count(*) FROM ac01").fetchone()  # another test changes them
    until(city.caught_up)
    for system, expected in (
        ("hrss", {"equal": people}),
        ("civil", {"equal": FAMILIES - REFUSED, "refused": REFUSED}),
        ("ageing", {"equal": 50}),
    ):
        found = city.document("source", "reconcile", system)
        (each,) = found["datasets"]
        assert (found["equal"], counts(each), each["passes"], each["keys"]) == (True, expected, 1, {})
        assert each["checksum"]["source"] == each["checksum"]["pipeline"]
    done = city.command("source", "reconcile", "civil", "--dataset", "family")
    assert (done.returncode, "对账相符" in done.stdout) == (0, True)


class Changing(threading.Thread):
    """Some hundred inserts, updates and deletes a second, until it is told to stop."""

    def __init__(self, server):
        super().__init__()
        self.stop, self.made, self._server = threading.Event(), 0, server

    def run(self):
        draw, new = random.Random(7), PEOPLE
        with psycopg.connect(self._server.socket_dsn("hrss"), autocommit=True) as connection:
            while not self.stop.wait(0.003):
                kind, one = draw.random(), draw.randrange(1, PEOPLE)
                if kind < 0.2:
                    new += 1
                    connection.execute("INSERT INTO ac01 VALUES (%s, '新来')", (new,))
                elif kind < 0.35:
                    connection.execute("DELETE FROM ac01 WHERE aac001 = %s", (one,))
                else:
                    connection.execute(
                        "UPDATE ac01 SET aac003 = %s WHERE aac001 = %s", ("王" + chr(0x4E00 + self.made), one)
                    )
                self.made += 1


def test_under_constant_change_nothing_is_said_to_differ(city):
    changing = Changing(city.server)
    changing.start()
    try:
        until(lambda: changing.made > 200)
        before = changing.made
        done = city.command("source", "reconcile", "hrss.person", "--json")
        assert changing.made - before > 200
    finally:
        changing.stop.set()
        changing.join()
    found = json.loads(done.stdout)
    (each,) = found["datasets"]
    assert (done.returncode, found["equal"]) == (0, True)
    assert set(counts(each)) == {"equal"}
    assert each["counts"]["equal"] > PEOPLE * 0.8


def test_a_paused_dataset_is_not_read_over_a_restart_and_loses_nothing():
    city = City()
    with up(city.directory):
        until(city.caught_up)
        assert onewindow("-C", city.directory, "source", "pause", "civil").returncode == 2  # without a reason
        found = city.document("source", "pause", "civil", "--reason", "月末结算")
        assert [each["dataset"] for each in found["datasets"]] == ["civil.family"]
        until(lambda: city.source("civil.family")["state"] == "paused")
        city.put(7, head="张三")
        city.put(900)
    with up(city.directory):
        until(lambda: city.source("ageing.elder")["state"] == "live")
        mine = city.source("civil.family")
        assert (mine["state"], mine["read"]) == ("paused", FAMILIES)
        assert mine["paused"]["reason"] == "月末结算"
        status = onewindow("-C", city.directory, "status")
        assert "OW-1213" in status.stdout
        assert "月末结算" in status.stdout
        done = city.command("source", "reconcile", "civil")
        assert (done.returncode, "OW-1506" in done.stderr, "paused" in done.stderr) == (75, True, True)
        assert city.document("source", "resume", "civil")["resumed"] == ["civil.family"]
        until(lambda: city.source("civil.family")["accepted"] == FAMILIES - REFUSED + 2)
        until(city.caught_up)
        found = city.document("source", "reconcile", "civil")
        assert counts(found["datasets"][0]) == {"equal": FAMILIES + 1 - REFUSED, "refused": REFUSED}
        assert city.document("verify")["equal"] is True
    shutil.rmtree(city.directory.parent)


def keys(city, dataset, state="accepted"):
    with closing(sqlite3.connect(city.directory / "streams.sqlite")) as store:
        rows = store.execute("SELECT record_key FROM record WHERE dataset = ? AND state = ?", (dataset, state))
        return [key for (key,) in rows]


def test_the_books_stand_beside_the_sources_own_count(city):
    until(city.caught_up)
    found = city.document("books")
    assert found["balanced"] is True
    mine = {each["dataset"]: each for each in found["datasets"]}
    assert (mine["civil.family"]["records"], mine["civil.family"]["source_rows"]) == (FAMILIES, FAMILIES)
    assert (mine["ageing.elder"]["records"], mine["ageing.elder"]["source_rows"]) == (50, 50)
    assert mine["hrss.person"]["source_rows"] > 0
    assert city.command("books").returncode == 0


def test_what_was_planted_is_found_and_reported():
    city = City()  # of its own: it leaves view and store wrong
    with up(city.directory):
        until(city.caught_up)
        lost, changed, moved, *_ = keys(city, "civil.family")
        city.plant("view", "DELETE FROM assertion WHERE record_key = ?", lost)
        city.plant("streams", "UPDATE record SET fingerprint = 'x' WHERE record_key = ?", changed)
        city.plant("view", "UPDATE assertion SET fields = '{}' WHERE record_key = ?", moved)
        columns = "dataset, record_key, partition, version, fingerprint, state, owner, revision"
        gone = "e" * 32
        city.plant(
            "streams",
            f"INSERT INTO record ({columns}) SELECT dataset, ?, partition, version, fingerprint, state, owner, revision"
            " FROM record WHERE record_key = ?",
            gone,
            lost,
        )
        report = city.directory.parent / "cutover.json"
        done = city.command("source", "reconcile", "civil", "--report", report)
        assert done.returncode == 1
        for text in ("对账不符", lost, changed, moved, gone, "source reread civil.family", str(report)):
            assert text in done.stdout
        written = report.read_bytes()
        beside = (report.parent / "cutover.json.sha256").read_text()
        assert beside == f"{hashlib.sha256(written).hexdigest()}  cutover.json\n"
        found = json.loads(written)
        (each,) = found["datasets"]
        assert each["keys"] == {"missing": [lost], "extra": [gone], "different": sorted([changed, moved])}
        assert counts(each) == {
            "equal": FAMILIES - REFUSED - 3, "missing": 1, "extra": 1, "different": 2, "refused": REFUSED,
        }  # fmt: skip
        assert each["checksum"]["source"] != each["checksum"]["pipeline"]
        assert (found["equal"], found["versions"]["onewindow"], found["made_by"] != "") == (False, "0.1.0", True)
        assert found["open_quarantine"]["records"] == REFUSED
        assert set(found["open_quarantine"]["by_reason"]) == {"code_unknown"}
        again = city.command("source", "reconcile", "civil", "--report", report)
        assert (again.returncode, "nothing is written over" in " ".join(again.stderr.split())) == (2, True)

        with closing(sqlite3.connect(city.directory / "streams.sqlite")) as store:
            (partition,) = store.execute("SELECT partition FROM record WHERE record_key = ?", (changed,)).fetchone()
        city.plant("streams", "DELETE FROM record WHERE record_key = ?", changed)
        city.plant(
            "streams",
            "UPDATE books SET accepted = accepted - 1 WHERE topic = 'department.civil.family' AND partition = ?",
            partition,
        )
        done = city.command("books")
        assert done.returncode == 1
        assert f"partition {partition}" in done.stdout
        assert changed in done.stdout
    shutil.rmtree(city.directory.parent)
