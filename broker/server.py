"""The broker as a process: start on a data directory, serve, keep house, stop in order."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import uvloop
from kafka.protocol import admin, consumer, metadata, producer

from broker.api import ClusterApi, RecordsApi
from broker.compaction import compact, now_ms
from broker.errors import Damaged, DirectoryInUse, PortInUse
from broker.flusher import Flusher, Policy, Syncable
from broker.group_api import GroupApi
from broker.groups import Groups
from broker.journal import Journal
from broker.topics import Topic, Topics
from broker.wire import Connection, Handler, Wire

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """``fsync`` as in ``broker.flusher``. ``port`` 0 takes a free one. ``house_s``: pause between retention runs."""

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    fsync: Policy = "always"
    default_partitions: int = 1
    auto_create: bool = False
    house_s: float = 5.0


class _OffsetsFile:
    """The journal of committed offsets, for the flusher."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def sync(self, sync: Callable[[int], None]) -> None:
        sync(self._journal.fileno())


class Broker:
    """One broker on one data directory."""

    def __init__(self, settings: BrokerSettings, *, sync: Callable[[int], None] = os.fdatasync) -> None:
        self.settings = settings
        settings.directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(settings.directory)
        self._clean_mark = settings.directory / "clean"
        unclean = (settings.directory / "meta.json").exists() and not self._clean_mark.exists()
        self._clean_mark.unlink(missing_ok=True)
        self.topics = Topics(settings.directory, unclean=unclean)
        self._memberships = Journal(settings.directory / "groups.journal")
        self._offsets = Journal(settings.directory / "offsets.journal")
        self._flusher = Flusher(settings.fsync, sync)
        self._cluster = ClusterApi(
            self.topics,
            host=settings.host,
            default_partitions=settings.default_partitions,
            auto_create=settings.auto_create,
        )
        self._server: asyncio.Server | None = None
        self._house: asyncio.Task[None] | None = None

    async def start(self) -> int:
        """Listen. Returns the port. Raises PortInUse."""
        offsets_file: Syncable = _OffsetsFile(self._offsets)
        groups = Groups(self._memberships, self._offsets)
        group_api = GroupApi(groups, self.topics, self._cluster, self._flusher, offsets_file)
        self._wire = Wire(_handlers(self._cluster, RecordsApi(self.topics, self._flusher), group_api))
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._wire), self.settings.host, self.settings.port, backlog=512
            )
        except OSError as error:
            raise PortInUse(self.settings.host, self.settings.port) from error
        self._cluster.port = self._server.sockets[0].getsockname()[1]
        self._house = asyncio.create_task(self._keep_house())
        return self._cluster.port

    @property
    def damaged(self) -> dict[str, Damaged]:
        """Partitions that are offline because their log is damaged."""
        return {p.path.name: p.damage for topic in self.topics for p in topic.partitions if p.damage}

    async def _keep_house(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(1.0 if self.settings.fsync == "interval" else self.settings.house_s)
            await self._flusher.flush()
            for topic in list(self.topics):
                await loop.run_in_executor(None, _retain, topic) if _compacted(topic) else _retain(topic)

    async def stop(self) -> None:
        """Stop listening, make everything durable, leave the mark of a clean end."""
        if self._house:
            self._house.cancel()
        if self._server:
            self._server.close()
            for connection in list(self._wire.connections):
                connection.transport.abort()
        self.close()

    def close(self) -> None:
        """Make everything durable and let go of the directory."""
        for topic in self.topics:
            for partition in topic.partitions:
                partition.sync(os.fsync)
                partition.close()
        self._memberships.close()
        self._offsets.close()
        self._clean_mark.touch()
        self._lock.close()


def _lock(directory: Path) -> IO[str]:
    file = (directory / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise DirectoryInUse(directory) from error
    return file


def _compacted(topic: Topic) -> bool:
    return "compact" in topic.setting("cleanup.policy")


def _retain(topic: Topic) -> None:
    """Apply a topic's retention or compaction."""
    retention_ms, retention_bytes = int(topic.setting("retention.ms")), int(topic.setting("retention.bytes"))
    for partition in topic.partitions:
        if not partition.online:
            continue
        if _compacted(topic) and len(partition.segments) > 1:
            compact(partition, tombstones_before_ms=now_ms() - int(topic.setting("delete.retention.ms")))
        if "delete" in topic.setting("cleanup.policy"):
            partition.expire(
                before=now_ms() - retention_ms if retention_ms >= 0 else None,
                max_bytes=retention_bytes if retention_bytes >= 0 else None,
            )


def _handlers(cluster: ClusterApi, records: RecordsApi, groups: GroupApi) -> dict[Any, Handler]:
    return {
        metadata.ApiVersionsRequest: cluster.api_versions,
        metadata.MetadataRequest: cluster.metadata,
        admin.DescribeClusterRequest: cluster.describe_cluster,
        admin.CreateTopicsRequest: cluster.create_topics,
        admin.CreatePartitionsRequest: cluster.create_partitions,
        admin.DescribeConfigsRequest: cluster.describe_configs,
        producer.ProduceRequest: records.produce,
        consumer.FetchRequest: records.fetch,
        consumer.ListOffsetsRequest: records.list_offsets,
        consumer.OffsetForLeaderEpochRequest: records.offset_for_leader_epoch,
        admin.DeleteRecordsRequest: records.delete_records,
        producer.InitProducerIdRequest: records.init_producer_id,
        metadata.FindCoordinatorRequest: groups.find_coordinator,
        consumer.JoinGroupRequest: groups.join,
        consumer.SyncGroupRequest: groups.sync,
        consumer.HeartbeatRequest: groups.heartbeat,
        consumer.LeaveGroupRequest: groups.leave,
        consumer.OffsetCommitRequest: groups.offset_commit,
        consumer.OffsetFetchRequest: groups.offset_fetch,
        admin.ListGroupsRequest: groups.list_groups,
        admin.DescribeGroupsRequest: groups.describe_groups,
        admin.DeleteGroupsRequest: groups.delete_groups,
        admin.DeleteTopicsRequest: groups.delete_topics,
    }


def serve(settings: BrokerSettings, *, on_ready: Callable[[int], None]) -> None:
    """Run a broker until SIGTERM or SIGINT. ``on_ready`` gets the port. Raises DirectoryInUse and PortInUse."""
    broker = Broker(settings)

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        try:
            on_ready(await broker.start())
        except PortInUse:
            broker.close()
            raise
        await stop.wait()
        await broker.stop()

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(run())
