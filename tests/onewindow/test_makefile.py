"""The Makefile asks for the versions of Python that the package asks for, and says so."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check() -> str:
    """The program that ``make setup`` runs first."""
    found = re.search(r"@\$\(PYTHON\) -c '(.*)'", (ROOT / "Makefile").read_text())
    assert found
    return found.group(1)


@pytest.mark.parametrize(("version", "is_fit"), [((3, 10), False), ((3, 11), True), ((3, 13), True), ((3, 14), False)])
def test_versions_that_do_not_fit_are_refused_with_a_message(version, is_fit):
    pretend = (
        f"import sys; sys.version_info, sys.version = ({version[0]}, {version[1]}, 1), '{version[0]}.{version[1]}.1'"
    )
    done = subprocess.run([sys.executable, "-c", f"{pretend}\n{check()}"], capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == is_fit
    if not is_fit:
        assert "3.11, 3.12 or 3.13 is needed" in done.stderr
        assert "make setup PYTHON=" in done.stderr


def test_the_package_asks_for_the_same():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert wanted == ">=3.11,<3.14"
    assert "(3, 11) <= sys.version_info[:2] < (3, 14)" in check()
