"""The table of bad sources in the documentation."""

from __future__ import annotations

from pathlib import Path

from bad import BAD
from table import with_table

DOCUMENT = Path(__file__).parents[2] / "docs" / "connectors.md"


def test_it_says_what_the_tests_show():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_table(text) == text, "make docs"


def test_it_names_fifty_ways_to_be_wrong_each_once():
    assert len({(each.of, each.wrong) for each in BAD}) == len(BAD) >= 50
