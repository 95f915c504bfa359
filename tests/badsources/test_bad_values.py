"""One value of one record is wrong, in a dump of three."""

from __future__ import annotations

import pytest
from bad import Way, bad

from contracts.sources import Source
from examples.city.people import person

COLUMNS = ("编号", "身份证号", "姓名", "性别", "出生日期", "联系电话", "金额")
ANNA, BELA = person(5, 1), person(5, 2)
ROUNDED = "370102195001010000"  # not by chance one that fits
WITH_X = next(
    each for each in (person(5, n) for n in range(500)) if each.id_number.endswith("X") and each.sex == "female"
)


def row(key: str, who, **said: str) -> dict[str, str]:
    """A good row. ``said``: what it says otherwise."""
    good = (
        key,
        who.id_number,
        who.name,
        {"female": "女", "male": "男"}[who.sex],
        who.birth_on,
        "13900000001",
        "300.00",
    )
    return dict(zip(COLUMNS, good, strict=True)) | said


@pytest.fixture
def read(opened, tmp_path):
    """Reads two good rows, and between them the one that is given."""

    def look(who=ANNA, **said: str) -> Way:
        folder = tmp_path / "drop"
        folder.mkdir()
        rows = [row("1", person(5, 3)), row("2", who, **said), row("3", BELA)]
        lines = [",".join(COLUMNS), *(",".join(f'"{cell}"' for cell in each.values()) for each in rows)]
        (folder / "elder_202601.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        way = opened(SOURCE.model_copy(update={
            "connector": SOURCE.connector.model_copy(update={"folder": str(folder)})
        }))  # fmt: skip
        found = way.look()
        assert found.error == ""
        assert found.counts["accepted"] + found.counts["quarantined"] == 3
        assert {person(5, 3).name, BELA.name} <= set(way.people)  # the good ones are never in its way
        return way

    return look


SOURCE = Source.model_validate(
    {
        "system": "ageing", "title": "老龄", "owner": "", "connector": {"kind": "files", "folder": "/", "settle_s": 0},
        "datasets": {"elder": {"pattern": "elder_{period}.csv", "key": ["编号"], "refuse_limit": 1, "map": {
            "id_number": "身份证号", "name": {"column": "姓名", "required": True},
            "sex": {"column": "性别", "codes": {"女": "female", "男": "male"}}, "birth_on": "出生日期", "phone": "联系电话",
            "benefit_kind": {"value": "old_age_allowance", "when": "金额"},
            "benefit_amount_fen": {"column": "金额", "unit": "yuan"},
        }}},
    }
)  # fmt: skip


def wrong_check(number: str) -> str:
    return number[:17] + ("1" if number[17] != "1" else "2")


REFUSED = {
    "an ID number whose check character does not fit": ("id_check_digit", {"身份证号": wrong_check(ANNA.id_number)}),
    "an ID number of 16 characters": ("id_length", {"身份证号": ANNA.id_number[:16]}),
    "a letter inside of an ID number": ("id_character", {"身份证号": ANNA.id_number[:8] + "O" + ANNA.id_number[9:]}),
    "an ID number that a spreadsheet wrote as 3.70102E+17": ("id_scientific_notation", {"身份证号": "3.70102E+17"}),
    "an ID number that a spreadsheet has rounded to 15 digits": ("id_precision_loss", {"身份证号": ROUNDED}),
    "an ID number with asterisks": ("id_masked", {"身份证号": ANNA.id_number[:6] + "********" + ANNA.id_number[14:]}),
    "an ID number with a 13th month in it": ("id_birth_date", {"身份证号": ANNA.id_number[:10] + "1301" + "001X"}),
    "an ID number of somebody who is not born yet": ("id_birth_date_future", {"身份证号": "37010220990101001X"}),
    "a code that is not in the code table": ("code_unknown", {"性别": "阴"}),
    "the 30th of February": ("date_impossible", {"出生日期": "1950-02-30"}),
    "a date in words": ("date_unreadable", {"出生日期": "解放前"}),
    "a day to come": ("date_future", {"出生日期": "2099-01-01"}),
    "a birth date that contradicts the ID number": ("field_conflict", {"出生日期": "1901-01-01"}),
    "a negative amount": ("money_negative", {"金额": "-300"}),
    "an amount in words": ("money_unreadable", {"金额": "若干"}),
    "no name, where the source file requires one": ("field_missing", {"姓名": ""}),
    "a name of 300 characters": ("name_too_long", {"姓名": "王" * 300}),
    "a telephone number of three digits": ("phone_unreadable", {"联系电话": "139"}),
}
MENDED = {
    "a lower-case x at the end of an ID number": ("id_number", WITH_X, {"身份证号": WITH_X.id_number.lower()}),
    "spaces in an ID number": ("id_number", ANNA, {"身份证号": f" {ANNA.id_number[:6]} {ANNA.id_number[6:]} "}),
    "full-width digits": ("id_number", ANNA, {
        "身份证号": "".join(chr(ord(c) + 0xFEE0) for c in ANNA.id_number)}),
    "an ID number of 15 digits, from before 1999": ("id_number", ANNA, {
        "身份证号": ANNA.id_number[:6] + ANNA.id_number[8:17]}),
    "a telephone number with hyphens": ("phone", ANNA, {"联系电话": "139-0000-0001"}),
}  # fmt: skip


@pytest.mark.parametrize("wrong", REFUSED)
def test_refused(read, wrong):
    reason, said = REFUSED[wrong]
    way = read(**said)
    assert way.refused == [(reason, next(iter(said)))]


@pytest.mark.parametrize("wrong", MENDED)
def test_mended(read, wrong):
    name, who, said = MENDED[wrong]
    way = read(who, **said)
    body = way.people[who.name]
    assert way.refused == []
    assert body["fields"][name] == {"id_number": who.id_number, "phone": "13900000001"}[name]
    assert body["originals"][name] == next(iter(said.values()))


for _wrong, (_reason, _) in REFUSED.items():
    bad("a value", _wrong, f"the record is refused, `{_reason}`; the others are read")(test_refused)
for _wrong in MENDED:
    bad("a value", _wrong, "mended; the source's own value is kept beside it")(test_mended)


@bad("a value", "no ID number", "a provisional resident, known by this record alone")
def test_no_id_number(read):
    way = read(身份证号="")
    assert way.people[ANNA.name]["provisional"] is True
    assert way.refused == []
