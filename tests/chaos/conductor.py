"""Draws the faults of a run from its seed, injects one after the other, and waits after each until all is normal again."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress

import psycopg

from chaos.faults import FAULTS, Fault, NotPossible
from chaos.faults.source import ShareAway
from chaos.history import History
from chaos.invariants import NORMAL_S
from chaos.readers import ViewReader
from chaos.town import Town

FRESH_S = 3.0
"""So old may the newest change be that the view shows, when freshness is normal."""
_GAP_S = 1.0  # mean time between all being normal and the next fault
_GIVE_UP_S = 120.0
_FAILED = (NotPossible, OSError, psycopg.Error, subprocess.SubprocessError)
"""How an attempt to do harm may fail by itself: that is no finding about the product."""
LONG_FROM, LONG_UNTIL = 0.2, 0.7
"""The part of a run in which one dataset is down: ten minutes of twenty."""


def drawn(rng: random.Random, possible: Sequence[type[Fault]], first: list[type[Fault]]) -> type[Fault]:
    """The next fault: each kind once at first, then by weight."""
    if first:
        return first.pop()
    return rng.choices(possible, [each.weight for each in possible])[0]


class GaveUp(RuntimeError):
    """Things did not become normal again; the run ends."""


class Conductor:
    """The faults of one run of ``seconds``. ``only``: words of titles, one of which is in each."""

    def __init__(
        self, town: Town, view: ViewReader, history: History, *, seconds: float, seed: int, only: str = ""
    ) -> None:
        self._town, self._view, self._history, self._seconds = town, view, history, seconds
        self._rng = random.Random(seed)
        kinds = [
            each for each in FAULTS if town.kind in each.on and any(word in each.title for word in only.split(","))
        ]
        self.left_out = {each.title: why for each in kinds if (why := each.missing()) is not None}
        self.possible = [each for each in kinds if each.title not in self.left_out]
        self._number = 0
        self._beside: tuple[int, ShareAway] | None = None
        self._had_long = False

    def run(self) -> None:
        """Faults until the time is over. Raises GaveUp."""
        begun = self._history.now
        first = self._rng.sample(self.possible, len(self.possible))
        self._await_normal(begun)
        while (done := (self._history.now - begun) / self._seconds) < 1:
            self._long_one(done)
            time.sleep(0.3 + self._rng.expovariate(1 / _GAP_S))
            self._inject(drawn(self._rng, self.possible, first)(self._town, random.Random(self._rng.random())))
        self._long_one(1.0)

    def _long_one(self, done: float) -> None:
        """One dataset is down beside all other faults for half of the run."""
        if self._beside is None and not self._had_long and LONG_FROM <= done < LONG_UNTIL:
            fault = ShareAway(self._town, self._rng)
            self._number += 1
            self._note("begin", self._number, fault, target=fault.begin(), shows=list(fault.shows), beside=True)
            self._beside, self._had_long = (self._number, fault), True
        elif self._beside is not None and done >= LONG_UNTIL:
            (number, fault), self._beside = self._beside, None
            fault.end()
            ended = self._history.now
            self._note("end", number, fault)
            self._recover(number, fault, ended)

    def _inject(self, fault: Fault) -> None:
        self._number += 1
        number, begun = self._number, self._history.now
        try:
            target = fault.begin()
        except TimeoutError as why:  # the product did not say what it should
            self._history.add("trouble", what=f"{fault.title}: {why}")
            target = str(why)
        except _FAILED as why:
            with suppress(*_FAILED, AttributeError):  # what was done of it
                fault.end()
            self._note("impossible", number, fault, why=f"{type(why).__name__}: {why}"[:300])
            self._recover(number, fault, self._history.now)
            return
        self._note(
            "begin", number, fault, at=begun, target=target, shows=list(fault.shows), rolls_back=fault.rolls_back
        )
        time.sleep(fault.seconds)
        fault.end()
        ended = self._history.now
        self._note("end", number, fault, at=ended)
        self._recover(number, fault, ended)

    def _recover(self, number: int, fault: Fault, ended: float) -> None:
        took = self._await_normal(ended)
        if took is None:
            self._note("late", number, fault, why=self._why())
            raise GaveUp(f"{fault.title}: not normal {NORMAL_S + _GIVE_UP_S:g} s after its end: {self._why()}")
        self._note("normal", number, fault, took=round(took, 2))

    def _note(self, phase: str, number: int, fault: Fault, **more: object) -> dict[str, object]:
        if phase in ("begin", "normal", "late", "impossible"):
            said = " ".join(f"{value}" for name, value in more.items() if name in ("target", "took", "why"))
            sys.stdout.write(
                f"{self._history.now:7.1f} s  #{number:<3} {phase:8} {fault.nemesis:4} {fault.title}: {said}\n"
            )
            sys.stdout.flush()
        return self._history.add("fault", number=number, nemesis=fault.nemesis, title=fault.title, phase=phase, **more)

    def _await_normal(self, since: float) -> float | None:
        """How long it took; None when it took too long to wait for."""
        until = since + NORMAL_S + _GIVE_UP_S
        while self._history.now < until:
            if self._is_normal(since):
                return self._history.now - since
            time.sleep(0.1)
        return None

    def _is_normal(self, since: float) -> bool:
        """Whether the newest read and look that began after ``since`` say so: changes that were committed after it are
        shown, and the status has nothing to say."""
        read, status = self._view.latest, self._town.status.latest
        if read is None or status is None or min(read["begun"], status["begun"]) < since:
            return False
        newest = {name: read["at"] - lag for name, lag in read["lag"].items()}
        fresh = bool(newest) and all(
            at > since and lag < FRESH_S for at, lag in zip(newest.values(), read["lag"].values(), strict=False)
        )
        return fresh and not self._problems() and self._town.working()

    def _problems(self) -> dict[str, str]:
        """What the status says, but for the dataset that is down for long."""
        status = self._town.status.latest or {"problems": {}}
        beside = self._beside is not None
        return {where: code for where, code in status["problems"].items() if not (beside and where == "ageing.elder")}

    def _why(self) -> str:
        read = self._view.latest
        return f"lag {read and read['lag']}, problems {self._problems()}, working {self._town.working()}"
