"""One dataset of an API: what is asked for, and what of an answer is given. Shared by both ways of reading it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar
from urllib.parse import unquote_plus, urlencode

from connectors._rest_answers import Batch, batch, total
from connectors._rest_client import Answer, Client, Clocks
from connectors._rest_paging import Walk, named
from connectors.base import Page
from contracts.citizen import id_number
from contracts.errors import AnswerNotJson, AnswerShapeWrong, ColumnMissing, KeyRepeated, ReadIncomplete, RequestRefused
from contracts.sources import Endpoint, Source
from contracts.texts import Refused

T = TypeVar("T")
_BREATH_S = 1.0  # a stop is heard at the next page: the longest wait without one
_RESTARTS = 3  # beginning anew so often within one look, its records move faster than they can be read
_LIKE_AN_ID = re.compile(r"(?<!\d)(\d{17}[\dXx])\d{0,3}(?![\dXx])")  # alone, or in a disability card's number


@dataclass(frozen=True, slots=True)
class Asked:
    """A page as it came."""

    answer: Answer
    batch: Batch
    total: int | None


class Api:
    """How to ask for one dataset."""

    def __init__(self, source: Source, name: str, client: Client, clocks: Clocks) -> None:
        self.name, self.declared, self.clocks, self.client = (
            f"{source.system}.{name}",
            source.datasets[name],
            clocks,
            client,
        )
        self.connector, self._breath = source.connector, clocks.monotonic()

    @property
    def endpoint(self) -> Endpoint:
        """Where the dataset lies."""
        assert self.declared.endpoint is not None
        return self.declared.endpoint

    def walk(self, place: dict[str, Any] | None = None) -> Walk:
        """A way through its pages."""
        return Walk(self.endpoint.paging, self.connector.page_rows, self.name, place)

    def ask(self, walk: Walk, *, since: str | None = None, conditions: Mapping[str, str] | None = None) -> Asked:
        """The page that the walk stands at. Raises what ``Client.get`` does, AnswerShapeWrong and ColumnMissing."""
        try:
            answer = self.client.get(self._address(walk, since), conditions)
            if answer.unchanged and not conditions:
                raise AnswerNotJson(
                    f"{self.name}: the API answers that nothing has changed (304), which it was not asked",
                    fix="let the department look at the cache before the API",
                )
        except AnswerNotJson:
            self.client.forget_login()  # a login page
            raise
        try:
            found = batch(answer.body, self.declared, self.name)
            return Asked(answer, found, total(answer.body, self.endpoint, self.name))
        except (AnswerShapeWrong, ColumnMissing) as error:
            trouble = type(error)(self.client.hidden(error.finding), fix=error.fix)  # columns may be called anything
        self.client.forget_login()  # that is how many an API says that a token has expired
        raise trouble

    def _address(self, walk: Walk, since: str | None) -> str:
        if walk.link is not None:
            return self.client.host + walk.link
        endpoint = self.endpoint
        query = {name: str(value) for name, value in endpoint.query.items()} | walk.parameters
        if endpoint.since is not None and (since or endpoint.since.start):
            query[endpoint.since.param] = since or endpoint.since.start or ""
        address = self.client.address(endpoint.path)
        return address + ("&" if "?" in address else "?") + urlencode(query) if query else address

    def take(self, walk: Walk, asked: Asked, since: str | None = None) -> None:
        """Let the walk go on. Raises what ``Walk.take`` does; RequestRefused for an address that may not be followed."""
        paging, link = self.endpoint.paging, None
        following = named(asked.answer, paging, self.name) if paging.by in ("token", "link") else None
        if following is not None:
            if _holds_id(unquote_plus(following)):
                raise RequestRefused(
                    f"{self.name}: the API wants an ID number in the address of its next page",
                    fix="ask the department for paging by number, offset or an opaque token",
                )
            if paging.by == "link":
                link = self.client.following(self._address(walk, since), following)
        walk.take(asked.answer, asked.batch.marks, asked.total, link)

    def pause(self, page: Callable[[], Page]) -> Iterator[Page]:
        """Wait for the API's pace, with a page without changes now and then, at which a stop is heard."""
        while self.client.wait_s() > _BREATH_S:
            self.clocks.sleep(_BREATH_S)
            yield page()

    def page(self, changes: Any, position: Mapping[str, Any], **fields: Any) -> Page:
        """A page, which is a breath."""
        self._breath = self.clocks.monotonic()
        return Page(changes, dict(position), **fields)

    @property
    def out_of_breath(self) -> bool:
        """Whether no page was given for so long that a stop might wait."""
        return self.clocks.monotonic() - self._breath > _BREATH_S

    # what goes wrong -------------------------------------------------------------------------------------------------

    def repeated(self, count: int) -> KeyRepeated:
        """What is wrong with a page in which records share a key."""
        return KeyRepeated(
            f"{self.name}: {count} records of one page have the key of another one and different content; the last is taken",
            fix="set key to columns that together name one record, or let the department remove the double ones",
        )

    def too_few(self, came: int, announced: int) -> ReadIncomplete:
        """What is wrong when the pages end too early."""
        return ReadIncomplete(
            f"{self.name}: {came} records came, and the API says that there are {announced}; nobody is deleted",
            fix=f"nothing, if it happens once; if {self.endpoint.total} counts records that this login may not see, leave"
            " out endpoint.total",
        )

    def too_restless(self) -> ReadIncomplete:
        """What is wrong when no page goes on where the one before ended."""
        return ReadIncomplete(
            f"{self.name}: the records move on faster than they can be read page by page",
            fix="raise connector.page_rows, or page by token or link, if the API can",
        )


class Restarts:
    """How often a look began anew."""

    def __init__(self, api: Api) -> None:
        self._api, self._count = api, 0

    def count(self) -> None:
        """Once more. Raises ReadIncomplete when it was too often."""
        self._count += 1
        if self._count >= _RESTARTS:
            raise self._api.too_restless()


class Recent(Generic[T]):
    """What came latest, by a number; what came longest ago is forgotten past ``limit``."""

    def __init__(self, limit: int) -> None:
        self._limit, self._values = limit, dict[int, T]()

    def get(self, number: int) -> T | None:
        """What came last under this number."""
        return self._values.get(number)

    def put(self, number: int, value: T) -> bool:
        """Remember it; gives whether there was nothing under this number."""
        new = number not in self._values
        self._values.pop(number, None)
        self._values[number] = value
        if len(self._values) > self._limit:
            del self._values[next(iter(self._values))]
        return new


def expected(totals: list[int] | None) -> int:
    """How many records must have come at least, given what the API said first and last: some may come or go meanwhile."""
    return min(totals) if totals else 0


def _holds_id(text: str) -> bool:
    """Whether there is an ID number in a text, with a day that there is and the right check character."""
    for found in _LIKE_AN_ID.findall(text):
        try:
            id_number(found, on=date.max)
        except Refused:
            continue
        return True
    return False
