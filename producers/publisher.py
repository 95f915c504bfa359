"""Takes whole record batches to the broker, in order, and knows exactly up to where they are durable.

kafka-python's ``KafkaProducer.send`` passes every record through futures, locks and a second thread (45 µs a record).
Here the records of a page become one batch per partition at once, and the thread that publishes also drives the
connection. Idempotent: each batch carries producer id and sequence, a retry repeats both, so the broker keeps it once.

A publisher that could not deliver one batch is dead: it sends nothing more, and its owner goes back to the last saved
position with a new one. It never leaves a batch out and goes on with the next (guarantee 2).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from contracts.errors import PublishFailed, TopicWrong
from producers._kafka import CODECS, BatchBuilder, Connections, Headers, Outcome, partition_of

_REQUEST_BYTES = 8 << 20  # of batches; our own broker takes twice that


@dataclass(frozen=True, slots=True)
class Record:
    """What one record says. ``partition``: where it goes; None leaves it to the hash of the key."""

    key: bytes
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


@dataclass(slots=True)
class Batch:
    """Records of one partition on their way. ``sequence`` is that of the first; ``ticket`` the publish that made it."""

    topic: str
    partition: int
    sequence: int
    count: int
    data: bytes
    ticket: int
    taken: bool = False


Send = Callable[[Sequence[Batch], Callable[[], None]], None]
"""How a request leaves: gets its batches and the call that sends it. The seam at which tests lose or delay requests."""


def straight(_batches: Sequence[Batch], go: Callable[[], None]) -> None:
    """Send the request."""
    go()


@dataclass(slots=True)
class _Lane:
    """One partition: the batches that are not durable yet, oldest first; the first ``sent`` of them are under way."""

    topic: str
    partition: int
    queue: deque[Batch] = field(default_factory=deque)
    sent: int = 0
    awaited: int = 0
    again: bool = False
    sequence: int = 0
    moved: float = 0.0  # when it was last empty, or had a batch acknowledged


class Publisher:
    """An idempotent producer for one thread.

    ``in_flight``: requests under way per broker (at most 5: the broker remembers that many batches of a producer).
    ``held_bytes``: ``publish`` waits while more than this is not durable. ``deliver_s``: how long a partition may
    acknowledge nothing, retries included. Raises BrokerUnreachable when the cluster can't be reached in ``deliver_s``.
    """

    def __init__(
        self,
        bootstrap: str,
        client_id: str,
        *,
        compression: str = "lz4",
        in_flight: int = 5,
        batch_bytes: int = 512 << 10,
        held_bytes: int = 16 << 20,
        deliver_s: float = 30.0,
        send: Send = straight,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._codec, self._in_flight, self._batch_bytes = CODECS[compression], min(in_flight, 5), batch_bytes
        self._held_limit, self._deliver_s, self._send, self._now = held_bytes, deliver_s, send, now
        self._request_s = min(10.0, deliver_s)
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._partitions: dict[str, int] = {}
        self._per_node: dict[int, int] = {}
        self._held = self._tickets = 0
        self._moved = time.monotonic()  # when something was last acknowledged, or nothing was under way
        self._open: dict[int, int] = {}  # ticket -> batches of it that are not durable, oldest first
        self._dead: PublishFailed | None = None
        self._line = Connections(bootstrap, client_id, self._request_s)
        try:
            deadline = time.monotonic() + deliver_s
            self._line.connect(deadline)
            self._producer = self._line.producer_id(deadline)
        except BaseException:
            self._line.close()
            raise

    def partitions(self, topic: str) -> int:
        """How many partitions a topic has. Raises TopicWrong when it does not exist."""
        if topic not in self._partitions:
            found = self._line.partitions(topic, time.monotonic() + min(5.0, self._deliver_s))
            if not found:
                raise TopicWrong(
                    f"topic {topic} does not exist on the broker", fix="start with onewindow up, which creates topics"
                )
            self._partitions[topic] = found
        return self._partitions[topic]

    def publish(self, topic: str, records: Sequence[Record]) -> int:
        """Send records, in order within each partition, and give a ticket; they are durable once ``acked`` reaches it.

        Returns before they are, unless too much is under way. Raises PublishFailed when the publisher is dead, also of
        an earlier batch.
        """
        self._raise_if_dead()
        self._tickets += 1
        ticket, count = self._tickets, self.partitions(topic)
        if not self._open:
            self._moved = time.monotonic()
        self._open[ticket] = 1  # holds the ticket open while its batches are made
        stamp = int(self._now() * 1000)
        building: dict[int, BatchBuilder] = {}
        for record in records:
            number = partition_of(record.key, count) if record.partition is None else record.partition
            builder = building.get(number)
            if builder is None:
                builder = building[number] = self._builder(topic, number)
            if not builder.append(stamp, record.key, record.value, record.headers):
                self._enqueue(topic, number, builder, ticket)
                builder = building[number] = self._builder(topic, number)
                builder.append(stamp, record.key, record.value, record.headers)
        for number, builder in building.items():
            self._enqueue(topic, number, builder, ticket)
        self._settle(ticket)
        self.poll()
        while self._held > self._held_limit:
            self.poll(0.05)
        return ticket

    @property
    def acked(self) -> int:
        """The ticket up to which everything is durable."""
        return next(iter(self._open), self._tickets + 1) - 1

    @property
    def tickets(self) -> int:
        """The ticket of the latest publish."""
        return self._tickets

    @property
    def waiting_s(self) -> float:
        """For how long something has been under way and nothing was acknowledged. May be asked by any thread."""
        return time.monotonic() - self._moved if self._open else 0.0

    def poll(self, wait_s: float = 0.0) -> None:
        """Move things on: send what may be sent, take in what was answered, wait up to ``wait_s`` for an answer.

        Raises PublishFailed.
        """
        self._raise_if_dead()
        self._dispatch()
        for _ in range(3):  # connect, write, read: each is a turn of kafka-python's loop
            self._line.poll(0.0)
        if wait_s and self._open:
            self._line.poll(wait_s)
        self._dispatch()
        self._raise_if_dead()

    def flush(self) -> None:
        """Wait until everything is durable. Raises PublishFailed if something could not be delivered."""
        self.poll()
        while self._open:
            self.poll(0.05)

    def close(self) -> None:
        """Let go of the connections; what is not durable is given up."""
        self._dead = self._dead or PublishFailed("the publisher is closed", fix="make a new one")
        self._line.close()

    def _raise_if_dead(self) -> None:
        if self._dead is not None:
            raise self._dead

    def _builder(self, topic: str, partition: int) -> BatchBuilder:
        lane = self._lanes.get((topic, partition))
        if lane is None:
            lane = self._lanes[topic, partition] = _Lane(topic, partition)
        return BatchBuilder(self._codec, self._producer, lane.sequence, self._batch_bytes)

    def _enqueue(self, topic: str, partition: int, builder: BatchBuilder, ticket: int) -> None:
        lane, data = self._lanes[topic, partition], builder.build()
        if not lane.queue:
            lane.moved = time.monotonic()
        lane.queue.append(Batch(topic, partition, builder.sequence, builder.count, data, ticket))
        lane.sequence = (lane.sequence + builder.count) & 0x7FFFFFFF
        self._open[ticket] += 1
        self._held += len(data)

    def _settle(self, ticket: int) -> None:
        self._open[ticket] -= 1
        if not self._open[ticket]:
            del self._open[ticket]

    def _dispatch(self) -> None:
        while self._dead is None:
            requests: dict[int, list[tuple[_Lane, Batch]]] = {}
            sizes: dict[int, int] = {}
            for lane in self._lanes.values():
                if lane.queue and time.monotonic() - lane.moved > self._deliver_s:
                    return self._fail(lane.queue[0], f"not acknowledged within {self._deliver_s:g} s")
                while lane.sent < len(lane.queue) and lane.queue[lane.sent].taken:
                    lane.sent += 1
                if lane.again or lane.sent >= len(lane.queue) or lane.awaited >= self._in_flight:
                    continue
                node = self._line.leader(lane.topic, lane.partition)
                if node is None or self._per_node.get(node, 0) >= self._in_flight:
                    continue
                batch = lane.queue[lane.sent]
                size = sizes.get(node, 0) + len(batch.data)
                if node not in requests or size <= _REQUEST_BYTES:  # the rest goes with the next one
                    requests.setdefault(node, []).append((lane, batch))
                    sizes[node] = size
            if not requests:
                return None
            for node, items in requests.items():
                self._request(node, items)
        return None

    def _request(self, node: int, items: list[tuple[_Lane, Batch]]) -> None:
        for lane, _ in items:
            lane.sent += 1
            lane.awaited += 1
        self._per_node[node] = self._per_node.get(node, 0) + 1
        batches = [batch for _, batch in items]

        def done(outcomes: list[Outcome]) -> None:
            self._per_node[node] -= 1
            for (lane, batch), outcome in zip(items, outcomes, strict=True):
                self._answered(lane, batch, outcome)

        def go() -> None:
            wire = [(batch.topic, batch.partition, batch.data) for batch in batches]
            self._line.produce(node, wire, self._request_s, done)

        self._send(batches, go)

    def _answered(self, lane: _Lane, batch: Batch, outcome: Outcome) -> None:
        lane.awaited -= 1
        if outcome.taken:
            batch.taken = True
            self._moved = lane.moved = time.monotonic()
            while lane.queue and lane.queue[0].taken:
                first = lane.queue.popleft()
                lane.sent = max(0, lane.sent - 1)
                self._held -= len(first.data)
                self._settle(first.ticket)
        elif outcome.again or (outcome.out_of_order and lane.queue[0] is not batch):
            lane.again = True  # all that is under way must come back before the first of them may go again
        else:
            self._fail(batch, outcome.text)
        if lane.again and not lane.awaited:
            lane.again, lane.sent = False, 0

    def _fail(self, batch: Batch, text: str) -> None:
        self._dead = self._dead or PublishFailed(
            f"{batch.topic}/{batch.partition}: {batch.count} records from sequence {batch.sequence} were not taken"
            f" ({text})",
            fix="nothing to do while the broker is away: it is sent again from the last saved position; "
            "if it stays, look at the broker's log and at max.message.bytes of the topic",
        )
