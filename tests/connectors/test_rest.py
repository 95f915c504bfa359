"""The REST connector on a real server: every record, nothing lost while pages move, and one clear outcome for each bad habit."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import random
import re
import subprocess
import threading
import tracemalloc
from datetime import datetime, timedelta
from email.utils import format_datetime
from itertools import islice
from pathlib import Path
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from restserver import BEGAN, Department, Reply, chunked

from connectors import open_connector
from connectors._rest_client import Clocks
from connectors._rest_cursors import point, reaching_back, written
from connectors.base import Delete, Page, Upsert
from connectors.rest import RestConnector
from connectors.sql import SqlConnector
from contracts.errors import (
    AnswerNotJson,
    AnswerShapeWrong,
    AnswerTooLarge,
    AnswerTruncated,
    ColumnMissing,
    KeyRepeated,
    OneWindowError,
    PagingEndless,
    PositionLost,
    PrivilegeMissing,
    ReadIncomplete,
    RequestRefused,
    SettingInvalid,
    SourceRefused,
    SourceThrottled,
    SourceUnreachable,
    TableMissing,
)
from contracts.sources import DeletedFlag, Endpoint, Login, Paging, Since, Source

PAGINGS = {
    "none": {},
    "page": {"by": "page", "param": "page", "size": "size"},
    "offset": {"by": "offset", "param": "offset", "size": "size"},
    "token": {"by": "token", "param": "after", "next": "next", "size": "size"},
    "link": {"by": "link", "next": "next", "size": "size"},
    "link_header": {"by": "link", "size": "size"},
}
SECRET = "geheim+wort/9"


def source(
    url: str, *, paging: str | dict = "none", capture: str = "poll", connector=None, endpoint=None, **dataset
) -> Source:
    poll = capture == "poll"
    declared = {
        "path": "/people", "records": "data.items", "total": "data.total",
        "paging": PAGINGS[paging] if isinstance(paging, str) else paging,
    } | ({"since": {"param": "since"}} if poll else {}) | (endpoint or {})  # fmt: skip
    return Source.model_validate(
        {
            "system": "dpf",
            "title": "残联",
            "owner": "信息中心",
            "connector": {
                "kind": "rest", "url": url, "capture": capture, "page_rows": 3, "overlap_s": 1, "requests_per_s": 1_000,
            } | (connector or {}),
            "datasets": {
                "people": {
                    "key": ["id"], "endpoint": declared, "map": {"name": "name"},
                    "deleted": {"column": "meta.deleted", "values": [True]},
                } | ({"cursor": "meta.updated_at"} if poll else {}) | dataset
            },
        }
    )  # fmt: skip


class Time:
    """A clock that goes only when it is told, or when somebody sleeps."""

    def __init__(self, department: Department) -> None:
        self.department, self.elapsed, self.slept = department, 0.0, []

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        self.elapsed += wait_s

    @property
    def clocks(self) -> Clocks:
        return Clocks(lambda: self.department.now.timestamp(), lambda: self.elapsed, self.sleep)  # noqa: PLW0108 - it moves


@pytest.fixture(scope="module")
def server():
    department = Department()
    yield department
    department.close()


@pytest.fixture
def department(server):
    server.reset()
    return server


@pytest.fixture
def opened(department, tmp_path):
    """Makes connectors, and closes them."""
    connectors = []

    def make(*, password: str | None = None, time: Time | None = None, **options) -> RestConnector:
        declared = source(options.pop("url", department.url), **options)
        clocks = (time or Time(department)).clocks
        connectors.append(RestConnector(declared, password, tmp_path / "state", clocks=clocks))
        return connectors[-1]

    yield make
    for connector in connectors:
        connector.close()


def pages(connector: RestConnector, after=None) -> list[Page]:
    found = list(islice(connector.pull("people", after), 1_000))  # a broken loop fails and does not hang
    assert len(found) < 1_000
    return found


def changes(found: list[Page]) -> list[tuple[str, str | None]]:
    """(key, name), the name None for a delete."""
    return [
        (change.key, change.record["name"] if isinstance(change, Upsert) else None)
        for page in found
        for change in page.changes
    ]


def keys(found: list[Page]) -> list[str]:
    return [key for key, _ in changes(found)]


class Reader:
    """What a connector's pages add up to."""

    def __init__(self) -> None:
        self.state: dict[str, str] = {}
        self.read: set[str] = set()
        self.deleted: list[str] = []
        self.position, self.asks = None, ()

    def take(self, page: Page) -> None:
        assert len(json.dumps(page.position)) < 5_000
        self.position, self.asks = json.loads(json.dumps(page.position)), page.asks
        for change in page.changes:
            if isinstance(change, Delete):
                self.state.pop(change.key, None)
                self.deleted.append(change.key)
            else:
                self.state[change.key] = change.record.get("name")
                self.read.add(change.key)
        if page.mark == "complete":
            self.state = {key: name for key, name in self.state.items() if key in self.read}

    def look(self, connector: RestConnector) -> list[Page]:
        found, positions = [], []
        for page in islice(connector.pull("people", self.position), 1_000):
            self.take(page)
            found.append(page)
            positions.append(self.position)
        assert [page.position for page in found] == positions  # a position that was given changes no more
        return found


# paging --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", ["poll", "snapshot"])
@pytest.mark.parametrize("paging", PAGINGS)
@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_every_record_comes_once_however_pages_are_named(department, opened, paging, capture, count):
    department.paging = paging
    for number in range(count):
        department.put(f"k{number}")
    found = pages(opened(paging=paging, capture=capture))
    assert sorted(changes(found)) == sorted(department.truth().items())
    assert all(page.snapshot for page in found if page.changes)
    assert (found[-1].done, found[-1].total) == (count, count)
    connector = opened(paging=paging, capture=capture)
    again = changes(pages(connector, found[-1].position))
    assert again == ([] if capture == "snapshot" else changes(found)[-2:])  # of the overlap, a second


@pytest.mark.parametrize("paging", [name for name in PAGINGS if name != "none"])
def test_a_look_is_one_page_at_a_time(department, opened, paging):
    department.paging = paging
    for number in range(9):
        department.put(f"k{number}")
    stream = opened(paging=paging).pull("people", None)
    first = next(stream)
    assert len(first.changes) == 3
    assert len(department.asked) == 1
    stream.close()


@pytest.mark.parametrize("paging", ["page", "offset"])
def test_a_server_that_gives_less_than_it_is_asked_for_is_read_to_its_end(department, opened, paging):
    department.paging, department.cap, department.hides_total = paging, 2, True
    for number in range(7):
        department.put(f"k{number}")
    found = pages(opened(paging=paging, endpoint={"total": None}, connector={"page_rows": 100}))
    assert sorted(keys(found)) == sorted(department.truth())


@pytest.mark.parametrize("paging", ["token", "link", "link_header"])
def test_empty_pages_in_the_middle_are_passed_over(department, opened, paging):
    department.paging, department.order = paging, "id"
    for number in range(7):
        department.put(f"k{number}")

    def empty(asked):
        further = asked.query | {"after": "x_k2"}  # where it stands, in other words
        link = f"/api/people?{urlencode(further)}"
        named = {"token": "x_k2", "link": link}.get(paging)
        headers = {"Link": f'<{link}>; rel="next"'} if paging == "link_header" else {}
        return Reply(200, {"data": {"items": []}, "next": named}, headers)

    department.script.extend([None, empty])
    found = pages(opened(paging=paging, endpoint={"total": None}))
    assert sorted(keys(found)) == sorted(department.truth())


def test_an_empty_page_before_the_total_is_no_end(department, opened):
    department.paging = "page"
    for number in range(7):
        department.put(f"k{number}")
    connector, reader = opened(paging="page"), Reader()
    empty = {"data": {"items": [], "total": 7}}
    department.script.extend([None, Reply(200, empty)])
    with pytest.raises(ReadIncomplete, match="3 records came, and the API says that there are 7"):
        reader.look(connector)
    assert reader.position["phase"] == "snapshot"
    reader.look(connector)
    assert reader.state == department.truth()


@pytest.mark.parametrize("capture", ["poll", "snapshot"])
def test_page_numbers_lose_nothing_to_a_record_that_is_removed_meanwhile(department, opened, capture):
    department.paging = "page"
    for number in range(9):
        department.put(f"k{number}")
    department.before = lambda count: department.remove("k0") if count == 2 else None
    reader = Reader()
    reader.look(opened(paging="page", capture=capture))
    assert reader.state.keys() >= department.truth().keys()
    assert "k3" in reader.state  # drawn from the second page to the first


@pytest.mark.parametrize("paging", ["token", "link", "offset"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_a_table_that_changes_while_it_is_paged_gives_its_final_state_when_polled(department, tmp_path, paging, data):
    department.reset()
    department.paging, department.order = (
        paging,
        data.draw(st.sampled_from(["asc", "desc"] if paging == "token" else ["asc"])),
    )
    _changing(department, tmp_path, data, paging=paging, capture="poll", order=department.order)


@pytest.mark.parametrize("paging", ["token", "link", "offset"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_a_table_that_changes_while_it_is_paged_gives_its_final_state_when_read_in_full(
    department, tmp_path, paging, data
):
    department.reset()
    department.paging, department.order = paging, data.draw(st.sampled_from(["id", "asc", "desc"]))
    _changing(department, tmp_path, data, paging=paging, capture="snapshot", order=department.order)


def _changing(department: Department, tmp_path: Path, data, *, paging: str, capture: str, order: str) -> None:
    """Change the table before each request, stop and resume after any page, and look until nothing comes any more."""
    names = [f"k{number}" for number in range(8)]
    for key in data.draw(st.permutations(names)):
        department.put(key)
    steady = set(names)
    step = st.lists(st.tuples(st.sampled_from(["put", "put", "remove"]), st.sampled_from([*names, "new"])), max_size=2)
    steps = iter(data.draw(st.lists(step, max_size=12)))

    def happen(_count: int) -> None:
        for what, key in next(steps, ()):
            steady.discard(key)
            if what == "put":
                department.put(key)
            elif capture == "snapshot":
                department.remove(key)
            else:
                department.put(key, deleted=True)

    department.before = happen
    stops = iter(data.draw(st.lists(st.booleans(), max_size=30)))
    options = {"paging": paging, "capture": capture, "endpoint": {"total": None}, "disappear_limit": 1}
    state, time, reader, quiet = tmp_path / str(random.random()), Time(department), Reader(), 0
    connector = RestConnector(source(department.url, **options), None, state, clocks=time.clocks)
    for _ in range(200):
        found = 0
        try:
            for page in connector.pull("people", reader.position):
                reader.take(page)
                found += len(page.changes)
                if next(stops, False):
                    connector.close()
                    connector = RestConnector(source(department.url, **options), None, state, clocks=time.clocks)
                    break
            else:
                quiet = quiet + 1 if not found and next(steps, None) is None else 0
        except (ReadIncomplete, PagingEndless):  # it moved too fast, or by a page at each request
            quiet = 0
        if quiet == 2:
            break
    connector.close()
    assert quiet == 2
    assert reader.state == department.truth()
    assert capture == "poll" or not steady & set(reader.deleted)  # who was always there is never deleted


def test_an_offset_that_lost_its_place_begins_anew(department, opened):
    department.paging, department.order = "offset", "asc"
    for number in range(12):
        department.put(f"k{number:02d}")

    def shift(count: int) -> None:
        if count == 2:
            for number in range(6):
                department.remove(f"k{number:02d}")

    department.before = shift
    reader = Reader()
    reader.look(opened(paging="offset", capture="snapshot"))
    assert reader.state.keys() >= department.truth().keys()


def test_records_that_never_stand_still_are_said_to_be_so(department, opened):
    department.paging, department.order = "offset", "asc"
    for number in range(9):
        department.put(f"k{number}")

    def all_of_them(_count: int) -> None:
        for key in list(department.people):
            department.put(key)

    department.before = all_of_them
    with pytest.raises(ReadIncomplete, match="move on faster"):
        pages(opened(paging="offset", endpoint={"total": None}))


def repeated(*items: str, **more):
    return Reply(
        200, {"data": {"items": [{"id": i, "name": i, "meta": {"updated_at": "2026-01-01"}} for i in items]}} | more
    )


@pytest.mark.parametrize(
    ("paging", "answers", "words"),
    [
        ("page", [repeated("a", "b")] * 9, "page 3 is the same"),
        ("offset", [repeated("a", "b")] * 9, "from 2 on is the same"),
        ("offset", [repeated("a")] * 9, "from 2 on is the same"),
        ("token", [repeated("a", next="x"), repeated("b", next="x")], "already read"),
        ("token", [repeated("a", next="x"), repeated("b", next="y"), repeated("c", next="x")], "already read"),
        ("link", [repeated("a", next="?p=2"), repeated("b", next="/api/people?p=2")], "already read"),
        ("token", [repeated("a", next=n) for n in range(150)], "100 pages in a row held nothing new"),
        ("token", [repeated(next=n) for n in range(150)], "100 pages in a row held nothing new"),
    ],
)
@pytest.mark.parametrize("capture", ["poll", "snapshot"])
def test_pages_without_an_end_are_noticed(department, opened, paging, answers, words, capture):
    department.script.extend(answers)
    with pytest.raises(PagingEndless, match=words) as caught:
        pages(opened(paging=paging, capture=capture, endpoint={"total": None}))
    assert "endpoint.paging" in caught.value.fix


def test_a_scroll_whose_empty_page_names_itself_has_ended(department, opened):
    department.script.extend([repeated("a", next="x"), repeated("b", next="y"), repeated(next="y")])
    assert keys(pages(opened(paging="token", endpoint={"total": None}))) == ["a", "b"]


def test_a_next_page_on_another_server_is_not_shown_the_login(department, opened):
    department.script.append(repeated("a", next="http://evil.example/api?x=1"))
    with pytest.raises(RequestRefused, match=r"another server \(evil.example\)"):
        pages(opened(paging="link", endpoint={"total": None}))
    department.script.extend(
        [repeated("a", next="https://127.0.0.1:1/api/people?p=2"), repeated("b")]
    )  # a gateway's inside
    assert keys(pages(opened(paging="link", endpoint={"total": None}))) == ["a", "b"]


@pytest.mark.parametrize("end", ["", "42", "42B1", "82", "4", "421"])
def test_an_id_number_never_gets_into_an_address(department, opened, end):
    department.script.extend([repeated("a", next="0000001950010100191"), repeated("b")])  # 19 digits are none
    assert keys(pages(opened(paging="token", endpoint={"total": None}))) == ["a", "b"]
    department.script.clear()
    department.script.append(repeated("a", next=f"after:379901197005151019{end}"))
    with pytest.raises(RequestRefused, match="ID number") as caught:
        pages(opened(paging="token", endpoint={"total": None}))
    assert "379901197005151019" not in str(caught.value)
    with pytest.raises(ValidationError, match="ID number"):
        source(department.url, endpoint={"query": {"idcard": f"379901197005151019{end}"}})


def test_a_token_of_long_ago_begins_the_look_anew(department, opened):
    department.paging = "token"
    for number in range(7):
        department.put(f"k{number}")
    first = next(opened(paging="token").pull("people", None))
    assert first.position["look"]["place"]
    department.script.append(Reply(410))
    found = pages(opened(paging="token"), first.position)
    assert sorted(set(keys(found))) == sorted(department.truth())
    department.script.append(Reply(410))
    with pytest.raises(TableMissing):
        pages(opened(paging="token"))


# incremental ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paging", PAGINGS)
def test_only_what_has_changed_comes_after_the_first_look(department, opened, paging):
    department.paging, department.order = paging, "asc"
    for number in range(7):
        department.put(f"k{number}")
    connector, reader = opened(paging=paging), Reader()
    reader.look(connector)
    assert reader.look(connector) == []
    department.put("k3", "changed")
    department.put("k8", "new")
    found = reader.look(connector)
    assert changes(found) == [("k3", "changed"), ("k8", "new")]
    assert [change.committed_at for page in found for change in page.changes] == [
        "2026-01-01T00:00:08Z",
        "2026-01-01T00:00:09Z",
    ]
    assert not any(page.snapshot for page in found)
    assert found[0].changes[0].place == "/people id=k3"
    assert reader.look(connector) == []
    assert department.asked[-1].query["since"] == "2026-01-01T00:00:08Z"


def test_a_look_that_ends_with_nothing_new_is_left_behind(department, opened):
    department.paging, department.order = "token", "desc"
    for number in range(8):
        department.put(f"k{number}")
    department.before = lambda count: department.put("k0" if count > 3 else "k1") if count in (1, 4, 5) else None
    connector, reader = opened(paging="token"), Reader()
    for _ in range(4):
        reader.look(connector)
        assert "look" not in reader.position
    assert reader.state == department.truth()


@pytest.mark.parametrize("paging", ["none", "page", "offset", "token", "link"])
def test_a_look_that_fits_on_one_page_costs_one_request(department, opened, paging):
    department.paging = paging
    department.put("a")
    pages(opened(paging=paging))
    assert len(department.asked) == 1


def test_proxies_of_the_environment_are_not_used(department, opened, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    department.put("a")
    assert keys(pages(opened())) == ["a"]


def test_what_is_committed_late_is_within_the_overlap(department, opened):
    for number in range(30):
        department.put(f"k{number}")
    connector, reader = opened(connector={"overlap_s": 20}), Reader()
    reader.look(connector)
    department.put("late", late_s=15)
    assert keys(reader.look(connector)) == ["late"]
    department.put("too late", late_s=60)
    assert keys(reader.look(connector)) == []


def test_what_changes_while_a_long_look_goes_on_is_found_by_the_next_one(department, opened):
    """On a page that was read already, with the list sorted by id and a minute between two requests."""
    department.paging, department.order = "token", "id"
    for number in range(9):
        department.put(f"k{number}")

    def minute(count: int) -> None:
        department.now += timedelta(seconds=60)
        if count == 2:
            department.put("k0", "early")
        if count == 3:
            department.put("k8", "top")

    department.before, department.skew_s = minute, 3_600  # a clock that does not tell
    connector, reader = opened(paging="token"), Reader()
    reader.look(connector)
    assert reader.state["k8"] == "top"
    department.before = lambda _: None
    reader.look(connector)
    assert reader.state == department.truth()


def test_a_page_that_was_given_but_not_kept_is_given_again(department, opened):
    department.put("a")
    connector = opened()
    saved = pages(connector)[-1].position
    department.put("b")
    assert "b" in keys(pages(connector, saved))
    assert "b" in keys(pages(connector, saved))


def test_a_record_that_goes_there_and_back_is_given_both_times(department, opened):
    person = department.put("a", "x")
    connector, reader = opened(), Reader()
    reader.look(connector)
    for name in ("y", "x", "y"):
        person.name = name  # the cursor, coarse as it is, stays
        assert changes(reader.look(connector)) == [("a", name)]


def test_a_cursor_in_the_future_hides_nothing(department, opened):
    department.put("a").updated_at = "9999-12-31T00:00:00Z"
    connector, reader = opened(), Reader()
    for key in "bcd":
        department.put(key)
        assert keys(reader.look(connector))[-1:] == [key]
        department.now += timedelta(seconds=5)
        assert reader.look(connector) == []  # nor does it move the position for ever
    department.put("e", late_s=-240)  # four minutes ahead of its own clock
    reader.look(connector)
    department.put("f")
    assert "f" in keys(reader.look(connector))


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_of_several_versions_in_a_list_of_changes_the_latest_stands(department, opened, order):
    versions = [{"id": "a", "name": f"v{n}", "meta": {"updated_at": f"2026-01-01T00:00:0{n}Z"}} for n in range(5)]
    if order == "desc":
        versions.reverse()
    answers = [
        {"data": {"items": part}, "next": n}
        for n, part in ((1, versions[:2]), (2, versions[2:4]), (None, versions[4:]))
    ]
    connector, reader = opened(paging="token", endpoint={"total": None}), Reader()
    department.now += timedelta(seconds=30)
    for _ in range(3):
        department.script.extend([Reply(200, answer) for answer in answers])
        found = reader.look(connector)
        assert reader.state == {"a": "v4"}
        assert not any(page.notes for page in found)
    assert found == []


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        ("iso", "2026-01-01T08:00:30Z", "2026-01-01T08:00:20Z"),
        ("iso", "2026-01-01T08:00:30.123456+08:00", "2026-01-01T08:00:20.123456+08:00"),
        ("iso", "2026-01-01T08:00:30.5+0800", "2026-01-01T08:00:20.500+0800"),
        ("iso", "2026-01-01 08:00:30", "2026-01-01 08:00:20"),
        ("iso", "2026-01-01", "2025-12-31"),
        ("%Y%m%d%H%M%S", "20260101080030", "20260101080020"),
        ("%Y/%m/%d %H:%M", "2026/01/01 08:00", "2026/01/01 07:59"),
        ("epoch_s", 1767225630, "1767225620"),
        ("epoch_ms", "1767225630123", "1767225620123"),
        ("number", 7, "6"),
    ],
)
def test_a_cursor_is_asked_for_in_the_form_that_the_api_writes(form, value, expected):
    at = reaching_back(str(value), form, by_s=10, clock=datetime.fromisoformat("2030-01-01T00:00:00+00:00"))
    assert at is not None
    assert written(at, form, str(value)) == expected
    assert point(expected, form) <= point(value, form)


@pytest.mark.parametrize("value", [None, True, "", "gestern", "0000-00-00", "9999-99-99", "0001-01-01", {"a": 1}])
def test_a_cursor_that_says_nothing_is_no_point(value):
    assert all(
        point(value, form) is None for form in ("iso", "epoch_s", "number", "%Y%m%d") if value is not True or form
    )


def test_an_api_that_wants_its_parameter_always_is_told_where_to_start(department, opened):
    department.put("a")
    pages(opened(endpoint={"since": {"param": "since", "start": "1900-01-01"}, "query": {"kind": 1}}))
    assert department.asked[0].query == {"since": "1900-01-01", "kind": "1"}


def test_a_form_that_does_not_fit_is_said(department, opened):
    department.put("a")
    with pytest.raises(SettingInvalid, match=r"no value of meta.updated_at can be read in the form number"):
        pages(opened(endpoint={"since": {"param": "since", "form": "number"}}))


# full reads ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("paging", PAGINGS)
def test_a_full_read_finds_what_is_new_changed_and_gone(department, opened, paging):
    department.paging = paging
    for number in range(7):
        department.put(f"k{number}")
    connector, reader = opened(paging=paging, capture="snapshot", disappear_limit=0.5), Reader()
    assert [page.mark for page in reader.look(connector)][-1] == "complete"
    department.put("k1", "changed")
    department.put("k9", "new")
    department.put("k2", deleted=True)
    department.remove("k0")
    found = reader.look(connector)
    assert sorted(changes(found), key=str) == [("k0", None), ("k1", "changed"), ("k2", None), ("k9", "new")]
    assert not any(page.snapshot or page.mark for page in found)
    assert changes(reader.look(connector)) == []
    department.put("k0", "back")
    assert changes(reader.look(opened(paging=paging, capture="snapshot"))) == [("k0", "back")]
    assert reader.state == department.truth()


def test_too_many_absent_delete_nobody_and_ask(department, opened):
    for number in range(10):
        department.put(f"k{number}")
    connector, reader = opened(capture="snapshot"), Reader()
    reader.look(connector)
    department.remove("k1")
    notes = [note for page in reader.look(connector) for note in page.notes]
    assert len(notes) == 1
    assert "1 of 10 records are absent from a full read, more than 5.0%" in notes[0]
    assert [ask.code for ask in reader.asks] == ["OW-1207"]
    assert "onewindow source reread dpf.people" in reader.asks[0].fix
    for again in (connector, opened(capture="snapshot")):  # it stays open, without another note
        assert not any(page.notes for page in reader.look(again))
        assert [ask.code for ask in reader.asks] == ["OW-1207"]
    assert reader.deleted == []
    department.put("k1")
    reader.look(connector)
    assert reader.asks == []
    assert reader.deleted == []


def test_records_without_a_key_may_be_the_absent_ones(department, opened):
    for number in range(10):
        department.put(f"k{number}")
    connector, reader = opened(capture="snapshot", disappear_limit=1, endpoint={"total": None}), Reader()
    reader.look(connector)
    people = [each.shown() for each in department.people.values()]
    people[3]["id"], people[4]["id"] = "  ", None
    del people[5]["id"]
    department.script.append(Reply(200, {"data": {"items": [*people, "rubbish"]}}))
    found = reader.look(connector)
    assert [ask.code for ask in reader.asks] == ["OW-1211"]
    bad = [change for page in found for change in page.changes]
    assert [change.record.get("id") for change in bad] == [None] * 4
    assert len({change.key for change in bad}) == 4
    assert bad[-1].record == {"id": None, "unreadable_record": "rubbish"}
    assert reader.deleted == []


def test_fewer_records_than_the_total_delete_nobody(department, opened):
    department.paging = "token"
    for number in range(7):
        department.put(f"k{number}")
    connector, reader = opened(paging="token", capture="snapshot", disappear_limit=1), Reader()
    reader.look(connector)
    short = {"data": {"items": [department.people["k0"].shown()], "total": 7}}
    department.script.append(Reply(200, short))
    with pytest.raises(ReadIncomplete, match="1 records came, and the API says that there are 7"):
        reader.look(connector)
    asked = len(department.asked)
    with pytest.raises(ReadIncomplete):  # not before its time
        reader.look(connector)
    assert len(department.asked) == asked
    assert reader.deleted == []
    assert reader.state == department.truth()


def test_a_full_read_that_an_error_broke_off_goes_on(department, opened):
    department.paging = "token"
    for number in range(9):
        department.put(f"k{number}")
    connector, reader = opened(paging="token", capture="snapshot"), Reader()
    department.script.extend([None, None, Reply(500)])
    with pytest.raises(SourceUnreachable):
        reader.look(connector)
    assert len(reader.state) == 6
    assert keys(reader.look(connector)) == ["k6", "k7", "k8"]
    assert reader.state == department.truth()


def test_a_full_read_that_a_restart_broke_off_begins_anew_and_forgets_nobody(department, opened):
    department.paging = "token"
    for number in range(9):
        department.put(f"k{number}")
    reader = Reader()
    reader.look(opened(paging="token", capture="snapshot", disappear_limit=1))
    department.put("k0", "changed and back")
    department.put("k00", "came and went")
    stream = opened(paging="token", capture="snapshot").pull("people", reader.position)
    reader.take(next(stream))
    stream.close()
    assert {"k0", "k00"} <= reader.state.keys()
    department.people["k0"] = department.people.pop("k0")
    department.put("k0", "n2026-01-01T00:00:01Z").updated_at = "2026-01-01T00:00:01Z"
    department.remove("k00")
    found = reader.look(opened(paging="token", capture="snapshot", disappear_limit=1))
    assert reader.state == department.truth()
    assert len(keys(found)) < 9  # what the one before did not touch is not given again


def test_a_page_of_a_full_read_that_was_not_published_is_given_again(department, opened):
    department.put("a")
    connector, reader = opened(capture="snapshot"), Reader()
    reader.look(connector)
    department.put("a", "lost")
    assert keys(pages(connector, reader.position)) == ["a"]
    assert keys(pages(connector, reader.position)) == ["a"]


def test_deletions_go_on_after_any_page(department, opened):
    for number in range(9):
        department.put(f"k{number}")
    reader = Reader()
    reader.look(opened(capture="snapshot", disappear_limit=1))
    for number in range(8):
        department.remove(f"k{number}")
    for page in opened(capture="snapshot", disappear_limit=1).pull("people", reader.position):
        reader.take(page)
        if page.position["phase"] == "deletes":
            break
    while reader.position["phase"] == "deletes":  # a restart after each page
        reader.take(next(opened(capture="snapshot", disappear_limit=1).pull("people", reader.position)))
    assert reader.state == department.truth()
    assert sorted(set(reader.deleted)) == [f"k{number}" for number in range(8)]


def test_what_moves_to_the_front_meanwhile_is_not_taken_for_absent(department, opened):
    department.paging, department.order = "token", "desc"
    for number in range(9):
        department.put(f"k{number}")
    connector, reader = (
        opened(paging="token", capture="snapshot", disappear_limit=1, endpoint={"total": None}),
        Reader(),
    )
    reader.look(connector)
    begun = len(department.lists)
    department.before = lambda count: department.put("k0", "moved") if count == begun + 2 else None
    reader.look(connector)
    assert reader.deleted == []
    assert reader.state == department.truth()


def test_a_lost_ledger_is_read_anew_and_marked_complete(department, opened, tmp_path):
    for number in range(3):
        department.put(f"k{number}")
    reader, connector = Reader(), opened(capture="snapshot")
    reader.look(connector)
    connector.close()
    (ledger,) = (tmp_path / "state").glob("*.ledger")
    assert ledger.stat().st_mode & 0o077 == 0
    ledger.write_bytes(b"rubbish" * 1_000)
    department.remove("k0")
    with pytest.raises(PositionLost, match="no longer known"):
        reader.look(opened(capture="snapshot"))
    reader.position, reader.read = None, set()
    found = reader.look(opened(capture="snapshot"))
    assert found[-1].mark == "complete"
    assert reader.state == department.truth()


def test_another_way_of_capture_reads_anew(department, opened):
    department.put("a")
    position = pages(opened(capture="snapshot"))[-1].position
    with pytest.raises(PositionLost, match="capture was changed"):
        pages(opened(), position)
    with pytest.raises(PositionLost, match="capture was changed"):
        pages(opened(capture="snapshot"), pages(opened())[-1].position)


# records -------------------------------------------------------------------------------------------------------------


def test_nested_values_are_columns_and_money_loses_no_digit(department, opened):
    text = (
        '[{"id": 7, "name": "李", "wage": 1234.50, "a": {"b": {"c": null}, "d": []}, "big": 123456789012345678901,'
        ' "empty": {}, "odd": NaN}]'
    )
    department.script.append(Reply(200, text.encode()))
    (page, _) = pages(opened(capture="snapshot", endpoint={"records": "", "total": None}))
    (change,) = page.changes
    assert change.key == "7"
    assert change.record == {
        "id": 7, "name": "李", "wage": "1234.50", "a.b.c": None, "a.d": [], "big": "123456789012345678901", "empty": {},
        "odd": "NaN",
    }  # fmt: skip


@pytest.mark.parametrize("body", [b'{"data": null}', b'{"data": {"items": null}}', b'{"data": {"items": []}}'])
def test_an_api_may_say_in_several_ways_that_there_is_nothing(department, opened, body):
    department.script.append(Reply(200, body))
    path = "data" if body == b'{"data": null}' else "data.items"
    assert keys(pages(opened(endpoint={"total": None, "records": path}))) == []
    department.script.append(Reply(204))
    assert keys(pages(opened())) == []


def test_keys_that_repeat_are_said_and_the_last_one_stands(department, opened):
    items = [{"id": "a", "name": name} for name in ("x", "y", "x", "z")]
    connector, reader = opened(capture="snapshot", endpoint={"total": None}), Reader()
    department.script.extend([Reply(200, {"data": {"items": items}})] * 2)
    (first, *_) = reader.look(connector)
    assert keys([first]) == ["a"]
    assert KeyRepeated.code in first.notes[0]
    assert "key" in first.notes[0]
    assert reader.state == {"a": "z"}
    assert changes(reader.look(connector)) == []
    department.script.append(Reply(200, {"data": {"items": items}}))
    (failed,) = [finding.error for finding in connector.check() if finding.level == "fail"]
    assert isinstance(failed, KeyRepeated)


@pytest.mark.parametrize(
    ("key", "shown"), [("379901197005151019", "379*************19"), ("37990119700515101942", "379***************42")]
)
def test_an_id_number_in_a_key_shows_in_no_place(department, opened, key, shown):
    department.put(key)
    ((change,),) = [page.changes for page in pages(opened())]
    assert change.place == f"/people id={shown}"


@pytest.mark.parametrize(
    ("values", "value", "says"),
    [
        ([1], 1, True), (["1"], 1, True), ([True], True, True), (["true"], True, True), ([1], True, False), (["Y"], " Y ", True),
        (["*"], "2026-01-01", True), (["*"], None, False), (["*"], "", False), ([""], None, True), (["1"], 0, False),
    ],
)  # fmt: skip
def test_a_flag_says_what_is_declared(values, value, says):
    assert DeletedFlag(column="gone", values=values).says({"gone": value}) is says


def test_sql_gives_a_row_that_is_marked_as_deleted_as_a_delete(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'soft.db'}")
    with engine.begin() as tx:
        tx.execute(
            sa.text("CREATE TABLE person (id VARCHAR PRIMARY KEY, name VARCHAR, gone INTEGER, at DATETIME NOT NULL)")
        )
        tx.execute(
            sa.text(
                "INSERT INTO person VALUES ('a', 'A', 0, '2026-01-01 00:00:01'), ('b', 'B', 1, '2026-01-01 00:00:02')"
            )
        )
    declared = {"table": "person", "key": ["id"], "cursor": "at", "map": {"name": "name"}}
    flagged = Source.model_validate(
        {
            "system": "s", "title": "t", "owner": "o", "connector": {"kind": "sql", "url": str(engine.url)},
            "datasets": {"people": declared | {"deleted": {"column": "gone", "values": [1]}}},
        }
    )  # fmt: skip
    connector = SqlConnector(flagged)
    found = pages(connector)
    assert changes(found) == [("a", "A"), ("b", None)]
    with engine.begin() as tx:
        tx.execute(sa.text("UPDATE person SET gone = 1, at = '2026-01-01 00:00:03' WHERE id = 'a'"))
        tx.execute(sa.text("UPDATE person SET gone = 0, at = '2026-01-01 00:00:04' WHERE id = 'b'"))
    assert changes(pages(connector, found[-1].position)) == [("a", None), ("b", "B")]
    with engine.begin() as tx:
        tx.execute(sa.text("ALTER TABLE person RENAME gone TO away"))
    other = SqlConnector(flagged)
    with pytest.raises(ColumnMissing, match="has no column gone"):
        pages(other)
    for each in (connector, other):
        each.close()
    engine.dispose()


# what goes wrong -----------------------------------------------------------------------------------------------------

HTML = b"<!DOCTYPE html><html><body>login</body></html>"
WHOLE = b'{"data": {"items": [{"id": "a", "name": "n", "meta": {"updated_at": "2026-01-01"}}], "total": 1}}'
NO_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


def framed(body: bytes, length: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Type: application/json\r\n\r\n" % length + body


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (Reply(200, HTML, {"Content-Type": "text/html"}), AnswerNotJson, "web page"),
        (Reply(200, b"  " + HTML), AnswerNotJson, "web page"),
        (Reply(302, b"", {"Location": "https://sso.example.cn/login?back=379901197005151019"}), AnswerNotJson,
         r"https://sso.example.cn/login \(302\)"),
        (Reply(301, b"", {"Location": "http://a:b:c"}), AnswerNotJson, "an address that is none"),
        (Reply(304), AnswerNotJson, "304"),
        (Reply(200, b"OK"), AnswerNotJson, "character 1"),
        (Reply(200, b""), AnswerTruncated, "ends too early"),
        (Reply(200, WHOLE[:-5]), AnswerTruncated, "ends too early"),
        (Reply(200, WHOLE[:30]), AnswerTruncated, "ends too early"),
        (Reply(200, b"[" * 100_000), AnswerNotJson, "nested too deeply"),
        (Reply(200, b"[" + b"9" * 5_000 + b"]"), AnswerNotJson, "no JSON"),
        (Reply(200, "李".encode("gbk")), AnswerNotJson, "bytes that utf-8 does not allow"),
        (Reply(200, WHOLE, {"Content-Type": "application/json; charset=klingon"}), AnswerNotJson, "klingon"),
        (Reply(200, WHOLE, {"Content-Encoding": "br"}), AnswerNotJson, "packed as 'br'"),
        (Reply(200, gzip.compress(WHOLE)[:-9], {"Content-Encoding": "gzip"}), AnswerTruncated, "gzip"),
        (Reply(200, b"no gzip", {"Content-Encoding": "gzip"}), AnswerTruncated, "gzip"),
        (Reply(raw=framed(WHOLE, len(WHOLE) + 10)), AnswerTruncated, "all that it announced"),
        (Reply(raw=framed(WHOLE, len(WHOLE) - 10)), AnswerTruncated, "ends too early"),
        (Reply(raw=chunked(WHOLE)), AnswerTruncated, "all that it announced"),
        (Reply(raw=NO_LENGTH + WHOLE[:-3]), AnswerTruncated, "ends too early"),
        (Reply(raw=b""), SourceUnreachable, "no whole answer in HTTP"),
        (Reply(raw=b"SSH-2.0-OpenSSH\r\n"), SourceUnreachable, "no whole answer in HTTP"),
        (Reply(200, {"code": 500, "msg": "系统错误", "data": None}), AnswerShapeWrong, "code, data, msg"),
        (Reply(200, ["a"]), AnswerShapeWrong, "the answer is a list"),
        (Reply(200, b"7"), AnswerShapeWrong, "a single value"),
        (Reply(200, {"data": {"items": ["a", "b"], "total": 2}}), AnswerShapeWrong, "no objects"),
        (Reply(200, {"data": {"items": {"id": 1}, "total": 1}}), AnswerShapeWrong, "no list at data.items"),
        (Reply(200, {"data": {"items": [], "total": "viele"}}), AnswerShapeWrong, "no number at data.total"),
        (Reply(200, {"data": {"items": [{"nr": 1}], "total": 1}}), ColumnMissing, "no record has id; there are nr"),
        (Reply(200, {"data": {"items": [{"id": 1}], "total": 1}}), ColumnMissing, r"no record has meta.updated_at"),
        (Reply(400), RequestRefused, "400"),
        (Reply(403), PrivilegeMissing, r"may not read /api/people \(403\)"),
        (Reply(404), TableMissing, r"nothing at /api/people \(404\)"),
        (Reply(401), SourceRefused, "refuses the login"),
        (Reply(500), SourceUnreachable, "500"),
        (Reply(408), SourceUnreachable, "408"),
        (Reply(429), SourceThrottled, "429"),
        (Reply(503), SourceThrottled, "503"),
    ],
)  # fmt: skip
def test_each_bad_answer_has_one_outcome_and_the_next_good_one_is_taken(department, opened, reply, error, words):
    department.put("a")
    time = Time(department)
    connector, position = opened(time=time), None
    department.script.append(reply)
    with pytest.raises(OneWindowError, match=words) as caught:
        pages(connector, position)
    assert type(caught.value) is error
    assert caught.value.fix
    for secret in ("379901197005151019", "系统错误", "back="):
        assert secret not in str(caught.value)
    time.elapsed += 60
    assert keys(pages(connector, position)) == ["a"]


@pytest.mark.parametrize("charset", ["utf-8", "gbk", "gb2312", "gb18030", None])
def test_the_charset_is_that_of_the_header(department, opened, charset):
    name = "李㐂" if charset not in ("utf-8", None) else "李𠮷"  # U+3402 is in gb18030 alone, whatever the header says
    body = json.dumps({"data": {"items": [{"id": "a", "name": name, "meta": {"updated_at": "2026-01-01"}}], "total": 1}},
                      ensure_ascii=False)  # fmt: skip
    encoded = body.encode("gb18030" if charset and charset.startswith("gb") else "utf-8-sig")
    kind = "application/json" + (f"; charset={charset}" if charset else "")
    department.script.append(Reply(200, encoded, {"Content-Type": kind}))
    assert changes(pages(opened())) == [("a", name)]


def test_an_answer_that_is_packed_unasked_is_unpacked(department, opened):
    department.script.append(Reply(200, gzip.compress(WHOLE), {"Content-Encoding": "gzip"}))
    assert keys(pages(opened())) == ["a"]
    assert department.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "reply",
    [
        Reply(raw=framed(b"", 1 << 40)),
        Reply(200, b"[" + b" " * (3 << 20) + b"]"),
        Reply(raw=NO_LENGTH + b" " * (3 << 20)),
        Reply(200, gzip.compress(b" " * (64 << 20)), {"Content-Encoding": "gzip"}),
    ],
    ids=["announced", "sent", "unannounced", "packed"],
)
def test_a_bomb_is_refused_before_it_is_parsed(department, opened, reply, monkeypatch):
    monkeypatch.setattr(json, "loads", lambda *_args, **_more: pytest.fail("it was parsed"))
    department.script.append(reply)
    connector = opened(connector={"answer_limit_mb": 1})
    tracemalloc.start()
    try:
        with pytest.raises(AnswerTooLarge, match="larger than 1 MB"):
            pages(connector)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20  # the server's own copy is of 3 MB
    finally:
        tracemalloc.stop()


def test_a_server_that_does_not_answer_in_time_is_given_up(department, opened):
    def hold(_asked):
        department.held.wait(30)

    department.script.append(hold)
    with pytest.raises(SourceUnreachable, match=r"has not answered within 0.05 s"):
        pages(opened(connector={"timeout_s": 0.05}))
    department.held.set()


def test_a_server_that_answers_drop_by_drop_is_given_up(department, opened):
    time = Time(department)

    def ticking() -> float:  # every look at the clock, one for each piece of the answer, finds 20 s gone
        time.elapsed += 20
        return time.elapsed

    clocks = Clocks(time.clocks.now, ticking, time.sleep)
    connector = opened()
    connector._client._clocks = clocks
    department.script.append(Reply(200, b" " * (1 << 20)))
    with pytest.raises(SourceUnreachable, match="has not answered within 30 s"):
        pages(connector)


def test_nobody_there_and_no_tls_there_are_told_apart(department, opened):
    with pytest.raises(SourceUnreachable, match="does not answer"):
        pages(opened(url="http://127.0.0.1:1/api"))
    with pytest.raises(SourceUnreachable, match="speaks no TLS"):
        pages(opened(url=department.url.replace("http:", "https:")))


# login ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "header", "expected"),
    [
        ({"by": "header"}, "authorization", f"Bearer {SECRET}"),
        ({"by": "header", "header": "X-Api-Key"}, "x-api-key", SECRET),
        ({"by": "header", "prefix": "Token "}, "authorization", f"Token {SECRET}"),
        ({"by": "basic", "user": "李"}, "authorization", "Basic " + base64.b64encode(f"李:{SECRET}".encode()).decode()),
    ],
)
def test_a_login_is_shown_in_a_header(department, opened, login, header, expected):
    department.put("a")
    department.login = lambda asked: asked.headers.get(header) == expected
    declared = {"login": login, "password_file": "x"}
    assert keys(pages(opened(password=SECRET, connector=declared))) == ["a"]
    with pytest.raises(SourceRefused):
        pages(opened(password="other", connector=declared))


class Tokens:
    """A token endpoint; ``valid`` is the only token that is good."""

    def __init__(self, department: Department, expires=None) -> None:
        self.given, self.valid, self.expires = 0, "", expires
        department.token, department.login = self.token, self.login

    def token(self, asked) -> Reply:
        if json.loads(asked.body) != {"username": "u", "password": SECRET}:
            return Reply(400, {"error": "no"})
        self.given += 1
        self.valid = f"t0ken-{self.given}"
        return Reply(200, {"data": {"token": self.valid, "ttl": self.expires}})

    def login(self, asked) -> bool:
        return asked.headers.get("authorization") == f"Bearer {self.valid}"


TOKEN = {
    "login": {"by": "token", "user": "u", "path": "/token", "token": "data.token", "expires": "data.ttl"},
    "password_file": "x",
}


def test_a_token_is_renewed_when_it_is_refused(department, opened):
    department.put("a")
    tokens, reader = Tokens(department), Reader()
    connector = opened(password=SECRET, connector=TOKEN)
    reader.look(connector)
    reader.look(connector)
    assert tokens.given == 1
    tokens.valid = "revoked"
    department.put("b")
    reader.look(connector)
    assert tokens.given == 2
    assert reader.state == department.truth()
    department.login = lambda _: False
    with pytest.raises(SourceRefused, match=r"/api/people refuses the login"):
        reader.look(connector)
    assert tokens.given == 3  # once, not for ever


@pytest.mark.parametrize("expires", [100, "100"])
def test_a_token_is_renewed_before_it_expires(department, opened, expires):
    department.put("a")
    tokens, time = Tokens(department, expires), Time(department)
    connector = opened(password=SECRET, connector=TOKEN, time=time)
    position = pages(connector)[-1].position
    time.elapsed += 80
    pages(connector, position)
    assert tokens.given == 1
    time.elapsed += 15
    pages(connector, position)
    assert tokens.given == 2


def test_a_token_that_an_answer_of_its_own_refuses_is_renewed_for_the_next_look(department, opened):
    department.put("a")
    tokens = Tokens(department)
    connector = opened(password=SECRET, connector=TOKEN)
    department.script.append(Reply(200, {"code": 401, "msg": "token expired"}))
    with pytest.raises(AnswerShapeWrong):
        pages(connector)
    assert keys(pages(connector)) == ["a"]
    assert tokens.given == 2


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(401), SourceRefused), (Reply(403), SourceRefused), (Reply(400), SourceRefused), (Reply(404), TableMissing),
        (Reply(200, {"msg": "no"}), AnswerShapeWrong), (Reply(200, {"data": {"token": "a\nb"}}), AnswerShapeWrong),
        (Reply(200, HTML), AnswerNotJson), (Reply(429), SourceThrottled),
    ],
)  # fmt: skip
def test_a_token_endpoint_that_gives_none_is_named(department, opened, reply, error):
    department.token = lambda _: reply
    with pytest.raises(error):
        pages(opened(password=SECRET, connector=TOKEN))


def test_no_secret_shows_anywhere(department, opened, caplog):
    caplog.set_level(logging.DEBUG)
    department.paging = "token"
    shown = []

    def look(connector: RestConnector) -> None:
        try:
            shown.extend(repr(page) for page in connector.pull("people", None))
        except OneWindowError as error:
            shown.extend([str(error), repr(error.__cause__), repr(error.__context__)])
        shown.extend(repr(finding) for finding in connector.check())

    for login in ({"by": "header"}, {"by": "basic", "user": "u"}, TOKEN["login"]):
        Tokens(department)
        declared = {"login": login, "password_file": "x"}
        connector = opened(paging="link", password=SECRET, connector=declared, endpoint={"total": None})
        department.login = lambda _: True
        token = "t0ken-1" if login["by"] == "token" else "no token"
        echo = f"?access_token={SECRET}&t={token}"
        for reply in (
            Reply(302, b"", {"Location": f"/{SECRET}/{token}{echo}"}),
            Reply(200, {SECRET: 1, token: 2}),
            repeated("a", next=echo),
            Reply(404),
        ):
            department.script.append(reply)
            look(connector)
    text = "\n".join([*shown, caplog.text])
    assert "t0ken" not in text
    assert SECRET not in text
    assert base64.b64encode(f"u:{SECRET}".encode()).decode() not in text
    assert "a" in text


@pytest.mark.parametrize("secret", ["", "two\nlines", "schlüssel"])
def test_a_secret_that_cannot_be_sent_is_refused_without_showing_it(department, opened, secret):
    with pytest.raises(SettingInvalid) as caught:
        opened(password=secret, connector={"login": {"by": "header"}, "password_file": "x"})
    assert not secret or secret not in str(caught.value)


# pace ----------------------------------------------------------------------------------------------------------------


def test_the_declared_pace_is_kept_and_a_stop_is_heard_meanwhile(department, opened):
    department.paging = "token"
    for number in range(9):
        department.put(f"k{number}")
    time = Time(department)
    stamps = []
    department.before = lambda _: stamps.append(time.elapsed)
    found = pages(opened(paging="token", connector={"requests_per_s": 0.25}, time=time))
    assert stamps == [0.0, 4.0, 8.0]
    assert max(time.slept) <= 1.0
    assert len([page for page in found if not page.changes]) >= 6
    assert sorted(keys(found)) == sorted(department.truth())


def test_a_page_that_only_waits_holds_a_position_that_is_good(department, opened):
    department.paging = "token"
    for number in range(9):
        department.put(f"k{number}")
    for stop in range(1, 9):
        reader = Reader()
        for page in islice(opened(paging="token", connector={"requests_per_s": 0.25}).pull("people", None), stop):
            reader.take(page)
        reader.look(opened(paging="token"))
        assert reader.state == department.truth()


def test_threads_share_the_pace(department, opened):
    connector, time, lock = opened(connector={"requests_per_s": 2}), Time(department), threading.Lock()
    turns = []

    def sleep(wait_s: float) -> None:
        with lock:
            turns.append(wait_s)

    connector._client._clocks = Clocks(time.clocks.now, lambda: 0.0, sleep)
    threads = [threading.Thread(target=connector._client._take_turn) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(turns) == [0.5, 1.0, 1.5, 2.0]


@pytest.mark.parametrize("after", ["120", "date", None])
@pytest.mark.parametrize("status", [429, 503])
def test_an_api_that_asks_for_rest_is_left_alone(department, opened, status, after):
    department.put("a")
    time = Time(department)
    connector = opened(time=time)
    wait_s = 10 if after is None else 120
    if after == "date":
        after = format_datetime(BEGAN + timedelta(seconds=121), usegmt=True)
    department.script.append(Reply(status, b"", {"Retry-After": after} if after else {}))
    with pytest.raises(SourceThrottled) as caught:
        pages(connector)
    time.elapsed += wait_s - 1
    for _ in range(3):
        with pytest.raises(SourceThrottled) as again:
            pages(connector)
        assert again.value.finding == caught.value.finding  # the same text, so that it is logged once
    assert len(department.asked) == 1
    assert time.slept == []
    time.elapsed += 1
    assert keys(pages(connector)) == ["a"]


@pytest.mark.parametrize("capture", ["poll", "snapshot"])
def test_a_304_means_that_nothing_is_new(department, opened, capture):
    department.etags = True
    department.put("a")
    connector, reader = opened(capture=capture), Reader()
    reader.look(connector)
    reader.look(connector)
    asked = len(department.asked)
    assert reader.look(connector) == []
    assert department.asked[asked].headers["if-none-match"]
    department.put("b")
    reader.look(connector)
    assert reader.state == department.truth()
    reader.look(connector)
    assert "if-none-match" not in department.asked[-1].headers or capture == "snapshot"  # it is another question
    reader.look(opened(capture=capture))
    assert reader.state == department.truth()


def test_a_first_page_that_has_not_changed_says_nothing_of_the_others(department, opened):
    department.etags, department.paging = True, "token"
    for number in range(7):
        department.put(f"k{number}")
    connector, reader = opened(paging="token", capture="snapshot"), Reader()
    reader.look(connector)
    department.put("k6", "changed")
    reader.look(connector)
    assert reader.state == department.truth()


# looking around ------------------------------------------------------------------------------------------------------


def test_check_says_what_there_is_and_changes_nothing(department, opened, tmp_path):
    department.paging = "page"
    for number in range(7):
        department.put(f"k{number}")
    texts = [(finding.level, finding.text) for finding in opened(paging="page").check()]
    assert texts == [
        ("ok", department.url.removesuffix("/api") + " answers"),
        ("ok", "the API's clock and ours agree"),
        ("ok", "/people: 3 of 7 records on the first page, with the declared key"),
    ]
    assert not (tmp_path / "state").exists()


def test_check_warns_of_what_will_hurt(department, opened):
    department.paging, department.cap = "page", 2
    for number in range(7):
        department.put(f"k{number}")
    clocks = Clocks(lambda: department.now.timestamp() - 300, lambda: 0.0, lambda _: None)
    connector = RestConnector(
        source(department.url, paging="page", connector={"page_rows": 100}, map={"name": "name", "phone": "tel"}),
        None,
        Path(),
    )
    connector._clocks = clocks
    texts = "\n".join(finding.text for finding in connector.check() if finding.level == "warn")
    assert "300 s ahead of ours" in texts
    assert "no record of the first page has tel" in texts
    assert "gives 2 records a page, not 100" in texts
    connector.close()
    department.script.append(Reply(200, {"data": {"items": [{"id": "a", "name": "x", "meta.deleted": 0}]}}))
    texts = [finding.text for finding in opened(capture="snapshot", endpoint={"total": None}).check()]
    assert "tells no total" in texts[-1]


def test_check_fails_with_the_error_that_reading_would_raise(department, opened):
    department.script.append(Reply(403))
    (finding,) = opened().check()
    assert (finding.level, type(finding.error)) == ("fail", PrivilegeMissing)


def test_discover_gives_the_columns_of_a_first_page(department, opened):
    department.put("a")
    connector = opened()
    (dataset,) = connector.discover()
    assert (dataset.name, dataset.key, dataset.rows) == ("people", ("id",), 1)
    assert dataset.columns == {"id": "text", "name": "text", "meta.updated_at": "text", "meta.deleted": "boolean"}
    assert [each.rows for each in connector.outline()] == [None]
    assert [record["id"] for record in connector.sample("people", 5)] == ["a"]


def test_a_certificate_that_is_not_trusted_is_said(opened, tmp_path):
    import http.server
    import ssl

    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    subprocess.run([*command, "-keyout", tmp_path / "key", "-out", tmp_path / "cert"], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    class Server(http.server.HTTPServer):
        def handle_error(self, request, client_address) -> None:
            pass

    server = Server(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with pytest.raises(SourceUnreachable, match=r"certificate of .* is not trusted") as caught:
            pages(opened(url=f"https://127.0.0.1:{server.server_address[1]}"))
        assert "SSL_CERT_FILE" in caught.value.fix
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# settings ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"url": "ftp://a/b"}, "is an address"), ({"url": "https://u:p@a/b"}, "has no user, password"),
        ({"url": "https://a/b?token=1"}, "has no user, password"), ({"connector": {"login": {"by": "header"}}}, "needs password_file"),
        ({"connector": {"login": {"by": "basic"}, "password_file": "x"}}, "needs user"),
        ({"connector": {"login": {"by": "token"}, "password_file": "x"}}, "needs path"),
        ({"connector": {"login": {"by": "token", "path": "/t"}, "password_file": "x"}}, "user is needed"),
        ({"paging": {"by": "page"}}, "needs param"), ({"paging": {"by": "link", "param": "p"}}, "has no param"),
        ({"paging": {"by": "token", "param": "p"}}, "needs next"), ({"paging": {"by": "offset", "param": "p", "next": "n"}}, "has no next"),
        ({"endpoint": {"since": None}}, "capture: snapshot"), ({"cursor": None}, "capture: snapshot"), ({"endpoint": {"since": {"param": "s", "form": "%H"}}}, "strptime form"),
        ({"capture": "snapshot", "endpoint": {"since": {"param": "s"}}}, "reads everything"), ({"capture": "log"}, "capture log needs"),
        ({"endpoint": {"pages": 1}}, "pages"),
    ],
)  # fmt: skip
def test_settings_that_cannot_work_are_refused(options, words):
    with pytest.raises(ValidationError, match=words):
        source(**({"url": "https://a/b"} | options))


def test_only_kinds_that_heed_a_deleted_column_take_one():
    flagged = {"key": ["a"], "map": {"name": "b"}, "deleted": {"column": "c", "values": ["1"]}}
    head = {"system": "s", "title": "t", "owner": "o"}
    with pytest.raises(ValidationError, match="deleted is for kinds sql and rest"):
        Source.model_validate(head | {"connector": {"kind": "files", "folder": "f"}, "datasets": {"d": flagged}})
    with pytest.raises(ValidationError, match="endpoint is for kind rest"):
        Source.model_validate(
            head
            | {
                "connector": {"kind": "sql", "url": "sqlite://"},
                "datasets": {"d": flagged | {"endpoint": {"path": "/"}}},
            }
        )


def test_a_source_file_opens_it(department, tmp_path):
    connector = open_connector(source(department.url), state=tmp_path)
    assert isinstance(connector, RestConnector)
    connector.close()


def test_the_example_of_the_documentation_is_a_source_file():
    import yaml

    text = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text(encoding="utf-8")
    (example,) = [part.split("```")[0] for part in text.split("```yaml\n")[1:] if "kind: rest" in part]
    assert Source.model_validate(yaml.safe_load(example)).connector.kind == "rest"
    for model in (Endpoint, Paging, Since, Login, DeletedFlag):
        for name in model.model_fields:
            assert re.search(rf"[`.]{name}[`:]", text), name
