"""What was lost between a source and its topic is asked for once, and by the right reader."""

from __future__ import annotations

import pytest

from onewindow.lost import LostAndFound
from projections.databases import open_view
from streams.store import Store


class Reader:
    def __init__(self, dataset):
        self.system, self.dataset, self.asked = "hrss", dataset, 0

    def reread(self):
        self.asked += 1


@pytest.fixture
def store(tmp_path):
    store = Store(open_view(f"sqlite:///{tmp_path}/streams.sqlite"))
    yield store
    store.engine.dispose()


def note(store, partition, epoch, missing):
    with store.engine.begin() as connection:
        store.note_arrivals(connection, "department.hrss.person", partition, epoch, 9, missing)


def test_each_loss_is_asked_for_once(store):
    person, pension = Reader("person"), Reader("pension")
    lost = LostAndFound(store.engine, [person, pension])
    assert lost.look() == []  # streams has made no tables yet
    store.prepare("cluster", {})
    note(store, 0, 1, 0)
    assert lost.look() == []
    note(store, 0, 1, 2)
    note(store, 1, 1, 3)
    assert lost.look() == ["department.hrss.person"]
    assert lost.look() == []
    note(store, 0, 2, 1)
    assert lost.look() == ["department.hrss.person"]
    assert (person.asked, pension.asked) == (2, 0)
