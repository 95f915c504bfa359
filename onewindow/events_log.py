"""The log seen from outside of any group: who it is, how far it reaches, and what it holds from the start."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from typing import Any

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import CorruptRecordError, KafkaError, KafkaStorageError

from contracts.errors import BrokerUnreachable, OneWindowError, TopicWrong
from onewindow import damage
from producers.topics import raise_if_damaged
from projections.engine import LogBatch, LogIdentity
from projections.verify import Positions
from streams.records import arrival

_POLLED = 16_000
"""Records that are folded together at the most: who has several among them is made up once."""


def unreachable(bootstrap: str, error: object) -> BrokerUnreachable:
    """The error for a broker that does not answer."""
    return BrokerUnreachable(
        f"no broker answers at {bootstrap} ({type(error).__name__})",
        fix="is the deployment up (`onewindow up`), and is kafka.bootstrap_servers right?",
    )


def failed(bootstrap: str, error: KafkaError) -> OneWindowError:
    """The error for a request that failed: LogDamaged where the broker can't read its own files."""
    if isinstance(error, KafkaStorageError | CorruptRecordError):
        return damage.offline(str(error), f"the broker at {bootstrap} can't read what it wrote; see its log")
    return unreachable(bootstrap, error)


def without_leader(bootstrap: str, place: TopicPartition) -> BrokerUnreachable:
    """The error for a partition that nobody serves now. Raises LogDamaged where its broker has taken it offline."""
    raise_if_damaged(bootstrap, [place.topic])
    return BrokerUnreachable(
        f"{place.topic}/{place.partition} has no leader at {bootstrap} now", fix="wait for its brokers to come back"
    )


def knock(bootstrap: str) -> None:
    """Raise BrokerUnreachable at once when nobody listens there: a client would go on trying for half a minute."""
    error: OSError | None = None
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=2.0).close()
        except OSError as refused:
            error = refused
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
    """Reads topics; ``topics`` are those whose ends are asked for. Holds one connection; not for several threads.

    ``patience_s``: how long an answer may take.
    """

    def __init__(self, bootstrap: str, topics: Sequence[str] = (), *, patience_s: float = 10.0) -> None:
        self._bootstrap, self._topics = bootstrap, topics
        knock(bootstrap)
        try:
            self._consumer: Any = KafkaConsumer(
                bootstrap_servers=bootstrap,
                enable_auto_commit=False,
                allow_auto_create_topics=False,  # to look makes nothing
                auto_offset_reset="earliest",
                fetch_max_bytes=16 << 20,
                max_partition_fetch_bytes=4 << 20,
                request_timeout_ms=round(patience_s * 1_000),
            )
        except KafkaError as error:
            raise unreachable(bootstrap, error) from error

    def ends(self, topics: Sequence[str] = ()) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset after the last record; topics that are not there are left out.

        Raises BrokerUnreachable; LogDamaged when the broker took one of them offline.
        """
        knock(self._bootstrap)
        try:
            places = [
                TopicPartition(topic, index)
                for topic in topics or self._topics
                for index in self._consumer.partitions_for_topic(topic) or ()
            ]
            ends = self._consumer.end_offsets(places) if places else {}
        except KeyError as error:  # the client leaves out what has no leader, then looks for it
            raise without_leader(self._bootstrap, error.args[0]) from error
        except KafkaError as error:
            raise failed(self._bootstrap, error) from error
        return {(place.topic, place.partition): offset for place, offset in ends.items()}

    def batches(self, until: Positions, since: Positions) -> Iterator[LogBatch]:
        """Each partition from the one offset up to the other, one after the other. Raises TopicWrong where the log has
        dropped what is asked for."""
        for (topic, partition), end in sorted(until.items()):
            for first, to, records in self.records(topic, partition, since.get((topic, partition), 0), end):
                yield LogBatch(topic, partition, first, to, [arrival(record) for record in records])

    def records(self, topic: str, partition: int, at: int, end: int) -> Iterator[tuple[int, int, list[Any]]]:
        """(first, to, records) of a partition, as they lie in the log from offset ``at`` up to ``end``."""
        place = TopicPartition(topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, at)
        while at < end:
            records = self._poll(place)
            to = min(end, self._consumer.position(place))
            if to <= at:
                self.ends([topic])  # says it if the partition is offline
            if to <= at or ((not records or records[0].offset > at) and self._start(place) > at):
                raise TopicWrong(
                    f"{topic}/{partition} gives nothing at offset {at} of {end}",
                    fix="its start was dropped by retention before it was archived: restore the archive of that time, "
                    "or lengthen retention.ms, move the view and the store of streams away, and "
                    "start again",
                )
            yield at, to, [record for record in records if record.offset < end]
            at = to

    def _start(self, place: Any) -> int:
        return int(self._consumer.beginning_offsets([place])[place])

    def one(self, topic: str, partition: int, offset: int) -> Any:
        """A single record, or None if it is gone."""
        place = TopicPartition(topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, offset)
        records = self._poll(place)
        return records[0] if records and records[0].offset == offset else None

    def _poll(self, place: Any) -> list[Any]:
        try:
            return list(self._consumer.poll(timeout_ms=5_000, max_records=_POLLED).get(place, []))
        except KafkaError as error:
            raise failed(self._bootstrap, error) from error

    def close(self) -> None:
        """Let go of the connection."""
        self._consumer.close()
