"""What the broker answers to requests of consumer groups."""

from __future__ import annotations

from typing import Any

from kafka.protocol import admin, consumer, metadata

from broker.api import NODE, ClusterApi
from broker.errors import Code
from broker.flusher import Flusher, Syncable
from broker.groups import Groups, Join
from broker.topics import Topics
from broker.wire import Client


class GroupApi:
    """Requests about groups and their offsets."""

    def __init__(
        self, groups: Groups, topics: Topics, cluster: ClusterApi, flusher: Flusher, offsets: Syncable
    ) -> None:
        self._groups, self._topics, self._cluster = groups, topics, cluster
        self._flusher, self._offsets = flusher, offsets

    def find_coordinator(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = metadata.FindCoordinatorResponse
        where = {"node_id": NODE, "host": self._cluster.host, "port": self._cluster.port}
        if version < 4:
            return response(error_message=None, **where)
        return response(
            coordinators=[
                response.Coordinator(key=key, error_message=None, **where) for key in request.coordinator_keys
            ]
        )

    async def join(self, request: Any, version: int, client: Client) -> Any:
        response = consumer.JoinGroupResponse
        if not request.group_id:
            return response(error_code=Code.INVALID_GROUP_ID, protocol_name="", leader="", member_id="", members=[])
        group = self._groups.get(request.group_id)
        rebalance_ms = request.rebalance_timeout_ms if version >= 1 else request.session_timeout_ms
        code, member_id = await group.join(
            Join(
                member_id=request.member_id or "",
                instance=request.group_instance_id,
                client=client.id,
                host=client.host,
                protocol_type=request.protocol_type,
                protocols={protocol.name: bytes(protocol.metadata) for protocol in request.protocols},
                session_s=request.session_timeout_ms / 1_000,
                rebalance_s=max(rebalance_ms, 1) / 1_000,
                needs_id=version >= 4,
            )
        )
        if code:
            return response(
                error_code=code, generation_id=-1, protocol_name="", leader="", member_id=member_id, members=[]
            )
        members = [
            response.JoinGroupResponseMember(
                member_id=member.id, group_instance_id=member.instance, metadata=member.protocols[group.protocol]
            )
            for member in group.members.values()
            if member_id == group.leader
        ]
        return response(
            error_code=Code.NONE,
            generation_id=group.generation,
            protocol_type=group.protocol_type,
            protocol_name=group.protocol,
            leader=group.leader,
            member_id=member_id,
            members=members,
        )

    async def sync(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response, group = consumer.SyncGroupResponse, self._groups.get(request.group_id)
        code = group.flaw(request.member_id, request.generation_id, request.group_instance_id)
        if not code:
            assignments = {item.member_id: bytes(item.assignment) for item in request.assignments}
            code = await group.sync(request.member_id, assignments)
        if code:
            return response(error_code=code, assignment=b"")
        return response(
            error_code=Code.NONE,
            protocol_type=group.protocol_type,
            protocol_name=group.protocol,
            assignment=group.members[request.member_id].assignment,
        )

    def heartbeat(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        group = self._groups.get(request.group_id)
        code = group.flaw(request.member_id, request.generation_id, request.group_instance_id)
        return consumer.HeartbeatResponse(error_code=code or group.heartbeat(request.member_id))

    def leave(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response, group = consumer.LeaveGroupResponse, self._groups.get(request.group_id)
        leaving = (
            [(request.member_id, None)]
            if version < 3
            else [(member.member_id, member.group_instance_id) for member in request.members]
        )
        answers = []
        for given_id, instance in leaving:
            static = group.by_instance(instance)
            member_id = static.id if static and not given_id else given_id
            code = Code.NONE if group.remove(member_id) else Code.UNKNOWN_MEMBER_ID
            answers.append(response.MemberResponse(member_id=given_id, group_instance_id=instance, error_code=code))
        return response(members=answers, error_code=answers[0].error_code if version < 3 else Code.NONE)

    async def offset_commit(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response, group = consumer.OffsetCommitResponse, self._groups.get(request.group_id)
        code = Code.NONE
        if request.generation_id_or_member_epoch >= 0 or request.member_id:
            code = group.flaw(request.member_id, request.generation_id_or_member_epoch, request.group_instance_id)
            if not code and group.state == "CompletingRebalance":
                code = Code.REBALANCE_IN_PROGRESS
        elif group.members:
            code = Code.UNKNOWN_MEMBER_ID  # a commit from outside may not move an active group
        offsets = {
            (topic.name, item.partition_index): (
                item.committed_offset,
                item.committed_leader_epoch,
                item.committed_metadata,
            )
            for topic in request.topics
            for item in topic.partitions
            if self._topics.partition(topic.name, item.partition_index)
        }
        if not code and offsets:
            self._groups.commit(request.group_id, offsets)
            await self._flusher.written({self._offsets})
        missing = Code.UNKNOWN_TOPIC_OR_PARTITION
        answer = response.OffsetCommitResponseTopic
        return response(
            topics=[
                answer(
                    name=topic.name,
                    partitions=[
                        answer.OffsetCommitResponsePartition(
                            partition_index=item.partition_index,
                            error_code=code
                            or (Code.NONE if (topic.name, item.partition_index) in offsets else missing),
                        )
                        for item in topic.partitions
                    ],
                )
                for topic in request.topics
            ]
        )

    def offset_fetch(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = consumer.OffsetFetchResponse
        if version < 8:
            answer = response.OffsetFetchResponseTopic
            topics = self._committed(request.group_id, request.topics, answer, answer.OffsetFetchResponsePartition)
            return response(topics=topics)
        group_answer = response.OffsetFetchResponseGroup
        answer = group_answer.OffsetFetchResponseTopics
        return response(
            groups=[
                group_answer(
                    group_id=wanted.group_id,
                    topics=self._committed(
                        wanted.group_id, wanted.topics, answer, answer.OffsetFetchResponsePartitions
                    ),
                )
                for wanted in request.groups
            ]
        )

    def _committed(self, group: str, topics: list[Any] | None, topic_answer: Any, partition_answer: Any) -> list[Any]:
        known = self._groups.committed(group)
        if topics is None:
            wanted: dict[str, list[int]] = {}
            for topic, index in known:
                wanted.setdefault(topic, []).append(index)
        else:
            wanted = {topic.name: topic.partition_indexes for topic in topics}
        answers = []
        for name, indexes in wanted.items():
            partitions = []
            for index in indexes:
                offset, epoch, text = known.get((name, index), (-1, -1, ""))
                partitions.append(
                    partition_answer(
                        partition_index=index, committed_offset=offset, committed_leader_epoch=epoch, metadata=text
                    )
                )
            answers.append(topic_answer(name=name, partitions=partitions))
        return answers

    def list_groups(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = admin.ListGroupsResponse
        groups = [
            response.ListedGroup(group_id=name, protocol_type=group.protocol_type, group_state=group.state)
            for name, group in self._groups.known().items()
            if version < 4 or not request.states_filter or group.state in request.states_filter
        ]
        return response(groups=groups)

    def describe_groups(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        answer, known = admin.DescribeGroupsResponse.DescribedGroup, self._groups.known()
        answers = []
        for name in request.groups:
            group = known.get(name)
            members = [
                answer.DescribedGroupMember(
                    member_id=member.id,
                    group_instance_id=member.instance,
                    client_id=member.client,
                    client_host=member.host,
                    member_metadata=member.protocols.get(group.protocol, b"") if group else b"",
                    member_assignment=member.assignment,
                )
                for member in (group.members.values() if group else ())
            ]
            answers.append(
                answer(
                    group_id=name,
                    group_state=group.state if group else "Dead",
                    protocol_type=group.protocol_type if group else "",
                    protocol_data=group.protocol if group else "",
                    members=members,
                )
            )
        return admin.DescribeGroupsResponse(groups=answers)

    def delete_groups(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response = admin.DeleteGroupsResponse
        return response(
            results=[
                response.DeletableGroupResult(group_id=name, error_code=self._groups.delete(name))
                for name in request.groups_names
            ]
        )

    def delete_topics(self, request: Any, version: int, client: Client) -> Any:  # noqa: ARG002
        response, answers = admin.DeleteTopicsResponse, []
        named = [(item.name, item.topic_id) for item in request.topics] if version >= 6 else None
        for name, topic_id in named if named is not None else [(name, None) for name in request.topic_names]:
            topic = self._topics.get(name) or (self._topics.by_id(topic_id) if name is None else None)
            if topic:
                self._topics.delete(topic)
                self._groups.forget_topic(topic.name)
            answers.append(
                response.DeletableTopicResult(
                    name=topic.name if topic else name,
                    topic_id=topic.id if topic else topic_id,
                    error_code=Code.NONE if topic else Code.UNKNOWN_TOPIC_OR_PARTITION,
                )
            )
        return response(responses=answers)
