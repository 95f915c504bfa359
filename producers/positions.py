"""Where each dataset's reading stands: the compacted topic ``onewindow.positions``, one partition.

Key: ``<system>.<dataset>/<epoch>``. Value: JSON, ``Saved``. The greatest epoch of a dataset counts. Each start claims the
next epoch and carries the position over; a process that only seems dead goes on saving under its old epoch, where it
does no harm. Two that start at once may write the same epoch: the claim with the lower offset has it, the other one sees
that when it reads its own claim back, and takes the next.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from connectors.base import Question
from contracts.errors import BrokerUnreachable
from contracts.sources import department_topic
from producers._kafka import Reader, reader
from producers.publisher import Publisher, Record
from producers.topics import POSITIONS, raise_if_damaged

NOTES_KEPT = 20


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What is known to be durable of one dataset's reading, and the books that the connectors' side keeps.

    ``sequence`` counts pages over all epochs. ``reading`` is the epoch that began from the beginning; ``numbers`` are the
    next ones of that reading's events in each partition (``producers.events``), as of ``position``. ``published`` counts change events, ``duplicates`` and ``stale`` records
    that the connector recognised and left out. ``again``: events in the topic beside those, written before a crash and
    published once more after it. ``notes``: the latest, with the time of each. ``asks``: the questions that are open.
    ``sought`` is the latest wish to go back that was fulfilled. ``owner`` names the process that claimed the epoch.
    """

    epoch: int
    sequence: int = 0
    reading: int = 0
    numbers: tuple[int, ...] = ()
    position: dict[str, Any] | None = None
    published: int = 0
    again: int = 0
    duplicates: int = 0
    stale: int = 0
    notes: tuple[str, ...] = ()
    asks: tuple[Question, ...] = ()
    snapshot_done: bool = False
    saved_at: str = ""
    sought: str = ""
    owner: str = ""


class Wish(NamedTuple):
    """A person's wish that a dataset be read from this position on, and a name that no other wish has. ``reading``: the one
    that had come past it; another reading has to come there by itself."""

    name: str
    position: dict[str, Any]
    reading: int


@dataclass(slots=True)
class _Found:
    """What the topic says of one dataset: per epoch the latest value, and its owners in the order of their claims."""

    saved: dict[int, Saved] = field(default_factory=dict)
    owners: dict[int, list[str]] = field(default_factory=dict)

    @property
    def latest(self) -> Saved | None:
        """The one that counts."""
        return self.saved[max(self.saved)] if self.saved else None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Saved).decode


def iso(at: float) -> str:
    """Seconds since 1970 as ISO 8601, UTC, with milliseconds."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def saved_record(system: str, dataset: str, saved: Saved) -> Record:
    """The record that saves a position."""
    return Record(f"{system}.{dataset}/{saved.epoch}".encode(), _encode(saved), (), 0)


def claim(
    publisher: Publisher,
    bootstrap: str,
    system: str,
    dataset: str,
    *,
    restart: bool = False,
    seek: Wish | None = None,
    owner: Callable[[], str] = lambda: secrets.token_hex(8),
    now: Callable[[], float] = time.time,
    wait_s: float = 30.0,
) -> Saved:
    """Take the next epoch of a dataset, carry its position over (not with ``restart``; ``seek``: the one of that wish in its
    place, unless the dataset is being read from its beginning since), and tombstone older epochs.

    The topic's end tells how many events a crash left there beyond what was saved. An end that is too low is a loss, and
    is carried over as such, until ``restart`` reads all of it again.

    Raises BrokerUnreachable, PublishFailed; TopicWrong when the topic is missing, LogDamaged when it can't be read.
    """
    deadline, me, topic = time.monotonic() + wait_s, owner(), department_topic(system, dataset)
    publisher.partitions(POSITIONS.name)  # a missing topic is said here
    raise_if_damaged(bootstrap, [POSITIONS.name])
    with reader(bootstrap, f"{system}.{dataset}", POSITIONS.name) as source:
        found = _Found()
        end = source.begin()
        while source.offset < end:
            _take(found, f"{system}.{dataset}", source.records(0.2))
            _in_time(deadline, bootstrap)
        in_topic = source.ends([topic]).get(topic, 0)
        while True:
            old = found.latest or Saved(epoch=0)
            anew = restart or old.position is None
            back = seek.position if seek is not None and old.snapshot_done and old.reading == seek.reading else None
            mine = msgspec.structs.replace(
                old,
                epoch=old.epoch + 1,
                reading=old.epoch + 1 if anew else old.reading,
                numbers=() if anew else old.numbers,
                position=None if anew else back or old.position,
                sought=seek.name if seek is not None else old.sought,
                again=in_topic - old.published if restart else max(old.again, in_topic - old.published),
                snapshot_done=old.snapshot_done and not restart,
                saved_at=iso(now()),
                owner=me,
            )
            publisher.publish(POSITIONS.name, [saved_record(system, dataset, mine)])
            publisher.flush()
            while me not in found.owners.get(mine.epoch, ()):
                _take(found, f"{system}.{dataset}", source.records(0.2))
                _in_time(deadline, bootstrap)
            if found.owners[mine.epoch][0] == me:
                break
    older = [Record(f"{system}.{dataset}/{epoch}".encode(), None, (), 0) for epoch in found.saved if epoch < mine.epoch]
    # The claim once more: a log that ended in a tombstone would end in a hole once that is compacted away, and whoever
    # reads up to the end would wait there for ever.
    publisher.publish(POSITIONS.name, [*older, saved_record(system, dataset, mine)])
    return mine


def load(bootstrap: str, *, wait_s: float = 30.0) -> Mapping[str, Saved]:
    """The latest of every dataset, by ``<system>.<dataset>``. For books and status; it claims nothing.

    Raises BrokerUnreachable; LogDamaged when the topic can't be read.
    """
    raise_if_damaged(bootstrap, [POSITIONS.name])
    deadline, found = time.monotonic() + wait_s, dict[str, _Found]()
    with reader(bootstrap, "onewindow-books", POSITIONS.name) as source:
        for record in _until_end(source, deadline, bootstrap):
            name = record[1].decode().rpartition("/")[0]
            _take(found.setdefault(name, _Found()), name, [record])
    return {name: item.latest for name, item in found.items() if item.latest is not None}


def _until_end(source: Reader, deadline: float, bootstrap: str) -> list[tuple[int, bytes, bytes | None]]:
    records, end = [], source.begin()
    while source.offset < end:
        records += source.records(0.2)
        _in_time(deadline, bootstrap)
    return records


def _take(found: _Found, name: str, records: list[tuple[int, bytes, bytes | None]]) -> None:
    for _, key, value in records:
        dataset, _, number = key.decode().rpartition("/")
        if dataset != name:
            continue
        epoch = int(number)
        if value is None:
            found.saved.pop(epoch, None)
            continue
        saved = _decode(value)
        found.saved[epoch] = saved
        owners = found.owners.setdefault(epoch, [])
        if saved.owner not in owners:
            owners.append(saved.owner)


def _in_time(deadline: float, bootstrap: str) -> None:
    if time.monotonic() > deadline:
        raise_if_damaged(bootstrap, [POSITIONS.name])
        raise BrokerUnreachable(
            f"{POSITIONS.name} at {bootstrap} could not be read in time",
            fix="look at the broker's log; it is tried again",
        )
