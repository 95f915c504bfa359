"""What comes from a log that somebody else wrote into: one clear error with the place, never a traceback."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from contracts.errors import EventUnreadable, InvariantBroken
from projections.databases import open_view
from projections.engine import Arrival, LogIdentity, ViewEngine
from projections.winners import Authority
from streams.records import arrival, incoming
from streams.roles import ProjectionsRole
from streams.runner import Fetch

TOPIC = "community.resident"
HELD = (
    b'{"type":"RecordHeld","version":1,"resident_id":"r","system":"s","dataset":"d","record_key":"k","revision":1,'
    b'"event_id":"e","reason":"id_length"}'
)


def record(headers, key=b"k", value=HELD):
    return SimpleNamespace(topic=TOPIC, partition=2, offset=17, key=key, value=value, headers=headers)


def test_a_numbered_event_arrives():
    assert arrival(record([("ce_source", b"in/0"), ("ce_sequence", b"3")])) == Arrival(17, "in/0", 3, HELD)


@pytest.mark.parametrize(
    "headers", [[], [("ce_source", b"in/0")], [("ce_source", b"in/0"), ("ce_sequence", b"x")], [("ce_source", b"\xff")]]
)
def test_an_event_that_is_not_numbered_is_named_with_its_place(headers):
    with pytest.raises(EventUnreadable, match=r"community\.resident/2, offset 17") as caught:
        arrival(record(headers))
    assert isinstance(caught.value, InvariantBroken)
    assert (caught.value.code, bool(caught.value.fix)) == ("OW-1308", True)


@pytest.mark.parametrize("bad", [b"{", b"", HELD + b"," + HELD, HELD.replace(b"RecordHeld", b"Nonsense"), b'"\xff"'])
def test_an_event_that_is_none_is_named_with_its_place_and_nothing_is_kept(bad):
    engine = open_view("sqlite://")
    view = ViewEngine(engine, Authority({}))
    view.prepare(LogIdentity("cluster", {TOPIC: "id"}))
    good = HELD.replace(b'"k"', b'"other"')
    with pytest.raises(EventUnreadable, match=r"community\.resident/2, offset 18"):
        view.take(TOPIC, 2, first=0, to=19, arrivals=[Arrival(17, "in/0", 0, good), Arrival(18, "in/0", 1, bad)])
    assert view.positions() == {}
    engine.dispose()


def test_what_another_tool_wrote_into_a_department_topic_is_no_traceback():
    came = incoming(record([("ce_id", b"\xff\x00")], key=b"\xff\x00", value=None))
    assert (came.key, came.event_id, came.sequence, came.value) == ("\ufffd\ufffd", "\ufffd\ufffd", "", b"")


def test_what_a_remap_says_again_is_not_taken_for_a_late_change():
    role = ProjectionsRole.__new__(ProjectionsRole)
    role._view = SimpleNamespace(take_together=lambda _: "taken")
    said = [
        record([("ce_source", origin), ("ce_sequence", b"0")], value=b'{"committed_at":"%s"}' % at)
        for origin, at in ((b"department.a.b/0", b"2026-11-01"), (b"remap.a.b/0", b"2020-01-01"))
    ]
    assert role._take(TOPIC, [Fetch(0, 0, said)]) == ("taken", ["2026-11-01"])
