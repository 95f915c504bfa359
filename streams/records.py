"""Records as a consumer gives them, in the form in which streams and the view take them."""

from __future__ import annotations

from typing import Any

from contracts.errors import EventUnreadable
from contracts.events import NUMBER_HEADER, ORIGIN_HEADER
from projections.engine import Arrival
from streams.intake import Incoming


def incoming(record: Any) -> Incoming:
    """A record of a department's topic as intake takes it."""
    headers = dict(record.headers)
    key, event_id, sequence = map(_text, (record.key, headers.get("ce_id"), headers.get("ce_sequence")))
    return Incoming(record.offset, key, event_id, sequence, record.value or b"")


def _text(raw: bytes | None) -> str:
    """What a producer wrote, whichever it was; no database takes a NUL."""
    return (raw or b"").decode(errors="replace").replace("\0", "\ufffd")


def arrival(record: Any) -> Arrival:
    """A record of a community topic as the engine takes it. Raises EventUnreadable when it is not numbered."""
    headers = dict(record.headers)
    try:
        return Arrival(record.offset, headers[ORIGIN_HEADER].decode(), int(headers[NUMBER_HEADER]), record.value or b"")
    except (KeyError, ValueError) as error:
        place = f"the event at {record.topic}/{record.partition}, offset {record.offset},"
        raise EventUnreadable(
            f"no origin and number in its headers {ORIGIN_HEADER} and {NUMBER_HEADER}", place
        ) from error
