"""The outbox that several workers share: each publishes what it finds there, and none deletes what it has not published."""

from __future__ import annotations

import threading

import pytest

from projections.databases import open_view, writing
from streams.store import Post, Store


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request, tmp_path):
    url = f"sqlite:///{tmp_path}/streams.sqlite"
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
        url = postgres.url(postgres.new_database())
    store = Store(open_view(url))
    store.prepare("cluster", {})
    yield store
    store.engine.dispose()


def decide(store, events):
    with writing(store.engine) as connection:
        store.post(connection, "in", [Post(0, events, {})])


def waiting(store):
    return [bytes(events) for _, events in store.unsent(0, 9)]


def test_a_worker_that_is_late_deletes_only_what_it_published(store):
    decide(store, b"first")
    late, swift = store.unsent(0, 9), store.unsent(0, 9)  # both publish the same row
    store.sent([each for each, _ in swift])
    decide(store, b"second")
    store.sent([each for each, _ in late])
    assert waiting(store) == [b"second"]


@pytest.mark.parametrize("store", ["postgresql"], indirect=True)  # SQLite has one writer, whose ids are in order
def test_a_row_that_is_committed_after_one_with_a_greater_id_stays(store):
    inserted, commit = threading.Event(), threading.Event()

    def slowly():
        with writing(store.engine) as connection:
            store.post(connection, "in", [Post(0, b"slow", {})])
            inserted.set()
            commit.wait(30)

    slow = threading.Thread(target=slowly)
    slow.start()
    assert inserted.wait(30)
    decide(store, b"swift")
    published = store.unsent(0, 9)
    commit.set()
    slow.join()
    store.sent([each for each, _ in published])
    assert waiting(store) == [b"slow"]
