"""``onewindow bench``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.deployment


def test_every_figure_is_told():
    done = subprocess.run(
        [sys.executable, "-m", "onewindow", "bench", "--records", "1000", "--json"],
        capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    figures = ("calibration_s", "produce", "intake", "project", "end_to_end", "cold_start_s")
    assert all(found[name] > 0 for name in figures), found
    assert set(found["at_half_a_second"]) == {"produce", "intake", "project", "end_to_end"}
    assert (found["records"], found["unit"], found["view"]) == (1_000, "records/s", "sqlite")
