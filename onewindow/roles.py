"""The roles: each builds its parts from the deployment and works until it is told to stop."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import structlog

from contracts.errors import BrokerUnreachable, DirectoryTaken, OneWindowError, PortTaken, RetryLater
from contracts.events import RESIDENT_TOPIC
from contracts.sources import department_topic
from onewindow.run_files import RunFile
from onewindow.settings import Deployment

log = structlog.get_logger()

ROLES = ("broker", "connectors", "streams", "projections")
FOREVER = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}


def run(deployment: Deployment, role: str, instance: int = 1) -> None:
    """Run one role until SIGTERM or SIGINT; ``instance`` tells workers of one role apart. Raises what it ended with."""
    quiet_collector()
    if role == "broker":
        broker(deployment)
    elif role == "connectors":
        connectors(deployment)
    else:
        {"streams": streams, "projections": projections}[role](deployment, instance)


def quiet_collector() -> None:
    """Let the garbage collector look less often: batches are large, short-lived and without cycles."""
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    sys.setswitchinterval(0.0005)


def _name(role: str, instance: int) -> str:
    return role if instance == 1 else f"{role}-{instance}"


def broker(deployment: Deployment) -> None:
    """The embedded broker."""
    from broker import BrokerSettings, DirectoryInUse, Fsync, PortInUse, serve

    kafka = deployment.settings.kafka
    host, port = kafka.host_port
    directory = deployment.path(kafka.directory)
    settings = BrokerSettings(directory=directory, host=host, port=port, fsync=Fsync(kafka.fsync))
    run_file: list[RunFile] = []

    def ready(_: int) -> None:
        run_file.append(RunFile(deployment.directory, "broker"))
        run_file[0].ready()

    try:
        serve(settings, on_ready=ready)
    except DirectoryInUse as error:
        raise DirectoryTaken(
            f"another broker works on {directory}", fix="stop it, or give this deployment another kafka.directory"
        ) from error
    except PortInUse as error:
        raise PortTaken(
            f"port {port} on {host} is taken by another process",
            fix="stop that process, or set another port in kafka.bootstrap_servers",
        ) from error
    if run_file:
        run_file[0].stop()


def _until_reachable(work: Callable[[], Any], stop: Callable[[], bool]) -> Any:
    """Do it as soon as the broker answers: a role that starts before its broker waits for it."""
    import time

    said = False
    while not stop():
        try:
            return work()
        except BrokerUnreachable as error:
            if not said:
                log.warning("the broker is waited for", code=error.code)
                said = True
            time.sleep(0.1)
    return None


def _ensure_topics(deployment: Deployment) -> None:
    from producers.topics import POSITIONS, TopicSpec, ensure_topics

    kafka = deployment.settings.kafka
    names = [*deployment.topics(), RESIDENT_TOPIC]
    wanted = [POSITIONS, *(TopicSpec(name, kafka.partitions, FOREVER) for name in names)]
    ensure_topics(deployment.bootstrap, wanted, kafka.replication)


def connectors(deployment: Deployment) -> None:
    """All sources, a thread a dataset."""
    from connectors import open_connector
    from onewindow.lost import LostAndFound
    from producers.producer import DatasetProducer, Pace
    from producers.publisher import Publisher
    from projections.databases import open_view

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    producers: list[DatasetProducer] = []
    run_file = RunFile(
        deployment.directory, "connectors", lambda: {"datasets": [dataclasses.asdict(p.progress) for p in producers]}
    )
    _until_reachable(lambda: _ensure_topics(deployment), stop.is_set)
    threads = []
    for source in deployment.sources:
        state = deployment.path("state") / source.system
        state.mkdir(parents=True, exist_ok=True)
        connector = open_connector(source, password=deployment.password(source), state=state)
        for dataset in source.datasets:
            producer = DatasetProducer(
                connector,
                source.system,
                dataset,
                bootstrap=deployment.bootstrap,
                hasher=deployment.hasher,
                publisher=lambda name=f"onewindow-{source.system}-{dataset}": Publisher(deployment.bootstrap, name),  # type: ignore[misc]
                pace=Pace(every_s=source.connector.every_s),
            )
            producers.append(producer)
            threads.append(threading.Thread(target=producer.run, args=(stop,), name=f"{source.system}.{dataset}"))
    store = open_view(deployment.streams_url)
    threads.append(threading.Thread(target=LostAndFound(store, producers).run, args=(stop,), name="lost-and-found"))
    for thread in threads:
        thread.start()
    run_file.ready()
    stop.wait()
    for thread in threads:
        thread.join()
    run_file.stop()


def _run_app(make: Callable[[], Any], run_file: RunFile) -> None:
    """Run a Faust role on an event loop of its own. ``make`` builds it there."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        role = make()
        error: OneWindowError | None = None
        try:
            await role.run(stop, run_file.ready)
        except OneWindowError as ended:
            error = ended
        if not role.stopped:  # Faust's threads wait for a broker that is away; all that counts is in the database
            run_file.stop()
            sys.stderr.write(f"{error}\n" if error else "")
            sys.stderr.flush()
            os._exit(error.exit_code if error else 0)
        if error is not None:
            raise error

    asyncio.run(main())
    run_file.stop()


def streams(deployment: Deployment, instance: int = 1) -> None:
    """Intake and relay."""
    from onewindow.events_log import identity
    from projections.databases import open_view
    from streams.intake import Intake
    from streams.roles import StreamsRole
    from streams.store import Store

    run_file = RunFile(deployment.directory, _name("streams", instance))
    _until_reachable(lambda: _ensure_topics(deployment), lambda: False)
    store = Store(open_view(deployment.streams_url))
    topics = [department_topic(source.system, dataset) for source, dataset in deployment.datasets()]
    about = identity(deployment.bootstrap, topics)
    _until_there(lambda: store.prepare(about.cluster_id, about.topic_ids))
    hasher = deployment.hasher
    intakes = [
        Intake(
            store,
            source.system,
            dataset,
            source.datasets[dataset],
            owner=source.owner,
            hasher=hasher,
            partitions=deployment.settings.kafka.partitions,
        )
        for source, dataset in deployment.datasets()
    ]
    _run_app(
        lambda: StreamsRole(
            store,
            intakes,
            bootstrap=deployment.bootstrap,
            instance=f"streams-{instance}",
            datadir=str(deployment.path("run") / f"faust-streams-{instance}"),
        ),
        run_file,
    )


def _until_there(work: Callable[[], Any]) -> None:
    """A database that is away is waited for."""
    import time

    while True:
        try:
            work()
        except RetryLater as error:
            log.warning("the database is waited for", code=error.code)
            time.sleep(1.0)
        else:
            return


def projections(deployment: Deployment, instance: int = 1) -> None:
    """The view."""
    from onewindow.events_log import identity
    from projections.databases import open_view
    from projections.engine import ViewEngine
    from projections.winners import Authority
    from streams.roles import ProjectionsRole

    roles: list[ProjectionsRole] = []

    def tell() -> dict[str, Any]:
        if not roles:
            return {}
        fresh = roles[0].freshness
        return {"freshness_ms": fresh.percentiles(), "measured": len(fresh), "applied": fresh.applied}

    run_file = RunFile(deployment.directory, _name("projections", instance), tell)
    _until_reachable(lambda: _ensure_topics(deployment), lambda: False)
    view = ViewEngine(open_view(deployment.view_url), Authority(deployment.settings.authority))
    _until_there(lambda: view.prepare(identity(deployment.bootstrap, [RESIDENT_TOPIC])))

    def make() -> ProjectionsRole:
        roles.append(
            ProjectionsRole(
                view,
                bootstrap=deployment.bootstrap,
                instance=f"projections-{instance}",
                datadir=str(deployment.path("run") / f"faust-projections-{instance}"),
            )
        )
        return roles[0]

    _run_app(make, run_file)
