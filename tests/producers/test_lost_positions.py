"""A source that lost a dataset's place, and one that keeps what was not confirmed."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from test_producer import Run, Source, folded, started, system, values  # noqa: F401  # started and system are fixtures

from connectors.base import Page, Position
from contracts.errors import PositionLost
from producers.positions import load
from producers.topics import POSITIONS


class Keeping(Source):
    """A source that keeps what was not confirmed. ``lost``: it has no other place than the beginning any more."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.lost = False
        self.confirmed: list[int] = []

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        if self.lost and after is not None:
            self.pulled.append(after)
            raise PositionLost("the slot is gone", fix="nothing to do")
        self.lost = False
        yield from super().pull(dataset, after)

    def confirm(self, _dataset: str, position: Position) -> None:
        self.confirmed.append(position["done"])


def test_a_lost_position_begins_a_new_epoch_from_the_beginning_by_itself(broker, system, started):  # noqa: F811
    source = Keeping(35)
    run = started(source)
    run.until(lambda progress: progress.snapshot_done and progress.state == "live")
    source.lost = True
    run.until(lambda progress: progress.epoch == 2 and progress.snapshot_done and progress.state == "live")
    run.end()
    saved = load(broker.bootstrap)[f"{system}.d"]
    assert (saved.epoch, saved.published) == (2, 70)
    assert ["the slot is gone" in note for note in saved.notes] == [True]
    assert [after for after in source.pulled if after is None] == [None, None]
    assert folded(broker.bootstrap, system) == {key: max(range(key, 35, 7)) for key in range(7)}


def test_only_what_was_saved_durably_is_confirmed(broker, system, started):  # noqa: F811
    source, held = Keeping(35), threading.Event()

    def hold(batches, go) -> None:
        if batches[0].topic.startswith("department."):
            held.wait(20)
        go()

    run = started(source, deliver_s=30.0, send=hold)
    run.until(lambda _: bool(source.pulled))
    assert source.confirmed == []
    held.set()
    run.until(lambda progress: progress.snapshot_done and progress.state == "live")
    assert source.confirmed == sorted(source.confirmed)
    assert source.confirmed[-1] == 35
    assert load(broker.bootstrap)[f"{system}.d"].position == {"done": 35}
    run.end()
    source.confirmed.clear()
    again = Run(broker.bootstrap, system, source)
    again.until(lambda progress: progress.state == "live")
    again.end()
    assert source.confirmed[0] == 35, "a start confirms what was saved"


def test_nothing_is_confirmed_before_its_save_is_acknowledged(broker, system, started, monkeypatch):  # noqa: F811
    monkeypatch.setattr("producers.producer.SAVE_EVERY_S", 0.0)
    saves, early = [], []

    def watch(batches, go):
        saves.extend(batch for batch in batches if batch.topic == POSITIONS.name)
        go()

    class Watching(Keeping):
        def confirm(self, dataset: str, position: Position) -> None:
            super().confirm(dataset, position)
            saved = [each["position"] for batch in saves if batch.taken for each in values(batch.data)]
            if position["done"] > max((each["done"] for each in saved if each), default=0):
                early.append(position)

    source = Watching(4_000)
    source.page = 5
    run = started(source, send=watch, compression="none", deliver_s=20)
    run.until(lambda now: now.state == "live")
    run.end()
    assert run.producer.progress.failures == 0
    assert early == []
    assert len(source.confirmed) > 2  # some while pages were still coming
    assert source.confirmed[-1] == 4_000
