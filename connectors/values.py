"""Values and keys of a source as JSON and text, unchanged in meaning."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from contracts.sources import DatasetSource


def joined_key(parts: Iterable[Any]) -> str:
    """The key columns of a record as one text: joined by ``|``, with ``\\`` before a ``|`` or ``\\`` inside a value."""
    return "|".join(str(part).replace("\\", "\\\\").replace("|", "\\|") for part in parts)


def storable(value: Any) -> Any:
    """A cursor or key value as a position holds it: text, or a whole number."""
    return value if value is None or (isinstance(value, int) and not isinstance(value, bool)) else str(value)


def json_value(value: Any) -> Any:
    """A value as JSON holds it.

    Decimal as text (money loses no digit), dates and times in ISO 8601, bytes in hexadecimal; integers beyond 64 bits and
    numbers that JSON lacks (NaN, infinity) as text.
    """
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 63 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {str(name): json_value(item) for name, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [json_value(item) for item in value]
    if isinstance(value, (Decimal, UUID, timedelta)):
        return str(value)
    return str(value)


def declared_columns(dataset: DatasetSource) -> list[str]:
    """The columns that a source file names: key, mapped, and those that choose records or mark them as deleted; in that
    order, each once."""
    mapped = [name for item in dataset.map.values() for name in (item.column, item.when) if name is not None]
    flag = [dataset.deleted.column] if dataset.deleted is not None else []
    return list(dict.fromkeys([*dataset.key, *mapped, *dataset.where, *flag]))
