"""The sample city: two department systems with the same people in both, and the truth about them.

Layout of its directory: ``hrss-pg/`` the cluster of 人社, ``hrss-password`` of its reader, ``ageing-drop/`` the dumps of
老龄, ``truth.sqlite``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Self

from examples.city.ageing import dumping
from examples.city.hrss import Hrss
from examples.city.records import ELDER, INSURED, PENSION, Record
from examples.city.registers import at_first
from examples.city.truth import FILE, Truth

_CHUNK = 10_000  # residents: some 20 MB of records at a time


class CityUnfinished(RuntimeError):
    """Another process is building this city, or a city of another size or seed is up in its directory."""


class City:
    """A city in a directory. The same residents and seed give the same departments, to the last byte of a dump."""

    def __init__(self, directory: Path, residents: int, seed: int) -> None:
        directory = directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.residents, self.seed = directory, residents, seed
        self.hrss, self.drop = Hrss(directory), directory / "ageing-drop"
        self.truth = Truth(directory / FILE)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """The city that was built in this directory. Raises FileNotFoundError where none was."""
        truth = Truth.open(directory)
        try:
            return cls(directory, truth.size, truth.seed)
        finally:
            truth.close()

    @property
    def url(self) -> str:
        """Where a pipeline reads 人社 with a login that may only read. The password is in ``hrss-password``."""
        return self.hrss.reader_url

    @property
    def is_built(self) -> bool:
        """Whether the departments are filled."""
        return self.truth.is_of(self.residents, self.seed)

    def build(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Fill the departments, unless that was done, and leave them down. What an interruption left is started over."""
        if not self.is_built:
            self.start(progress)
            self.hrss.stop()

    def start(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Bring the departments up, filling them first where ``build`` has not. ``progress``: residents done so far.

        Where another process has them up already, this joins in. Raises CityUnfinished when that one is not as far.
        """
        self.hrss.start()
        if self.is_built:
            return
        if not self.hrss.server.owned:
            raise CityUnfinished(f"{self.directory} is not built, and another process holds its PostgreSQL")
        try:
            self._fill(progress)
        except BaseException:
            self.hrss.stop()
            raise

    def _fill(self, progress: Callable[[int], None]) -> None:
        self.truth.begin(self.residents, self.seed)
        self.drop.mkdir(exist_ok=True)
        for old in self.drop.glob("ageing_elder_*.csv"):
            old.unlink()
        with dumping(self.drop, 0) as dump, self.hrss.filling():
            for first in range(0, self.residents, _CHUNK):
                numbers = range(first, min(first + _CHUNK, self.residents))
                found: dict[str, list[Record]] = {INSURED: [], PENSION: [], ELDER: []}
                for number in numbers:
                    for record in at_first(self.seed, number):
                        found[record.dataset].append(record)
                self.hrss.load(INSURED, found[INSURED])
                self.hrss.load(PENSION, found[PENSION])
                dump.add(found[ELDER])
                progress(numbers.stop)
        self.truth.finish()

    def stop(self) -> None:
        """Take the departments down, or leave them to the process that has them up."""
        self.hrss.stop()
        self.truth.close()
