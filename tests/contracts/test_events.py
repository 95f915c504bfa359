"""The canonical events: the models, their twins on the hot path, upcasting and schemas."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from contracts import changes, events

BASE = {
    "resident_id": "a" * 32,
    "system": "hrss",
    "dataset": "insured_person",
    "record_key": "b" * 32,
    "revision": 3,
    "event_id": "c" * 32,
    "committed_at": "2026-11-01T00:00:00+00:00",
}
EXAMPLES = [
    events.RecordAsserted(
        **BASE,
        fields={"name": "张三", "alive": True, "benefit_amount_fen": 20_000},
        originals={"name": "张 三"},
        mends={"name": "spaces"},
        as_of="2026-10-01T00:00:00+00:00",
    ),
    events.RecordRetracted(**BASE, moved_to="d" * 32),
    events.RecordHeld(**BASE, reason="id_check_digit"),
]


@pytest.mark.parametrize("model", EXAMPLES, ids=lambda model: model.type)
def test_a_twin_reads_what_its_model_writes(model):
    (read,) = events.decode([model.model_dump_json().encode()])
    assert type(read).__struct_config__.tag == model.type
    for name, value in model.model_dump().items():
        if name != "type":
            assert getattr(read, name) == value
    assert set(read.__struct_fields__) | {"type"} == set(type(model).model_fields)


@pytest.mark.parametrize("model", EXAMPLES, ids=lambda model: model.type)
def test_unknown_and_missing_fields_are_refused_by_both(model):
    good = json.loads(model.model_dump_json())
    for bad in ({**good, "extra": 1}, {key: value for key, value in good.items() if key != "revision"}):
        with pytest.raises(ValidationError):
            type(model).model_validate(bad)
        with pytest.raises(events.EventUnreadable):
            events.decode([json.dumps(bad).encode()])


def test_an_older_version_is_lifted_when_read():
    old = {**json.loads(EXAMPLES[2].model_dump_json()), "version": 0, "why": "id_masked"}
    del old["reason"]

    def step(event):
        return {**{k: v for k, v in event.items() if k != "why"}, "version": 1, "reason": event["why"]}

    upcasts = {("RecordHeld", 0): step}
    new = EXAMPLES[2].model_dump_json().encode()
    read = events.decode([json.dumps(old).encode(), new], upcasts)
    assert [event.reason for event in read] == ["id_masked", "id_check_digit"]


def test_an_upcast_that_does_not_make_the_next_version_is_an_error():
    with pytest.raises(events.EventUnreadable, match="next version"):
        events.upcast({"type": "X", "version": 0}, {("X", 0): lambda event: event})


def test_the_schemas_are_those_that_are_published():
    stored = {
        path.stem: json.loads(path.read_text(encoding="utf-8"))
        for path in (Path(__file__).parents[2] / "docs" / "schemas").glob("*.json")
    }
    assert stored == {**events.schemas(), "Change.v1": changes.Change.model_json_schema()}


def test_the_fast_change_reads_and_writes_what_the_model_does():
    fast = changes.FastChange(
        "upsert", {"aac001": "1", "n": None}, changes.FastSource("hrss", "p", 2, 7, 1, "2026-11-01T00:00:00Z"), "ab"
    )
    model = changes.Change.model_validate_json(changes.encode(fast))
    assert model.model_dump(by_alias=True) == json.loads(changes.encode(fast))
    assert changes.decode([changes.encode(fast), b"{"]) == [fast, None]


def test_versions_sort_as_their_triples_do():
    triples = [(1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 300, 0), (2, 0, 0), (10, 0, 0), (17, 5, 99_999)]
    assert [changes.version(*triple) for triple in triples] == sorted(changes.version(*triple) for triple in triples)
