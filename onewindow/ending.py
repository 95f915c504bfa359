"""How a process of ours learns that it should end: by a signal, or because the supervisor that started it is gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import structlog

log = structlog.get_logger()

SUPERVISOR = "ONEWINDOW_SUPERVISOR"
"""The environment variable with the process id of the supervisor, for the roles that it starts."""

_LOOK_EACH_S = 0.2
_PATIENCE_S = 10.0


class Told:
    """True once this process was told to end: SIGTERM, Ctrl-C, or its terminal was closed (SIGHUP, unless under nohup)."""

    def __init__(self) -> None:
        self._told = False
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._hear)

    def _hear(self, *_: Any) -> None:
        self._told = True

    def __bool__(self) -> bool:
        return self._told


def end_with_supervisor() -> None:
    """End this process when the supervisor that started it has ended, however it did. A process that a person or a
    container started has none, and goes on."""
    supervisor = os.environ.get(SUPERVISOR)
    if supervisor is not None:
        threading.Thread(target=_watch, args=(int(supervisor),), name="supervisor-watch", daemon=True).start()


def _watch(supervisor: int) -> None:
    """A process whose parent ends gets another parent: that is so on every system, and needs nothing of the parent."""
    never = threading.Event()
    while os.getppid() == supervisor:
        never.wait(_LOOK_EACH_S)  # not time.sleep, which fails where a clock jumps far enough
    log.warning("the supervisor is gone, this role ends with it", supervisor=supervisor)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(_PATIENCE_S)
    os.kill(os.getpid(), signal.SIGKILL)  # nothing acknowledged is lost by it
