import hashlib
import json
import random
from collections import Counter

import pytest

from contracts.reasons import Reason
from examples.city.faults import BY_NAME, FAULTS
from examples.city.records import ELDER, INSURED, PENSION
from examples.city.registers import EDITION, at_first, without_fault

GOLDEN = {1: "af178137a263d824"}


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
        expected.pop(fault.loses, None)
        assert record.fields == expected


def test_a_record_without_a_fault_says_what_its_row_says(records):
    for record in records:
        if record.fault is None and record.dataset != ELDER:
            assert record.row["aac002"] == record.fields["id_number"]


def test_everybody_of_sixteen_is_insured_and_most_elders_are_registered():
    by_dataset = Counter(record.dataset for number in range(10_000) for record in at_first(2, number))
    assert 8_300 < by_dataset[INSURED] < 8_900
    assert 2_300 < by_dataset[PENSION] < by_dataset[INSURED]
    assert 2_400 < by_dataset[ELDER] < 2_700


def test_keys_are_unique_and_do_not_follow_the_residents(records):
    for dataset in (INSURED, PENSION, ELDER):
        keys = [record.key for record in records if record.dataset == dataset]
        assert len(set(keys)) == len(keys)
        assert keys != sorted(keys)


def test_what_goes_into_the_dump_can_be_written_in_gbk(records):
    for record in records:
        if record.dataset == ELDER:
            ",".join(record.row.values()).encode("gbk")


def test_what_goes_into_the_tables_fits_their_columns(records):
    widths = {"aac002": 20, "aac003": 50, "aac004": 5, "aac005": 2, "aac006": 20, "aae005": 20, "aab301": 12}
    for record in records:
        if record.dataset == INSURED:
            assert all(len(record.row[column] or "") <= width for column, width in widths.items())


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
    text = json.dumps(records[:2_000], ensure_ascii=False)
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == GOLDEN[EDITION]
