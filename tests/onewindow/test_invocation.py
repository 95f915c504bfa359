"""Hints name the program as the user can start it."""

from __future__ import annotations

import sys

import pytest

from onewindow.cli import _with_directory_first
from onewindow.invocation import invocation


def test_the_program_is_named_as_it_can_be_started(tmp_path, monkeypatch):
    program = tmp_path / "onewindow"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "status"])
    monkeypatch.setenv("PATH", "/nowhere")
    assert invocation() == str(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert invocation() == "onewindow"
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "__main__.py"), "status"])
    assert invocation() == f"{sys.executable} -m onewindow"


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("status", "status"),
        ("-C d status --json", "-C d status --json"),
        ("status --json -C d", "-C d status --json"),
        ("source check hrss -C d", "-C d source check hrss"),
        ("community -- -C", "community -- -C"),
    ],
)
def test_the_directory_comes_before_the_command(given, taken):
    assert _with_directory_first(given.split()) == taken.split()
