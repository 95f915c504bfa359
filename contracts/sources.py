"""What a source file in ``sources/`` declares: the system, how to reach it, its datasets and what their columns mean."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from contracts.citizen import masked
from contracts.codesets import codeset
from contracts.dates import today
from contracts.fields import FIELDS, CanonicalField

NAME = r"^[a-z][a-z0-9_]{0,47}$"
_LONGEST_S = 86_400.0 * 31


class Declared(BaseModel):
    """A part of a settings file: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FieldMap(Declared):
    """From where, and how, one canonical field of a record gets its value.

    Either ``column``, or a constant ``value`` (with ``when``: only if that column says something; a day of zeros, such as
    00000000, says nothing). ``codes`` maps the source's codes to canonical ones; ``date`` is a strptime form; ``unit`` is
    that of money. ``form`` of an ID number: ``disability_card`` where the column holds the number of a disability card, which
    begins with it; category and level of the disability must then be those of the number. A ``required`` field that says
    nothing sends the record to quarantine.
    """

    column: str | None = None
    value: str | bool | None = None
    when: str | None = None
    codes: dict[str, str | bool] | None = None
    date: str | None = None
    unit: Literal["fen", "yuan"] | None = None
    form: Literal["disability_card"] | None = None
    required: bool = False

    @model_serializer(mode="wrap")
    def _as_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without a ``form`` that is not said: a declaration from before there was one is the same declaration."""
        found: dict[str, Any] = dump(self)
        if found.get("form") is None:
            found.pop("form", None)
        return found

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.column is None) == (self.value is None):
            msg = "give either column or value"
            raise ValueError(msg)
        return self


class DeletedFlag(Declared):
    """The column by which a system marks a record as deleted instead of removing it (``sql``, ``rest``), or by which a row of
    an exchange table says what was done with a record (``exchange``).

    ``values``: what it then says, as text; true and false are written so, and ``"*"`` stands for anything but nothing.
    """

    column: str
    values: list[str] = Field(min_length=1)

    @field_validator("values", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return [_flag_text(each) for each in value] if isinstance(value, list) else value

    def says(self, record: Mapping[str, Any]) -> bool:
        """Whether this record is marked as deleted."""
        text = _flag_text(record.get(self.column))
        return text in self.values or (text != "" and "*" in self.values)


def _flag_text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value).strip()


class Exchange(Declared):
    """How rows are handed over in an exchange table 前置库 (``exchange``), where the reader marks what it has.

    ``flag`` says ``unread`` in a row that nobody has read, and gets ``read`` once Kafka has its change. ``order``: the columns
    that together name one row of the exchange and say the order in which rows are to be taken, such as a sequence.
    ``read_at``: the column that gets the time at which the row was marked, where there is one.
    """

    flag: str
    unread: str = "0"
    read: str = "1"
    order: list[str] = Field(min_length=1)
    read_at: str | None = None

    @field_validator("unread", "read", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return _flag_text(value) if isinstance(value, (bool, int)) else value

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.unread == self.read:
            msg = f"unread and read are both {self.read}: what is read would be read again for ever"
            raise ValueError(msg)
        if len({self.flag, self.read_at, *self.order}) != len(self.order) + 2:
            msg = "flag, read_at and each column of order are different ones: the first two are written"
            raise ValueError(msg)
        return self

    @property
    def columns(self) -> list[str]:
        """All columns that it names."""
        return [*self.order, self.flag, *([self.read_at] if self.read_at is not None else [])]

    @property
    def written(self) -> list[str]:
        """The columns that OneWindow writes."""
        return [self.flag, *([self.read_at] if self.read_at is not None else [])]


class Paging(Declared):
    """How an API gives its records page by page.

    ``by``: ``page`` counts pages in ``param``, from ``first`` on; ``offset`` counts records in ``param``; ``token`` sends
    back in ``param`` what the answer holds at ``next``; ``link`` asks for the address that the answer holds at ``next``, or
    in its header Link where ``next`` is not given; ``none``: one answer holds all. ``size``: the parameter that gets
    ``page_rows``.
    """

    by: Literal["none", "page", "offset", "token", "link"] = "none"
    param: str | None = None
    size: str | None = None
    first: int = Field(1, ge=0)
    next: str | None = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        counted = self.by in ("page", "offset", "token")
        if counted != (self.param is not None):
            msg = f"by {self.by} {'needs' if counted else 'has no'} param"
            raise ValueError(msg)
        if self.by == "token" and self.next is None:
            msg = "by token needs next, where the answer holds the token of the next page"
            raise ValueError(msg)
        if self.by not in ("token", "link") and self.next is not None:
            msg = f"by {self.by} has no next"
            raise ValueError(msg)
        return self


class Since(Declared):
    """The parameter that asks an API for what has changed since: it gets the last cursor value, less ``overlap_s``.

    ``form`` of cursor and parameter: ``iso`` (as the records write it), ``epoch_s``, ``epoch_ms``, ``number`` (one that
    rises with each change), or a strptime form. Without a zone it is China's time. ``start``: what the first look asks for,
    where the API wants the parameter always.
    """

    param: str
    form: str = "iso"
    start: str | None = None

    @field_validator("form")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in ("iso", "epoch_s", "epoch_ms", "number") and not ("%" in value and _names_a_day(value)):
            msg = f"form {value!r} is none of iso, epoch_s, epoch_ms, number, or a strptime form such as %Y%m%d%H%M%S"
            raise ValueError(msg)
        return value


class Endpoint(Declared):
    """One list of records of an API (``rest``), below ``connector.url``.

    ``records`` and ``total``: where in the answer the records lie, and how many there are in all, as names joined by dots;
    without ``records`` the answer itself is the list. ``query``: parameters that are always sent.
    """

    path: str
    query: dict[str, str | int] = {}
    records: str = ""
    total: str | None = None
    paging: Paging = Paging()
    since: Since | None = None

    @model_validator(mode="after")
    def _about_nobody(self) -> Self:
        if any(masked(text) != text for text in (self.path, *map(str, self.query.values()))):
            msg = "an ID number may not stand in an address; a query about one person is no dataset"
            raise ValueError(msg)
        return self


class DatasetSource(Declared):
    """One dataset: where it lies, what names a record, what its columns say, and how fresh it should be.

    ``cursor``: the column that orders changes (``sql``); without it, the whole table is read each time. ``pattern``: the file name, with ``{period}`` for year and
    month (``files``). ``columns``: the names of the columns of files that have no header; ``widths``: how many bytes each
    has, where they are of fixed width. ``sheet``: of a workbook, with ``{month}`` (and ``{year}``) or ``{period}`` where each month has
    its own; else the one that names most of the columns. ``where``: column -> the values wanted, or a prefix ending in ``*``;
    other records are counted as filtered. ``disappear_limit``: the share of records that may be absent from the next full dump. ``refuse_limit``: the
    share of refusals past which the dataset pauses. ``endpoint``: the list of an API (``rest``). ``deleted``: the column
    that marks deleted records (``sql``, ``rest``).
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
    endpoint: Endpoint | None = None
    deleted: DeletedFlag | None = None
    exchange: Exchange | None = None
    map: dict[str, FieldMap] = Field(min_length=1)
    fresh_s: float = Field(5.0, gt=0, le=_LONGEST_S)
    disappear_limit: float = Field(0.05, ge=0, le=1)
    refuse_limit: float = Field(0.5, gt=0, le=1)

    @model_serializer(mode="wrap")
    def _as_said(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without an ``exchange`` that is not said: a declaration from before there was one is the same declaration."""
        found: dict[str, Any] = dump(self)
        if found.get("exchange") is None:
            found.pop("exchange", None)
        return found

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
    if how.form is not None and (field.kind != "id_number" or how.column is None):
        return f"form {how.form} is for the column of an ID number"
    if how.date is not None and field.kind != "day":
        return f"date is for days, and this is a {field.kind}"
    if how.date is not None and not _names_a_day(how.date):
        return f"date {how.date!r} is no form with year, month and day, such as %Y%m%d"
    if isinstance(how.value, bool) != (field.kind == "flag") and how.value is not None:
        return f"its value is {'true or false' if field.kind == 'flag' else 'text'}, not {how.value}"
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


class Login(Declared):
    """How to show an API who asks. The secret is that of ``connector.password_file``.

    ``by``: ``header`` sends it in ``header`` behind ``prefix`` (``Bearer `` in Authorization, else nothing); ``basic`` with
    ``user``; ``token`` posts ``body`` to ``path``, as ``encoded``, with ``{user}`` and ``{password}`` filled in, and sends
    what the answer holds at ``token`` in the header, until it expires (``expires``: where the answer says in how many
    seconds) or is refused.
    """

    by: Literal["header", "basic", "token"]
    user: str | None = None
    header: str = Field("Authorization", pattern=r"^[A-Za-z0-9-]+$")
    prefix: str | None = None
    path: str | None = None
    encoded: Literal["json", "form"] = "json"
    body: dict[str, str] = {"username": "{user}", "password": "{password}"}
    token: str = "access_token"  # noqa: S105 - a name
    expires: str = "expires_in"

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.by == "basic" and (self.user is None or ":" in self.user):
            msg = "by basic needs user, without a colon in it"
            raise ValueError(msg)
        if self.by == "token" and self.path is None:
            msg = "by token needs path, where a token is given"
            raise ValueError(msg)
        if self.by == "token" and self.user is None and any("{user}" in text for text in self.body.values()):
            msg = "body has {user} in it, so user is needed"
            raise ValueError(msg)
        return self

    @property
    def before(self) -> str:
        """What stands before the secret in the header."""
        if self.prefix is not None:
            return self.prefix
        return "Bearer " if self.header.lower() == "authorization" else ""


class ConnectorSource(Declared):
    """How to reach the system. ``url`` and ``password_file`` for ``sql``, ``postgres``, ``mysql`` and ``exchange``; ``folder``
    for ``files``.

    ``capture`` of ``postgres`` and ``mysql``: ``log`` reads the database's log (logical replication, the row binlog), ``poll``
    its tables. ``slot``: the name of replication slot and publication, ``onewindow_<system>`` unless given; two deployments
    that read one server need names of their own. ``wal_warn_mb``: from how much log that the server keeps for this slot on it is said;
    ``wal_limit_mb``: from how much on the slot is given up, to protect the server; the datasets are then read anew.

    ``rest``: ``url`` is the address that endpoints lie below, ``login`` how to show who asks; ``requests_per_s`` is never
    exceeded, ``timeout_s`` the longest that one answer may take, ``answer_limit_mb`` how large it may be. ``capture``
    ``poll`` asks for what has changed since the last cursor value, ``snapshot`` reads everything each time.

    ``python``: ``use`` names the connector's class, as ``package.module:Class`` or by an entry point of the group
    ``onewindow.connectors``; ``options`` are for that class alone.

    ``every_s``: pause between two looks at the source. ``overlap_s``: how far a poll reaches back for rows whose
    transaction committed late. ``settle_s``: how long a file must have been at rest.
    ``done``: the ending of a file beside the dump that says the department is done with it, such as ``.done``.
    """

    kind: Literal["sql", "postgres", "mysql", "exchange", "files", "rest", "python"]
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
    login: Login | None = None
    requests_per_s: float = Field(5.0, gt=0, le=1_000)
    timeout_s: float = Field(30.0, gt=0, le=300)
    answer_limit_mb: int = Field(16, ge=1, le=1_024)
    use: str | None = Field(None, pattern=r"^[\w.-]+(:[\w.]+)?$")
    options: dict[str, Any] = {}

    @property
    def pause_s(self) -> float:
        """Between two looks. One at a log waits by itself for what comes."""
        return 0.01 if self.capture == "log" else self.every_s

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.kind not in ("files", "python") and not self.url:
            msg = f"kind {self.kind} needs url"
            raise ValueError(msg)
        if self.capture == "log" and self.kind not in ("postgres", "mysql"):
            msg = "capture log needs kind postgres or mysql"
            raise ValueError(msg)
        if self.kind == "exchange" and self.capture != "poll":
            msg = "kind exchange has capture poll alone: an exchange table holds changes, and never all records"
            raise ValueError(msg)
        if self.kind == "files" and not self.folder:
            msg = "kind files needs folder"
            raise ValueError(msg)
        if (self.kind == "python") != (self.use is not None) or (self.options and self.kind != "python"):
            msg = "kind python needs use, the connector's class; use and options are for kind python"
            raise ValueError(msg)
        if self.kind == "rest":
            _check_address(self.url or "")
        if self.login is not None and (self.kind != "rest" or self.password_file is None):
            msg = "login is for kind rest, and needs password_file"
            raise ValueError(msg)
        return self


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        msg = "url of kind rest is an address such as https://api.example.cn/v1"
        raise ValueError(msg)
    if "@" in parts.netloc or parts.query or parts.fragment:
        msg = "url of kind rest has no user, password, ? or # in it: they belong into login, password_file and query"
        raise ValueError(msg)


class Owner(Declared):
    """Who answers for a system, and from which day on (in China): systems move between departments."""

    name: str
    since: date | None = None


class Source(Declared):
    """A department system, as its source file declares it. ``owner``: who mends what is refused; several, in order, where
    the system changed hands: the first from the beginning, each other one since its day."""

    system: str = Field(pattern=NAME)
    title: str
    owner: list[Owner] = Field(min_length=1)
    connector: ConnectorSource
    datasets: dict[str, DatasetSource]

    def owner_on(self, day: date) -> str:
        """Who answers for the system on this day."""
        return next(
            (each.name for each in reversed(self.owner) if each.since and each.since <= day), self.owner[0].name
        )

    def owner_now(self) -> str:
        """Who answers for the system today."""
        return self.owner_on(today())

    @field_validator("owner", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return [{"name": value}] if isinstance(value, str) else value

    @field_validator("owner")
    @classmethod
    def _in_order(cls, value: list[Owner]) -> list[Owner]:
        days = [each.since or date.min for each in value]
        if days != sorted(set(days)):
            msg = "each owner after the first needs since, a day later than the one before"
            raise ValueError(msg)
        return value

    @field_validator("datasets")
    @classmethod
    def _names(cls, value: dict[str, DatasetSource]) -> dict[str, DatasetSource]:
        for name in value:
            if not re.match(NAME, name):
                msg = f"dataset {name!r}: use small letters, digits and _"
                raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        for name, item in self.datasets.items():
            flaw = _unfit(self.connector, item)
            if flaw is not None:
                msg = f"datasets.{name}: {flaw}"
                raise ValueError(msg)
        return self


def _unfit(connector: ConnectorSource, dataset: DatasetSource) -> str | None:
    """What of a dataset does not fit the kind of its connector, None if all does."""
    if (connector.kind == "exchange") != (dataset.exchange is not None):
        return "exchange is for kind exchange" if dataset.exchange is not None else "kind exchange needs exchange"
    if dataset.exchange is not None and dataset.cursor is not None:
        return "kind exchange has no cursor: the flag tells what was read"
    rest, polled = connector.kind == "rest", connector.capture == "poll"
    if dataset.deleted is not None and not (rest or (polled and connector.kind != "files")):
        return "deleted is for kinds sql and rest, and for the others where capture is poll"
    if rest != (dataset.endpoint is not None):
        return "kind rest needs endpoint" if rest else "endpoint is for kind rest"
    if rest and polled and (dataset.cursor is None or dataset.endpoint is None or dataset.endpoint.since is None):
        return "capture poll of kind rest needs cursor and endpoint.since; without them set capture: snapshot"
    if rest and not polled and dataset.endpoint is not None and dataset.endpoint.since is not None:
        return "capture snapshot reads everything: endpoint.since is for capture poll"
    return None


def department_topic(system: str, dataset: str) -> str:
    """The topic that holds the changes of a dataset."""
    return f"department.{system}.{dataset}"


def quarantine_topic(system: str, dataset: str) -> str:
    """The topic that holds the refusals of a dataset."""
    return f"quarantine.{system}.{dataset}"
