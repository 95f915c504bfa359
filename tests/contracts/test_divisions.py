"""Divisions of Shandong, now and in the past."""

import csv
import gzip
from datetime import date
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import divisions
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

with gzip.open(files("contracts.data") / "divisions.csv.gz", "rt", encoding="utf-8") as plain:
    ROWS = list(csv.DictReader(plain))
with (files("contracts.data") / "divisions_old.csv").open(encoding="utf-8") as old:
    RETIREMENTS = [row for row in csv.DictReader(old) if row["old_code_still_valid"] != "1"]
OLD = sorted({row["old_code"] for row in RETIREMENTS})


def reason(raw):
    with pytest.raises(Refused) as refused:
        divisions.division_code(raw)
    return refused.value.reason


@given(st.sampled_from(ROWS))
def test_every_code_in_force_is_itself(row):
    assert divisions.division_code(row["code"]) == (row["code"], None)
    assert divisions.name_of(row["code"]) == row["name"]
    assert row["code"] in {found.code for found in divisions.find(row["name"], within=row["parent_code"] or "37")}


@given(st.sampled_from(OLD))
def test_a_retired_code_becomes_one_in_force_or_stays(code):
    value, mend = divisions.division_code(code)
    if mend is None:
        assert value == code
    else:
        assert mend == Mend.DIVISION_SUCCESSOR
        assert divisions.division(value) is not None
    assert divisions.division_code(value) == (value, None)
    assert divisions.name_of(code)


def test_a_code_whose_area_lies_in_several_today_is_not_translated():
    several = {row["old_code"] for row in RETIREMENTS if ";" in row["current_codes"]}
    assert len(several) > 20
    for code in several:
        assert divisions.division_code(code) == (code, None)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        ("370102", "370102000000"),
        ("370102001", "370102001000"),
        (370102, "370102000000"),
        ("370100", "370100000000"),
        ("370684", "370684000000"),  # 蓬莱市 was merged with 长岛县: the code alone is not today's place
        ("371081", "371081000000"),  # 文登市 was split
    ],
)
def test_short_and_ambiguous_codes_stay(raw, code):
    assert divisions.division_code(raw) == (code, None)


def test_the_merger_of_laiwu_in_both_times():
    assert divisions.division_code("371202") == ("370116000000", Mend.DIVISION_SUCCESSOR)
    assert divisions.division_code("371202", on=date(2019, 1, 8)) == ("371202000000", None)
    assert divisions.division_code("371202", on=date(2019, 1, 9))[0] == "370116000000"
    assert divisions.name_of("371202000000") == "莱城区"


@pytest.mark.parametrize(
    ("raw", "mend"),
    [
        (" 370102", Mend.SPACES),
        ("370102.0", Mend.NUMBER_FORM),
        ("３７０１０２", Mend.FULL_WIDTH),
        ("37 01 02", Mend.SPACES),
        ("370-102", Mend.SEPARATORS),
    ],
)
def test_mends(raw, mend):
    assert divisions.division_code(raw) == ("370102000000", mend)


@pytest.mark.parametrize(
    "raw", ["110105", "370199", "3701", "370102001999", "历下区", "-370102", "3.7E+11", "37010x", "٣70102"]
)
def test_unknown(raw):
    assert reason(raw) == Reason.DIVISION_CODE


def test_nothing_said():
    assert divisions.division_code("") == divisions.division_code("000000") == (None, None)
    assert divisions.name_of("110000000000") is None


def test_the_list_is_whole():
    """Totals as published: data/README.md."""
    assert [sum(row["level"] == level for row in ROWS) for level in divisions.LEVELS] == [1, 16, 151, 1_853, 62_074]


def test_finding_by_name():
    assert [each.code for each in divisions.find("历下区")] == ["370102000000"]
    assert len(divisions.find("市中区")) == 2
    assert [each.code[:4] for each in divisions.find("市中区", within="370400")] == ["3704"]
    assert len(divisions.find("滨河社区居民委员会")) == 16
    assert [each.level for each in divisions.find("侯镇")] == ["street"]  # and not 侯镇村村委会 in it
    assert [each.level for each in divisions.find("侯镇村", within="370783109")] == ["community"]
    assert [each.level for each in divisions.find("侯镇村村民委员会", within="370783109")] == ["community"]
    assert [each.name for each in divisions.find("侯镇社区", within="370783109", level="community")] == ["侯镇村村委会"]
    assert divisions.find("历下区", within="370200") == []
    assert divisions.find("历下区", level="street") == []
    community = divisions.division("370102001002")
    assert community in divisions.find(community.name.removesuffix("居民委员会"), within="370102001")
