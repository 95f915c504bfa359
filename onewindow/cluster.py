"""``onewindow topics plan`` and ``onewindow topics apply``: what the deployment needs of its cluster, against what the cluster has.

Nothing is ever deleted or lowered: a retention that is longer than needed, or more replicas, are the city's to decide.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from contracts.errors import ClusterWrong
from contracts.events import RESIDENT_TOPIC
from contracts.sources import department_topic, quarantine_topic
from onewindow.settings import Deployment
from producers._kafka import Admin, admin
from producers.topics import POSITIONS, TopicSpec, ensure_topics

FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_SAFE = ("min.insync.replicas", "unclean.leader.election.enable")
_AT_LEAST = ("retention.ms", "retention.bytes", "min.insync.replicas")
_DAY_MS = 86_400_000
_WAIT_S = 10.0
_CONSUMER = "CONSUMER"  # in the recipes: a system that reads the community's events


def wanted(deployment: Deployment) -> list[TopicSpec]:
    """The topics that the deployment needs."""
    kafka = deployment.settings.kafka
    safe = {}
    if kafka.replication > 1:  # one replica less may be away without a halt, and none that lags may lead
        safe = dict(zip(_SAFE, (str(kafka.replication - 1), "false"), strict=True))
    days = deployment.settings.archive.topics_days
    kept = FOREVER if days is None else FOREVER | {"retention.ms": str(round(days * _DAY_MS))}
    events = [TopicSpec(name, kafka.partitions, kept | safe) for name in [*deployment.topics(), RESIDENT_TOPIC]]
    return [TopicSpec(POSITIONS.name, POSITIONS.partitions, POSITIONS.configs | safe), *events]


def confirm(deployment: Deployment) -> None:
    """Raise ClusterWrong when a topic keeps events less safely than declared: at the start of each role."""
    kafka, specs = deployment.settings.kafka, wanted(deployment)
    if kafka.replication == 1:
        return
    with admin(deployment.bootstrap, time.monotonic() + _WAIT_S) as client:
        for spec, item in zip(specs, _compared(client, specs, kafka.replication), strict=True):
            unsafe = [one for one in item["differences"] if one["setting"] in ("replication", *_SAFE)]
            if unsafe:
                said = "; ".join(f"{one['setting']} is {one['is']}, {one['wanted']} is declared" for one in unsafe)
                raise ClusterWrong(
                    f"topic {spec.name}: {said}",
                    fix="onewindow topics apply raises what can be raised and says what is left; or lower kafka.replication",
                )


def plan(deployment: Deployment) -> dict[str, Any]:
    """What differs, topic by topic, and the ACLs. Raises ClusterWrong when the cluster has too few brokers."""
    kafka, specs = deployment.settings.kafka, wanted(deployment)
    with admin(deployment.bootstrap, time.monotonic() + _WAIT_S) as client:
        brokers = client.brokers()
        if brokers < kafka.replication:
            raise ClusterWrong(
                f"kafka.replication is {kafka.replication}, and the cluster has {brokers} brokers",
                fix=f"start more brokers, or set kafka.replication to {brokers} before the topics are made",
            )
        compared = _compared(client, specs, kafka.replication)
    return {
        "bootstrap_servers": deployment.bootstrap,
        "brokers": brokers,
        "as_declared": all(item["exists"] and not item["differences"] for item in compared),
        "topics": compared,
        "acls": list(_acls(deployment)),
    }


def apply(deployment: Deployment) -> dict[str, Any]:
    """Make the topics that are missing, alter the settings that can be altered, and give the plan of what is left.

    Raises TopicWrong for a number of partitions that can't be mended, with nothing changed.
    """
    before = plan(deployment)
    ensure_topics(deployment.bootstrap, wanted(deployment), deployment.settings.kafka.replication)
    with admin(deployment.bootstrap, time.monotonic() + _WAIT_S) as client:
        for item in before["topics"]:
            changes = {one["setting"]: one["wanted"] for one in item["differences"] if one["do"] == "alter"}
            if changes:
                client.change(item["topic"], changes)
    after = plan(deployment)
    done = {item["topic"]: _done(item) for item in before["topics"]}
    return after | {"done": {topic: what for topic, what in done.items() if what}}


def _done(item: dict[str, Any]) -> list[str]:
    if not item["exists"]:
        return ["created"]
    return [f"{one['setting']}={one['wanted']}" for one in item["differences"] if one["do"] == "alter"]


def _compared(client: Admin, specs: list[TopicSpec], replication: int) -> list[dict[str, Any]]:
    names = [spec.name for spec in specs]
    partitions, replicas = client.partitions(names), client.replicas(names)
    settings = client.settings(list(partitions))
    found = []
    for spec in specs:
        differences: list[dict[str, Any]] = []
        if spec.name in partitions:
            count, _ = partitions[spec.name]
            if count != spec.partitions:
                differences.append(_difference("partitions", count, spec.partitions, "set kafka.partitions"))
            if replicas[spec.name] < replication:
                how = "kafka-reassign-partitions"
                differences.append(_difference("replication", replicas[spec.name], replication, how))
            differences += _settings(spec, settings[spec.name])
        declared = {"partitions": spec.partitions, "replication": replication, "configs": spec.configs}
        found.append({"topic": spec.name, "exists": spec.name in partitions, **declared, "differences": differences})
    return found


def _settings(spec: TopicSpec, there: dict[str, str]) -> Iterator[dict[str, Any]]:
    for name, value in spec.configs.items():
        has = there.get(name)
        if has == value or (name in _AT_LEAST and has is not None and _most(has) >= _most(value)):
            continue
        if spec.name == POSITIONS.name and name not in ("cleanup.policy", *_SAFE):
            continue  # how soon it is compacted is a matter of taste
        yield _difference(name, has, value, "alter")


def _most(value: str) -> float:
    """A limit as a number; -1 is none."""
    return float("inf") if value == "-1" else float(value)


def _difference(setting: str, has: Any, value: Any, do: str) -> dict[str, Any]:
    return {"setting": setting, "is": has, "wanted": value, "do": do}


# who may do what -----------------------------------------------------------------------------------------------------


def _acls(deployment: Deployment) -> Iterator[dict[str, str]]:
    """A kafka-acls line for each thing that a role or consumer must be allowed, and nothing beyond."""
    systems = sorted({source.system for source in deployment.sources})
    departments = [_prefix(department_topic(system, "")) for system in systems]
    quarantines = [_prefix(quarantine_topic(system, "")) for system in systems]
    community, positions = _prefix("community."), f"--topic {POSITIONS.name}"
    rights: dict[str, list[tuple[str, list[str]]]] = {
        "connectors": [("Read Write Describe DescribeConfigs", [*departments, positions]),
                       ("Describe DescribeConfigs", [*quarantines, community])],
        "streams": [("Read Describe DescribeConfigs", departments),
                    ("Write Describe DescribeConfigs", [*quarantines, community]),
                    ("Describe DescribeConfigs", [positions]),
                    ("Read", ["--group onewindow-streams"])],
        "projections": [("Read Describe DescribeConfigs", [community]),
                        ("Describe DescribeConfigs", [*departments, *quarantines, positions]),
                        ("Read", ["--group onewindow-projections"])],
        "operator": [("Read Describe DescribeConfigs", [*departments, *quarantines, community, positions]),
                     ("Create AlterConfigs", [*departments, *quarantines, community, positions])],
        _CONSUMER: [("Read Describe", [community]), ("Read", [f"--group {_CONSUMER}. --resource-pattern-type prefixed"])],
    }  # fmt: skip
    for who, allowed in rights.items():
        principal = f"User:{who}" if who == _CONSUMER else f"User:onewindow-{who}"
        for operations, resources in allowed:
            asked = " ".join(f"--operation {operation}" for operation in operations.split())
            for resource in resources:
                line = f"kafka-acls --bootstrap-server {deployment.bootstrap} --add --allow-principal {principal} {asked} {resource}"
                yield {"role": who, "command": line}


def _prefix(topics: str) -> str:
    return f"--topic {topics} --resource-pattern-type prefixed"
