"""How fast the view takes events on this machine: ``python -m projections.bench [EVENTS] [URL]``."""

from __future__ import annotations

import random
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from contracts.events import RESIDENT_TOPIC
from projections.databases import open_view
from projections.engine import Arrival, LogIdentity, ViewEngine
from projections.winners import Authority

_AUTHORITY = {"default": ["civil.elder", "hrss.insured_person"], "phone": ["hrss.insured_person", "civil.elder"]}


def calibration() -> float:
    """Seconds that this machine takes for a loop of five million steps: put it beside every figure."""
    began = time.perf_counter()
    sum(i * i for i in range(5_000_000))
    return time.perf_counter() - began


def _events(residents: int, draw: random.Random) -> list[tuple[str, bytes]]:
    """Two assertions for each resident, from two systems, in an order of their own each, as (origin, value)."""
    made: list[tuple[str, bytes]] = []
    for system, dataset in (("hrss", "insured_person"), ("civil", "elder")):
        numbers = list(range(residents))
        draw.shuffle(numbers)
        for number in numbers:
            # Region 000000 does not exist: nobody has such an ID number.
            fields: dict[str, str | int | bool] = {
                "id_number": f"000000{1930 + number % 40}0101{number % 1000:03}X",
                "name": f"王{number}",
                "sex": ("female", "male")[number % 2],
                "birth_on": f"{1930 + number % 40}-01-01",
                "ethnic_group": "01",
                "phone": f"1990000{number % 10_000:04}",
                "community_code": f"3701020{number % 300:05}",
                "address": f"历下区泉城路{number % 997}号{number % 20}单元{number % 31}01室",
            }
            if system == "hrss":
                fields |= {
                    "alive": number % 50 != 0,
                    "benefit_kind": "pension",
                    "benefit_scheme": "110",
                    "benefit_amount_fen": 300_000 + number % 70_000,
                    "benefit_from": "2012-05",
                    "benefit_state": "paying",
                }
            else:
                fields |= {
                    "living_alone": number % 5 == 0,
                    "care_level": ("independent", "partial", "full")[number % 3],
                }
            event = {
                "type": "RecordAsserted",
                "version": 1,
                "resident_id": f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}",
                "system": system,
                "dataset": dataset,
                "record_key": f"{draw.getrandbits(128):032x}",
                "revision": 1,
                "event_id": f"{draw.getrandbits(128):032x}",
                "committed_at": "2026-11-24T08:00:00+00:00",
                "fields": fields,
                "originals": {"phone": f"1990000-{number % 10_000:04}"} if number % 20 == 0 else {},
                "mends": {"phone": "digits only"} if number % 20 == 0 else {},
                "provisional": False,
                "as_of": f"2026-{1 + number % 12:02}-{1 + number % 28:02}T09:00:00",
            }
            made.append((f"department.{system}.{dataset}/0", msgspec.json.encode(event)))
    return made


def arrivals(events: int, *, apart: bool = True, seed: int = 1) -> list[Arrival]:
    """Synthetic events. ``apart``: the assertions of a resident lie anywhere in the log, else next to each other."""
    draw = random.Random(seed)  # noqa: S311 - reproducible, not secret
    made = _events(max(1, events // 2), draw)
    if apart:
        draw.shuffle(made)
    else:
        made.sort(key=lambda each: msgspec.json.decode(each[1])["resident_id"])
    numbers: dict[str, int] = {}
    found = []
    for offset, (origin, value) in enumerate(made):
        number = numbers.get(origin, 0)
        numbers[origin] = number + 1
        found.append(Arrival(offset, origin, number, value))
    return found


def measure(n: int, *, url: str | None = None, batch: int = 4_000, apart: bool = True) -> float:
    """Events per second into a view at ``url``, which must be empty, or into SQLite in a temporary directory.

    Making the events and the tables is not timed; decoding, folding, writing and committing are.
    """
    made = arrivals(n, apart=apart)
    with tempfile.TemporaryDirectory() as directory:
        engine = open_view(url or f"sqlite:///{Path(directory) / 'view.sqlite'}")
        view = ViewEngine(engine, Authority(_AUTHORITY))
        view.prepare(LogIdentity("bench", {RESIDENT_TOPIC: "bench"}))
        began = time.perf_counter()
        for first in range(0, len(made), batch):
            part = made[first : first + batch]
            view.take(RESIDENT_TOPIC, 0, first=first, to=first + len(part), arrivals=part)
        took = time.perf_counter() - began
        engine.dispose()
    return len(made) / took


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 60_000
    target = sys.argv[2] if len(sys.argv) > 2 else None
    print(f"calibration {calibration():.3f} s")
    print(f"{measure(count, url=target):,.0f} events/s")
