"""A whole city on the embedded parts: the memory of all its roles while it is loaded and lived in, seen from outside."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import ROOT
from benchmarks.memory import Memory
from benchmarks.place import Place, say

_ROLES = ("broker", "connectors", "streams", "projections")
_LONGEST_S = 600.0


def measure(place: Place, *, residents: int) -> dict[str, Any]:
    """The sample city from nothing until its view is complete and verified. Raises CalledProcessError if it is not."""
    say(f"the sample city of {residents:,} residents on the embedded broker and SQLite")
    directory = place.directory / place.name("city")
    command = [sys.executable, "-m", "onewindow", "demo", "--once", "--json"]
    options = ["--residents", str(residents), "--dir", str(directory)]
    with subprocess.Popen([*command, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            with Memory(lambda: {"supervisor": process.pid, **_pids(directory)}) as memory:
                told, _ = process.communicate(timeout=_LONGEST_S)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command, told)
    found = memory.summary()
    say(f"  {found['together_mb']} MB together")
    return {"city": {"residents": residents, **found}}


def _pids(directory: Path) -> dict[str, int]:
    """The roles that have said a word."""
    paths = {role: directory / "run" / f"{role}.json" for role in _ROLES}
    return {role: int(json.loads(path.read_text())["pid"]) for role, path in paths.items() if path.exists()}
