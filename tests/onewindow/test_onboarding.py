"""What a column is, by its name and by its values: pure functions over examples and drawn columns."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import TODAY, id_numbers

from contracts.column_names import SENSITIVE, name_hint, plain, unit_in
from contracts.fields import FIELDS
from contracts.sources import Source
from examples.city.people import person
from onewindow.onboarding.columns import Column
from onewindow.onboarding.keys import cursor_of, key_of
from onewindow.onboarding.masking import shown
from onewindow.onboarding.origin import Origin
from onewindow.onboarding.propose import LeftOut, Proposal, Sampled, proposed
from onewindow.onboarding.sample import pattern_of
from onewindow.onboarding.values import beside_id_numbers, date_form, value_hints
from onewindow.onboarding.values import id_numbers as numbers_of
from onewindow.onboarding.write import Header, scalar, written


def column(name: str, values: list, kind: str = "text") -> Column:
    return Column(name, kind, values)


def best(values: list) -> str | None:
    return next((hint.means for hint in value_hints(column("x", values), TODAY)), None)


PEOPLE = [person(3, number) for number in range(120)]


@pytest.mark.parametrize(
    ("name", "means"),
    [("GMSFHM", "id_number"), ("XM", "name"), ("xb", "sex"), ("MZ", "ethnic_group"), ("CSRQ", "birth_on"),
     ("LXDH", "phone"), ("JTZZ", "address"), ("AAC001", "key"), ("aac002", "id_number"), ("AAC003", "name"),
     ("AAC004", "sex"), ("AAC005", "ethnic_group"), ("AAC006", "birth_on"), ("AAE005", "phone"), ("身份证号", "id_number"),
     ("公民身份号码", "id_number"), ("姓名", "name"), ("性别", "sex"), ("民族", "ethnic_group"), ("出生日期", "birth_on"),
     ("联系电话", "phone"), ("住址", "address"), ("社区代码", "community_code"), ("月金额(元)", "benefit_amount_fen"),
     ("申请人身份证号码", "id_number"), ("F_XM", "name"), ("id_number", "id_number"), ("citizen_id_number", "id_number"),
     ("updated_at", "updated"), ("残疾等级", "disability_level"),
     ("与户主关系", "household_relation"), ("户号", "household_number"), ("楼栋", "household_building"),
     ("cjlb", "disability_category"), ("cjzh", "disability"), ("死亡标志", "dead")],
)  # fmt: skip
def test_a_name_says_what_a_column_is(name, means):
    assert name_hint(name).means == means


@pytest.mark.parametrize(
    "name", ["监护人身份证号", "jhrxm", "lxrdh", "guardian_phone", "户主姓名", "经办人", "联系人电话"]
)
def test_a_name_may_say_that_a_column_speaks_of_somebody_else(name):
    assert name_hint(name) is None or name_hint(name).means == ""
    assert name_hint(name).whose


@pytest.mark.parametrize("name", ["qqq", "f1", "列一", ""])
def test_a_name_may_say_nothing(name):
    assert name_hint(name) is None


def test_each_sensitive_name_has_its_reason():
    for name in ("gmsfhm", "残疾类别", "银行卡号", "宗教信仰", "指纹", "gps", "矫正类别"):
        assert name_hint(name).sensitive in SENSITIVE
    assert plain("身份证号（18位）") == "身份证号"
    assert (unit_in("金额(元)"), unit_in("金额（分）"), unit_in("amount_fen"), unit_in("金额")) == (
        "yuan",
        "fen",
        "fen",
        None,
    )


@pytest.mark.parametrize(
    ("values", "means"),
    [([each.id_number for each in PEOPLE], "id_number"), ([each.name for each in PEOPLE], "name"),
     (["1390000" + f"{n * 7919 % 10000:04d}" for n in range(50)], "phone"), (["男", "女", "女性", "男"], "sex"),
     ([each.community_code for each in PEOPLE], "community_code"), ([each.address for each in PEOPLE], "address"),
     (["汉族", "回族", "汉", "满族"], "ethnic_group"), (["自理", "失能", "半失能"], "care_level"),
     ([each.birth_on for each in PEOPLE], "birth_on"), (["379901********1019"] * 5, "masked_id"),
     (["3.79901E+17"] * 5, "spoilt_id"), ([f"{13900000000 + n}" for n in range(50)], None), (["1", "2", "3"], None),
     ([None, ""], None), (["370102"] * 4, "division")],
)  # fmt: skip
def test_values_say_what_a_column_is(values, means):
    assert best(values) == means


def test_numbers_of_disability_cards_name_their_holders():
    cards = [
        f"{each.id_number}{1 + row % 7}{1 + row % 4}{'B1' if row % 9 == 0 else ''}" for row, each in enumerate(PEOPLE)
    ]
    (hint, *_) = value_hints(column("cjzh", cards), TODAY)
    assert (hint.means, hint.how) == ("id_number", {"form": "disability_card"})
    born = [each.birth_on for each in PEOPLE]
    numbers = numbers_of(column("cjzh", cards), TODAY).good
    assert {hint.means for hint in beside_id_numbers(column("csrq", born), numbers, TODAY)} == {"birth_on"}


junk = st.sampled_from(["", "无", "不详", "1234", "37990119700515101", "X", "18001"])


@given(st.lists(id_numbers, min_size=97, max_size=97), st.lists(junk, min_size=3, max_size=3))
@settings(max_examples=25)
def test_id_numbers_with_some_junk_are_recognised(numbers, wrong):
    hints = value_hints(column("c17", numbers + wrong), TODAY)
    assert hints[0].means == "id_number"
    assert hints[0].confidence > 0.9


@given(st.lists(st.integers(10**17, 10**18 - 1), min_size=60, max_size=60))
@settings(max_examples=25)
def test_order_numbers_of_18_digits_are_not(numbers):
    assert "id_number" not in {hint.means for hint in value_hints(column("dd", list(map(str, numbers))), TODAY)}


def test_order_numbers_with_a_day_in_them_are_not():
    numbers = [f"370102{date(2026, 1, 1) + timedelta(n):%Y%m%d}{n:04d}" for n in range(100)]
    assert best(numbers) != "id_number"


@given(st.lists(st.dates(date(1930, 1, 1), TODAY), min_size=30, max_size=60, unique=True),
       st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日"]))  # fmt: skip
@settings(max_examples=25)
def test_each_form_of_a_day_is_read_in_full(days, form):
    found, share, read = date_form(column("d", [day.strftime(form) for day in days]), TODAY)
    assert (share, list(read.values())) == (1.0, days)
    assert found in (form, None)


def test_days_before_months_are_told_by_the_id_number():
    numbers = {row: each.id_number for row, each in enumerate(PEOPLE)}
    values = [date.fromisoformat(each.birth_on).strftime("%d/%m/%Y") for each in PEOPLE]
    (hint,) = beside_id_numbers(column("d", values), numbers, TODAY)
    assert (hint.means, hint.how) == ("birth_on", {"date": "%d/%m/%Y"})


def test_codes_of_sex_are_told_by_the_id_number():
    numbers = {row: each.id_number for row, each in enumerate(PEOPLE)}
    turned = [0 if each.sex == "male" else 1 for each in PEOPLE]
    (hint,) = beside_id_numbers(column("q", turned), numbers, TODAY)
    assert (hint.means, hint.how) == ("sex", {"codes": {"0": "male", "1": "female"}})
    assert list(beside_id_numbers(column("q", [n % 2 for n in range(120)]), numbers, TODAY)) == []


def records(**changed) -> list[dict]:
    made = [
        {"nr": f"R{each.number:05d}", "gmsfhm": each.id_number, "xm": each.name, "xb": 1 if each.sex == "male" else 2}
        for each in PEOPLE
    ]
    for name, values in changed.items():
        for record, value in zip(made, values, strict=True):
            record[name] = value
    return made


def proposal(rows: list[dict], primary: tuple = (), *, polled: bool = False, name: str = "t") -> Proposal | LeftOut:
    return proposed(
        Sampled(name, dict.fromkeys(rows[0], "TEXT") if rows else {}, primary, rows), "t", TODAY, polled=polled
    )


def field(found: Proposal, name: str):
    return next((each for each in found.placed if each.field == name), None)


def test_values_beat_names():
    rows = records(sex=[each.name for each in PEOPLE], lxdh=[each.id_number for each in PEOPLE])
    rows = [{"nr": row["nr"], "sex": row["sex"], "lxdh": row["lxdh"], "q": row["xb"]} for row in rows]
    found = proposal(rows)
    assert field(found, "id_number").column == "lxdh"
    assert field(found, "sex").column == "q"
    assert field(found, "phone") is None


def test_of_two_columns_the_surer_one_is_taken():
    found = proposal(records(sfz2=[person(3, n + 500).id_number for n in range(120)]))
    assert field(found, "id_number").column == "gmsfhm"
    (other,) = [each for each in found.unplaced if each.column == "sfz2"]
    assert "taken from gmsfhm" in other.reason
    assert other.sensitive == "id_number"


def test_what_intake_would_refuse_is_not_mapped():
    found = proposal(records(lxdh=["6543" for _ in PEOPLE], csrq=["1980-01-01" for _ in PEOPLE]))
    assert field(found, "phone") is None
    assert field(found, "birth_on") is None
    assert found.accepted == 120
    reasons = {each.column: each.reason for each in found.unplaced}
    assert "phone_unreadable" in reasons["lxdh"]
    assert "would be refused" in reasons["csrq"]


@pytest.mark.parametrize(
    ("name", "amounts", "unit", "kind"),
    [("gljt", ["200.00"] * 120, "yuan", "old_age_allowance"), ("养老金", [345_678 + n for n in range(120)], "fen", "pension"),
     ("养老金(元)", [3456 + n for n in range(120)], "yuan", "pension"), ("低保金额", ["650.00"] * 120, "yuan", "low_income")],
)  # fmt: skip
def test_amounts_in_yuan_and_fen(name, amounts, unit, kind):
    found = proposal(records(**{name: amounts}))
    assert field(found, "benefit_amount_fen").how == {"unit": unit}
    assert field(found, "benefit_kind").constant == kind


def test_a_benefit_of_no_known_kind_is_not_mapped():
    found = proposal(records(je=["200.00"] * 120))
    assert field(found, "benefit_amount_fen") is None
    assert any("benefit_kind" in each.reason for each in found.unplaced)


def test_yes_and_no_are_turned_round_for_the_dead():
    found = proposal(records(swbz=["0", "1"] * 60))
    assert field(found, "alive").how == {"codes": {"0": True, "1": False}}
    assert field(found, "alive").confidence < 0.8


def test_codes_that_nobody_knows_are_said():
    found = proposal(records(hldj=["甲", "乙"] * 60))
    assert field(found, "care_level") is None
    (left,) = [each for each in found.unplaced if each.column == "hldj"]
    assert "甲 (60 rows)" in left.reason


def test_keys():
    rows = [column("xm", ["a", "b"] * 20), column("bh", list(range(40)), "INTEGER"), column("sj", ["x"] * 39 + [None])]
    assert key_of(rows, (), {}).columns == ("bh",)
    assert key_of(rows, ("xm",), {}).columns == ("xm",)
    assert key_of(rows[:1], (), {}) is None
    two = [column("a", [n // 4 for n in range(40)]), column("b", [n % 4 for n in range(40)])]
    assert key_of(two, (), {}).columns == ("a", "b")
    assert key_of(two, (), {}).confidence < 0.8


def test_a_number_of_the_row_is_a_key_only_where_nothing_else_is():
    numbers = column("序号", [str(n) for n in range(1, 41)])
    card = column("卡", [f"K{n * 37 % 101}" for n in range(40)])
    assert key_of([numbers, card], (), {}).columns == ("卡",)
    alone = key_of([numbers], (), {})
    assert (alone.columns, alone.confidence < 0.5, "counts the rows" in alone.reason) == (("序号",), True, True)
    assert key_of([column("序号", [str(n * 7) for n in range(1, 41)])], (), {}).confidence > 0.8


def test_cursors():
    stamps = [f"2026-01-{n % 28 + 1:02d} 08:00:00" for n in range(40)]
    id_ = column("id", list(range(40)), "INTEGER")
    assert cursor_of([id_, column("updated_at", stamps, "DATETIME")]).confidence > 0.8
    as_text = cursor_of([id_, column("gxsj", stamps)])
    assert as_text.columns == ("gxsj",)
    assert "kept as text" in as_text.reason
    unordered = [f"2026/{n % 12 + 1}/1" for n in range(40)]  # as texts, 2026/10/1 comes before 2026/2/1
    assert cursor_of([id_, column("gxsj", unordered)]) is None  # a growing key shows new rows and no changed one
    assert cursor_of([id_, column("updated_at", [*stamps[1:], None], "DATETIME")]) is None
    assert cursor_of([id_, column("created_at", stamps, "DATETIME")]) is None
    assert cursor_of([column("some_time", stamps, "DATETIME")]).confidence < 0.5


@pytest.mark.parametrize(("rows", "why"), [([], "empty"), ([{"a": "x", "b": "y"}] * 30, "nobody"),
                                           ([records()[0], records()[0]], "key")])  # fmt: skip
def test_what_is_left_out_says_why(rows, why):
    found = proposal(rows)
    assert isinstance(found, LeftOut)
    assert found.why == why


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("elder_202601.csv", "elder_{period}.csv"), ("a.csv", "a.csv"), ("x_20260131.csv", "x_20260131.csv"),
     ("370102_202601.csv", "370102_{period}.csv")],
)  # fmt: skip
def test_year_and_month_in_a_name_become_the_period(name, pattern):
    assert pattern_of(name) == pattern


awkward = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12).filter(lambda t: "${" not in t)


@given(awkward)
def test_any_text_is_read_back_from_the_file(text):
    assert yaml.safe_load(f"{{a: {scalar(text)}, b: [{scalar(text)}], {scalar(text + 'k')}: 1}}") == {
        "a": text, "b": [text], text + "k": 1,
    }  # fmt: skip


@given(st.lists(awkward, min_size=3, max_size=3, unique=True), awkward)
@settings(max_examples=50)
def test_whatever_columns_are_called_the_file_can_be_read(names, value):
    rows = [{**record, **dict.fromkeys(names, value)} for record in records()]
    found = proposal(rows)
    text, _ = written(
        Header("s", "t", "o", Origin("files", folder="/x"), None), [found], [LeftOut(value, "empty", value)], TODAY
    )
    source = Source.model_validate(yaml.safe_load(text))
    assert source.datasets["t"].map["id_number"].column in ("gmsfhm", *names)


def test_the_doubtful_lines_are_the_ones_that_are_named():
    found = proposal(records(gljt=["0", "200"] * 60, updated_at=["2026-01-01 00:00:00"] * 120), polled=True)
    text, doubts = written(Header("s", "t", "待填写", Origin("sql", "sqlite:////x"), None), [found], [], TODAY)
    lines = text.splitlines()
    assert {each.what: lines[each.line - 1].split(":")[0].strip() for each in doubts} == {
        "owner": "owner", "t.key": "key", "t.cursor": "cursor", "t.benefit_kind from gljt": "benefit_kind",
        "t.benefit_amount_fen from gljt": "benefit_amount_fen",
    }  # fmt: skip
    assert "敏感: ID number" in text


@pytest.mark.parametrize("field", [*FIELDS, ""])
@pytest.mark.parametrize("openly", [True, False])
def test_an_id_number_is_masked_wherever_it_stands(field, openly):
    number = "379901197005151019"
    for value in (number, f" {number}", f"{number[:6]} {number[6:14]} {number[14:]}", f"住址{number}", int(number),
                  "".join(chr(ord(c) + 0xFEE0) for c in number), number[:17]):  # fmt: skip
        said = shown(field, value, openly=openly)
        assert number[6:17] not in said
        assert not any(number[start : start + 7] in said for start in range(11))


def test_what_is_a_persons_is_masked_unless_asked_for():
    assert shown("name", "王秀英", openly=False) == "王**"
    assert shown("phone", "13912345678", openly=False) == "139******78"
    assert shown("birth_on", "1970-05-15", openly=False) == "1970-**-**"
    assert shown("address", "解放桥29号楼5单元", openly=False) == "解放桥2…"
    assert shown("name", "王秀英", openly=True) == "王秀英"
    assert shown("sex", "1", openly=False) == "1"
