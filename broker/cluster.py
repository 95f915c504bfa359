"""Requests about the cluster: who serves, which topics there are, and their settings."""

from __future__ import annotations

from typing import Any

from broker.configs import DEFAULTS, validate
from broker.errors import Code, Refused
from broker.messages import admin, metadata
from broker.offsets import Offsets
from broker.topics import Topic, Topics
from broker.wire import Request

NODE = 0
_TOPIC = 2  # resource type
_SET, _DELETE = 0, 1  # operations of IncrementalAlterConfigs
_NO_ID = "00000000-0000-0000-0000-000000000000"


class Cluster:
    """The single broker as clients see it, at the address that it advertises."""

    def __init__(self, topics: Topics, offsets: Offsets, *, partitions: int, auto_create: bool) -> None:
        self._topics, self._offsets = topics, offsets
        self._partitions, self._auto_create = partitions, auto_create
        self.host, self.port = "", 0

    def _address(self) -> dict[str, Any]:
        return {"node_id": NODE, "host": self.host, "port": self.port}

    async def metadata(self, request: Request) -> Any:
        """Metadata."""
        body, version, response = request.body, request.version, metadata.MetadataResponse
        if body.topics is None or (version == 0 and not body.topics):
            topics = [self._describe(topic) for topic in self._topics]
        else:
            may_create = self._auto_create and (version < 4 or body.allow_auto_topic_creation)
            topics = [self._find(one, may_create=may_create) for one in body.topics]
        brokers = [response.MetadataResponseBroker(**self._address())]
        return response(brokers=brokers, cluster_id=self._topics.cluster_id, controller_id=NODE, topics=topics)

    def _find(self, asked: Any, *, may_create: bool) -> Any:
        try:
            if asked.name is None:
                return self._describe(self._topics.by_id(asked.topic_id))
            if asked.name not in self._topics.by_name:
                self._topics.check_name(asked.name)
                if may_create:
                    self._topics.create(asked.name, self._partitions, {})
            return self._describe(self._topics.topic(asked.name))
        except Refused as refusal:
            kind = metadata.MetadataResponse.MetadataResponseTopic
            return kind(error_code=refusal.code, name=asked.name, topic_id=asked.topic_id, partitions=[])

    def _describe(self, topic: Topic) -> Any:
        kind = metadata.MetadataResponse.MetadataResponseTopic
        part = kind.MetadataResponsePartition
        partitions = []
        for number, partition in enumerate(topic.partitions):
            about = {"partition_index": number, "leader_epoch": partition.leader_epoch, "replica_nodes": [NODE]}
            if partition.damage is None:
                leader = part(error_code=Code.NONE, leader_id=NODE, isr_nodes=[NODE], offline_replicas=[], **about)
            else:  # clients then wait quietly for a leader; to what they ask anyway the answer is KAFKA_STORAGE_ERROR
                leader = part(
                    error_code=Code.LEADER_NOT_AVAILABLE, leader_id=-1, isr_nodes=[], offline_replicas=[NODE], **about
                )
            partitions.append(leader)
        return kind(error_code=Code.NONE, name=topic.name, topic_id=topic.ident, partitions=partitions)

    async def describe(self, request: Request) -> Any:  # noqa: ARG002 - nothing to choose
        """DescribeCluster."""
        response, address = admin.DescribeClusterResponse, {"broker_id": NODE, "host": self.host, "port": self.port}
        brokers = [response.DescribeClusterBroker(**address)]
        return response(cluster_id=self._topics.cluster_id, controller_id=NODE, brokers=brokers)

    async def find_coordinator(self, request: Request) -> Any:
        """FindCoordinator: for every group it is this broker."""
        response = metadata.FindCoordinatorResponse
        if request.version < 4:
            return response(error_message=None, **self._address())
        keys = request.body.coordinator_keys
        return response(
            coordinators=[response.Coordinator(key=key, error_message=None, **self._address()) for key in keys]
        )

    # -- topics -------------------------------------------------------------------------------------------------------

    async def create_topics(self, request: Request) -> Any:
        """CreateTopics."""
        response, results = admin.CreateTopicsResponse, []
        for asked in request.body.topics:
            result = response.CreatableTopicResult(
                name=asked.name, error_code=Code.NONE, error_message=None, configs=None
            )
            result.topic_id = _NO_ID
            try:
                count, settings = self._wanted(asked)
                if not request.body.validate_only:
                    result.topic_id = self._topics.create(asked.name, count, settings).ident
                result.num_partitions, result.replication_factor, result.configs = count, 1, []
            except Refused as refusal:
                result.error_code, result.error_message = refusal.code, refusal.why
            results.append(result)
        return response(topics=results)

    def _wanted(self, asked: Any) -> tuple[int, dict[str, str]]:
        """(partitions, settings) of a topic to create. Raises Refused."""
        self._topics.check_name(asked.name)
        if any(list(one.broker_ids) != [NODE] for one in asked.assignments):
            raise Refused(Code.INVALID_REPLICA_ASSIGNMENT, f"there is one broker, {NODE}")
        if asked.replication_factor not in (-1, 1):
            raise Refused(Code.INVALID_REPLICATION_FACTOR, f"{asked.replication_factor}; there is one broker")
        count = len(asked.assignments) or (self._partitions if asked.num_partitions == -1 else asked.num_partitions)
        if count < 1:
            raise Refused(Code.INVALID_PARTITIONS, f"{count} partitions")
        return count, validate({one.name: one.value for one in asked.configs})

    async def delete_topics(self, request: Request) -> Any:
        """DeleteTopics."""
        body, response, results = request.body, admin.DeleteTopicsResponse, []
        by_id = request.version >= 6
        for asked in body.topics if by_id else body.topic_names:
            name, ident = (asked.name, asked.topic_id) if by_id else (asked, _NO_ID)
            code = Code.NONE
            try:
                topic = self._topics.by_id(ident) if name is None else self._topics.topic(name)
                name, ident = topic.name, topic.ident
                self._topics.delete(topic)
                self._offsets.delete_topic(name)
            except Refused as refusal:
                code = refusal.code
            results.append(response.DeletableTopicResult(name=name, topic_id=ident, error_code=code))
        return response(responses=results)

    async def create_partitions(self, request: Request) -> Any:
        """CreatePartitions."""
        response, results = admin.CreatePartitionsResponse, []
        for asked in request.body.topics:
            code, why = Code.NONE, None
            try:
                topic = self._topics.topic(asked.name)
                if asked.count <= len(topic.partitions):
                    raise Refused(Code.INVALID_PARTITIONS, f"there are {len(topic.partitions)} already")
                if not request.body.validate_only:
                    self._topics.widen(topic, asked.count)
            except Refused as refusal:
                code, why = refusal.code, refusal.why
            result = response.CreatePartitionsTopicResult(name=asked.name, error_code=code, error_message=why)
            results.append(result)
        return response(results=results)

    # -- settings -----------------------------------------------------------------------------------------------------

    async def describe_configs(self, request: Request) -> Any:
        """DescribeConfigs: of topics; a broker has none to show."""
        response, results = admin.DescribeConfigsResponse, []
        kind = response.DescribeConfigsResult
        for asked in request.body.resources:
            code, why, shown = Code.NONE, None, []
            try:
                own = self._topics.topic(asked.resource_name).settings if asked.resource_type == _TOPIC else None
                wanted = asked.configuration_keys
                for name, value in (DEFAULTS | own).items() if own is not None else ():
                    if wanted is None or name in wanted:
                        shown.append(_shown(kind, name, value, own=own is not None and name in own))
            except Refused as refusal:
                code, why = refusal.code, refusal.why
            what = {"resource_type": asked.resource_type, "resource_name": asked.resource_name}
            results.append(kind(error_code=code, error_message=why, configs=shown, **what))
        return response(results=results)

    async def alter_configs(self, request: Request) -> Any:
        """AlterConfigs: what is not named goes back to its default."""
        return self._alter(request.body, admin.AlterConfigsResponse, incremental=False)

    async def incremental_alter_configs(self, request: Request) -> Any:
        """IncrementalAlterConfigs."""
        return self._alter(request.body, admin.IncrementalAlterConfigsResponse, incremental=True)

    def _alter(self, body: Any, response: Any, *, incremental: bool) -> Any:
        results = []
        for asked in body.resources:
            code, why = Code.NONE, None
            try:
                if asked.resource_type != _TOPIC:
                    raise Refused(Code.INVALID_REQUEST, "only topics have settings")
                topic = self._topics.topic(asked.resource_name)
                settings = _changed(topic.settings, asked.configs) if incremental else _given(asked.configs)
                if not body.validate_only:
                    self._topics.change(topic, settings)
            except Refused as refusal:
                code, why = refusal.code, refusal.why
            what = {"resource_type": asked.resource_type, "resource_name": asked.resource_name}
            results.append(response.AlterConfigsResourceResponse(error_code=code, error_message=why, **what))
        return response(responses=results)


def _shown(kind: Any, name: str, value: str, *, own: bool) -> Any:
    return kind.DescribeConfigsResourceResult(
        name=name,
        value=value,
        read_only=False,
        config_source=1 if own else 5,  # of the topic, or the default
        is_default=not own,
        is_sensitive=False,
        synonyms=[],
        documentation=None,
    )


def _given(configs: Any) -> dict[str, str]:
    return validate({one.name: one.value for one in configs})


def _changed(settings: dict[str, str], configs: Any) -> dict[str, str]:
    """The settings after a list of operations. Raises Refused."""
    after: dict[str, str | None] = dict(settings)
    for one in configs:
        if one.config_operation == _SET:
            after[one.name] = one.value
        elif one.config_operation == _DELETE:
            after.pop(one.name, None)
        else:
            raise Refused(Code.INVALID_CONFIG, "append and subtract are not supported")
    return validate(after)
