"""The way through the pages of an API: what to ask for next, where it ends, and when it can't be trusted.

Records move while pages are read: one that is removed, or changed in a list that is sorted by time, draws those after it
towards the front, past the border of the next page.

``offset``  Each page begins a few records before the end of the one before. One of these must be in it, unchanged; then
            nothing that stood after it can have been missed, whatever moved. Else the look begins anew.
``page``    Pages can't overlap. So after each page the one before is read once more: what moved across the border is
            found there, unless as many records came in before it at the same moment.
``token``,  The API knows where it was; how well, it must say.
``link``

A place is a small JSON object; None stands for the first page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from connectors._rest_answers import MISSING, dig
from connectors._rest_client import Answer
from contracts.errors import AnswerShapeWrong, PagingEndless
from contracts.sources import Paging

ANCHORS = 20  # records, by which a page shows that it goes on where the one before ended
BARREN = 100  # pages in a row without anything new: nobody has so many gaps
Place = dict[str, Any]


class Shifted(Exception):
    """A page does not show that it goes on where the one before ended."""


class Walk:
    """One way through, from a place on. ``ended``: the last page was taken."""

    def __init__(self, paging: Paging, page_rows: int, what: str, place: Place | None = None) -> None:
        self._paging, self._page_rows, self._what = paging, page_rows, what
        self.place, self.ended, self.requests = place, False, 0
        self._last: Sequence[int] = ()
        self._alike = 0
        self._named = {_name(place)}
        self._barren = 0

    @property
    def link(self) -> str | None:
        """Path and query of the address to ask, where the API has named it."""
        return self.place["link"] if self.place is not None and self._paging.by == "link" else None

    @property
    def parameters(self) -> dict[str, str]:
        """Which page to ask for."""
        paging, place = self._paging, self.place or {}
        size = {paging.size: str(self._page_rows)} if paging.size else {}
        if paging.param is None or (paging.by == "token" and not place):
            return size
        value = {"page": place.get("page", paging.first), "offset": place.get("offset", 0)}.get(paging.by)
        return size | {paging.param: str(place["token"] if value is None else value)}

    def take(self, answer: Answer, marks: Sequence[int], total: int | None, link: str | None = None) -> None:
        """Go on after a page with these records; ``link`` is the next address, already judged.

        Raises Shifted, PagingEndless; AnswerShapeWrong where ``next`` is no plain value.
        """
        self.requests += 1
        if self._paging.by == "none" or (self.place is None and total is not None and len(marks) >= total):
            self.ended = True
        elif self._paging.by == "page":
            self._page(list(marks))
        elif self._paging.by == "offset":
            self._offset(list(marks))
        else:
            self._named_next(answer, link, empty=not marks)

    def note(self, *, new: bool) -> None:
        """Count pages without anything new. Raises PagingEndless when there are too many."""
        self._barren = 0 if new else self._barren + 1
        if self._barren >= BARREN:
            raise self._endless(f"{BARREN} pages in a row held nothing new")

    def _page(self, marks: list[int]) -> None:
        place = self.place or {"page": self._paging.first}
        number, anchors = place["page"], place.get("anchors", [])
        if "then" in place:  # read once more, after the page behind it
            if anchors and not set(anchors) & set(marks):
                raise Shifted
            self.ended = place["then"] is None
            self.place = None if self.ended else {"page": place["then"], "anchors": place["ahead"]}
            return
        self._compare(marks, f"page {number} is the same as the two before it")
        ahead = marks[-ANCHORS:]
        if self.place is not None:
            then = number + 1 if marks else None
            self.place = {"page": number - 1, "anchors": anchors, "then": then, "ahead": ahead}
        elif marks:
            self.place = {"page": number + 1, "anchors": ahead}
        else:
            self.ended = True

    def _offset(self, marks: list[int]) -> None:
        place = self.place or {"offset": 0, "anchors": []}
        offset, anchors = place["offset"], set(place["anchors"])
        if anchors and not anchors & set(marks):
            raise Shifted
        if set(marks) <= anchors:
            self.ended = True
            return
        self._compare(marks, f"what lies from {offset} on is the same as on the two pages before")
        kept = min(len(marks) - 1, max(1, len(marks) // 10), ANCHORS)
        self.place = {"offset": offset + len(marks) - kept, "anchors": marks[len(marks) - kept :]}

    def _compare(self, marks: Sequence[int], finding: str) -> None:
        """Raises PagingEndless when pages are alike. Twice may be chance: as many records came in as a page has."""
        self._alike = self._alike + 1 if marks and marks == self._last else 0
        self._last = marks
        if self._alike >= 2:
            raise self._endless(finding)

    def _named_next(self, answer: Answer, link: str | None, *, empty: bool) -> None:
        following = link if self._paging.by == "link" else named(answer, self._paging, self._what)
        if following is None:
            self.ended = True
            return
        place: Place = {str(self._paging.by): following}
        if _name(place) in self._named:
            if empty and place == self.place:  # "the next page is this one" is how some say that there is none yet
                self.ended = True
                return
            raise self._endless("a page that was already read is named as the next one")
        self._named.add(_name(place))
        self.place = place

    def _endless(self, why: str) -> PagingEndless:
        paging = self._paging
        return PagingEndless(
            f"{self._what}: the pages have no end: {why}",
            fix=f"correct endpoint.paging (by: {paging.by}, param: {paging.param}, next: {paging.next}) as the API wants it",
        )


def named(answer: Answer, paging: Paging, what: str) -> str | None:
    """What an answer names as its next page, None where it is the last one. Raises AnswerShapeWrong."""
    if paging.next is None:
        return answer.link
    found = dig(answer.body, paging.next)
    if found is MISSING or found is None or found is False or found == "":
        return None
    if isinstance(found, (str, int)) and not isinstance(found, bool):
        return str(found)
    raise AnswerShapeWrong(
        f"{what}: what lies at {paging.next} is neither text nor a number",
        fix="correct paging.next of the endpoint",
    )


def _name(place: Place | None) -> int:
    return hash(str(place))
