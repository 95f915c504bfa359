"""A mount namespace of the run's own, so that a small disk can be made for it that nobody else sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_PRIVATE = "ONEWINDOW_TEST_CHAOS_PRIVATE"
DISK_MB = 768


def is_private() -> bool:
    """Whether this process has one."""
    return os.environ.get(_PRIVATE) == "yes"


def enter() -> None:
    """Start this program again within one, where that can be done; otherwise go on as it is."""
    if is_private() or os.geteuid() != 0 or shutil.which("unshare") is None:
        return
    inside = ["unshare", "--mount", "--propagation", "private"]
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        return
    os.environ[_PRIVATE] = "yes"
    os.execvp("unshare", [*inside, sys.executable, "-m", "chaos", *sys.argv[1:]])


def small_disk(directory: Path, kept: Path) -> None:
    """Give the directory a small disk of its own; its ``city`` lies in ``kept``, for a full disk is not the departments'."""
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m,mode=755", "tmpfs", str(directory)]
    subprocess.run(mount, check=True)
    (directory / "city").mkdir()
    kept.mkdir()
    subprocess.run(["mount", "--bind", str(kept), str(directory / "city")], check=True)


def let_go(directory: Path) -> None:
    """Take both away again."""
    for path in (directory / "city", directory):
        subprocess.run(["umount", "--lazy", str(path)], check=False)
