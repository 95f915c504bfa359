"""The documentation says what is so: its pages are made from the code, its commands exist, its links lead somewhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from contracts.sources import ConnectorSource, DatasetSource
from onewindow.cli import app
from onewindow.errors_page import page
from onewindow.settings import Settings

ROOT = Path(__file__).parents[1]
NAMED = r"\bonewindow (?:-C \S+ )?([a-z]+)(?: ([a-z]+))?"
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_page_of_errors_is_made_from_the_code():
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == page()


def test_every_setting_is_described():
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    parts = {name: field.annotation for name, field in Settings.model_fields.items()}
    for name, kind in parts.items():
        for inner in getattr(kind, "model_fields", {None: None}):
            assert f"`{name}.{inner}`" in text if inner else f"`{name}`" in text, (name, inner)
    for model in (ConnectorSource, DatasetSource):
        for name in model.model_fields:
            assert re.search(rf"[`.]{name}`", text), name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


def commands():
    found = set()
    for path in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
            found |= {line.split("#")[0].strip() for line in block.splitlines() if line.strip()}
    return sorted(found)


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("onewindow")])
def test_each_command_of_the_docs_exists(command):
    words = command.split()[1:]
    if words[0] == "-C":
        words = words[2:]
    nested = 2 if words[0] in ("quarantine", "source", "topics") else 1
    done = subprocess.run(
        [sys.executable, "-m", "onewindow", *words[:nested], "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout


def texts(path):
    """Every text in a module, with what is filled in as X."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_each_command_that_a_message_names_exists():
    known, named = get_command(app), set()
    for room in ("broker", "connectors", "contracts", "examples", "onewindow", "producers", "projections", "streams"):
        for path in (ROOT / room).rglob("*.py"):
            for text in texts(path):
                named |= {(path.name, *found) for found in re.findall(NAMED, " ".join(text.split()))}
    assert len(named) > 10
    for name, first, second in sorted(named):
        assert first in known.commands, (name, first)
        inner = getattr(known.commands[first], "commands", {})
        assert not inner or second in inner, (name, first, second)


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make")])
def test_each_target_of_the_docs_exists(command):
    assert f"\n{command.split()[1]}:" in (ROOT / "Makefile").read_text()


def test_nothing_names_a_place_that_is_not_in_the_project():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    words = re.compile("/" + "work/|" + "/" + "root/|" + r"\.\./" + "shared|" + "shared" + "/peers")
    for name in listed:
        path = ROOT / name
        if path.suffix in (".py", ".md", ".toml", ".yaml", ".txt", ".csv") or path.name in ("Makefile", "run"):
            found = words.search(path.read_text(encoding="utf-8"))
            assert found is None, (name, found)
