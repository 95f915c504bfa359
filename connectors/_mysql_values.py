"""Values of MySQL and MariaDB, the same whether they come from the table or from the binary log."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pymysql.constants import FIELD_TYPE
from pymysqlreplication.constants.NONE_SOURCE import EMPTY_SET

from connectors.values import json_value

_BY_NUMBER = {
    FIELD_TYPE.BIT: "bit", FIELD_TYPE.SET: "set", FIELD_TYPE.FLOAT: "float", FIELD_TYPE.JSON: "json",
}  # fmt: skip


def values_of(event: Any, row: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A row of an event of the log; of an update the one ``before_`` or ``after_``."""
    kinds = {column.name: _BY_NUMBER.get(column.type, "") for column in event.columns}
    empty = {name for name, why in (row.get(f"{prefix}none_sources") or {}).items() if why == EMPTY_SET}
    return {
        name: "" if name in empty else _value(kinds.get(name, ""), value)
        for name, value in row[f"{prefix}values"].items()
    }


def row_of(names: Sequence[str], kinds: Mapping[str, str], values: Sequence[Any]) -> dict[str, Any]:
    """A row of the table; ``kinds`` are its types as the server names them."""
    return {name: _value(kinds.get(name, ""), value) for name, value in zip(names, values, strict=True)}


def _value(kind: str, value: Any) -> Any:
    if value is None or (isinstance(value, str) and value.startswith("0000-00-00")):
        return None  # a day that there is not; the log does not tell it from none
    if kind == "bit":
        return f"{int.from_bytes(value, 'big'):b}" if isinstance(value, bytes) else value.lstrip("0") or "0"
    if kind == "set":
        return ",".join(sorted(value if isinstance(value, set | frozenset) else filter(None, value.split(","))))
    if kind == "float":
        return float(f"{value:.6g}")
    if kind == "json":
        return json.dumps(json.loads(value) if isinstance(value, str | bytes) else _text(value),
                          ensure_ascii=False, sort_keys=True)  # fmt: skip
    return json_value(value)


def _text(value: Any) -> Any:
    """JSON of the log, whose texts are bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_text(name): _text(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_text(item) for item in value]
    return value
