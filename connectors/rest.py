"""Reads the HTTP APIs of departments that give lists of records as JSON, page by page, as a source file declares them.

Two ways: ``capture: poll`` (``_rest_poll``) asks for what has changed since, ``capture: snapshot`` (``_rest_full``) reads
everything each time and finds out what is gone. Either holds one page at a time. Requests only read (GET), and an API about
one person that wants an ID number in its address is nothing for this connector (guarantee 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from connectors._ledger import Ledgers
from connectors._rest_client import Client, Clocks
from connectors._rest_dataset import Api, Asked
from connectors._rest_full import FullMemory, FullRead
from connectors._rest_poll import Poll, PollMemory
from connectors.base import Dataset, Finding, Page, Position
from connectors.values import declared_columns
from contracts.errors import OneWindowError, PositionLost
from contracts.sources import Source

_SKEW_S = 60.0  # beyond so much difference of clocks one is wrong
_KINDS = {str: "text", bool: "boolean", int: "integer", list: "list", dict: "object", type(None): "null"}


class RestConnector:
    """One API. ``state`` is a directory for what full reads have given. Different datasets may be pulled by different threads.

    Raises SettingInvalid for a secret that is missing or can't be sent.
    """

    def __init__(self, source: Source, password: str | None, state: Path, *, clocks: Clocks | None = None) -> None:
        self._source, self._state, self._clocks = source, state, clocks or Clocks()
        self._client = Client(source, password, self._clocks)
        self._apis = {name: Api(source, name, self._client, self._clocks) for name in source.datasets}
        self._polls = {name: PollMemory() for name in source.datasets}
        self._fulls = {name: FullMemory() for name in source.datasets}
        self._ledgers = Ledgers(state, source.system)

    def close(self) -> None:
        """Let go of connections and files."""
        self._client.close()
        self._ledgers.close()

    # reading ---------------------------------------------------------------------------------------------------------

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        """One look, or one full read, from where the position stands.

        Raises PositionLost, SourceUnreachable, SourceRefused, SourceThrottled, PrivilegeMissing, TableMissing, ColumnMissing,
        SettingInvalid, RequestRefused, AnswerNotJson, AnswerTruncated, AnswerTooLarge, AnswerShapeWrong, PagingEndless and
        ReadIncomplete.
        """
        full = self._source.connector.capture == "snapshot"
        if after is not None and ("ledger" in after) != full:
            raise PositionLost(
                f"{self._source.system}.{dataset}: connector.capture was changed; all is read anew",
                fix="nothing to do: the dataset is read from the beginning",
            )
        serial, api = after["serial"] if after is not None else None, self._apis[dataset]
        if full:
            if after is None or serial != self._fulls[dataset].serial:  # not where the last page ended
                self._fulls[dataset] = FullMemory(serial=serial)
            yield from FullRead(api, self._fulls[dataset], self._ledgers.of(dataset), after).pages()
        else:
            if after is None or serial != self._polls[dataset].serial:
                self._polls[dataset] = PollMemory(serial=serial)
            yield from Poll(api, self._polls[dataset], after).pages()

    # looking around --------------------------------------------------------------------------------------------------

    def check(self) -> Iterable[Finding]:
        """Ask each dataset for its first page: network, TLS, login, clock, and the declared columns."""
        seen = False
        for name, api in self._apis.items():
            subject = f"{self._source.system}.{name}"
            try:
                asked = api.ask(api.walk())
            except OneWindowError as error:
                yield Finding("fail", subject, str(error), error)
                continue
            if not seen:
                yield from self._reached(asked)
                seen = True
            yield from self._first_page(subject, api, asked)

    def _reached(self, asked: Asked) -> Iterator[Finding]:
        subject, login = self._source.system, self._source.connector.login
        yield Finding("ok", subject, f"{self._client.host} answers" + (", and accepts the login" if login else ""))
        if asked.answer.at is None:
            yield Finding("warn", subject, "the API does not tell its clock (header Date): ours stands for it")
            return
        ahead_s = (asked.answer.at - datetime.fromtimestamp(self._clocks.now(), UTC)).total_seconds()
        if abs(ahead_s) > _SKEW_S:
            way = "ahead of" if ahead_s > 0 else "behind"
            yield Finding("warn", subject, f"the API's clock is {abs(ahead_s):.0f} s {way} ours: one of them is wrong")
        else:
            yield Finding("ok", subject, "the API's clock and ours agree")

    def _first_page(self, subject: str, api: Api, asked: Asked) -> Iterator[Finding]:
        """What the first page shows."""
        batch, declared, path = asked.batch, api.declared, api.endpoint.path
        rows, in_all = len(batch.marks), f" of {asked.total}" if asked.total is not None else ""
        yield Finding("ok", subject, f"{path}: {rows}{in_all} records on the first page, with the declared key")
        columns = _columns(batch.rows)
        missing = [name for name in declared_columns(declared) if name not in columns]
        if rows and missing:
            yield Finding("warn", subject, f"no record of the first page has {', '.join(missing)}")
        if batch.unreadable:
            yield Finding("warn", subject, f"{batch.unreadable} records of the first page have no readable key")
        if batch.repeated:
            error = api.repeated(batch.repeated)
            yield Finding("fail", subject, str(error), error)
        if asked.total is not None and rows < min(asked.total, self._source.connector.page_rows):
            yield Finding(
                "warn", subject,
                f"the API gives {rows} records a page, not {self._source.connector.page_rows}: set connector.page_rows to that",
            )  # fmt: skip
        yield from self._cursor(subject, api, asked)

    def _cursor(self, subject: str, api: Api, asked: Asked) -> Iterator[Finding]:
        since = api.endpoint.since
        if since is None:
            if api.endpoint.total is None:
                yield Finding(
                    "warn",
                    subject,
                    "the API tells no total: of a full read that ends too early only disappear_limit tells",
                )
            return
        unread = sum(row.point is None for row in asked.batch.rows)
        if unread:
            yield Finding(
                "warn",
                subject,
                f"{unread} records of the first page have no {api.declared.cursor} in the form {since.form}",
            )
        if since.form == "number":
            yield Finding(
                "warn", subject,
                f"the cursor {api.declared.cursor} is no point in time: what is committed late is missed, and so are records"
                " that the API does not give in their order",
            )  # fmt: skip

    def discover(self) -> Iterable[Dataset]:
        """The declared datasets, with the columns of their first page. Raises what ``pull`` does."""
        for name, api in self._apis.items():
            asked = api.ask(api.walk())
            yield Dataset(name, _columns(asked.batch.rows), tuple(api.declared.key), asked.total)

    def outline(self, schemas: Iterable[str] = ()) -> Iterable[Dataset]:  # noqa: ARG002 - an API has none
        """As ``discover``, without the number of records."""
        return [Dataset(each.name, each.columns, each.key) for each in self.discover()]

    def sample(self, name: str, rows: int) -> list[dict[str, Any]]:
        """Up to so many records of the first page of a declared dataset."""
        api = self._apis[name]
        return [row.record for row in islice(api.ask(api.walk()).batch.rows, rows)]


def _columns(rows: Iterable[Any]) -> dict[str, str]:
    """The columns of these records, each with the kind of its first value that says something."""
    columns: dict[str, str] = {}
    for row in rows:
        for name, value in row.record.items():
            kind = _KINDS[type(value)]
            if columns.get(name, "null") == "null":
                columns[name] = kind
    return columns
