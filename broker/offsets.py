"""Committed offsets of consumer groups, kept in a journal; they never expire."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from broker.journal import Journal


class Committed(NamedTuple):
    """A committed position: the next offset to read."""

    offset: int
    leader_epoch: int
    metadata: str


NOTHING = Committed(-1, -1, "")
Place = tuple[str, int]  # topic, partition


class Offsets:
    """What each group has committed."""

    def __init__(self, path: Path) -> None:
        self.journal = Journal(path)
        self._groups: dict[str, dict[Place, Committed]] = {}
        for key, value in self.journal.data.items():
            group, topic, partition = json.loads(key)
            self._groups.setdefault(group, {})[topic, partition] = Committed(*value)

    def of(self, group: str) -> dict[Place, Committed]:
        """All that a group has committed."""
        return self._groups.get(group, {})

    def groups(self) -> Iterable[str]:
        """The groups that have committed something."""
        return self._groups.keys()

    def commit(self, group: str, positions: dict[Place, Committed]) -> None:
        """Take down positions. Raises Refused, with nothing changed."""
        self.journal.put((_key(group, place), list(position)) for place, position in positions.items())
        self._groups.setdefault(group, {}).update(positions)

    def delete(self, group: str, places: Iterable[Place]) -> None:
        """Forget positions. Raises Refused, with nothing changed."""
        known = self._groups.get(group, {})
        doomed = [place for place in places if place in known]
        self.journal.put((_key(group, place), None) for place in doomed)
        for place in doomed:
            del known[place]
        if not known:
            self._groups.pop(group, None)

    def delete_topic(self, topic: str) -> None:
        """Forget the positions of all groups in a topic."""
        for group, known in list(self._groups.items()):
            self.delete(group, [place for place in known if place[0] == topic])


def _key(group: str, place: Place) -> str:
    return json.dumps([group, *place])
