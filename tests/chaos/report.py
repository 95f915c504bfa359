"""What a run came to, as a section of docs/reliability.md. The section of the other services stays as it is."""

from __future__ import annotations

import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos.history import Entry
from chaos.invariants import Violation

NAMES = {"embedded": "On the embedded parts", "services": "On Apache Kafka and PostgreSQL"}
INVARIANTS = {
    "I1": "nothing lost: what the departments hold is in the view or in quarantine",
    "I2": "no effect twice",
    "I3": "order per record in the log",
    "I4": "no reader sees a position or revision go back",
    "I6": "conserved sums are 0 in every read, no record is nobody's",
    "I7": "the view equals the log folded anew",
    "I8": "the books balance",
    "I9": "no record is missing in between",
    "I11": "the status is honest within 15 s, and nothing gives up",
    "I12": "normal again within 30 s of a fault's end; others stay fresh",
    "I13": "memory, files and outbox stay bounded",
    "I14": "every stored event can be read",
    "I16": "no ID number in any log",
}


@dataclass(frozen=True)
class Recovery:
    """The faults of one kind: how many there were, and how long it took after their end until all was normal, in seconds."""

    nemesis: str
    title: str
    took: Sequence[float]

    def quantile(self, share: float) -> float:
        """By nearest rank."""
        ordered = sorted(self.took)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


@dataclass(frozen=True)
class Summary:
    """What a run came to."""

    on: str
    seed: int
    minutes: float
    versions: Mapping[str, str]
    history: Sequence[Entry]
    violations: Sequence[Violation]
    kinds: Sequence[Recovery]
    left_out: Mapping[str, str]
    counts: Mapping[str, int]
    most: Mapping[str, Mapping[str, float]]

    def document(self) -> dict[str, Any]:
        """The figures, for machines."""
        return {
            "on": self.on,
            "seed": self.seed,
            "minutes": self.minutes,
            "faults": sum(len(kind.took) for kind in self.kinds),
            "by_kind": {f"{kind.nemesis} {kind.title}": len(kind.took) for kind in self.kinds},
            **self.counts,
            "violations": len(self.violations),
            "left_out": dict(self.left_out),
        }


def summary(
    on: str, seed: int, minutes: float, versions: Mapping[str, str], history: Sequence[Entry],
    violations: Sequence[Violation], conductor: Any,
) -> Summary:  # fmt: skip
    """Count it together."""
    took: dict[tuple[str, str], list[float]] = {}
    faults = [entry for entry in history if entry["kind"] == "fault"]
    begun = {entry["number"] for entry in faults if entry["phase"] == "begin"}
    for entry in faults:
        if entry["phase"] == "normal" and entry["number"] in begun:
            took.setdefault((entry["nemesis"], entry["title"]), []).append(entry["took"])
    reads = [entry for entry in history if entry["kind"] == "read"]
    counts = Counter(entry["kind"] for entry in history)
    return Summary(
        on, seed, minutes, versions, history, violations,
        [Recovery(*kind, times) for kind, times in sorted(took.items(), key=lambda item: (int(item[0][0][1:]), item[0]))],
        {**(conductor.left_out if conductor else {}), **_impossible(faults)},
        {
            "changes": max((entry["changes"] for entry in history if entry["kind"] == "made"), default=0),
            "reads": counts["read"],
            "reads_not_answered": counts["unread"],
            "looks_at_status": counts["status"],
            "repeats_dropped": max((read["repeated"] for read in reads), default=0),
            "ms_between_two_reads_at_most": round(1000 * max((b["at"] - a["at"] for a, b in pairwise(reads)), default=0)),
        },
        _most(history),
    )  # fmt: skip


def _impossible(faults: Sequence[Entry]) -> dict[str, str]:
    """Faults that were drawn and could not be injected at that moment."""
    found = Counter(entry["title"] for entry in faults if entry["phase"] == "impossible")
    why = {entry["title"]: entry["why"] for entry in faults if entry["phase"] == "impossible"}
    return {f"{title} ({count} times)": why[title] for title, count in found.items()}


def _most(history: Sequence[Entry]) -> dict[str, dict[str, float]]:
    most: dict[str, dict[str, float]] = {}
    for entry in history:
        if entry["kind"] == "resources":
            for role, used in entry["roles"].items():
                kept = most.setdefault(role, {"rss_mb": 0, "files": 0})
                for name in kept:
                    kept[name] = max(kept[name], used[name])
    return most


def section(found: Summary, plot: str) -> str:
    """The section as Markdown."""
    document = found.document()
    failed = Counter(violation.invariant for violation in found.violations)
    versions = {
        "OneWindow": version("onewindow"),
        "Python": platform.python_version(),
        "Linux": platform.release().split("-")[0],
        **found.versions,
    }
    command = f"`make chaos MINUTES={found.minutes:g} SEED={found.seed} ON={found.on}`: "
    result = (
        f"**{document['faults']} faults, {document['changes']:,} changes, {document['reads']:,} reads,"
        f" {document['violations']} violations.**"
    )
    lines = [
        f"## {NAMES[found.on]}",
        "",
        command + result,
        "",
        ", ".join(f"{name} {value}" for name, value in versions.items()) + ".",
        "",
        f"![Freshness over time, with the faults marked]({plot})",
        "",
        "| | |",
        "| --- | ---: |",
        *(f"| {name.replace('_', ' ')} | {document[name]:,} |" for name in found.counts),
        "",
        "Seconds from the end of a fault until freshness and status were normal again:",
        "",
        "| nemesis | fault | times | p50 | p95 | longest |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
        *(
            f"| {kind.nemesis} | {kind.title} | {len(kind.took)} | {kind.quantile(0.5):.1f} | {kind.quantile(0.95):.1f} |"
            f" {max(kind.took):.1f} |"
            for kind in found.kinds
        ),
        "",
        "| invariant | violations |",
        "| --- | ---: |",
        *(f"| {name}: {what} | {failed[name]} |" for name, what in INVARIANTS.items()),
        "",
        "Most that a role used: "
        + ", ".join(
            f"{role} {used['rss_mb']:.0f} MB and {used['files']:.0f} files" for role, used in found.most.items()
        )
        + ".",
        "",
    ]
    if found.left_out:
        lines += ["Not injected here: " + "; ".join(f"{what}: {why}" for what, why in found.left_out.items()) + ".", ""]
    lines += [f"- {v.invariant} {v.anomaly} at {v.at:.1f} s: {v.what}" for v in found.violations[:20]]
    return "\n".join(lines).rstrip() + "\n"


def put(page: str, name: str, text: str) -> str:
    """The page with this section in it: in the place of the one with the same heading, or before the section that comes
    after all of them."""
    pattern = re.compile(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    if pattern.search(page):
        return pattern.sub(lambda _: text + "\n", page, count=1).rstrip() + "\n"
    return page.rstrip() + "\n\n" + text


def write_report(path: Path, found: Summary) -> None:
    """Write the section of these services anew, and its plot beside the page."""
    from chaos.plot import freshness

    plot = path.with_name(f"{path.stem}-{found.on}.svg")
    freshness(found.history, plot)
    page = path.read_text(encoding="utf-8") if path.exists() else "# Reliability\n"
    path.write_text(put(page, NAMES[found.on], section(found, plot.name)), encoding="utf-8")
