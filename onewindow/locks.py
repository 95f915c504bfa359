"""What may run once: locks in ``run/`` of the deployment. The kernel gives a lock back when its holder ends, however it does."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from contracts.errors import AlreadyRunning


@contextmanager
def locked(directory: Path, name: str) -> Iterator[None]:
    """Hold the lock ``name`` of a deployment. Raises AlreadyRunning, with the holder's process id, when another has it."""
    path = directory / "run" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read()
            raise AlreadyRunning(
                f"the {name} of {directory} runs already, as process {holder}",
                fix=f"look at it: onewindow -C {directory} status; or end it first: kill {holder}",
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
