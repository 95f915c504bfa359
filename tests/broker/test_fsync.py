"""No acknowledgement goes out before the sync, one sync serves many, and a failed one is final."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from brokerkit import WireClient, batch, produce_fields, running, until, values

from broker import Fsync
from broker.errors import Code
from broker.messages import consumer


class Disk:
    """A sync that can be held up, and can fail; ``synced`` are the files that it was asked for."""

    def __init__(self):
        self.synced, self.error = [], None
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()

    @contextmanager
    def held(self):
        """Let no sync end in here."""
        self.asked.clear()
        self.open.clear()
        try:
            yield
        finally:
            self.open.set()

    def __call__(self, fd):
        self.asked.set()
        assert self.open.wait(20)
        path = str(Path(f"/proc/self/fd/{fd}").readlink())
        self.synced.append(path)
        if self.error and self.error in path:
            raise OSError(5, "Input/output error")


@pytest.fixture
def disk():
    return Disk()


async def asked(disk):
    """Wait until a sync has begun."""
    assert await asyncio.get_running_loop().run_in_executor(None, disk.asked.wait, 5)


def test_no_acknowledgement_goes_out_and_nothing_is_read_before_the_sync(tmp_path, disk):
    async def main():
        async with running(tmp_path, sync=disk) as (broker, client):
            await client.create("t")
            other = await WireClient.connect(broker.port)
            with disk.held():
                await client.send("Produce", **produce_fields("t", batch(*values(2))))
                await asked(disk)
                waiting = asyncio.create_task(client.answer("Produce"))
                early = await other.fetch("t", 0)
                assert not waiting.done()
            answer = (await waiting).responses[0].partition_responses[0]
            late = await other.fetch("t", 0)
            assert (early.error_code, early.high_watermark, early.records or b"") == (0, 0, b"")
            assert (answer.error_code, answer.base_offset, late.high_watermark) == (0, 0, 2)

    asyncio.run(main())


def test_one_sync_serves_all_that_was_written_before_it(tmp_path, disk):
    async def main():
        async with running(tmp_path, sync=disk) as (broker, client):
            await client.create("t")
            clients = [await WireClient.connect(broker.port) for _ in range(20)]
            with disk.held():
                await client.send("Produce", **produce_fields("t", batch(*values(1))))
                await asked(disk)
                disk.synced.clear()
                for one in clients:
                    await one.send("Produce", **produce_fields("t", batch(*values(1))))
                await until(lambda: broker.topics.partition("t", 0).end == 21)
            for one in [client, *clients]:
                assert (await one.answer("Produce")).responses[0].partition_responses[0].error_code == 0
            assert len(disk.synced) == 2

    asyncio.run(main())


def test_a_failed_sync_stops_the_partition_until_the_next_start(tmp_path, disk):
    async def main():
        async with running(tmp_path, sync=disk) as (broker, client):
            await client.create("t")
            await client.create("other")
            assert (await client.produce("t", batch(*values(1)))).error_code == 0
            disk.error = "/t-0/"
            failed = await client.produce("t", batch(*values(1)))
            disk.error = None  # the next sync would succeed, and prove nothing
            again = await client.produce("t", batch(*values(1)))
            read = await client.fetch("t", 0)
            other = await client.produce("other", batch(*values(1)))
            assert list(broker.damaged) == ["t-0"]
            return [one.error_code for one in (failed, again, read, other)]

    async def after():
        async with running(tmp_path) as (broker, client):
            assert broker.damaged == {}
            return (await client.produce("t", batch(*values(1)))).error_code

    storage = Code.KAFKA_STORAGE_ERROR
    assert asyncio.run(main()) == [storage, storage, storage, 0]
    assert asyncio.run(after()) == 0


def test_a_failed_sync_of_committed_offsets_stops_commits(tmp_path, disk):
    async def main():
        async with running(tmp_path, sync=disk) as (_, client):
            await client.create("t")
            codes = [await committed(client)]
            disk.error = "offsets.journal"
            codes.append(await committed(client))
            disk.error = None
            codes.append(await committed(client))
            return codes

    unavailable = Code.COORDINATOR_NOT_AVAILABLE
    assert asyncio.run(main()) == [0, unavailable, unavailable]


async def committed(client):
    kind = consumer.OffsetCommitRequest.OffsetCommitRequestTopic
    part = kind.OffsetCommitRequestPartition(partition_index=0, committed_offset=1, committed_metadata="")
    fields = {"group_id": "g", "generation_id_or_member_epoch": -1, "member_id": "", "group_instance_id": None}
    answer = await client.ask("OffsetCommit", topics=[kind(name="t", partitions=[part])], **fields)
    return answer.topics[0].partitions[0].error_code


@pytest.mark.parametrize(("policy", "syncs"), [(Fsync.NEVER, False), (Fsync.INTERVAL, True)])
def test_the_other_policies_acknowledge_at_once(tmp_path, disk, policy, syncs):
    async def main():
        async with running(tmp_path, sync=disk, fsync=policy, upkeep_s=0.02) as (_, client):
            await client.create("t")
            with disk.held():
                assert (await client.produce("t", batch(*values(1)))).error_code == 0
                assert (await client.fetch("t", 0)).high_watermark == 1
                if syncs:
                    await asked(disk)
                else:
                    assert not disk.asked.is_set()

    asyncio.run(main())
