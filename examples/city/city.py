"""The sample city: two department systems with the same people in both, and the truth about them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from examples.city.ageing import write_dump
from examples.city.changes import Changes
from examples.city.faults import maybe_broken
from examples.city.hrss import Hrss
from examples.city.people import person
from examples.city.records import ELDER, Record, records_of
from examples.city.truth import Truth

_CHUNK = 5_000


class City:
    """A city in a directory. ``build`` once, ``start`` each time."""

    def __init__(self, directory: Path, *, residents: int, seed: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.residents, self.seed = directory, residents, seed
        self.hrss, self.drop = Hrss(directory), directory / "ageing-drop"
        self.truth = Truth(directory / "truth.sqlite")

    def start(self, progress: Callable[[int], None] = lambda _: None) -> None:
        """Bring the systems up; fill them first if that was not done, or not finished, before."""
        self.hrss.start()
        if self.truth.get("built", "") != f"{self.residents}/{self.seed}":
            self._build(progress)

    def _build(self, progress: Callable[[int], None]) -> None:
        self.hrss.clear()
        numbers = iter(range(self.residents))
        done = 0
        while chunk := list(islice(numbers, _CHUNK)):
            records = [record for index in chunk for record in self._records(index)]
            self.hrss.load(record for record in records if record.dataset != ELDER)
            self.truth.add(records)
            done += len(chunk)
            progress(done)
        self.hrss.index()
        write_dump(self.drop, 0, self.truth.records(ELDER))
        self.truth.put("built", f"{self.residents}/{self.seed}")

    def _records(self, index: int) -> Iterator[Record]:
        for record in records_of(self.seed, person(self.seed, index)):
            yield maybe_broken(self.seed, record)

    def changes(self, *, dump_each: int = 0) -> Changes:
        """The live mode."""
        return Changes(self.hrss, self.drop, self.truth, seed=self.seed, residents=self.residents, dump_each=dump_each)

    def stop(self) -> None:
        """Stop the systems."""
        self.hrss.stop()
        self.truth.close()
