"""Which topics there are: names, ids, partitions and settings, with the cluster's own id, in one small durable file."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from pathlib import Path
from typing import Any

from broker.errors import Code
from broker.journal import write_atomic
from broker.log import Partition

_LEGAL_NAME = re.compile(r"^(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}$")
_PRODUCER_IDS_AT_ONCE = 1_000

CONFIGS: dict[str, str] = {
    "cleanup.policy": "delete",
    "retention.ms": "604800000",
    "retention.bytes": "-1",
    "segment.bytes": str(64 << 20),
    "segment.ms": "604800000",
    "delete.retention.ms": "86400000",
    "min.cleanable.dirty.ratio": "0.5",
    "min.insync.replicas": "1",
    "max.message.bytes": str(8 << 20),
    "compression.type": "producer",
    "message.timestamp.type": "CreateTime",
    "unclean.leader.election.enable": "false",
}
"""Topic settings and their defaults. Only the first six change what this broker does; the rest state what is so."""

_POLICIES = {"delete", "compact", "compact,delete", "delete,compact"}


def config_flaw(name: str, value: str | None) -> str | None:
    """Why a topic setting is refused, or None."""
    if name not in CONFIGS:
        return f"unknown topic config {name}"
    if name == "cleanup.policy":
        return None if value in _POLICIES else f"cleanup.policy {value} is none of {sorted(_POLICIES)}"
    if name.endswith((".ms", ".bytes")) and not re.fullmatch(r"-?\d+", value or ""):
        return f"{name} wants a whole number, not {value}"
    return None


class Topic:
    """A topic: its partitions, open, and its settings."""

    def __init__(self, name: str, topic_id: str, partitions: list[Partition], config: dict[str, str]) -> None:
        self.name, self.id, self.partitions, self.config = name, topic_id, partitions, config

    def setting(self, name: str) -> str:
        """The value in force."""
        return self.config.get(name, CONFIGS[name])


class Topics:
    """All topics of the data directory. ``unclean``: the last run did not end in order, so tails are checked in full."""

    def __init__(self, directory: Path, *, unclean: bool) -> None:
        self._directory, self._file = directory / "topics", directory / "meta.json"
        self._directory.mkdir(parents=True, exist_ok=True)
        self._meta: dict[str, Any] = (
            json.loads(self._file.read_bytes())
            if self._file.exists()
            else {"cluster_id": str(uuid.uuid4()), "leader_epoch": 0, "next_producer_id": 0, "topics": {}}
        )
        if unclean:
            self._meta["leader_epoch"] += 1
        self._unclean = unclean
        self._next_producer_id = self._meta["next_producer_id"]
        self._save()
        self._remove_remains()
        self._topics = {name: self._open(name, about) for name, about in self._meta["topics"].items()}
        self._by_id = {topic.id: topic for topic in self._topics.values()}

    def _save(self) -> None:
        write_atomic(self._file, json.dumps(self._meta).encode())

    def _remove_remains(self) -> None:
        """Folders that an interrupted creation or deletion left behind."""
        for folder in self._directory.iterdir():
            name, _, index = folder.name.rpartition("-")
            about = self._meta["topics"].get(name)
            if about is None or int(index) >= about["partitions"]:
                shutil.rmtree(folder)

    def _open(self, name: str, about: dict[str, Any]) -> Topic:
        config = about["config"]
        topic = Topic(name, about["id"], [], config)
        for index in range(about["partitions"]):
            topic.partitions.append(self._partition(topic, index, about))
        return topic

    def _partition(self, topic: Topic, index: int, about: dict[str, Any]) -> Partition:
        partition = Partition(
            self._directory / f"{topic.name}-{index}",
            segment_bytes=int(topic.setting("segment.bytes")),
            leader_epoch=self.leader_epoch,
            check_tail=self._unclean,
        )
        partition.start = max(partition.start, about.get("starts", {}).get(str(index), 0))
        return partition

    @property
    def cluster_id(self) -> str:
        """Made once, with the data directory."""
        return str(self._meta["cluster_id"])

    @property
    def leader_epoch(self) -> int:
        """Rises with each start after an unclean end."""
        return int(self._meta["leader_epoch"])

    def __iter__(self) -> Any:
        return iter(self._topics.values())

    def get(self, name: str | None) -> Topic | None:
        """The topic of this name."""
        return self._topics.get(name) if name else None

    def by_id(self, topic_id: Any) -> Topic | None:
        """The topic of this id."""
        return self._by_id.get(str(topic_id))

    def partition(self, name: str, index: int) -> Partition | None:
        """One partition, if there is one."""
        topic = self._topics.get(name)
        return topic.partitions[index] if topic and 0 <= index < len(topic.partitions) else None

    def create(self, name: str, partitions: int, config: dict[str, str], *, only_check: bool = False) -> Code:
        """Create a topic, durably."""
        if not _LEGAL_NAME.match(name):
            return Code.INVALID_TOPIC
        if name in self._topics:
            return Code.TOPIC_ALREADY_EXISTS
        if partitions < 1:
            return Code.INVALID_PARTITIONS
        if any(config_flaw(key, value) for key, value in config.items()):
            return Code.INVALID_CONFIG
        if not only_check:
            about = {"id": str(uuid.uuid4()), "partitions": partitions, "config": config}
            self._meta["topics"][name] = about
            self._save()
            topic = self._topics[name] = self._open(name, about)
            self._by_id[topic.id] = topic
        return Code.NONE

    def configure(self, topic: Topic, config: dict[str, str]) -> Code:
        """Replace the settings of a topic."""
        if any(config_flaw(key, value) for key, value in config.items()):
            return Code.INVALID_CONFIG
        topic.config = self._meta["topics"][topic.name]["config"] = config
        for partition in topic.partitions:
            partition.segment_bytes = int(topic.setting("segment.bytes"))
        self._save()
        return Code.NONE

    def delete(self, topic: Topic) -> None:
        """Delete a topic and its log."""
        del self._meta["topics"][topic.name], self._topics[topic.name], self._by_id[topic.id]
        self._save()
        for partition in topic.partitions:
            partition.wake()
            partition.close()
            shutil.rmtree(partition.path)

    def grow(self, topic: Topic, partitions: int, *, only_check: bool = False) -> Code:
        """Add partitions."""
        if partitions <= len(topic.partitions):
            return Code.INVALID_PARTITIONS
        if not only_check:
            about = self._meta["topics"][topic.name]
            about["partitions"] = partitions
            self._save()
            for index in range(len(topic.partitions), partitions):
                topic.partitions.append(self._partition(topic, index, about))
        return Code.NONE

    def move_start(self, topic: Topic, index: int, offset: int) -> None:
        """Delete the records of a partition before ``offset``."""
        self._meta["topics"][topic.name].setdefault("starts", {})[str(index)] = offset
        self._save()
        topic.partitions[index].delete_before(offset)

    def new_producer_id(self) -> int:
        """An id that was never given before; taken from disk by the thousand."""
        if self._next_producer_id >= self._meta["next_producer_id"]:
            self._meta["next_producer_id"] = self._next_producer_id + _PRODUCER_IDS_AT_ONCE
            self._save()
        self._next_producer_id += 1
        return int(self._next_producer_id) - 1
