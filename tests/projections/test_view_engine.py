"""Rows, offsets and numbers move together, on both databases."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from histories import PARTITION
from services import Postgres
from viewcases import (
    AUTHORITY,
    LOG,
    SOURCE,
    TOPIC,
    Log,
    Views,
    arrivals,
    asserted,
    everything,
    feed,
    fingerprint,
    held,
    retracted,
    rows,
)

from contracts.errors import AnotherLog, DatabaseUnreachable, LogTooShort, LogTrimmed, OutOfStep, ViewOutdated
from contracts.events import EventUnreadable, ResidentEvent
from projections import bulk
from projections.communities import Deltas
from projections.databases import open_view, reading, writing
from projections.engine import Arrival, Gap, LogBatch, LogIdentity, Taken, ViewEngine
from projections.households import Households
from projections.reading import gaps
from projections.residents import Residents
from projections.tables import assertion, community, gap, household, meaning, metadata, origin, position, resident
from projections.winners import Authority


class Crash(Exception):
    """The process ends here, as far as the database can tell."""


class Crashing(Residents):
    """Writes all its rows, and then the process dies."""

    crash = True

    def apply(self, events: Sequence[ResidentEvent], view: sa.Connection) -> None:
        super().apply(events, view)
        if self.crash:
            raise Crash


def named(count: int, start: int = 0) -> list[ResidentEvent]:
    return [asserted(str(index), 1, f"r{index}", name=f"n{index}") for index in range(start, start + count)]


def names(view: ViewEngine) -> list[str]:
    return [name for (name,) in rows(view, resident, "name")]


# offsets --------------------------------------------------------------------------------------------------------------


def test_a_batch_moves_rows_offsets_and_numbers(views: Views):
    view = views.new()
    taken = view.take(TOPIC, 3, first=0, to=7, arrivals=arrivals(named(3), offset=2))
    assert (taken.next_offset, taken.applied, taken.repeated, taken.withheld, taken.gaps) == (7, 3, 0, 0, [])
    assert view.positions() == {(TOPIC, 3): 7}
    assert rows(view, position, *position.c.keys()) == [(TOPIC, 3, 7, 3, 0, 0)]
    assert rows(view, origin, *origin.c.keys()) == [(TOPIC, 3, SOURCE, 3)]
    assert names(view) == ["n0", "n1", "n2"]


def test_an_empty_stretch_of_log_moves_the_offset(views: Views):
    view = views.new()
    assert view.take(TOPIC, 0, first=0, to=5, arrivals=[]).next_offset == 5
    assert view.take(TOPIC, 0, first=5, to=6, arrivals=[]).next_offset == 6


def test_a_crash_keeps_rows_offsets_and_numbers_together(views: Views):
    projection = Crashing(AUTHORITY)
    view = views.new(projections=[projection])
    projection.crash = False
    view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2)))
    before = everything(view)
    projection.crash = True
    batch = arrivals([*named(2, start=2), retracted("0", 2, "r0")], offset=2, number=2)
    with pytest.raises(Crash):
        view.take(TOPIC, 0, first=2, to=5, arrivals=batch)
    assert everything(view) == before
    projection.crash = False
    assert view.take(TOPIC, 0, first=2, to=5, arrivals=batch).applied == 3
    assert names(view) == ["n1", "n2", "n3"]


def test_a_crash_at_the_commit_keeps_nothing(views: Views):
    view = views.new()
    before = everything(view)

    def dies(connection: sa.Connection) -> None:
        raise Crash

    sa.event.listen(views.engine, "commit", dies)
    try:
        with pytest.raises(Crash):
            view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2)))
    finally:
        sa.event.remove(views.engine, "commit", dies)
    assert everything(view) == before
    assert view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2))).applied == 2


def test_an_event_that_is_none_keeps_nothing_of_its_batch(views: Views):
    view = views.new()
    before = everything(view)
    batch = [*arrivals(named(2)), Arrival(2, SOURCE, 2, b'{"type":"Nonsense"}')]
    with pytest.raises(EventUnreadable):
        view.take(TOPIC, 0, first=0, to=3, arrivals=batch)
    assert everything(view) == before


def test_a_repeated_batch_is_dropped(views: Views):
    view = views.new()
    batch = arrivals(named(4))
    view.take(TOPIC, 0, first=0, to=4, arrivals=batch)
    before = everything(view)
    taken = view.take(TOPIC, 0, first=0, to=4, arrivals=batch)
    assert (taken.next_offset, taken.applied, taken.repeated) == (4, 0, 0)
    assert everything(view) == before


def test_of_a_batch_that_overlaps_only_the_new_part_is_applied(views: Views):
    view = views.new()
    batch = arrivals(named(5))
    view.take(TOPIC, 0, first=0, to=3, arrivals=batch[:3])
    taken = view.take(TOPIC, 0, first=1, to=5, arrivals=batch[1:])
    assert (taken.applied, taken.repeated, taken.next_offset) == (2, 0, 5)


def test_the_offset_alone_drops_what_is_below_it(views: Views):
    """Even if its number is the one expected: what lies below the stored offset was judged before."""
    view = views.new()
    view.take(TOPIC, 0, first=0, to=2, arrivals=[])
    taken = view.take(
        TOPIC, 0, first=1, to=3, arrivals=[*arrivals(named(1), offset=1), *arrivals(named(1, 1), offset=2)]
    )
    assert taken.applied == 1
    assert names(view) == ["n1"]


def test_a_batch_from_the_past_moves_nothing_back(views: Views):
    view = views.new()
    view.take(TOPIC, 0, first=0, to=9, arrivals=[])
    assert view.take(TOPIC, 0, first=2, to=4, arrivals=[]).next_offset == 9
    assert view.positions() == {(TOPIC, 0): 9}


@pytest.mark.parametrize("stands_at", [0, 4])
def test_a_batch_beyond_the_offset_is_out_of_step(views: Views, stands_at: int):
    view = views.new()
    if stands_at:
        view.take(TOPIC, 0, first=0, to=stands_at, arrivals=[])
    before = everything(view)
    with pytest.raises(OutOfStep) as found:
        view.take(TOPIC, 0, first=stands_at + 1, to=9, arrivals=arrivals(named(1), offset=stands_at + 1))
    assert f"stands at {stands_at}" in found.value.finding
    assert everything(view) == before


def test_partitions_have_offsets_and_numbers_of_their_own(views: Views):
    view = views.new()
    view.take(TOPIC, 0, first=0, to=1, arrivals=arrivals(named(1)))
    view.take(TOPIC, 1, first=0, to=1, arrivals=arrivals(named(1, start=1)))
    assert view.positions() == {(TOPIC, 0): 1, (TOPIC, 1): 1}
    assert names(view) == ["n0", "n1"]


def test_a_stored_offset_must_lie_in_the_log(views: Views):
    view = views.new()
    assert view.check(TOPIC, 0, 0, 0) == 0
    with pytest.raises(LogTrimmed):
        view.check(TOPIC, 0, 1, 9)
    view.take(TOPIC, 0, first=0, to=5, arrivals=[])
    assert view.check(TOPIC, 0, 5, 5) == 5
    with pytest.raises(LogTrimmed, match="1 offsets were dropped"):
        view.check(TOPIC, 0, 6, 9)
    with pytest.raises(LogTooShort, match="up to offset 5"):
        view.check(TOPIC, 0, 0, 4)


# numbers --------------------------------------------------------------------------------------------------------------


def test_an_event_that_was_sent_twice_is_applied_once(views: Views):
    view = views.new()
    sent = [asserted("7", 1, "x", name="a"), asserted("8", 1, "x", name="b")]
    batch = [*arrivals(sent), *arrivals(sent, offset=2)]
    taken = view.take(TOPIC, 0, first=0, to=4, arrivals=batch)
    assert (taken.applied, taken.repeated) == (2, 2)
    taken = view.take(TOPIC, 0, first=4, to=5, arrivals=arrivals(sent[1:], offset=4, number=1))
    assert (taken.applied, taken.repeated) == (0, 1)
    assert rows(view, position, "applied", "repeated") == [(2, 3)]


def test_what_comes_after_a_gap_waits_for_the_missing_batch(views: Views):
    view = views.new()
    events = named(6)
    late = arrivals(events[3:5], offset=2, number=3)
    taken = view.take(TOPIC, 0, first=0, to=4, arrivals=[*arrivals(events[:2]), *late])
    assert (taken.applied, taken.withheld, taken.next_offset) == (2, 2, 4)
    assert taken.gaps == [Gap(TOPIC, 0, SOURCE, 2, 3, 2)]
    assert names(view) == ["n0", "n1"]

    # The gap is known after a restart, and is told of again though nothing new is wrong.
    view = ViewEngine(views.engine, AUTHORITY)
    taken = view.take(TOPIC, 0, first=4, to=5, arrivals=arrivals(events[5:], offset=4, number=5))
    assert (taken.applied, taken.withheld) == (0, 1)
    assert taken.gaps == [Gap(TOPIC, 0, SOURCE, 2, 3, 2)]
    with reading(views.engine) as connection:
        assert gaps(connection) == taken.gaps

    # The relay sends the missing batch again, and everything after it.
    taken = view.take(TOPIC, 0, first=5, to=9, arrivals=arrivals(events[2:], offset=5, number=2))
    assert (taken.applied, taken.withheld, taken.gaps) == (4, 0, [])
    assert rows(view, gap, "expected") == []
    assert names(view) == [f"n{index}" for index in range(6)]


def test_a_gap_may_be_filled_in_part(views: Views):
    view = views.new()
    events = named(5)
    view.take(TOPIC, 0, first=0, to=1, arrivals=arrivals(events[4:], number=4))
    taken = view.take(TOPIC, 0, first=1, to=4, arrivals=[
        *arrivals(events[:1], offset=1), *arrivals(events[3:4], offset=2, number=3), *arrivals(events[1:2], offset=3, number=1),
    ])  # fmt: skip
    assert (taken.applied, taken.withheld, taken.gaps) == (2, 1, [])
    taken = view.take(TOPIC, 0, first=4, to=5, arrivals=arrivals(events[3:4], offset=4, number=3))
    assert taken.gaps == [Gap(TOPIC, 0, SOURCE, 2, 3, 4)]


def test_an_origin_with_a_gap_holds_up_no_other(views: Views):
    view = views.new()
    events = named(4)
    other = "department.civil.elder/0"
    batch = [
        *arrivals(events[:1], number=1),
        *arrivals(events[1:3], offset=1, origin=other),
    ]
    taken = view.take(TOPIC, 0, first=0, to=3, arrivals=batch)
    assert (taken.applied, taken.withheld) == (2, 1)
    assert [each.origin for each in taken.gaps] == [SOURCE]
    assert names(view) == ["n1", "n2"]


def test_a_gap_in_one_partition_is_none_in_another(views: Views):
    view = views.new()
    view.take(TOPIC, 0, first=0, to=1, arrivals=arrivals(named(1), number=2))
    taken = view.take(TOPIC, 1, first=0, to=1, arrivals=arrivals(named(1)))
    assert (taken.applied, taken.gaps) == (1, [])


# what the view was made from ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other", [LogIdentity("cluster-2", {TOPIC: "topic-1"}), LogIdentity("cluster-1", {TOPIC: "topic-2"})]
)
def test_another_log_is_refused(views: Views, other: LogIdentity):
    view = views.new()
    view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2)))
    before = everything(view)
    with pytest.raises(AnotherLog):
        ViewEngine(views.engine, AUTHORITY).prepare(other)
    assert everything(view) == before


def test_the_same_log_is_known_again(views: Views):
    view = views.new()
    view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2)))
    before = everything(view)
    ViewEngine(views.engine, Authority(dict(AUTHORITY.order))).prepare(LOG)
    assert everything(view) == before


def test_a_topic_may_be_added(views: Views):
    views.new()
    more = LogIdentity("cluster-1", {TOPIC: "topic-1", "community.case": "topic-9"})
    ViewEngine(views.engine, AUTHORITY).prepare(more)
    with pytest.raises(AnotherLog):
        ViewEngine(views.engine, AUTHORITY).prepare(LogIdentity("cluster-1", {"community.case": "topic-8"}))


def test_another_authority_or_projection_outdates_the_view(views: Views):
    views.new()
    with pytest.raises(ViewOutdated, match="authority"):
        ViewEngine(views.engine, Authority({"default": ["hrss.person"]})).prepare(LOG)
    newer = Residents(AUTHORITY)
    newer.version = 2
    with pytest.raises(ViewOutdated, match=r"projection.residents is now version 2, was 1"):
        ViewEngine(views.engine, AUTHORITY, [newer]).prepare(LOG)


def test_events_of_a_topic_that_no_projection_follows_move_only_the_offset(views: Views):
    view = views.new()
    assert view.take("community.case", 0, first=0, to=1, arrivals=arrivals(named(1))).applied == 1
    assert names(view) == []


def test_every_table_and_column_says_what_it_means_in_two_languages(views: Views):
    view = views.new()
    found = {(table, column): both for table, column, *both in rows(view, meaning, *meaning.c.keys())}
    for table in metadata.tables.values():
        for column in ["", *table.c.keys()]:
            chinese, english = found.pop((table.name, column))
            assert any("\u4e00" <= sign <= "\u9fff" for sign in chinese)
            assert any("a" <= sign <= "z" for sign in english)
    assert not found


def test_postgresql_keeps_the_comments_too(postgres_views: Views):
    postgres_views.new()
    with postgres_views.engine.connect() as connection:
        columns = sa.inspect(connection).get_columns("resident")
    assert {column["name"]: column["comment"] for column in columns}["name"] == "姓名 / name"


# databases that are busy or away --------------------------------------------------------------------------------------


def test_a_busy_sqlite_file_is_waited_for(tmp_path: Path):
    path = tmp_path / "view.sqlite"
    view = ViewEngine(open_view(f"sqlite:///{path}", busy_timeout_s=0.05), AUTHORITY)
    view.prepare(LOG)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseUnreachable, match="locked"):
        view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2)))
    assert view.positions() == {}  # a reader is not held up
    other.execute("ROLLBACK")
    other.close()
    assert view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2))).applied == 2
    view.engine.dispose()


def test_sqlite_is_durable_and_lets_readers_in(tmp_path: Path):
    engine = open_view(f"sqlite:///{tmp_path / 'view.sqlite'}")
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    engine.dispose()


def test_a_statement_that_is_wrong_is_not_waited_for(views: Views):
    with pytest.raises(sa.exc.DBAPIError), writing(views.engine) as connection:
        connection.exec_driver_sql("SELECT * FROM nowhere")


def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path):
    engine = open_view(f"postgresql://nobody@/none?host={tmp_path}")
    with pytest.raises(DatabaseUnreachable):
        ViewEngine(engine, AUTHORITY).positions()


def test_a_url_of_another_database_is_refused():
    with pytest.raises(ValueError, match="mysql"):
        open_view("mysql://nobody@127.0.0.1/none")


def test_a_connection_that_is_lost_in_the_middle_leaves_nothing(postgres_views: Views, postgres: Postgres):
    class Cut(Residents):
        cut = True

        def apply(self, events: Sequence[ResidentEvent], view: sa.Connection) -> None:
            super().apply(events, view)
            if self.cut:
                pid = view.exec_driver_sql("SELECT pg_backend_pid()").scalar()
                with psycopg.connect(postgres.conninfo(), autocommit=True) as other:
                    other.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    projection = Cut(AUTHORITY)
    view = postgres_views.new(projections=[projection])
    before = everything(view)
    with pytest.raises(DatabaseUnreachable):
        view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2)))
    assert everything(view) == before
    projection.cut = False
    assert view.take(TOPIC, 0, first=0, to=2, arrivals=arrivals(named(2))).applied == 2


# workers beside each other --------------------------------------------------------------------------------------------


def busy_log(rounds: int) -> Log:
    """Records that move between the partitions all the time, over few communities and households."""
    log = Log()
    residents = ["x", "y", "z"]
    owner: dict[str, str] = {}
    for step in range(rounds):
        for record in ("a", "b", "c", "d", "e"):
            revision, here = step + 1, residents[(step * (ord(record) - 95) + ord(record)) % 3]
            more = {"name": f"n{step}", "community_code": f"37010200100{step % 2}", "benefit_kind": "pension"}
            more |= {"household_number": f"{(step + ord(record)) % 3}", "household_relation": ("02", "20")[step % 2]}
            log.append(PARTITION[here], SOURCE, asserted(record, revision, here, **more))
            if (before := owner.get(record)) not in {None, here}:
                assert before is not None
                log.append(PARTITION[before], SOURCE, retracted(record, revision, before, here))
            owner[record] = here
        log.append(PARTITION[owner["a"]], SOURCE, held("f", step + 1, owner["a"]))
    return log


def take_all(view: ViewEngine, log: Log, partition: int, size: int) -> None:
    entries = log.partitions[partition]
    for first in range(0, len(entries), size):
        part = entries[first : first + size]
        view.take(TOPIC, partition, first=first, to=first + len(part), arrivals=part)


def test_two_workers_on_two_partitions_lose_nothing(views: Views):
    log = busy_log(30)
    view = views.new()
    for partition in log.partitions:
        take_all(view, log, partition, 1000)
    wanted, counted = fingerprint(view), rows(view, community, *community.c.keys())

    view = views.new()
    trouble: list[BaseException] = []

    def work(partition: int) -> None:
        try:
            take_all(view, log, partition, 3)
        except BaseException as error:  # noqa: BLE001 - shown in the test
            trouble.append(error)

    workers = [threading.Thread(target=work, args=(partition,)) for partition in log.partitions]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert trouble == []
    assert rows(view, community, *community.c.keys()) == counted
    assert fingerprint(view) == wanted


def test_batches_of_several_partitions_together_are_as_one_after_the_other(views: Views):
    log = busy_log(8)
    view = views.new()
    for partition in log.partitions:
        take_all(view, log, partition, 1000)
    wanted = all_kept(view)

    view = views.new()
    longest = max(len(entries) for entries in log.partitions.values())
    for first in range(0, longest, 4):
        batches = [
            LogBatch(TOPIC, partition, first, first + len(part), part)
            for partition, entries in log.partitions.items()
            if (part := entries[first : first + 4])
        ]
        taken = view.take_together(batches)
        assert [each.next_offset for each in taken] == [batch.to for batch in batches]
        assert sum(each.applied for each in taken) == sum(len(batch.arrivals) for batch in batches)
    assert all_kept(view) == wanted


def all_kept(view: ViewEngine) -> list[object]:
    kept = [rows(view, table, *table.c.keys()) for table in (community, origin, position)]
    return [fingerprint(view), view.positions(), *kept]


def test_of_batches_together_all_are_kept_or_none(views: Views):
    view = views.new()
    good = LogBatch(TOPIC, 0, 0, 2, arrivals(named(2)))
    with pytest.raises(OutOfStep):
        view.take_together([good, LogBatch(TOPIC, 1, 5, 6, arrivals(named(1, start=9), offset=5))])
    assert view.positions() == {}
    bad = Arrival(3, SOURCE, 0, b"{")
    with pytest.raises(EventUnreadable, match=f"{TOPIC}/1, offset 3"):
        view.take_together([good, LogBatch(TOPIC, 1, 0, 4, [bad])])
    assert view.positions() == {}
    assert [each.applied for each in view.take_together([good])] == [2]


class Slow(Residents):
    """Holds its transaction open after its rows."""

    def __init__(self) -> None:
        super().__init__(AUTHORITY)
        self.written, self.go_on = threading.Event(), threading.Event()

    def apply(self, events: Sequence[ResidentEvent], view: sa.Connection) -> None:
        super().apply(events, view)
        self.written.set()
        assert self.go_on.wait(10)


def taken_beside(view: ViewEngine, first: tuple[int, Arrival], second: tuple[int, Arrival]) -> list[Taken]:
    """Two workers take a batch of one each; the second begins while the first is not done, and has to wait for it."""
    slow = Slow()
    found: dict[int, Taken] = {}

    def work(place: int, engine: ViewEngine, partition: int, arrival: Arrival) -> None:
        at, to = arrival.offset, arrival.offset + 1
        found[place] = engine.take(TOPIC, partition, first=at, to=to, arrivals=[arrival])

    one = threading.Thread(target=work, args=(0, ViewEngine(view.engine, AUTHORITY, [slow]), *first))
    one.start()
    assert slow.written.wait(10)
    two = threading.Thread(target=work, args=(1, view, *second))
    two.start()
    two.join(0.3)
    assert two.is_alive()
    slow.go_on.set()
    one.join(10)
    two.join(10)
    return [found[0], found[1]]


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("newer_first", [False, True])
def test_two_workers_with_one_record_take_turns(postgres_views: Views, known: bool, newer_first: bool):
    view = postgres_views.new()
    if known:
        feed(view, asserted("7", 1, "z", name="oldest", community_code="1"), partition=2)
    (old,) = arrivals([asserted("7", 2, "x", name="old", community_code="1")])
    (new,) = arrivals([asserted("7", 3, "y", name="new", community_code="1")])
    both = [(0, old), (1, new)]
    if newer_first:
        both.reverse()
    assert [taken.applied for taken in taken_beside(view, *both)] == [1, 1]
    assert rows(view, resident, "resident_id", "name") == [("y", "new")]
    assert rows(view, community, "community_code", "residents") == [("1", 1)]


def test_a_resident_that_two_workers_touch_loses_neither_change(postgres_views: Views):
    """One takes a record away from it, the other gives it one: the row must be derived from what both left."""
    view = postgres_views.new()
    feed(view, asserted("7", 1, "x", name="a", community_code="1"), asserted("8", 1, "x", phone="1"))
    (given,) = arrivals([asserted("9", 1, "x", address="c")], offset=2, number=2, origin=f"{SOURCE}-0")
    (moved,) = arrivals([asserted("7", 2, "y", name="b", community_code="1")])
    assert [taken.applied for taken in taken_beside(view, (0, given), (1, moved))] == [1, 1]
    assert rows(view, resident, "resident_id", "name", "phone", "address", "records") == [
        ("x", None, "1", "c", 2), ("y", "b", None, None, 1),
    ]  # fmt: skip
    assert rows(view, community, "community_code", "residents") == [("1", 1)]


@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
def test_two_workers_add_members_to_one_household(postgres_views: Views, known: bool):
    """The household must be derived from what both left: neither may read its members before the other is done."""
    view = postgres_views.new()
    if known:
        feed(view, asserted("grid.home/0", 1, "w", household_number="12"), partition=2)
    (head,) = arrivals([asserted("grid.home/1", 1, "x", household_number="12", household_relation="02")])
    (other,) = arrivals([asserted("grid.home/2", 1, "y", household_number="12", household_relation="20")])
    assert [taken.applied for taken in taken_beside(view, (0, head), (1, other))] == [1, 1]
    assert rows(view, household, "head_resident_id", "members") == [("x", 2 + known)]


def test_who_has_read_a_households_members_keeps_others_from_it_until_it_has_written(
    postgres_views: Views, monkeypatch: pytest.MonkeyPatch
):
    read, go_on, write = threading.Event(), threading.Event(), Households.write

    def pausing(self: Households, view: sa.Connection, deltas: Deltas) -> None:
        if not read.is_set():
            read.set()
            assert go_on.wait(10)
        write(self, view, deltas)

    view = postgres_views.new()
    feed(view, asserted("grid.home/0", 1, "w", household_number="12"), partition=2)
    monkeypatch.setattr(Households, "write", pausing)
    (head,) = arrivals([asserted("grid.home/1", 1, "x", household_number="12", household_relation="02")])
    (other,) = arrivals([asserted("grid.home/2", 1, "y", household_number="12", household_relation="20")])
    work = [
        threading.Thread(target=view.take, args=(TOPIC, place), kwargs={"first": 0, "to": 1, "arrivals": [each]})
        for place, each in enumerate((head, other))
    ]
    work[0].start()
    assert read.wait(10)
    work[1].start()
    work[1].join(0.3)
    assert work[1].is_alive()
    go_on.set()
    for each in work:
        each.join(10)
    assert rows(view, household, "head_resident_id", "members") == [("x", 3)]


def test_two_workers_on_one_partition_take_turns(postgres_views: Views):
    view = postgres_views.new()
    feed(view, asserted("7", 1, "x"))
    (again,) = arrivals([asserted("7", 2, "x", name="a")], offset=1, number=1, origin=f"{SOURCE}-0")
    assert [taken.applied for taken in taken_beside(view, (0, again), (0, again))] == [1, 0]
    assert rows(view, position, "next_offset", "applied") == [(2, 2)]


def test_two_workers_with_the_same_batch_apply_it_once(views: Views):
    view = views.new()
    batch = arrivals(named(50))
    applied: list[int] = []

    def work() -> None:
        applied.append(view.take(TOPIC, 0, first=0, to=50, arrivals=batch).applied)

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert sorted(applied) == [0, 50]


# bulk -----------------------------------------------------------------------------------------------------------------


def test_an_insert_of_a_key_that_is_there_collides_on_postgresql(postgres_views: Views):
    view = postgres_views.new()
    feed(view, asserted("7", 1, "x"))
    row = ("hrss", "person", "7", "x", 1, True, "{}", "{}", "{}", None, False, None, None, None, None)
    with pytest.raises(bulk.Collision), writing(view.engine) as connection:
        bulk.insert(connection, assertion, [row])


def test_keys_are_ordered_by_code_point(views: Views):
    view = views.new()
    feed(view, *(asserted(key, 1, key) for key in ("乙", "b", "B", "a", "Z", "甲", "_")))
    assert [key for (key,) in rows(view, resident, "resident_id")] == ["B", "Z", "_", "a", "b", "乙", "甲"]
