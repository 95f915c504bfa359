"""What runs in a terminal until it is told to end: the roles of a deployment, and the sample city."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from contracts.errors import ConfigError
from onewindow import damage, show
from onewindow.demo import Demo, once
from onewindow.ending import Told
from onewindow.invocation import invocation
from onewindow.roles import ROLES
from onewindow.settings import Deployment
from onewindow.sources import check
from onewindow.supervisor import Role, Supervisor

_STARTS = 3  # before a role that does not come up is spoken of
_RATE_ONCE, _RATE_LIVE = 100.0, 20.0  # changes a second


def _say(text: str, style: str = "") -> None:
    with suppress(OSError):  # the terminal was closed; what runs is still to be ended in order
        show.err.print(text, style=style, soft_wrap=True, markup=False)


def up(deployment: Deployment) -> int:
    """All roles under a supervisor until told to end. The exit code: 0, or that of the role that could not go on."""
    told = Told()
    roles = [name for name in ROLES if name != "broker" or deployment.settings.kafka.embedded]
    supervisor = Supervisor(deployment.directory, roles)
    if not _can_be_read(deployment):
        return ConfigError.exit_code
    supervisor.start()
    spoken: set[str] = set()
    try:
        while not told:
            supervisor.tend()
            if supervisor.lost is not None:
                return _lost(supervisor.lost)
            damaged = damage.found(deployment.directory)
            if damaged is not None:
                _say(f"{damaged}\n  all roles were ended; the log of the broker is run/broker.log", "red")
                return damaged.exit_code
            for role in supervisor.roles:
                if role.name not in spoken:
                    _speak(supervisor, role, spoken)
            time.sleep(0.1)
    finally:
        supervisor.stop()
    return 0


def _can_be_read(deployment: Deployment) -> bool:
    """Whether a source can be read, now or later. One that can't holds up no other; where none can, a person must act."""
    systems = {source.system for source in deployment.sources}
    unfit = set()
    for finding in check(deployment, None):
        if finding["level"] == "fail":
            _say(finding["text"], "yellow")
            if finding["exit_code"] == ConfigError.exit_code:
                unfit.add(finding["subject"].partition(".")[0])
            _say(f"  {finding['subject']} is tried again until it can be read; all else goes on without it", "dim")
    return not systems or unfit != systems


def _speak(supervisor: Supervisor, role: Role, spoken: set[str]) -> None:
    """Say once that a role is ready, or what it ends with again and again."""
    if supervisor.is_ready(role):
        spoken.add(role.name)
        _say(f"{role.name}: ready", "green")
    elif role.failures >= _STARTS and role.process is None:
        spoken.add(role.name)
        _say("\n".join([*supervisor.tail(role), f"  {role.name} is started again"]), "yellow")


def _lost(role: Role) -> int:
    _say("\n".join(role.said), "red")
    _say(f"  {role.name} can't go on, so all roles were ended; its log is run/{role.name}.log", "dim")
    return role.last_exit or 1


def demo_once(
    directory: Path | None,
    residents: int | None,
    seed: int | None,
    changes: int,
    rate: float | None,
    *,
    as_json: bool,
) -> dict[str, Any]:
    """Run the sample city once, with progress on standard error."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    place = directory or Path(tempfile.mkdtemp(prefix="onewindow-demo-"))
    if directory is None:
        place.chmod(0o755)  # PostgreSQL runs as a user of its own where we are root
    progress = show.Progress()
    try:
        found = once(
            place,
            residents=residents,
            seed=seed,
            changes=changes,
            rate=rate or _RATE_ONCE,
            show=progress,
            keep_going=directory is not None,
        )
    finally:
        progress.stop()
        if directory is None:
            shutil.rmtree(place, ignore_errors=True)
    if not as_json:
        show.summary(found)
    return found


class _ToldToEnd(Exception):
    """It was told to end while the city was being built."""


def demo_live(directory: Path, residents: int | None, seed: int | None, rate: float | None) -> None:
    """The sample city until told to end: what is in the sources, how far the view is, what to try."""
    told = Told()
    rate = rate or _RATE_LIVE
    demo = Demo(directory, residents=residents, seed=seed, rate=rate, dump_each=int(rate * 60))
    screen = show.Screen(directory)

    def building(*about: Any) -> None:
        if told:
            raise _ToldToEnd
        screen(*about)

    try:
        with suppress(_ToldToEnd):
            demo.start(building)
            demo.follow(screen, until=lambda: bool(told))
            screen.stop()
            _say("stopping …", "dim")
            demo.drain(lambda *_: None)
    finally:
        screen.stop()
        demo.stop()
    _say(f"Stopped. `{invocation()} demo --dir {directory}` goes on where it stood.")
