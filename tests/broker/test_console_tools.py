"""Apache Kafka's own command line tools, and its verifiable clients, against the embedded broker."""

from __future__ import annotations

import json
import subprocess
import uuid

import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from services.apache_kafka import tool
from services.processes import spawn, until_said

pytestmark = pytest.mark.services

TOOLS = "org.apache.kafka.tools."
COUNT = 500


def run(main, *arguments, given=None):
    """Standard output of a tool that must succeed without a word of complaint."""
    done = subprocess.run(
        tool(TOOLS + main, *arguments), input=given, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Exception" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert "Error" not in done.stdout, done.stdout
    return done.stdout


@pytest.fixture
def at(embedded_broker):
    """The option that all of them take."""
    return "--bootstrap-server", embedded_broker.bootstrap


@pytest.fixture
def topic(embedded_broker):
    admin = KafkaAdminClient(bootstrap_servers=embedded_broker.bootstrap)
    name = f"t-{uuid.uuid4()}"
    admin.create_topics([NewTopic(name, 3, 1)])
    admin.close()
    return name


def test_topics_are_made_described_listed_altered_and_deleted(at):
    name = f"t-{uuid.uuid4()}"
    made = ("--topic", name, "--partitions", 2, "--replication-factor", 1, "--config", "retention.ms=1234567")
    assert f"Created topic {name}" in run("TopicCommand", *at, "--create", *made)
    described = run("TopicCommand", *at, "--describe", "--topic", name)
    assert "PartitionCount: 2\tReplicationFactor: 1" in described
    assert "retention.ms=1234567" in described
    assert described.count("Leader: 0\tReplicas: 0\tIsr: 0") == 2
    run("TopicCommand", *at, "--alter", "--topic", name, "--partitions", 5)
    assert "PartitionCount: 5" in run("TopicCommand", *at, "--describe", "--topic", name)
    assert name in run("TopicCommand", *at, "--list").splitlines()
    run("TopicCommand", *at, "--delete", "--topic", name)
    assert name not in run("TopicCommand", *at, "--list").splitlines()


def test_the_settings_of_a_topic_are_shown_and_changed(at, topic):
    def configs(*arguments):
        command = tool("kafka.admin.ConfigCommand", *at, "--entity-type", "topics", "--entity-name", topic, *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout

    configs("--alter", "--add-config", "retention.ms=4242,cleanup.policy=compact")
    shown = configs("--describe")
    assert "retention.ms=4242" in shown
    assert "cleanup.policy=compact" in shown
    configs("--alter", "--delete-config", "cleanup.policy")
    assert "cleanup.policy" not in configs("--describe")


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_what_the_console_producer_writes_the_console_consumer_reads(at, topic, codec):
    lines = [f"k{number % 7}:value {number}" for number in range(COUNT)]
    run("ConsoleProducer", *at, "--topic", topic, "--reader-property", "parse.key=true", "--reader-property",
        "key.separator=:", "--compression-codec", codec, given="\n".join(lines) + "\n")  # fmt: skip
    read = run("consumer.ConsoleConsumer", *at, "--topic", topic, "--from-beginning", "--max-messages", COUNT,
               "--timeout-ms", 30_000, "--formatter-property", "print.key=true", "--formatter-property",
               "key.separator=:")  # fmt: skip
    assert sorted(read.splitlines()) == sorted(lines)


def test_offsets_of_topics_and_groups_are_told(at, topic):
    lines = "".join(f"{number}\n" for number in range(COUNT))
    run("ConsoleProducer", *at, "--topic", topic, given=lines)
    told = run("GetOffsetShell", *at, "--topic", topic).split()
    assert sum(int(line.split(":")[2]) for line in told) == COUNT
    assert {line.rpartition(":")[0] for line in told} == {f"{topic}:{number}" for number in range(3)}
    assert (
        sum(int(line.split(":")[2]) for line in run("GetOffsetShell", *at, "--topic", topic, "--time", -2).split()) == 0
    )

    group = f"g-{uuid.uuid4()}"
    run("consumer.ConsoleConsumer", *at, "--topic", topic, "--group", group, "--from-beginning", "--max-messages",
        COUNT, "--timeout-ms", 30_000)  # fmt: skip
    described = [
        line.split()
        for line in run("consumer.group.ConsumerGroupCommand", *at, "--describe", "--group", group).splitlines()
    ]
    lags = {row[2]: row[3:6] for row in described if row[:2] == [group, topic]}
    assert set(lags) == {"0", "1", "2"}
    assert all(at_offset == end and lag == "0" for at_offset, end, lag in lags.values())
    assert group in run("consumer.group.ConsumerGroupCommand", *at, "--list")
    state = run("consumer.group.ConsumerGroupCommand", *at, "--describe", "--group", group, "--state")
    assert "Empty" in state

    back = ("--reset-offsets", "--to-earliest", "--topic", topic, "--group", group, "--execute")
    run("consumer.group.ConsumerGroupCommand", *at, *back)
    again = run("consumer.ConsoleConsumer", *at, "--topic", topic, "--group", group, "--max-messages", COUNT,
                "--timeout-ms", 30_000)  # fmt: skip
    assert sorted(map(int, again.split())) == list(range(COUNT))
    run("consumer.group.ConsumerGroupCommand", *at, "--delete", "--group", group)
    assert group not in run("consumer.group.ConsumerGroupCommand", *at, "--list")


def said(log, name):
    """What a verifiable client reported under this name."""
    told = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [one for one in told if one["name"] == name]


def test_the_verifiable_producer_and_consumer_agree(at, topic, tmp_path):
    # keys, so that the partition of a record does not depend on how fast batches fill
    writes = ("--topic", topic, "--max-messages", 20_000, "--acks", -1, "--value-prefix", 7, "--repeating-keys", 100)
    told = [json.loads(line) for line in run("VerifiableProducer", *at, *writes).splitlines()]
    acked = {(one["partition"], one["offset"]) for one in told if one["name"] == "producer_send_success"}
    assert len(acked) == 20_000
    assert not [one for one in told if one["name"] == "producer_send_error"]
    assert {partition for partition, _ in acked} == {0, 1, 2}

    group, logs, clients = f"g-{uuid.uuid4()}", [], []
    for number in range(2):
        reads = ("--topic", topic, "--group-id", group, "--reset-policy", "earliest", "--verbose")
        logs.append(tmp_path / f"consumer{number}.log")
        clients.append(spawn(tool(TOOLS + "VerifiableConsumer", *at, *reads, "--max-messages", -1), log=logs[-1]))
        until_said(clients[-1], logs[-1], "partitions_assigned")
    try:
        while len(consumed(logs)) < 20_000:
            assert all(client.alive for client in clients), [log.read_text()[-2_000:] for log in logs]
    finally:
        for client in clients:
            client.stop()
    assert consumed(logs) == acked
    assert all(one["success"] for log in logs for one in said(log, "offsets_committed"))
    ends = [line.split(":") for line in run("GetOffsetShell", *at, "--topic", topic).split()]
    assert sum(int(end) for _, _, end in ends) == 20_000


def consumed(logs):
    """(partition, offset) of each record that was read."""
    return {(one["partition"], one["offset"]) for log in logs for one in said(log, "record_data")}


def test_the_performance_tools_run(at, topic):
    told = run(
        "ProducerPerformance", *at, "--topic", topic, "--num-records", 20_000, "--record-size", 200, "--throughput", -1
    )
    assert "20000 records sent" in told
    read = run("ConsumerPerformance", *at, "--topic", topic, "--num-records", 20_000, "--timeout", 30_000)
    assert read.splitlines()[-1].split(", ")[4] == "20000"
