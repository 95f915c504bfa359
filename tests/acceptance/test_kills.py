"""kill -9 of every role, in the middle of work, at each named boundary: the view is the same as undisturbed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from product import ROOT, document, new_directory, until

from onewindow.demo import Demo
from onewindow.supervisor import command
from onewindow.verifying import verify

RESIDENTS, SEED, KILLS = 1_200, 11, 10
HERE = Path(__file__).parent


def quiet(*_):
    """Shows nothing."""


@pytest.fixture(scope="module")
def undisturbed():
    return document("demo", "--once", "--residents", RESIDENTS, "--seed", SEED, "--changes", 0)["digest"]


def small_pages(directory: Path) -> None:
    """Many small pages and batches, so that there are enough boundaries to be killed at."""
    for path in (directory / "sources").glob("*.yaml"):
        path.write_text(path.read_text().replace("connector:\n", "connector:\n  page_rows: 25\n"))


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", ["broker", "connectors", "streams", "projections"])
def test_ten_kills_in_the_middle_of_work_change_nothing(role, undisturbed):
    directory = new_directory()
    ledger = directory / "kills.jsonl"

    def commands(where: Path, name: str) -> list[str]:
        if name != role:
            return command(where, name)
        return [sys.executable, str(HERE / "killed_role.py"), str(where), name, str(ledger), str(KILLS)]

    from onewindow.city import write_deployment

    write_deployment(directory, SEED)
    small_pages(directory)
    demo = Demo(directory, residents=RESIDENTS, seed=SEED, commands=commands)
    try:
        demo.start(quiet)
        demo.until_caught_up(quiet, "")
        found = verify(demo.deployment)
    finally:
        demo.stop()
    kills = [json.loads(line) for line in ledger.read_text().splitlines()]
    counted = Counter(item["boundary"] for item in kills)
    assert len(kills) == KILLS, counted
    assert all(item["records"] > 0 for item in kills)
    assert found["equal"] is True
    assert found["digest"] == undisturbed
    shutil.rmtree(directory)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_kill_in_a_rebalance_changes_nothing(undisturbed):
    directory = new_directory()
    demo = Demo(directory, residents=RESIDENTS, seed=SEED)
    second = None
    try:
        demo.start(quiet)
        first = next(role for role in demo.supervisor.roles if role.name == "streams")
        until(lambda: demo.supervisor.is_ready(first))
        second = subprocess.Popen(
            [sys.executable, "-m", "onewindow", "-C", str(directory), "run", "streams", "--instance", "2"],
            cwd=ROOT, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until((directory / "run" / "streams-2.json").exists)
        assert first.process is not None
        os.kill(first.process.pid, signal.SIGKILL)
        demo.until_caught_up(quiet, "")
        found = verify(demo.deployment)
        assert first.starts == 2
    finally:
        if second is not None:
            second.terminate()
            second.wait(30)
        demo.stop()
    assert found["equal"] is True
    assert found["digest"] == undisturbed
    shutil.rmtree(directory)
