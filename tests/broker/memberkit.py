"""Members of consumer groups, one request at a time."""

from __future__ import annotations

from brokerkit import WireClient

from broker.errors import Code
from broker.messages import consumer


class Member:
    """A member of a group that does what consumers do, one request at a time; it commits offsets of ``topic``."""

    def __init__(self, client, *, group="g", topic="t", instance=None, session_ms=10_000, topics=b"t"):
        self.client, self.group, self.topic = client, group, topic
        self.instance, self.session_ms, self.topics = instance, session_ms, topics
        self.ident, self.generation, self.leader, self.members = "", -1, "", []

    @classmethod
    async def connect(cls, broker, **options):
        return cls(await WireClient.connect(broker.port), **options)

    async def send_join(self):
        protocol = consumer.JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=self.topics)
        await self.client.send(
            "JoinGroup",
            group_id=self.group,
            session_timeout_ms=self.session_ms,
            rebalance_timeout_ms=10_000,
            member_id=self.ident,
            group_instance_id=self.instance,
            protocol_type="consumer",
            protocols=[protocol],
        )

    async def joined(self):
        answer = await self.client.answer("JoinGroup")
        if answer.error_code == Code.NONE:
            self.ident, self.generation, self.leader = answer.member_id, answer.generation_id, answer.leader
            self.members = [one.member_id for one in answer.members]
        elif answer.error_code == Code.MEMBER_ID_REQUIRED:
            self.ident = answer.member_id
        return answer.error_code

    async def join(self):
        await self.send_join()
        if (code := await self.joined()) == Code.MEMBER_ID_REQUIRED:
            await self.send_join()
            code = await self.joined()
        return code

    async def join_while(self, *others):
        """Join while the others learn of it by heartbeat and join again."""
        if not self.instance:
            await self.send_join()
            assert await self.joined() == Code.MEMBER_ID_REQUIRED
        await self.send_join()
        for other in others:
            while await other.heartbeat() != Code.REBALANCE_IN_PROGRESS:
                pass
            await other.send_join()
        codes = [await one.joined() for one in (*others, self)]
        return codes == [Code.NONE] * len(codes)

    def who(self):
        return {"group_id": self.group, "member_id": self.ident, "group_instance_id": self.instance}

    async def sync(self, **assignments):
        kind = consumer.SyncGroupRequest.SyncGroupRequestAssignment
        given = [kind(member_id=one, assignment=data) for one, data in assignments.items()]
        fields = self.who() | {"generation_id": self.generation, "protocol_type": "consumer", "protocol_name": "range"}
        answer = await self.client.ask("SyncGroup", assignments=given, **fields)
        return answer.error_code or answer.assignment

    async def heartbeat(self):
        return (await self.client.ask("Heartbeat", generation_id=self.generation, **self.who())).error_code

    async def leave(self):
        kind = consumer.LeaveGroupRequest.MemberIdentity
        gone = [kind(member_id=self.ident, group_instance_id=self.instance)]
        return (await self.client.ask("LeaveGroup", group_id=self.group, members=gone)).members[0].error_code

    async def commit(self, offset, *, generation=None):
        kind = consumer.OffsetCommitRequest.OffsetCommitRequestTopic
        part = kind.OffsetCommitRequestPartition(partition_index=0, committed_offset=offset, committed_metadata="m")
        fields = self.who() | {"generation_id_or_member_epoch": self.generation if generation is None else generation}
        answer = await self.client.ask("OffsetCommit", topics=[kind(name=self.topic, partitions=[part])], **fields)
        return answer.topics[0].partitions[0].error_code

    async def committed(self):
        kind = consumer.OffsetFetchRequest.OffsetFetchRequestTopic
        answer = await self.client.ask(
            "OffsetFetch",
            group_id=self.group,
            topics=[kind(name=self.topic, partition_indexes=[0])],
            require_stable=False,
        )
        return answer.topics[0].partitions[0].committed_offset


async def stable(*members):
    """Bring the members into one generation, each with its number as the assignment."""
    first = members[0]
    assert await first.join() == Code.NONE
    for count, member in enumerate(members[1:], 2):
        assert await member.join_while(*members[: count - 1])
    given = {one.ident: b"%d" % number for number, one in enumerate(members)}
    leader = next(one for one in members if one.ident == one.leader)
    results = [await leader.sync(**given)]
    results += [await one.sync() for one in members if one is not leader]
    return results
