"""The view equals the log, and a view that does not is found out."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from histories import City
from viewcases import AUTHORITY, TOPIC, Log, Views, asserted

from projections.databases import reading, writing
from projections.engine import ViewEngine
from projections.tables import VIEW, assertion, resident
from projections.verify import Comparison, Difference, compare, differences, fold, snapshot
from projections.winners import Authority


def city() -> City:
    made = City()
    for record, owner in (("a", "x"), ("b", "y"), ("civil.elder/a", "x"), ("c", "z"), ("a", "y"), ("d", "x")):
        made.say(f"hrss.person/{record}" if "/" not in record else record, owner, {"name": record}, None)
    made.withdraw("hrss.person/c")
    made.refuse("hrss.person/b")
    return made


def followed(views: Views, log: Log, less: int = 0) -> ViewEngine:
    view = views.new()
    for partition, entries in log.partitions.items():
        end = len(entries) - less
        view.take(TOPIC, partition, first=0, to=end, arrivals=entries[:end])
    return view


def checked(view: ViewEngine, log: Log, authority: Authority = AUTHORITY) -> Comparison:
    live = snapshot(view.engine)
    beside = fold(log, live.positions, "sqlite://", authority)
    try:
        return compare(live, snapshot(beside))
    finally:
        beside.dispose()


def test_a_view_that_followed_its_log_equals_it(views: Views):
    log = city().log
    view = followed(views, log)
    assert checked(view, log).identical
    assert snapshot(view.engine).tables["resident"]["rows"] == 2


def test_the_log_is_folded_to_exactly_the_offsets_of_the_view(views: Views):
    log = city().log
    view = followed(views, log, less=1)
    assert checked(view, log).identical


def test_a_cell_that_was_edited_is_found(views: Views):
    log = city().log
    view = followed(views, log)
    with writing(view.engine) as connection:
        connection.execute(sa.update(resident).where(resident.c.resident_id == "y").values(phone="1"))
        connection.execute(sa.delete(assertion).where(assertion.c.record_key == "d"))
    found = checked(view, log)
    assert not found.identical
    assert (found.tables, found.positions) == (["assertion", "resident"], [])
    beside = fold(log, snapshot(view.engine).positions, "sqlite://", AUTHORITY)
    with reading(view.engine) as live, reading(beside) as folded:
        rows = [each for table in VIEW for each in differences(live, folded, table)]
        assert rows == [
            Difference("assertion", ("hrss", "person", "d"), (), live=False, folded=True),
            Difference("resident", ("y",), ("phone",), live=True, folded=True),
        ]
        assert [each._replace(live=each.folded, folded=each.live) for table in VIEW for each in
                differences(folded, live, table)] == rows  # fmt: skip
    beside.dispose()


def test_a_log_that_ends_too_early_is_found(views: Views):
    log = city().log
    view = followed(views, log)
    log.partitions[1].pop()
    assert checked(view, log).positions == [(TOPIC, 1)]


def test_another_authority_shows(views: Views):
    log = city().log
    log.append(0, "department.hrss.person/0", asserted("e", 1, "x", name="e"))
    log.append(0, "department.civil.elder/0", asserted("civil.elder/e", 1, "x", name="f"))
    view = followed(views, log)
    assert checked(view, log).identical
    assert checked(view, log, Authority({"default": ["hrss.person"]})).tables == ["resident"]


def test_a_snapshot_is_of_one_moment(views: Views, tmp_path: Path):
    """While a worker goes on, rows and offsets of a snapshot belong together each time."""
    log = Log()
    for index in range(300):
        log.append(0, "department.hrss.person/0", asserted(str(index % 7), index + 1, f"r{index % 5}", name=str(index)))
    view = views.new()
    done = threading.Event()

    def work() -> None:
        entries = log.partitions[0]
        for first in range(0, len(entries), 2):
            view.take(TOPIC, 0, first=first, to=first + 2, arrivals=entries[first : first + 2])
        done.set()

    worker = threading.Thread(target=work)
    worker.start()
    seen = set()
    while not done.is_set() and len(seen) < 8:
        live = snapshot(view.engine)
        if not live.positions:
            continue
        beside = fold(log, live.positions, "sqlite://", AUTHORITY)
        assert compare(live, snapshot(beside)).identical
        beside.dispose()
        seen.add(tuple(live.positions.items()))
    worker.join()
    assert len(seen) > 1


def test_a_scratch_view_may_be_a_file(tmp_path: Path, sqlite_views: Views):
    log = city().log
    live = snapshot(followed(sqlite_views, log).engine)
    beside = fold(log, live.positions, f"sqlite:///{tmp_path / 'scratch.sqlite'}", AUTHORITY)
    assert compare(live, snapshot(beside)).identical
    assert snapshot(beside).digest == live.digest
    beside.dispose()


@pytest.mark.parametrize("size", [1, 50])
def test_verify_does_not_depend_on_how_the_log_is_cut(sqlite_views: Views, size: int):
    log = city().log
    live = snapshot(followed(sqlite_views, log).engine)

    class Cut:
        ends = log.ends

        def batches(self, until, since):
            return log.batches(until, since, size)

    beside = fold(Cut(), live.positions, "sqlite://", AUTHORITY)
    assert compare(live, snapshot(beside)).identical
    beside.dispose()
