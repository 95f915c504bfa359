"""The invariants, as pure functions over histories: each gives the violations that it finds, with the anomaly's name.

Numbers (I1 ...) and names of anomalies are those of docs/reliability.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from chaos.history import Entry

HONEST_S = 15.0
_MOMENT_S = 2.0
"""How soon the status has to tell the truth."""
NORMAL_S = 30.0
"""How soon after a fault's end freshness has to be normal again."""
LIMITS = {"rss_mb": 600.0, "files": 400}
"""What a role may use at most: memory, open files."""
OUTBOX_ROWS = 2_000
NEVER_DELETED = "hrss."
"""Datasets of which the sample city deletes no record: one that was there is there."""


class Violation(NamedTuple):
    """What may never be, and was."""

    invariant: str
    anomaly: str
    at: float
    what: str


def _reads(history: Iterable[Entry]) -> list[Entry]:
    return [entry for entry in history if entry["kind"] == "read"]


def _faults(history: Iterable[Entry]) -> dict[int, dict[str, Entry]]:
    """number -> phase -> entry."""
    found: dict[int, dict[str, Entry]] = {}
    for entry in history:
        if entry["kind"] == "fault":
            found.setdefault(entry["number"], {})[entry["phase"]] = entry
    return {number: phases for number, phases in found.items() if "begin" in phases}  # the others were impossible


def _rollbacks(history: Sequence[Entry]) -> list[tuple[float, float]]:
    """The spans in which the view may step back: a standby without the last changes takes over."""
    return [
        (phases["begin"]["at"], phases.get("end", {"at": float("inf")})["at"])
        for phases in _faults(history).values()
        if phases.get("begin", {}).get("rolls_back")
    ]


def monotonic(history: Sequence[Entry]) -> Iterator[Violation]:
    """I4: no reader sees a position or a revision go back."""
    spans = _rollbacks(history)
    positions: dict[str, int] = {}
    revisions: dict[str, int] = {}
    for read in _reads(history):
        allowed = any(begin <= read["at"] and read.get("begun", read["at"]) <= end for begin, end in spans)
        for floor, seen, what in (
            (positions, read["positions"], "position"),
            (revisions, {key: record[0] for key, record in read["records"].items()}, "revision"),
        ):
            for key, value in seen.items():
                if value < floor.get(key, value) and not allowed:
                    yield Violation(
                        "I4", "nonmonotonic-poll", read["at"], f"{what} of {key}: {floor[key]}, then {value}"
                    )
                floor[key] = value


def internal_consistency(history: Sequence[Entry]) -> Iterator[Violation]:
    """I6: in every read the conserved sums are 0, and no live record belongs to nobody, nor a resident to no record."""
    for read in _reads(history):
        for name, difference in {**read["sums"], **read["orphans"]}.items():
            if difference:
                yield Violation("I6", "conserved-sum", read["at"], f"{name} is {difference}")


def presence(history: Sequence[Entry]) -> Iterator[Violation]:
    """I9: a record that the source never deletes, once seen live, is live in every later read."""
    spans = _rollbacks(history)
    live: set[str] = set()
    for read in _reads(history):
        allowed = any(begin <= read["at"] and read.get("begun", read["at"]) <= end for begin, end in spans)
        missing = {key for key, record in read["records"].items() if not record[1]} | set(read["gone"])
        for key in sorted(missing & live):
            if not allowed:
                yield Violation("I9", "poll-skip", read["at"], f"{key} is there no more")
        live -= missing
        live |= {key for key, record in read["records"].items() if record[1] and key.startswith(NEVER_DELETED)}


def never_accepted(history: Sequence[Entry], poison: Iterable[str]) -> Iterator[Violation]:
    """I1: what was refused is never shown as live."""
    known = set(poison)
    for read in _reads(history):
        for key, record in read["records"].items():
            if key in known and record[1]:
                yield Violation("I1", "aborted-read G1a", read["at"], f"{key} was refused, and is live")


def honest_status(history: Sequence[Entry]) -> Iterator[Violation]:
    """I11: the status is not healthy while the view stands still, and shows a fault that lasts within 15 s."""
    yield from _healthy_while_stale(history)
    looks = [entry for entry in history if entry["kind"] == "status"]
    for phases in _faults(history).values():
        begin, end = phases["begin"], phases.get("end")
        until = begin["at"] + HONEST_S
        if end is None or end["at"] < until or not begin.get("shows"):
            continue
        seen = [look for look in looks if begin["at"] < look["at"] <= until]
        codes = {code for look in seen for code in look["problems"].values()} | {
            source["code"] for look in seen for source in look["sources"].values() if source["code"]
        }
        if not codes & set(begin["shows"]):
            yield Violation(
                "I11", "dishonest-status", until,
                f"{begin['title']}: none of {', '.join(begin['shows'])} within {HONEST_S:g} s, but {sorted(codes)}",
            )  # fmt: skip


def _healthy_while_stale(history: Sequence[Entry]) -> Iterator[Violation]:
    """While changes are made and the view has shown none of them for so long, healthy would be a lie, unless they come at
    that very moment."""
    stale_since: dict[str, float] = {}
    said: dict[str, float] = {}
    for entry in history:
        if entry["kind"] == "read":
            for dataset, lag in entry["lag"].items():
                if not (entry["flows"] and lag > HONEST_S):
                    stale_since.pop(dataset, None)
                    said.pop(dataset, None)
                    continue
                stale_since.setdefault(dataset, entry["at"])
                if entry["at"] - said.get(dataset, entry["at"]) > _MOMENT_S:
                    yield Violation(
                        "I11", "dishonest-status", said.pop(dataset), f"healthy, and {dataset} stands still"
                    )
        elif entry["kind"] == "status" and entry["state"] == "healthy":
            for dataset, since in stale_since.items():
                if entry.get("begun", entry["at"]) > since:
                    said.setdefault(dataset, entry["at"])


def recovery(history: Sequence[Entry]) -> Iterator[Violation]:
    """I12: freshness and status are normal again within 30 s of a fault's end."""
    for phases in _faults(history).values():
        begin, end, normal = phases["begin"], phases.get("end"), phases.get("normal")
        if end is None or begin.get("beside"):
            continue
        took = normal["at"] - end["at"] if normal else None
        if took is None or took > NORMAL_S:
            said = f"after {took:.1f} s" if took is not None else f"never ({phases.get('late', {}).get('why')})"
            yield Violation("I12", "realtime-lag", end["at"], f"{begin['title']}: normal again {said}")


def others_stay_fresh(history: Sequence[Entry]) -> Iterator[Violation]:
    """I12: while one dataset is down, and nothing else, the others stay fresh."""
    faults = _faults(history)
    busy = [
        (phases["begin"]["at"], phases.get("normal", {"at": float("inf")})["at"] + 1)
        for phases in faults.values()
        if not phases["begin"].get("beside")
    ]
    for phases in faults.values():
        begin, end = phases["begin"], phases.get("end", {"at": float("inf")})
        if not begin.get("beside"):
            continue
        for read in _reads(history):
            if not begin["at"] < read["at"] < end["at"] or any(a <= read["at"] <= b for a, b in busy):
                continue
            for dataset, lag in read["lag"].items():
                if read["flows"] and lag > HONEST_S:
                    yield Violation(
                        "I12", "realtime-lag", read["at"], f"{dataset} is {lag:.0f} s behind another's fault"
                    )


def bounded(history: Sequence[Entry]) -> Iterator[Violation]:
    """I13: no role takes more memory or files than its limit, and the outbox drains."""
    for entry in history:
        if entry["kind"] == "resources":
            for role, used in entry["roles"].items():
                for name, limit in LIMITS.items():
                    if used[name] > limit:
                        yield Violation("I13", "unbounded", entry["at"], f"{role}: {name} {used[name]}, limit {limit}")
        elif entry["kind"] == "status" and (entry["outbox"] or 0) > OUTBOX_ROWS:
            yield Violation("I13", "unbounded", entry["at"], f"{entry['outbox']} rows in the outbox")


def troubles(history: Sequence[Entry]) -> Iterator[Violation]:
    """I11: what ended or could not be told."""
    for entry in history:
        if entry["kind"] == "trouble":
            yield Violation(entry.get("invariant", "I11"), "trouble", entry["at"], entry["what"])


OVER_TIME: tuple[Callable[[Sequence[Entry]], Iterator[Violation]], ...] = (
    monotonic,
    internal_consistency,
    presence,
    honest_status,
    recovery,
    others_stay_fresh,
    bounded,
    troubles,
)


class Logged(NamedTuple):
    """An event of ``community.resident`` as it lies in the log. ``record``: what it speaks of; ``content``: its value."""

    partition: int
    offset: int
    origin: str
    number: int
    record: str
    revision: int
    content: bytes


def log_order(events: Iterable[Logged]) -> Iterator[Violation]:
    """I3: in a partition, the numbers of an origin come without a gap but for what is sent again and is the same then, and
    the revisions of a record never go back. Events in the order of the log."""
    numbers: dict[tuple[int, str], list[bytes]] = {}
    revisions: dict[tuple[int, str], int] = {}
    for event in events:
        seen = numbers.setdefault((event.partition, event.origin), [])
        place = f"{event.partition}@{event.offset}"
        if event.number > len(seen):
            continue  # behind a gap: withheld until what is missing has come, and sent again after it
        if event.number < len(seen):
            if seen[event.number] != event.content:
                yield Violation("I3", "inconsistent-offsets", 0, f"{event.origin} #{event.number} twice, at {place}")
            continue
        seen.append(event.content)
        key = (event.partition, event.record)
        if event.revision < revisions.get(key, 0):
            yield Violation("I3", "nonmonotonic-send", 0, f"{event.record}: {revisions[key]}, then {event.revision}")
        revisions[key] = event.revision


def no_gap(events: Iterable[Logged]) -> Iterator[Violation]:
    """I1: at the end no number of an origin is missing."""
    seen: dict[tuple[int, str], set[int]] = {}
    for event in events:
        seen.setdefault((event.partition, event.origin), set()).add(event.number)
    for (partition, origin), numbers in seen.items():
        for before, after in pairwise([-1, *sorted(numbers)]):
            if after != before + 1:
                yield Violation("I1", "lost-write", 0, f"{origin} in {partition}: {before}, then {after}")


def balanced(sources: Iterable[Mapping[str, Any]]) -> Iterator[Violation]:
    """I8: at rest each dataset's books balance, and nothing is pending."""
    for source in sources:
        name = f"{source['system']}.{source['dataset']}"
        parts = ("accepted", "quarantined", "duplicate", "stale", "filtered", "pending")
        if not source["balanced"] or source["read"] != sum(source[part] for part in parts):
            yield Violation(
                "I8", "unbalanced-books", 0, f"{name}: {[(part, source[part]) for part in ('read', *parts)]}"
            )
        if source["pending"]:
            yield Violation("I1", "unseen", 0, f"{name}: {source['pending']} events were never decided")


def as_meant(
    meant: Mapping[str, Mapping[str, Any]], shown: Sequence[tuple[str, Mapping[str, Any]]]
) -> Iterator[Violation]:
    """I1 and I2: what the truth says is shown, each thing once, with these values, and nothing else is."""
    seen: dict[str, Mapping[str, Any]] = {}
    for key, values in shown:
        if key in seen:
            yield Violation("I2", "duplicate", 0, f"{key} is shown twice")
        seen[key] = values
    for key, values in meant.items():
        if key not in seen:
            yield Violation("I1", "lost-write", 0, f"{key} is not shown")
            continue
        wrong = sorted(name for name, value in values.items() if seen[key].get(name) != value)
        if wrong:
            yield Violation("I1", "lost-write", 0, f"{key}: {', '.join(wrong)} not as the department has it")
    for key in seen.keys() - meant.keys():
        yield Violation("I2", "duplicate", 0, f"{key} is shown, and there is no such thing")
