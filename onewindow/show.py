"""How findings look in a terminal: tables, progress, and the live view of the sample city."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from contracts.fields import FIELDS
from onewindow.roles import ROLES
from onewindow.settings import Deployment

_WIDE = 130  # where nobody looks at a terminal, lines are not cut to one
out = Console(width=None if sys.stdout.isatty() else _WIDE)
err = Console(stderr=True, width=None if sys.stderr.isatty() else _WIDE)
_COLOURS = {"live": "green", "ready": "green", "ok": "green", "loading": "cyan", "catching up": "cyan", "starting": "cyan",
            "warn": "yellow", "waiting": "yellow", "silent": "red", "paused": "red", "down": "red", "fail": "red"}  # fmt: skip


def _coloured(word: str) -> Text:
    return Text(word, style=_COLOURS.get(word, ""))


def step(text: str) -> None:
    """One line on how far long work is."""
    err.print(text, style="dim")


def sources_table(found: dict[str, Any]) -> Table:
    """Each dataset with its state, its progress while it loads, and its books."""
    loading = any(each["total"] for each in found["sources"])
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("source", no_wrap=True)
    table.add_column("state", no_wrap=True)
    if loading:
        table.add_column("rows", justify="right")
        table.add_column("/s", justify="right")
    for name in ("read", "accepted", "refused", "repeat", "stale", "pending"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("books", no_wrap=True)
    for each in found["sources"]:
        cells: list[Any] = [f"{each['system']}.{each['dataset']}", _coloured(each["state"])]
        if loading:
            rows = f"{each['rows'] or 0:,}/{each['total']:,}" if each["total"] else ""
            cells += [rows, f"{each['rate']:,.0f}" if each["rate"] else ""]
        cells += [
            f"{each[name] or 0:,}" for name in ("read", "accepted", "quarantined", "duplicate", "stale", "pending")
        ]
        unknown = Text("not yet" if each["read"] is None else "NOT BALANCED", "yellow")
        table.add_row(*cells, Text("balanced", "green") if each["balanced"] else unknown)
    return table


def _troubles(found: dict[str, Any]) -> list[Text]:
    lines = []
    for each in found["sources"]:
        if each["error"]:
            error = each["error"]
            lines.append(Text(f"! {each['system']}.{each['dataset']}: {error['code']} {error['finding']}", "yellow"))
            lines.append(Text(f"  fix: {error['fix']}", "dim"))
        lines.extend(Text(f"  note: {each['dataset']}: {note}", "dim") for note in each["notes"][-1:])
    lines.extend(
        Text(f"! {problem['where']}: {problem['code']} {problem['finding']}", "yellow") for problem in found["problems"]
    )
    return lines


def _freshness(found: dict[str, Any]) -> str:
    fresh = found["freshness_ms"]
    if fresh["p50"] is None:
        return "freshness: no change was measured yet"
    return (
        f"freshness (source commit → view): p50 {fresh['p50']:,.0f} ms, p95 {fresh['p95']:,.0f} ms, "
        f"p99 {fresh['p99']:,.0f} ms of {found['freshness_measured']:,} changes"
    )


def status(found: dict[str, Any]) -> None:
    """The whole status."""
    word = Text("healthy", "bold green") if found["healthy"] else Text("needs attention", "bold yellow")
    out.print(Text(f"{found['deployment']}: ") + word)
    out.print(sources_table(found))
    out.print(
        Text.assemble(
            "roles: ", *[part for r in found["roles"] for part in (f"{r['role']} ", _coloured(r["state"]), "  ")]
        )
    )
    out.print(_freshness(found))
    for line in _troubles(found):
        out.print(line)


def demo_once(
    directory: Path | None, residents: int, seed: int, changes: int, rate: float, *, as_json: bool
) -> dict[str, Any]:
    """Run the sample city once, with progress on standard error."""
    from onewindow.demo import once

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    place = directory or Path(tempfile.mkdtemp(prefix="onewindow-demo-"))
    if directory is None:
        place.chmod(0o755)  # PostgreSQL runs as a user of its own where we are root
    told = _Progress()
    try:
        found = once(
            place,
            residents=residents,
            seed=seed,
            changes=changes,
            rate=max(rate, 100.0),
            show=told,
            keep_going=directory is not None,
        )
    finally:
        told.stop()
        if directory is None:
            shutil.rmtree(place, ignore_errors=True)
    if not as_json:
        summary(found)
    return found


def summary(found: dict[str, Any]) -> None:
    """What a run of the sample city came to."""
    out.print(f"{found['residents']:,} residents in the view, from nothing to verified in {found['seconds']} s")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("source", "read", "accepted", "quarantined", "duplicate", "stale", "filtered", "pending", "balanced"):
        table.add_column(name, justify="left" if name == "source" else "right")
    for each in found["sources"]:
        values = [
            str(each[name]) for name in ("read", "accepted", "quarantined", "duplicate", "stale", "filtered", "pending")
        ]
        table.add_row(f"{each['system']}.{each['dataset']}", *values, "yes" if each["balanced"] else "NO")
    out.print(table)
    out.print(f"verified: {'the view equals its log' if found['verified'] else 'THE VIEW DIFFERS FROM ITS LOG'}")
    out.print(f"digest {found['digest']}")


class _Progress:
    """Progress of a run: a live table on a terminal, a line each few seconds elsewhere."""

    def __init__(self) -> None:
        self._live = Live(console=err, refresh_per_second=8, transient=True) if err.is_terminal else None
        self._last = ("", 0.0)
        if self._live:
            self._live.start()

    def __call__(self, what: str, found: dict[str, Any] | None, demo: Any) -> None:
        done = f"{demo.departments.built:,} of {demo.residents:,} residents" if not found else ""
        if self._live:
            parts: list[Any] = [Text(f"{what} … {done}", "bold")]
            if found:
                parts.append(sources_table(found))
            self._live.update(Group(*parts))
        elif what != self._last[0] or time.monotonic() - self._last[1] > 5.0:
            self._last = (what, time.monotonic())
            read = sum(each["read"] or 0 for each in found["sources"]) if found else 0
            err.print(f"{what}: {done or f'{read:,} records read'}", style="dim")

    def stop(self) -> None:
        if self._live:
            self._live.stop()


def demo_live(directory: Path, residents: int, seed: int, rate: float) -> None:
    """The sample city until Ctrl-C: what is in the sources, how far the view is, what to try."""
    from onewindow.demo import Demo

    stop = False

    def ask_to_stop(*_: Any) -> None:
        nonlocal stop
        stop = True

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    demo = Demo(directory, residents=residents, seed=seed, rate=rate, dump_each=int(rate * 60))
    screen = _Screen(directory)
    try:
        demo.start(lambda *told: screen(*told) if not stop else _leave())
        demo.follow(screen, until=lambda: stop)
    except _Left:
        pass
    finally:
        screen.stop()
        err.print("stopping …", style="dim")
        demo.stop()
    err.print(f"Stopped. `onewindow demo --dir {directory}` goes on where it stood.")


class _Left(Exception):
    """Ctrl-C while the city was being built."""


def _leave() -> None:
    raise _Left


class _Screen(_Progress):
    """The live view of the sample city."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self._directory = directory

    def __call__(self, what: str, found: dict[str, Any] | None, demo: Any) -> None:
        if self._live is None or found is None:
            super().__call__(what, found, demo)
            return
        where = f"onewindow -C {self._directory}"
        self._live.update(
            Group(
                Text(
                    f"OneWindow 一窗 · sample city · {demo.departments.made:,} changes made in the departments", "bold"
                ),
                sources_table(found),
                Text(_freshness(found)),
                *_troubles(found),
                Text("\nin another terminal:", "bold"),
                Text(f"  {where} status\n  {where} community\n  {where} quarantine list\n  {where} verify", "cyan"),
                Text("Ctrl-C ends it; started again, it goes on where it stood.", "dim"),
            )
        )


def up(deployment: Deployment) -> int:
    """All roles under a supervisor until Ctrl-C. The exit code: 78 if a role's configuration is wrong."""
    from onewindow.asking import check
    from onewindow.supervisor import CONFIG_EXIT, Supervisor

    stop = False

    def ask_to_stop(*_: Any) -> None:
        nonlocal stop
        stop = True

    roles = [name for name in ROLES if name != "broker" or deployment.settings.kafka.embedded]
    supervisor = Supervisor(deployment.directory, roles)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    for finding in check(deployment, None):
        if finding["level"] == "fail":
            err.print(finding["text"], style="yellow", soft_wrap=True, markup=False)
            if finding["exit_code"] == CONFIG_EXIT:
                return CONFIG_EXIT
    supervisor.start()
    told: set[str] = set()
    try:
        while not stop:
            supervisor.tend()
            for role in supervisor.roles:
                if role.down:
                    err.print("\n".join(role.said), style="red", soft_wrap=True, markup=False)
                    return CONFIG_EXIT
                if role.name not in told and supervisor.is_ready(role):
                    told.add(role.name)
                    err.print(f"{role.name}: ready", style="green")
                if role.last_exit not in (None, 0) and role.starts > 3 and role.name not in told:
                    told.add(role.name)
                    err.print("\n".join(supervisor.tail(role.name)), style="yellow", soft_wrap=True, markup=False)
            time.sleep(0.1)
    finally:
        supervisor.stop()
    return 0


def resident(found: dict[str, Any]) -> None:
    """A resident's unified record."""
    out.print(f"resident {found['resident_id']}" + (" (provisional 暂定)" if found["provisional"] else ""))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("field", "字段", "value", "source", "rule", "as of"):
        table.add_column(name)
    for name, field in found["fields"].items():
        value = str(field["value"]) + (f"  (was {field['original']!r}: {field['mend']})" if "mend" in field else "")
        table.add_row(
            name,
            FIELDS[name].chinese,
            value,
            f"{field['system']}.{field['dataset']}",
            field["rule"],
            (field.get("as_of") or "")[:10],
        )
    out.print(table)
    for each in found["benefits"]:
        amount = f"{(each['amount_fen'] or 0) / 100:,.2f} 元"
        out.print(
            f"benefit {each['kind']}: {amount} a month since {each['from_month']}, {each['state']} ({each['system']})"
        )
    out.print(
        f"{len(found['assertions'])} records speak of this resident; {found['held']} held in quarantine", style="dim"
    )


def communities(found: list[dict[str, Any]]) -> None:
    """Counts by community."""
    names = [name for name in found[0] if name != "community_code"] if found else []
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("community 社区")
    for name in names:
        table.add_column(name, justify="left" if name == "name" else "right")
    for row in found:
        table.add_row(
            row["community_code"],
            *(f"{row[name]:,}" if isinstance(row[name], int) else str(row[name]) for name in names),
        )
    out.print(table)


def verify(deployment: Deployment) -> dict[str, Any]:
    """Verify, with a progress bar on a terminal."""
    from rich.progress import Progress

    from onewindow.verifying import verify as compare

    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task("folding the log", total=None)
        return compare(deployment, lambda done, total: progress.update(task, completed=done, total=total))


def verified(found: dict[str, Any]) -> None:
    """The outcome of verify."""
    out.print(Text("the view equals its log", "bold green") if found["equal"] else Text("THE VIEW DIFFERS", "bold red"))
    for name, about in found["tables"].items():
        out.print(
            f"  {name:<10} {about['rows']:>10,} rows  {about['digest'][:16]}…  {'' if about['equal'] else 'DIFFERS'}"
        )
    for each in found["differences"]:
        out.print(f"  {each['table']} {'/'.join(each['key'])}: {', '.join(each['columns']) or 'missing on one side'}")
    for gap in found["gaps"]:
        out.print(f"  gap: {gap['origin']} expected {gap['expected']}, found {gap['found']}", style="yellow")
    out.print(f"  folded {found['events']:,} events; digest {found['digest'][:16]}…", style="dim")


def refusals(found: list[dict[str, Any]]) -> None:
    """What is in quarantine, by reason and owner, then each."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("record", "source", "reason", "column", "looks like", "place", "owner"):
        table.add_column(name, overflow="fold")
    for each in found:
        table.add_row(
            each["record_key"],
            f"{each['system']}.{each['dataset']}",
            each["reason"],
            each["column"] or "",
            each["looks_like"] or "",
            each["place"],
            each["owner"],
        )
    out.print(table)
    out.print(f"{len(found)} refused records; `onewindow explain REASON` says what a reason means", style="dim")


def refusal(found: dict[str, Any]) -> None:
    """One refused record, without its values."""
    for name in (
        "record_key",
        "system",
        "dataset",
        "reason",
        "meaning",
        "meaning_zh",
        "owner",
        "place",
        "mend",
        "refused_at",
    ):
        if found.get(name):
            out.print(f"{name:<12} {found[name]}")
    for name, about in found["values"].items():
        out.print(Text(f"  {name:<12} {about['looks_like']}", "bold red" if about["culprit"] else ""))
    out.print("values are shown by their shape: 9 a digit, A a letter, 字 another character", style="dim")


def findings(found: list[dict[str, Any]]) -> None:
    """The lines of a check."""
    for each in found:
        out.print(_coloured(each["level"]) + Text(f" {each['subject']}: {each['text']}"), soft_wrap=True)


def explanation(found: dict[str, str]) -> None:
    """What a code means."""
    out.print(f"{found['code']}  ({found['kind']})", style="bold")
    out.print(found["english"])
    out.print(found["chinese"])
    if "mend" in found:
        out.print(f"mend: {found['mend']}")
    if "exit_code" in found:
        out.print(f"exit code: {found['exit_code']}", style="dim")


def bench(found: dict[str, Any]) -> None:
    """The figures of this machine."""
    for name in ("produce", "intake", "project", "end_to_end"):
        out.print(f"{name:<12} {found[name]:>10,.0f} records/s")
    out.print(f"calibration loop: {found['calibration_s']} s (figures scale with it)", style="dim")
