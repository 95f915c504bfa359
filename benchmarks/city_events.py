"""Events of a city in any number, made as they are sent: two assertions a resident, from two departments, far apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from benchmarks.register import PARTITIONS, Numbered, publish
from contracts.events import RESIDENT_TOPIC
from producers.publisher import Record
from producers.topics import TopicSpec, ensure_topics

AUTHORITY = {"default": ["civil.elder", "hrss.insured_person"], "phone": ["hrss.insured_person", "civil.elder"]}
_STEPS = {"hrss": 7_368_787, "civil": 4_999_999}  # primes: each department has an order of its own
_DATASETS = {"hrss": "insured_person", "civil": "elder"}
_encode = msgspec.json.Encoder().encode


def _fields(number: int, system: str) -> dict[str, Any]:
    common = {
        "id_number": f"000000{1930 + number % 40}0101{number % 1000:03}X",  # region 000000 does not exist
        "name": f"王{number}",
        "sex": ("female", "male")[number % 2],
        "birth_on": f"{1930 + number % 40}-01-01",
        "ethnic_group": "01",
        "phone": f"1000000{number % 10_000:04}",
        "community_code": f"3701020{number % 300:05}",
        "address": f"历下区泉城路{number % 997}号{number % 20}单元{number % 31}01室",
    }
    if system == "civil":
        care = ("independent", "partial", "full")[number % 3]
        return common | {"living_alone": number % 5 == 0, "care_level": care}
    return common | {
        "alive": number % 50 != 0,
        "benefit_kind": "pension",
        "benefit_scheme": "110",
        "benefit_amount_fen": 300_000 + number % 70_000,
        "benefit_from": "2012-05",
        "benefit_state": "paying",
    }


def _records(events: int) -> Iterator[Record]:
    residents = max(1, events // 2)
    numbered = {system: Numbered(f"department.{system}.{dataset}/0") for system, dataset in _DATASETS.items()}
    for place in range(residents):
        for system, step in _STEPS.items():
            number = place * step % residents if residents % step else place
            key = f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"
            event = {
                "type": "RecordAsserted",
                "version": 1,
                "resident_id": key,
                "system": system,
                "dataset": _DATASETS[system],
                "record_key": f"{(number + 1) * (step * 0xD1342543DE82EF95F1F2BC45C9A7D31B | 1) % 2**128:032x}",
                "revision": 1,
                "event_id": f"{place:016x}{step:016x}",
                "committed_at": "2026-11-24T08:00:00+00:00",
                "fields": _fields(number, system),
                "as_of": f"2026-{1 + number % 12:02}-{1 + number % 28:02}T09:00:00",
            }
            yield numbered[system].record(key, _encode(event))


def fill(bootstrap: str, events: int) -> None:
    """The topic of residents with so many events, rounded down to an even number."""
    ensure_topics(bootstrap, [TopicSpec(RESIDENT_TOPIC, PARTITIONS, {"retention.ms": "-1"})])
    publish(bootstrap, RESIDENT_TOPIC, _records(events))
