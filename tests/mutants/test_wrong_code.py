"""Tests of the tests: each known way to get it wrong, made in a copy of the code, is seen by the tests that it names."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mutants.blind import BLIND
from mutants.wrong_code import MUTANTS, Mutant

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]
PACKAGES = [
    "broker", "connectors", "contracts", "examples", "onewindow", "producers", "projections", "streams", "tests",
]  # fmt: skip
FAILED = 1
"""How pytest ends when tests ran and one of them failed; other codes mean that it could not run them."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The code, to be broken."""
    directory = tmp_path_factory.mktemp("copy")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, directory / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "pyproject.toml", directory)
    return directory


def run(directory: Path, *tests: str):
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:randomly", "-o", "addopts=", *tests]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=280)


def test_the_code_as_it_is_passes_them(copy):
    done = run(copy, *sorted({mutant.tests for mutant in [*MUTANTS, *BLIND]}))
    assert done.returncode == 0, done.stdout[-3_000:]


@pytest.mark.parametrize("mutant", [*MUTANTS, *BLIND], ids=lambda mutant: mutant.kind)
def test_a_mutant_is_caught(copy, mutant: Mutant):
    file = copy / mutant.path
    good = file.read_text(encoding="utf-8")
    assert good.count(mutant.old) == 1, f"{mutant.path} has changed: write this mutant anew"
    try:
        file.write_text(good.replace(mutant.old, mutant.new), encoding="utf-8")
        done = run(copy, mutant.tests)
    finally:
        file.write_text(good, encoding="utf-8")
    assert done.returncode == FAILED, done.stdout[-3_000:]
