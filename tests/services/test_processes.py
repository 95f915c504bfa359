"""What a run starts is shared, and ends with the run, however that ends."""

from __future__ import annotations

import pytest

from services.processes import NotReady, Process, Run, spawn, until_said

SAYS_READY = ["/bin/sh", "-c", "echo one; echo ready; exec sleep 600"]


@pytest.fixture
def run():
    run = Run.begin()
    yield run
    run.end()


def gone(process):
    return process._gone(20)


def test_a_service_is_started_once_and_ended_with_the_run(tmp_path):
    run, started = Run.begin(), []

    def start():
        started.append(run.keep(spawn(SAYS_READY, log=tmp_path / "service.log")))
        return {"pid": started[-1].pid}

    assert run.once("service", start) == Run(run.directory).once("service", start) == {"pid": started[0].pid}
    until_said(started[0], tmp_path / "service.log", "ready", seconds=20)
    assert len(started) == 1
    assert run.told("pid") == [started[0].pid]
    run.end()
    assert not started[0].alive
    assert not run.directory.exists()


def test_a_run_that_is_killed_takes_its_services_along(run, tmp_path):
    process = run.keep(spawn(SAYS_READY, log=tmp_path / "service.log"))
    assert process.alive
    run._alive.close()  # as the kernel does for a process that ends
    assert gone(process)


def test_a_process_that_ends_before_it_is_ready_is_told_with_its_last_words(tmp_path):
    log = tmp_path / "server.log"
    process = spawn(["/bin/sh", "-c", "echo no licence; exit 3"], log=log)
    with pytest.raises(NotReady, match="server has ended:\nno licence"):
        until_said(process, log, "ready")


def test_another_process_with_the_same_id_is_left_alone(run, tmp_path):
    process = run.keep(spawn(SAYS_READY, log=tmp_path / "service.log"))
    earlier = Process(process.pid, process.created - 100)
    assert not earlier.alive
    earlier.stop()
    assert process.alive


@pytest.mark.services
@pytest.mark.timeout(240)
def test_a_killed_node_of_three_comes_back_with_what_was_written_meanwhile(kafka_cluster):
    from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import NewTopic

    admin = KafkaAdminClient(bootstrap_servers=kafka_cluster.bootstrap)
    admin.create_topics([NewTopic("t", 3, 3)])
    producer = KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap, acks="all", enable_idempotence=True,
                             delivery_timeout_ms=90_000)  # fmt: skip
    for number in range(300):
        producer.send("t", b"%d" % number, partition=number % 3)
        if number == 100:
            kafka_cluster.kill_node(2)
    producer.flush(90)
    kafka_cluster.start_node(2)
    kafka_cluster.kill_node(1)
    kafka_cluster.start_node(1)
    consumer = KafkaConsumer(bootstrap_servers=kafka_cluster.bootstrap, auto_offset_reset="earliest")
    consumer.assign([TopicPartition("t", number) for number in range(3)])
    found = []
    while len(found) < 300:
        found += [int(one.value) for records in consumer.poll(1_000).values() for one in records]
    assert sorted(found) == list(range(300))
    for client in (admin, producer, consumer):
        client.close()
