"""docs/connectors.md: its connector is a whole one, read by its source file, and passes the kit by the page's own test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from connectors import open_connector, testing
from contracts.sources import Source

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "connectors.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def written(tmp_path):
    """The page's connector and test, as files."""
    connector, test = blocks("python")
    (tmp_path / "journal.py").write_text(connector, encoding="utf-8")
    (tmp_path / "test_journal.py").write_text(test, encoding="utf-8")
    return tmp_path


def run(directory: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{directory}{os.pathsep}{ROOT}"}
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", "test_journal.py"]
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=100
    )


def test_the_connector_of_the_page_passes_its_test(written):
    done = run(written)
    assert done.returncode == 0, done.stdout[-3_000:]
    assert f"{len(testing.CHECKS)} passed" in done.stdout


def test_a_connector_that_loses_a_row_fails_with_what_the_page_shows(written):
    good = (written / "journal.py").read_text(encoding="utf-8")
    bad = good.replace("yield Page(changes, dict(at))", "yield Page(changes[:-1], dict(at))")
    assert bad != good
    (written / "journal.py").write_text(bad, encoding="utf-8")
    done = run(written)
    (shown,) = blocks("text")
    assert done.returncode == 1
    assert shown.strip() in done.stdout


def test_the_types_of_the_connector_are_right(written):
    command = [sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", "--cache-dir", os.devnull]
    done = subprocess.run(
        [*command, str(written / "journal.py")], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout


def test_the_source_file_of_the_page_opens_it(written, monkeypatch):
    monkeypatch.syspath_prepend(written)
    declared = yaml.safe_load(blocks("yaml")[0])
    journal = written / "journal.jsonl"
    journal.write_text('{"id": "1", "name": "李"}\n{"id": "2", "na', encoding="utf-8")
    declared["connector"]["options"]["path"] = str(journal)
    connector = open_connector(Source.model_validate(declared), state=written)
    assert [finding.level for finding in connector.check()] == ["ok"]
    (page,) = connector.pull("person", None)
    assert [(change.key, change.record) for change in page.changes] == [("1", {"id": "1", "name": "李"})]
    assert page.mark == "complete"
    sys.modules.pop("journal")


def test_the_page_names_each_promise_of_the_kit():
    promises = PAGE.partition("## Bad sources")[0]
    named = re.findall(r"^\| ([a-z ]+) \|", promises, re.MULTILINE)
    assert named[1:] == [check.__name__.replace("_", " ") for check in testing.CHECKS]


def test_the_connector_of_the_page_is_short():
    assert len(blocks("python")[0].splitlines()) < 65
