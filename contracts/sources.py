"""What a source file in ``sources/`` declares: the system, how to reach it, its datasets and what their columns mean."""

from __future__ import annotations

import re
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from contracts.fields import FIELDS

NAME = r"^[a-z][a-z0-9_]{0,47}$"


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
    month (``files``). ``where``: column -> the values wanted, or a prefix ending in ``*``; other records are counted as
    filtered. ``disappear_limit``: the share of records that may be absent from the next full dump. ``refuse_limit``: the
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
    where: dict[str, list[str]] = {}
    map: dict[str, FieldMap]
    fresh_s: float = 5.0
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
        for name in value:
            if name not in FIELDS:
                msg = f"{name} is not a canonical field; known: {', '.join(FIELDS)}"
                raise ValueError(msg)
        return value


class ConnectorSource(Declared):
    """How to reach the system. ``url`` and ``password_file`` for ``sql``; ``folder`` for ``files``.

    ``every_s``: pause between two looks at the source. ``overlap_s``: how far a poll reaches back for rows whose
    transaction committed late. ``settle_s``: how long a file must have been at rest.
    """

    kind: Literal["sql", "files"]
    url: str | None = None
    password_file: str | None = None
    capture: Literal["poll", "snapshot"] = "poll"
    folder: str | None = None
    every_s: float = Field(1.0, gt=0)
    overlap_s: float = Field(10.0, ge=0)
    settle_s: float = Field(1.0, ge=0)
    page_rows: int = Field(2_000, ge=1, le=100_000)

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.kind == "sql" and not self.url:
            msg = "kind sql needs url"
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
