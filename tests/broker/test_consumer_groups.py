"""Consumer groups: joining, rebalances, static members, sessions, offsets; and all of it over a restart."""

from __future__ import annotations

import asyncio
import shutil

from brokerkit import WireClient, running
from memberkit import Member, stable

from broker.errors import Code
from broker.messages import consumer


def test_two_members_share_and_the_leader_assigns(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, _):
            one, two = await Member.connect(broker), await Member.connect(broker)
            assert sorted(await stable(one, two)) == [b"0", b"1"]
            assert (one.generation, two.generation) == (2, 2)
            assert sorted(one.members) == sorted([one.ident, two.ident])
            assert [await one.heartbeat(), await two.heartbeat()] == [0, 0]
            assert await two.leave() == 0
            assert await one.heartbeat() == Code.REBALANCE_IN_PROGRESS
            assert await two.heartbeat() == Code.UNKNOWN_MEMBER_ID

    asyncio.run(main())


def test_a_member_whose_session_ends_is_removed(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, _):
            one, two = await Member.connect(broker), await Member.connect(broker, session_ms=200)
            await stable(one, two)
            while (code := await one.heartbeat()) == Code.NONE:
                pass
            assert code == Code.REBALANCE_IN_PROGRESS
            assert await one.join() == 0
            assert one.members == [one.ident]

    asyncio.run(main())


def test_membership_survives_a_crash_of_the_broker_without_a_rebalance(tmp_path):
    async def before():
        async with running(tmp_path / "a") as (broker, _):
            broker.topics.create("t", 1, {})
            members = [await Member.connect(broker), await Member.connect(broker)]
            await stable(*members)
            assert await members[0].commit(5) == 0
            copy(tmp_path / "a", tmp_path / "b")
        return members

    async def after(members):
        async with running(tmp_path / "b") as (broker, _):
            for number, member in enumerate(members):
                member.client = await WireClient.connect(broker.port)
                assert await member.heartbeat() == 0
                assert await member.sync() == b"%d" % number
            assert await members[0].committed() == 5
            assert await members[1].commit(6) == 0

    asyncio.run(after(asyncio.run(before())))


def test_a_rebalance_that_a_crash_interrupted_begins_anew(tmp_path):
    async def before():
        async with running(tmp_path / "a") as (broker, _):
            one = await Member.connect(broker)
            assert await one.join() == 0  # not yet synced
            copy(tmp_path / "a", tmp_path / "b")
            return one

    async def after(one):
        async with running(tmp_path / "b") as (broker, _):
            one.client = await WireClient.connect(broker.port)
            assert await one.heartbeat() == Code.REBALANCE_IN_PROGRESS
            assert await one.join() == 0
            assert await one.sync(**{one.ident: b"x"}) == b"x"

    asyncio.run(after(asyncio.run(before())))


def copy(source, target):
    """The files as a crash would leave them."""
    shutil.copytree(source, target)


def test_a_restarted_static_member_gets_its_assignment_back_without_a_rebalance(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, _):
            one = await Member.connect(broker, instance="i1")
            two = await Member.connect(broker, instance="i2")
            await stable(one, two)
            for number, member in enumerate((one, two)):
                again = await Member.connect(broker, instance=member.instance)
                assert await again.join() == 0
                assert again.ident != member.ident
                assert again.generation == member.generation
                assert again.members == []  # it is not asked to assign
                assert await again.sync() == b"%d" % number
                assert await member.heartbeat() == Code.FENCED_INSTANCE_ID
                assert await again.heartbeat() == 0

    asyncio.run(main())


def test_a_static_member_that_wants_other_topics_causes_a_rebalance(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, _):
            one = await Member.connect(broker, instance="i1")
            await stable(one)
            again = await Member.connect(broker, instance="i1", topics=b"u")
            assert await again.join() == 0
            assert (again.generation, again.leader) == (2, again.ident)

    asyncio.run(main())


def test_only_a_member_of_the_generation_may_commit(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, client):
            await client.create("t")
            one, stranger = await Member.connect(broker), await Member.connect(broker)
            assert await stranger.commit(3) == 0  # no member, no group
            await stable(one)
            assert await one.commit(7) == 0
            assert await one.commit(8, generation=99) == Code.ILLEGAL_GENERATION
            assert await stranger.commit(9) == Code.UNKNOWN_MEMBER_ID
            assert await one.committed() == 7

    asyncio.run(main())


def test_nothing_in_common_is_refused(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, client):
            await stable(await Member.connect(broker))
            kind = consumer.JoinGroupRequest.JoinGroupRequestProtocol
            fields = {"group_id": "g", "session_timeout_ms": 9_000, "rebalance_timeout_ms": 9_000, "member_id": ""}
            fields |= {"group_instance_id": None, "protocol_type": "consumer"}
            other = await client.ask("JoinGroup", protocols=[kind(name="sticky", metadata=b"")], **fields)
            return other.error_code

    assert asyncio.run(main()) == Code.INCONSISTENT_GROUP_PROTOCOL


def test_groups_are_listed_described_and_deleted_when_empty(tmp_path):
    async def main():
        async with running(tmp_path) as (broker, client):
            await client.create("t")
            one = await Member.connect(broker)
            await stable(one)
            await one.commit(4)
            described = (await client.ask("DescribeGroups", groups=["g", "h"])).groups
            assert [group.group_state for group in described] == ["Stable", "Dead"]
            assert [member.member_id for member in described[0].members] == [one.ident]
            assert [group.group_id for group in (await client.ask("ListGroups", states_filter=[])).groups] == ["g"]
            assert await delete(client) == Code.NON_EMPTY_GROUP
            await one.leave()
            assert await delete_offset(client) == Code.NONE
            assert await one.committed() == -1
            assert await delete(client) == Code.NONE
            assert await delete(client) == Code.GROUP_ID_NOT_FOUND

    async def delete(client):
        return (await client.ask("DeleteGroups", groups_names=["g"])).results[0].error_code

    async def delete_offset(client):
        kind = consumer.OffsetDeleteRequest.OffsetDeleteRequestTopic
        part = kind.OffsetDeleteRequestPartition(partition_index=0)
        answer = await client.ask("OffsetDelete", group_id="g", topics=[kind(name="t", partitions=[part])])
        return answer.topics[0].partitions[0].error_code

    asyncio.run(main())


def test_a_storm_of_members_that_come_and_go_ends_in_one_generation(tmp_path):
    async def follow(member, rounds):
        """What a consumer does until it has had enough."""
        code = await member.join()
        for _ in range(rounds):
            if code == Code.NONE:
                given = {one: one.encode() for one in member.members}
                code = await member.sync(**given) if member.ident == member.leader else await member.sync()
                code = code if isinstance(code, int) else await member.heartbeat()
            if code in (Code.REBALANCE_IN_PROGRESS, Code.ILLEGAL_GENERATION):
                code = await member.join()
            if code == Code.UNKNOWN_MEMBER_ID:
                member.ident = ""
                code = await member.join()
            await asyncio.sleep(0)
        return await member.leave()

    async def main():
        async with running(tmp_path) as (broker, client):
            members = [await Member.connect(broker) for _ in range(8)]
            codes = await asyncio.gather(*(follow(member, 3 + 4 * number) for number, member in enumerate(members)))
            described = (await client.ask("DescribeGroups", groups=["g"])).groups[0]
            assert set(codes) <= {Code.NONE, Code.UNKNOWN_MEMBER_ID}
            assert (described.group_state, described.members) == ("Empty", [])

    asyncio.run(asyncio.wait_for(main(), 20))
