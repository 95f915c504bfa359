import hashlib
import json
import random
import re
from collections import Counter

import pytest

from contracts.reasons import Reason
from examples.city.civil_affairs import CivilAffairs
from examples.city.disabled_persons import COLUMNS
from examples.city.faults import BY_NAME, FAULTS, ID
from examples.city.hrss import Hrss
from examples.city.people import CATEGORIES
from examples.city.records import (
    CARD,
    DATASETS,
    ELDER,
    GRID,
    INSURED,
    LOW_INCOME,
    MARITAL_CODES,
    PENSION,
    REGISTERED,
    yuan,
)
from examples.city.registers import EDITION, at_first, without_fault

GOLDEN = {4: "00bd7110cd1fd86d"}


@pytest.fixture(scope="module")
def records():
    return [record for number in range(40_000) for record in at_first(1, number)]


def test_about_three_records_in_a_hundred_have_a_fault(records):
    assert 0.027 < sum(1 for record in records if record.fault) / len(records) < 0.033


def test_every_fault_comes(records):
    assert set(Counter(record.fault for record in records)) == {None, *BY_NAME}


def test_what_is_refused_has_a_reason_of_the_closed_list_and_says_nothing(records):
    for record in records:
        if record.reason is not None:
            assert Reason(record.reason) is BY_NAME[record.fault].reason
            assert record.outcome == "quarantined"
            assert record.fields == {}


def test_a_mended_record_looks_otherwise_and_means_the_same(records):
    for record in records:
        fault = BY_NAME.get(record.fault or "")
        if fault is None or fault.reason:
            continue
        clean = without_fault(1, record)
        column = fault.columns[record.dataset]
        assert (record.row[column] != clean.row[column]) or record.copies == 2
        assert {k: v for k, v in record.row.items() if k != column} == {
            k: v for k, v in clean.row.items() if k != column
        }
        expected = {**clean.fields, **fault.becomes}
        if fault.says:
            expected[fault.says] = record.row[column]
        expected.pop(fault.loses, None)
        assert record.fields == expected


def test_a_record_without_a_fault_says_what_its_row_says(records):
    for record in records:
        if record.fault is None and record.dataset != ELDER:
            assert record.row[ID[record.dataset]][:18] == record.fields["id_number"]
        if record.fault is None and record.dataset == REGISTERED:
            assert record.row["hyzk"] in MARITAL_CODES[record.fields["marital_status"]]
            assert (record.row["swrq"] is None) == ("alive" not in record.fields)
        if record.fault is None and record.dataset == LOW_INCOME:
            assert record.row["bzje"] == yuan(record.fields["benefit_amount_fen"])
            assert (record.row["scbz"] == "1") == record.deleted
        if record.fault is None and record.dataset == CARD:
            category = str(CATEGORIES.index(record.fields["disability_category"]) + 1)
            level = record.fields["disability_level"]
            assert (record.row["cjlb"], record.row["cjdj"]) == (category, level)
            assert record.row["cjzh"][18:] in (category + level, category + level + "B1")
            assert (record.row["zxbz"] == "1") == record.deleted


def test_everybody_of_sixteen_is_insured_and_most_elders_are_registered():
    by_dataset = Counter(record.dataset for number in range(10_000) for record in at_first(2, number))
    assert 8_300 < by_dataset[INSURED] < 8_900
    assert 2_300 < by_dataset[PENSION] < by_dataset[INSURED]
    assert 2_400 < by_dataset[ELDER] < 2_700
    assert 8_100 < by_dataset[REGISTERED] < by_dataset[INSURED]
    assert 200 < by_dataset[LOW_INCOME] < 320
    assert 250 < by_dataset[CARD] < 600
    assert 2_700 < by_dataset[GRID] < 3_300


def test_the_fault_of_one_department_is_none_of_another():
    faulty = {dataset: set() for dataset in DATASETS}
    for number in range(20_000):
        for record in at_first(3, number):
            if record.fault:
                faulty[record.dataset].add(number)
    assert len(faulty[INSURED] & faulty[REGISTERED]) < 0.1 * len(faulty[REGISTERED])


def test_some_are_marked_as_deleted_from_the_first_day_and_nothing_else_is_wrong_with_them(records):
    marked = [record for record in records if record.deleted]
    count, of_all = Counter(r.dataset for r in marked), Counter(r.dataset for r in records)
    assert set(count) == {LOW_INCOME, CARD}
    assert all(0.06 < count[dataset] / of_all[dataset] < 0.18 for dataset in count)
    assert {(record.fault, record.outcome) for record in marked} == {(None, "deleted")}


def test_keys_are_unique_and_do_not_follow_the_residents(records):
    for dataset in DATASETS:
        keys = [record.key for record in records if record.dataset == dataset]
        assert len(set(keys)) == len(keys)
        assert keys != sorted(keys)


def test_what_goes_into_the_dump_can_be_written_in_gbk(records):
    for record in records:
        if record.dataset == ELDER:
            ",".join(record.row.values()).encode("gbk")


def test_what_goes_into_the_tables_fits_their_columns(records, tmp_path):
    tables = Hrss(tmp_path).tables | CivilAffairs(tmp_path).tables
    for record in records:
        if record.dataset in tables:
            columns = tables[record.dataset].columns
            assert tuple(record.row) == tuple(columns)
            for name, (kind, _) in columns.items():
                if (width := re.match(r"(?:var)?char\((\d+)\)", kind)) and record.row[name] is not None:
                    assert len(record.row[name]) <= int(width[1])


def test_what_goes_into_the_register_of_cards_has_its_columns(records):
    for record in records:
        if record.dataset == CARD:
            assert [*record.row, "gxsj"] == list(COLUMNS)


def test_the_fault_of_an_id_number_leaves_the_end_of_a_cards_number_alone(records):
    faulty = [r for r in records if r.dataset == CARD and (r.fault or "").startswith("id_") and r.fault != "id_missing"]
    assert len({record.fault for record in faulty}) > 5
    for record in faulty:
        clean = without_fault(1, record)
        assert record.row["cjzh"].endswith(clean.row["cjzh"][18:])
        assert record.row["cjzh"][: -len(clean.row["cjzh"][18:])] != clean.fields["id_number"]


def test_a_fault_that_does_not_fit_leaves_the_record_alone():
    from examples.city.faults import broken_by

    clean = next(
        r
        for n in range(100)
        for r in at_first(1, n)
        if r.dataset == INSURED and not r.fault and "·" not in r.row["aac003"]
    )
    assert broken_by(BY_NAME["name_dot"], clean, random.Random(1)) is None
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_an_edition_is_one_city_for_ever(records):
    """When this fails on purpose, raise EDITION and add the new digest: cities built before are then built anew."""
    text = json.dumps(records[:20_000], ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN[EDITION]
