"""The product from outside: its commands, and a deployment that is up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from examples.postgres import free_port

ROOT = Path(__file__).parents[2]


def onewindow(
    *arguments: object, given: str = "", environment: dict[str, str] | None = None, seconds: float = 110
) -> Any:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "onewindow", *map(str, arguments)],
        cwd=ROOT,
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
        env={**os.environ, **(environment or {})},
    )


def document(*arguments: object, given: str = "") -> Any:
    """What a command prints with --json."""
    done = onewindow(*arguments, "--json", given=given)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def new_directory() -> Path:
    """Not pytest's own folder: run by root, PostgreSQL is another user, who can't enter that."""
    directory = Path(tempfile.mkdtemp(prefix="onewindow-test-"))
    directory.chmod(0o755)
    return directory


def new_deployment() -> Path:
    """A deployment as ``init`` makes it, on a port of its own; its parent directory is the test's to remove."""
    directory = new_directory() / "city"
    made = document("init", directory)
    assert made["files"] == ["onewindow.yaml", "sources/example.yaml.off", "secret.key"]
    settings = directory / "onewindow.yaml"
    settings.write_text(settings.read_text().replace("127.0.0.1:9092", f"127.0.0.1:{free_port()}"))
    return directory


def until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What the condition gives once it holds. The limit is there to end a test that is broken."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.05)
    return found


@contextmanager
def up(directory: Path) -> Iterator[subprocess.Popen[str]]:
    """A deployment that is up, all roles ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", "onewindow", "-C", str(directory), "up"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip

    def ready() -> bool:
        assert process.poll() is None, process.communicate()[1]
        roles = document("-C", directory, "status")["roles"]
        return all(role["state"] == "ready" for role in roles)

    try:
        until(ready)
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=60)
