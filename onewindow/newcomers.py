"""Sources that are added while the roles work: a new file in ``sources/`` is taken without a restart.

A file that changes is not: what was begun under it must end first, so whoever changed it starts the role again, or runs
``onewindow remap`` for a mended mapping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

import structlog

from contracts.errors import OneWindowError
from contracts.sources import Source
from onewindow.settings import Deployment

log = structlog.get_logger()

T = TypeVar("T")


class Newcomers(Generic[T]):
    """Looks for them. ``make`` makes of them what the role works with; while it raises, they are looked at again."""

    def __init__(self, deployment: Deployment, make: Callable[[Deployment, list[Source]], list[T]]) -> None:
        self.deployment, self._make = deployment, make
        self._systems = {source.system for source in deployment.sources}
        self._files, self._said = dict[str, int](), ""  # a file may have come while the deployment was read

    def _look_at_files(self) -> dict[str, int]:
        found = {}
        for path in (self.deployment.directory / "sources").glob("*.yaml"):
            try:
                found[path.name] = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # taken away between the two
        return found

    def look(self) -> list[T]:
        """What was made of the sources that came since, each once; ``deployment`` is then the one that they belong to."""
        files = self._look_at_files()
        if files == self._files:
            return []
        try:
            found = Deployment(self.deployment.directory)
            come = [source for source in found.sources if source.system not in self._systems]
            made = self._make(found, come) if come else []
        except OneWindowError as error:
            if str(error) != self._said:
                log.warning("sources/ can't be taken as it is", code=error.code, finding=error.finding, fix=error.fix)
            self._said = str(error)
            return []
        self._files, self._said = files, ""
        if come:
            self.deployment = found
            self._systems |= {source.system for source in come}
            log.info("sources are added", systems=[source.system for source in come])
        return made
