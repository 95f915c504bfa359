"""All that a connector author needs to know.

A connector reads one department system. It yields pages of changes and the position after each; it has no loop, thread
or retry of its own, and knows nothing of Kafka. The producer drives it: it asks again and again, publishes each page,
and saves a position only once what it stands for is durable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

Position = Mapping[str, Any]
"""A point from which reading can safely restart: a small JSON object of the connector's own, opaque to all others."""


@dataclass(frozen=True, slots=True)
class Dataset:
    """One table or file kind of a source, as declared, and what discovery adds to it."""

    name: str
    columns: Mapping[str, str] = field(default_factory=dict)
    key: Sequence[str] = ()
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Upsert:
    """A record as the source holds it now.

    ``key`` names it in the source. ``record`` holds JSON values under the source's column names, unchanged in meaning.
    ``at`` is its own point in the source (a cursor value, a file and row): a repeated read gives the same one.
    ``committed_at`` (ISO 8601, UTC) is when the source committed it, where the source knows. ``place`` is where a
    person finds it.
    """

    key: str
    record: dict[str, Any]
    at: str
    committed_at: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """A record is gone from the source."""

    key: str
    at: str
    committed_at: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a person must decide before the connector does more: an error's code, what was found, and what answers it."""

    code: str
    finding: str
    fix: str


@dataclass(frozen=True, slots=True)
class Page:
    """Changes in the order of reading, and the position after them.

    ``snapshot``: these rows are a first copy, not changes that just happened. ``duplicates`` and ``stale`` count records
    that the connector itself recognised as read before, or as older than what it has read, and left out. ``done`` and
    ``total``: rows so far and rows in all of the piece of work at hand, where known. ``notes``: what a person should
    hear. ``asks``: all questions that are open at this position. ``mark``: ``complete``, after these rows all that the
    dataset holds was read since its beginning, and what did not come is gone; ``cleared``, all that was read before is.
    """

    changes: Sequence[Upsert | Delete]
    position: Position
    snapshot: bool = False
    duplicates: int = 0
    stale: int = 0
    done: int | None = None
    total: int | None = None
    notes: Sequence[str] = ()
    asks: Sequence[Question] = ()
    mark: Literal["complete", "cleared"] | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check. ``error`` is the error that the finding would raise in use, for its code and exit code."""

    level: Literal["ok", "warn", "fail"]
    subject: str
    text: str
    error: Exception | None = None


class Connector(Protocol):
    """How to read one system."""

    def check(self) -> Iterable[Finding]:
        """Each thing that reading needs, in order, with the fix where it is missing. Changes nothing."""

    def discover(self) -> Iterable[Dataset]:
        """What is in the source, declared or not."""

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        """Pages after this position (None: from the beginning), until there is nothing more for now."""

    def close(self) -> None:
        """Let go of connections."""


@runtime_checkable
class Confirming(Protocol):
    """A connector whose source keeps what was not confirmed yet, such as PostgreSQL its log."""

    def confirm(self, dataset: str, position: Position) -> None:
        """This position of a page is durable at the next stage: the source need not keep what lies before it."""


@runtime_checkable
class Retaining(Protocol):
    """A connector whose source keeps what was not read yet, such as PostgreSQL its log. While a dataset is paused it is
    asked now and then."""

    def retained(self, dataset: str) -> Sequence[str]:
        """What a person should hear of that: once each time that it becomes too much. Raises as ``pull`` does."""


@runtime_checkable
class Sparing(Protocol):
    """A connector that does not look at its source in every ``pull``, to spare it."""

    def looked(self, dataset: str) -> bool:
        """Whether the last ``pull`` that came to its end had looked."""


@runtime_checkable
class Copying(Protocol):
    """A connector that can give all that a dataset holds now, apart from what ``pull`` keeps. ``copies`` is for all."""

    def copy(self, dataset: str) -> Iterator[Page]:
        """Pages of all records, once each; what is flagged as deleted is given as such. It leaves nothing behind in the
        source. Only for a connector with a state directory of its own. Raises as ``pull`` does."""


def copies(connector: Connector, dataset: str) -> Iterator[Page]:
    """All that a dataset holds now, from a connector that nobody else pulls and that has a state directory of its own:
    its ``copy``, or, where it has none, ``pull`` from the beginning until there is nothing more for now."""
    yield from connector.copy(dataset) if isinstance(connector, Copying) else connector.pull(dataset, None)


@dataclass(frozen=True, slots=True)
class Sought:
    """Where reading is to go back to: the position, where it stands in the source's own words, and how many rows come again."""

    position: Position
    stands: str
    rows: int


@runtime_checkable
class Seeking(Protocol):
    """A connector that goes back to a place in its source which a person names."""

    def sought(self, dataset: str, after: Position, place: str) -> Sought:
        """From where all comes again that lies at this place or behind it. Reads, and changes nothing. Raises PlaceUnknown."""


@runtime_checkable
class Sampling(Protocol):
    """A connector that shows what it could read, before anything is declared, at little cost to the source: it counts
    nothing and orders nothing. One without it is sampled by the first page of ``pull``."""

    def outline(self, schemas: Iterable[str] = ()) -> Iterable[Dataset]:
        """As ``discover``, also of these schemas, and without the number of rows."""

    def sample(self, name: str, rows: int) -> list[dict[str, Any]]:
        """Up to so many records of what ``outline`` calls by this name, as ``pull`` would give them."""
