"""All that a view author needs to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection, Table

from contracts.events import ResidentEvent


class Projection(Protocol):
    """Folds events into tables. Deterministic: no clock, no network, no random number.

    ``version`` is raised when the meaning changes: a rebuild follows. The fold may not care where a batch was cut, how
    partitions interleave, nor whether it is the first time or a replay.
    """

    name: str
    version: int
    topics: Sequence[str]
    tables: Sequence[Table]

    def apply(self, events: Sequence[ResidentEvent], view: Connection) -> None:
        """Fold a batch, in order, inside the transaction that is given."""
