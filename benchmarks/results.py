"""What a run found, as one document: ``benchmarks/results.json``; and the goals, with what became of them."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from services import apache_kafka

from benchmarks import connect, kafka_node, postgres_server
from benchmarks.place import Place, cores
from benchmarks.postgres_server import one
from benchmarks.spread import spread

FILE = Path(__file__).parent / "results.json"
_LIBRARIES = ("faust-streaming", "aiokafka", "kafka-python", "psycopg", "sqlalchemy", "msgspec", "uvloop")
_MERGED = ("figures", "ratios", "settings", "latency", "memory", "sweeps")
AT_200 = "200/s"


class Goal(NamedTuple):
    """A figure, where it is found, and what it should come to. ``cause``: what keeps it from that, where it was missed."""

    name: str
    text: str
    how: Literal["≥", "≤"]
    wanted: float
    cause: str = ""

    def met(self, value: float) -> bool:
        """Whether the figure is as good."""
        return value >= self.wanted if self.how == "≥" else value <= self.wanted


_OVERHEAD = (
    "Of two cores a record takes about 12 µs of PostgreSQL on every side. The hand-written loop adds 5 µs of Python: it fetches, "
    "and hands the bytes on. Ours adds 10 to 12: twice the bytes, the numbers of each origin checked, the event decoded into its type, "
    "its values put in order by the projection and written as JSON again. COPY knows no record at all."
)
_TWO_HOPS = (
    "Each change goes through two topics and two databases before it is in the view, each of which makes it durable, and through "
    "three processes on two cores: about 7 ms to the department's topic, 10 to 17 through streams, 8 to 13 through projections, of which "
    "a transaction of PostgreSQL is 6 to 7 in each. Debezium has one topic and one database, and decides nothing on the way."
)
GOALS = (
    Goal(
        "topic_to_view_vs_jdbc_sink", "topic → view against Debezium's JDBC sink at its best settings", "≥", 2.0, _OVERHEAD
    ),
    Goal("topic_to_view_vs_hand_written", "topic → view against the fastest hand-written loop", "≥", 0.9, _OVERHEAD),
    Goal("topic_to_view_vs_copy", "topic → view against COPY between two databases", "≥", 0.3, _OVERHEAD),
    Goal(
        "source_to_view_vs_debezium", "source → view, full load, against Debezium from end to end", "≥", 1.0,
        "Debezium does none of the middle: mapping, validation, identity, the state of each record, decisions with an outbox, a second topic, and "
        "a view of six tables with provenance instead of one. A record costs ours some 250 µs of CPU on the way, Debezium some 80.",
    ),
    Goal("rebuild_vs_project", "rebuild of the city's view against its projection", "≥", 0.8,
        "Both fold with the same code. The role is fetched for in a thread beside the fold; the rebuild reads with kafka-python in between, a "
        "quarter to a third of its time, and its time begins with the command and ends with the swap.",
    ),
    Goal("latency_p50_vs_debezium", "commit → view at 200 changes/s, p50, against Debezium", "≤", 0.5, _TWO_HOPS),
    Goal("latency_p99_vs_debezium", "commit → view at 200 changes/s, p99, against Debezium", "≤", 0.5, _TWO_HOPS),
    Goal(
        "cost_growth", "CPU an event late in a growing log against earlier", "≤", 1.2,
        "What grows is the view: a resident whose second record comes later is read, made up again and written, which one that is new is not. "
        "Trees of rows and indices become deeper, and less of them is in memory.",
    ),
    Goal(
        "city_memory_vs_kafka_connect", "memory of a whole city on embedded parts against Kafka and Connect", "≤", 1.0
    ),
)  # fmt: skip


def assembled(place: Place, parts: Sequence[Mapping[str, Any]], *, runs: int, quick: bool) -> dict[str, Any]:
    """The document of a run; ``parts`` are what the measurements told."""
    return document(parts, place.calibrations, about={
        "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "runs": runs,
        "quick": quick,
        "machine": {"cores": cores(), "system": platform.platform(), "memory_gib": _memory_gib()},
        "versions": _versions(place),
        "services": {
            "postgres": postgres_server.SETTINGS,
            "kafka_heap_mb": kafka_node.HEAP_MB,
            "connect_heap_mb": connect.HEAP_MB,
        },
    })  # fmt: skip


def document(
    parts: Sequence[Mapping[str, Any]], calibrations: Sequence[float], about: Mapping[str, Any]
) -> dict[str, Any]:
    """The same from plain values: medians on top by their names, what they were made of below."""
    merged: dict[str, Any] = {name: {} for name in _MERGED}
    for part in parts:
        for name, value in part.items():
            if name in merged:
                merged[name] |= value
            else:
                merged[name] = value
    ratios = merged["ratios"]
    ratios |= _latency_ratios(merged["latency"].get(AT_200, {}))
    if "growth" in merged:
        ratios["cost_growth"] = spread([merged["growth"]["cost_ratio"]])
    if "city" in merged and (
        theirs := [each["together_mb"] for name, each in merged["memory"].items() if "debezium" in name]
    ):
        ratios["city_memory_vs_kafka_connect"] = spread([merged["city"]["together_mb"] / max(theirs)])
    latency = merged["latency"].get(AT_200, {})
    return {
        **about,
        "calibration_s": spread(list(calibrations))["median"],
        **{name: value["median"] for name, value in ratios.items()},
        "latency_ms": {
            side: {part: found[part]["median"] for part in ("p50", "p95", "p99")} for side, found in latency.items()
        },
        "goals": [
            {"name": goal.name, "goal": f"{goal.how} {goal.wanted:g}", "value": ratios[goal.name]["median"],
             "met": goal.met(ratios[goal.name]["median"])}
            for goal in GOALS if goal.name in ratios
        ],
        "spread": ratios,
        "calibration": spread(list(calibrations)),
        **{name: value for name, value in merged.items() if name != "ratios"},
    }  # fmt: skip


def _latency_ratios(sides: Mapping[str, Any]) -> dict[str, Any]:
    if not {"onewindow", "debezium"} <= sides.keys():
        return {}
    return {
        f"latency_{part}_vs_debezium": spread(
            [ours[part] / theirs[part]
             for ours, theirs in zip(sides["onewindow"]["runs"], sides["debezium"]["runs"], strict=True)]
        )
        for part in ("p50", "p95", "p99")
    }  # fmt: skip


def _memory_gib() -> int:
    import psutil

    return int(psutil.virtual_memory().total / 2**30 + 0.5)


def _versions(place: Place) -> dict[str, str]:
    with postgres_server.connect(place.postgres, "postgres") as connection:
        postgres = str(one(connection, "SHOW server_version"))
    return {
        "python": platform.python_version(),
        "postgresql": postgres,
        "apache kafka": apache_kafka.VERSION,
        "debezium": connect.VERSION,
        "java": connect.java_version(),
        **{name: version(name) for name in _LIBRARIES},
    }


def write(found: Mapping[str, Any], path: Path = FILE) -> None:
    """Write the document."""
    path.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def read(path: Path = FILE) -> dict[str, Any]:
    """The document of the last run that was kept."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
