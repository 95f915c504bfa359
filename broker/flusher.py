"""When acknowledged data is on disk: the fsync policy, and one fsync shared by many requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from typing import Any, Protocol


class Fsync(StrEnum):
    """``ALWAYS``: an acknowledgement goes out after the data was synced. ``INTERVAL``: synced each second, so a power
    cut loses up to a second of acknowledged data. ``NEVER``: left to the operating system. A killed process loses
    nothing under any of them."""

    ALWAYS = "always"
    INTERVAL = "interval"
    NEVER = "never"


class Durable(Protocol):
    """Something with a file to sync."""

    def sync_begins(self) -> tuple[int, Any] | None:
        """(descriptor to sync, mark): all that was written until now. None if there is nothing to sync any more."""
        ...

    def sync_ended(self, mark: Any, error: OSError | None) -> None:
        """What the mark stands for is durable; or it failed, once and for all: a second fsync that succeeds would
        prove nothing, the kernel may have dropped the pages (fsyncgate)."""
        ...


class Flusher:
    """Group commit: each waiter is released by the first sync that began after its write."""

    def __init__(self, policy: Fsync, sync: Callable[[int], None] = os.fdatasync) -> None:
        self.policy, self._sync = policy, sync
        self._dirty: dict[Durable, None] = {}
        self._waiters: list[asyncio.Future[None]] = []
        self._running: asyncio.Task[None] | None = None
        self._threads = ThreadPoolExecutor(4, "broker-sync")

    async def acknowledge(self, written: Iterable[Durable]) -> None:
        """Return when these may be acknowledged under the policy. Whether the sync failed, they know themselves."""
        self.touch(written)
        if self.policy == Fsync.ALWAYS:
            await self.flush()

    def touch(self, written: Iterable[Durable]) -> None:
        """Sync these with the next flush."""
        self._dirty.update(dict.fromkeys(written))

    async def flush(self) -> None:
        """Return when all that was written until now has been synced."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await waiter

    async def _run(self) -> None:
        while self._waiters:
            dirty, self._dirty = self._dirty, {}
            waiters, self._waiters = self._waiters, []
            await asyncio.gather(*(self._flush(item) for item in dirty))
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)
        self._running = None

    async def _flush(self, item: Durable) -> None:
        begun = item.sync_begins()
        if begun is None:
            return
        fd, mark = begun
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, self._sync, fd)
        except OSError as error:
            item.sync_ended(mark, error)
        else:
            item.sync_ended(mark, None)

    async def close(self) -> None:
        """Sync everything and end the threads."""
        await self.flush()
        self._threads.shutdown()
