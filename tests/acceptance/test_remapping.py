"""A code table is mended while the city lives: remap, its kills, and the proof that reaches back to the departments."""

from __future__ import annotations

import gc
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from product import ROOT, document, new_directory, onewindow

from onewindow.demo import Demo
from onewindow.verifying import verify

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]
HERE = Path(__file__).parent
DATASET = "ageing.elder"


def quiet(*_):
    """Shows nothing."""


@pytest.fixture(scope="module")
def city():
    directory = new_directory()
    demo = Demo(directory, residents=400, seed=5)
    try:
        demo.start(quiet)
        demo.until_caught_up(quiet, "")
        yield demo
    finally:
        demo.stop()
        gc.collect()  # sockets that kafka-python left behind, while their warning is still filtered
    shutil.rmtree(directory)


def changed(directory: Path, old: str, new: str) -> None:
    path = directory / "sources" / "ageing.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def decided(directory: Path):
    return document("-C", directory, "verify", "--from", "department")


def killed(directory: Path, step: int, where: str) -> None:
    command = [sys.executable, str(HERE / "killed_remap.py"), str(directory), DATASET, str(step), where]
    assert subprocess.run(command, cwd=ROOT, check=False, timeout=100).returncode == -signal.SIGKILL


def levels(directory: Path) -> dict[str, int]:
    view = sqlite3.connect(f"file:{directory}/view.sqlite?mode=ro", uri=True)
    try:
        return dict(view.execute("select care_level, count(*) from resident group by 1"))
    finally:
        view.close()


def test_a_mended_code_table_takes_effect_while_changes_flow(city):
    directory = city.directory
    first = decided(directory)
    assert first["equal"] is True
    assert set(first["tables"]) == {"assertion", "record", "quarantine", "books"}
    assert all(about["rows"] and len(about["digest"]) == 64 for about in first["tables"].values())
    assert {about["whole"] for about in first["mappings"].values()} == {True}

    changed(directory, "自理: independent", "自理: partial")
    done = onewindow("-C", directory, "verify", "--from", "department")
    assert done.returncode == 1
    assert f"onewindow remap {DATASET}" in done.stdout
    found = decided(directory)
    assert (found["equal"], found["fix"]) == (False, [f"onewindow remap {DATASET}"])
    assert [name for name, about in found["tables"].items() if not about["equal"]] == ["assertion"]
    assert {tuple(each["columns"]) for each in found["differences"]} == {("fields.care_level",)}
    assert found["mappings"][DATASET]["declared"] != found["mappings"][DATASET]["in_force"]

    before = levels(directory)
    city.departments.change(60, 10.0, 30)
    killed(directory, 2, "before")
    killed(directory, 2, "after")
    made = document("-C", directory, "remap", DATASET)
    assert made["superseded"] > 20
    assert made["same"] > 0
    assert made["asserted"] == made["retracted"] == made["released"] == made["refused"] == 0
    while not city.departments.changed:
        city._turn(quiet, "")
    city.until_caught_up(quiet, "", since=time.time() + 1.5)

    found = decided(directory)
    assert found["equal"] is True, found["differences"]
    assert found["mappings"][DATASET]["whole"] is True
    assert found["mappings"][DATASET]["declared"] == found["mappings"][DATASET]["in_force"]
    assert verify(city.deployment)["equal"] is True
    after = levels(directory)
    assert before["independent"] > 20
    assert "independent" not in after
    assert not list((directory / "run" / "remap").iterdir())

    again = document("-C", directory, "remap", DATASET)
    assert again["same"] > 0
    assert all(again[name] == 0 for name in ("superseded", "asserted", "retracted", "released", "refused", "waiting"))
    status = document("-C", directory, "status")
    assert all(source["balanced"] for source in status["sources"])
    freshness = status["freshness_ms"]["p99"]
    assert freshness is None or freshness < (time.time() - city.started) * 1_000


def test_records_leave_and_enter_quarantine_and_the_books_follow(city):
    directory = city.directory

    def books():
        (found,) = [s for s in document("-C", directory, "status")["sources"] if s["dataset"] == "elder"]
        return {name: found[name] for name in ("read", "accepted", "quarantined", "balanced")}

    before = books()
    changed(directory, "{男: male, 女: female}", "{男: female, 女: male}")
    made = document("-C", directory, "remap", DATASET)
    assert made["refused"] > 20
    assert made["retracted"] > 20
    now = books()
    assert (now["read"], now["balanced"]) == (before["read"], True)
    assert now["quarantined"] >= before["quarantined"] + made["refused"]
    city.until_caught_up(quiet, "")
    assert decided(directory)["equal"] is True
    listed = document("-C", directory, "quarantine", "list")
    assert sum(item["reason"] == "field_conflict" and item["column"] == "性别" for item in listed) >= made["refused"]

    changed(directory, "{男: female, 女: male}", "{男: male, 女: female}")
    back = document("-C", directory, "remap", DATASET)
    assert (back["released"], back["asserted"]) == (made["refused"], made["retracted"])
    city.until_caught_up(quiet, "")
    assert (books(), decided(directory)["equal"]) == (before, True)
    assert verify(city.deployment)["equal"] is True


def test_without_streams_it_does_the_same_and_streams_publishes_it_later(city):
    directory = city.directory
    streams = next(role for role in city.supervisor.roles if role.name == "streams")
    streams.down = True
    streams.process.terminate()
    streams.process.wait(30)
    try:
        changed(directory, "自理: partial", "自理: independent")
        made = document("-C", directory, "remap", DATASET)
        assert made["superseded"] > 20
        assert made["waiting"] > 0
        assert decided(directory)["equal"] is True  # what waits in the outbox is decided
    finally:
        city.supervisor.start_role(streams)
        streams.down = False
    city.until_caught_up(quiet, "")
    assert decided(directory)["equal"] is True
    assert verify(city.deployment)["equal"] is True


def test_what_is_wrong_is_one_message(city):
    done = onewindow("-C", city.directory, "remap", "ageing.nobody")
    assert (done.returncode, "OW-1106" in done.stderr, DATASET in done.stderr) == (78, True, True)
    assert onewindow("-C", city.directory, "verify", "--from", "nowhere").returncode == 2
