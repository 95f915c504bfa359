"""``docs/benchmarks.md``, made from ``benchmarks/results.json`` alone: ``python -m benchmarks --report``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks import ROOT, plots
from benchmarks.results import GOALS

PAGE = ROOT / "docs" / "benchmarks.md"
_TITLES = {
    "topic_to_view": "Topic → view",
    "source_to_topic": "Source → topic (snapshot)",
    "source_load": "What the snapshot costs the source's server",
    "source_to_view": "Source → view (full load)",
    "city_view": "The city's view, and its rebuild",
}
_METHODS = """## What is measured, and how

All in one run on one machine: one Apache Kafka node, one PostgreSQL server for sources, streams and views with durable commits
(`fsync` and `synchronous_commit` on), one warm worker of Kafka Connect. Runs of the two sides follow each other in turns (A B A B);
each figure stands beside a calibration, the seconds of a loop of five million steps, before and after it. Ratios are made run by run;
the table shows their median, and each run. Rates of rows are told by the server's own stamps of commits, from the first commit
to the last, without the rows of the first: no start of a process and no looking on is in them.

- **Topic → view**: the same records of 12 columns into the same table, with upserts by key. Ours is the product's own way: the
  projections role, Faust with whole batches, the engine with offsets, numbers and checks of the log, and a projection of 12 columns
  (`benchmarks/register.py`) through the public contract of projections; its events carry the 12 values inside of `RecordAsserted`,
  about twice the bytes of the plain JSON that the others get. The hand-written loop (`benchmarks/hand_written.py`) keeps its offsets in the same
  transaction, but numbers and checks nothing. Debezium's sink commits its offsets later: at least once. `COPY` pipes a table between two databases.
- **What the snapshot costs the source**: CPU of the source's server and all its processes, from before the login until the last event
  is in the topic, by the rows.
- **Source → view**: a table of 12 columns in a department's database. Ours goes the whole way: connector with log capture, department
  topic, mapping, validation, identity and decisions in streams, community topic, and the city's view with provenance (`resident`,
  `assertion`, `benefit`, `community`). Debezium brings the same rows through one topic into one table.
- **Commit → view**: single changes at a steady rate, half of them updates. The server stamps each commit; a change took from the commit
  in the source to the commit that made its row visible in the view, on one clock and in the same way on both sides.
- **The city's view**: events of two departments about each resident, projected into `assertion`, `resident`, `benefit` and `community` by the projections role, then rebuilt by
  `onewindow rebuild`, the swap included.
- **Growth**: the same events in a log of millions; CPU is that of the role and of its PostgreSQL backends.
- **Memory**: resident memory (RSS) of each process, looked at twice a second while it works; pages that processes share count in each.

Settings of the rivals are swept first, in the same run; the best of each sweep is compared. `python -m benchmarks --quick` measures all with
less data in a few minutes, `--only NAME` one part, `--long` a log of five million events.
"""


def page(found: Mapping[str, Any]) -> str:
    """The page, as Markdown."""
    return "\n".join([*_head(found), *_goals(found), *_figures(found), *_latency(found), *_growth(found), *_memory(found),
                      _METHODS, *_sweeps(found), *_settings(found)])  # fmt: skip


def write(found: Mapping[str, Any], path: Path = PAGE) -> None:
    """The page and its plots."""
    plots.draw(found, path.parent)
    path.write_text(page(found), encoding="utf-8")


def _table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> Iterator[str]:
    names = list(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{' --- |' * len(names)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def _head(found: Mapping[str, Any]) -> Iterator[str]:
    machine, calibration = found["machine"], found["calibration"]
    kind = "a quick run with little data" if found["quick"] else "a full run"
    yield "# Benchmarks"
    yield ""
    yield f"This page is made by `make benchmarks` from `benchmarks/results.json`: {kind}, {found['made_at'][:10]}, medians of"
    yield f"{found['runs']} runs on {machine['cores']} cores and {machine['memory_gib']} GiB. Its calibration loop took {calibration['median']} s at the median,"
    yield f"{calibration['min']} to {calibration['max']} s over the run: where it varies much, the machine did other things as well, and figures may only be"
    yield "compared with those beside them."
    yield ""


def _goals(found: Mapping[str, Any]) -> Iterator[str]:
    texts = {goal.name: goal.text for goal in GOALS}
    causes = {goal.name: goal.cause for goal in GOALS}
    yield from ["## Goals", ""]
    rows = []
    for each in found["goals"]:
        spread = found["spread"][each["name"]]
        runs = ", ".join(f"{value:.2f}" for value in spread["runs"])
        rows.append(
            (texts[each["name"]], each["goal"], f"**{each['value']:.2f}**", runs, "yes" if each["met"] else "no")
        )
    yield from _table(("ratio", "goal", "median", "runs", "met"), rows)
    missed = [each["name"] for each in found["goals"] if not each["met"]]
    if missed:
        yield from ["What keeps the others from their goals:", ""]
        for cause in dict.fromkeys(causes[name] for name in missed):
            told = "; ".join(texts[name] for name in missed if causes[name] == cause)
            yield f"- **{told[0].upper()}{told[1:]}.** {cause}"
        yield ""


def _figures(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["figures"]:
        return
    yield from ["## Rates", "", "![Rates](benchmarks-rates.svg)", ""]
    for kind, ways in found["figures"].items():
        yield from [f"### {_TITLES[kind]}", ""]
        unit = next(iter(ways.values()))["unit"]
        rows = [
            (plots.NAMES[name], f"{way['median']:,.0f}", f"{way['min']:,.0f}", f"{way['max']:,.0f}",
             ", ".join(f"{value:,.0f} ({beside:.2f})" for value, beside in zip(way["runs"], way["calibration_s"], strict=True)))
            for name, way in ways.items()
        ]  # fmt: skip
        yield from _table(("", f"{unit}, median", "least", "most", "each run (calibration, s)"), rows)


def _latency(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["latency"]:
        return
    yield from ["## Commit → view, ms", "", "![Latency](benchmarks-latency.svg)", ""]
    rows = []
    for kind, sides in found["latency"].items():
        for name, side in sides.items():
            reached = ", ".join(str(run["rate"]) for run in side["runs"])
            cells = [f"{side[part]['median']:,.0f} ({side[part]['min']:,.0f} to {side[part]['max']:,.0f})" for part in ("p50", "p95", "p99")]  # fmt: skip
            rows.append((kind, plots.NAMES[name], *cells, reached))
    yield from _table(("changes", "", "p50 (least to most)", "p95", "p99", "changes/s reached"), rows)


def _growth(found: Mapping[str, Any]) -> Iterator[str]:
    if "growth" not in found:
        return
    growth = found["growth"]
    yield from ["## Growth", "", "![Growth](benchmarks-growth.svg)", ""]
    rows = [(f"{step['events']:,}", f"{step['rate']:,}", step["cpu_us"]) for step in growth["steps"]]
    yield from _table(("events in the log", "events/s", "µs of CPU an event"), rows)


def _memory(found: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (where, name, process["most_mb"], process["second_quarter_mb"], process["last_quarter_mb"], f"{process['growth']:.2f}")
        for where, about in _watched(found)
        for name, process in about["processes"].items()
    ]  # fmt: skip
    if not rows:
        return
    yield from ["## Memory, MB", ""]
    yield from _table(("where", "process", "most", "second quarter", "last quarter", "last/second"), rows)
    yield from _table(
        ("where", "most at one moment"), [(where, about["together_mb"]) for where, about in _watched(found)]
    )


def _watched(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield from ((f"source → view, {name}", about) for name, about in found["memory"].items())
    if "growth" in found:
        yield "growth", found["growth"]["memory"]
    if "city" in found:
        yield f"sample city, {found['city']['residents']:,} residents, embedded", found["city"]


def _sweeps(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["sweeps"]:
        return
    yield from ["## Sweeps", ""]
    for name, sweep in found["sweeps"].items():
        said = ((how, f"{value:,} rows/s" if isinstance(value, int) else f"p50 {value['p50']} ms, p99 {value['p99']} ms")
                for how, value in sweep.items())  # fmt: skip
        yield from _table((name.replace("_", " "), ""), said)


def _settings(found: Mapping[str, Any]) -> Iterator[str]:
    yield from ["## Versions and settings", ""]
    yield from _table(("", "version"), found["versions"].items())
    flat = [(f"{kind}: {name}", value) for kind, values in found["settings"].items() for name, value in values.items()]
    for name, value in found["services"].items():
        flat += (
            [(f"{name}: {key}", each) for key, each in value.items()] if isinstance(value, Mapping) else [(name, value)]
        )
    yield from _table(("setting", ""), flat)
