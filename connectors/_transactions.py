"""Which transactions a PostgreSQL snapshot saw, and places in its log."""

from __future__ import annotations

from dataclasses import dataclass


def lsn_text(lsn: int) -> str:
    """A place in the log as PostgreSQL writes it: ``16/B374D848``."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def lsn_number(text: str) -> int:
    """The place in the log that a text names."""
    high, _, low = text.partition("/")
    return int(high, 16) << 32 | int(low, 16)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``pg_current_snapshot()``: every transaction below ``xmin`` had ended, none from ``xmax`` on had, and of those
    between the ``running`` had not. 64-bit ids."""

    xmin: int
    xmax: int
    running: frozenset[int]

    @classmethod
    def parse(cls, text: str) -> Snapshot:
        """From PostgreSQL's text: ``xmin:xmax:running,running``."""
        xmin, xmax, running = text.split(":")
        return cls(int(xmin), int(xmax), frozenset(map(int, running.split(","))) if running else frozenset())

    def saw(self, xid: int) -> bool:
        """Whether a committed transaction had ended by then. ``xid`` is its 32-bit id, of less than 2^31 transactions
        before or after ``xmax``."""
        away = (xid - self.xmax) & 0xFFFFFFFF
        full = self.xmax + (away if away < 1 << 31 else away - (1 << 32))
        return full < self.xmin or (full < self.xmax and full not in self.running)
