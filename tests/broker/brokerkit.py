"""What tests of the broker need: batches, partitions without a broker, and a client that speaks single requests."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from typing import ClassVar

from broker import Broker, BrokerSettings
from broker.batches import HEADER, Header, walk
from broker.log import Opening, Partition
from broker.messages import RecordBatch, RecordBatchBuilder, admin, consumer, metadata, producer

NAMESPACES = (admin, consumer, metadata, producer)
VERSIONS = {"Produce": 9, "Fetch": 11, "JoinGroup": 7, "SyncGroup": 5, "Heartbeat": 4, "LeaveGroup": 4, "Metadata": 9}
VERSIONS |= {"CreateTopics": 5, "OffsetCommit": 7, "OffsetFetch": 7, "InitProducerId": 4, "ListOffsets": 5}
VERSIONS |= {"OffsetForLeaderEpoch": 4, "DescribeGroups": 5, "DeleteTopics": 5, "OffsetDelete": 0, "ListGroups": 4}
VERSIONS |= {"DescribeConfigs": 4, "IncrementalAlterConfigs": 1, "DeleteRecords": 2, "DeleteGroups": 2}


def batch(*pairs, producer_id=-1, epoch=-1, sequence=-1, codec=0, timestamp=1_000):
    """A batch as a producer sends it, of (key, value) pairs."""
    builder = RecordBatchBuilder(2, codec, False, producer_id, epoch, sequence, 1 << 31)
    for number, (key, value) in enumerate(pairs):
        builder.append(number, timestamp, key, value, [])
    return bytes(builder.build())


def values(count, *, start=0):
    """Pairs without keys that tell them apart."""
    return [(None, b"%d" % number) for number in range(start, start + count)]


def no_sync(_):
    """A disk that needs no syncing, for properties with many examples."""


async def until(condition):
    """Let the event loop run until this is so; the timeout of the test is the limit."""
    while not condition():  # noqa: ASYNC110 - the broker has no events for it
        await asyncio.sleep(0)


def opening(*, epoch=0, clean=True, wait=False, sync=os.fdatasync):
    return Opening(leader_epoch=epoch, clean=clean, wait_for_sync=wait, sync=sync)


def partition(path, *, create=True, segment_bytes=64 << 20, **options):
    made = Partition(path, opening(**options), create=create)
    made.segment_bytes = segment_bytes
    return made


def content(log, offset=None):
    """(offset, key, value) of all that consumers may read."""
    offset, found = log.start if offset is None else offset, []
    while (piece := log.locate(offset, 1 << 20)) is not None:
        data = os.pread(piece.segment.fd, piece.stop - piece.start, piece.start)
        log.confirm_intact(piece, data, piece.stop - piece.start)
        headers = walk(piece.segment.fd, piece.start, piece.stop, checked=True, window_bytes=1 << 20)
        for position, header in list(headers):
            raw = data[position - piece.start : position - piece.start + header.size]
            found += [(one.offset, one.key, one.value) for one in RecordBatch(raw) if one.offset >= offset]
            after = header.next
        offset = after
    return found


def header_of(raw):
    return Header(*HEADER.unpack_from(raw))


def flip(path, position):
    """One bit of a file, as a failing disk would."""
    with path.open("r+b") as file:
        file.seek(position)
        byte = file.read(1)[0]
        file.seek(position)
        file.write(bytes([byte ^ 0x10]))


class WireClient:
    """One connection; asks one request at a time and gives the decoded response."""

    opened: ClassVar[list[WireClient]] = []

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self.opened.append(self)

    @classmethod
    async def connect(cls, port, host="127.0.0.1"):
        return cls(*await asyncio.open_connection(host, port))

    async def ask(self, name, *, version=None, **fields):
        await self.send(name, version=version, **fields)
        return await self.answer(name, version=version)

    async def send(self, name, *, version=None, **fields):
        request = _message(f"{name}Request")(**fields)
        request.API_VERSION = VERSIONS[name] if version is None else version
        request.with_header(correlation_id=7, client_id="test")
        self._writer.write(request.encode(header=True, framed=True))
        await self._writer.drain()

    async def answer(self, name, *, version=None):
        size = int.from_bytes(await self._reader.readexactly(4), "big")
        data = await self._reader.readexactly(size)
        return _message(f"{name}Response").decode(
            data, version=VERSIONS[name] if version is None else version, header=True
        )

    async def produce(self, topic, records, *, partition=0):
        """The answer for the one partition."""
        return (
            (await self.ask("Produce", **produce_fields(topic, records, partition))).responses[0].partition_responses[0]
        )

    async def fetch(self, topic, offset, *, wait_ms=0, epoch=-1):
        request = consumer.FetchRequest
        part = request.FetchTopic.FetchPartition(
            partition=0, fetch_offset=offset, partition_max_bytes=1 << 20, current_leader_epoch=epoch
        )
        topics = [request.FetchTopic(topic=topic, partitions=[part])]
        answer = await self.ask("Fetch", max_wait_ms=wait_ms, min_bytes=1, max_bytes=1 << 20, topics=topics)
        return answer.responses[0].partitions[0]

    async def create(self, topic, partitions=1, **configs):
        request = admin.CreateTopicsRequest
        kind = request.CreatableTopic
        settings = [
            kind.CreatableTopicConfig(name=name.replace("_", "."), value=value) for name, value in configs.items()
        ]
        asked = kind(name=topic, num_partitions=partitions, replication_factor=1, assignments=[], configs=settings)
        return (await self.ask("CreateTopics", topics=[asked])).topics[0]

    async def close(self):
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()


def produce_fields(topic, records, partition=0):
    request = producer.ProduceRequest
    part = request.TopicProduceData.PartitionProduceData(index=partition, records=records)
    data = [request.TopicProduceData(name=topic, partition_data=[part])]
    return {"transactional_id": None, "acks": -1, "timeout_ms": 1_000, "topic_data": data}


def _message(name):
    return next(found for space in NAMESPACES if (found := getattr(space, name, None)))


@asynccontextmanager
async def running(directory, **settings):
    """A broker in this process and a client of it."""
    broker = await Broker.start(BrokerSettings(directory=directory, **settings))
    client = await WireClient.connect(broker.port)
    try:
        yield broker, client
    finally:
        while WireClient.opened:
            await WireClient.opened.pop().close()
        await broker.stop()
