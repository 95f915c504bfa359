"""The next version of a view is made beside the live one and takes its place in one transaction."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from viewcases import AUTHORITY, LOG, SOURCE, TOPIC, Log, Views, asserted, everything, fingerprint

from contracts.errors import ViewOutdated
from projections import rebuild as rebuilding
from projections.databases import reading, writing
from projections.engine import LogIdentity, ViewEngine
from projections.rebuild import discard, next_url, rebuild
from projections.tables import meta, resident
from projections.winners import Authority


def quiet(*_: int) -> None:
    """No progress."""


def city(records: int = 40) -> Log:
    """So many records of each of two datasets, about 17 residents in three partitions."""
    log = Log()
    for number in range(records):
        owner = number % 17
        for dataset, name in (("hrss.person", str(number)), ("civil.elder", f"elder {number}")):
            event = asserted(f"{dataset}/{number}", 1, f"r{owner}", name=name)
            log.append(owner % 3, f"department.{dataset}/0", event)
    return log


def followed(view: ViewEngine, log: Log) -> None:
    reached = view.positions()
    for batch in log.batches(log.ends(), reached):
        view.take(batch.topic, batch.partition, first=batch.first, to=batch.to, arrivals=batch.arrivals)


def live(views: Views, log: Log) -> ViewEngine:
    view = views.new()
    discard(views.engine.url)
    followed(view, log)
    return view


def again(view: ViewEngine, log: Log, authority: Authority = AUTHORITY, progress: Callable[[int, int], None] = quiet):
    return rebuild(view.engine.url, authority, LOG, log, progress)


def test_a_rebuilt_view_is_the_same_in_every_table(views: Views):
    log = city()
    view = live(views, log)
    before = everything(view)
    done = again(view, log)
    assert everything(view) == before
    assert (done.events, done.resumed) == (sum(log.ends().values()), 0)


def test_what_was_changed_by_hand_is_gone(views: Views):
    log = city()
    view = live(views, log)
    good = fingerprint(view)
    with writing(view.engine) as connection:
        connection.execute(sa.delete(resident).where(resident.c.resident_id == "r3"))
    assert fingerprint(view) != good
    again(view, log)
    assert fingerprint(view) == good


def test_another_authority_takes_effect_and_the_engine_accepts_the_view(views: Views):
    log = city()
    view = live(views, log)
    other = Authority({"default": ["hrss.person"]})
    with pytest.raises(ViewOutdated):
        ViewEngine(view.engine, other).prepare(LOG)
    again(view, log, other)
    ViewEngine(view.engine, other).prepare(LOG)
    with reading(view.engine) as connection:
        names = connection.scalars(sa.select(resident.c.name)).all()
    assert not any(name.startswith("elder") for name in names)


def test_it_goes_on_where_it_was_broken_off(views: Views, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rebuilding, "_NEAR", 0)
    log = city()
    view = live(views, log)
    good = fingerprint(view)

    def break_off(done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(view, log, progress=break_off)
    assert fingerprint(view) == good
    done = again(view, log)
    assert done.resumed > 0
    assert done.events + done.resumed == sum(log.ends().values())
    assert fingerprint(view) == good


def test_what_was_begun_for_another_log_or_authority_is_begun_anew(views: Views, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rebuilding, "_NEAR", 0)
    log = city()
    view = live(views, log)

    def break_off(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        again(view, log, progress=break_off)
    assert again(view, log, Authority({})).resumed == 0


def test_a_view_of_another_log_is_replaced(views: Views):
    log = city()
    view = live(views, city(3))
    other = LogIdentity("cluster-2", {TOPIC: "topic-2"})
    rebuild(view.engine.url, AUTHORITY, other, log, quiet)
    ViewEngine(view.engine, AUTHORITY).prepare(other)
    assert sum(view.positions().values()) == sum(log.ends().values())


def test_there_is_a_view_where_there_was_none(views: Views):
    log = city(5)
    view = live(views, log)
    good = fingerprint(view)
    with writing(view.engine) as connection:
        for name in sa.inspect(connection).get_table_names():
            connection.exec_driver_sql(f'DROP TABLE "{name}"')
    again(view, log)
    assert fingerprint(view) == good


def test_nothing_is_left_behind(views: Views):
    log = city(5)
    view = live(views, log)
    again(view, log)
    place, schema = next_url(view.engine.url)
    with reading(view.engine) as connection:
        assert schema is None or schema not in sa.inspect(connection).get_schema_names()
    assert schema is not None or not sa.make_url(place).database.startswith("x")
    again(view, log)


def test_readers_and_the_writer_go_on_meanwhile_and_nobody_sees_the_view_go_back(views: Views):
    log = city()
    view = live(views, log)
    ended, wrong = threading.Event(), []

    def write() -> None:
        """Events go on being appended and taken."""
        number = 0
        while not ended.is_set():
            log.append(0, SOURCE, asserted(f"more-{number % 9}", number + 1, f"r{number % 5}", name=str(number)))
            followed(view, log)
            number += 1

    def read() -> None:
        reached = 0
        while not ended.is_set():
            with reading(view.engine) as connection:
                stands = sum(connection.scalars(sa.text('SELECT next_offset FROM "position"')).all())
                people = connection.scalar(sa.select(sa.func.count()).select_from(resident))
            if stands < reached or people != 17:
                wrong.append((reached, stands, people))
            reached = stands

    threads = [threading.Thread(target=write), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            again(view, log)
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    followed(view, log)
    kept = fingerprint(view)
    again(view, log)
    assert fingerprint(view) == kept


def made_by(view: ViewEngine, **versions: str) -> None:
    """Let the view say that these versions made it."""
    with writing(view.engine) as connection:
        for name, value in versions.items():
            connection.execute(sa.update(meta).where(meta.c.name == name.replace("_", ".")).values(value=value))


def renewed(view: ViewEngine, log: Log, authority: Authority = AUTHORITY):
    return rebuilding.renew(view.engine.url, authority, LOG, log, quiet)


def test_a_view_of_an_older_version_is_renewed_once(views: Views):
    log = city()
    view = live(views, log)
    good = fingerprint(view)
    with writing(view.engine) as connection:
        connection.execute(sa.update(resident).values(name="as the old version had it"))
    made_by(view, projection_residents="0")
    done = renewed(view, log)
    assert done is not None
    assert done.events == sum(log.ends().values())
    assert fingerprint(view) == good
    assert renewed(view, log) is None


@pytest.mark.parametrize(
    ("versions", "authority", "older"),
    [
        ({"projection_residents": "0"}, AUTHORITY, True),
        ({"projection_residents": "0", "schema": "1"}, AUTHORITY, True),
        ({"projection_residents": "99"}, AUTHORITY, False),
        ({"projection_residents": "0", "schema": "99"}, AUTHORITY, False),
        ({}, Authority({}), False),
        ({"projection_residents": "0"}, Authority({}), False),
    ],
)
def test_only_a_view_that_is_older_in_every_way_is_renewed_unasked(sqlite_views: Views, versions, authority, older):
    view = live(sqlite_views, city(3))
    made_by(view, **versions)
    with pytest.raises(ViewOutdated, match="onewindow rebuild") as error:
        ViewEngine(view.engine, authority).prepare(LOG)
    assert error.value.is_older is older


def test_of_two_workers_that_find_it_outdated_one_renews_it(views: Views):
    log = city()
    view = live(views, log)
    made_by(view, projection_residents="0")
    met, done = threading.Barrier(2), []

    def work() -> None:
        met.wait()
        done.append(renewed(view, log))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(each is None for each in done) == [False, True]
