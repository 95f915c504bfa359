"""An API that answers wrongly in one way; then it answers well again."""

from __future__ import annotations

import json

import pytest
from bad import bad
from restserver import Department, Reply

from connectors._rest_client import Clocks
from connectors.rest import RestConnector
from contracts.sources import Source

WHOLE = json.dumps({"data": {"items": [{"id": "9", "name": "n"}], "total": 1}}).encode()
NAMES = {str(number): f"王{name}" for number, name in enumerate("一二三四五六")}


@pytest.fixture(scope="module")
def server():
    department = Department()
    yield department
    department.close()


@pytest.fixture
def api(server, opened, tmp_path):
    """(the department, who reads it): read whole each time, in pages of three, and read once."""
    server.reset()
    server.paging = "page"
    for key, name in NAMES.items():
        server.put(key, name)
    source = Source.model_validate({
        "system": "dpf", "title": "残联", "owner": "",
        "connector": {"kind": "rest", "url": server.url, "capture": "snapshot", "page_rows": 3, "requests_per_s": 1_000,
                      "answer_limit_mb": 1},
        "datasets": {"people": {
            "key": ["id"], "map": {"name": "name"}, "disappear_limit": 0.2,
            "endpoint": {"path": "/people", "records": "data.items", "total": "data.total",
                         "paging": {"by": "page", "param": "page", "size": "size"}}}},
    })  # fmt: skip
    elapsed = [0.0]

    def sleep(wait_s: float) -> None:
        elapsed[0] += wait_s

    clocks = Clocks(lambda: server.now.timestamp() + elapsed[0], lambda: elapsed[0], sleep)
    way = opened(source, RestConnector(source, None, tmp_path / "state", clocks=clocks))
    first = way.look()
    assert (first.error, first.counts["accepted"]) == ("", 6)
    real = way.look

    def look():
        elapsed[0] += 3_600  # so that each look asks
        return real()

    way.look = look
    return server, way


ANSWERS = {
    "a web page in place of JSON, such as a login": (Reply(200, b"<html>login</html>"), "OW-1251"),
    "JSON that ends too early": (Reply(200, WHOLE[:-5]), "OW-1252"),
    "an answer larger than `answer_limit_mb`": (Reply(200, b" " * (2 << 20)), "OW-1253"),
    "its own error with status 200, and no list": (Reply(200, {"code": 500, "msg": "系统错误"}), "OW-1254"),
    "429 or 503: too many requests": (Reply(429, b"", {"Retry-After": "1800"}), "OW-1257"),
    "400: a parameter that it does not know": (Reply(400), "OW-1258"),
    "401: the login is refused": (Reply(401), "OW-1202"),
    "403: not allowed to see the list": (Reply(403), "OW-1203"),
    "500": (Reply(500), "OW-1201"),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers(api, answer):
    department, way = api
    reply, code = ANSWERS[answer]
    department.script.extend([reply] * 20)
    department.people["0"].name = "改名"
    assert way.look().error == code
    assert set(way.people) == set(NAMES.values())
    department.script.clear()
    assert way.look().error == ""
    assert set(way.people) == {*NAMES.values(), "改名"} - {NAMES["0"]}


for _answer, (_, _code) in ANSWERS.items():
    bad("an API", f"answers with {_answer}", f"waits ({_code}); nobody is deleted, and it goes on by itself")(
        test_answers
    )


@bad("an API", "says that there are more records than it gives", "what it gives is read (OW-1256); nobody is deleted")
def test_fewer_than_announced(api):
    department, way = api
    items = [each.shown() for each in department.people.values()][:3]
    department.script.extend(
        [Reply(200, {"data": {"items": items, "total": 6}}), Reply(200, {"data": {"items": [], "total": 6}})] * 5
    )
    assert way.look().error == "OW-1256"
    assert set(way.people) == set(NAMES.values())


@bad("an API", "gives the same page for each page number", "broken off (OW-1255); nobody is deleted")
def test_endless(api):
    department, way = api
    items = [each.shown() for each in department.people.values()][:3]
    department.script.extend([Reply(200, {"data": {"items": items, "total": 600}})] * 50)
    assert way.look().error == "OW-1255"
    assert set(way.people) == set(NAMES.values())


@bad("an API", "lacks more records than `disappear_limit`", "nobody is deleted until a person answers (OW-1207)")
def test_too_many_gone(api):
    department, way = api
    for key in list(NAMES)[2:]:
        department.remove(key)
    found = way.look()
    assert (found.asks, found.counts["deleted"]) == (["OW-1207"], 0)
    assert set(way.people) == set(NAMES.values())


@bad("an API", "gives two records with one key", "the last one counts, and it is said (OW-1259)")
def test_one_key_twice(api):
    department, way = api
    items = [each.shown() for each in department.people.values()]
    twice = {**items[2], "name": "后者"}
    department.script.extend([Reply(200, {"data": {"items": [*items[:3], twice], "total": 6}})])
    found = way.look()
    assert "OW-1259" in found.notes[0]
    assert found.counts["accepted"] == 2  # the other one; then what the list says when its front is looked at again
    assert set(way.people) == set(NAMES.values())
