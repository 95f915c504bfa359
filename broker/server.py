"""The broker as a whole: started on a data directory and a port, and stopped so that nothing is lost."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.cluster import Cluster
from broker.compaction import compact
from broker.coordinator import Coordinator
from broker.errors import AddressUnusable, DirectoryInUse, PortInUse, Refused
from broker.files import sync_directory
from broker.flusher import Flusher, Fsync
from broker.log import Opening
from broker.messages import admin, consumer, metadata, producer
from broker.records import Records
from broker.topics import Topics
from broker.wire import Api, Connection, Limits, Request, supported_versions

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BrokerSettings:
    """How a broker runs. ``port`` 0 takes a free one; ``sync`` is there for tests.

    ``max_held_bytes``: requests of all clients that are in memory; ``request_s``: how long one may take to arrive.
    """

    directory: Path
    host: str = "127.0.0.1"
    port: int = 0
    fsync: Fsync = Fsync.ALWAYS
    segment_bytes: int = 64 << 20
    default_partitions: int = 1
    auto_create: bool = False
    max_request_bytes: int = 16 << 20
    max_held_bytes: int = 64 << 20
    request_s: float = 30.0
    upkeep_s: float = 1.0
    sync: Callable[[int], None] = os.fdatasync


class Broker:
    """A running broker. ``port`` is the one that it listens on."""

    def __init__(self, settings: BrokerSettings, lock: int) -> None:
        self.settings, self._lock = settings, lock
        directory, began = settings.directory, time.monotonic()
        self._marker = directory / "clean"
        clean = self._marker.exists() or not (directory / "cluster").exists()
        wait = settings.fsync == Fsync.ALWAYS

        def opening(epoch: int) -> Opening:
            return Opening(leader_epoch=epoch, clean=clean, wait_for_sync=wait, sync=settings.sync)

        self.topics = Topics(directory, opening, clean=clean, segment_bytes=settings.segment_bytes)
        self._flusher = Flusher(settings.fsync, settings.sync)
        self._coordinator = Coordinator(directory, self.topics, self._flusher)
        self._cluster = Cluster(
            self.topics,
            self._coordinator.offsets,
            partitions=settings.default_partitions,
            auto_create=settings.auto_create,
        )
        self._records = Records(self.topics, self._flusher)
        self._apis = self._table()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._marker.unlink(missing_ok=True)
        sync_directory(directory)
        log.info("opened %s in %.3f s, %s", directory, time.monotonic() - began, "clean" if clean else "after a crash")

    @classmethod
    async def start(cls, settings: BrokerSettings) -> Broker:
        """Open the data directory and listen. Raises DirectoryInUse, PortInUse, AddressUnusable, and Damaged when the
        list of topics can't be read; damaged partitions are offline, see ``damaged``."""
        lock = _lock(settings.directory)
        try:
            broker = cls(settings, lock)
        except BaseException:
            os.close(lock)
            raise
        try:
            await broker._listen()
        except BaseException:
            await broker.stop()
            raise
        return broker

    async def _listen(self) -> None:
        settings = self.settings
        limits = Limits(settings.max_request_bytes, settings.max_held_bytes, settings.request_s)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self._apis, self._connections, limits),
                settings.host,
                settings.port,
                backlog=512,
            )
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(settings.host, settings.port) from error
            raise AddressUnusable(settings.host, settings.port, error.strerror or str(error)) from error
        self._cluster.host, self._cluster.port = settings.host, self.port
        self._upkeep = asyncio.create_task(self._keep_up())

    @property
    def port(self) -> int:
        """The port that it listens on."""
        if self._server is None:
            return self.settings.port
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def damaged(self) -> dict[str, str]:
        """The partitions that are offline, and why."""
        return self.topics.damaged()

    async def stop(self) -> None:
        """Stop listening, hang up, make everything durable and leave a mark that the end was clean."""
        if self._server is not None:
            self._server.close()
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)
        await self._flusher.flush()  # what waits for it is acknowledged yet
        await asyncio.sleep(0)
        for connection in list(self._connections):
            connection.close()
        await self._flusher.close()
        self._coordinator.close()
        self.topics.save()
        whole = [partition.close() for topic in self.topics for partition in topic.partitions]
        if all(whole):
            self._marker.touch()
            sync_directory(self.settings.directory)
        os.close(self._lock)

    async def _keep_up(self) -> None:
        """Each second or so: sync, expire, compact, and note how far the log is known to be good."""
        while True:
            await asyncio.sleep(self.settings.upkeep_s)
            try:
                if self.settings.fsync == Fsync.INTERVAL:
                    await self._flusher.flush()
                for topic in self.topics:
                    topic.expire()
                    for partition in topic.partitions:
                        if partition.checkpoint_due:
                            self._flusher.touch([partition])
                            await self._flusher.flush()
                            partition.checkpoint()
                    await compact(topic)
                self._coordinator.tidy()
            except (OSError, Refused) as error:  # a full disk: tried again with the next round
                log.error("upkeep failed: %s", error)

    # -- what is served -----------------------------------------------------------------------------------------------

    async def _api_versions(self, request: Request) -> Any:  # noqa: ARG002 - the same for everyone
        return supported_versions(self._apis)

    def _table(self) -> dict[int, Api]:
        """The versions that are served. Fetch 13, Produce 13, OffsetCommit 10 and OffsetFetch 10 begin with topic ids
        instead of names, Produce 12 with the second version of transactions; group requests for topics end below."""
        cluster, groups, records = self._cluster, self._coordinator, self._records
        apis = [
            Api(producer.ProduceRequest, 3, 11, records.produce),
            Api(consumer.FetchRequest, 4, 12, records.fetch),
            Api(consumer.ListOffsetsRequest, 1, 7, records.list_offsets),
            Api(metadata.MetadataRequest, 0, 12, cluster.metadata),
            Api(consumer.OffsetCommitRequest, 2, 8, groups.commit),
            Api(consumer.OffsetFetchRequest, 1, 8, groups.fetch),
            Api(metadata.FindCoordinatorRequest, 0, 4, cluster.find_coordinator),
            Api(consumer.JoinGroupRequest, 0, 8, groups.join),
            Api(consumer.HeartbeatRequest, 0, 4, groups.heartbeat),
            Api(consumer.LeaveGroupRequest, 0, 5, groups.leave),
            Api(consumer.SyncGroupRequest, 0, 5, groups.sync),
            Api(admin.DescribeGroupsRequest, 0, 5, groups.describe_groups),
            Api(admin.ListGroupsRequest, 0, 4, groups.list_groups),
            Api(metadata.ApiVersionsRequest, 0, 4, self._api_versions),
            Api(admin.CreateTopicsRequest, 2, 7, cluster.create_topics),
            Api(admin.DeleteTopicsRequest, 1, 6, cluster.delete_topics),
            Api(admin.DeleteRecordsRequest, 0, 2, records.delete_before),
            Api(producer.InitProducerIdRequest, 0, 4, records.init_producer_id),
            Api(consumer.OffsetForLeaderEpochRequest, 2, 4, records.epoch_ends),
            Api(admin.DescribeConfigsRequest, 1, 4, cluster.describe_configs),
            Api(admin.AlterConfigsRequest, 0, 2, cluster.alter_configs),
            Api(admin.IncrementalAlterConfigsRequest, 0, 1, cluster.incremental_alter_configs),
            Api(admin.CreatePartitionsRequest, 0, 3, cluster.create_partitions),
            Api(admin.DeleteGroupsRequest, 0, 2, groups.delete_groups),
            Api(consumer.OffsetDeleteRequest, 0, 0, groups.delete_offsets),
            Api(admin.DescribeClusterRequest, 0, 1, cluster.describe),
        ]
        return {api.message.API_KEY: api for api in apis}


def _lock(directory: Path) -> int:
    """Hold the directory for this process. Raises DirectoryInUse."""
    directory.mkdir(parents=True, exist_ok=True)
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(lock)
        raise DirectoryInUse(directory) from error
    return lock


def serve(settings: BrokerSettings, *, on_ready: Callable[[Broker], None] = lambda _: None) -> None:
    """Run a broker until SIGTERM or SIGINT; ``on_ready`` is given it once it listens. Raises as ``Broker.start``."""

    async def run() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        broker = await Broker.start(settings)
        on_ready(broker)
        await stop.wait()
        await broker.stop()

    with asyncio.Runner(loop_factory=_fast_loop()) as runner:
        runner.run(run())


def _fast_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
