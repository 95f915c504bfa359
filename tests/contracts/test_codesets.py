"""National code sets and tables of sources."""

import csv
from importlib.resources import files

import pytest

from contracts import codesets
from contracts.codesets import coded
from contracts.fields import FIELDS
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

FILES = [name for name in codesets.names() if name not in codesets._OWN]


def reason(*args):
    with pytest.raises(Refused) as refused:
        coded(*args)
    return refused.value.reason


@pytest.mark.parametrize("name", FILES)
def test_every_code_and_every_name_of_a_file_is_understood(name):
    known = codesets.codeset(name)
    assert known.standard
    assert known.title
    with (files("contracts.data") / "codesets" / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(known.codes) == len(rows)
    titles = [row["name"] for row in rows]
    for row in rows:
        code = row.get("department", "") + row["code"]
        assert coded(code, None, name) == (code, None)
        if titles.count(row["name"]) == 1:
            assert coded(row["name"], None, name) == (code, Mend.CODE_ALIAS)


@pytest.mark.parametrize("name", codesets.names())
def test_a_canonical_value_is_a_fixed_point(name):
    known = codesets.codeset(name)
    for canonical, _ in known.forms.values():
        assert canonical in known.codes
        assert coded(canonical, None, name) == (canonical, None)


def test_every_field_with_codes_has_its_code_set():
    assert {field.codeset for field in FIELDS.values() if field.kind == "code"} <= set(codesets.names())
    with pytest.raises(LookupError, match="known: sex"):
        codesets.codeset("nationality")


@pytest.mark.parametrize(
    ("raw", "value", "mend"),
    [
        ("1", "male", None),
        (2, "female", None),
        ("0", "unknown", None),
        ("9", "unspecified", None),
        ("male", "male", None),
        ("男", "male", Mend.CODE_ALIAS),
        ("女性", "female", Mend.CODE_ALIAS),
        ("M", "male", Mend.CODE_ALIAS),
        ("f", "female", Mend.CODE_ALIAS),
        ("Male", "male", Mend.CODE_ALIAS),
        ("30005", "male", Mend.CODE_ALIAS),
        (30006, "female", Mend.CODE_ALIAS),
        (1.0, "male", Mend.CODE_ALIAS),
        ("１", "male", Mend.FULL_WIDTH),
        (" 1 ", "male", Mend.SPACES),
        ("未知", "unknown", Mend.CODE_ALIAS),
        ("无", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_sex(raw, value, mend):
    assert coded(raw, None, "sex") == (value, mend)


@pytest.mark.parametrize(
    ("raw", "name", "value"),
    [
        ("汉族", "ethnic_group", "01"),
        ("汉", "ethnic_group", "01"),
        ("1", "ethnic_group", "01"),
        ("HA", "ethnic_group", "01"),
        ("土", "ethnic_group", "30"),
        ("土家", "ethnic_group", "15"),
        ("崩龙", "ethnic_group", "46"),
        ("Hui", "ethnic_group", "03"),
        ("离异", "marital_status", "divorced"),
        ("大专", "education", "30"),
        ("妻子", "kinship", "12"),
        ("肢体", "disability_category", "physical"),
        ("1", "disability_category", "visual"),
        ("2", "disability_category", "hearing"),
        ("多重残疾", "disability_category", "multiple"),
        ("1级", "disability_level", "1"),
        ("半失能", "care_level", "partial"),
        ("停发", "benefit_state", "stopped"),
    ],
)
def test_names_and_aliases(raw, name, value):
    assert coded(raw, None, name)[0] == value


def test_categories_of_disability_are_those_of_the_standard():
    with (files("contracts.data") / "codesets" / "disability_category.csv").open(encoding="utf-8") as file:
        listed = {row["code"]: row["name"] for row in csv.DictReader(file)}
    known = codesets.codeset("disability_category")
    assert {code: known.codes[canonical] for code, canonical in known.national.items()} == listed


def test_a_table_comes_first():
    table = {"A": "male", "B": "female", "-": "unspecified", "1": "female"}
    assert coded("A", table, "sex") == ("male", None)
    assert coded(" A", table, "sex") == ("male", Mend.SPACES)
    assert coded("-", table, "sex") == ("unspecified", None)
    assert coded(1, table, "sex") == ("female", None)
    assert coded(1.0, table, "sex") == ("female", None)
    assert coded("男", table, "sex") == ("male", Mend.CODE_ALIAS)


def test_a_national_code_beside_a_table_counts_if_the_table_agrees():
    assert coded("9", {"1": "male", "2": "female"}, "sex") == ("unspecified", Mend.CODE_ALIAS)
    assert coded("30005", {"1": "male", "2": "female"}, "sex") == ("male", Mend.CODE_ALIAS)
    assert reason("2", {"0": "male", "1": "female"}, "sex") == Reason.CODE_UNKNOWN


def test_a_yes_or_no_has_its_table_alone():
    assert coded("1", {"1": True, "2": False}, "alive") == (True, None)
    assert coded("", {"1": True}, "alive") == (None, None)
    assert reason("3", {"1": True}, "alive") == Reason.CODE_UNKNOWN


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("3", "sex"),
        ("57", "ethnic_group"),
        ("1", "kinship"),
        ("其他", "uscc_org_type"),
        (["1"], "sex"),
        ("8", "disability_category"),
    ],
)
def test_unknown(raw, name):
    assert reason(raw, None, name) == Reason.CODE_UNKNOWN
