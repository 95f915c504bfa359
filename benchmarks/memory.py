"""Memory of processes while they work: looked at twice a second, by a thread of its own."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from types import TracebackType
from typing import Any, Self

import psutil

_EACH_S = 0.5


def resident_mb(pid: int) -> float | None:
    """What a process holds of the machine's memory (RSS), None when it is gone."""
    try:
        return float(psutil.Process(pid).memory_info().rss / 2**20)
    except psutil.NoSuchProcess:
        return None


class Memory:
    """Looks at processes by name while it is entered. ``pids`` may give others each time, as processes come and go."""

    def __init__(self, pids: Callable[[], Mapping[str, int]]) -> None:
        self._pids, self._stop = pids, threading.Event()
        self.looks: dict[str, list[float]] = defaultdict(list)
        self.sums: list[float] = []
        self._thread = threading.Thread(target=self._look, name="memory", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(_EACH_S):
            found = {name: mb for name, pid in self._pids().items() if (mb := resident_mb(pid)) is not None}
            for name, mb in found.items():
                self.looks[name].append(mb)
            self.sums.append(sum(found.values()))

    def summary(self) -> dict[str, Any]:
        """Per process: the most, and the medians of the second and the last quarter; their ratio is 1 where it is flat.
        ``together_mb``: the most of all at one moment."""
        told: dict[str, Any] = {name: flatness(looks) for name, looks in self.looks.items() if len(looks) >= 4}
        return {"processes": told, "together_mb": round(max(self.sums, default=0.0))}


def flatness(looks: list[float]) -> dict[str, float]:
    """The most, and how the last quarter stands to the second: the first one is that of the start."""
    quarter = len(looks) // 4
    second, last = median(looks[quarter : 2 * quarter]), median(looks[-quarter:])
    return {
        "most_mb": round(max(looks)),
        "second_quarter_mb": round(second),
        "last_quarter_mb": round(last),
        "growth": round(last / second, 3),
    }


@contextmanager
def watched(pids: Callable[[], Mapping[str, int]], into: dict[str, Any], name: str) -> Iterator[None]:
    """Look at processes meanwhile; the summary goes into ``into`` under ``name``."""
    with Memory(pids) as memory:
        yield
    into[name] = memory.summary()
