"""What a broker has to do for OneWindow, asked in the protocol's own words: the same of the embedded broker and of Apache Kafka.

Where the two may differ (an unknown producer that begins in the middle, which of them is stricter), nothing is asserted.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from contextlib import asynccontextmanager

import pytest
from brokerkit import WireClient, batch, header_of, produce_fields, values
from memberkit import Member, stable

from broker.errors import Code
from broker.messages import RecordBatch, admin, consumer, metadata

EARLIEST, LATEST, NEWEST = -2, -1, -3
NO_PRODUCER = {"transactional_id": None, "transaction_timeout_ms": 0, "producer_id": -1, "producer_epoch": -1}


@pytest.fixture(params=["embedded_broker", pytest.param("kafka", marks=pytest.mark.services)])
def port(request):
    """Of a broker of one node; Apache Kafka's where the test says so."""
    return request.getfixturevalue(request.param).port


@asynccontextmanager
async def asking(port):
    """A client, closed with all others at the end."""
    client = await WireClient.connect(port)
    try:
        yield client
    finally:
        while WireClient.opened:
            await WireClient.opened.pop().close()


def name():
    return f"t-{uuid.uuid4().hex[:10]}"


async def until(ask, wanted, seconds=60):
    """Ask until the answer is the wanted one; what a cluster does, it does soon, not at once."""
    deadline = time.monotonic() + seconds
    while not wanted(found := await ask()):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
    return found


async def new_topic(client, partitions=1, **configs):
    """A topic whose partitions are led. It keeps what is in it: records here are of 1970, and a broker looks for old ones
    at any time."""
    topic = name()
    assert (await client.create(topic, partitions, **{"retention_ms": "-1", **configs})).error_code == Code.NONE
    for number in range(partitions):
        await until(lambda number=number: list_offset(client, topic, LATEST, number), lambda found: found[0] == 0)
    return topic


async def list_offset(client, topic, timestamp, partition=0):
    """(error, offset, timestamp)."""
    request = consumer.ListOffsetsRequest
    part = request.ListOffsetsTopic.ListOffsetsPartition(
        partition_index=partition, current_leader_epoch=-1, timestamp=timestamp
    )
    topics = [request.ListOffsetsTopic(name=topic, partitions=[part])]
    answer = await client.ask("ListOffsets", version=7, replica_id=-1, isolation_level=0, topics=topics)
    found = answer.topics[0].partitions[0]
    return found.error_code, found.offset, found.timestamp


async def put(client, topic, records):
    """Records that are in the log when this returns."""
    assert (await client.produce(topic, records)).error_code == Code.NONE


async def read(client, topic):
    """(offset, key, value) of the whole partition."""
    (_, offset, _), (_, end, _) = [
        await until(lambda when=when: list_offset(client, topic, when), lambda found: found[0] == Code.NONE)
        for when in (EARLIEST, LATEST)
    ]
    found = []
    while offset < end:
        data = bytes((await client.fetch(topic, offset)).records or b"")
        while data and offset < end:
            size = header_of(data[:61]).size
            if size > len(data):
                break
            records = RecordBatch(data[:size])
            found += [(one.offset, one.key, one.value) for one in records if one.offset >= offset]
            offset, data = records.base_offset + records.last_offset_delta + 1, data[size:]
    return found


def run(port, main):
    """Run an async test with a client."""

    async def with_client():
        async with asking(port) as client:
            return await main(client)

    return asyncio.run(asyncio.wait_for(with_client(), 100))


# -- records ----------------------------------------------------------------------------------------------------------


def test_records_come_back_in_order_at_the_offsets_that_were_given(port):
    async def main(client):
        topic = await new_topic(client)
        first = await client.produce(topic, batch(*values(3)))
        second = await client.produce(topic, batch((b"k", b"v"), (b"gone", None)))
        assert (first.error_code, first.base_offset, second.base_offset) == (0, 0, 3)
        assert await read(client, topic) == [
            (0, None, b"0"), (1, None, b"1"), (2, None, b"2"), (3, b"k", b"v"), (4, b"gone", None),
        ]  # fmt: skip
        answer = await client.fetch(topic, 5)
        assert (answer.error_code, answer.high_watermark, answer.log_start_offset) == (0, 5, 0)
        assert not answer.records

    run(port, main)


@pytest.mark.parametrize("codec", [0, 1, 3], ids=["none", "gzip", "lz4"])
def test_a_compressed_batch_stays_as_it_was_sent(port, codec):
    async def main(client):
        topic = await new_topic(client)
        sent = batch(*[(b"key", b"value" * 50)] * 40, codec=codec)
        assert (await client.produce(topic, sent)).error_code == 0
        got = bytes((await client.fetch(topic, 0)).records)
        assert len(got) == len(sent)
        assert RecordBatch(got).compression_type == codec
        assert got[61:] == sent[61:]

    run(port, main)


def test_acks(port):
    async def main(client):
        topic = await new_topic(client)
        fields = produce_fields(topic, batch(*values(1)))
        await client.send("Produce", **(fields | {"acks": 0}))  # is not answered
        one = await client.ask("Produce", **(fields | {"acks": 1}))
        every = await client.ask("Produce", **(fields | {"acks": -1}))
        wrong = await client.ask("Produce", **(fields | {"acks": 2}))
        codes = [answer.responses[0].partition_responses[0].error_code for answer in (one, every, wrong)]
        assert codes == [0, 0, Code.INVALID_REQUIRED_ACKS]
        assert [offset for offset, _, _ in await read(client, topic)] == [0, 1, 2]

    run(port, main)


def test_a_fetch_waits_for_what_is_not_there_yet(port):
    async def main(client):
        topic, other = await new_topic(client), await WireClient.connect(port)
        fetching = asyncio.create_task(other.fetch(topic, 0, wait_ms=30_000))
        await put(client, topic, batch(*values(1)))
        assert RecordBatch(bytes((await fetching).records)).base_offset == 0

    run(port, main)


# -- idempotence ------------------------------------------------------------------------------------------------------


async def new_producer(client):
    async def ask():
        return await client.ask("InitProducerId", **NO_PRODUCER)

    found = await until(ask, lambda answer: answer.error_code == 0)
    return found.producer_id, found.producer_epoch


def test_a_repeated_sequence_is_kept_once_and_a_gap_is_refused(port):
    async def main(client):
        topic, (ident, epoch) = await new_topic(client), await new_producer(client)

        async def send(sequence, count=1):
            sent = batch(*values(count, start=sequence), producer_id=ident, epoch=epoch, sequence=sequence)
            answer = await client.produce(topic, sent)
            return answer.error_code or answer.base_offset

        assert [await send(sequence) for sequence in (0, 1, 2)] == [0, 1, 2]
        assert [await send(sequence) for sequence in (2, 0, 1)] == [2, 0, 1]
        assert await send(4) == Code.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert await send(3, 2) == 3
        assert [value for _, _, value in await read(client, topic)] == [b"0", b"1", b"2", b"3", b"4"]

    run(port, main)


def test_a_newer_epoch_begins_at_zero_and_fences_the_older(port):
    async def main(client):
        topic, (ident, epoch) = await new_topic(client), await new_producer(client)

        async def send(epoch, sequence):
            sent = batch(*values(1), producer_id=ident, epoch=epoch, sequence=sequence)
            return (await client.produce(topic, sent)).error_code

        assert await send(epoch, 0) == 0
        assert await send(epoch + 1, 1) == Code.OUT_OF_ORDER_SEQUENCE_NUMBER
        assert await send(epoch + 1, 0) == 0
        assert await send(epoch, 1) == Code.INVALID_PRODUCER_EPOCH

    run(port, main)


def test_producer_ids_are_never_given_twice(port):
    async def main(client):
        return [(await new_producer(client))[0] for _ in range(5)]

    assert len(set(run(port, main))) == 5


# -- offsets and times ------------------------------------------------------------------------------------------------


def test_offsets_are_found_by_place_and_by_time(port):
    async def main(client):
        topic = await new_topic(client)
        for at in (1_000, 3_000, 2_000):
            await put(client, topic, batch(*values(1), timestamp=at))
        found = {at: await list_offset(client, topic, at) for at in (EARLIEST, LATEST, NEWEST, 0, 1_001, 3_000, 3_001)}
        assert found == {
            EARLIEST: (0, 0, -1), LATEST: (0, 3, -1), NEWEST: (0, 1, 3_000),
            0: (0, 0, 1_000), 1_001: (0, 1, 3_000), 3_000: (0, 1, 3_000), 3_001: (0, -1, -1),
        }  # fmt: skip

    run(port, main)


def test_records_below_an_offset_can_be_deleted(port):
    async def main(client):
        topic = await new_topic(client)
        await put(client, topic, batch(*values(3)))
        await put(client, topic, batch(*values(3)))
        kind = admin.DeleteRecordsRequest.DeleteRecordsTopic
        asked = [kind(name=topic, partitions=[kind.DeleteRecordsPartition(partition_index=0, offset=4)])]
        answer = await client.ask("DeleteRecords", topics=asked, timeout_ms=5_000)
        assert answer.topics[0].partitions[0].low_watermark == 4
        assert (await list_offset(client, topic, EARLIEST))[1] == 4
        assert (await client.fetch(topic, 3)).error_code == Code.OFFSET_OUT_OF_RANGE
        assert [offset for offset, _, _ in await read(client, topic)] == [4, 5]

    run(port, main)


# -- what is refused --------------------------------------------------------------------------------------------------


def test_what_does_not_exist_is_said_to_be_unknown_and_not_made(port):
    async def main(client):
        missing, unknown = name(), Code.UNKNOWN_TOPIC_OR_PARTITION
        asked = [metadata.MetadataRequest.MetadataRequestTopic(name=missing)]
        told = await client.ask("Metadata", topics=asked, allow_auto_topic_creation=False)
        assert told.topics[0].error_code == unknown
        assert (await client.produce(missing, batch(*values(1)))).error_code == unknown
        assert (await client.fetch(missing, 0)).error_code == unknown
        assert (await list_offset(client, missing, LATEST))[0] == unknown
        topic = await new_topic(client)
        assert (await client.produce(topic, batch(*values(1)), partition=7)).error_code == unknown

    run(port, main)


def test_what_can_not_be_read_or_written_is_refused_with_the_right_code(port):
    async def main(client):
        topic = await new_topic(client, max_message_bytes="1000")
        assert (await client.produce(topic, batch((None, b"x" * 2_000)))).error_code == Code.MESSAGE_TOO_LARGE
        damaged = bytearray(batch(*values(1)))
        damaged[-2] ^= 0x10
        assert (await client.produce(topic, bytes(damaged))).error_code == Code.CORRUPT_MESSAGE
        assert (await client.fetch(topic, 1)).error_code == Code.OFFSET_OUT_OF_RANGE
        assert (await client.fetch(topic, 0, epoch=99)).error_code == Code.UNKNOWN_LEADER_EPOCH
        assert (await client.produce(topic, batch(*values(1)))).base_offset == 0

    run(port, main)


# -- topics and their settings ----------------------------------------------------------------------------------------


def test_topics_are_made_once_and_only_if_they_can_be(port):
    async def main(client):
        topic = await new_topic(client, 3)
        assert (await client.create(topic)).error_code == Code.TOPIC_ALREADY_EXISTS
        assert (await client.create("not/allowed")).error_code == Code.INVALID_TOPIC
        assert (await client.create(name(), 0)).error_code == Code.INVALID_PARTITIONS
        assert (await client.create(name(), retention_ms="soon")).error_code == Code.INVALID_CONFIG
        assert (await client.create(name(), no_such_setting="1")).error_code == Code.INVALID_CONFIG
        told = await client.ask("Metadata", topics=[metadata.MetadataRequest.MetadataRequestTopic(name=topic)])
        assert [
            part.partition_index for part in sorted(told.topics[0].partitions, key=lambda p: p.partition_index)
        ] == [0, 1, 2]
        assert {tuple(part.replica_nodes) for part in told.topics[0].partitions} == {(told.brokers[0].node_id,)}

    run(port, main)


def test_a_deleted_topic_is_gone_and_its_name_is_free(port):
    async def main(client):
        topic = await new_topic(client)
        await put(client, topic, batch(*values(3)))
        assert (await delete(client, topic)) == Code.NONE
        await until(
            lambda: list_offset(client, topic, LATEST), lambda found: found[0] == Code.UNKNOWN_TOPIC_OR_PARTITION
        )
        assert (await delete(client, topic)) == Code.UNKNOWN_TOPIC_OR_PARTITION
        assert (await client.create(topic)).error_code == Code.NONE
        assert (await until(lambda: list_offset(client, topic, LATEST), lambda found: found[0] == 0))[1] == 0

    async def delete(client, topic):
        kind = admin.DeleteTopicsRequest
        answer = await client.ask(
            "DeleteTopics", version=5, topic_names=[topic], topics=[kind.DeleteTopicState(name=topic)], timeout_ms=5_000
        )
        return answer.responses[0].error_code

    run(port, main)


async def settings(client, topic, *names):
    """(value, source) of settings of a topic; source 1 is the topic's own."""
    kind = admin.DescribeConfigsRequest.DescribeConfigsResource
    asked = [kind(resource_type=2, resource_name=topic, configuration_keys=list(names))]
    answer = await client.ask("DescribeConfigs", resources=asked, include_synonyms=False, include_documentation=False)
    return {one.name: (one.value, one.config_source) for one in answer.results[0].configs}


async def change(client, topic, **values):
    kind = admin.IncrementalAlterConfigsRequest.AlterConfigsResource
    configs = [
        kind.AlterableConfig(name=one.replace("_", "."), config_operation=0 if value else 1, value=value)
        for one, value in values.items()
    ]
    asked = [kind(resource_type=2, resource_name=topic, configs=configs)]
    return (await client.ask("IncrementalAlterConfigs", resources=asked, validate_only=False)).responses[0].error_code


def test_settings_are_shown_changed_and_taken_back(port):
    async def main(client):
        topic = await new_topic(client, retention_ms="123456789", cleanup_policy="compact")
        own = {"retention.ms": ("123456789", 1), "cleanup.policy": ("compact", 1)}
        assert await settings(client, topic, *own) == own
        assert await change(client, topic, retention_ms="-1", cleanup_policy=None) == Code.NONE
        after = await until(
            lambda: settings(client, topic, "retention.ms"), lambda found: found["retention.ms"] == ("-1", 1)
        )
        assert after
        assert (await settings(client, topic, "cleanup.policy"))["cleanup.policy"] == ("delete", 5)
        assert await change(client, topic, retention_ms="soon") == Code.INVALID_CONFIG
        assert await settings(client, topic, "retention.ms") == {"retention.ms": ("-1", 1)}

    run(port, main)


def test_partitions_are_added_and_never_taken_away(port):
    async def main(client):
        topic = await new_topic(client, 2)
        await put(client, topic, batch(*values(2)))

        async def grow(count):
            kind = admin.CreatePartitionsRequest.CreatePartitionsTopic
            asked = [kind(name=topic, count=count, assignments=None)]
            answer = await client.ask(
                "CreatePartitions", version=2, topics=asked, timeout_ms=5_000, validate_only=False
            )
            return answer.results[0].error_code

        assert await grow(2) == Code.INVALID_PARTITIONS
        assert await grow(1) == Code.INVALID_PARTITIONS
        assert await grow(4) == Code.NONE
        await until(lambda: list_offset(client, topic, LATEST, 3), lambda found: found[:2] == (0, 0))
        assert len(await read(client, topic)) == 2

    run(port, main)


def test_a_compacted_topic_keeps_the_last_value_of_each_key(port):
    async def main(client):
        ratio = {"min_cleanable_dirty_ratio": "0.01", "segment_ms": "1000", "delete_retention_ms": "600000"}
        topic = await new_topic(client, cleanup_policy="compact", **ratio)
        for turn in range(1, 6):  # the time of each batch is beyond the segment of the one before
            pairs = [(b"k%d" % key, b"%d" % turn) for key in range(5)]
            await put(client, topic, batch(*pairs, timestamp=turn * 10_000))
        await put(client, topic, batch((b"k0", None), timestamp=100_000))
        await put(client, topic, batch((b"last", b"1"), timestamp=200_000))  # in the segment that is written to

        def latest(records):
            return {key: value for _, key, value in records if key != b"last"}

        meant = {b"k0": None} | {b"k%d" % key: b"5" for key in range(1, 5)}
        assert latest(await read(client, topic)) == meant
        after = await until(lambda: read(client, topic), lambda found: len(found) == 6)
        assert latest(after) == meant
        assert [offset for offset, _, _ in after] == [21, 22, 23, 24, 25, 26]

    run(port, main)


def test_what_is_older_than_the_retention_goes(port):
    async def main(client):
        topic = await new_topic(client, retention_ms="3600000", segment_ms="1000")
        kept = await new_topic(client, segment_ms="1000")
        now = int(time.time() * 1_000)
        for one in (topic, kept):
            await client.produce(one, batch(*values(2), timestamp=now - 7_200_000))
        await until(lambda: list_offset(client, topic, EARLIEST), lambda found: found[1] == 2)
        for one in (topic, kept):
            assert (await client.produce(one, batch(*values(2), timestamp=now))).base_offset == 2
        assert len(await read(client, topic)) == 2
        assert len(await read(client, kept)) == 4

    run(port, main)


# -- groups -----------------------------------------------------------------------------------------------------------


async def new_member(port, group, topic="t", **options):
    """A member of the group, at its coordinator."""
    client = await WireClient.connect(port)

    async def ask():
        return await client.ask("FindCoordinator", version=3, key=group, key_type=0)

    await until(ask, lambda answer: answer.error_code == 0)
    kind = consumer.OffsetFetchRequest.OffsetFetchRequestTopic
    places = [kind(name="t", partition_indexes=[0])]

    async def loaded():
        return await client.ask("OffsetFetch", group_id=group, topics=places, require_stable=False)

    await until(loaded, lambda answer: answer.error_code == 0)
    return Member(client, group=group, topic=topic, **options)


def test_two_members_share_and_a_third_of_a_kind_causes_a_rebalance(port):
    async def main(_):
        group = name()
        one, two = [await new_member(port, group) for _ in range(2)]
        assert sorted(await stable(one, two)) == [b"0", b"1"]
        assert one.generation == two.generation
        assert sorted({*one.members, *two.members}) == sorted([one.ident, two.ident])
        assert [await one.heartbeat(), await two.heartbeat()] == [0, 0]
        assert await two.leave() == 0
        assert await two.heartbeat() == Code.UNKNOWN_MEMBER_ID
        assert await one.heartbeat() == Code.REBALANCE_IN_PROGRESS
        before = one.generation
        assert await one.join() == 0
        assert one.generation > before
        assert one.members == [one.ident]

    run(port, main)


def test_a_member_that_says_nothing_is_removed(port):
    async def main(_):
        group = name()
        one, two = await new_member(port, group), await new_member(port, group, session_ms=300)
        await stable(one, two)
        assert await until(one.heartbeat, lambda code: code != Code.NONE) == Code.REBALANCE_IN_PROGRESS
        assert await one.join() == 0
        assert one.members == [one.ident]

    run(port, main)


def test_a_static_member_comes_back_without_a_rebalance(port):
    async def main(_):
        group = name()
        members = [await new_member(port, group, instance=f"i{number}") for number in range(2)]
        await stable(*members)
        for number, member in enumerate(members):
            again = await new_member(port, group, instance=member.instance)
            assert await again.join() == 0
            assert again.ident != member.ident
            assert (again.generation, again.members) == (member.generation, [])
            assert await again.sync() == b"%d" % number
            assert await member.heartbeat() == Code.FENCED_INSTANCE_ID
            assert await again.heartbeat() == 0

    run(port, main)


def test_offsets_are_committed_by_members_of_the_generation_alone(port):
    async def main(client):
        group, topic = name(), await new_topic(client)
        one, stranger = [await new_member(port, group, topic) for _ in range(2)]
        assert await one.committed() == -1
        assert await stranger.commit(3) == 0  # the group has no members yet
        await stable(one)
        assert await one.commit(7) == 0
        assert await one.commit(8, generation=99) == Code.ILLEGAL_GENERATION
        assert await stranger.commit(9) == Code.UNKNOWN_MEMBER_ID
        assert await stranger.committed() == 7

    run(port, main)


def test_a_group_is_described_and_deleted_once_it_is_empty(port):
    async def main(client):
        group, topic = name(), await new_topic(client)
        one = await new_member(port, group, topic)
        await stable(one)
        await one.commit(4)
        described = (await client.ask("DescribeGroups", groups=[group])).groups[0]
        assert (described.group_state, described.protocol_type) == ("Stable", "consumer")
        assert [member.member_id for member in described.members] == [one.ident]
        listed = await client.ask("ListGroups", states_filter=[])
        assert group in {found.group_id for found in listed.groups}
        assert await delete(client, group) == Code.NON_EMPTY_GROUP
        await one.leave()
        assert await one.committed() == 4
        assert await delete(client, group) == Code.NONE
        assert await one.committed() == -1
        assert await delete(client, group) == Code.GROUP_ID_NOT_FOUND

    async def delete(client, group):
        return (await client.ask("DeleteGroups", groups_names=[group])).results[0].error_code

    run(port, main)


def test_nothing_in_common_is_refused(port):
    async def main(client):
        group = name()
        await stable(await new_member(port, group))
        kind = consumer.JoinGroupRequest.JoinGroupRequestProtocol
        fields = {"group_id": group, "session_timeout_ms": 9_000, "rebalance_timeout_ms": 9_000, "member_id": ""}
        fields |= {"group_instance_id": None, "protocol_type": "consumer"}
        other = await client.ask("JoinGroup", protocols=[kind(name="sticky", metadata=b"")], **fields)
        assert other.error_code == Code.INCONSISTENT_GROUP_PROTOCOL

    run(port, main)
