"""The log seen from outside of any group: who it is, how far it reaches, and what it holds from the start."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from contracts.errors import BrokerUnreachable, TopicWrong
from projections.engine import LogIdentity
from projections.verify import LogBatch, Positions
from streams.roles import arrival


def unreachable(bootstrap: str, error: object) -> BrokerUnreachable:
    """The error for a broker that does not answer."""
    return BrokerUnreachable(
        f"no broker answers at {bootstrap} ({type(error).__name__})",
        fix="is the deployment up (`onewindow up`), and is kafka.bootstrap_servers right?",
    )


def knock(bootstrap: str) -> None:
    """Raise BrokerUnreachable at once when nobody listens there: a client would go on trying for half a minute."""
    error: OSError | None = None
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=2.0).close()
        except OSError as failed:
            error = failed
        else:
            return
    raise unreachable(bootstrap, error)


def identity(bootstrap: str, topics: list[str]) -> LogIdentity:
    """The ids of the cluster and of these topics."""
    knock(bootstrap)
    try:
        admin = KafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    except KafkaError as error:
        raise unreachable(bootstrap, error) from error
    try:
        cluster = str(admin.describe_cluster()["cluster_id"])
        ids = {about["name"]: str(about["topic_id"]) for about in admin.describe_topics(topics)}
    except KafkaError as error:
        raise unreachable(bootstrap, error) from error
    finally:
        admin.close()
    return LogIdentity(cluster, ids)


class EventsLog:
    """Reads topics. Holds one connection; not for several threads."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        knock(bootstrap)
        try:
            self._consumer: Any = KafkaConsumer(
                bootstrap_servers=bootstrap,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_bytes=16 << 20,
                max_partition_fetch_bytes=4 << 20,
                request_timeout_ms=10_000,
            )
        except KafkaError as error:
            raise unreachable(bootstrap, error) from error

    def ends(self, topics: Iterable[str]) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset after the last record; topics that are not there are left out."""
        knock(self._bootstrap)
        try:
            places = [
                TopicPartition(topic, index)
                for topic in topics
                for index in self._consumer.partitions_for_topic(topic) or ()
            ]
            ends = self._consumer.end_offsets(places) if places else {}
        except KafkaError as error:
            raise unreachable(self._bootstrap, error) from error
        return {(place.topic, place.partition): offset for place, offset in ends.items()}

    def batches(self, until: Positions) -> Iterator[LogBatch]:
        """Each partition from its start up to the given offset, one after the other."""
        for (topic, partition), end in sorted(until.items()):
            place = TopicPartition(topic, partition)
            self._consumer.assign([place])
            self._consumer.seek(place, 0)
            at = 0
            while at < end:
                records = self._poll(place)
                kept = [record for record in records if record.offset < end]
                to = min(end, self._consumer.position(place))
                if to == at:
                    raise TopicWrong(
                        f"{topic}/{partition} gives nothing at offset {at} of {end}",
                        fix="its start was dropped by retention: verify from the archive",
                    )
                yield LogBatch(topic, partition, at, to, [arrival(record) for record in kept])
                at = to

    def one(self, topic: str, partition: int, offset: int) -> Any:
        """A single record, or None if it is gone."""
        place = TopicPartition(topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, offset)
        records = self._poll(place)
        return records[0] if records and records[0].offset == offset else None

    def _poll(self, place: Any) -> list[Any]:
        try:
            return list(self._consumer.poll(timeout_ms=5_000, max_records=4_000).get(place, []))
        except KafkaError as error:
            raise unreachable(self._bootstrap, error) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()
