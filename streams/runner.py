"""Runs a Faust app of whole-batch agents as one role: start, work, notice that it stands still, stop.

What to do with a batch follows from the family of the error: a database or broker that is away is waited for, a broken
invariant ends the role with its message, and so does an error nobody foresaw. Nothing is acknowledged but what was done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from contracts.errors import DatasetPaused, OutOfStep, RetryLater, RoleStalled
from projections.bulk import Collision
from streams.batches import BatchApp

log = structlog.get_logger()

_LONGEST_PAUSE_S = 2.0
_LOOK_AGAIN_S = 0.5  # at a paused dataset: whoever lets it go on need not wait
_STALLED_S = 15.0
_LOOK_S = 5.0
_STOP_S = 5.0


class Fetch(NamedTuple):
    """What a fetch from ``first`` on brought of one partition."""

    partition: int
    first: int
    records: list[Any]


Work = Callable[[str, Sequence[Fetch]], Any]
"""(topic, what waited of its partitions, at most one fetch of each) -> what became of it; runs in the database's thread."""


async def _together(stream: Any, most: int) -> AsyncIterator[list[Any]]:
    """The batches that came while those before were worked on: the statements of a transaction cost the same for few records
    as for many. Those of one partition follow each other without a hole. ``most``: records, after which it is enough."""
    group: list[Any] = []
    count, ends = 0, dict[int, int]()
    async for event in stream.noack().events():
        place = event.message.partition
        if ends.get(place, event.key) != event.key:  # something was sought in between
            yield group
            group, count, ends = [], 0, {}
        group.append(event)
        count += len(event.value)
        ends[place] = event.value[-1].offset + 1
        if stream.channel.queue.empty() or count >= most:
            yield group
            group, count, ends = [], 0, {}


def _fetches(events: Sequence[Any]) -> list[Fetch]:
    """One of each partition."""
    found: dict[int, Fetch] = {}
    for event in events:
        place = event.message.partition
        before = found.get(place)
        found[place] = (
            Fetch(place, event.key, event.value)
            if before is None
            else before._replace(records=[*before.records, *event.value])
        )
    return list(found.values())


class Runner:
    """One role. ``positions`` and ``check`` speak for its database; ``together``: how many records it takes in one
    transaction at the most."""

    def __init__(
        self,
        name: str,
        *,
        bootstrap: str,
        instance: str,
        datadir: str,
        check: Callable[[str, int, int, int], int],
        positions: Callable[[], Mapping[tuple[str, int], int]],
        together: int,
    ) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-database")
        self._turn = asyncio.Lock()  # of the agents: whoever else wants the thread waits for one batch, not for all
        self._check, self._positions, self._bootstrap = check, positions, bootstrap
        self._most = together
        self._topics: list[str] = []
        self.app = BatchApp(name, bootstrap=bootstrap, instance=instance, locate=self._locate, datadir=datadir)
        self.moved_at = time.monotonic()
        self.stopped = True

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function of the database; one at a time, for it has one writer."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    async def _locate(self, bounds: Mapping[tuple[str, int], tuple[int, int]]) -> Mapping[tuple[str, int], int]:
        def ask() -> dict[tuple[str, int], int]:
            return {place: self._check(*place, start, end) for place, (start, end) in bounds.items()}

        while True:
            try:
                return dict(await self.in_thread(ask))
            except RetryLater as error:
                log.warning("the database is waited for", code=error.code)
                await asyncio.sleep(1.0)

    def agent(self, topic: str, work: Work, after: Callable[[Any], Awaitable[None]]) -> Any:
        """An agent for a topic: what waits goes through ``work``, then ``after`` gets what became of it."""

        async def each_batch(stream: Any) -> None:
            async for events in _together(stream, self._most):
                outcome = await self._persist(topic, events, work)
                for event in events:
                    await stream.ack(event)
                self.moved_at = time.monotonic()
                await after(outcome)

        self._topics.append(topic)
        return self.app.agent(self.app.batches(topic), name=f"agents.{topic}")(each_batch)

    async def join(self, topic: str, work: Work, after: Callable[[Any], Awaitable[None]]) -> None:
        """An agent for one more topic, while the role works."""
        await self.app.begin(self.agent(topic, work, after), topic)

    async def _persist(self, topic: str, events: Sequence[Any], work: Work) -> Any:
        """Do the work of some batches until it is done."""
        fetches = _fetches(events)
        pause = 0.05
        while True:
            try:
                async with self._turn:
                    outcome = await self.in_thread(work, topic, fetches)
            except Collision:  # another worker wrote the same first; now it is there to be seen
                continue
            except OutOfStep as error:  # the offset moved elsewhere: start again from what is stored
                await self._end(error)
            except RetryLater as error:
                if topic not in self.app.consumer.held:
                    log.warning("a batch waits", topic=topic, code=error.code)
                if isinstance(error, DatasetPaused):
                    self.app.consumer.hold(topic)
                    pause = min(pause, _LOOK_AGAIN_S)
                await asyncio.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - the edge of the role: it ends with what it was
                await self._end(error)
            else:
                await self.app.consumer.release(topic)
                return outcome

    async def _end(self, error: BaseException) -> None:
        self.app.fail(error)
        await asyncio.Event().wait()  # nothing more is done with this batch; the app is being stopped

    async def run(self, stop: asyncio.Event, *beside: Callable[[], Awaitable[None]], ready: Callable[[], None]) -> None:
        """Run until told to stop. ``beside``: what else runs meanwhile. Raises what the app failed with."""
        self.app.finalize()
        await self.app.start()
        ready()
        waits = [stop.wait(), self.app.failed.wait(), self._watch(), *(task() for task in beside)]
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=_STOP_S)
            await self._stop_app()
            self._thread.shutdown()
        if self.app.failure is not None:
            raise self.app.failure
        for task in tasks:
            if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                raise error

    async def _stop_app(self) -> None:
        stopping = asyncio.ensure_future(self.app.stop())
        done, _ = await asyncio.wait({stopping}, timeout=_STOP_S)
        self.stopped = stopping in done
        if not self.stopped:
            log.warning("the app did not stop in time; what it had not done is done after the next start")

    async def _watch(self) -> None:
        """Standing still with work waiting is a fault that a restart mends.

        It is told from the database's offsets and the log's ends alone: a consumer that forgot its partitions would say
        that it has nothing to do. (Seen: a group that formed while a killed broker was coming back gave none to its only
        member, and stayed so.)
        """
        stood: Mapping[tuple[str, int], int] = {}
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                stored = await self.in_thread(self._positions)
                if stored != stood:
                    stood, self.moved_at = stored, time.monotonic()
                if time.monotonic() - self.moved_at < _STALLED_S:
                    continue
                async with asyncio.timeout(_LOOK_S):
                    ends = await self._ends()
            except (RetryLater, KafkaError, TimeoutError):
                self.moved_at = time.monotonic()  # database or broker are away: that is waited for
                continue
            if any(end > stored.get(place, 0) for place, end in ends.items() if place[0] not in self.app.consumer.held):
                raise RoleStalled(
                    f"{self.app.conf.id} stood still for {_STALLED_S:.0f} s although events were waiting",
                    fix="it is started again; if it comes back, look at its log",
                )
            self.moved_at = time.monotonic()

    async def _ends(self) -> dict[tuple[str, int], int]:
        """The ends of the role's topics, asked by a connection of its own."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap)
        try:
            await consumer.start()
            await consumer.topics()  # asks for the metadata of all
            places = [
                TopicPartition(topic, index)
                for topic in self._topics
                for index in sorted(consumer.partitions_for_topic(topic) or ())
            ]
            return {(place.topic, place.partition): end for place, end in (await consumer.end_offsets(places)).items()}
        finally:
            await consumer.stop()
