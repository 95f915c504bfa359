"""All that this room knows of kafka-python: its connections, record batches, consumer and admin client, behind plain types.

kafka-python 3.0.12 has no types; nothing outside of this module imports it. The connections are driven by the thread
that owns them: nothing is sent or received unless ``poll`` is called. No thread is started.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, NewTopic
from kafka.errors import KafkaError
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.producer import ProduceRequest
from kafka.protocol.producer.transaction import InitProducerIdRequest
from kafka.record.default_records import DefaultRecordBatchBuilder

from contracts.errors import BrokerUnreachable

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
_DUPLICATE_SEQUENCE = kafka_errors.DuplicateSequenceNumberError
_OUT_OF_ORDER = kafka_errors.OutOfOrderSequenceNumberError

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one batch. ``taken``: durable by the rules of acks=all. ``again``: worth sending once more."""

    taken: bool
    again: bool = False
    out_of_order: bool = False
    text: str = ""


TAKEN = Outcome(taken=True)


def unreachable(bootstrap: str, detail: str) -> BrokerUnreachable:
    """The error for a broker that can't be talked to."""
    return BrokerUnreachable(
        f"no broker answers at {bootstrap} ({detail})",
        fix="start the broker (onewindow run broker) or correct kafka.bootstrap_servers; it is tried again meanwhile",
    )


class BatchBuilder:
    """One record batch (magic 2) under way. ``append`` says False when it is full; ``build`` gives its bytes."""

    def __init__(self, codec: int, producer: tuple[int, int], sequence: int, limit_bytes: int) -> None:
        self.sequence, self.count = sequence, 0
        self._builder = DefaultRecordBatchBuilder(
            magic=2,
            compression_type=codec,
            is_transactional=False,
            producer_id=producer[0],
            producer_epoch=producer[1],
            base_sequence=sequence,
            batch_size=limit_bytes,
        )

    def append(self, timestamp_ms: int, key: bytes | None, value: bytes | None, headers: Headers) -> bool:
        """Add a record; the first one always fits."""
        if self._builder.append(self.count, timestamp_ms, key, value, headers) is None:
            return False
        self.count += 1
        return True

    def build(self) -> bytes:
        """Compressed, with its checksum; the batch is closed."""
        return bytes(self._builder.build())


class Connections:
    """Connections to the brokers of one cluster, and what is known of its topics."""

    def __init__(self, bootstrap: str, client_id: str, request_timeout_s: float) -> None:
        self.bootstrap = bootstrap
        self._net = NetworkSelector(client_id=client_id, slow_task_threshold_secs=0)
        self._manager = KafkaConnectionManager(
            self._net,
            bootstrap_servers=bootstrap,
            client_id=client_id,
            request_timeout_ms=int(request_timeout_s * 1000),
            reconnect_backoff_max_ms=1_000,
            socket_connection_setup_timeout_ms=5_000,
            max_in_flight_requests_per_connection=64,  # the publisher counts for itself; a paused connection refuses
        )
        self._cluster = self._manager.cluster
        self._cluster.config["allow_auto_create_topics"] = False  # a missing topic is a finding, never made in passing

    def connect(self, deadline: float) -> None:
        """Reach the cluster. Raises BrokerUnreachable when it can't be done by ``deadline`` (monotonic seconds)."""
        try:
            self._manager.bootstrap(timeout_ms=max(1, int((deadline - time.monotonic()) * 1000)))
        except KafkaError as error:
            raise unreachable(self.bootstrap, str(error)) from error

    def partitions(self, topic: str, deadline: float) -> int | None:
        """How many partitions a topic has; None when the cluster says that it does not exist, until ``deadline``.

        Raises BrokerUnreachable when the cluster says nothing.
        """
        self._cluster.add_topic(topic)
        asked_ms = time.monotonic() * 1000
        while (known := self._cluster.partitions_for_topic(topic)) is None:
            if time.monotonic() > deadline:
                if self._cluster._last_successful_refresh_ms < asked_ms:  # noqa: SLF001  # no public way to ask
                    raise unreachable(self.bootstrap, "no metadata")
                return None
            self._cluster.request_update()
            self._net.poll(timeout_ms=50)
        return len(known)

    def leader(self, topic: str, partition: int) -> int | None:
        """The node that leads a partition; None while nobody does, and then the question is asked again."""
        node = self._cluster.leader_for_partition(TopicPartition(topic, partition))
        if node is None or node < 0:
            self._cluster.request_update()
            return None
        return int(node)

    def producer_id(self, deadline: float) -> tuple[int, int]:
        """A new idempotent producer: (id, epoch). Raises BrokerUnreachable when none is given by ``deadline``."""
        last = "no answer"
        while time.monotonic() < deadline:
            request = InitProducerIdRequest(transactional_id=None, transaction_timeout_ms=60_000, max_version=4)
            try:
                future = self._manager.send(request)
                self._net.poll(timeout_ms=max(1, int((deadline - time.monotonic()) * 1000)), future=future)
            except KafkaError as error:
                last = str(error)
            else:
                if future.succeeded() and future.value.error_code == 0:
                    return int(future.value.producer_id), int(future.value.producer_epoch)
                last = str(future.exception or kafka_errors.for_code(getattr(future.value, "error_code", -1)))
            self._net.poll(timeout_ms=50)
        raise unreachable(self.bootstrap, last)

    def produce(
        self,
        node: int,
        batches: Sequence[tuple[str, int, bytes]],
        timeout_s: float,
        done: Callable[[list[Outcome]], None],
    ) -> None:
        """Send one request (at most one batch a partition). ``done`` gets an outcome per batch, in order, from ``poll``."""
        topics: dict[str, list[Any]] = {}
        for topic, partition, records in batches:
            data = ProduceRequest.TopicProduceData.PartitionProduceData(index=partition, records=records)
            topics.setdefault(topic, []).append(data)
        request = ProduceRequest(
            transactional_id=None,
            acks=-1,
            timeout_ms=int(timeout_s * 1000),
            topic_data=[
                ProduceRequest.TopicProduceData(name=name, partition_data=data) for name, data in topics.items()
            ],
            min_version=3,
            max_version=9,
        )

        def answered(response: Any) -> None:
            found = {
                (topic.name, partition.index): self._outcome(partition)
                for topic in response.responses
                for partition in topic.partition_responses
            }
            done([found.get(batch[:2], Outcome(taken=False, again=True, text="not answered")) for batch in batches])

        def failed(error: BaseException) -> None:
            self._cluster.request_update()
            again = getattr(error, "retriable", False) or isinstance(error, kafka_errors.UnknownBrokerIdError)
            done([Outcome(taken=False, again=again, text=str(error))] * len(batches))

        try:
            future = self._manager.send(request, node_id=node)
        except KafkaError as error:
            failed(error)
        else:
            future.add_callback(answered)
            future.add_errback(failed)

    def _outcome(self, partition: Any) -> Outcome:
        if partition.error_code == 0:
            return TAKEN
        error = kafka_errors.for_code(partition.error_code)
        if error is _DUPLICATE_SEQUENCE:
            return TAKEN
        if getattr(error, "invalid_metadata", False):
            self._cluster.request_update()
        text = f"{error.__name__} {partition.error_message or ''}".strip()
        return Outcome(taken=False, again=error.retriable, out_of_order=error is _OUT_OF_ORDER, text=text)

    def poll(self, timeout_s: float) -> None:
        """Send and receive what is ready; wait up to ``timeout_s`` for the first thing to happen."""
        self._net.poll(timeout_ms=timeout_s * 1000)

    def close(self) -> None:
        """Let go of the sockets. What is under way is not waited for."""
        self._manager.close()
        for _ in range(3):
            self._net.poll(timeout_ms=0)
        self._net.close()


def murmur2(key: bytes) -> int:
    """Kafka's default hash of a key (Java ``Utils.murmur2``), unsigned; 2.5 times as fast as kafka-python's."""
    length = len(key)
    words, rest = divmod(length, 4)
    h = 0x9747B28C ^ length
    for word in struct.unpack_from(f"<{words}I", key):
        k = (word * 0x5BD1E995) & 0xFFFFFFFF
        h = ((h * 0x5BD1E995) & 0xFFFFFFFF) ^ (((k ^ (k >> 24)) * 0x5BD1E995) & 0xFFFFFFFF)
    if rest:
        h = ((h ^ int.from_bytes(key[words * 4 :], "little")) * 0x5BD1E995) & 0xFFFFFFFF
    h ^= h >> 13
    h = (h * 0x5BD1E995) & 0xFFFFFFFF
    return h ^ (h >> 15)


def partition_of(key: bytes, partitions: int) -> int:
    """Where Kafka's default partitioner puts a key."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


class Reader:
    """Reads one partition from its beginning."""

    def __init__(self, bootstrap: str, client_id: str, topic: str, partition: int = 0) -> None:
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap,
                client_id=client_id,
                group_id=None,
                enable_auto_commit=False,
                fetch_max_wait_ms=100,
                request_timeout_ms=10_000,
                reconnect_backoff_max_ms=1_000,
                allow_auto_create_topics=False,
            )
        except KafkaError as error:
            raise unreachable(bootstrap, str(error)) from error
        self._bootstrap = bootstrap
        self._partition = TopicPartition(topic, partition)
        self._consumer.assign([self._partition])

    def begin(self) -> int:
        """Go to the beginning; gives the offset after the last record."""
        try:
            self._consumer.seek_to_beginning(self._partition)
            return int(self._consumer.end_offsets([self._partition])[self._partition])
        except KeyError as error:
            raise unreachable(self._bootstrap, f"{self._partition.topic} has no leader") from error
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error

    @property
    def offset(self) -> int:
        """The offset of the next record."""
        try:
            found = self._consumer.position(self._partition, timeout_ms=10_000)
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error
        if found is None:
            raise unreachable(self._bootstrap, f"nothing is said of {self._partition.topic}")
        return int(found)

    def records(self, wait_s: float) -> list[tuple[int, bytes, bytes | None]]:
        """The next (offset, key, value), an empty list when nothing came in ``wait_s``."""
        try:
            found = self._consumer.poll(timeout_ms=int(wait_s * 1000), max_records=5_000)
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error
        return [(record.offset, record.key, record.value) for record in found.get(self._partition, [])]

    def ends(self, topics: Sequence[str]) -> dict[str, int]:
        """For each topic that exists, how many records were ever written to it: the sum of its end offsets."""
        try:
            parts = [
                TopicPartition(topic, number)
                for topic in topics
                for number in self._consumer.partitions_for_topic(topic) or ()
            ]
            ends = self._consumer.end_offsets(parts) if parts else {}
        except KeyError as error:
            raise unreachable(self._bootstrap, f"{error.args[0]} has no leader") from error
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error
        sums: dict[str, int] = {}
        for part, end in ends.items():
            sums[part.topic] = sums.get(part.topic, 0) + int(end)
        return sums

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()


class Admin:
    """Looks at topics and makes them."""

    def __init__(self, bootstrap: str, deadline: float) -> None:
        self._bootstrap = bootstrap
        wait_ms = max(1, int((deadline - time.monotonic()) * 1000))
        try:
            self._client = KafkaAdminClient(
                bootstrap_servers=bootstrap, client_id="onewindow-topics", bootstrap_timeout_ms=wait_ms
            )
        except KafkaError as error:
            raise unreachable(bootstrap, str(error)) from error

    def partitions(self, topics: Sequence[str]) -> dict[str, tuple[int, bool]]:
        """For each topic that exists: its number of partitions, and whether all of them have a leader."""
        try:
            found = self._client.describe_topics(list(topics)) if topics else []
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error
        return {
            topic["name"]: (len(topic["partitions"]), all(part["leader_id"] >= 0 for part in topic["partitions"]))
            for topic in found
            if topic["error_code"] == 0
        }

    def damaged(self, topics: Sequence[str]) -> list[str]:
        """``<topic>-<partition>`` of those that nobody serves although their broker is there: it can't read their files."""
        try:
            here = {broker["broker_id"] for broker in self._client.describe_cluster()["brokers"]}
            found = self._client.describe_topics(list(topics)) if topics else []
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error
        return [
            f"{topic['name']}-{part['partition_index']}"
            for topic in found
            for part in topic["partitions"]
            if part["leader_id"] < 0 and here & set(part["offline_replicas"])
        ]

    def brokers(self) -> int:
        """How many brokers the cluster has now."""
        try:
            return len(self._client.describe_cluster()["brokers"])
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error

    def replicas(self, topics: Sequence[str]) -> dict[str, int]:
        """For each topic that exists: on how many brokers its least replicated partition lies."""
        try:
            found = self._client.describe_topics(list(topics)) if topics else []
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error
        return {
            topic["name"]: min(len(part["replica_nodes"]) for part in topic["partitions"])
            for topic in found
            if topic["error_code"] == 0
        }

    def settings(self, topics: Sequence[str]) -> dict[str, dict[str, str]]:
        """For each topic: every setting in force, its own or the cluster's."""
        asked = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
        try:
            found = self._client.describe_configs(asked, config_filter="all") if asked else {}
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error
        return {
            name: {key: str(about["value"]) for key, about in settings.items()}
            for kind in found.values()
            for name, settings in kind.items()
        }

    def change(self, topic: str, settings: dict[str, str]) -> None:
        """Set these settings of a topic, and leave its others. Raises BrokerUnreachable when it is not done."""
        try:
            self._client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, dict(settings))])
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error

    def create(self, topics: Sequence[tuple[str, int, dict[str, str]]], replication: int) -> None:
        """Make topics; one that was made meanwhile by somebody else is fine."""
        wanted = [
            NewTopic(name=name, num_partitions=count, replication_factor=replication, topic_configs=configs)
            for name, count, configs in topics
        ]
        try:
            self._client.create_topics(wanted, raise_errors=False)
        except KafkaError as error:
            raise unreachable(self._bootstrap, str(error)) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._client.close()


def admin(bootstrap: str, deadline: float) -> closing[Admin]:
    """An admin client for a ``with`` block."""
    return closing(Admin(bootstrap, deadline))


def reader(bootstrap: str, client_id: str, topic: str) -> closing[Reader]:
    """A reader for a ``with`` block."""
    return closing(Reader(bootstrap, client_id, topic))
