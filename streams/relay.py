"""The relay: publishes what the outbox holds, in order, and deletes a row once all of it is acknowledged.

A batch that could not be sent is a failure of everything from it on: the producer is made anew and all of it is sent
again, in order. Readers drop what they have seen by its numbers; they could not tell a batch that was left out.
"""

from __future__ import annotations

import asyncio
import time
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
_BATCH_BYTES = 900_000
_unpack = msgspec.msgpack.Decoder(list[Outgoing]).decode

Publish = Callable[[Sequence[Outgoing]], Awaitable[None]]


class Relay:
    """Publishes one store's outbox. ``wrap`` is the seam for fault tests: it gets the real publish, and gives the one
    to use. ``in_thread`` runs a function of the database elsewhere than on the event loop."""

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
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """There is something in the outbox."""
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
                await self._drop_producer()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 2.0)

    async def _relay(self) -> None:
        """Send all there is, then wait for more."""
        while True:
            self._wake.clear()
            rows = await self._in_thread(self._store.unsent, 0, _ROWS)
            if rows:
                events = [event for _, blob in rows for event in _unpack(blob)]
                await self._publish(events)
                await self._in_thread(self._store.sent, [each for each, _ in rows])
            else:
                try:
                    await asyncio.wait_for(self._wake.wait(), 1.0)
                except TimeoutError:
                    continue

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
                compression_type="lz4",
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
