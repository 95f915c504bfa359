"""What the broker answers to each request: metadata, topics, records and offsets. Groups are in ``group_api``."""

from __future__ import annotations

import asyncio
from typing import Any

from kafka.protocol import admin, consumer, metadata, producer

from broker.errors import Code, Damaged
from broker.flusher import Flusher
from broker.log import Partition, Slice
from broker.topics import CONFIGS, Topic, Topics, config_flaw
from broker.wire import VERSIONS, Client

NODE = 0
LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL = -1, -2, -3, -4
_TOPIC_RESOURCE = 2
_DYNAMIC_TOPIC, _DEFAULT = 1, 5
_SET, _DELETE = 0, 1


class ClusterApi:
    """Requests about the cluster and its topics."""

    def __init__(self, topics: Topics, *, host: str, default_partitions: int, auto_create: bool) -> None:
        self.topics, self.host, self.port = topics, host, 0
        self._default_partitions, self._auto_create = default_partitions, auto_create

    def api_versions(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = metadata.ApiVersionsResponse
        keys = [
            response.ApiVersion(api_key=cls.API_KEY, min_version=low, max_version=high)
            for cls, (low, high) in VERSIONS.items()
        ]
        return response(api_keys=keys)

    def metadata(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = metadata.MetadataResponse
        if request.topics is None or (version == 0 and not request.topics):
            answers = [self._describe(topic.name, topic, Code.NONE) for topic in self.topics]
        else:
            may_create = self._auto_create and (version < 4 or request.allow_auto_topic_creation)
            answers = [self._metadata_of(wanted, may_create=may_create) for wanted in request.topics]
        return response(
            brokers=[response.MetadataResponseBroker(node_id=NODE, host=self.host, port=self.port)],
            cluster_id=self.topics.cluster_id,
            controller_id=NODE,
            topics=answers,
        )

    def _metadata_of(self, wanted: Any, *, may_create: bool) -> Any:
        if wanted.name is None:
            topic = self.topics.by_id(wanted.topic_id)
            return self._describe(topic.name if topic else None, topic, Code.UNKNOWN_TOPIC_ID, wanted.topic_id)
        topic, code = self.topics.get(wanted.name), Code.UNKNOWN_TOPIC_OR_PARTITION
        if topic is None and may_create:
            code = self.topics.create(wanted.name, self._default_partitions, {})
            topic = self.topics.get(wanted.name)
        return self._describe(wanted.name, topic, code)

    def _describe(self, name: str | None, topic: Topic | None, missing: Code, topic_id: Any = None) -> Any:
        response = metadata.MetadataResponse.MetadataResponseTopic
        partitions = [
            response.MetadataResponsePartition(
                error_code=Code.NONE,
                partition_index=index,
                leader_id=NODE,
                leader_epoch=partition.leader_epoch,
                replica_nodes=[NODE],
                isr_nodes=[NODE],
            )
            for index, partition in enumerate(topic.partitions if topic else ())
        ]
        code, found_id = (Code.NONE, topic.id) if topic else (missing, topic_id)
        return response(error_code=code, name=name, topic_id=found_id, partitions=partitions)

    def describe_cluster(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = admin.DescribeClusterResponse
        broker = response.DescribeClusterBroker(broker_id=NODE, host=self.host, port=self.port)
        return response(cluster_id=self.topics.cluster_id, controller_id=NODE, brokers=[broker])

    def create_topics(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response, answers = admin.CreateTopicsResponse, []
        for wanted in request.topics:
            count = len(wanted.assignments) or wanted.num_partitions
            count = self._default_partitions if count == -1 else count
            config = {item.name: item.value for item in wanted.configs}
            code = self.topics.create(wanted.name, count, config, only_check=request.validate_only)
            flaws = [flaw for name, value in config.items() if (flaw := config_flaw(name, value))]
            topic = self.topics.get(wanted.name)
            answers.append(
                response.CreatableTopicResult(
                    name=wanted.name,
                    error_code=code,
                    error_message="; ".join(flaws) or None,
                    num_partitions=count,
                    replication_factor=1,
                    topic_id=topic.id if topic else None,
                    configs=[],
                )
            )
        return response(topics=answers)

    def create_partitions(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response, answers = admin.CreatePartitionsResponse, []
        for wanted in request.topics:
            topic = self.topics.get(wanted.name)
            code = Code.UNKNOWN_TOPIC_OR_PARTITION
            if topic:
                code = self.topics.grow(topic, wanted.count, only_check=request.validate_only)
            answers.append(response.CreatePartitionsTopicResult(name=wanted.name, error_code=code))
        return response(results=answers)

    def describe_configs(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response, answers = admin.DescribeConfigsResponse, []
        for resource in request.resources:
            topic = self.topics.get(resource.resource_name) if resource.resource_type == _TOPIC_RESOURCE else None
            missing = topic is None and resource.resource_type == _TOPIC_RESOURCE
            answers.append(
                response.DescribeConfigsResult(
                    error_code=Code.UNKNOWN_TOPIC_OR_PARTITION if missing else Code.NONE,
                    error_message=None,
                    resource_type=resource.resource_type,
                    resource_name=resource.resource_name,
                    configs=_configs_of(topic, resource.configuration_keys) if topic else [],
                )
            )
        return response(results=answers)


def _configs_of(topic: Topic, wanted: list[str] | None) -> list[Any]:
    result = admin.DescribeConfigsResponse.DescribeConfigsResult.DescribeConfigsResourceResult
    return [
        result(
            name=name,
            value=topic.setting(name),
            read_only=False,
            config_source=_DYNAMIC_TOPIC if name in topic.config else _DEFAULT,
            is_default=name not in topic.config,
            is_sensitive=False,
            synonyms=[],
            documentation=None,
        )
        for name in CONFIGS
        if wanted is None or name in wanted
    ]


class RecordsApi:
    """Requests that write and read records."""

    def __init__(self, topics: Topics, flusher: Flusher) -> None:
        self._topics, self._flusher = topics, flusher

    async def produce(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = producer.ProduceResponse
        results: list[tuple[Any, Any, Partition | None, Code, int]] = []
        for topic_data in request.topic_data:
            topic = self._topics.get(topic_data.name)
            for data in topic_data.partition_data:
                partition = self._topics.partition(topic_data.name, data.index)
                if topic is None or partition is None:
                    results.append((topic_data, data, None, Code.UNKNOWN_TOPIC_OR_PARTITION, -1))
                    continue
                if not data.records or len(data.records) > int(topic.setting("max.message.bytes")):
                    code = Code.MESSAGE_TOO_LARGE if data.records else Code.CORRUPT_MESSAGE
                    results.append((topic_data, data, partition, code, -1))
                    continue
                results.append((topic_data, data, partition, *partition.append(data.records)))
        await self._flusher.written({p for _, _, p, code, _ in results if p is not None and code is Code.NONE})
        if request.acks == 0:
            return None
        by_topic: dict[str, list[Any]] = {}
        for topic_data, data, partition, code, base in results:
            if partition is not None and partition.failed:
                code, base = Code.KAFKA_STORAGE_ERROR, -1  # noqa: PLW2901 - written, but not durable: never acknowledged
            by_topic.setdefault(topic_data.name, []).append(
                response.TopicProduceResponse.PartitionProduceResponse(
                    index=data.index,
                    error_code=code,
                    base_offset=base,
                    log_start_offset=partition.start if partition else -1,
                )
            )
        return response(
            responses=[
                response.TopicProduceResponse(name=name, partition_responses=answers)
                for name, answers in by_topic.items()
            ]
        )

    async def fetch(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        loop = asyncio.get_running_loop()
        deadline = loop.time() + request.max_wait_ms / 1_000
        while True:
            plan = self._plan(request)
            enough = sum(piece.stop - piece.start for *_, piece in plan if piece) >= request.min_bytes
            if enough or any(code for *_, code, _ in plan) or loop.time() >= deadline:
                return await self._read(plan)
            await _wait({partition for _, _, partition, _, _ in plan if partition}, deadline)

    def _plan(self, request: Any) -> list[tuple[str, int, Partition | None, Code, Slice | None]]:
        """Which batches to send: none is read yet."""
        plan: list[tuple[str, int, Partition | None, Code, Slice | None]] = []
        room = request.max_bytes
        for topic in request.topics:
            for wanted in topic.partitions:
                partition = self._topics.partition(topic.topic, wanted.partition)
                code, piece = Code.NONE, None
                if partition is None:
                    code = Code.UNKNOWN_TOPIC_OR_PARTITION
                elif not partition.online:
                    code = Code.KAFKA_STORAGE_ERROR
                elif not partition.start <= wanted.fetch_offset <= partition.end:
                    code = Code.OFFSET_OUT_OF_RANGE
                elif room > 0:
                    piece = partition.locate(wanted.fetch_offset, min(wanted.partition_max_bytes, room))
                    room -= piece.stop - piece.start if piece else 0
                plan.append((topic.topic, wanted.partition, partition, code, piece))
        return plan

    async def _read(self, plan: list[tuple[str, int, Partition | None, Code, Slice | None]]) -> Any:
        response, by_topic = consumer.FetchResponse, {}  # type: tuple[Any, dict[str, list[Any]]]
        for name, index, partition, code, piece in plan:
            data = b""
            if partition is not None and piece is not None:
                try:
                    data = await _read_slice(partition, piece)
                except Damaged as damage:
                    partition.damage, code = damage, Code.KAFKA_STORAGE_ERROR  # noqa: PLW2901
            by_topic.setdefault(name, []).append(
                response.FetchableTopicResponse.PartitionData(
                    partition_index=index,
                    error_code=code,
                    high_watermark=partition.end if partition else -1,
                    last_stable_offset=partition.end if partition else -1,
                    log_start_offset=partition.start if partition else -1,
                    aborted_transactions=None,
                    records=data,
                )
            )
        topics = [response.FetchableTopicResponse(topic=name, partitions=items) for name, items in by_topic.items()]
        return response(responses=topics)

    def list_offsets(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = consumer.ListOffsetsResponse.ListOffsetsTopicResponse
        topics = []
        for topic in request.topics:
            answers = []
            for wanted in topic.partitions:
                partition = self._topics.partition(topic.name, wanted.partition_index)
                offset, timestamp = _offset_at(partition, wanted.timestamp) if partition else (-1, -1)
                answers.append(
                    response.ListOffsetsPartitionResponse(
                        partition_index=wanted.partition_index,
                        error_code=Code.NONE if partition else Code.UNKNOWN_TOPIC_OR_PARTITION,
                        offset=offset,
                        timestamp=timestamp,
                        leader_epoch=partition.leader_epoch if partition else -1,
                    )
                )
            topics.append(response(name=topic.name, partitions=answers))
        return consumer.ListOffsetsResponse(topics=topics)

    def offset_for_leader_epoch(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = consumer.OffsetForLeaderEpochResponse
        topics = []
        for topic in request.topics:
            answers = []
            for wanted in topic.partitions:
                partition = self._topics.partition(topic.topic, wanted.partition)
                epoch, end = partition.epoch_end(wanted.leader_epoch) if partition else (-1, -1)
                answers.append(
                    response.OffsetForLeaderTopicResult.EpochEndOffset(
                        partition=wanted.partition,
                        error_code=Code.NONE if partition else Code.UNKNOWN_TOPIC_OR_PARTITION,
                        leader_epoch=epoch,
                        end_offset=end,
                    )
                )
            topics.append(response.OffsetForLeaderTopicResult(topic=topic.topic, partitions=answers))
        return response(topics=topics)

    def delete_records(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = admin.DeleteRecordsResponse
        topics = []
        for wanted in request.topics:
            topic, answers = self._topics.get(wanted.name), []
            for item in wanted.partitions:
                partition = self._topics.partition(wanted.name, item.partition_index)
                code = Code.UNKNOWN_TOPIC_OR_PARTITION
                if topic and partition:
                    offset = partition.end if item.offset == -1 else item.offset
                    code = Code.OFFSET_OUT_OF_RANGE if offset > partition.end else Code.NONE
                    if not code:
                        self._topics.move_start(topic, item.partition_index, offset)
                answers.append(
                    response.DeleteRecordsTopicResult.DeleteRecordsPartitionResult(
                        partition_index=item.partition_index,
                        low_watermark=partition.start if partition and not code else -1,
                        error_code=code,
                    )
                )
            topics.append(response.DeleteRecordsTopicResult(name=wanted.name, partitions=answers))
        return response(topics=topics)

    def init_producer_id(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = producer.InitProducerIdResponse
        if request.transactional_id:  # transactions are not spoken here
            code = Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
            return response(error_code=code, producer_id=-1, producer_epoch=-1)
        return response(error_code=Code.NONE, producer_id=self._topics.new_producer_id(), producer_epoch=0)


_READ_ELSEWHERE = 256 << 10  # bytes from which a read may block the loop for longer than a hop to a thread costs


async def _read_slice(partition: Partition, piece: Slice) -> bytes:
    if piece.stop - piece.start < _READ_ELSEWHERE:
        return partition.read(piece)
    return await asyncio.get_running_loop().run_in_executor(None, partition.read, piece)


async def _wait(partitions: set[Partition], deadline: float) -> None:
    """Until one of the partitions grows, or the deadline."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    for partition in partitions:
        partition.waiters.add(waiter)
    timer = loop.call_at(deadline, _release, waiter)
    try:
        await waiter
    finally:
        timer.cancel()
        for partition in partitions:
            partition.waiters.discard(waiter)


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _offset_at(partition: Partition, timestamp: int) -> tuple[int, int]:
    if timestamp == LATEST:
        return partition.end, -1
    if timestamp in (EARLIEST, EARLIEST_LOCAL):
        return partition.start, -1
    if timestamp == MAX_TIMESTAMP:
        greatest = max(segment.max_timestamp for segment in partition.segments)
        return partition.at_time(greatest) if partition.end > partition.start else (-1, -1)
    return partition.at_time(timestamp)
