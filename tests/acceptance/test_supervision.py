"""One supervisor looks after a deployment, and nothing of it outlives that one, however it ends."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from product import ROOT, document, new_deployment, new_directory, onewindow, until, up

from examples.city.truth import Truth
from examples.postgres import free_port
from onewindow import demo
from onewindow.ending import SUPERVISOR
from onewindow.run_files import read

ROLES = ("broker", "connectors", "streams", "projections")

pytestmark = pytest.mark.faults


@pytest.fixture
def deployment():
    directory = new_deployment()
    yield directory
    shutil.rmtree(directory.parent)


def has_ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (ProcessLookupError, FileNotFoundError):  # the second: waited for between the two questions
        return True
    # Z: ended, and not yet waited for by its new parent
    return stat.rsplit(")", 1)[1].split()[0] == "Z"


@pytest.fixture
def heard():
    """SIGHUP is not ignored, as it is in whatever `nohup` started, these tests too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_all_roles_end_with_their_supervisor(deployment, number):
    with up(deployment) as supervisor:
        pids = [read(deployment, role)["pid"] for role in ROLES]
        supervisor.send_signal(number)
        code = supervisor.wait(60)
        until(lambda: all(has_ended(pid) for pid in pids))
    assert code == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    if number == signal.SIGHUP:
        assert {read(deployment, role)["state"] for role in ROLES} == {"stopped"}
    with up(deployment):
        assert not set(pids) & {read(deployment, role)["pid"] for role in ROLES}


def test_what_runs_once_names_the_process_that_is_there(deployment):
    with up(deployment) as supervisor:
        for command, pid in (("up", supervisor.pid), ("run streams", read(deployment, "streams")["pid"])):
            done = onewindow("-C", deployment, *command.split())
            assert done.returncode == 69
            assert "OW-1602" in done.stderr
            assert f"as process {pid}" in done.stderr
            assert "fix:" in done.stderr


def test_a_role_that_a_person_started_needs_no_supervisor(deployment):
    """It is started by a shell that ends at once, and goes on."""
    script = '"$0" -m onewindow -C "$1" run broker >/dev/null 2>&1 & echo $!'
    environment = {name: value for name, value in os.environ.items() if name != SUPERVISOR}
    done = subprocess.run(
        ["/bin/sh", "-c", script, sys.executable, str(deployment)],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    pid = int(done.stdout)
    try:
        written = until(lambda: read(deployment, "broker").get("state") == "ready" and read(deployment, "broker"))
        until(lambda: read(deployment, "broker")["written_at"] > written["written_at"] + 1)
        assert not has_ended(pid)
    finally:
        os.kill(pid, signal.SIGTERM)
    until(lambda: has_ended(pid))


def test_up_ends_when_a_role_can_not_run(deployment):
    port = int((deployment / "onewindow.yaml").read_text().split("127.0.0.1:")[1].split()[0])
    with socket.create_server(("127.0.0.1", port)):
        done = onewindow("-C", deployment, "up")
    assert done.returncode == 69, done.stderr
    assert "OW-1302" in done.stderr
    assert "fix:" in done.stderr
    assert "broker can't go on" in done.stderr


def test_a_source_that_is_away_is_waited_for_and_up_says_so(deployment):
    (deployment / "sources" / "hrss.yaml").write_text(
        f"""system: hrss
title: 人社
owner: 信息中心
connector: {{kind: sql, url: "postgresql+psycopg://u:w@127.0.0.1:{free_port()}/hrss"}}
datasets:
  person: {{table: ac01, key: [aac001], cursor: updated_at, map: {{name: aac003}}}}
""",
        encoding="utf-8",
    )
    with up(deployment) as supervisor:
        supervisor.terminate()
        said = supervisor.communicate(timeout=60)[1]
    assert supervisor.returncode == 0
    assert said.index("OW-1201") < said.index("is tried again until it can be read") < said.index("broker: ready")


def test_the_sample_city_is_not_mixed_with_another(deployment):
    done = onewindow("demo", "--once", "--dir", deployment)
    assert (done.returncode, "OW-1111" in done.stderr, "fix:" in done.stderr) == (78, True, True), done.stderr
    assert not (deployment / "city").exists()

    city = deployment.parent / "sample"
    first = document("demo", "--once", "--residents", 100, "--seed", 3, "--changes", 0, "--dir", city)
    for option, value in (("--residents", 200), ("--seed", 4)):
        done = onewindow("demo", "--once", option, value, "--dir", city)
        assert (done.returncode, "OW-1110" in done.stderr, "fix:" in done.stderr) == (78, True, True), done.stderr
    again = document("demo", "--once", "--changes", 0, "--dir", city)
    assert (again["asked"], again["seed"], again["digest"]) == (100, 3, first["digest"])


def is_live(directory: Path) -> bool:
    """Whether changes come to the view."""
    states = {read(directory, role).get("state") for role in ROLES}
    return states == {"ready"} and read(directory, "projections").get("measured", 0) > 20


def test_the_live_city_ends_in_order_and_goes_on():
    directory = new_directory()
    command = [sys.executable, "-m", "onewindow", "demo", "--residents", "100", "--dir", str(directory), "--rate", "50"]
    for _ in range(2):
        process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        try:
            until(lambda: is_live(directory))
        finally:
            process.send_signal(signal.SIGINT)
            said = process.communicate(timeout=60)[1]
        assert process.returncode == 0, said
        assert "goes on where it stood" in said
        assert {read(directory, role)["state"] for role in ROLES} == {"stopped"}
    shutil.rmtree(directory)


def test_the_live_city_leaves_no_change_behind_and_is_never_shown_as_down(monkeypatch):
    monkeypatch.setattr(demo, "_DRAINED_S", 60.0)  # a person waits for a second at most
    directory, seen = new_directory(), []

    def show(_what, found, _demo):
        seen.append(found)

    for size in (100, None):
        seen.clear()
        city = demo.Demo(directory, residents=size, seed=None, rate=50)
        try:
            city.start(show)
            city.follow(show, until=lambda: is_live(directory))
            city.drain(show)
            made = city.departments.made
        finally:
            city.stop()
        states = {source["state"] for found in seen if found for source in found["sources"]}
        assert "live" in states
        assert "down" not in states
        assert city.departments.made == made  # none after they were quiet
        truth = Truth.open(directory / "city")
        expected = {e.id_number: e.fields for e in truth.expected_residents() if e.id_number}
        truth.close()
        view = sqlite3.connect(directory / "view.sqlite")
        view.row_factory = sqlite3.Row
        shown = {row["id_number"]: row for row in view.execute("select * from resident where id_number is not null")}
        view.close()
        assert set(shown) == set(expected)
        for number, fields in expected.items():
            assert {name: shown[number][name] for name in fields} == fields
    shutil.rmtree(directory)
