"""Plots of a run, as SVG: bars of rates with each run as a dot, latencies, and cost while the log grows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "onewindow", "svg.fonttype": "none", "font.size": 9})

from matplotlib import pyplot as plt  # noqa: E402 - the backend is chosen before
from matplotlib.axes import Axes  # noqa: E402

NAMES = {
    "onewindow": "OneWindow",
    "jdbc_sink": "Debezium JDBC sink",
    "debezium": "Debezium",
    "hand_written": "hand-written loop",
    "copy": "COPY (limit)",
    "project": "projection",
    "rebuild": "rebuild",
}
_OURS, _THEIRS = "#1f77b4", "#b0b0b0"


def draw(found: Mapping[str, Any], directory: Path) -> list[str]:
    """Draw what the run holds; gives the names of the files."""
    made = []
    if found["figures"]:
        made.append(_save(directory, "rates", lambda: _rates(found["figures"])))
    if found["latency"]:
        made.append(_save(directory, "latency", lambda: _latency(found["latency"])))
    if "growth" in found:
        made.append(_save(directory, "growth", lambda: _growth(found["growth"])))
    return made


def _save(directory: Path, name: str, make: Any) -> str:
    make()
    file = f"benchmarks-{name}.svg"
    plt.tight_layout()
    plt.savefig(directory / file, metadata={"Date": None, "Creator": None})
    plt.close()
    return file


def _rates(figures: Mapping[str, Any]) -> None:
    _, places = plt.subplots(1, len(figures), figsize=(3.2 * len(figures), 3.2), squeeze=False)
    for place, (title, ways) in zip(places[0], figures.items(), strict=True):
        _bars(place, ways)
        place.set_title(title.replace("_", " "))
        place.set_ylabel(next(iter(ways.values()))["unit"])


def _bars(place: Axes, ways: Mapping[str, Any]) -> None:
    for at, (name, way) in enumerate(ways.items()):
        place.bar(at, way["median"], color=_OURS if name in ("onewindow", "project", "rebuild") else _THEIRS, width=0.7)
        place.plot([at] * len(way["runs"]), way["runs"], "o", color="black", markersize=3)
    place.set_xticks(range(len(ways)), [NAMES[name] for name in ways], rotation=25, ha="right")


def _latency(latency: Mapping[str, Any]) -> None:
    _, places = plt.subplots(1, len(latency), figsize=(3.2 * len(latency), 3.2), squeeze=False)
    for place, (kind, sides) in zip(places[0], latency.items(), strict=True):
        for shift, (name, side) in enumerate(sides.items()):
            parts = ("p50", "p95", "p99")
            at = [number + shift * 0.4 for number in range(len(parts))]
            place.bar(at, [side[part]["median"] for part in parts], width=0.38, label=NAMES[name],
                      color=_OURS if name == "onewindow" else _THEIRS)  # fmt: skip
            for x, part in zip(at, parts, strict=True):
                place.plot([x] * len(side[part]["runs"]), side[part]["runs"], "o", color="black", markersize=3)
            place.set_xticks([number + 0.2 for number in range(len(parts))], parts)
        place.set_title(kind.replace("while", "\nwhile"))
        place.set_ylabel("ms")
        place.set_yscale("log")
    places[0][0].legend()


def _growth(growth: Mapping[str, Any]) -> None:
    _, (cost, memory) = plt.subplots(1, 2, figsize=(7.5, 3))
    events = [step["events"] / 1e6 for step in growth["steps"]]
    cost.plot(events, [step["cpu_us"] for step in growth["steps"]], "o-", color=_OURS)
    cost.set_ylim(bottom=0)
    cost.set_xlabel("million events in the log")
    cost.set_ylabel("µs of CPU an event")
    memory.plot(events, [step["rate"] for step in growth["steps"]], "o-", color=_OURS)
    memory.set_ylim(bottom=0)
    memory.set_xlabel("million events in the log")
    memory.set_ylabel("events/s")
