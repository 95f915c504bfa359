"""Requests about consumer groups and their offsets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from broker.errors import Code, Refused
from broker.flusher import Flusher
from broker.groups import Group, Joining, State
from broker.journal import Journal
from broker.messages import admin, consumer
from broker.offsets import NOTHING, Committed, Offsets, Place
from broker.topics import Topics
from broker.wire import Request


class Coordinator:
    """All consumer groups."""

    def __init__(self, directory: Path, topics: Topics, flusher: Flusher) -> None:
        self._topics, self._flusher = topics, flusher
        self.offsets = Offsets(directory / "offsets.journal")
        self._journal = Journal(directory / "groups.journal")
        self.groups: dict[str, Group] = {}
        for name, stored in list(self._journal.data.items()):
            self._group(name).restore(stored)

    def _group(self, name: str) -> Group:
        if not name:
            raise Refused(Code.INVALID_GROUP_ID, "a group needs a name")
        if name not in self.groups:
            self.groups[name] = Group(name, self._keep)
        return self.groups[name]

    def _known(self, name: str) -> Group:
        """The group, made only to be asked."""
        return self.groups.get(name) or Group(name, self._keep)

    def _keep(self, group: Group) -> None:
        self._journal.put([(group.name, group.stored())])
        self._flusher.touch([self._journal])

    def tidy(self) -> None:
        """Rewrite journals that are mostly outdated."""
        self._journal.tidy()
        self.offsets.journal.tidy()

    def close(self) -> None:
        """Let go of the files and timers."""
        for group in self.groups.values():
            group.close()
        self._journal.close()
        self.offsets.journal.close()

    # -- membership ---------------------------------------------------------------------------------------------------

    async def join(self, request: Request) -> Any:
        """JoinGroup."""
        body, version, response = request.body, request.version, consumer.JoinGroupResponse
        session_s = body.session_timeout_ms / 1_000
        patience_s = body.rebalance_timeout_ms / 1_000 if version >= 1 and body.rebalance_timeout_ms > 0 else session_s
        protocols = {one.name: bytes(one.metadata) for one in body.protocols}
        member_id, instance = body.member_id or "", body.group_instance_id
        who = (member_id, instance, request.client.ident, request.client.host)
        new = Joining(*who, session_s, patience_s, body.protocol_type, protocols, needs_known_id=version >= 4)
        try:
            group = self._group(body.group_id)
            joined = await group.join(new)
        except Refused as refusal:
            given = refusal.why if refusal.code is Code.MEMBER_ID_REQUIRED else member_id
            return response(
                error_code=refusal.code, generation_id=-1, protocol_name="", leader="", member_id=given, members=[]
            )
        members = [
            response.JoinGroupResponseMember(
                member_id=one.ident, group_instance_id=one.instance, metadata=one.protocols[group.protocol]
            )
            for one in joined.members
        ]
        return response(
            generation_id=group.generation,
            protocol_type=group.protocol_type,
            protocol_name=group.protocol,
            leader=joined.leader,
            member_id=joined.member_id,
            members=members,
        )

    async def sync(self, request: Request) -> Any:
        """SyncGroup."""
        body, response = request.body, consumer.SyncGroupResponse
        try:
            group = self._known(body.group_id)
            member = group.confirm(body.member_id, body.group_instance_id, body.generation_id)
            assignments = [(one.member_id, bytes(one.assignment)) for one in body.assignments]
            assignment = await group.sync(member, assignments)
        except Refused as refusal:
            return response(error_code=refusal.code, assignment=b"")
        return response(protocol_type=group.protocol_type, protocol_name=group.protocol, assignment=assignment)

    async def heartbeat(self, request: Request) -> Any:
        """Heartbeat."""
        body, code = request.body, Code.NONE
        try:
            group = self._known(body.group_id)
            group.confirm(body.member_id, body.group_instance_id, body.generation_id)
            group.heartbeat()
        except Refused as refusal:
            code = refusal.code
        return consumer.HeartbeatResponse(error_code=code)

    async def leave(self, request: Request) -> Any:
        """LeaveGroup."""
        body, response = request.body, consumer.LeaveGroupResponse
        group, gone = self._known(body.group_id), []
        named = [(one.member_id, one.group_instance_id) for one in body.members]
        for member_id, instance in named if request.version >= 3 else [(body.member_id, None)]:
            left, code = member_id, Code.NONE
            try:
                left = group.leave(member_id, instance)
            except Refused as refusal:
                code = refusal.code
            gone.append(response.MemberResponse(member_id=left, group_instance_id=instance, error_code=code))
        return response(members=gone, error_code=gone[0].error_code if request.version < 3 else Code.NONE)

    # -- offsets ------------------------------------------------------------------------------------------------------

    async def commit(self, request: Request) -> Any:
        """OffsetCommit."""
        body, response = request.body, consumer.OffsetCommitResponse
        known = {(one.name, part.partition_index): part for one in body.topics for part in one.partitions}
        positions = {
            place: Committed(part.committed_offset, part.committed_leader_epoch, part.committed_metadata or "")
            for place, part in known.items()
            if self._exists(place)
        }
        code = Code.NONE
        try:
            self._check_commit(body)
            self.offsets.commit(body.group_id, positions)
            await self._flusher.acknowledge([self.offsets.journal])
            self.offsets.journal.confirm()
        except Refused as refusal:
            code = refusal.code

        def answer(place: Place) -> Code:
            return code or (Code.NONE if place in positions else Code.UNKNOWN_TOPIC_OR_PARTITION)

        kind = response.OffsetCommitResponseTopic
        topics = [
            kind(
                name=one.name,
                partitions=[
                    kind.OffsetCommitResponsePartition(
                        partition_index=part.partition_index, error_code=answer((one.name, part.partition_index))
                    )
                    for part in one.partitions
                ],
            )
            for one in body.topics
        ]
        return response(topics=topics)

    def _exists(self, place: Place) -> bool:
        try:
            self._topics.partition(*place)
        except Refused:
            return False
        return True

    def _check_commit(self, body: Any) -> None:
        """A member commits for its generation; without one, only for a group that has no members."""
        group = self._known(body.group_id)
        if body.generation_id_or_member_epoch >= 0 or body.member_id:
            group.confirm(body.member_id, body.group_instance_id, body.generation_id_or_member_epoch)
            if group.state is State.COMPLETING:
                raise Refused(Code.REBALANCE_IN_PROGRESS, "partitions are being assigned")
        elif group.members:
            raise Refused(Code.UNKNOWN_MEMBER_ID, "the group is in use")

    async def fetch(self, request: Request) -> Any:
        """OffsetFetch."""
        body, response = request.body, consumer.OffsetFetchResponse
        if request.version < 8:
            topic = response.OffsetFetchResponseTopic
            found = self._fetched(body.group_id, body.topics, topic, topic.OffsetFetchResponsePartition)
            return response(topics=found)
        group = response.OffsetFetchResponseGroup
        topic = group.OffsetFetchResponseTopics
        partition = topic.OffsetFetchResponsePartitions
        groups = [
            group(group_id=one.group_id, topics=self._fetched(one.group_id, one.topics, topic, partition))
            for one in body.groups
        ]
        return response(groups=groups)

    def _fetched(self, group: str, topics: Iterable[Any] | None, topic: Any, partition: Any) -> list[Any]:
        """What a group has committed, of all topics if none are named."""
        known, asked = self.offsets.of(group), dict[str, list[int]]()
        if topics is None:
            for name, number in known:
                asked.setdefault(name, []).append(number)
        else:
            asked = {one.name: list(one.partition_indexes) for one in topics}

        def describe(name: str, number: int) -> Any:
            at = known.get((name, number), NOTHING)
            return partition(
                partition_index=number,
                committed_offset=at.offset,
                committed_leader_epoch=at.leader_epoch,
                metadata=at.metadata,
            )

        return [topic(name=name, partitions=[describe(name, one) for one in them]) for name, them in asked.items()]

    async def delete_offsets(self, request: Request) -> Any:
        """OffsetDelete."""
        body, response = request.body, consumer.OffsetDeleteResponse
        group, doomed = self._known(body.group_id), []
        kind = response.OffsetDeleteResponseTopic
        if body.group_id not in self._names():
            return response(error_code=Code.GROUP_ID_NOT_FOUND, topics=[])
        code = Code.GROUP_SUBSCRIBED_TO_TOPIC if group.members else Code.NONE
        topics = []
        for one in body.topics:
            doomed += [(one.name, part.partition_index) for part in one.partitions]
            parts = [
                kind.OffsetDeleteResponsePartition(partition_index=part.partition_index, error_code=code)
                for part in one.partitions
            ]
            topics.append(kind(name=one.name, partitions=parts))
        try:
            if not code:
                self.offsets.delete(body.group_id, doomed)
                await self._flusher.acknowledge([self.offsets.journal])
                self.offsets.journal.confirm()
        except Refused as refusal:
            return response(error_code=refusal.code, topics=[])
        return response(error_code=Code.NONE, topics=topics)

    # -- administration -----------------------------------------------------------------------------------------------

    def _names(self) -> set[str]:
        used = {name for name, group in self.groups.items() if group.members or group.generation}
        return used | set(self.offsets.groups())

    async def list_groups(self, request: Request) -> Any:
        """ListGroups."""
        response, wanted = admin.ListGroupsResponse, request.body.states_filter if request.version >= 4 else None
        listed = []
        for name in sorted(self._names()):
            group = self._known(name)
            if not wanted or group.state.value in wanted:
                kind = group.protocol_type or "consumer"
                listed.append(response.ListedGroup(group_id=name, protocol_type=kind, group_state=group.state.value))
        return response(groups=listed)

    async def describe_groups(self, request: Request) -> Any:
        """DescribeGroups."""
        response, names = admin.DescribeGroupsResponse, self._names()
        described = []
        for name in request.body.groups:
            group = self._known(name)
            members = [
                response.DescribedGroup.DescribedGroupMember(
                    member_id=one.ident,
                    group_instance_id=one.instance,
                    client_id=one.client_id,
                    client_host=one.host,
                    member_metadata=one.protocols.get(group.protocol, b""),
                    member_assignment=one.assignment,
                )
                for one in group.members.values()
            ]
            described.append(
                response.DescribedGroup(
                    group_id=name,
                    group_state=group.state.value if name in names else "Dead",
                    protocol_type=group.protocol_type,
                    protocol_data=group.protocol,
                    members=members,
                )
            )
        return response(groups=described)

    async def delete_groups(self, request: Request) -> Any:
        """DeleteGroups."""
        response, names, results = admin.DeleteGroupsResponse, self._names(), []
        for name in request.body.groups_names:
            code = Code.NONE
            try:
                if name not in names:
                    raise Refused(Code.GROUP_ID_NOT_FOUND, name)
                self._delete_group(name)
            except Refused as refusal:
                code = refusal.code
            results.append(response.DeletableGroupResult(group_id=name, error_code=code))
        await self._flusher.acknowledge([self.offsets.journal, self._journal])
        return response(results=results)

    def _delete_group(self, name: str) -> None:
        if self._known(name).members:
            raise Refused(Code.NON_EMPTY_GROUP, name)
        self.offsets.delete(name, list(self.offsets.of(name)))
        self._journal.put([(name, None)])
        self.groups.pop(name, None)
