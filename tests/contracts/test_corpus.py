"""The fault corpus (``tests/corpus``), written from the standards alone, judges the parsers."""

from __future__ import annotations

import csv
import json
import re
from datetime import date
from pathlib import Path

import pytest

from contracts import citizen, codesets, credit_codes, dates, divisions, money, names, texts
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

ON = date(2026, 11, 1)
SEX = {"1": "male", "2": "female", "30005": "male", "30006": "female"}
PARSERS = {
    "id_number": lambda raw: citizen.id_number(raw, on=ON),
    "credit_code": credit_codes.credit_code,
    "division_code": divisions.division_code,
    "sex": lambda raw: codesets.coded(raw, SEX if str(raw).startswith("3000") else None, "sex"),
    "ethnic_group": lambda raw: codesets.coded(raw, None, "ethnic_group"),
    "marital_status": lambda raw: codesets.coded(raw, None, "marital_status"),
    "date": lambda raw: dates.day(raw, on=ON),
    "month": dates.month,
    "money_yuan": lambda raw: money.fen(raw, unit="yuan"),
    "money_fen": lambda raw: money.fen(raw, unit="fen"),
    "name": names.name,
    "phone": texts.phone,
    "text": texts.text,
    "number": texts.number,
}


# The forms of GB/T 7408 (ISO 8601), basic and extended, are no mend here though the corpus calls them one, nor is a code
# that the source's own table declares: what a source is declared to write is not mended.
STANDARD = re.compile(r"\d{8}|\d{6}|\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(\.0)?")


def is_standard(row, raw):
    declared = row["kind"] == "sex" and str(raw) in SEX
    return declared or (row["kind"] in ("date", "month") and STANDARD.fullmatch(str(raw)) is not None)


def rows():
    with (Path(__file__).parents[1] / "corpus" / "values.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


CORPUS = rows()


def test_the_corpus_is_large_and_covers_every_kind():
    assert len(CORPUS) >= 150
    assert {row["kind"] for row in CORPUS} == set(PARSERS)


@pytest.mark.parametrize("row", CORPUS, ids=lambda row: row["id"])
def test_a_value(row):
    raw, parse = json.loads(row["raw"]), PARSERS[row["kind"]]
    if not row["expected"]:
        with pytest.raises(Refused) as refused:
            parse(raw)
        assert refused.value.reason == Reason(row["reason"]), row["note"]
        return
    expected = json.loads(row["expected"])
    value, mend = parse(raw)
    value = value.isoformat() if isinstance(value, date) else value
    assert (value, type(value)) == (expected, type(expected)), row["note"]
    if row["mend"] and not is_standard(row, raw):
        assert mend is not None, row["note"]
        assert isinstance(mend, Mend)
    elif row["kind"] != "money_yuan" and raw == expected and type(raw) is type(expected):
        assert mend is None, row["note"]
