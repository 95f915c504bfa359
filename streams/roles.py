"""The two Faust roles: ``streams`` decides what becomes of source records, ``projections`` folds what was decided."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime

import structlog

from contracts.errors import DatasetPaused, SourceSick
from contracts.events import REMAP_ORIGIN, RESIDENT_TOPIC
from projections.engine import LogBatch, Taken, ViewEngine
from streams.intake import Fetched, Intake, Outcome
from streams.records import arrival, incoming
from streams.relay import Publish, Relay
from streams.runner import Fetch, Runner
from streams.store import Store

log = structlog.get_logger()

_REMEMBERED = 20_000
_WELCOME_S = 2.0
DECIDED = 4_000  # records of a dataset: more gain nothing, and the other datasets wait for them
FOLDED = 16_000  # events: a resident of whom several speak is made up once


class StreamsRole:
    """Intake and relay of all datasets. ``newcomers``: those that came since it was asked last; it may block."""

    def __init__(
        self,
        store: Store,
        intakes: list[Intake],
        *,
        bootstrap: str,
        instance: str,
        datadir: str,
        wrap: Callable[[Publish], Publish] = lambda publish: publish,
        newcomers: Callable[[], list[Intake]] = list,
    ) -> None:
        self._newcomers = newcomers
        self._store, self._intakes = store, {intake.topic: intake for intake in intakes}
        self._runner = Runner(
            "onewindow-streams",
            bootstrap=bootstrap,
            instance=instance,
            datadir=datadir,
            check=store.check,
            positions=store.positions,
            together=DECIDED,
        )
        self._relay = Relay(store, bootstrap, self._runner.in_thread, wrap=wrap)
        self._paused: set[str] = set()
        for topic in self._intakes:
            self._runner.agent(topic, self._take, self._taken)

    @property
    def stopped(self) -> bool:
        """Whether Faust let go of everything when the role ended; away from its broker it may not."""
        return self._runner.stopped

    async def _welcome(self) -> None:
        """Take datasets that are added while the role works."""
        while True:
            await asyncio.sleep(_WELCOME_S)
            for intake in await asyncio.to_thread(self._newcomers):
                await self.join(intake)

    async def join(self, intake: Intake) -> None:
        """Take one more dataset."""
        await self._runner.in_thread(intake.adopt)
        self._intakes[intake.topic] = intake
        await self._runner.join(intake.topic, self._take, self._taken)

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Work until told to stop."""
        if not self._intakes:
            ready()
            await self._first(stop)
        self._put_into_force()
        try:
            if self._intakes:
                await self._runner.run(stop, self._relay.run, self._welcome, ready=ready)
        finally:
            await self._relay.close()

    async def _first(self, stop: asyncio.Event) -> None:
        """Wait for the first dataset of a new deployment: a Faust app can't begin without a topic."""
        while not self._intakes and not stop.is_set():
            for intake in await asyncio.to_thread(self._newcomers):
                self._intakes[intake.topic] = intake
                self._runner.agent(intake.topic, self._take, self._taken)
            if not self._intakes:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_WELCOME_S):
                        await stop.wait()

    def _put_into_force(self) -> None:
        """All workers decide under the mappings that this one was started with. A dataset that was paused under another
        one goes on."""
        for topic, intake in self._intakes.items():
            if intake.adopt():
                fix = f"onewindow remap {intake.name}: what was decided before is as the old mapping made it"
                log.info("a new mapping is in force", topic=topic, mapping=intake.meaning, fix=fix)

    def _take(self, topic: str, fetches: Sequence[Fetch]) -> Outcome:
        """Decide batches. A dataset that turns out sick is paused: its batches wait, all others go on."""
        intake = self._intakes[topic]
        try:
            return intake.take_together(
                [
                    Fetched(partition, first, [incoming(each) for each in records])
                    for partition, first, records in fetches
                ]
            )
        except SourceSick as sick:
            self._store.set_pause(topic, intake.mapping, sick.finding)
            raise DatasetPaused(sick.finding, fix=sick.fix) from sick

    async def _taken(self, outcome: Outcome) -> None:
        if outcome.missing:
            log.warning("a batch of a source was lost on the way", missing=outcome.missing)
        self._relay.hand_over(outcome.posted)


class Freshness:
    """How long changes took from the source's commit into the view: of the last 20,000, in milliseconds."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now, self._lags = now, deque[float](maxlen=_REMEMBERED)
        self.applied = 0

    def note(self, committed: list[str]) -> None:
        """Changes that are in the view as of now, by the time of their commits."""
        moment = self._now()
        lags = {at: (moment - datetime.fromisoformat(at).timestamp()) * 1_000 for at in set(committed)}
        self._lags.extend(lags[at] for at in committed)  # one commit in a source makes many changes

    def percentiles(self) -> dict[str, float | None]:
        """p50, p95 and p99; None while nothing was measured."""
        lags = sorted(self._lags)
        if not lags:
            return {"p50": None, "p95": None, "p99": None}
        return {f"p{part}": round(lags[min(len(lags) * part // 100, len(lags) - 1)], 1) for part in (50, 95, 99)}

    def __len__(self) -> int:
        return len(self._lags)


class ProjectionsRole:
    """The projection of ``community.resident`` into the view."""

    def __init__(self, view: ViewEngine, *, bootstrap: str, instance: str, datadir: str) -> None:
        self._view, self.freshness = view, Freshness()
        self._runner = Runner(
            "onewindow-projections",
            bootstrap=bootstrap,
            instance=instance,
            datadir=datadir,
            check=view.check,
            positions=view.positions,
            together=FOLDED,
        )
        self._runner.agent(RESIDENT_TOPIC, self._take, self._taken)

    @property
    def stopped(self) -> bool:
        """Whether Faust let go of everything when the role ended; away from its broker it may not."""
        return self._runner.stopped

    async def run(self, stop: asyncio.Event, ready: Callable[[], None]) -> None:
        """Work until told to stop."""
        await self._runner.run(stop, ready=ready)

    def _take(self, topic: str, fetches: Sequence[Fetch]) -> tuple[list[Taken], list[str]]:
        batches = [
            LogBatch(topic, partition, first, records[-1].offset + 1, [arrival(record) for record in records])
            for partition, first, records in fetches
        ]
        return self._view.take_together(batches), [
            at
            for batch in batches
            for item in batch.arrivals
            if not item.origin.startswith(REMAP_ORIGIN) and (at := _committed(item.value)) is not None
        ]

    async def _taken(self, outcome: tuple[list[Taken], list[str]]) -> None:
        found, committed = outcome
        self.freshness.note(committed)
        for taken in found:
            self.freshness.applied += taken.applied
            for gap in taken.gaps:
                log.warning("events are missing", origin=gap.origin, expected=gap.expected, found=gap.found)


_MARK = b'"committed_at":"'


def _committed(value: bytes) -> str | None:
    """The commit time inside an event, without decoding it once more."""
    at = value.find(_MARK)
    if at < 0:
        return None
    start = at + len(_MARK)
    return value[start : value.index(b'"', start)].decode()
