"""kill -9 of every role, in the middle of work, at each named boundary: the view is the same as undisturbed.

Half of the kills fall into the first load, the others into the life after it: updates, corrected ID numbers, moves, deaths,
late transactions, and dumps in which people are absent.
"""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from product import ROOT, new_directory

from onewindow.city import write_deployment
from onewindow.demo import Demo
from onewindow.supervisor import command
from onewindow.verifying import verify

RESIDENTS, SEED = 1_000, 11
KILLS_IN_LOAD, ROUNDS, KILLS_A_ROUND = 4, 3, 2
CHANGES, RATE = 30, 20.0  # of a round, with one dump in it
HERE = Path(__file__).parent


def quiet(*_):
    """Shows nothing."""


class Ledger:
    """The kills of a role, and how many there may be."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "kills.jsonl"
        self.allow(0)

    def allow(self, kills: int) -> None:
        path = self.path.with_suffix(".allowed")
        path.with_suffix(".new").write_text(str(kills))
        path.with_suffix(".new").replace(path)

    def command(self, directory: Path, role: str, *boundary: str) -> list[str]:
        return [sys.executable, str(HERE / "killed_role.py"), str(directory), role, str(self.path), *boundary]

    @property
    def kills(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


@contextmanager
def city(directory: Path, commands: Callable[[Path, str], list[str]] = command) -> Iterator[Demo]:
    """The sample city with many small pages, so that there are enough boundaries to be killed at."""
    write_deployment(directory, SEED)
    for path in (directory / "sources").glob("*.yaml"):
        text = path.read_text().replace("  page_rows: 500\n", "")  # of the API
        path.write_text(text.replace("connector:\n", "connector:\n  page_rows: 25\n"))
    demo = Demo(directory, residents=RESIDENTS, seed=SEED, commands=commands)
    try:
        demo.start(quiet)
        yield demo
    finally:
        demo.stop()
        gc.collect()  # sockets that kafka-python left behind, while their warning is still filtered


def live(demo: Demo, begin: Callable[[int], None] = quiet, show: Callable[..., None] = quiet) -> dict[str, object]:
    """Live through all rounds, and compare the view with its log."""
    for number in range(1, ROUNDS + 1):
        begin(number)
        demo.change(show, CHANGES, RATE, dump_each=CHANGES // 2)
    return verify(demo.deployment)


@pytest.fixture(scope="module")
def undisturbed():
    directory = new_directory()
    with city(directory) as demo:
        demo.until_caught_up(quiet, "")
        loaded = verify(demo.deployment)
        found = live(demo)
    assert loaded["digest"] != found["digest"]  # the changes are seen in the view
    shutil.rmtree(directory)
    return found["digest"]


@pytest.mark.faults
@pytest.mark.timeout(600)
@pytest.mark.parametrize("role", ["broker", "connectors", "streams", "projections"])
def test_ten_kills_in_the_middle_of_work_change_nothing(role, undisturbed):
    directory = new_directory()
    ledger = Ledger(directory)

    def commands(where: Path, name: str) -> list[str]:
        return ledger.command(where, name) if name == role else command(where, name)

    ledger.allow(KILLS_IN_LOAD)
    with city(directory, commands) as demo:
        demo.until_caught_up(quiet, "")
        in_load = len(ledger.kills)
        found = live(demo, lambda number: ledger.allow(KILLS_IN_LOAD + number * KILLS_A_ROUND))
    counted = Counter(item["boundary"] for item in ledger.kills)
    assert in_load == KILLS_IN_LOAD, counted
    assert len(ledger.kills) == KILLS_IN_LOAD + ROUNDS * KILLS_A_ROUND == 10, counted
    assert all(item["records"] for item in ledger.kills)
    assert found["equal"] is True
    assert found["digest"] == undisturbed
    shutil.rmtree(directory)


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_kill_in_a_rebalance_changes_nothing(undisturbed):
    """While a batch is decided and not committed, a second worker joins; the first is asked to give partitions away, and
    dies before it does. The broker says that the group was in the middle of its rebalance then."""
    directory = new_directory()
    ledger = Ledger(directory)

    def commands(where: Path, name: str) -> list[str]:
        return ledger.command(where, name, "in a rebalance") if name == "streams" else command(where, name)

    second: list[subprocess.Popen[bytes]] = []
    join = [sys.executable, "-m", "onewindow", "-C", str(directory), "run", "streams", "--instance", "2"]

    def join_at_work(*_):
        if not second and ledger.path.with_suffix(".working").exists():
            second.append(subprocess.Popen(join, cwd=ROOT, stderr=subprocess.DEVNULL))

    with city(directory, commands) as demo:
        try:
            demo.until_caught_up(quiet, "")
            found = live(demo, lambda _: ledger.allow(1), join_at_work)
            first = next(role for role in demo.supervisor.roles if role.name == "streams")
            assert first.starts == 2
        finally:
            for process in second:
                process.terminate()
                process.wait(30)
    (kill,) = ledger.kills
    assert (kill["boundary"], kill["group"]) == ("in a rebalance", "PreparingRebalance")
    assert kill["records"]
    assert found["equal"] is True
    assert found["digest"] == undisturbed
    shutil.rmtree(directory)
