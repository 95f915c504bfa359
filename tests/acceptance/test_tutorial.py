"""The tutorial does what it says: its blocks are run in their order, up to a resident who is asked for."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from product import ROOT, new_directory

from examples.postgres import free_port

TEXT = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"```(\w*)\n(.*?)```", TEXT, re.DOTALL)


def commands() -> list[str]:
    return [line for kind, block in blocks() if kind == "sh" for line in block.splitlines()]


class Reader:
    """Somebody who follows the tutorial in a directory of her own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environment = os.environ | {
            "PYTHONPATH": str(ROOT), "ONEWINDOW_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
        }  # fmt: skip

    def arguments(self, command: str) -> list[str]:
        words = shlex.split(command)
        assert words[0] == "onewindow"
        return [sys.executable, "-m", *words]

    def run(self, arguments: list[str], given: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            arguments, cwd=self._directory, env=self._environment, input=given, capture_output=True, text=True,
            check=False, timeout=100,
        )  # fmt: skip

    def start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.arguments(command), cwd=self._directory, env=self._environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip


# Half a minute of processes: with those that run alone.
pytestmark = pytest.mark.faults


@pytest.fixture
def reader():
    directory = new_directory()
    yield Reader(directory)
    shutil.rmtree(directory)


def shown(command: str) -> str:
    """What the tutorial shows after a command."""
    found = re.search(re.escape(command) + r"\n```.*?\n```\n(.*?)```", TEXT, re.DOTALL)
    assert found, command
    return found.group(1)


def same(said: str, written: str) -> None:
    """Each line that is shown was said; spaces, days and times don't count."""

    def plain(line: str) -> str:
        return re.sub(r"\d{4}-\d\d-\d\d(T[\d:+]+)?", "DAY", " ".join(line.split()))

    lines = {plain(line) for line in said.splitlines()} | {"…"}
    for line in written.splitlines():
        assert plain(line) in lines, (line, said)


def test_the_tutorial(reader):
    (code,) = [block for kind, block in blocks() if kind == "python"]
    made = reader.run([sys.executable, "-c", code])
    assert made.returncode == 0, made.stderr
    before, up, (status, refused, resident) = commands()[:-4], commands()[-4], commands()[-3:]
    assert up.endswith(" up")
    for command in before:
        done = reader.run(reader.arguments(command))
        assert done.returncode == 0, (command, done.stderr)
        if " add " in command or " preview " in command:
            same(done.stdout, shown(command))
    process = reader.start(up)
    try:
        (number,) = re.findall(r"give it (\d{17}[\dX])", TEXT)
        deadline = time.monotonic() + 90
        while (asked := reader.run(reader.arguments(resident), number)).returncode != 0:
            assert process.poll() is None
            assert time.monotonic() < deadline, asked.stderr
        same(asked.stdout, shown(resident))
        while (state := reader.run(reader.arguments(status))).returncode != 0:
            assert time.monotonic() < deadline, state.stdout
        listed = reader.run(reader.arguments(refused))
        assert listed.stdout.startswith("10 records are in quarantine"), listed.stdout
    finally:
        process.terminate()
        process.wait(60)
