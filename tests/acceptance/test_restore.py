"""A whole deployment from backups of different ages, a row of docs/history.md each; and a view that another version made.

The city lives twice. ``older`` is a copy of all its parts in between, ``now`` one of all of them at the end. The departments
are away after that, but for the last test: what comes back comes from the parts that were kept.
"""

from __future__ import annotations

import gc
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from product import ROOT, document, new_directory, onewindow, until

from contracts.events import RESIDENT_TOPIC
from onewindow import run_files
from onewindow.decisions import verify_decisions
from onewindow.demo import Demo
from onewindow.events_log import EventsLog
from onewindow.settings import Deployment
from onewindow.supervisor import Supervisor
from onewindow.verifying import verify
from projections.databases import open_view, reading
from projections.engine import read_positions
from streams import store as tables

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
PARTS = ("broker", "state", "archive", "streams.sqlite", "view.sqlite")
SPINE = ("broker", "streams", "projections")
HERE = Path(__file__).parent


def quiet(*_):
    """Shows nothing."""


class City:
    """The city in its directory, and the backups beside it."""

    def __init__(self, directory: Path, digest: str) -> None:
        self.directory, self.digest = directory, digest
        self.deployment = Deployment(directory)

    def take(self, backup: str) -> None:
        for part in PARTS:
            for path in self.directory.glob(f"{part}*"):
                target = self._backup(backup) / path.name
                target.parent.mkdir(parents=True, exist_ok=True)
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, target)

    def _backup(self, name: str) -> Path:
        return self.directory / "backups" / name

    def restore(self, *older: str, without: tuple[str, ...] = ()) -> None:
        """All parts as they are now, but for these."""
        for part in PARTS:
            for path in self.directory.glob(f"{part}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            if part in without:
                continue
            for path in self._backup("older" if part in older else "now").glob(f"{part}*"):
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, self.directory / path.name)

    def age(self) -> tuple[int, int]:
        """How far view and store have come."""
        found = []
        for url, read in ((self.deployment.view_url, read_positions), (self.deployment.streams_url, _decided)):
            engine = open_view(url)
            with reading(engine) as connection:
                found.append(sum(read(connection).values()))
            engine.dispose()
        return found[0], found[1]

    def is_at_rest(self) -> bool:
        """Whether everything in the log is in the view."""
        log = EventsLog(self.deployment.bootstrap)
        store, view = open_view(self.deployment.streams_url), open_view(self.deployment.view_url)
        try:
            with reading(store) as connection:
                waits = connection.scalar(sa.select(sa.func.count()).select_from(tables.outbox))
                decided = _decided(connection)
            departments = {topic for topic, _ in decided}
            ends = log.ends([*departments, RESIDENT_TOPIC])
            with reading(view) as connection:
                seen = read_positions(connection)
            return not waits and all(end == {**decided, **seen}.get(place, 0) for place, end in ends.items())
        except (sa.exc.OperationalError, sa.exc.ProgrammingError):  # a view that is being made
            return False
        finally:
            log.close()
            store.dispose()
            view.dispose()


def _decided(store: sa.Connection) -> dict[tuple[str, int], int]:
    return {(row.topic, row.partition): row.next_offset for row in store.execute(sa.select(tables.position))}


@contextmanager
def working(directory: Path, *roles: str) -> Iterator[Supervisor]:
    """These roles, kept running."""
    supervisor, stopping = Supervisor(directory, roles), threading.Event()

    def tend() -> None:
        while not stopping.wait(0.1):
            supervisor.tend()

    supervisor.start()
    tending = threading.Thread(target=tend)
    tending.start()
    try:
        until(lambda: run_files.read(directory, "broker").get("state") == "ready")
        yield supervisor
    finally:
        stopping.set()
        tending.join()
        supervisor.stop()
        gc.collect()  # sockets that kafka-python left behind, while their warning is still filtered


@contextmanager
def living(directory: Path) -> Iterator[Demo]:
    demo = Demo(directory, residents=300, seed=9)
    try:
        demo.start(quiet)
        demo.until_caught_up(quiet, "")
        yield demo
    finally:
        demo.stop()
        gc.collect()


@pytest.fixture(scope="module")
def city():
    directory = new_directory()
    with living(directory) as demo:
        first = verify(demo.deployment)["digest"]
    City(directory, first).take("older")
    with living(directory) as demo:
        demo.change(quiet, 60, 30.0, dump_each=30)
        found = verify(demo.deployment)
    assert found["equal"]
    assert found["digest"] != first
    city = City(directory, found["digest"])
    city.take("now")
    yield city
    shutil.rmtree(directory)


def proven(city: City) -> None:
    """The view is what it was, equal to its log, and its log to the departments' topics."""
    until(city.is_at_rest)
    found = verify(city.deployment)
    assert (found["equal"], found["digest"]) == (True, city.digest)
    decided = verify_decisions(city.deployment)
    assert decided["equal"], decided["differences"]


def test_an_older_view_catches_up(city):
    city.restore("view.sqlite")
    behind = city.age()
    with working(city.directory, *SPINE):
        proven(city)
    assert city.age()[0] > behind[0]


def test_a_view_that_is_lost_is_made_anew(city):
    city.restore(without=("view.sqlite",))
    with working(city.directory, *SPINE):
        proven(city)


def test_an_older_store_says_again_what_the_view_has_seen(city):
    city.restore("streams.sqlite")
    behind = city.age()
    with working(city.directory, *SPINE):
        proven(city)
    assert city.age()[1] > behind[1]
    view = sqlite3.connect(city.directory / "view.sqlite")
    assert view.execute("select sum(repeated) from position").fetchone()[0] > 0
    view.close()


def test_older_view_and_older_store_catch_up_together(city):
    city.restore("view.sqlite", "streams.sqlite")
    with working(city.directory, *SPINE):
        proven(city)


def trimmed(city: City) -> None:
    """The topics drop all that is archived."""
    made = document("-C", city.directory, "archive", "write")
    log, admin = EventsLog(city.deployment.bootstrap), KafkaAdminClient(bootstrap_servers=city.deployment.bootstrap)
    places = {
        TopicPartition(*place): end for place, end in log.ends([*city.deployment.topics(), RESIDENT_TOPIC]).items()
    }
    assert made["rows"] == sum(places.values()) > 0
    admin.delete_records(places)
    assert all(start == places[place] for place, start in log._consumer.beginning_offsets(list(places)).items())
    log.close()
    admin.close()


def test_what_the_topics_have_dropped_comes_from_the_archive(city):
    """Proof, remap, and a view that is lost: archive and topics are one history to each."""
    city.restore()
    with working(city.directory, *SPINE):
        until(city.is_at_rest)
        trimmed(city)
        proven(city)
        assert document("-C", city.directory, "remap", "ageing.elder")["superseded"] == 0
        assert document("-C", city.directory, "rebuild")["digest"] == city.digest
    for path in city.directory.glob("view.sqlite*"):
        path.unlink()
    with working(city.directory, *SPINE):
        proven(city)


def test_without_the_archive_nothing_is_proven_that_is_not_there(city):
    city.restore()
    with working(city.directory, *SPINE):
        until(city.is_at_rest)
        trimmed(city)
        shutil.rmtree(city.directory / "archive")
        for arguments in (("verify",), ("verify", "--from", "department"), ("remap", "ageing.elder")):
            done = onewindow("-C", city.directory, *arguments)
            assert (done.returncode, "OW-1305" in done.stderr, "archive" in done.stderr) == (78, True, True), arguments


def versions(directory: Path, name: str, value: str | None = None) -> Any:
    """What the view says of the version that made it; or let it say another."""
    view = sqlite3.connect(directory / "view.sqlite")
    try:
        if value is not None:
            view.execute("update meta set value = ? where name = ?", (value, name))
            view.execute("update resident set name = 'as the old version had it'")
            view.commit()
        return view.execute(
            "select value, (select min(name) from resident) from meta where name = ?", (name,)
        ).fetchone()
    finally:
        view.close()


def log_lines(directory: Path) -> list[dict[str, Any]]:
    found = []
    for line in (directory / "run" / "projections.log").read_text().splitlines():
        with suppress(ValueError):
            found.append(json.loads(line))
    return found


def test_a_view_of_an_older_version_is_made_anew_by_itself_also_after_a_kill(city):
    city.restore()
    (city.directory / "run" / "projections.log").unlink(missing_ok=True)
    versions(city.directory, "projection.residents", "0")
    with working(city.directory, "broker"):
        command = [sys.executable, str(HERE / "killed_rebuild.py"), str(city.directory)]
        killed = subprocess.run(command, cwd=ROOT, check=False, timeout=100, capture_output=True)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        said = run_files.read(city.directory, "projections")
        assert (said["state"], said["rebuilding"]["events"] > 0) == ("rebuilding", True)
        assert versions(city.directory, "projection.residents") == ("0", "as the old version had it")  # readers' view
    with working(city.directory, *SPINE):
        until(lambda: run_files.read(city.directory, "projections").get("state") == "ready")
        proven(city)
    (done,) = [line for line in log_lines(city.directory) if line["event"] == "the view was made anew"]
    assert done["resumed"] > 0
    assert versions(city.directory, "projection.residents")[0] != "0"


def test_a_view_of_a_newer_version_is_left_alone(city):
    city.restore()
    versions(city.directory, "projection.residents", "99")
    with working(city.directory, "broker"):
        done = onewindow("-C", city.directory, "run", "projections")
        assert (done.returncode, "OW-1407" in done.stderr) == (78, True), done.stderr
    assert versions(city.directory, "projection.residents") == ("99", "as the old version had it")


def test_an_older_log_is_refused_and_the_way_back_reads_all_sources_again(city):
    city.restore("broker")
    with working(city.directory, "broker"):
        for role in ("streams", "projections"):
            done = onewindow("-C", city.directory, "run", role)
            assert (done.returncode, "OW-1403" in done.stderr, "fix:" in done.stderr) == (1, True, True), done.stderr
    for part in ("broker", "streams.sqlite", "view.sqlite", "state"):
        for path in city.directory.glob(f"{part}*"):
            path.rename(city.directory / "backups" / f"away-{path.name}")
    with living(city.directory) as demo:
        found = verify(demo.deployment)
        assert (found["equal"], found["tables"]["resident"]["rows"] > 200) == (True, True)
        assert verify_decisions(demo.deployment)["equal"]
