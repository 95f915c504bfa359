"""Logs of the roles: events with fields, one JSON object a line, on standard error."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO, cast

import structlog

_EACH_S = 60.0
_REMEMBERED = 1_000


class OncePerMinute(logging.Filter):
    """Lets a message of a library pass once a minute, whatever values it is filled with: a library that meets the same
    trouble a thousand times a second says it as often. Of our own broker's, the values count."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, int, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it was not said in the last minute."""
        ours = record.name.split(".")[0] == "broker"  # two partitions that are damaged are two messages
        said = record.getMessage() if ours else str(record.msg)
        key, now = (record.name, record.lineno, said), self._clock()
        if now - self._said.get(key, -_EACH_S) < _EACH_S:
            return False
        if len(self._said) >= _REMEMBERED:
            self._said.clear()
        self._said[key] = now
        return True


class Lenient:
    """A stream for logs: what can't be written, on a full disk say, is left out. Whoever logs has other work to do, and
    would end in the middle of it."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write it if that can be done."""
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write out what is held back, if that can be done."""
        with suppress(OSError):
            self._stream.flush()


def configure(role: str) -> None:
    """Log as this role. Libraries are heard from warnings on, each message of theirs once a minute."""
    lenient = cast(TextIO, Lenient(sys.stderr))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
        ],
        logger_factory=structlog.WriteLoggerFactory(file=lenient),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(role=role)
    logging.basicConfig(level=logging.WARNING, stream=lenient, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(OncePerMinute())
