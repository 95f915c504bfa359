"""The measurement of large registers, with a small one."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.deployment


def test_every_connector_reads_all_of_it():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.registers", "--rows", "5000"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    readers = json.loads(done.stdout)["readers"]
    assert {name: found["first"]["changes"] for name, found in readers.items()} == {
        "files": 5_000, "sql": 5_000, "sql, no cursor": 5_000, "postgres, log": 5_000,
    }  # fmt: skip
    assert readers["files"]["next"]["changes"] == 50 + 100  # gone, and changed
    assert all(found["before_mb"] <= found["first"]["peak_mb"] < 300 for found in readers.values())


def test_an_unknown_connector_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.registers", "--only", "fax"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert "files; sql; sql, no cursor; postgres, log" in done.stderr.replace("│", "").replace("\n", " ")
