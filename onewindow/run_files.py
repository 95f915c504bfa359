"""What each running role says of itself, in ``run/<role>.json`` of the deployment: written whole, twice a second.

A file says what was so when it was written; whether the process still lives is asked of the system.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_EACH_S = 0.5


class RunFile:
    """The file of one role, kept up to date by a thread of its own until ``stop``."""

    def __init__(self, directory: Path, role: str, tell: Callable[[], dict[str, Any]] = dict) -> None:
        self.path, self._tell, self._role = directory / "run" / f"{role}.json", tell, role
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.state = "starting"
        self._stop = threading.Event()
        self._started_at = time.time()
        self._thread = threading.Thread(target=self._keep, name="run-file", daemon=True)
        self.write()
        self._thread.start()

    def ready(self) -> None:
        """The role works."""
        self.state = "ready"
        self.write()

    def write(self) -> None:
        """Write it now."""
        about = {
            "role": self._role,
            "pid": os.getpid(),
            "state": self.state,
            "started_at": self._started_at,
            "written_at": time.time(),
            **self._tell(),
        }
        beside = self.path.with_suffix(f".{threading.get_ident()}.tmp")
        beside.write_text(json.dumps(about, ensure_ascii=False))
        beside.replace(self.path)

    def _keep(self) -> None:
        while not self._stop.wait(_EACH_S):
            self.write()

    def stop(self) -> None:
        """The role has ended in order."""
        self._stop.set()
        self._thread.join()
        self.state = "stopped"
        self.write()


def read(directory: Path, role: str) -> dict[str, Any]:
    """What a role said last, with ``alive``: whether its process still is. Empty if it never ran."""
    path = directory / "run" / f"{role}.json"
    try:
        about: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        return {}
    about["alive"] = about["state"] != "stopped" and _lives(int(about["pid"]))
    return about


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (OSError, IndexError):
        return False
