"""What is shown fits, and is whole: fewer columns where there is less room, but no number, key or code is cut."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from onewindow import people, refusals
from onewindow.panel import sources_table, summary_table, troubles

SOURCE = {
    "system": "hrss", "dataset": "insured_person", "state": "loading", "progress": 0.62, "read": 1_234_567,
    "accepted": 1_200_000, "quarantined": 28, "duplicate": 3, "stale": 4, "filtered": 5, "pending": 34_527,
    "rate": 10_321.0, "balanced": True, "looked_at": None, "notes": [],
}  # fmt: skip
UNKNOWN = SOURCE | {"state": "down", "progress": None, "read": None, "pending": None, "balanced": None, "rate": None}
REFUSED = {
    "system": "hrss", "dataset": "pension", "record_key": "9b3f8d3f0f2f4b1e8c1d0a1b2c3d4e5f", "reason": "id_length",
    "meaning": "the ID number is too short", "meaning_zh": "公民身份号码位数不对。", "owner": "信息中心", "column": "aac002",
    "looks_like": "17 characters", "place": "ac60 aaz257=10024", "mend": "correct the number",
}  # fmt: skip


def shown(*things, width, soft=False):
    console = Console(file=io.StringIO(), width=width)
    for thing in things:
        console.print(thing, soft_wrap=soft)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [60, 80, 100, 130, 200])
def test_no_width_cuts_a_number_or_a_name(width):
    for table in (sources_table({"sources": [SOURCE, UNKNOWN]}), summary_table({"sources": [SOURCE]})):
        text = shown(table, width=width)
        assert "…" not in text
        assert all(len(line) <= width for line in text.splitlines())
        for whole in ("hrss.insured_person", "1,234,567", "34,527"):
            assert whole in text


def test_a_wide_terminal_has_all_columns_and_a_narrow_one_the_share():
    header, loading, down = shown(sources_table({"sources": [SOURCE, UNKNOWN]}), width=200).splitlines()
    for name in ("source", "state", "progress", "read", "accepted", "quarantined", "duplicate", "stale", "filtered",
                 "pending", "rows/s", "books", "last read"):  # fmt: skip
        assert name in header
    assert "██████░░░░  62%" in loading
    assert "10,321" in loading
    assert " 0 " not in down  # what is not known is a dash
    narrow = shown(sources_table({"sources": [SOURCE]}), width=80)
    assert "loading 62%" in narrow
    assert "10,321" in narrow


def test_every_problem_is_shown_with_its_fix():
    problems = [{"where": "hrss.pension", "code": code, "finding": "f", "fix": f"mend {code}"} for code in ("A", "B")]
    text = shown(*troubles({"problems": problems, "sources": []}), width=80)
    assert text.count("fix: mend") == 2


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("sex", "female", "女性 female"),
        ("ethnic_group", "01", "汉族 01"),
        ("community_code", "370102001002", "解放桥社区居民委员会 370102001002"),
        ("living_alone", True, "yes 是"),
        ("alive", False, "no 否"),
        ("benefit_amount_fen", 3141095, "31,410.95 元"),
        ("benefit_amount_fen", None, "-"),
        ("name", "王芳", "王芳"),
    ],
)
def test_values_are_said_for_a_person(name, value, text):
    assert people.said(name, value) == text


def test_refusals_are_counted_first_and_their_keys_are_whole():
    many = [REFUSED | {"record_key": f"{number:032x}"} for number in range(7)]
    found = [REFUSED | {"reason": "id_masked"}, *many]
    text = shown(*refusals.refusals(found, None), width=80, soft=True)
    lines = text.splitlines()
    assert lines[0] == "8 records are in quarantine"
    assert lines[2].split()[:2] == ["7", "id_length"]
    assert lines[3].split()[:2] == ["1", "id_masked"]
    assert f"  {many[0]['record_key']}  ac60 aaz257=10024  aac002: 17 characters" in lines
    assert many[6]["record_key"] not in text
    assert "--limit 7" in text
    assert many[6]["record_key"] in shown(*refusals.refusals(found, 7), width=80, soft=True)
