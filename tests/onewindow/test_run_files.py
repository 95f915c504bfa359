"""Run files: what cannot be read says nothing, and a role that stands still is found out."""

from __future__ import annotations

import errno
import json
import os
import time

import pytest

from onewindow import run_files
from onewindow.run_files import Beats, RunFile


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "{}", '{"state": "ready"}', '{"state": "ready", "pid": "x"}'])
def test_a_broken_file_says_nothing(tmp_path, text):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "streams.json").write_text(text)
    assert run_files.read(tmp_path, "streams") == {}


def about(written_at, pid=1):
    return {"role": "streams", "pid": pid, "state": "ready", "alive": True, "written_at": written_at}


def test_a_role_that_does_not_write_is_stalled():
    beats = Beats(clock=lambda: 0.0, wall=lambda: 103.5)
    assert beats.is_stalled(about(100.0))
    assert not beats.is_stalled(about(101.0))


def test_a_clock_that_was_set_back_hides_nothing():
    now = [50.0]
    beats = Beats(clock=lambda: now[0], wall=lambda: 10.0)
    assert not beats.is_stalled(about(100.0))
    now[0] += 3.5
    assert beats.is_stalled(about(100.0))
    assert not beats.is_stalled(about(10.0))


def test_a_new_process_begins_anew():
    now = [50.0]
    beats = Beats(clock=lambda: now[0], wall=lambda: 10.0)
    beats.is_stalled(about(100.0))
    now[0] += 3.5
    assert not beats.is_stalled(about(100.0, pid=2))


def test_a_role_that_is_down_is_not_stalled():
    beats = Beats(clock=lambda: 0.0, wall=lambda: 103.5)
    assert not beats.is_stalled({**about(0.0), "alive": False})
    assert not beats.is_stalled({**about(0.0), "state": "starting"})
    assert not beats.is_stalled({})


def test_a_file_that_could_not_be_written_is_written_as_soon_as_it_can(tmp_path, monkeypatch):
    told = {"full": True, "asked": 0}

    def tell():
        told["asked"] += 1
        if told["full"] and told["asked"] > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return {"asked": told["asked"]}

    monkeypatch.setattr(run_files, "_EACH_S", 0.01)
    file = RunFile(tmp_path, "streams", tell)

    def asked():
        return json.loads(file.path.read_text())["asked"]

    while told["asked"] < 3:
        pass
    assert asked() == 1
    told["full"] = False
    while asked() == 1:
        pass
    file.stop()
    assert run_files.read(tmp_path, "streams")["state"] == "stopped"


def test_a_role_starts_on_a_full_disk_and_leaves_nothing_half_written(tmp_path, monkeypatch):
    def write_text(path, text):
        path.write_bytes(text[:10].encode())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(run_files.Path, "write_text", write_text)
    file = RunFile(tmp_path, "streams")
    file.ready()
    file.stop()
    assert list((tmp_path / "run").iterdir()) == []
    monkeypatch.undo()
    file.ready()
    assert run_files.read(tmp_path, "streams")["state"] == "ready"


def test_a_full_disk_is_a_finding(tmp_path, monkeypatch):
    assert run_files.disk_full(tmp_path) is None
    monkeypatch.setattr(run_files, "_ROOM_BYTES", 1 << 62)
    found = run_files.disk_full(tmp_path)
    assert found is not None
    assert found.code == "OW-1606"


@pytest.mark.parametrize(("age_s", "alive"), [(1.0, True), (20.0, False)])
def test_a_role_on_another_host_lives_while_its_file_is_new(tmp_path, age_s, alive):
    """Its process id says nothing here: each container counts its own."""
    file = RunFile(tmp_path, "streams")
    file.stop()
    said = json.loads(file.path.read_text())
    nobody = (1 << 22) + 1  # Linux gives out no number so high
    elsewhere = {**said, "state": "ready", "host": "another", "pid": nobody, "written_at": time.time() - age_s}
    file.path.write_text(json.dumps(elsewhere))
    assert run_files.read(tmp_path, "streams")["alive"] is alive
    file.path.write_text(json.dumps({**elsewhere, "host": said["host"]}))
    assert run_files.read(tmp_path, "streams")["alive"] is False
