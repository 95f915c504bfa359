"""A short fault run on the embedded parts, as ``make chaos`` does it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_a_minute_of_faults_violates_nothing(tmp_path):
    report = tmp_path / "reliability.md"
    done = subprocess.run(
        [sys.executable, "-m", "chaos", "--minutes", "1.2", "--seed", "1", "--report", str(report)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": "tests"}, capture_output=True, text=True, check=False, timeout=580,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    text = report.read_text()
    assert "0 violations" in text
    assert " 0 faults" not in text
