"""The one seam with Faust's internals: an app whose agents get whole fetched batches instead of single events.

Stock Faust passes each event through several asyncio tasks (9 to 14 thousand a second on one core); handing the list of
records that one fetch brought for one partition to the agent moves 175 thousand. Membership, rebalance, flow control and
the commit timer stay Faust's. Where reading goes on after an assignment is told by the database, which holds the offsets
in the transactions of what came of them; offsets committed to Kafka are for lag tools only.

Written against faust-streaming 0.15.3, which is pinned; ``tests/streams/test_batches.py`` fails when this seam breaks.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import faust
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

_SUBSCRIBE_S = 0.2

Locate = Callable[[Mapping[tuple[str, int], tuple[int, int]]], Awaitable[Mapping[tuple[str, int], int]]]
"""(topic, partition) -> (log start, log end) of what was assigned; gives the offsets to go on from."""


class BatchConsumer(driver.Consumer):  # type: ignore[misc]  # Faust is not typed
    """Delivers one message per partition and fetch. Its value is the list of records; its key the offset from which
    they were fetched, which may lie below the first record's: logs have holes."""

    largest_batch = 1_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._under_way: dict[TP, deque[Any]] = defaultdict(deque)
        self._finished: dict[TP, int] = {}
        self._next: dict[TP, int] = {}
        self._held: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)  # set while a topic is held

    # A topic that is held is neither fetched, whatever Faust resumes after a rebalance, nor delivered: its queue would
    # fill, and waiting for room in a full one holds up every other topic.

    def hold(self, topic: str) -> None:
        """Fetch nothing more of a topic, nor of partitions of it that are assigned later."""
        if topic not in self.held:
            self._held[topic].set()
            self.pause_partitions({tp for tp in self.assignment() if tp.topic == topic})

    async def release(self, topic: str) -> None:
        """Go on with a topic after the last batch that was delivered: what was under way when it was held is gone."""
        if topic not in self.held:
            return
        self._held[topic].clear()
        tps = {tp for tp in self.assignment() if tp.topic == topic}
        for tp in tps & self._next.keys():
            await self.seek(tp, self._next[tp])
        self.resume_partitions(tps)

    @property
    def held(self) -> frozenset[str]:
        """The topics that are held."""
        return frozenset(topic for topic, held in self._held.items() if held.is_set())

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Faust resumes all partitions after each rebalance."""
        super().resume_partitions({tp for tp in tps if tp.topic not in self.held})

    def on_buffer_drop(self, tp: TP) -> None:
        """There is room again for a partition."""
        super().on_buffer_drop(tp)
        if tp.topic in self.held:
            self._get_active_partitions().discard(tp)

    async def _wait_next_records(self, timeout: float) -> Any:  # noqa: ASYNC109 - Faust's signature
        # Faust sleeps a whole second when every partition is paused by a full buffer
        if self.flow_active and not self.app.client_only and not self._get_active_partitions():
            await asyncio.sleep(0.01)
            return {}, set()
        return await super()._wait_next_records(timeout)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self._stopped.is_set() or fetcher._stopped.is_set()):  # noqa: SLF001 - as Faust does
                records, active = await self._wait_next_records(1.0)
                await asyncio.sleep(0)
                if not records or self.should_stop:
                    continue
                generation = self.app.consumer_generation_id
                if not self.flow_active:
                    with suppress(IllegalStateError):  # what is assigned changes just now
                        await self._go_back()
                    continue
                for place, items in records.items():
                    tp = TP(place.topic, place.partition)
                    if active is None or tp in active or tp in self._buffered_partitions:
                        await self._deliver(tp, items, generation)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise

    async def _deliver(self, tp: TP, records: list[Any], generation: int) -> None:
        for start in range(0, len(records), self.largest_batch):
            if not self.flow_active or self.app.consumer_generation_id != generation or tp.topic in self.held:
                return
            chunk = records[start : start + self.largest_batch]
            last = chunk[-1]
            message = ConsumerMessage(
                tp.topic, tp.partition, last.offset, (last.timestamp or 0) / 1_000, last.timestamp_type, (),
                self._next.get(tp, chunk[0].offset), chunk, None, 0, len(chunk), tp, generation_id=generation,
            )  # fmt: skip
            self._advance(tp)
            self._under_way[tp].append(message)
            putting = self.callback(message)
            waited = await self.wait_first(putting, self.suspend_flow.wait(), self._held[tp.topic].wait())
            if putting not in waited.done:  # it is fetched again, from where reading goes on after the halt
                return
            self._read_offset[tp] = last.offset
            self._next[tp] = last.offset + 1

    # Offsets are committed up to the first batch that is not acknowledged, never past it (faust-streaming #606).

    def _advance(self, tp: TP) -> None:
        batches = self._under_way.get(tp)
        while batches and batches[0].acked:
            self._finished[tp] = batches.popleft().offset + 1

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterable[TP]:
        return [tp for tp in list(self._under_way) if topics is None or tp in topics or tp.topic in topics]

    def _new_offset(self, tp: TP) -> int | None:
        self._advance(tp)
        self._acked.pop(tp, None)
        self._acked_index.pop(tp, None)
        return self._finished.pop(tp, None)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self._halt()  # Faust does not when a subscription changed, because nothing is assigned then
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._under_way.pop(tp, None)
            self._finished.pop(tp, None)
            self._next.pop(tp, None)

    async def perform_seek(self) -> None:
        """Faust calls this before it lets the flow go on, which clears all queues: if it went on already, because one
        rebalance followed another, what is delivered meanwhile would be cleared away, and reading stand behind it."""
        self._halt()
        await self._go_back()

    def _halt(self) -> None:
        self.stop_flow()
        self.app.flow_control.suspend()
        self.app.flow_control.clear()

    async def _go_back(self) -> None:
        self._under_way.clear()
        self._finished.clear()
        await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to where the database says. A failure here ends the app: going on elsewhere would lose or repeat.

        Raises IllegalStateError when the partitions were assigned anew meanwhile: Faust then seeks again.
        """
        share = self._share()
        try:
            tps = [tp for tp in share[1] if not self._is_changelog_tp(tp)]
            starts, ends = await self.earliest_offsets(*tps), await self.highwaters(*tps)
            bounds = {(tp.topic, tp.partition): (starts[tp], ends[tp]) for tp in tps}
            offsets = await self.app.locate(bounds)
            targets = {tp: offsets[tp.topic, tp.partition] for tp in tps}
            await self.seek_wait(targets)
        except Exception as error:
            if self._share() != share:
                raise IllegalStateError("partitions were assigned anew") from error
            self.app.fail(error)
            raise
        self._next.update(targets)
        return targets

    def _share(self) -> tuple[int, frozenset[TP]]:
        """The group's generation, and what it assigned to this member."""
        return self.app.consumer_generation_id, frozenset(self.assignment())


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's transport with that consumer."""

    Consumer = BatchConsumer


class BatchSchema(faust.Schema):  # type: ignore[misc]
    """Leaves the list of records as it is."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The decoder that Faust calls for each message."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:  # noqa: ARG001 - Faust's signature
            return app.create_event(message.key, message.value, {}, message)

        return decode


class BatchApp(faust.App):  # type: ignore[misc]
    """A Faust app of whole-batch agents. ``locate`` says where to go on; ``failure`` is why it had to end."""

    def __init__(self, name: str, *, bootstrap: str, instance: str, locate: Locate, datadir: str) -> None:
        super().__init__(
            name,
            broker=f"kafka://{bootstrap}",
            store="memory://",
            datadir=datadir,
            web_enabled=False,
            topic_disable_leader=True,
            topic_allow_declare=False,
            table_standby_replicas=0,
            consumer_group_instance_id=instance,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=10.0,
            broker_request_timeout=15.0,
            broker_heartbeat_interval=1.0,
            broker_commit_interval=1.0,
            broker_max_poll_records=20_000,
            consumer_max_fetch_size=4 << 20,
            stream_wait_empty=False,
            stream_buffer_maxsize=16,  # batches; Faust's 4,096 would hold gigabytes
            autodiscover=False,
        )
        self.locate = locate
        self.failure: BaseException | None = None
        self.failed = asyncio.Event()

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)

    def batches(self, name: str) -> Any:
        """A topic whose events are whole batches."""
        return self.topic(name, schema=BatchSchema(), key_type=bytes, value_type=bytes)

    async def begin(self, agent: Any, topic: str) -> None:
        """Start an agent while the app runs. The group shares its partitions out anew; no worker is started again."""
        self.agents.update_topic_index()
        await agent.maybe_start()
        self.topics._resubscribe_sleep_lock_seconds = 0.0  # noqa: SLF001 - Faust waits 45 s for more of them
        while topic not in self.topics._topic_name_index:  # noqa: SLF001 - a change amid a rebalance is forgotten
            self.topics._flag_changes()  # noqa: SLF001
            await asyncio.sleep(_SUBSCRIBE_S)

    def fail(self, error: BaseException) -> None:
        """End the app for this reason."""
        if self.failure is None:
            self.failure = error
            self.failed.set()
