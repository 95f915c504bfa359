"""The relay: publishes what the outbox holds, in order, and deletes a row some time after all of it is acknowledged.

A batch that could not be sent is a failure of everything from it on: the producer is made anew and all of it is sent
again, in order. Readers drop what they have seen by its numbers; they could not tell a batch that was left out.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from contracts.errors import DatabaseUnreachable
from streams.intake import Outgoing
from streams.store import Store

log = structlog.get_logger()

_ROWS = 8  # outbox rows under way together: enough to keep the broker busy while rows are decoded
_MOST_GIVEN = 64  # rows in memory, above which they are read back once the broker takes them
_DELETED = 64  # rows that are deleted together at the latest
_SWEEP_S = 0.2  # or when nothing came for so long
_LOOK_S = 1.0
_BATCH_BYTES = 900_000
_unpack = msgspec.msgpack.Decoder(list[Outgoing]).decode

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]
Posted = tuple[int, Sequence[Outgoing]]
"""The id of an outbox row, and its events."""


class Relay:
    """Publishes one store's outbox. ``wrap`` is the seam for fault tests: it gets the real publish, and gives the one
    to use. ``in_thread`` runs a function of the database elsewhere than on the event loop.

    What was decided just now is handed over and need not be read back. The outbox itself is read at the
    start, after a failure, when too much was handed over, and each second for what other workers left.
    """

    def __init__(
        self,
        store: Store,
        bootstrap: str,
        in_thread: Callable[..., Awaitable[Any]],
        *,
        wrap: Callable[[Publish], Publish] = lambda publish: publish,
    ) -> None:
        self._store, self._bootstrap, self._in_thread = store, bootstrap, in_thread
        self._publish = wrap(self._really_publish)
        self._producer: AIOKafkaProducer | None = None
        self._given: deque[Posted] = deque()
        self._behind = True  # there may be rows in the outbox that were not handed over
        self._sent: list[int] = []
        self._next: dict[tuple[str, str, int], int] = {}  # (origin, topic, partition) -> the number after what was sent
        self._looked_at = 0.0
        self._wake = asyncio.Event()

    def hand_over(self, posted: Sequence[Posted]) -> None:
        """These rows were put into the outbox just now, in this order."""
        self._given += posted
        if len(self._given) > _MOST_GIVEN:
            self._given.clear()
            self._behind = True
        self._wake.set()

    async def run(self) -> None:
        """Relay until cancelled. Neither broker nor database being away ends it."""
        pause = 0.1
        while True:
            try:
                await self._relay()
                pause = 0.1
            except (KafkaError, DatabaseUnreachable) as error:
                log.warning("relay waits", error=type(error).__name__)
                self._behind = True
                await self._drop_producer()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)

    async def _relay(self) -> None:
        """Send all there is, then wait for more. Rows are deleted when nothing else is to do, or they are many."""
        while True:
            self._wake.clear()
            rows = await self._rows()
            if rows:
                await self._publish([event for _, events in rows for event in events])
                self._note(rows)
            if self._sent and (len(self._sent) >= _DELETED or not await self._woken(_SWEEP_S)):
                await self._delete()
            elif not rows:
                await self._woken(_LOOK_S)

    async def _rows(self) -> list[Posted]:
        """What is to be published next: of what was handed over, unless there may be something before it."""
        while self._given and self._was_sent(self._given[0][1]):
            self._given.popleft()
        rows = [self._given[index] for index in range(min(_ROWS, len(self._given)))]
        late = time.monotonic() - self._looked_at > _LOOK_S
        if not (self._behind or late) and self._follow(rows):
            for _ in rows:
                self._given.popleft()
            return rows
        self._looked_at = time.monotonic()
        self._given.clear()  # it is in the outbox
        await self._delete()
        found = await self._in_thread(self._store.unsent, 0, _ROWS)
        self._behind = len(found) == _ROWS
        return [(number, _unpack(events)) for number, events in found]

    def _follow(self, rows: Sequence[Posted]) -> bool:
        """Whether these rows have just the numbers that come after what this relay published. Otherwise another worker, or
        a commit that seemed to fail, left something in the outbox that must go first."""
        ahead = dict[tuple[str, str, int], int]()
        for _, events in rows:
            for event in events:
                way = (event.origin, event.topic, event.partition)
                if event.number != (ahead.get(way) or self._next.get(way, 0)):
                    return False
                ahead[way] = event.number + 1
        return True

    def _was_sent(self, events: Sequence[Outgoing]) -> bool:
        """Whether a row that was handed over had been read from the outbox before."""
        first = events[0]
        return first.number < self._next.get((first.origin, first.topic, first.partition), 0)

    def _note(self, rows: Sequence[Posted]) -> None:
        self._sent += [number for number, _ in rows]
        for _, events in rows:
            for event in events:
                self._next[event.origin, event.topic, event.partition] = event.number + 1

    async def _delete(self) -> None:
        if self._sent:
            await self._in_thread(self._store.sent, self._sent)
            self._sent = []

    async def _woken(self, seconds: float) -> bool:
        """Whether there is something to do, within so long."""
        if self._given or self._behind:
            return True
        try:  # wait_for of Python 3.11 forgets that it is cancelled when it is woken too
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        return True

    async def _really_publish(self, events: Sequence[Outgoing]) -> None:
        """Publish, in order within each partition, and return when all is acknowledged. Raises KafkaError."""
        producer = await self._open()
        by_place: dict[tuple[str, int], list[Outgoing]] = {}
        for event in events:
            by_place.setdefault((event.topic, event.partition), []).append(event)
        sends = [self._send(producer, place, items) for place, items in by_place.items()]
        for outcome in await asyncio.gather(*sends, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    async def _send(self, producer: AIOKafkaProducer, place: tuple[str, int], events: list[Outgoing]) -> None:
        now = int(time.time() * 1_000)
        batch = producer.create_batch()
        waiting = []
        for event in events:
            headers = [
                ("ce_specversion", b"1.0"),
                ("ce_id", f"{event.origin}/{event.number}".encode()),
                ("ce_source", event.origin.encode()),
                ("ce_sequence", b"%d" % event.number),
                ("ce_type", event.type.encode()),
            ]
            key = event.key.encode()
            if batch.append(key=key, value=event.value, timestamp=now, headers=headers) is None:
                waiting.append(await producer.send_batch(batch, place[0], partition=place[1]))
                batch = producer.create_batch()
                batch.append(key=key, value=event.value, timestamp=now, headers=headers)
        waiting.append(await producer.send_batch(batch, place[0], partition=place[1]))
        for future in waiting:
            await future

    async def _open(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                enable_idempotence=True,
                acks="all",
                compression_type="zstd",  # aiokafka's lz4 is at level 9: five times the time, and half as much again to store
                max_batch_size=_BATCH_BYTES,
                request_timeout_ms=10_000,
                retry_backoff_ms=50,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            try:
                await producer.stop()
            except KafkaError as error:
                log.warning("relay's old producer ended badly", error=type(error).__name__)

    async def close(self) -> None:
        """Let go of the connection."""
        await self._drop_producer()
