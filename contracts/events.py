"""Canonical events of ``community.resident``: what a source record says about a resident, or no longer says.

Kafka key: the resident id. The value is one of the models below as JSON; ``type`` and ``version`` say which. A reader
gets the newest version always: older ones are lifted by ``UPCASTS`` when read. Two headers number the events without
gaps per (input partition of streams -> output partition), so that a reader can drop what it has seen and stop on a gap
(guarantee 2).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from contracts.errors import EventUnreadable

RESIDENT_TOPIC = "community.resident"

ORIGIN_HEADER = "ce_source"
"""CloudEvents ``source``: the input partition that the event was decided from, ``department.hrss.insured_person/0``."""
REMAP_ORIGIN = "remap."
"""How ``ce_source`` begins where no input partition led to an event, but a remap: ``remap.hrss.insured_person/0``. Such an
event says again, under a mended mapping, what came long ago."""
NUMBER_HEADER = "ce_sequence"
"""CloudEvents extension ``sequence``: 0, 1, 2 … per (``ce_source`` -> output partition)."""

Value = str | int | bool | None


class Event(BaseModel):
    """What all events about a source record share.

    ``record_key`` is the keyed hash of the record's key; (system, dataset, record_key) names the record. ``revision``
    numbers the decisions about one record: 1, 2, 3 …; a greater one supersedes. ``event_id`` is the ``ce_id`` of the
    change event that led here.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    newest: ClassVar[int] = 1

    resident_id: str
    system: str
    dataset: str
    record_key: str
    revision: int
    event_id: str
    committed_at: str | None = Field(
        None, description="when the source committed the change, ISO 8601; null if unknown"
    )


class RecordAsserted(Event):
    """A source record speaks of this resident, and says these things.

    ``fields`` holds canonical values by canonical name (``contracts.fields``): days as ISO 8601, months as ``yyyy-mm``,
    money in 分 (fen), codes of the national sets. ``originals`` keeps the source's own value of each field that was
    mended, ``mends`` says how. ``provisional``: the record has no ID number, and the resident is this record alone.
    ``as_of``: when the department says that it last dealt with the record, in its own words, as ISO 8601 local time.
    """

    type: Literal["RecordAsserted"] = "RecordAsserted"
    version: Literal[1] = 1
    fields: dict[str, Value]
    originals: dict[str, str] = {}
    mends: dict[str, str] = {}
    provisional: bool = False
    as_of: str | None = None


class RecordRetracted(Event):
    """A source record no longer speaks of this resident.

    ``moved_to``: it speaks of another one now (its ID number was corrected); that resident's ``RecordAsserted`` of the
    same revision was emitted first. None: the record is gone from the source.
    """

    type: Literal["RecordRetracted"] = "RecordRetracted"
    version: Literal[1] = 1
    moved_to: str | None = None


class RecordHeld(Event):
    """The newest version of a record that speaks of this resident is in quarantine; what an older one said still stands."""

    type: Literal["RecordHeld"] = "RecordHeld"
    version: Literal[1] = 1
    reason: str


class Fast(msgspec.Struct, tag_field="type", frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """An event on the hot path: msgspec reads it three times as fast as pydantic. A test holds each twin to its model."""

    version: Literal[1]
    resident_id: str
    system: str
    dataset: str
    record_key: str
    revision: int
    event_id: str
    committed_at: str | None = None


class Asserted(Fast, tag="RecordAsserted", frozen=True, gc=False):
    """``RecordAsserted`` as it is read."""

    fields: dict[str, Value]
    originals: dict[str, str] = {}
    mends: dict[str, str] = {}
    provisional: bool = False
    as_of: str | None = None


class Retracted(Fast, tag="RecordRetracted", frozen=True, gc=False):
    """``RecordRetracted`` as it is read."""

    moved_to: str | None = None


class Held(Fast, tag="RecordHeld", frozen=True, gc=False):
    """``RecordHeld`` as it is read."""

    reason: str


ResidentEvent = Asserted | Retracted | Held
EVENTS: tuple[type[Event], ...] = (RecordAsserted, RecordRetracted, RecordHeld)

Upcast = Callable[[dict[str, Any]], dict[str, Any]]
UPCASTS: dict[tuple[str, int], Upcast] = {}
"""(type, version) -> the function that makes version + 1 of it. None was needed yet."""

_decode_many = msgspec.json.Decoder(list[ResidentEvent]).decode


def upcast(event: dict[str, Any], upcasts: dict[tuple[str, int], Upcast] = UPCASTS) -> dict[str, Any]:
    """Lift an event of any older version to the newest, step by step."""
    while (step := upcasts.get((event.get("type", ""), event.get("version", 0)))) is not None:
        lifted = step(dict(event))
        if lifted.get("version") != event["version"] + 1:
            raise EventUnreadable(
                f"the upcast of {event['type']} version {event['version']} does not make the next version"
            )
        event = lifted
    return event


def decode(values: Sequence[bytes], upcasts: dict[tuple[str, int], Upcast] = UPCASTS) -> list[ResidentEvent]:
    """The events of a batch, each in its newest version. Raises EventUnreadable when one is not an event."""
    try:
        if not upcasts:  # nothing is older than the newest: one pass from bytes to events
            found = _decode_many(b"[" + b",".join(values) + b"]")
            if len(found) != len(values):
                raise EventUnreadable("a value is empty, or several events")
            return found
        lifted = [upcast(msgspec.json.decode(value), upcasts) for value in values]
        return msgspec.convert(lifted, list[ResidentEvent])
    except (ValueError, msgspec.MsgspecError) as error:
        raise EventUnreadable(str(error).splitlines()[0]) from error


def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema (2020-12) of each event, by ``type.vN``."""
    return {f"{model.__name__}.v{model.newest}": model.model_json_schema() for model in EVENTS}
