"""Topics as they are wanted: made when they are missing, compared when they are there."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.errors import BrokerUnreachable, LogDamaged, TopicWrong
from producers._kafka import admin


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic, its number of partitions, and its configuration."""

    name: str
    partitions: int
    configs: dict[str, str] = field(default_factory=dict)


POSITIONS = TopicSpec(
    "onewindow.positions",
    1,
    {"cleanup.policy": "compact", "segment.bytes": str(4 << 20), "min.cleanable.dirty.ratio": "0.1"},
)
"""Where producers keep their positions (``producers.positions``)."""


def ensure_topics(
    bootstrap: str, wanted: Sequence[TopicSpec], replication: int = 1, *, wait_s: float = 30.0
) -> list[str]:
    """Make the topics that are missing and wait until every partition has a leader. Gives the names of those made.

    Raises TopicWrong when one exists with another number of partitions, before anything is made; LogDamaged when the
    broker took a partition offline; BrokerUnreachable when it can't be done in ``wait_s``.
    """
    deadline = time.monotonic() + wait_s
    names = [spec.name for spec in wanted]
    with admin(bootstrap, deadline) as client:
        there = client.partitions(names)
        _compare(wanted, there)
        missing = [spec for spec in wanted if spec.name not in there]
        if missing:
            client.create([(spec.name, spec.partitions, spec.configs) for spec in missing], replication)
        while len(there := client.partitions(names)) < len(names) or not all(led for _, led in there.values()):
            _raise_if_damaged(client.damaged(names), bootstrap)
            if time.monotonic() > deadline:
                absent = [name for name in names if not there.get(name, (0, False))[1]]
                raise BrokerUnreachable(
                    f"topics without a leader after {wait_s:g} s: {', '.join(absent)}",
                    fix="check that enough brokers run for the replication factor, and the broker's log",
                )
            time.sleep(0.1)
        _compare(wanted, there)
    return [spec.name for spec in missing]


def raise_if_damaged(bootstrap: str, topics: Sequence[str], *, wait_s: float = 10.0) -> None:
    """Raise LogDamaged when the broker took a partition of these topics offline, BrokerUnreachable when it can't be asked."""
    with admin(bootstrap, time.monotonic() + wait_s) as client:
        _raise_if_damaged(client.damaged(topics), bootstrap)


def _raise_if_damaged(damaged: Sequence[str], bootstrap: str) -> None:
    if damaged:
        raise LogDamaged(
            f"partition {damaged[0]} is offline: the broker at {bootstrap} can't read its files; its log says which",
            fix="restore its directory from a backup while the broker is stopped; nothing of it is skipped meanwhile",
        )


def _compare(wanted: Sequence[TopicSpec], there: dict[str, tuple[int, bool]]) -> None:
    for spec in wanted:
        if spec.name in there and there[spec.name][0] != spec.partitions:
            raise TopicWrong(
                f"topic {spec.name} has {there[spec.name][0]} partitions, {spec.partitions} are declared",
                fix=f"set kafka.partitions back to {there[spec.name][0]}, or begin a new deployment",
            )
