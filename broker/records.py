"""Requests about records: producing, fetching, and finding offsets."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from broker.errors import Code, Refused
from broker.flusher import Flusher
from broker.log import Partition
from broker.messages import CodecMissing, RecordBatch, admin, consumer, producer
from broker.segments import Slice
from broker.topics import Topics
from broker.wire import Request

_MOST_FETCHED_BYTES = 16 << 20  # by one request, whatever it asks for
_EARLIEST, _LATEST, _NEWEST, _EARLIEST_LOCAL = -2, -1, -3, -4
_LAST_EPOCH = 32_766


class Plan(NamedTuple):
    """What a fetch is going to answer for one partition."""

    topic: str
    number: int
    partition: Partition | None
    code: Code
    piece: Slice | None

    @property
    def size(self) -> int:
        """Bytes to read."""
        return self.piece.stop - self.piece.start if self.piece else 0


def check_epoch(partition: Partition, epoch: int) -> None:
    """Raise Refused when the client knows another leader epoch than this one, if it says."""
    if 0 <= epoch < partition.leader_epoch:
        raise Refused(Code.FENCED_LEADER_EPOCH, f"{epoch}, it is {partition.leader_epoch}")
    if epoch > partition.leader_epoch:
        raise Refused(Code.UNKNOWN_LEADER_EPOCH, f"{epoch}, it is {partition.leader_epoch}")


class Records:
    """Writes to and reads from the partitions."""

    def __init__(self, topics: Topics, flusher: Flusher) -> None:
        self._topics, self._flusher = topics, flusher

    # -- producing ----------------------------------------------------------------------------------------------------

    async def produce(self, request: Request) -> Any:
        """Produce: answered when the data is as durable as the fsync policy says."""
        body, response = request.body, producer.ProduceResponse
        kind = response.TopicProduceResponse
        part = kind.PartitionProduceResponse
        written: dict[Partition, list[Any]] = {}
        topics = []
        for topic in body.topic_data:
            parts = []
            for one in topic.partition_data:
                answer = part(index=one.index, error_code=Code.NONE, base_offset=-1, log_start_offset=-1)
                try:
                    if body.acks not in (-1, 0, 1):
                        raise Refused(Code.INVALID_REQUIRED_ACKS, f"acks={body.acks}")
                    partition = self._topics.partition(topic.name, one.index)
                    answer.base_offset = partition.append(one.records or b"")
                    answer.log_start_offset = partition.start
                    written.setdefault(partition, []).append(answer)
                except Refused as refusal:
                    answer.error_code, answer.error_message = refusal.code, refusal.why
                parts.append(answer)
            topics.append(kind(name=topic.name, partition_responses=parts))
        await self._flusher.acknowledge(written)
        for partition, answers in written.items():
            if partition.damage is not None:
                for answer in answers:
                    answer.error_code, answer.base_offset = Code.KAFKA_STORAGE_ERROR, -1
        return response(responses=topics) if body.acks else None

    async def init_producer_id(self, request: Request) -> Any:
        """InitProducerId: a new id, or the next epoch of the one that the producer has (KIP-360)."""
        body, response = request.body, producer.InitProducerIdResponse
        if body.transactional_id is not None:
            code = Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED  # transactions are not supported, for nobody
            return response(error_code=code, producer_id=-1, producer_epoch=-1)
        if request.version >= 3 and body.producer_id >= 0 and 0 <= body.producer_epoch < _LAST_EPOCH:
            return response(producer_id=body.producer_id, producer_epoch=body.producer_epoch + 1)
        try:
            return response(producer_id=self._topics.new_producer_id(), producer_epoch=0)
        except Refused:
            return response(error_code=Code.COORDINATOR_NOT_AVAILABLE, producer_id=-1, producer_epoch=-1)

    # -- fetching -----------------------------------------------------------------------------------------------------

    async def fetch(self, request: Request) -> Any:
        """Fetch: answered when there are ``min_bytes`` to read, an error, or after ``max_wait_ms``."""
        body = request.body
        if body.session_id:
            return consumer.FetchResponse(error_code=Code.FETCH_SESSION_ID_NOT_FOUND, responses=[])
        loop = asyncio.get_running_loop()
        deadline = loop.time() + body.max_wait_ms / 1_000
        plans = list(self._plans(body))
        while not _enough(plans, body.min_bytes) and loop.time() < deadline:
            waiter: asyncio.Future[None] = loop.create_future()
            timer = loop.call_at(deadline, _release, waiter)
            watched = [plan.partition for plan in plans if plan.partition]
            for partition in watched:
                partition.subscribe(waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                for partition in watched:
                    partition.unsubscribe(waiter)
            plans = list(self._plans(body))
        return consumer.FetchResponse(responses=await self._answers(plans))

    def _plans(self, body: Any) -> Iterator[Plan]:
        room = min(body.max_bytes, _MOST_FETCHED_BYTES)
        for topic in body.topics:
            for one in topic.partitions:
                partition, piece, code = None, None, Code.NONE
                try:
                    partition = self._topics.partition(topic.topic, one.partition)
                    check_epoch(partition, one.current_leader_epoch)
                    # at least a batch, for one may be larger than what the client asks for, but only if it is the first
                    piece = partition.locate(one.fetch_offset, min(one.partition_max_bytes, room)) if room > 0 else None
                except Refused as refusal:
                    code = refusal.code
                plan = Plan(topic.topic, one.partition, partition, code, piece)
                room -= plan.size
                yield plan

    async def _answers(self, plans: list[Plan]) -> list[Any]:
        kind = consumer.FetchResponse.FetchableTopicResponse
        return [
            kind(topic=topic, partitions=[await self._answer(plan, kind.PartitionData) for plan in those])
            for topic, those in groupby(plans, key=lambda plan: plan.topic)
        ]

    async def _answer(self, plan: Plan, kind: Any) -> Any:
        partition, code, data = plan.partition, plan.code, b""
        if partition and plan.piece:
            try:
                data = await _read(partition, plan.piece)
            except Refused as refusal:
                code = refusal.code
        return kind(
            partition_index=plan.number,
            error_code=code,
            high_watermark=partition.stable if partition else -1,
            last_stable_offset=partition.stable if partition else -1,
            log_start_offset=partition.start if partition else -1,
            aborted_transactions=None,
            records=data,
        )

    # -- finding offsets ----------------------------------------------------------------------------------------------

    async def list_offsets(self, request: Request) -> Any:
        """ListOffsets."""
        response = consumer.ListOffsetsResponse
        kind = response.ListOffsetsTopicResponse
        topics = []
        for topic in request.body.topics:
            parts = []
            for one in topic.partitions:
                code, offset, timestamp, epoch = Code.NONE, -1, -1, -1
                try:
                    partition = self._topics.partition(topic.name, one.partition_index)
                    partition.confirm()
                    check_epoch(partition, one.current_leader_epoch)
                    offset, timestamp = await _offset_for(partition, one.timestamp)
                    epoch = partition.leader_epoch if offset >= 0 else -1
                except Refused as refusal:
                    code = refusal.code
                answer = kind.ListOffsetsPartitionResponse(
                    partition_index=one.partition_index,
                    error_code=code,
                    offset=offset,
                    timestamp=timestamp,
                    leader_epoch=epoch,
                )
                parts.append(answer)
            topics.append(kind(name=topic.name, partitions=parts))
        return response(topics=topics)

    async def epoch_ends(self, request: Request) -> Any:
        """OffsetForLeaderEpoch."""
        response = consumer.OffsetForLeaderEpochResponse
        kind = response.OffsetForLeaderTopicResult
        topics = []
        for topic in request.body.topics:
            parts = []
            for one in topic.partitions:
                code, epoch, end = Code.NONE, -1, -1
                try:
                    partition = self._topics.partition(topic.topic, one.partition)
                    partition.confirm()
                    check_epoch(partition, one.current_leader_epoch)
                    epoch, end = partition.epoch_end(one.leader_epoch)
                except Refused as refusal:
                    code = refusal.code
                answer = kind.EpochEndOffset(
                    partition=one.partition, error_code=code, leader_epoch=epoch, end_offset=end
                )
                parts.append(answer)
            topics.append(kind(topic=topic.topic, partitions=parts))
        return response(topics=topics)

    async def delete_before(self, request: Request) -> Any:
        """DeleteRecords."""
        response = admin.DeleteRecordsResponse
        kind = response.DeleteRecordsTopicResult
        topics = []
        for topic in request.body.topics:
            parts = []
            for one in topic.partitions:
                code, low = Code.NONE, -1
                try:
                    partition = self._topics.partition(topic.name, one.partition_index)
                    partition.delete_before(partition.stable if one.offset == -1 else one.offset)
                    low = partition.start
                except Refused as refusal:
                    code = refusal.code
                answer = kind.DeleteRecordsPartitionResult(
                    partition_index=one.partition_index, low_watermark=low, error_code=code
                )
                parts.append(answer)
            topics.append(kind(name=topic.name, partitions=parts))
        return response(topics=topics)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _enough(plans: list[Plan], least: int) -> bool:
    return any(plan.code for plan in plans) or sum(plan.size for plan in plans) >= least


async def _read(partition: Partition, piece: Slice) -> bytes:
    """The bytes of a slice, checked; off the event loop when the disk has to be asked. Raises Refused."""
    segment, size = piece.segment, piece.stop - piece.start
    fd = segment.pin()
    try:
        data = _cached(fd, size, piece.start)
        if data is None:
            data = await asyncio.get_running_loop().run_in_executor(None, os.pread, fd, size, piece.start)
    except OSError as error:
        partition.fail(error)
        raise Refused(Code.KAFKA_STORAGE_ERROR, str(error)) from error
    finally:
        segment.unpin()
    partition.confirm_intact(piece, data, size)
    return data


def _cached(fd: int, size: int, position: int) -> bytes | None:
    """The bytes if the kernel has them in memory; None if they have to be waited for, or it can't say."""
    if not hasattr(os, "RWF_NOWAIT"):
        return None
    data = bytearray(size)
    try:
        read = os.preadv(fd, [data], position, os.RWF_NOWAIT)
    except OSError:  # EAGAIN: on the disk; EOPNOTSUPP: this file system can't say. A true error comes again
        return None
    return bytes(data) if read == size else None


async def _offset_for(partition: Partition, timestamp: int) -> tuple[int, int]:
    """(offset, timestamp) for what ListOffsets asks; (-1, -1) if there is none. Raises Refused."""
    if timestamp == _LATEST:
        return partition.stable, -1
    if timestamp in (_EARLIEST, _EARLIEST_LOCAL):
        return partition.start, -1
    if timestamp == _NEWEST:
        timestamp = max(segment.max_timestamp for segment in partition.segments)
    found = partition.at_time(timestamp) if timestamp >= 0 else None
    if found is None:
        return -1, -1
    piece, header = found
    try:
        for record in RecordBatch(await _read(partition, piece)):
            if record.timestamp >= timestamp and record.offset >= partition.start:
                return record.offset, record.timestamp
    except CodecMissing:  # the batch's own offset: early by less than a batch, never late
        pass
    return max(partition.start, header.base), header.max_timestamp
