"""Idempotent producers: which sequences of each producer a partition holds.

A repeated batch is acknowledged again and not written, one that follows a lost batch is refused. The state follows from
batch headers alone; a snapshot of it in the partition's manifest saves reading them all.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from broker.batches import Header
from broker.errors import Code, Refused

_REMEMBERED = 5  # batches: as many as a client may have in flight
_PRODUCERS = 5_000  # by partition, the latest; by number and not by age, for a quiet producer is still a producer
_WRAP = 0x7FFFFFFF


class _Written(NamedTuple):
    first: int
    last: int
    base: int


class Sequences:
    """Sequences of one partition, by producer id; the producer that wrote last comes last."""

    def __init__(self, snapshot: list[Any] | None = None) -> None:
        self._producers: dict[int, tuple[int, deque[_Written]]] = {
            producer: (epoch, deque((_Written(*item) for item in recent), maxlen=_REMEMBERED))
            for producer, epoch, recent in snapshot or []
        }

    def snapshot(self) -> list[Any]:
        """The state as JSON values."""
        return [[producer, epoch, list(recent)] for producer, (epoch, recent) in self._producers.items()]

    def repeated(self, header: Header) -> int | None:
        """The offset at which this very batch was written before, None when it is new. Raises Refused."""
        if header.producer_id < 0:
            return None
        epoch, recent = self._producers.get(header.producer_id, (-1, deque[_Written]()))
        if header.producer_epoch < epoch:
            raise Refused(Code.INVALID_PRODUCER_EPOCH, f"epoch {header.producer_epoch}, {epoch} is in use")
        last = (header.sequence + header.last_delta) & _WRAP
        expected = 0
        if header.producer_epoch == epoch:
            for written in recent:
                if (written.first, written.last) == (header.sequence, last):
                    return written.base
            expected = (recent[-1].last + 1) & _WRAP
        if header.sequence != expected:
            raise Refused(Code.OUT_OF_ORDER_SEQUENCE_NUMBER, f"sequence {header.sequence}, {expected} is next")
        return None

    def record(self, header: Header, base: int) -> None:
        """Remember a batch that was written at ``base``."""
        if header.producer_id < 0:
            return
        epoch, recent = self._producers.pop(header.producer_id, (-1, deque[_Written](maxlen=_REMEMBERED)))
        if epoch != header.producer_epoch:
            recent = deque(maxlen=_REMEMBERED)
        recent.append(_Written(header.sequence, (header.sequence + header.last_delta) & _WRAP, base))
        self._producers[header.producer_id] = (header.producer_epoch, recent)
        if len(self._producers) > _PRODUCERS:
            del self._producers[next(iter(self._producers))]
