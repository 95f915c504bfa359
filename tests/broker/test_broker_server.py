"""The broker as a whole: starting, refusing to start, stopping, topics and their settings, and slow clients."""

from __future__ import annotations

import asyncio
import shutil
import socket

import pytest
from brokerkit import WireClient, batch, flip, running, until, values

from broker import AddressUnusable, Broker, BrokerSettings, Damaged, DirectoryInUse, PortInUse
from broker.errors import Code
from broker.messages import admin, consumer, metadata
from broker.offsets import Committed


def test_a_second_broker_on_a_directory_fails_at_once(tmp_path):
    async def main():
        async with running(tmp_path):
            with pytest.raises(DirectoryInUse) as refused:
                await Broker.start(BrokerSettings(directory=tmp_path))
            assert refused.value.directory == tmp_path

    asyncio.run(main())


def test_a_taken_port_is_named(tmp_path):
    async def main():
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(PortInUse) as refused:
                await Broker.start(BrokerSettings(directory=tmp_path, port=port))
            assert (refused.value.host, refused.value.port) == ("127.0.0.1", port)
        async with running(tmp_path):  # the directory was let go
            pass

    asyncio.run(main())


def test_a_damaged_list_of_topics_is_not_guessed_at(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            await client.create("t")
        flip(tmp_path / "cluster", 12)
        with pytest.raises(Damaged) as refused:
            await Broker.start(BrokerSettings(directory=tmp_path))
        assert refused.value.path == tmp_path / "cluster"

    asyncio.run(main())


def test_without_its_list_of_topics_no_log_is_deleted(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            await client.create("t")
        (tmp_path / "cluster").unlink()
        with pytest.raises(Damaged, match="missing"):
            await Broker.start(BrokerSettings(directory=tmp_path))
        assert (tmp_path / "topics" / "t-0" / "manifest").exists()

    asyncio.run(main())


@pytest.mark.parametrize("file", ["offsets.journal", "groups.journal"])
def test_a_damaged_journal_is_set_aside(tmp_path, file):
    async def main():
        async with running(tmp_path) as (broker, client):
            await client.create("t")
            for offset in (1, 2):
                broker._coordinator.offsets.commit("g", {("t", 0): broker_position(offset)})
                broker._coordinator._journal.put([("g", None)])
        (tmp_path / file).write_bytes(b"00000000 {}\n" * 3)
        async with running(tmp_path) as (broker, client):
            kept = broker._coordinator.offsets.of("g")
            assert kept == ({} if file == "offsets.journal" else {("t", 0): broker_position(2)})
            assert (await described(client)).topics[0].name == "t"
        assert (tmp_path / f"{file}.damaged").read_bytes().startswith(b"00000000")

    asyncio.run(main())


@pytest.mark.parametrize("host", ["no.such.host.invalid", "203.0.113.1"])
def test_an_address_of_another_machine_is_refused(tmp_path, host):
    async def main():
        with pytest.raises(AddressUnusable):
            await Broker.start(BrokerSettings(directory=tmp_path, host=host))

    asyncio.run(main())


def test_clients_are_told_that_a_damaged_partition_is_offline(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            await client.create("t", partitions=2)
            await client.produce("t", batch(*values(3)))
        log = next((tmp_path / "topics" / "t-0").glob("*.log"))
        log.write_bytes(log.read_bytes()[:20])
        async with running(tmp_path) as (broker, client):
            assert list(broker.damaged) == ["t-0"]
            offline, whole = (await described(client)).topics[0].partitions
            assert (offline.error_code, offline.leader_id, offline.offline_replicas) == (
                Code.LEADER_NOT_AVAILABLE, -1, [0],
            )  # fmt: skip
            assert (whole.error_code, whole.leader_id, whole.offline_replicas) == (Code.NONE, 0, [])

    asyncio.run(main())


def broker_position(offset):
    return Committed(offset, -1, "")


def test_cluster_and_topic_ids_stay(tmp_path):
    async def ids():
        async with running(tmp_path) as (_, client):
            await client.create("t")
            answer = await described(client)
            return answer.cluster_id, answer.topics[0].topic_id

    assert asyncio.run(ids()) == asyncio.run(ids())


async def described(client):
    return await client.ask("Metadata", version=12, topics=None, allow_auto_topic_creation=False)


def test_the_leader_epoch_grows_with_a_crash_and_not_with_a_clean_stop(tmp_path):
    async def epoch(directory, crash_to=None):
        async with running(directory) as (_, client):
            await client.create("t")
            await client.produce("t", batch(*values(2)))
            if crash_to:
                shutil.copytree(directory, crash_to)
            topic = (await described(client)).topics[0]
            current = topic.partitions[0].leader_epoch
            stale = await client.fetch("t", 0, epoch=current - 1) if current else None
            assert stale is None or stale.error_code == Code.FENCED_LEADER_EPOCH
            assert (await client.fetch("t", 0, epoch=current + 1)).error_code == Code.UNKNOWN_LEADER_EPOCH
            return current, await end_of(client, 0)

    first = asyncio.run(epoch(tmp_path / "a"))
    second = asyncio.run(epoch(tmp_path / "a", crash_to=tmp_path / "b"))
    third = asyncio.run(epoch(tmp_path / "b"))
    assert [first, second, third] == [(0, 2), (0, 4), (1, 4)]


async def end_of(client, epoch):
    """The end offset of a leader epoch."""
    kind = consumer.OffsetForLeaderEpochRequest.OffsetForLeaderTopic
    part = kind.OffsetForLeaderPartition(partition=0, current_leader_epoch=-1, leader_epoch=epoch)
    answer = await client.ask("OffsetForLeaderEpoch", replica_id=-1, topics=[kind(topic="t", partitions=[part])])
    return answer.topics[0].partitions[0].end_offset


@pytest.mark.parametrize(
    ("configs", "code"),
    [
        ({"cleanup_policy": "compact,delete", "retention_ms": "-1"}, Code.NONE),
        ({"cleanup_policy": "shred"}, Code.INVALID_CONFIG),
        ({"retention_ms": "soon"}, Code.INVALID_CONFIG),
        ({"retention_ms": "--1"}, Code.INVALID_CONFIG),
        ({"no_such": "1"}, Code.INVALID_CONFIG),
    ],
)
def test_settings_of_a_topic_are_checked(tmp_path, configs, code):
    async def main():
        async with running(tmp_path) as (_, client):
            return (await client.create("t", **configs)).error_code

    assert asyncio.run(main()) == code


def test_settings_are_changed_shown_and_kept(tmp_path):
    async def change():
        async with running(tmp_path) as (_, client):
            await client.create("t")
            kind = admin.IncrementalAlterConfigsRequest.AlterConfigsResource
            setting = kind.AlterableConfig(name="retention.ms", config_operation=0, value="77")
            wrong = kind.AlterableConfig(name="retention.ms", config_operation=0, value="x")
            codes = []
            for one in (setting, wrong):
                asked = [kind(resource_type=2, resource_name="t", configs=[one])]
                answer = await client.ask("IncrementalAlterConfigs", resources=asked, validate_only=False)
                codes.append(answer.responses[0].error_code)
            return codes

    async def show():
        async with running(tmp_path) as (_, client):
            asked = [
                admin.DescribeConfigsRequest.DescribeConfigsResource(
                    resource_type=2, resource_name="t", configuration_keys=["retention.ms"]
                )
            ]
            fields = {"include_synonyms": False, "include_documentation": False}
            return (await client.ask("DescribeConfigs", resources=asked, **fields)).results[0].configs[0].value

    assert asyncio.run(change()) == [Code.NONE, Code.INVALID_CONFIG]
    assert asyncio.run(show()) == "77"


def test_topics_are_not_made_by_asking_for_them(tmp_path):
    async def main(*, auto_create):
        async with running(tmp_path, auto_create=auto_create, default_partitions=3) as (_, client):
            asked = [metadata.MetadataRequest.MetadataRequestTopic(name="t")]
            answer = await client.ask("Metadata", topics=asked, allow_auto_topic_creation=True)
            return answer.topics[0].error_code, len(answer.topics[0].partitions)

    assert asyncio.run(main(auto_create=False)) == (Code.UNKNOWN_TOPIC_OR_PARTITION, 0)
    assert asyncio.run(main(auto_create=True)) == (Code.NONE, 3)


def test_a_deleted_topic_is_gone_with_its_files_and_offsets(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, client):
            await client.create("t", 2)
            await client.produce("t", batch(*values(1)))
            broker._coordinator.offsets.commit("g", {("t", 0): broker_position(1)})
            answer = await client.ask("DeleteTopics", topic_names=["t"], timeout_ms=1_000)
            assert answer.responses[0].error_code == Code.NONE
            assert list((tmp_path / "topics").iterdir()) == []
            assert broker._coordinator.offsets.of("g") == {}
            assert (await client.create("t")).error_code == Code.NONE
            assert (await client.fetch("t", 0)).high_watermark == 0

    asyncio.run(main())


def test_a_damaged_partition_is_offline_and_the_others_serve(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, client):
            for topic in ("bad", "good"):
                await client.create(topic)
                for _ in range(3):
                    await client.produce(topic, batch(*values(1)))
            flip(broker.topics.partition("bad", 0).segments[0].path, 65)
            codes = [
                (await client.fetch("bad", 0)).error_code,
                (await client.produce("bad", batch(*values(1)))).error_code,
            ]
            assert codes == [Code.KAFKA_STORAGE_ERROR] * 2
            assert list(broker.damaged) == ["bad-0"]
            assert (await client.fetch("good", 0)).error_code == Code.NONE

    asyncio.run(main())


def test_a_fetch_waits_for_records_and_no_longer_than_it_said(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, client):
            await client.create("t")
            other = await WireClient.connect(broker.port)
            waiting = asyncio.create_task(other.fetch("t", 0, wait_ms=20_000))
            await until(lambda: broker.topics.partition("t", 0)._waiters)
            await client.produce("t", batch(*values(1)))
            assert (await waiting).high_watermark == 1
            assert not (await client.fetch("t", 1, wait_ms=50)).records

    asyncio.run(main())


def test_a_client_that_does_not_read_holds_up_nobody_and_little_memory(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, client):
            await client.create("t")
            for _ in range(8):
                await client.produce("t", batch((None, b"x" * 900_000)))
            slow = await WireClient.connect(broker.port)
            slow._writer.transport.pause_reading()
            part = consumer.FetchRequest.FetchTopic.FetchPartition
            asked = part(partition=0, fetch_offset=0, partition_max_bytes=64 << 20, current_leader_epoch=-1)
            topics = [consumer.FetchRequest.FetchTopic(topic="t", partitions=[asked])]
            for _ in range(50):  # 350 MB of answers
                await slow.send("Fetch", max_wait_ms=0, min_bytes=1, max_bytes=64 << 20, topics=topics)
            for _ in range(20):
                assert (await client.produce("t", batch(*values(1)))).error_code == Code.NONE
            held = max(one._transport.get_write_buffer_size() for one in broker._connections)
            assert held < 20 << 20

    asyncio.run(main())


def test_a_frame_that_is_too_large_or_senseless_ends_the_connection_only(tmp_path):
    async def main():
        async with running(tmp_path, max_request_bytes=10_000) as (broker, client):
            for frame in (
                b"\x7f\xff\xff\xff",
                b"\xff\xff\xff\xff",
                b"\0\0\0\x0cGET / HTTP/1",
                b"\0\0\0\x0a" + b"\0\x03\0\x09" + b"\0" * 6,
            ):
                reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
                writer.write(frame)
                with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                    await reader.readexactly(1)
                writer.close()
            assert (await client.create("t")).error_code == Code.NONE

    asyncio.run(main())


def test_clients_together_hold_no_more_than_the_broker_gives(tmp_path):
    async def main():
        async with running(tmp_path, max_request_bytes=1 << 20, max_held_bytes=2 << 20) as (broker, client):
            await client.create("t")
            others = [await asyncio.open_connection("127.0.0.1", broker.port) for _ in range(8)]
            for _, writer in others:  # each begins a request of a megabyte, and never ends it
                writer.write((1 << 20).to_bytes(4, "big") + b"x" * 900_000)
            await until(lambda: len(broker._connections) == 3)
            assert sum(one.held_bytes for one in broker._connections) <= 2 << 20
            assert (await client.produce("t", batch(*values(1)))).error_code == Code.NONE
            for _, writer in others:
                writer.close()

    asyncio.run(main())


def test_a_request_that_does_not_end_is_not_waited_for(tmp_path):
    async def main():
        async with running(tmp_path, request_s=0.2) as (broker, client):
            await client.create("t")
            reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
            writer.write(b"\0\0\1\0half a request")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
                await reader.readexactly(1)
            writer.close()
            assert (await client.produce("t", batch(*values(1)))).error_code == Code.NONE  # idle for longer, and served

    asyncio.run(main())
