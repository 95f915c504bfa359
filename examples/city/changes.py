"""Life goes on: change number n of a city is always the same one, whatever the rate and however often it is begun.

Moves, deaths, benefits granted, suspended and stopped, corrections of ID numbers, updates that commit late, and ones
that are dated back; now and then the next monthly dump of 老龄. The departments are written first and the truth after
them: a crash in between repeats the change, which gives the same rows.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from examples.city.ageing import write_dump
from examples.city.hrss import Hrss
from examples.city.people import communities, full_number
from examples.city.records import ELDER, INSURED, PENSION, Record, business_time
from examples.city.truth import Truth

_FIRST_CHANGE = 900_000  # business seconds: after everything that the first build dates
_KINDS = ("move", "phone", "suspend", "resume", "amount", "death", "correct", "late", "backdated", "dump")
_WEIGHTS = (30, 25, 8, 8, 12, 4, 5, 4, 4, 0)


class Changes:
    """The live mode of one city. ``dump_each``: every so many changes 老龄 delivers its next dump; 0 for never."""

    def __init__(self, hrss: Hrss, drop: Path, truth: Truth, *, seed: int, residents: int, dump_each: int = 0) -> None:
        self._hrss, self._drop, self._truth = hrss, drop, truth
        self._seed, self._residents, self._dump_each = seed, residents, dump_each
        self._late: list[threading.Thread] = []

    @property
    def made(self) -> int:
        """How many changes were made so far, over all runs."""
        return int(self._truth.get("changes", "0"))

    def run(
        self,
        rate: float,
        *,
        until: Callable[[], bool],
        count: int | None = None,
        each: Callable[[int], None] = lambda _: None,
    ) -> int:
        """Make changes at ``rate`` a second until told to stop, or ``count`` of them. Returns how many."""
        begun, number, done = time.monotonic(), self.made, 0
        while not until() and (count is None or done < count):
            wait = begun + done / rate - time.monotonic()
            if wait > 0:
                time.sleep(min(wait, 0.1))
                continue
            number += 1
            self.make(number)
            done += 1
            each(number)
        for thread in self._late:
            thread.join()
        return done

    def make(self, number: int) -> None:
        """Make one change."""
        rng = random.Random(f"{self._seed}/change/{number}")  # noqa: S311
        if self._dump_each and number % self._dump_each == 0:
            self._dump(rng, number)
            return
        kind = rng.choices(_KINDS, _WEIGHTS)[0]
        records = self._records_for(rng, kind)
        if not records:
            kind, records = "phone", self._records_for(rng, "phone")
        changed = [_changed(rng, kind, record, number) for record in records]
        if kind == "late":
            self._commit_late(changed)
        else:
            with self._hrss.owner.transaction():
                self._hrss.write(changed)
        self._truth.change(changed, [], number)

    def _records_for(self, rng: random.Random, kind: str) -> list[Record]:
        """Clean records of one resident that this kind of change can be done to; a dirty one is left as it is."""
        for _ in range(40):
            records = self._truth.of_person(rng.randrange(self._residents))
            hrss = [records[name] for name in (INSURED, PENSION) if name in records]
            if not hrss or any(record.fault for record in hrss) or records.get(INSURED) is None:
                continue
            if not records[INSURED].fields["alive"]:
                continue
            if kind in ("suspend", "resume", "amount"):
                if PENSION not in records:
                    continue
                return [records[PENSION]]
            return hrss if kind in ("death", "correct") else [records[INSURED]]
        return []

    def _commit_late(self, changed: list[Record]) -> None:
        """A transaction that writes now and commits when others have come after it: its cursor value is old by then.

        The wait is a thread's, so that the changes after it are not held up; a restart finds it made or not begun.
        """
        for thread in self._late:  # two late ones must not wait for each other's row
            thread.join()
        connection = psycopg.connect(self._hrss.server.socket_dsn("hrss"))
        self._hrss.write(changed, connection)

        def commit() -> None:
            time.sleep(0.7)
            connection.commit()
            connection.close()

        thread = threading.Thread(target=commit)
        thread.start()
        self._late = [thread]

    def _dump(self, rng: random.Random, number: int) -> None:
        """The next month's register: one elder in fifty changed, one in two hundred gone."""
        changed, gone = [], []
        for record in self._truth.records(ELDER):
            dice = rng.random()
            if dice < 0.005:
                gone.append((ELDER, record.key))
            elif dice < 0.025 and record.fault is None:
                changed.append(_changed(rng, "move", record, number))
        dump = int(self._truth.get("dumps", "1")) + 1
        leaving = {key for _, key in gone}
        new = {record.key: record for record in changed}
        records = (new.get(r.key, r) for r in self._truth.records(ELDER) if r.key not in leaving)
        write_dump(self._drop, dump - 1, records)
        self._truth.put("dumps", str(dump))
        self._truth.change(changed, gone, number)


def _changed(rng: random.Random, kind: str, record: Record, number: int) -> Record:
    """The record after a change of this kind."""
    row, fields = dict(record.row), dict(record.fields)
    if kind in ("move", "late", "backdated"):
        code = rng.choice(communities())[0]
        row["社区代码" if record.dataset == ELDER else "aab301"] = fields["community_code"] = code
    elif kind == "phone":
        row["aae005"] = fields["phone"] = f"1000{rng.randrange(10**7):07d}"
    elif kind in ("suspend", "resume"):
        row["aae116"], fields["benefit_state"] = ("2", "suspended") if kind == "suspend" else ("1", "paying")
    elif kind == "amount":
        row["aae019"] = fields["benefit_amount_fen"] = rng.randrange(18_000, 900_000)
    elif kind == "death" and record.dataset == INSURED:
        row["aac060"], fields["alive"] = "0", False
    elif kind == "death":
        row["aae116"], fields["benefit_state"] = "3", "stopped"
    elif kind == "correct":
        old = fields["id_number"]
        row["aac002"] = fields["id_number"] = full_number(f"{old[:14]}{(int(old[14:17]) + 500) % 1000:03d}")
    step = _FIRST_CHANGE + number - (500_000 if kind == "backdated" else 0)
    if record.dataset == ELDER:
        row["更新日期"] = f"{business_time(step):%Y-%m-%d}"
    else:
        row["aae036"] = f"{business_time(step):%Y%m%d%H%M%S}"
    return record._replace(row=row, fields=fields)
