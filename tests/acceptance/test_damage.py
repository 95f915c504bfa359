"""Damage to what a deployment is made of: said with its code by each command, and by ``up``, which ends with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from product import ROOT, document, new_deployment, onewindow, until, up

from onewindow.run_files import read

PARTITION = "community.resident-0"

pytestmark = pytest.mark.faults


@pytest.fixture
def fresh():
    """A deployment that was never up."""
    directory = new_deployment()
    yield directory
    shutil.rmtree(directory.parent)


@pytest.fixture
def deployment(fresh):
    """A deployment that was up once."""
    with up(fresh):
        pass
    return fresh


def refused(done, code: str, exit_code: int) -> str:
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert code in said, said
    assert done.returncode == exit_code, said
    return said


def append_garbage(directory: Path) -> None:
    with next(directory.glob("*.log")).open("ab") as log:
        log.write(b"garbage")


@pytest.mark.parametrize("how", [append_garbage, shutil.rmtree])
def test_up_ends_with_a_damaged_log(deployment, how):
    how(deployment / "broker" / "topics" / PARTITION)
    said = refused(onewindow("-C", deployment, "up"), "OW-1306", 1)
    assert PARTITION in said
    assert " at byte " in said


def test_status_and_verify_say_what_is_damaged(deployment):
    append_garbage(deployment / "broker" / "topics" / PARTITION)
    command = [sys.executable, "-m", "onewindow", "-C", str(deployment), "run", "broker"]
    broker = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        until(lambda: read(deployment, "broker").get("state") == "ready")
        assert " at byte " in refused(onewindow("-C", deployment, "verify"), "OW-1306", 1)
        problems = document("-C", deployment, "status")["problems"]
        assert {each["code"] for each in problems if each["where"] == "broker"} == {"OW-1306"}
        for role in ("connectors", "streams", "projections"):
            refused(onewindow("-C", deployment, "run", role), "OW-1306", 1)
    finally:
        broker.terminate()
        broker.wait()


def test_up_ends_with_a_damaged_list_of_topics(deployment):
    (deployment / "broker" / "cluster").write_bytes(b"garbage")
    assert "cluster" in refused(onewindow("-C", deployment, "up"), "OW-1306", 1)


def test_damaged_journals_are_begun_anew(deployment):
    for name in ("offsets.journal", "groups.journal"):
        (deployment / "broker" / name).write_bytes(b"garbage\n" * 3)
    with up(deployment):
        assert onewindow("-C", deployment, "verify").returncode == 0
    assert "groups.journal.damaged" in (deployment / "run" / "broker.log").read_text()


def test_another_key_stops_who_would_use_it(deployment):
    key = deployment / "secret.key"
    before = key.read_text()
    key.write_text("ab" * 32)
    for role in ("streams", "connectors"):
        refused(onewindow("-C", deployment, "run", role), "OW-1112", 78)
    key.write_text(before)
    with up(deployment):
        pass


def test_broken_run_files_keep_nothing_from_working(deployment):
    for role in ("broker", "connectors", "streams", "projections"):
        (deployment / "run" / f"{role}.json").write_text("")
    refused(onewindow("-C", deployment, "status"), "OW-1605", 1)
    with up(deployment):
        (deployment / "run" / "streams.json").write_text("{")
        assert onewindow("-C", deployment, "verify").returncode == 0


def test_an_address_of_another_machine(fresh):
    settings = fresh / "onewindow.yaml"
    settings.write_text(settings.read_text().replace("127.0.0.1", "no.such.host.invalid"))
    refused(onewindow("-C", fresh, "run", "broker"), "OW-1103", 78)


def test_a_deployment_is_for_its_user_alone(deployment):
    assert deployment.stat().st_mode & 0o777 == 0o700
    assert (deployment / "secret.key").stat().st_mode & 0o777 == 0o600
    open_to_others = [
        str(path) for path in deployment.rglob("*") if path.stat().st_mode & 0o077 and path.suffix != ".off"
    ]
    assert open_to_others == []
