"""How findings look in a terminal: tables, progress, and the live view of the sample city."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from onewindow import people, show_comparisons
from onewindow import refusals as quarantined
from onewindow.invocation import invocation
from onewindow.panel import coloured, freshness, sources_table, summary_table, troubles

_WIDE = 170  # where nobody looks at a terminal, lines are not cut to one
out = Console(width=None if sys.stdout.isatty() else _WIDE)
err = Console(stderr=True, width=None if sys.stderr.isatty() else _WIDE)


def step(text: str) -> None:
    """One line on how far long work is."""
    err.print(text, style="dim")


def status(found: dict[str, Any]) -> None:
    """The whole status."""
    out.print(Text(f"{found['deployment']}: ") + coloured(found["state"]))
    out.print(sources_table(found))
    roles = [part for each in found["roles"] for part in (f"{each['role']} ", coloured(each["state"]), "  ")]
    out.print(Text.assemble("roles: ", *roles))
    out.print(freshness(found))
    _all(troubles(found))


def summary(found: dict[str, Any]) -> None:
    """What a run of the sample city came to."""
    out.print(f"{found['residents']:,} residents in the view, from nothing to verified in {found['seconds']} s")
    out.print(summary_table(found))
    out.print(f"verified: {'the view equals its log' if found['verified'] else 'THE VIEW DIFFERS FROM ITS LOG'}")
    out.print(f"digest {found['digest']}", soft_wrap=True)


class Progress:
    """Progress of a run: a live table on a terminal, a line each few seconds elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=err, refresh_per_second=8, transient=True) if err.is_terminal else None
        self._last = ("", 0.0)
        if self._live:
            self._live.start()

    def __call__(self, what: str, found: dict[str, Any] | None, demo: Any) -> None:  # noqa: ARG002 - the screen's
        if self._live:
            parts: list[Any] = [Text(f"{what} …", "bold")]
            if found:
                parts.append(sources_table(found))
            self._live.update(Group(*parts))
        elif what != self._last[0] or time.monotonic() - self._last[1] > 5.0:
            self._last = (what, time.monotonic())
            read = sum(each["read"] or 0 for each in found["sources"]) if found else 0
            err.print(f"{what}: {read:,} records read" if found else what, style="dim")

    def stop(self) -> None:
        """Leave the terminal as it was; one that was closed meanwhile is no trouble."""
        if self._live:
            with suppress(OSError):
                self._live.stop()


class Screen(Progress):
    """The live view of the sample city."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def __call__(self, what: str, found: dict[str, Any] | None, demo: Any) -> None:
        if self._live is None or found is None:
            super().__call__(what, found, demo)
            return
        where = f"{invocation()} -C {self._directory}"
        self._live.update(
            Group(
                Text(
                    f"OneWindow 一窗 · sample city · {demo.departments.made:,} changes made in the departments", "bold"
                ),
                sources_table(found),
                Text(freshness(found)),
                *troubles(found),
                Text("\nin another terminal:", "bold"),
                Text(f"  {where} status\n  {where} community\n  {where} quarantine list\n  {where} verify", "cyan"),
                Text("Ctrl-C ends it; started again, it goes on where it stood.", "dim"),
            )
        )


def _all(lines: Iterable[RenderableType]) -> None:
    """Texts are not cut: the terminal breaks them, and what is copied from there is whole."""
    for line in lines:
        out.print(line, soft_wrap=not isinstance(line, Table), markup=False, highlight=False)


def lines(found: Iterable[RenderableType]) -> None:
    """Whatever a command has to say."""
    _all(found)


def resident(found: dict[str, Any]) -> None:
    """A resident's unified record."""
    _all(people.resident(found))


def communities(found: list[dict[str, Any]]) -> None:
    """Counts by community."""
    out.print(people.communities(found))


def community(found: dict[str, Any]) -> None:
    """All counts of one community."""
    _all(people.community(found))


@contextmanager
def bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on a terminal: gives what takes (done, total)."""
    from rich.progress import Progress

    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def bars() -> Iterator[Callable[[str, int, int | None], None]]:
    """The same for work of several pieces: gives what takes (title, done, total if known)."""
    from rich.progress import Progress

    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda title, done, total: progress.update(task, description=title, completed=done, total=total)


def rebuilt(found: dict[str, Any]) -> None:
    """What a rebuild did."""
    resumed = f" and {found['resumed']:,} by an earlier try" if found["resumed"] else ""
    out.print(
        f"{found['events']:,} events folded in {found['seconds']:.1f} s{resumed}; swapped in {found['swap_s']:.2f} s"
    )
    for name, about in found["tables"].items():
        out.print(f"  {name:<16} {about['rows']:>10,} rows  {about['digest'][:16]}")


def archived(found: dict[str, Any]) -> None:
    """What the archive took over, or holds."""
    out.print(f"{found['rows']:,} records in {found['files']:,} files, in {found['directory']}")


def remapped(found: dict[str, Any]) -> None:
    """What a remap changed."""
    out.print(f"{found['dataset']}: {found['read']:,} events read under mapping {found['mapping']}")
    for name in ("same", "superseded", "asserted", "retracted", "released", "refused"):
        out.print(f"  {name:<10} {found[name]:>10,}")
    if found["waiting"]:
        out.print("what was said waits to be published by streams; if that is not running, start it", style="dim")


def verified(found: dict[str, Any]) -> None:
    """The outcome of verify."""
    good, bad = "the view equals its log", "THE VIEW DIFFERS"
    if found.get("from") == "department":
        good, bad = "what streams decided is what the departments' topics say", "WHAT STREAMS DECIDED DIFFERS"
    out.print(Text(good, "bold green") if found["equal"] else Text(bad, "bold red"))
    for name, about in found["tables"].items():
        out.print(
            f"  {name:<16} {about['rows']:>10,} rows  {about['digest'][:16]}…  {'' if about['equal'] else 'DIFFERS'}"
        )
    for each in found["differences"]:
        out.print(f"  {each['table']} {'/'.join(each['key'])}: {', '.join(each['columns']) or 'missing on one side'}")
    for gap in found["gaps"]:
        out.print(f"  gap: {gap['origin']} expected {gap['expected']}, found {gap['found']}", style="yellow")
    out.print(f"  folded {found['events']:,} events; digest {found['digest'][:16]}…", style="dim")
    for command in found.get("fix", ()):
        out.print(f"  fix: {command}", soft_wrap=True)


def refusals(found: list[dict[str, Any]], limit: int | None) -> None:
    """What is in quarantine, by reason and owner, then each."""
    _all(quarantined.refusals(found, limit))


def refusal(found: dict[str, Any]) -> None:
    """One refused record, without its values."""
    _all(quarantined.refusal(found))


def discarding(found: dict[str, Any]) -> None:
    """How many refusals were, or would be, taken off the list."""
    if found["done"]:
        out.print(f"{found['records']:,} records of {found['dataset']} are discarded: {found['because']}")
    else:
        out.print(f"{found['records']:,} records of {found['dataset']} would be discarded; add --yes to do it")


def sought(found: dict[str, Any]) -> None:
    """From where a dataset is, or would be, read again."""
    where = "its beginning" if found["to"] is None else found["to"]
    much = f"{found['published']:,} changes were read of it so far"
    if found["rows"] is not None:
        much = f"{found['rows']:,} rows lie there and behind; it stands at {found['stands']}"
    verb = "is" if found["done"] else "would be"
    out.print(f"{found['dataset']} {verb} read again from {where}: {much}", soft_wrap=True)
    if not found["done"]:
        out.print("add --yes to do it")


_RETRIED = {
    "released": "accepted now",
    "filtered": "not what the dataset holds",
    "refused": "still refused",
    "moved": "decided since by a newer event",
    "dropped": "still refused: retention has dropped the event, and no archive has it",
}


def retried(found: dict[str, Any]) -> None:
    """What became of refused records that were decided once more."""
    out.print(f"{found['records']:,} refused records were decided again")
    for each in found["datasets"]:
        for name, meaning in _RETRIED.items():
            if each[name]:
                out.print(f"  {each['dataset']}  {each[name]:>8,}  {meaning}")
    for each in found["datasets"]:
        if each["remap_wanted"]:
            out.print(
                f"what was accepted of {each['dataset']} under another mapping stays as it is until: onewindow remap"
                f" {each['dataset']}",
                style="yellow", soft_wrap=True,
            )  # fmt: skip


def findings(found: list[dict[str, Any]]) -> None:
    """The lines of a check."""
    for each in found:
        out.print(coloured(each["level"]) + Text(f" {each['subject']}: {each['text']}"), soft_wrap=True)


def discovered(found: list[dict[str, Any]]) -> None:
    """What is in a system."""
    for each in found:
        rows = "" if each["rows"] is None else f", about {each['rows']:,} rows"
        declared = f", declared as {each['dataset']}" if each["dataset"] else ""
        out.print(f"{each['name']}{rows}{declared}; key: {', '.join(each['key']) or 'none'}", soft_wrap=True)
        for column, kind in each["columns"].items():
            out.print(f"  {column:<24} {kind}", style="dim", soft_wrap=True)


def agreed(found: dict[str, Any]) -> None:
    """What became of each data contract, and each drift."""
    for each in found["datasets"]:
        out.print(f"{each['dataset']}: {each['columns']} columns, {each['state']}: {each['file']}", soft_wrap=True)
        for drift in each["drift"]:
            out.print(Text(f"  {drift['text']}", "" if each["state"] == "renewed" else "yellow"), soft_wrap=True)


def plan(found: dict[str, Any]) -> None:
    """Each step: what, and what does it."""
    for step in found["steps"]:
        out.print(Text(step["about"], "bold") + Text(f": {step['finding']}"), soft_wrap=True)
        takes = "" if step["events"] is None else f" ({step['events']:,} of them; {step['at_least_s']:,} s or more)"
        out.print(f"  {step['then']}{takes}", soft_wrap=True, markup=False, highlight=False)
    for each in found["unknown"]:
        out.print(Text("not looked at: ", "yellow") + Text(each), soft_wrap=True)
    if found["as_declared"]:
        out.print("all is as declared: nothing is to be done")


def pausing(found: dict[str, Any]) -> None:
    """Which datasets are paused."""
    for each in found["datasets"]:
        name, was = each["dataset"], f"by {each['by']} since {each['since']}: {each['reason']}"
        if each["was_paused"]:
            _all([f"{name} was paused already, {was}"])
        else:
            _all([f"{name} is paused within two seconds, until: onewindow source resume {name}"])


def resuming(found: dict[str, Any]) -> None:
    """Which datasets go on."""
    _all(f"{each} goes on." for each in found["resumed"])
    if not found["resumed"] and not found["still_paused"]:
        _all([f"{found['dataset']} is not paused: nothing to do."])
    for each in found["still_paused"]:
        _all(
            [
                f"{each} stays paused, because too much of it was refused; once that is mended: onewindow source resume {each}"
            ]
        )


def reconciled(found: dict[str, Any], limit: int) -> None:
    """The outcome of a reconcile."""
    _all(show_comparisons.reconciled(found, limit))


def books(found: dict[str, Any]) -> None:
    """The books, and what does not balance."""
    _all(show_comparisons.books(found))


def cluster_plan(found: dict[str, Any]) -> None:
    """What differs in the cluster, a line each, then the recipes for ACLs."""
    lines = [f"{topic}: {', '.join(what)}" for topic, what in found.get("done", {}).items()]
    for item in found["topics"]:
        if not item["exists"]:
            lines.append(f"{item['topic']}: is missing; {item['partitions']} partitions × {item['replication']}")
        lines += [
            f"{item['topic']}: {one['setting']} is {one['is']}, {one['wanted']} is declared ({one['do']})"
            for one in item["differences"]
        ]
    lines.append("the cluster is as declared" if found["as_declared"] else "the cluster is NOT as declared")
    lines += ["", "ACLs, where the cluster has an authorizer:", *(f"  {acl['command']}" for acl in found["acls"])]
    out.print("\n".join(lines), soft_wrap=True, markup=False, highlight=False)


def explanation(found: dict[str, Any]) -> None:
    """What a code means, and what mends it."""
    lines = [f"{found['code']}  ({found['kind']})", found["english"], found["chinese"]]
    lines += [f"fix: {found['mend']}", f"办法：{found['mend_zh']}"]
    if "exit_code" in found:
        lines.append(f"exit code: {found['exit_code']}")
    _all(lines)


def bench(found: dict[str, Any]) -> None:
    """The figures of this machine."""
    for name in ("produce", "intake", "project", "end_to_end"):
        scaled = f"{found['at_half_a_second'][name]:>10,.0f} where the calibration loop takes 0.5 s"
        out.print(f"{name:<12} {found[name]:>10,.0f} records/s {scaled}")
    out.print(f"nothing to a verified view: {found['cold_start_s']} s, {found['records']:,} residents")
    out.print(f"calibration loop: {found['calibration_s']} s (figures scale with it)", style="dim")
