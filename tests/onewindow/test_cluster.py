"""``onewindow topics``: what the cluster lacks is seen, what can be mended is mended, and nothing is lowered."""

from __future__ import annotations

import json
import time
import uuid

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from services import broker_process

from contracts.errors import ClusterWrong, TopicWrong
from onewindow import cluster, show
from onewindow.deploying import make
from onewindow.settings import Deployment
from producers._kafka import admin

SOURCE = """
system: {system}
title: 人社
owner: 信息中心
connector: {{kind: sql, url: "sqlite:///nowhere"}}
datasets:
  person: {{table: person, key: [id], cursor: at, map: {{name: name}}}}
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A broker of this module's own: the topics of a deployment have fixed names."""
    with broker_process(tmp_path_factory.mktemp("broker") / "data") as running:
        yield running


@pytest.fixture
def system():
    return f"s{uuid.uuid4().hex[:8]}"


@pytest.fixture
def deployment(tmp_path, system, monkeypatch):
    """A deployment on a given cluster."""

    def on(bootstrap, **kafka):
        if not (tmp_path / "onewindow.yaml").exists():
            make(tmp_path)
            (tmp_path / "sources" / "a.yaml").write_text(SOURCE.format(system=system))
        for name, value in {"bootstrap_servers": bootstrap, "embedded": False, **kafka}.items():
            monkeypatch.setenv(f"ONEWINDOW_KAFKA__{name.upper()}", str(value))
        return Deployment(tmp_path)

    return on


def create(bootstrap, topic, partitions=4, replication=1, **configs):
    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    named = {name.replace("_", "."): value for name, value in configs.items()}
    client.create_topics([NewTopic(topic, partitions, replication, topic_configs=named)])
    client.close()


def settings(bootstrap, topic):
    with admin(bootstrap, time.monotonic() + 30) as client:
        return client.settings([topic])[topic]


def item(found, topic):
    return next(one for one in found["topics"] if one["topic"] == topic)


def test_a_plan_changes_nothing_and_apply_makes_what_is_missing(own, deployment, system):
    on = deployment(own.bootstrap)
    topics = {f"department.{system}.person", f"quarantine.{system}.person"}
    found = cluster.plan(on)
    assert found["as_declared"] is False
    assert {one["topic"] for one in found["topics"]} == {*topics, "community.resident", "onewindow.positions"}
    assert {one["topic"] for one in found["topics"] if not one["exists"]} >= topics
    assert cluster.plan(on) == found
    applied = cluster.apply(on)
    assert applied["as_declared"] is True
    assert {topic: applied["done"][topic] for topic in topics} == {topic: ["created"] for topic in topics}
    assert cluster.plan(on)["as_declared"] is True
    assert cluster.apply(on)["done"] == {}


def test_what_is_too_low_is_raised_and_what_is_higher_is_kept(own, deployment, system):
    department, refused = f"department.{system}.person", f"quarantine.{system}.person"
    create(own.bootstrap, department, retention_ms="3600000", retention_bytes="1000000", segment_ms="123456")
    create(own.bootstrap, refused, cleanup_policy="compact")
    on = deployment(own.bootstrap)
    raised = {one["setting"]: (one["is"], one["wanted"]) for one in item(cluster.plan(on), department)["differences"]}
    assert raised == {"retention.ms": ("3600000", "-1"), "retention.bytes": ("1000000", "-1")}
    assert cluster.apply(on)["as_declared"] is True
    now = settings(own.bootstrap, department)
    assert (now["retention.ms"], now["retention.bytes"], now["segment.ms"]) == ("-1", "-1", "123456")
    assert settings(own.bootstrap, refused)["cleanup.policy"] == "delete"


def test_where_an_archive_is_written_the_topics_may_keep_less(own, deployment, system, monkeypatch):
    monkeypatch.setenv("ONEWINDOW_ARCHIVE__TOPICS_DAYS", "7")
    department, refused = f"department.{system}.person", f"quarantine.{system}.person"
    create(own.bootstrap, department, retention_ms="3600000")
    create(own.bootstrap, refused, retention_ms="-1")
    on = deployment(own.bootstrap)
    assert [one["wanted"] for one in item(cluster.plan(on), department)["differences"]] == ["604800000"]
    assert item(cluster.plan(on), refused)["differences"] == []  # longer than it must be
    assert cluster.apply(on)["as_declared"] is True
    assert settings(own.bootstrap, department)["retention.ms"] == "604800000"
    assert settings(own.bootstrap, refused)["retention.ms"] == "-1"


def test_a_number_of_partitions_is_never_changed(own, deployment, system):
    create(own.bootstrap, f"department.{system}.person", 2, retention_ms="3600000")
    on = deployment(own.bootstrap)
    (found,) = [
        one
        for one in item(cluster.plan(on), f"department.{system}.person")["differences"]
        if one["setting"] == "partitions"
    ]
    assert (found["is"], found["wanted"]) == (2, 4)
    with pytest.raises(TopicWrong):
        cluster.apply(on)
    assert settings(own.bootstrap, f"department.{system}.person")["retention.ms"] == "3600000"


def test_more_replicas_than_brokers_are_refused(own, deployment):
    with pytest.raises(ClusterWrong, match=r"kafka.replication is 3, and the cluster has 1 brokers"):
        cluster.plan(deployment(own.bootstrap, replication=3))


def test_each_role_is_allowed_what_it_does_and_no_more(own, deployment, system):
    lines = cluster.plan(deployment(own.bootstrap))["acls"]
    roles = {"connectors", "streams", "projections", "operator", "CONSUMER"}
    assert {line["role"] for line in lines} == roles
    text = {role: "\n".join(line["command"] for line in lines if line["role"] == role) for role in roles}
    writes = {role: [line for line in text[role].splitlines() if "--operation Write" in line] for role in roles}
    assert writes["projections"] == writes["CONSUMER"] == writes["operator"] == []
    assert all(f"department.{system}." in line or "onewindow.positions" in line for line in writes["connectors"])
    assert all(f"quarantine.{system}." in line or "community." in line for line in writes["streams"])
    assert "--operation Delete" not in "".join(text.values())
    assert "--group onewindow-streams" in text["streams"]
    assert "department" not in text["CONSUMER"]


def test_the_commands_say_it(own, deployment, system, capsys):
    on = deployment(own.bootstrap)
    show.cluster_plan(cluster.plan(on))
    said = capsys.readouterr().out
    assert f"department.{system}.person: is missing; 4 partitions × 1" in said
    assert "the cluster is NOT as declared" in said
    applied = cluster.apply(on)
    json.dumps(applied)
    show.cluster_plan(applied)
    said = capsys.readouterr().out
    assert f"department.{system}.person: created" in said
    assert "the cluster is as declared" in said


@pytest.mark.services
def test_on_three_nodes_a_role_starts_only_when_its_topics_are_safe(kafka_cluster, deployment, system):
    bootstrap, topic = kafka_cluster.bootstrap, f"department.{system}.person"
    create(bootstrap, topic, replication=3, min_insync_replicas="1", unclean_leader_election_enable="true")
    create(bootstrap, "onewindow.positions", 1, replication=1, cleanup_policy="compact")
    on = deployment(bootstrap, replication=3)
    until, said = time.monotonic() + 30, ""
    while "replication is 1, 3 is declared" not in said:  # a node may hear of a new topic later than the others
        assert time.monotonic() < until, said
        with pytest.raises(ClusterWrong) as refused:
            cluster.confirm(on)
        said = str(refused.value)
    found = cluster.apply(on)
    assert found["as_declared"] is False
    left = {(one["topic"], each["setting"]): each["do"] for one in found["topics"] for each in one["differences"]}
    assert left == {("onewindow.positions", "replication"): "kafka-reassign-partitions"}
    now = settings(bootstrap, topic)
    assert (now["min.insync.replicas"], now["unclean.leader.election.enable"]) == ("2", "false")

    client = KafkaAdminClient(bootstrap_servers=bootstrap)
    client.delete_topics(["onewindow.positions"])
    client.close()
    until = time.monotonic() + 30
    while not cluster.apply(on)["as_declared"]:
        assert time.monotonic() < until
    cluster.confirm(on)
