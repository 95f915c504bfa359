"""From the bytes that an API sends to the records of a page: JSON, where in it the records lie, and each as flat columns."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

from connectors._rest_cursors import Point, point
from connectors.base import Delete, Upsert
from connectors.values import joined_key, json_value
from contracts.citizen import masked
from contracts.errors import AnswerNotJson, AnswerShapeWrong, AnswerTruncated, ColumnMissing
from contracts.sources import DatasetSource, Endpoint

MISSING: Final = object()
_LARGER = {"gbk": "gb18030", "gb2312": "gb18030", "cp936": "gb18030", "utf-8": "utf-8-sig", "ascii": "utf-8-sig"}
_NAMES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Row:
    """One record of a page. ``key`` is None where it has no readable one; ``mark`` tells its content from any other; ``point``
    is what its cursor stands for."""

    key: str | None
    record: dict[str, Any]
    mark: int
    point: Point | None

    @property
    def number(self) -> int:
        """Stands for the record wherever its content does not matter."""
        return _number(self.key) if self.key is not None else self.mark


@dataclass(frozen=True, slots=True)
class Batch:
    """The records of one page. ``rows``: of several with one key the latest, or else the last; ``marks``: of all, in order.

    ``repeated`` counts records that gave way to another one with the same key, no later cursor, and different content.
    """

    rows: Sequence[Row]
    marks: Sequence[int]
    repeated: int

    @property
    def unreadable(self) -> int:
        """How many have no readable key."""
        return sum(row.key is None for row in self.rows)


# bytes to JSON -------------------------------------------------------------------------------------------------------


def parsed(body: bytes, charset: str | None, what: str) -> Any:
    """The JSON of an answer. ``what`` names it in messages. Fractions come as text, so that money loses no digit.

    Raises AnswerNotJson, AnswerTruncated.
    """
    text = _decoded(body, charset, what).strip()
    if text[:1] == "<":
        raise AnswerNotJson(
            f"{what} answers with a web page instead of JSON",
            fix="if it is a login page, correct connector.login; else correct connector.url and path of the endpoint",
        )
    try:
        return json.loads(text, parse_float=str, parse_constant=str)
    except RecursionError:
        finding = f"{what} answers with JSON that is nested too deeply to be a list of records"
        raise AnswerNotJson(finding, fix="correct path of the endpoint") from None
    except ValueError as error:
        at = error.pos if isinstance(error, json.JSONDecodeError) else 0
        if at >= len(text) or (isinstance(error, json.JSONDecodeError) and "Unterminated" in error.msg):
            raise AnswerTruncated(
                f"{what} answers with JSON that ends too early",
                fix="nothing, if it happens once; else lower connector.page_rows, and ask the department about its gateway",
            ) from None
        raise AnswerNotJson(
            f"{what} answers with something that is no JSON, at character {at + 1}",
            fix="correct connector.url and path of the endpoint, or ask the department for an answer in JSON",
        ) from None


def _decoded(body: bytes, charset: str | None, what: str) -> str:
    """The text, in the charset of the header; JSON without one is UTF-8 (RFC 8259, 8.1)."""
    try:
        name = codecs.lookup(charset or "utf-8").name
        return body.decode(_LARGER.get(name, name))
    except LookupError:
        found = f"names the charset {(charset or '')[:20]!r}, which there is not"
    except UnicodeDecodeError as error:
        found = f"has bytes that {charset or 'utf-8'} does not allow, the first is number {error.start + 1}"
    raise AnswerNotJson(
        f"the answer of {what} {found}", fix="let the department name the true charset in the header Content-Type"
    ) from None


# JSON to records -----------------------------------------------------------------------------------------------------


def dig(document: Any, path: str) -> Any:
    """What lies at a path of names joined by dots, MISSING where nothing does."""
    for name in path.split(".") if path else ():
        if not isinstance(document, dict) or name not in document:
            return MISSING
        document = document[name]
    return document


def total(document: Any, endpoint: Endpoint, what: str) -> int | None:
    """How many records there are in all, where the API tells it. Raises AnswerShapeWrong."""
    if endpoint.total is None or document is None:
        return None
    found = dig(document, endpoint.total)
    if isinstance(found, (int, str)) and not isinstance(found, bool) and str(found).isdecimal():
        return int(found)
    raise AnswerShapeWrong(
        f"{what}: there is no number at {endpoint.total}; {_shape(document)}",
        fix="correct total of the endpoint, or leave it out",
    )


def batch(document: Any, declared: DatasetSource, what: str) -> Batch:
    """The records of an answer; an answer without content has none.

    Raises AnswerShapeWrong where they are not at ``records``; ColumnMissing where none has the key or the cursor column.
    """
    endpoint = declared.endpoint
    assert endpoint is not None
    found = [] if document is None else dig(document, endpoint.records)
    if found is None:  # "data": null is how many an API says that there is nothing
        found = []
    if not isinstance(found, list):
        raise AnswerShapeWrong(
            f"{what}: there is no list at {endpoint.records or 'the top'}; {_shape(document)}",
            fix="correct records of the endpoint; if the answer is an error of the API, ask the department",
        )
    if found and not any(isinstance(each, dict) for each in found):
        raise AnswerShapeWrong(
            f"{what}: what is in the list at {endpoint.records or 'the top'} are no objects",
            fix="correct records of the endpoint: each record must be an object with named values",
        )
    records = [flat(each) if isinstance(each, dict) else None for each in found]
    _check_columns(records, declared, what)
    rows = [_row(record, raw, declared) for record, raw in zip(records, found, strict=True)]
    latest: dict[int, Row] = {}
    repeated = 0
    for row in rows:
        known = latest.get(row.number, row)
        repeated += known.mark != row.mark and not older(row.point, known.point) and not older(known.point, row.point)
        if not older(row.point, known.point):
            latest[row.number] = row
    return Batch(list(latest.values()), [row.mark for row in rows], repeated)


def older(one: Point | None, other: Point | None) -> bool:
    """Whether a cursor value stands before another one; no when one of them says nothing."""
    return one is not None and other is not None and one < other  # type: ignore[operator]  # both are of one form


def flat(record: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A record with nested objects as columns of their own: ``{"a": {"b": 1}}`` is ``{"a.b": 1}``. Lists stay as they are."""
    columns: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, dict) and value:
            columns |= flat(value, f"{prefix}{name}.")
        else:
            columns[prefix + name] = json_value(value)
    return columns


def _check_columns(records: Sequence[dict[str, Any] | None], declared: DatasetSource, what: str) -> None:
    """An API may leave out what is empty, so only a column that no record has is missing."""
    objects = [record for record in records if record is not None]
    for column in [*declared.key, *([declared.cursor] if declared.cursor else [])]:
        if objects and not any(column in record for record in objects):
            seen = sorted({name for record in objects[:20] for name in record})
            raise ColumnMissing(
                f"{what}: no record has {column}; there are {_listed(seen)}",
                fix="correct key and cursor in the source file, or let the department add the column",
            )


def _row(record: dict[str, Any] | None, raw: Any, declared: DatasetSource) -> Row:
    if record is None:
        record = {"unreadable_record": json_value(raw)}
    parts = [record.get(column) for column in declared.key]
    key = joined_key(parts) if all(_readable(part) for part in parts) else None
    if key is None:  # its key columns are emptied, so that it goes to quarantine for its key
        record |= {column: None for column, part in zip(declared.key, parts, strict=True) if not _readable(part)}
    content = json.dumps([key, record], sort_keys=True, ensure_ascii=False)
    since = declared.endpoint.since if declared.endpoint is not None else None
    return Row(key, record, _number(content), point(record.get(declared.cursor or ""), since.form) if since else None)


def _readable(part: Any) -> bool:
    return isinstance(part, (str, int)) and not isinstance(part, bool) and str(part).strip() != ""


def _number(text: str) -> int:
    """63 bits, which JSON and SQLite hold, that stand for a text."""
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def change(row: Row, declared: DatasetSource, at: str, committed_at: str | None = None) -> Upsert | Delete:
    """What a record says: that it is so, or, where it is marked as deleted, that it is gone."""
    endpoint = declared.endpoint
    path = endpoint.path if endpoint is not None else ""
    if row.key is None:
        return Upsert(f"{path}#{row.mark:016x}", row.record, at, committed_at, f"{path} (a record without its key)")
    names = " ".join(f"{column}={masked(str(row.record[column]))}" for column in declared.key)
    place = f"{path} {names}".encode(errors="replace").decode()
    if declared.deleted is not None and declared.deleted.says(row.record):
        return Delete(row.key, at, committed_at, place)
    return Upsert(row.key, row.record, at, committed_at, place)


def _shape(document: Any) -> str:
    """What an answer looks like, without any value."""
    if isinstance(document, dict):
        return f"the answer is an object with {_listed(sorted(document)) if document else 'nothing in it'}"
    return f"the answer is {'a list' if isinstance(document, list) else 'a single value'}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(masked(name[:40]) for name in names[:_NAMES_SHOWN])
    return shown + (", …" if len(names) > _NAMES_SHOWN else "")
