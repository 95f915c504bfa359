"""The sample city: five department systems with the same people in them, and the truth about them.

Layout of its directory: ``hrss-pg/`` the cluster of 人社, ``hrss-password`` of its reader, ``civil_affairs-pg/`` and
``civil_affairs-password`` likewise of 民政, ``ageing-drop/`` the dumps of 老龄, ``grid-drop/`` those of 社区网格, ``disabled_persons.sqlite`` the register of 残联
and ``disabled_persons-password`` of its reader, ``truth.sqlite``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from examples.city.ageing import dumping
from examples.city.civil_affairs import CivilAffairs
from examples.city.disabled_persons import DisabledPersons
from examples.city.grid import registering
from examples.city.hrss import Hrss
from examples.city.records import DATASETS, ELDER, GRID, Record
from examples.city.registers import at_first
from examples.city.sql_department import SqlDepartment
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
        self.hrss, self.civil_affairs = Hrss(directory), CivilAffairs(directory)
        self.disabled_persons = DisabledPersons(directory)
        self.databases = {each.system: each for each in (self.hrss, self.civil_affairs)}
        self.departments: Mapping[str, SqlDepartment | DisabledPersons] = {
            **self.databases, self.disabled_persons.system: self.disabled_persons
        }  # fmt: skip
        self.drop, self.grid_drop = directory / "ageing-drop", directory / "grid-drop"
        self.truth = Truth(directory / FILE)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """The city that was built in this directory. Raises FileNotFoundError where none was."""
        truth = Truth.open(directory)
        try:
            return cls(directory, truth.size, truth.seed)
        finally:
            truth.close()

    def database(self, record: Record) -> SqlDepartment:
        """The department that holds this record in a database."""
        return self.databases[record.system]

    @property
    def is_built(self) -> bool:
        """Whether the departments are filled."""
        return self.truth.is_of(self.residents, self.seed)

    def build(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Fill the departments, unless that was done, and leave them down. What an interruption left is started over."""
        if not self.is_built:
            self.start(progress)
            self._take_down()

    def start(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Bring the departments up, filling them first where ``build`` has not. ``progress``: residents done so far.

        Where another process has them up already, this joins in. Raises CityUnfinished when that one is not as far.
        """
        try:
            self._bring_up()
            if self.is_built:
                return
            if not all(each.owned for each in self.departments.values()):
                raise CityUnfinished(f"{self.directory} is not built, and another process holds its departments")
            self._fill(progress)
        except BaseException:
            self._take_down()
            raise

    def _bring_up(self) -> None:
        """All at once: most of it is waiting, and making a cluster takes a second or two."""
        with ThreadPoolExecutor(len(self.departments)) as pool:
            for _ in pool.map(lambda each: each.start(), self.departments.values()):
                pass

    def _take_down(self) -> None:
        with ThreadPoolExecutor(len(self.departments)) as pool:
            for _ in pool.map(lambda each: each.stop(), self.departments.values()):
                pass

    def _fill(self, progress: Callable[[int], None]) -> None:
        self.truth.begin(self.residents, self.seed)
        for old in (*self.drop.glob("ageing_elder_*.csv"), *self.grid_drop.glob("grid_*.xlsx")):
            old.unlink()
        with ExitStack() as whole:
            dump = whole.enter_context(dumping(self.drop, 0))
            register = whole.enter_context(registering(self.grid_drop, 0))
            for each in self.departments.values():
                whole.enter_context(each.filling())
            for first in range(0, self.residents, _CHUNK):
                numbers = range(first, min(first + _CHUNK, self.residents))
                found: dict[str, list[Record]] = {dataset: [] for dataset in DATASETS}
                for number in numbers:
                    for record in at_first(self.seed, number):
                        found[record.dataset].append(record)
                for each in self.departments.values():
                    for dataset in each.tables:
                        each.load(dataset, found[dataset])
                dump.add(found[ELDER])
                register.add(found[GRID])
                progress(numbers.stop)
        self.truth.finish()

    def stop(self) -> None:
        """Take the departments down, or leave them to the process that has them up."""
        self._take_down()
        self.truth.close()
