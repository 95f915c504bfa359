"""What a source file in ``sources/`` declares: the system, how to reach it, its datasets and what their columns mean."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from contracts.codesets import codeset
from contracts.fields import FIELDS, CanonicalField

NAME = r"^[a-z][a-z0-9_]{0,47}$"
_LONGEST_S = 86_400.0 * 31


class Declared(BaseModel):
    """A part of a settings file: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldMap(Declared):
    """From where, and how, one canonical field of a record gets its value.

    Either ``column``, or a constant ``value`` (with ``when``: only if that column says something). ``codes`` maps the
    source's codes to canonical ones; ``date`` is a strptime form; ``unit`` is that of money. A ``required`` field that
    says nothing sends the record to quarantine.
    """

    column: str | None = None
    value: str | None = None
    when: str | None = None
    codes: dict[str, str | bool] | None = None
    date: str | None = None
    unit: Literal["fen", "yuan"] | None = None
    required: bool = False

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.column is None) == (self.value is None):
            msg = "give either column or value"
            raise ValueError(msg)
        return self


class DatasetSource(Declared):
    """One dataset: where it lies, what names a record, what its columns say, and how fresh it should be.

    ``cursor``: the column that orders changes (``sql``). ``pattern``: the file name, with ``{period}`` for year and
    month (``files``). ``columns``: the names of the columns of files that have no header; ``widths``: how many bytes each
    has, where they are of fixed width. ``sheet``: of a workbook, with ``{month}`` or ``{period}`` where each month has its
    own; else the one that names most of the columns. ``where``: column -> the values wanted, or a prefix ending in ``*``;
    other records are counted as filtered. ``disappear_limit``: the share of records that may be absent from the next full dump. ``refuse_limit``: the
    share of refusals past which the dataset pauses.
    """

    title: str = ""
    table: str | None = None
    schema_name: str | None = None
    pattern: str | None = None
    key: list[str] = Field(min_length=1)
    cursor: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    columns: list[str] = []
    widths: list[int] = []
    sheet: str | None = None
    where: dict[str, list[str]] = {}
    map: dict[str, FieldMap] = Field(min_length=1)
    fresh_s: float = Field(5.0, gt=0, le=_LONGEST_S)
    disappear_limit: float = Field(0.05, ge=0, le=1)
    refuse_limit: float = Field(0.5, gt=0, le=1)

    @field_validator("map", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        """``name: aac003`` is short for ``name: {column: aac003}``."""
        if isinstance(value, dict):
            return {key: {"column": item} if isinstance(item, str) else item for key, item in value.items()}
        return value

    @field_validator("map")
    @classmethod
    def _canonical_names(cls, value: dict[str, FieldMap]) -> dict[str, FieldMap]:
        for name, how in value.items():
            if name not in FIELDS:
                msg = f"{name} is not a canonical field; known: {', '.join(FIELDS)}"
                raise ValueError(msg)
            flaw = _flaw(FIELDS[name], how)
            if flaw is not None:
                msg = f"{name}: {flaw}"
                raise ValueError(msg)
        return value


def _flaw(field: CanonicalField, how: FieldMap) -> str | None:
    """What of a mapping does not fit the kind of its field, None if all does."""
    if how.unit is not None and field.kind != "money":
        return f"unit is for money, and this is a {field.kind}"
    if how.date is not None and field.kind != "day":
        return f"date is for days, and this is a {field.kind}"
    if how.date is not None and not _names_a_day(how.date):
        return f"date {how.date!r} is no form with year, month and day, such as %Y%m%d"
    if how.codes is not None and field.kind == "flag":
        wrong = [value for value in how.codes.values() if not isinstance(value, bool)]
        return f"codes give true or false, not {wrong[0]}" if wrong else None
    if how.codes is not None and field.kind != "code":
        return f"codes are for coded fields, and this is a {field.kind}"
    if field.kind == "code":
        return _wrong_code(field, [*(how.codes or {}).values(), *([how.value] if how.value is not None else [])])
    return None


def _wrong_code(field: CanonicalField, values: list[str | bool]) -> str | None:
    known = codeset(field.codeset or field.name).codes
    wrong = [value for value in values if value not in known]
    if not wrong:
        return None
    some = ", ".join(list(known)[:8]) + (", …" if len(known) > 8 else "")
    return f"{wrong[0]} is not a canonical code; known: {some}"


def _names_a_day(form: str) -> bool:
    day = datetime(1987, 12, 31, tzinfo=UTC)
    try:
        return datetime.strptime(day.strftime(form), form).date() == day.date()  # noqa: DTZ007 - a day alone
    except ValueError:
        return False


class ConnectorSource(Declared):
    """How to reach the system. ``url`` and ``password_file`` for ``sql`` and ``postgres``; ``folder`` for ``files``.

    ``capture`` of ``postgres``: ``log`` reads the database's log (logical replication), ``poll`` its tables. ``slot``: the
    name of replication slot and publication, ``onewindow_<system>`` unless given; two deployments that read one server
    need names of their own. ``wal_warn_mb``: from how much log that the server keeps for this slot on it is said;
    ``wal_limit_mb``: from how much on the slot is given up, to protect the server; the datasets are then read anew.

    ``every_s``: pause between two looks at the source. ``overlap_s``: how far a poll reaches back for rows whose
    transaction committed late. ``settle_s``: how long a file must have been at rest.
    ``done``: the ending of a file beside the dump that says the department is done with it, such as ``.done``.
    """

    kind: Literal["sql", "postgres", "files"]
    url: str | None = None
    password_file: str | None = None
    capture: Literal["log", "poll", "snapshot"] = "poll"
    slot: str | None = Field(None, pattern=NAME)
    wal_warn_mb: int = Field(1024, ge=1)
    wal_limit_mb: int | None = Field(None, ge=1)
    folder: str | None = None
    every_s: float = Field(1.0, gt=0, le=_LONGEST_S)
    overlap_s: float = Field(10.0, ge=0, le=_LONGEST_S)
    settle_s: float = Field(1.0, ge=0, le=_LONGEST_S)
    done: str | None = Field(None, pattern=r"^\.[A-Za-z0-9_]{1,16}$")
    page_rows: int = Field(2_000, ge=1, le=100_000)

    @property
    def pause_s(self) -> float:
        """Between two looks. One at a log waits by itself for what comes."""
        return 0.01 if self.capture == "log" else self.every_s

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.kind != "files" and not self.url:
            msg = f"kind {self.kind} needs url"
            raise ValueError(msg)
        if self.capture == "log" and self.kind != "postgres":
            msg = "capture log needs kind postgres"
            raise ValueError(msg)
        if self.kind == "files" and not self.folder:
            msg = "kind files needs folder"
            raise ValueError(msg)
        return self


class Source(Declared):
    """A department system, as its source file declares it."""

    system: str = Field(pattern=NAME)
    title: str
    owner: str
    connector: ConnectorSource
    datasets: dict[str, DatasetSource]

    @field_validator("datasets")
    @classmethod
    def _names(cls, value: dict[str, DatasetSource]) -> dict[str, DatasetSource]:
        for name in value:
            if not re.match(NAME, name):
                msg = f"dataset {name!r}: use small letters, digits and _"
                raise ValueError(msg)
        return value


def department_topic(system: str, dataset: str) -> str:
    """The topic that holds the changes of a dataset."""
    return f"department.{system}.{dataset}"


def quarantine_topic(system: str, dataset: str) -> str:
    """The topic that holds the refusals of a dataset."""
    return f"quarantine.{system}.{dataset}"
