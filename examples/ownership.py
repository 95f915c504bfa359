"""Which of several processes has a department's system up, and will take it down."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


class Ownership:
    """A lock on a file, for one process; the kernel gives it back when that ends, however it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock: int | None = None

    @property
    def held(self) -> bool:
        """Whether this process has it."""
        return self._lock is not None

    def take(self) -> bool:
        """Take it, if no other process has it; whether this one has it then."""
        if self._lock is None:
            lock = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._lock = lock
        return True

    def give_back(self) -> None:
        """Let another process take it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
