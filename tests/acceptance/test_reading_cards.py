"""残联's API as its source file declares it, read by the product's own connector."""

from __future__ import annotations

from collections import Counter
from datetime import date
from string import Template

import pytest
import yaml
from product import ROOT

from connectors.base import Delete, Upsert
from connectors.rest import RestConnector
from contracts.errors import SourceRefused, SourceUnreachable
from contracts.sources import Source
from examples.city.disabled_persons import DisabledPersons
from examples.city.faults import BY_NAME
from examples.city.people import person
from examples.city.records import CARD, card_of, revoked
from examples.city.registers import at_first
from streams.mapping import RecordMap, Refusal


def card(number, **changed):
    who = person(1, number)._replace(disability_category="visual", disability_level="3")
    record = card_of(who, "2024-05-06")
    return record._replace(row={**record.row, "jbsj": "2024-12-02 08:00:00", **changed})


@pytest.fixture
def department(tmp_path):
    department = DisabledPersons(tmp_path)
    department.start()
    yield department
    department.stop()


def declared(url):
    text = (ROOT / "examples" / "city" / "sources" / "disabled_persons.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(Template(text).safe_substitute(url=url))


def connected(department, tmp_path, *, password=None, page_rows=500):
    source = declared(department.reader_url)
    source["connector"] |= {"page_rows": page_rows, "requests_per_s": 1_000}
    return RestConnector(
        Source.model_validate(source), password or department.password_file.read_text(), tmp_path / "state"
    )


@pytest.fixture
def connector(department, tmp_path):
    connector = connected(department, tmp_path, page_rows=3)
    yield connector
    connector.close()


def look(connector, after=None):
    """What one look gives, and where it ends."""
    changes = []
    for page in connector.pull("disability_card", after):
        changes += page.changes
        after = page.position
    return changes, after


def test_all_cards_are_read_once_and_then_what_changes(department, connector):
    department.commit([card(number) for number in range(10)])
    changes, after = look(connector)
    assert sorted(change.key for change in changes) == sorted(card(number).key for number in range(10))
    changes, after = look(connector, after)
    assert changes == []
    department.commit([card(3, lxdh="10030000001"), revoked(card(4)), card(11)])
    changes, after = look(connector, after)
    kinds = {change.key: type(change) for change in changes}
    assert kinds == {card(3).key: Upsert, card(4).key: Delete, card(11).key: Upsert}
    assert look(connector, after)[0] == []


def test_a_token_that_is_no_more_is_asked_for_anew(department, connector, tmp_path):
    department.commit([card(1)])
    _, after = look(connector)
    department.stop()  # and with it all tokens are gone
    with pytest.raises(SourceUnreachable):
        look(connector, after)
    department.start()
    department.commit([card(2)])
    assert [change.key for change in look(connector, after)[0]] == [card(2).key]


def test_another_secret_reads_nothing(department, tmp_path):
    connector = connected(department, tmp_path, password="wrong")
    with pytest.raises(SourceRefused):
        look(connector)
    connector.close()


def test_the_check_finds_nothing_to_say_against_it(department, connector):
    department.commit([card(number) for number in range(5)])
    found = list(connector.check())
    assert [each for each in found if each.level != "ok"] == []
    assert len(found) >= 3


def test_each_fault_of_a_card_is_mended_or_refused_as_the_truth_says():
    """Without the way: of forty thousand residents, so that each fault of cards comes."""
    source = Source.model_validate(declared("http://127.0.0.1:1/api/v1"))
    record_map, seen = RecordMap(source.datasets["disability_card"], date(2026, 11, 1)), Counter()
    for record in (each for number in range(40_000) for each in at_first(1, number) if each.dataset == CARD):
        found = record_map.map(record.row)
        if record.reason:
            assert isinstance(found, Refusal), record.fault
            assert found.reason == record.reason, record.fault
            assert str(record.row["cjzh"])[6:14] not in found.detail
        else:
            assert not isinstance(found, Refusal), (record.fault, found)
            assert found.fields == record.fields, record.fault
            fault = BY_NAME.get(record.fault or "")
            kept = [record.row[fault.columns[CARD]]] if fault is not None and not fault.loses else []
            assert list(found.originals.values()) == kept, record.fault
        seen[record.fault] += 1
    assert {
        "category_name",
        "level_name",
        "category_conflict",
        "level_conflict",
        "card_digit",
        "category_blank",
    } <= set(seen)
