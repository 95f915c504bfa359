"""Life goes on: change number n of a city is always the same one, whatever the rate and however often it is begun.

The departments are written first and the truth after them, which also remembers n: a crash in between repeats the
change, and it gives the same rows. A transaction that commits late is remembered until it has. What happens in a change
is in ``happenings``.
"""

from __future__ import annotations

import fcntl
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from examples.city.ageing import dumping
from examples.city.city import City
from examples.city.grid import registering
from examples.city.happenings import KINDS, LATE, TOLD_LATER, Effect, Moment, happen
from examples.city.months import Month, elder_later, grid_later
from examples.city.records import DUMPED, ELDER, Record, business_time
from examples.city.registers import at_first

_TRIES = 400
_A_CHANGE_S = 7  # between two changes, on the departments' calendar


class NothingToChange(LookupError):
    """No resident, or not the one who was asked for, has records that this change can be done to."""


class Made(NamedTuple):
    """A change that was made: its number, its kind, whom it was about (None: many), and how many records it wrote."""

    number: int
    kind: str
    resident: int | None
    records: int


class _Late(NamedTuple):
    """A transaction that is open still, and the thread that will commit it."""

    number: int
    resident: int
    thread: threading.Thread


class Changes:
    """The live mode of one city that is up. ``dump_each``: every so many changes a month is over, and 老龄 and the grids deliver
    their next dumps; 0: never.

    ``late_s``: how long a late transaction stays open, at least and at most.

    Several processes may make changes in one city; they take turns.
    """

    def __init__(self, city: City, *, dump_each: int = 0, late_s: tuple[float, float] = (0.5, 2.0)) -> None:
        self._city, self._truth = city, city.truth
        self._seed, self._dump_each, self._late_s = city.seed, dump_each, late_s
        self._late: list[_Late] = []
        self._hurry = threading.Event()

    @property
    def made(self) -> int:
        """How many changes of the stream were made so far, over all runs."""
        return int(self._truth.get("changes", "0"))

    def run(
        self,
        rate: float,
        *,
        count: int | None = None,
        stop: threading.Event | None = None,
        each: Callable[[Made], None] = lambda _: None,
    ) -> int:
        """Make the next changes of the stream at ``rate`` a second, until told to stop or ``count`` of them are made.

        Goes on where the run before ended, however it ended. Returns how many; all of them have committed then.
        """
        stop = stop or threading.Event()
        self._commit_forgotten()
        begun, done = time.monotonic(), 0
        try:
            while not stop.is_set() and (count is None or done < count):
                wait = begun + done / rate - time.monotonic()
                if wait > 0:
                    stop.wait(min(wait, 0.2))
                    self._reap()
                    continue
                each(self._next())
                done += 1
        finally:
            if stop.is_set():
                self._hurry.set()
            self._reap(wait=True)
        return done

    def make(self, kind: str, *, resident: int | None = None, to: str | None = None) -> Made:
        """Make one change by hand, beside the stream. ``to``: the community that is moved to.

        Raises NothingToChange.
        """
        with self._turn():
            number = int(self._truth.get("by_hand", "0")) + 1
            rng = random.Random(f"{self._seed}/hand/{number}")  # noqa: S311 - repetition is wanted, not secrecy
            made = self._change(rng, kind, -number, resident=resident, to=to, state={"by_hand": str(number)})
        self._reap(wait=True)
        return made

    def dump(self, *, cut: float = 1.0) -> Made:
        """A month is over: 老龄 and the grids deliver their next dumps now. ``cut`` below 1: 老龄 alone does, with the same
        register again, broken off after that share of it."""
        with self._turn():
            number = int(self._truth.get("by_hand", "0")) + 1
            rng = random.Random(f"{self._seed}/hand/{number}")  # noqa: S311
            return self._dump(rng, -number, {"by_hand": str(number)}, cut=cut)

    def _next(self) -> Made:
        with self._turn():
            number = self.made + 1
            rng = random.Random(f"{self._seed}/change/{number}")  # noqa: S311
            state = {"changes": str(number)}
            if self._dump_each and number % self._dump_each == 0:
                return self._dump(rng, number, state)
            kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
            try:
                return self._change(rng, kind, number, state=state)
            except NothingToChange:  # in a very small city, or with nothing to follow: somebody arrives instead
                return self._change(rng, "arrive", number, state=state)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        with (self._city.directory / "changes.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _change(
        self,
        rng: random.Random,
        kind: str,
        number: int,
        *,
        state: dict[str, str],
        resident: int | None = None,
        to: str | None = None,
    ) -> Made:
        at = business_time(_A_CHANGE_S * (number if number > 0 else self.made) + (1 if number < 0 else 0))
        effect = self._effect(rng, kind, resident, Moment(self._seed, self._city.residents, at, to))
        if kind == "backdated":
            records = [record.earlier(days=rng.randint(1, 3)) for record in effect.records]
        else:
            records = [record.at(at) for record in effect.records]
        about = records[0].person
        self._wait_for(about)
        if kind in LATE:
            self._commit_late(rng, number, records)
        else:
            self._write(records)
        self._truth.change(
            records,
            residents=effect.residents,
            uncommitted=number if kind in LATE else None,
            state={**state, **effect.state},
        )
        return Made(number, kind, about, len(records))

    def _write(self, records: list[Record]) -> None:
        """Each department in a transaction of its own: what is written again after a crash in between is the same."""
        for system, department in self._city.departments.items():
            held = [record for record in records if record.system == system]
            if held:
                department.commit(held)

    # Whom it is done to

    def _effect(self, rng: random.Random, kind: str, resident: int | None, moment: Moment) -> Effect:
        if kind == "arrive":
            return self._arrival()
        if kind == "follow" and resident is None:
            return self._next_to_follow(rng, moment)
        last = self._city.residents + int(self._truth.get("arrived", "0"))
        for _ in range(_TRIES if resident is None else 1):
            number = rng.randrange(last) if resident is None else resident
            effect = happen(rng, kind, self._truth.records_of(number), moment)
            if effect is not None:
                if kind in TOLD_LATER:
                    effect.state["to_follow"] = json.dumps([*self._to_follow(), number])
                return effect
        whom = "any resident" if resident is None else f"resident {resident}"
        raise NothingToChange(f"{kind} can't be done to {whom}: no record that fits, or one with a fault")

    def _arrival(self) -> Effect:
        """The next resident after all there are comes to live here. The registers that come as dumps are passed over, and so
        are children of whom no other department knows."""
        late = int(self._truth.get("arrived", "0"))
        while True:
            number, late = self._city.residents + late, late + 1
            records = [record for record in at_first(self._seed, number) if record.dataset not in DUMPED]
            if records:
                return Effect(records, {number: {}}, {"arrived": str(late)})

    def _to_follow(self) -> list[int]:
        """The residents of whom one department has recorded what others are to hear of, in the order of the changes."""
        numbers: list[int] = json.loads(self._truth.get("to_follow", "[]"))
        return numbers

    def _next_to_follow(self, rng: random.Random, moment: Moment) -> Effect:
        """One department follows; a resident of whom another one is still to hear waits once more, behind the rest. Of who
        has nothing to be followed any more nothing is done."""
        waiting = self._to_follow()
        while waiting:
            number = waiting.pop(0)
            found = self._truth.records_of(number)
            effect = happen(rng, "follow", found, moment)
            if effect is not None:
                found |= {record.dataset: record for record in effect.records}
                after = {dataset: record for dataset, record in found.items() if not record.deleted}
                more = happen(rng, "follow", after, moment) is not None
                effect.state["to_follow"] = json.dumps([*waiting, number] if more else waiting)
                return effect
        raise NothingToChange("follow: there is nothing that one department knows and another one is to hear of")

    # Late transactions

    def _commit_late(self, rng: random.Random, number: int, records: list[Record]) -> None:
        """A transaction that takes its updated_at now and commits when others have come after it.

        The wait is a thread's, so that the changes after it are not held up.
        """
        database = self._city.database(records[0])
        connection = database.connect()
        database.write(records, connection)
        delay = rng.uniform(*self._late_s)

        def commit() -> None:
            self._hurry.wait(delay)
            connection.commit()
            connection.close()

        thread = threading.Thread(target=commit, name=f"late-{number}")
        thread.start()
        self._late.append(_Late(number, records[0].person, thread))

    def _wait_for(self, resident: int) -> None:
        """A change to somebody whose last one has not committed waits for it, as her row would make it wait."""
        for late in self._late:
            if late.resident == resident:
                late.thread.join()

    def _reap(self, *, wait: bool = False) -> None:
        for late in list(self._late):
            if wait:
                late.thread.join()
            if not late.thread.is_alive():
                self._truth.committed(late.number)
                self._late.remove(late)

    def _commit_forgotten(self) -> None:
        """What a killed run left open is gone from the department, but not from the truth: write it again."""
        for number, records in self._truth.uncommitted().items():
            self._write(records)
            self._truth.committed(number)

    # The next month

    def _dump(self, rng: random.Random, number: int, state: dict[str, str], *, cut: float = 1.0) -> Made:
        """The registers a month later. Where one breaks off, the other is not delivered."""
        month = Month(self._seed, self._city.residents, int(self._truth.get("dumps", "0")) + 1)
        changed: list[Record] = []
        gone: list[Record] = []
        with ExitStack() as whole:
            elders = whole.enter_context(dumping(self._city.drop, month.dump, cut=cut))
            grid = whole.enter_context(registering(self._city.grid_drop, month.dump)) if cut == 1 else None
            for resident, found in self._truth.by_resident():
                after = [found.get(ELDER) if cut < 1 else elder_later(rng, resident, found, month)]
                elders.add(filter(None, after))
                if grid is not None:
                    after.append(grid_later(rng, resident, found, month))
                    grid.add(filter(None, after[1:]))
                for dataset, now in zip(DUMPED, after, strict=False):
                    before = found.get(dataset)
                    if now is None and before is not None:
                        gone.append(before)
                    elif now is not None and now != before:
                        changed.append(now)
        self._truth.change(changed, gone=gone, state={**state, "dumps": str(month.dump)})
        return Made(number, "dump", None, len(changed) + len(gone))
