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

from contracts.errors import (
    BrokerUnreachable,
    DirectoryTaken,
    LogDamaged,
    OneWindowError,
    PortTaken,
    RetryLater,
    SettingInvalid,
    ViewOutdated,
)
from contracts.events import RESIDENT_TOPIC
from contracts.sources import Source, department_topic
from onewindow.ending import end_with_supervisor
from onewindow.locks import locked
from onewindow.newcomers import Newcomers
from onewindow.run_files import RunFile
from onewindow.settings import Deployment
from projections.engine import ViewEngine

log = structlog.get_logger()

ROLES = ("broker", "connectors", "streams", "projections")


def run(deployment: Deployment, role: str, instance: int = 1) -> None:
    """Run one role until SIGTERM or SIGINT; ``instance`` tells workers of one role apart. Raises what it ended with, and
    AlreadyRunning where another process is that role and instance."""
    quiet_collector()
    end_with_supervisor()
    if role == "broker":
        broker(deployment)  # it locks its own directory, wherever that is
        return
    with locked(deployment.directory, _name(role, instance)):
        if role == "connectors":
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
    from broker import (
        AddressUnusable,
        Broker,
        BrokerSettings,
        Damaged,
        DirectoryInUse,
        Fsync,
        PortInUse,
        serve,
    )

    kafka = deployment.settings.kafka
    host, port = kafka.host_port
    directory = deployment.path(kafka.directory)
    settings = BrokerSettings(directory=directory, host=host, port=port, fsync=Fsync(kafka.fsync))
    run_file: list[RunFile] = []

    def ready(broker: Broker) -> None:
        run_file.append(RunFile(deployment.directory, "broker", lambda: {"damaged": broker.damaged}))
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
    except AddressUnusable as error:
        raise SettingInvalid(
            f"kafka.bootstrap_servers: the embedded broker can't listen on {host}:{port} ({error.why})",
            fix="name an address of this machine and a port above 1023, or set kafka.embedded to false",
        ) from error
    except Damaged as error:
        raise LogDamaged(
            f"the broker's list of topics is damaged: {error}",
            fix="restore the broker's directory from a backup; it is not started meanwhile, and nothing is deleted",
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
    from onewindow import cluster
    from producers.topics import ensure_topics

    ensure_topics(deployment.bootstrap, cluster.wanted(deployment), deployment.settings.kafka.replication)
    cluster.confirm(deployment)


def connectors(deployment: Deployment) -> None:
    """All sources."""
    from onewindow import deployment_key
    from onewindow.readers import Readers
    from projections.databases import open_view

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    store = open_view(deployment.streams_url)
    readers = Readers(deployment, store, prepare=_ensure_topics)
    run_file = RunFile(
        deployment.directory, "connectors", lambda: {"datasets": [dataclasses.asdict(p) for p in readers.progress]}
    )
    _until_there(lambda: deployment_key.confirm(store, deployment.hasher), stop.is_set)
    _until_reachable(lambda: _ensure_topics(deployment), stop.is_set)
    readers.run(stop, run_file.ready)
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
    from onewindow import deployment_key
    from onewindow.events_log import identity
    from projections.databases import open_view
    from streams.intake import Intake
    from streams.roles import StreamsRole
    from streams.store import Store

    run_file = RunFile(deployment.directory, _name("streams", instance))
    store, hasher = Store(open_view(deployment.streams_url)), deployment.hasher
    _until_there(lambda: deployment_key.confirm(store.engine, hasher))

    def intakes(of: Deployment, sources: list[Source]) -> list[Intake]:
        _ensure_topics(of)
        about = identity(of.bootstrap, [department_topic(source.system, dataset) for source, dataset in of.datasets()])
        store.prepare(about.cluster_id, about.topic_ids)
        return [
            Intake(
                store,
                source.system,
                dataset,
                declared,
                owner_on=source.owner_on,
                hasher=hasher,
                partitions=of.settings.kafka.partitions,
            )
            for source in sources
            for dataset, declared in source.datasets.items()
        ]

    first: list[Intake] = _until_there(
        lambda: _until_reachable(lambda: intakes(deployment, deployment.sources), lambda: False)
    )
    newcomers = Newcomers(deployment, intakes)
    _run_app(
        lambda: StreamsRole(
            store,
            first,
            bootstrap=deployment.bootstrap,
            instance=f"streams-{instance}",
            datadir=str(deployment.path("run") / f"faust-streams-{instance}"),
            newcomers=newcomers.look,
        ),
        run_file,
    )


def _until_there(work: Callable[[], Any], stop: Callable[[], bool] = lambda: False) -> Any:
    """A database that is away is waited for."""
    import time

    while not stop():
        try:
            return work()
        except RetryLater as error:
            log.warning("the database is waited for", code=error.code)
            time.sleep(1.0)
    return None


def projections(deployment: Deployment, instance: int = 1) -> None:
    """The view."""
    from projections.databases import open_view
    from projections.winners import Authority
    from streams.roles import ProjectionsRole

    roles: list[ProjectionsRole] = []
    rebuilding: dict[str, int] = {}

    def tell() -> dict[str, Any]:
        if not roles:
            return {"rebuilding": {**rebuilding}} if rebuilding else {}
        fresh = roles[0].freshness
        return {"freshness_ms": fresh.percentiles(), "measured": len(fresh), "applied": fresh.applied}

    run_file = RunFile(deployment.directory, _name("projections", instance), tell)
    _until_reachable(lambda: _ensure_topics(deployment), lambda: False)
    view = ViewEngine(open_view(deployment.view_url), Authority(deployment.settings.authority))
    _until_there(lambda: _prepare_view(deployment, view, run_file, rebuilding))

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


def _prepare_view(deployment: Deployment, view: ViewEngine, run_file: RunFile, told: dict[str, int]) -> None:
    """Create what is missing. A view that an older version made is made anew; so is one that is not there, from the
    archive, where there is one: the topic may have dropped what that holds. Raises ViewOutdated for any other reason."""
    from onewindow.events_log import identity
    from onewindow.history import is_archived

    about = identity(deployment.bootstrap, [RESIDENT_TOPIC])
    try:
        view.prepare(about)
        finding = "there is no view" if not view.positions() and is_archived(deployment) else ""
    except ViewOutdated as error:
        if not error.is_older:
            raise
        finding = error.finding
    if finding:
        log.warning("the view is made anew", finding=finding)
        run_file.state = "rebuilding"
        _renew(deployment, told)
        view.prepare(about)


def _renew(deployment: Deployment, told: dict[str, int]) -> None:
    """Make the view anew, with its progress in the log and in ``told``. Readers keep the old one until it is done; started
    again, it goes on where it stood."""
    from onewindow.history import renew_view

    said = 0

    def tell(done: int, total: int) -> None:
        nonlocal said
        told.update(events=done, of=total)
        tenth = done * 10 // max(total, 1)
        if tenth > said:
            said = tenth
            log.info("the view is made anew", events=done, of=total)

    made = renew_view(deployment, tell)
    if made is not None:
        log.info("the view was made anew", events=made.events, resumed=made.resumed, seconds=round(made.seconds, 1))
