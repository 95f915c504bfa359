"""The view of a city in PostgreSQL: projected from the log, rebuilt beside itself, and whether events cost more as it grows."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import psutil
import psycopg
from services.processes import Process

from benchmarks import ROOT, city_events
from benchmarks.deployment import Deployment
from benchmarks.memory import Memory
from benchmarks.place import Place, say
from benchmarks.postgres_server import one
from benchmarks.spread import Figure, ratios, spread, spread_of

_EVENTS = "events/s"
_APPLIED = 'SELECT coalesce(sum(applied), 0)::bigint FROM "position"'
_LOOK_S = 0.05


class Look(NamedTuple):
    """How far the view is. ``cpu_s``: of the role and of the PostgreSQL backends that serve the view, so far."""

    at: float
    events: int
    cpu_s: float


@contextmanager
def _filled(place: Place, events: int) -> Iterator[None]:
    """The topic of residents holds so many events."""
    say(f"  making {events:,} events of a city")
    city_events.fill(place.kafka.bootstrap, events)
    yield
    place.kafka.drop_topics(["community."])


@contextmanager
def _deployment(place: Place, events: int) -> Iterator[Deployment]:
    """A deployment with that authority, on a topic that is filled after it was made: it begins without topics."""
    with Deployment.open(place) as deployment, _filled(place, events):
        authority = "".join(f"  {field}: [{', '.join(names)}]\n" for field, names in city_events.AUTHORITY.items())
        for system, dataset in (name.split(".") for name in city_events.AUTHORITY["default"]):
            (deployment.directory / "sources" / f"{system}.yaml").write_text(
                f"system: {system}\ntitle: {system}\nowner: {system}\nconnector: {{kind: files, folder: nowhere}}\ndatasets:\n  {dataset}:\n"
                "    pattern: never_{period}.csv\n    key: [id]\n    map: {name: name}\n"
            )
        with (deployment.directory / "onewindow.yaml").open("a") as settings:
            settings.write(f"authority:\n{authority}")
        yield deployment


def measure(place: Place, *, events: int, runs: int) -> dict[str, Any]:
    """Project and rebuild, in turns, over the same log."""
    say(f"log -> city view: {events:,} events into resident, assertion, benefit and community")
    projected: list[Figure] = []
    rebuilt: list[Figure] = []
    with _deployment(place, events) as deployment:
        for _ in range(runs):
            with place.database(deployment.view) as view:
                view.execute("DROP SCHEMA public CASCADE")
                view.execute("CREATE SCHEMA public")
                project = partial(_project, deployment, place, view, events)
                projected.append(place.figure("log -> city view", partial(_rate_of, project), _EVENTS))
            rebuilt.append(place.figure("rebuild of the city view", lambda: _rebuild(deployment, events), _EVENTS))
    return {
        "figures": {"city_view": {"project": spread_of(projected, _EVENTS), "rebuild": spread_of(rebuilt, _EVENTS)}},
        "ratios": {"rebuild_vs_project": spread(ratios(rebuilt, projected))},
        "settings": {"city_view": {"events": events, "residents": events // 2}},
    }


def _project(deployment: Deployment, place: Place, view: psycopg.Connection[Any], events: int) -> list[Look]:
    """Looks at the view while the projections role fills it, from the first events on."""
    deployment.start("projections")
    role = psutil.Process(deployment.pids()["projections"])
    looks: list[Look] = []
    while not looks or looks[-1].events < events:
        deployment.check()
        applied = int(one(view, _APPLIED)) if one(view, "SELECT to_regclass('position') IS NOT NULL") else 0
        if applied and (not looks or applied > looks[-1].events):
            looks.append(Look(time.monotonic(), applied, _cpu_s(role, place.postgres_process, deployment.view)))
        time.sleep(_LOOK_S)
    deployment.stop("projections")
    return looks


def _rate_of(project: Callable[[], Sequence[Look]]) -> float:
    looks = project()
    return (looks[-1].events - looks[0].events) / (looks[-1].at - looks[0].at)


def _cpu_s(role: psutil.Process, server: Process, database: str) -> float:
    spent = sum(role.cpu_times()[:2])
    for backend in psutil.Process(server.pid).children():
        try:
            if f" {database} " in " ".join(backend.cmdline()):
                spent += sum(backend.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue
    return float(spent)


def _rebuild(deployment: Deployment, events: int) -> float:
    """The command, as a person gives it; the rate that it tells, the swap included."""
    command = [sys.executable, "-m", "onewindow", "-C", str(deployment.directory), "rebuild", "--json"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found["events"] >= events, found
    return float(found["events"] / found["seconds"])


def grow(place: Place, *, events: int, step: int) -> dict[str, Any]:
    """Rate and CPU of each ``step`` events while the log grows, and the memory of the role meanwhile."""
    say(f"growth: {events:,} events in the log, looked at each {step:,}")
    with _deployment(place, events) as deployment:
        calibration = place.calibrate()
        with place.database(deployment.view) as view, Memory(deployment.pids) as memory:
            looks = _project(deployment, place, view, events)
        calibration = (calibration + place.calibrate()) / 2
    steps = list(_steps(looks, step))
    for each in steps:
        say(f"  up to {each['events']:,}: {each['rate']:,} events/s, {each['cpu_us']} µs of CPU an event")
    first, last = _middle(steps, events // 5 if events >= 5_000_000 else events // 2), steps[-1]
    return {
        "growth": {
            "steps": steps,
            "cost_ratio": round(last["cpu_us"] / first["cpu_us"], 3),
            "from_events": first["events"],
            "to_events": last["events"],
            "calibration_s": round(calibration, 3),
            "memory": memory.summary(),
        }
    }


def _middle(steps: Sequence[dict[str, Any]], events: int) -> dict[str, Any]:
    """The step that ends nearest to so many events."""
    return min(steps, key=lambda each: abs(each["events"] - events))


def _steps(looks: Sequence[Look], step: int) -> Iterator[dict[str, Any]]:
    """Of each ``step`` events: where they end, events a second, and CPU an event in microseconds."""
    began = looks[0]
    for look in looks[1:]:
        done = look.events - began.events
        if done >= step or (look is looks[-1] and done >= step // 2):
            yield {
                "events": look.events,
                "rate": round(done / (look.at - began.at)),
                "cpu_us": round((look.cpu_s - began.cpu_s) / done * 1e6, 1),
            }
            began = look
