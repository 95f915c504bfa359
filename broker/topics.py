"""The cluster's state: its id, its topics with their ids and settings, and the partitions that hold them."""

from __future__ import annotations

import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from broker.configs import DEFAULTS
from broker.errors import Code, Damaged, Refused
from broker.files import line, read_state, write_atomic
from broker.log import Opening, Partition

_PRODUCER_IDS = 1_000  # reserved by one write of the state
_named_well = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,249}").fullmatch


class Topic:
    """A topic: ``settings`` holds what was set, not the defaults."""

    def __init__(self, name: str, ident: str, settings: dict[str, str]) -> None:
        self.name, self.ident, self.settings = name, ident, settings
        self.partitions: list[Partition] = []

    def setting(self, name: str) -> str:
        """The value in force."""
        return self.settings.get(name, DEFAULTS[name])

    def apply(self) -> None:
        """Hand the settings to the partitions."""
        for partition in self.partitions:
            partition.segment_bytes = int(self.setting("segment.bytes"))
            partition.max_batch_bytes = int(self.setting("max.message.bytes"))

    def expire(self) -> None:
        """Begin a new segment where it is time, and drop what the retention no longer wants."""
        now, span, most = (
            int(time.time() * 1_000),
            int(self.setting("retention.ms")),
            int(self.setting("retention.bytes")),
        )
        for partition in self.partitions:
            if partition.damage is not None:
                continue
            began = partition.segments[-1].began_ms
            if began is not None and began + int(self.setting("segment.ms")) <= now:
                partition.roll()
            if "delete" in self.setting("cleanup.policy"):
                partition.expire(before_ms=now - span if span >= 0 else None, max_bytes=most if most >= 0 else None)


class Topics:
    """All topics of a data directory, and the counters that must not repeat: leader epoch and producer ids."""

    def __init__(
        self, directory: Path, open_with: Callable[[int], Opening], *, clean: bool, segment_bytes: int
    ) -> None:
        self._file, self._logs, self._segment_bytes = directory / "cluster", directory / "topics", segment_bytes
        state = read_state(self._file) or self._new_state()
        self.cluster_id: str = state["cluster"]
        self.leader_epoch: int = state["epoch"] + (not clean)
        self._reserved_to: int = state["producer_id"]
        self._next_producer_id: int = self._reserved_to
        self._opening = open_with(self.leader_epoch)
        self._logs.mkdir(parents=True, exist_ok=True)
        self.by_name: dict[str, Topic] = {}
        for name, (ident, count, settings) in state["topics"].items():
            topic = self.by_name[name] = Topic(name, ident, settings)
            topic.partitions = [Partition(self._path(name, number), self._opening) for number in range(count)]
            topic.apply()
        self._write()
        self._drop_leftovers()

    def _new_state(self) -> dict[str, Any]:
        """The state of a new cluster. Raises Damaged where there are logs: without the state they belong to no topic."""
        if self._logs.is_dir() and any(self._logs.iterdir()):
            raise Damaged(self._file, 0, "the file is missing")
        return {"cluster": str(uuid.uuid4()), "epoch": 0, "producer_id": 0, "topics": {}}

    def _path(self, name: str, number: int) -> Path:
        return self._logs / f"{name}-{number}"

    def _drop_leftovers(self) -> None:
        """Delete what an interrupted creation or deletion left."""
        known = {partition.directory for topic in self for partition in topic.partitions}
        for directory in self._logs.iterdir():
            if directory not in known:
                shutil.rmtree(directory)

    def __iter__(self) -> Iterator[Topic]:
        return iter(list(self.by_name.values()))

    def save(self) -> None:
        """Write the state down. Raises Refused."""
        try:
            self._write()
        except OSError as error:
            raise Refused(Code.KAFKA_STORAGE_ERROR, str(error)) from error

    def _write(self) -> None:
        topics = {topic.name: [topic.ident, len(topic.partitions), topic.settings] for topic in self}
        state = {"cluster": self.cluster_id, "epoch": self.leader_epoch, "producer_id": self._reserved_to}
        write_atomic(self._file, line(state | {"topics": topics}))

    def by_id(self, ident: Any) -> Topic:
        """The topic of this id. Raises Refused."""
        for topic in self.by_name.values():
            if topic.ident == str(ident):
                return topic
        raise Refused(Code.UNKNOWN_TOPIC_ID, str(ident))

    def topic(self, name: str) -> Topic:
        """The topic of this name. Raises Refused."""
        if name not in self.by_name:
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION, name)
        return self.by_name[name]

    def partition(self, name: str, number: int) -> Partition:
        """A partition. Raises Refused when there is none."""
        partitions = self.topic(name).partitions
        if not 0 <= number < len(partitions):
            raise Refused(Code.UNKNOWN_TOPIC_OR_PARTITION, f"{name} has {len(partitions)} partitions")
        return partitions[number]

    def check_name(self, name: str) -> None:
        """Raise Refused when no topic can be made with this name."""
        if not _named_well(name):
            raise Refused(Code.INVALID_TOPIC, f"{name!r}: letters, digits, dot, underscore and hyphen, at most 249")
        if name in self.by_name:
            raise Refused(Code.TOPIC_ALREADY_EXISTS, name)

    def create(self, name: str, partitions: int, settings: dict[str, str]) -> Topic:
        """Make a topic. Raises Refused."""
        self.check_name(name)
        topic = Topic(name, str(uuid.uuid4()), {"segment.bytes": str(self._segment_bytes)} | settings)
        self.by_name[name] = topic
        try:
            self.widen(topic, partitions)
        except Refused:
            del self.by_name[name]
            raise
        return topic

    def widen(self, topic: Topic, count: int) -> None:
        """Add partitions up to this many. Raises Refused, with nothing changed."""
        before = len(topic.partitions)
        for number in range(before, count):
            shutil.rmtree(self._path(topic.name, number), ignore_errors=True)
            topic.partitions.append(Partition(self._path(topic.name, number), self._opening, create=True))
        topic.apply()
        try:
            for partition in topic.partitions[before:]:
                partition.confirm()
            self.save()
        except Refused:
            for partition in topic.partitions[before:]:
                partition.discard()
            del topic.partitions[before:]
            raise

    def change(self, topic: Topic, settings: dict[str, str]) -> None:
        """Replace the settings of a topic. Raises Refused, with nothing changed."""
        former, topic.settings = topic.settings, settings
        try:
            self.save()
        except Refused:
            topic.settings = former
            raise
        topic.apply()

    def delete(self, topic: Topic) -> None:
        """Forget a topic, then delete its files. Raises Refused, with nothing changed."""
        del self.by_name[topic.name]
        try:
            self.save()
        except Refused:
            self.by_name[topic.name] = topic
            raise
        for partition in topic.partitions:
            partition.discard()

    def new_producer_id(self) -> int:
        """A producer id that was never given before. Raises Refused."""
        if self._next_producer_id >= self._reserved_to:
            self._reserved_to = self._next_producer_id + _PRODUCER_IDS
            try:
                self.save()
            except Refused:
                self._reserved_to = self._next_producer_id
                raise
        self._next_producer_id += 1
        return self._next_producer_id - 1

    def damaged(self) -> dict[str, str]:
        """The partitions that are offline, and why."""
        partitions = [partition for topic in self for partition in topic.partitions]
        return {one.directory.name: str(one.damage) for one in partitions if one.damage is not None}
