"""``python -m benchmarks``: measure, and write ``benchmarks/results.json`` and ``docs/benchmarks.md``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from benchmarks import city_view, report, results, source_to_view, topic_to_view, whole_city
from benchmarks.debezium import SINKS, SinkSettings
from benchmarks.place import Place, say
from benchmarks.source_to_view import Size

_FULL = Size(rows=100_000, other_rows=400_000, at_200_s=15, at_1000_s=10, loading_s=15, sweep_s=6)
_QUICK = Size(rows=20_000, other_rows=100_000, at_200_s=6, at_1000_s=5, loading_s=6, sweep_s=4)
_NAMES = ("topic_to_view", "source_to_view", "city_view", "growth", "whole_city")


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Less data, and one run unless --runs says more.")] = False,
    runs: Annotated[int | None, typer.Option(min=1, help="Runs of each figure: 3, with --quick 1.")] = None,
    only: Annotated[list[str] | None, typer.Option(help=f"{', '.join(_NAMES)}; printed, and nothing written.")] = None,
    long: Annotated[bool, typer.Option("--long", help="A log of 5 million events for the growth, not 2.")] = False,
    report_only: Annotated[bool, typer.Option("--report", help="Write the page anew from the last results.")] = False,
) -> None:
    """This project beside Debezium, a hand-written loop and COPY, in one run on this machine. Progress on standard error."""
    if report_only:
        report.write(results.read())
        return
    if unknown := set(only or ()) - set(_NAMES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; known: {', '.join(_NAMES)}")
    count = runs or (1 if quick else 3)
    with Place.open() as place:
        parts = [
            measure()
            for name, measure in _measures(place, count, quick=quick, long=long).items()
            if not only or name in only
        ]
        found = results.assembled(place, parts, runs=count, quick=quick)
    if only:
        print(json.dumps(found, indent=1, ensure_ascii=False))
        return
    results.write(found)
    report.write(found)
    for goal in found["goals"]:
        say(f"{goal['name']}: {goal['value']} (goal {goal['goal']}, {'met' if goal['met'] else 'missed'})")


def _measures(place: Place, runs: int, *, quick: bool, long: bool) -> dict[str, Callable[[], dict[str, Any]]]:
    """The measurements by name, in their order."""
    best: list[SinkSettings] = []

    def to_view() -> dict[str, Any]:
        found = topic_to_view.measure(place, records=60_000 if quick else 300_000, runs=runs, rounds=1 if quick else 2)
        chosen = found["settings"]["topic_to_view"]["jdbc_sink"]
        best.extend(how for how in SINKS if str(how) == chosen)
        return found

    millions = 5_000_000 if long else 2_000_000
    return {
        "topic_to_view": to_view,
        "source_to_view": lambda: source_to_view.measure(
            place, size=_QUICK if quick else _FULL, runs=runs, how_sink=best[0] if best else None
        ),
        "city_view": lambda: city_view.measure(place, events=40_000 if quick else 150_000, runs=runs),
        "growth": lambda: city_view.grow(
            place, events=200_000 if quick else millions, step=millions // 20 if not quick else 25_000
        ),
        "whole_city": lambda: whole_city.measure(place, residents=2_000 if quick else 20_000),
    }


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
