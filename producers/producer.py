"""Drives one dataset of a connector: pull, publish, and save the position once what it stands for is durable.

A thread per dataset, with a publisher of its own, so that one which waits holds up no other (guarantee 6).

- A position is saved only when every change before it is acknowledged (guarantee 1); pages may be under way meanwhile.
- ``pull`` always continues from the last page it gave. Only after a failed publish does it go back, to the position that
  was saved, under a new epoch, so that streams can tell what it reads again from what it had read.
- When the connector fails, nothing is uncertain: what it gave is flushed and saved, and the same epoch goes on. (A new
  epoch for each look at a system that is down for a day would fill the positions topic with nothing.)
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from connectors.base import Confirming, Connector, Page, Position, Retaining, Sparing
from contracts.errors import ConfigError, OneWindowError, PositionLost, PublishFailed
from contracts.identity import Hasher
from contracts.sources import department_topic
from producers.events import EventWriter
from producers.positions import NOTES_KEPT, Saved, Wish, claim, iso, saved_record
from producers.progress import Board, Progress
from producers.publisher import Publisher
from producers.topics import POSITIONS

log = logging.getLogger(__name__)

SAVE_EVERY_S = 0.2  # a save is one small record; at this pace it costs under 1 % of loading
RETAINED_S = 5.0  # how often it is looked at what the source keeps while a dataset is paused
UNEASY_S = 5.0  # a broker that acknowledges nothing for so long is said to be waited for


@dataclass(frozen=True, slots=True)
class Pace:
    """``every_s``: pause between two looks. ``retry_s``: the longest pause after a failure. ``mend_s``: the pause after an
    error that only a person can mend."""

    every_s: float = 1.0
    retry_s: float = 5.0
    mend_s: float = 15.0


class DatasetProducer:
    """One dataset's way from its connector to its topic. ``run`` is the body of its thread.

    ``publisher`` makes a publisher (it dies with a failed batch); ``now`` is the wall clock.
    """

    def __init__(
        self,
        connector: Connector,
        system: str,
        dataset: str,
        *,
        bootstrap: str,
        hasher: Hasher,
        publisher: Callable[[], Publisher],
        pace: Pace | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.system, self.dataset = system, dataset
        self._connector, self._bootstrap, self._hasher = connector, bootstrap, hasher
        self._publisher, self._pace, self._now = publisher, pace or Pace(), now
        self._again = threading.Event()
        self._wish: Wish | None = None
        self._wake = threading.Event()
        self._halted = threading.Event()
        self._board = Board(system, dataset)
        self._at_work: Publisher | None = None

    @property
    def progress(self) -> Progress:
        """What it is doing now. A broker that takes its time shows here long before the publish is given up."""
        now, publisher = self._board(), self._at_work
        waited = publisher.waiting_s if publisher is not None else 0.0
        if waited < UNEASY_S or now.state == "waiting":
            return now
        return replace(
            now,
            state="waiting",
            code=PublishFailed.code,
            text=f"the broker has acknowledged nothing for {waited:.0f} s",
            fix="look at the broker and its log; nothing is lost meanwhile",
            since=self._now() - waited,
            rate=0.0,
        )

    def reread(self) -> None:
        """Read the dataset from its beginning, under a new epoch, as soon as the page at hand is done. Thread-safe."""
        self._again.set()
        self._wake.set()

    def seek(self, wish: Wish) -> None:
        """Read the dataset from the position of this wish on, under a new epoch, as soon as the page at hand is done.
        Thread-safe."""
        self._wish = wish
        self._wake.set()

    def halt(self, *, halted: bool) -> None:
        """Stop reading once the page at hand is done, and save; or go on where that was. Thread-safe."""
        if halted != self._halted.is_set():
            self._halted.set() if halted else self._halted.clear()
            self._wake.set()

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set; then flush and save. Errors are waited out and never leave."""
        failures = 0
        while not stop.is_set():
            reached = self.progress.looked_at
            try:
                self._epoch(stop)
            except Exception as error:  # noqa: BLE001  # the producer's edge: reported, counted, tried again
                if self.progress.looked_at != reached:
                    failures = 0
                failures += 1
                self._report(error)
                self._pause(stop, self._wait(error, failures))
            finally:
                self._at_work = None
        self._board.set(state="stopped", rate=0.0)

    def _epoch(self, stop: threading.Event) -> None:
        """One publisher's life: until stop, a wish to read again, or a failed publish."""
        restart, wish, failures = self._again.is_set(), self._wish, 0
        with closing(self._publisher()) as publisher:
            self._at_work = publisher
            saved = claim(
                publisher, self._bootstrap, self.system, self.dataset, restart=restart, seek=wish, now=self._now
            )
            if restart:  # which fulfils the other wish too
                self._again.clear()
            if self._wish is wish:
                self._wish = None
            partitions = publisher.partitions(department_topic(self.system, self.dataset))
            writer = EventWriter(
                self.system, self.dataset, saved.epoch, self._hasher, partitions,
                reading=saved.reading, numbers=saved.numbers,
            )  # fmt: skip
            way = _Way(self._connector, publisher, writer, saved, self._board, self._now)

            def ended() -> bool:
                return stop.is_set() or self._again.is_set() or self._wish is not None

            while not ended():
                if self._halted.is_set():
                    self._rest(way, ended, stop)
                    continue
                try:
                    way.pull(lambda: ended() or self._halted.is_set())
                except _SourceFailed as failed:
                    way.settle()
                    failures += 1
                    self._report(failed.error)
                    if isinstance(failed.error, PositionLost):  # nothing to wait for: the next epoch reads it all again
                        way.note(failed.error.finding)
                        self._again.set()
                    else:
                        self._pause(stop, self._wait(failed.error, failures))
                else:
                    failures = 0
                    self._pause(stop, self._pace.every_s)
            way.settle()

    def _rest(self, way: _Way, ended: Callable[[], bool], stop: threading.Event) -> None:
        """Read nothing while a person wishes so, and look now and then at what the source keeps meanwhile."""
        nothing: dict[str, Any] = dict.fromkeys(("code", "text", "fix", "since", "rows", "total"))
        self._board.set(state="paused", rate=0.0, **nothing)
        while self._halted.is_set() and not ended():
            way.weigh()
            self._pause(stop, RETAINED_S)
        self._board.set(state="starting")

    def _wait(self, error: Exception, failures: int) -> float:
        if isinstance(error, ConfigError):
            return self._pace.mend_s
        longest = min(self._pace.retry_s, 0.1 * 2 ** min(failures, 10))
        return float(longest * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, so that datasets don't come in step

    def _report(self, error: Exception) -> None:
        before, now = self.progress, self._now()
        known = isinstance(error, OneWindowError)
        code, text = (error.code, error.finding) if isinstance(error, OneWindowError) else ("", type(error).__name__)
        if code != before.code or text != before.text:
            log.log(
                logging.WARNING if known else logging.ERROR,
                "dataset_waiting system=%s dataset=%s code=%s",
                self.system,
                self.dataset,
                code,
                exc_info=None if known else error,
            )
        since = before.since if before.state == "waiting" and before.code == code else now
        fix = error.fix if isinstance(error, OneWindowError) else "look at the log of the connectors role"
        self._board.set(
            state="waiting", code=code, text=text, fix=fix, since=since, rate=0.0, failures=before.failures + 1
        )

    def _pause(self, stop: threading.Event, wait_s: float) -> None:
        """Wait, but not when stop or a wish to read again comes."""
        until = time.monotonic() + wait_s
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if self._wake.wait(min(left, 0.1)):
                self._wake.clear()
                return


class _Way:
    """From the connector to the topic, under one epoch and with one publisher."""

    def __init__(
        self,
        connector: Connector,
        publisher: Publisher,
        writer: EventWriter,
        saved: Saved,
        board: Board,
        now: Callable[[], float],
    ) -> None:
        self._connector, self._publisher, self._writer = connector, publisher, writer
        self._board, self._now = board, now
        self._topic = department_topic(writer.system, writer.dataset)
        self._saved = self._latest = saved  # durable in the topic; after the last page that was read
        self._waiting: deque[tuple[int, Saved]] = deque()  # (ticket, what may be saved once it is acknowledged)
        self._saved_at = self._began = time.monotonic()
        self._loaded = 0
        self._confirming = connector if isinstance(connector, Confirming) else None
        self._unconfirmed: deque[tuple[int, Position]] = deque()  # (ticket of a save, the position in it)
        if self._confirming is not None and saved.position is not None:
            self._confirming.confirm(writer.dataset, saved.position)
        board.set(epoch=saved.epoch, notes=saved.notes, asks=saved.asks, **_books(saved))

    def pull(self, ended: Callable[[], bool]) -> None:
        """Publish and save all pages that the source has for now, or until ``ended`` says so."""
        looked_at = self._now()  # what the source gets from here on may be missing, however long the publishing takes
        self._loaded, self._began = 0, time.monotonic()
        with closing(_pages(self._connector, self._writer.dataset, self._latest.position)) as pages:
            for page in pages:
                self._publish(page)
                if ended():
                    self.settle()
                    return
        if not self._latest.snapshot_done:
            self._after(self._latest, snapshot_done=True)
        self.settle()
        nothing: dict[str, Any] = dict.fromkeys(("code", "text", "fix", "since", "rows", "total"))
        if not isinstance(self._connector, Sparing) or self._connector.looked(self._writer.dataset):
            nothing["looked_at"] = looked_at
        self._board.set(state="live", rate=0.0, **nothing)

    def _publish(self, page: Page) -> None:
        before, now = self._latest, self._now()
        if page.changes:
            records = self._writer.records(page, sequence=before.sequence, now=iso(now))
            self._publisher.publish(self._topic, records)
        marks = self._marks(page, before)
        notes = (*before.notes, *(f"{iso(now)} {note}" for note in page.notes))[-NOTES_KEPT:]
        self._after(
            before,
            sequence=before.sequence + 1,
            numbers=self._writer.numbers,
            position=dict(page.position),
            published=before.published + len(page.changes) + marks,
            duplicates=before.duplicates + page.duplicates,
            stale=before.stale + page.stale,
            notes=notes,
            asks=tuple(page.asks),
        )
        self._loaded += len(page.changes) + page.duplicates + page.stale
        took = max(time.monotonic() - self._began, 1e-3)
        state = {} if self._latest.snapshot_done and self._board().state == "live" else {"state": "loading"}
        self._board.set(rows=page.done, total=page.total, rate=self._loaded / took, notes=notes,
                        asks=self._latest.asks, **state)  # fmt: skip
        self._publisher.poll()
        self._save(every_s=SAVE_EVERY_S)

    def _marks(self, page: Page, before: Saved) -> int:
        """Publish the mark of a page, if there is anything that it could be about; how many events it took."""
        if page.mark is None or (page.mark == "complete" and before.reading <= 1):
            return 0
        now = iso(self._now())
        marks = self._writer.marks(page.mark, sequence=before.sequence, index=len(page.changes), now=now)
        self._publisher.publish(self._topic, marks)
        return len(marks)

    def weigh(self) -> None:
        """Note what the source keeps too much of while nothing is read. One that can't be asked now is asked again."""
        if not isinstance(self._connector, Retaining):
            return
        try:
            said = self._connector.retained(self._writer.dataset)
        except PositionLost as lost:
            said = [lost.finding]
        except OneWindowError:
            return
        for text in said:
            self.note(text)
        if said:
            self.settle()

    def note(self, text: str) -> None:
        """Put down what a person should hear; ``settle`` saves it."""
        notes = (*self._latest.notes, f"{iso(self._now())} {text}")[-NOTES_KEPT:]
        self._after(self._latest, notes=notes)
        self._board.set(notes=notes)

    def _after(self, before: Saved, **fields: Any) -> None:
        """What is to be saved once all that was published up to now is acknowledged."""
        self._latest = msgspec.structs.replace(before, **fields)
        self._waiting.append((self._publisher.tickets, self._latest))

    def _save(self, every_s: float) -> None:
        """Save the newest position whose changes are all acknowledged; of those saved, confirm the newest acknowledged."""
        self._confirm()
        if time.monotonic() - self._saved_at < every_s:
            return
        durable = None
        while self._waiting and self._waiting[0][0] <= self._publisher.acked:
            durable = self._waiting.popleft()[1]
        if durable is None or durable == self._saved:
            return
        durable = msgspec.structs.replace(durable, saved_at=iso(self._now()))
        self._publisher.publish(POSITIONS.name, [saved_record(self._writer.system, self._writer.dataset, durable)])
        self._saved, self._saved_at = durable, time.monotonic()
        if durable.position is not None:
            self._unconfirmed.append((self._publisher.tickets, durable.position))
        self._board.set(saved_at=self._now(), **_books(durable))

    def settle(self) -> None:
        """Wait until all is acknowledged, and save."""
        self._publisher.flush()
        self._save(every_s=0.0)
        self._publisher.flush()
        self._confirm()

    def _confirm(self) -> None:
        durable = None
        while self._unconfirmed and self._unconfirmed[0][0] <= self._publisher.acked:
            durable = self._unconfirmed.popleft()[1]
        if durable is not None and self._confirming is not None:
            self._confirming.confirm(self._writer.dataset, durable)


class _SourceFailed(Exception):
    """The connector raised ``error``; what it gave before is good."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _pages(connector: Connector, dataset: str, after: Position | None) -> Generator[Page, None, None]:
    """The connector's pages, its own errors told apart from those of whoever takes them."""
    pages = iter(connector.pull(dataset, after))
    try:
        while True:
            try:
                page = next(pages)
            except StopIteration:
                return
            except Exception as error:
                raise _SourceFailed(error) from error
            yield page
    finally:
        close = getattr(pages, "close", None)
        if close is not None:
            close()


def _books(saved: Saved) -> dict[str, Any]:
    return {
        "reading": saved.reading,
        "sought": saved.sought,
        "numbers": saved.numbers,
        "published": saved.published,
        "again": saved.again,
        "duplicates": saved.duplicates,
        "stale": saved.stale,
        "snapshot_done": saved.snapshot_done,
    }
