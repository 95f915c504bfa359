"""Faust workers go on after the broker was killed, and a new one may join."""

from __future__ import annotations

import subprocess
import sys

import pytest
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import NewTopic
from services import BrokerProcess

WORKER = """
import sys
import faust
address, directory = sys.argv.pop(1), sys.argv.pop(1)
app = faust.App("app", broker="kafka://" + address, store="memory://", web_enabled=False, topic_partitions=2,
                datadir=directory, broker_session_timeout=6, broker_heartbeat_interval=1, worker_redirect_stdouts=False)
@app.agent(app.topic("in", value_serializer="raw", key_serializer="raw"))
async def echo(stream):
    async for value in stream:
        print(value.decode(), flush=True)
@app.on_partitions_assigned.connect
async def assigned(sender, partitions, **_):
    print("assigned", *sorted(one.partition for one in partitions if one.topic == "in"), flush=True)
faust.Worker(app, loglevel="error").execute_from_commandline()
"""


class Worker:
    """A Faust worker in a process of its own."""

    def __init__(self, bootstrap, directory):
        with (directory.parent / f"{directory.name}.log").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", "-c", WORKER, bootstrap, str(directory)],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def wait_for(self, wanted, *, exactly=True):
        """Read what it says until it says this, or something with it; gives the line."""
        for said in self._process.stdout:
            line = said.strip()  # the first begins with a code for the terminal
            if line.endswith(wanted) if exactly else wanted in line:
                return line
        return pytest.fail(f"the worker ended before it said {wanted!r}")

    def kill(self):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.mark.timeout(60)
def test_a_worker_survives_a_kill_of_the_broker_and_another_joins(tmp_path):
    broker = BrokerProcess(tmp_path / "data")
    broker.start()
    workers = []
    try:
        admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
        admin.create_topics([NewTopic("in", 2, 1)])
        admin.close()
        workers.append(Worker(broker.bootstrap, tmp_path / "one"))
        workers[0].wait_for("assigned 0 1")
        send(broker, b"before")
        workers[0].wait_for("before")

        broker.kill()
        broker.start()

        send(broker, b"after")
        workers[0].wait_for("after")
        workers.append(Worker(broker.bootstrap, tmp_path / "two"))
        partition = int(workers[1].wait_for("assigned", exactly=False).split()[-1])
        send(broker, b"shared", partition)
        workers[1].wait_for("shared")
    finally:
        for worker in workers:
            worker.kill()
        broker.stop()


def send(broker, value, partition=0):
    producer = KafkaProducer(bootstrap_servers=broker.bootstrap)
    producer.send("in", value, partition=partition).get(20)
    producer.close()
