"""A source file as it is proposed: YAML that can be read as it stands, each line with how sure it is, and why.

What could not be placed stands as a commented line. What somebody should look at comes first, with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from contracts.column_names import SENSITIVE
from onewindow.onboarding.keys import Named
from onewindow.onboarding.origin import Origin
from onewindow.onboarding.propose import SURE, LeftOut, Placed, Proposal, Unplaced, mapped

_PLAIN = re.compile(r"[A-Za-z_\u3007\u3400-\u9fff][\w\u3007\u3400-\u9fff.-]*")
_NO_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
_WIDTH = 220  # of a comment, in characters
NOBODY = "待填写"


@dataclass(frozen=True)
class Doubt:
    """A line that somebody should look at."""

    line: int
    what: str
    confidence: float
    reason: str


@dataclass(frozen=True)
class Header:
    """What stands above the datasets. ``password_file``: its name, where there is a password."""

    system: str
    title: str
    owner: str
    origin: Origin
    password_file: str | None


class _Lines:
    """The lines of the file, and which of them are doubtful; ``above``: how many lines will stand before them."""

    def __init__(self, above: int = 0) -> None:
        self.lines: list[str] = []
        self.doubts: list[Doubt] = []
        self._above = above

    def add(self, text: str, comment: str = "") -> int:
        self.lines.append(f"{text}  # {_one_line(comment)}" if comment else text)
        return self._above + len(self.lines)

    def doubt(self, line: int, what: str, confidence: float, reason: str) -> None:
        self.doubts.append(Doubt(line, what, confidence, reason))


def written(
    header: Header, proposals: Sequence[Proposal], left_out: Sequence[LeftOut], today: date
) -> tuple[str, list[Doubt]]:
    """The text of the source file, and what somebody should look at, what matters most first."""
    above = 0
    while True:  # the list at the top moves what is below it
        body = _body(header, proposals, left_out, above)
        doubts = sorted(body.doubts, key=lambda each: each.confidence)
        top = list(_top(header.system, doubts, today))
        if len(top) == above:
            return "\n".join([*top, *body.lines]) + "\n", doubts
        above = len(top)


def _top(system: str, doubts: Sequence[Doubt], today: date) -> Iterator[str]:
    yield f"# Proposed by `onewindow source add` on {today.isoformat()} from a sample. It can be read as it stands; edit what is wrong,"
    yield f"# and see what becomes of real rows: onewindow source preview {system}"
    if doubts:
        yield "# Look at these lines 请核对:"
    yield from (f"#   line {each.line}: {_said(f'{each.what}: {each.reason}')}" for each in doubts)


def _body(header: Header, proposals: Sequence[Proposal], left_out: Sequence[LeftOut], above: int) -> _Lines:
    out = _Lines(above)
    out.add(f"system: {scalar(header.system)}")
    out.add(f"title: {scalar(header.title)}")
    line = out.add(f"owner: {scalar(header.owner)}", "who mends what is refused 责任单位")
    if header.owner == NOBODY:
        out.doubt(line, "owner", 0.79, "who mends what is refused 责任单位: fill it in")
    _connector(out, header)
    out.add("datasets:")
    for proposal in proposals:
        _dataset(out, proposal)
    for each in left_out:
        out.add(f"# not taken: {_said(f'{each.name}: {each.reason}')}")
    return out


def _connector(out: _Lines, header: Header) -> None:
    origin = header.origin
    out.add("connector:")
    if origin.kind == "files":
        out.add("  kind: files", "whole dumps; what is absent from the next one is gone")
        out.add(f"  folder: {scalar(origin.folder or '')}")
        return
    out.add(f"  kind: {origin.kind}")
    if origin.kind == "postgres":
        out.add(
            "  capture: poll",
            "tables are looked at again and again; with a cursor, a deleted row is not seen. log sees it: docs/log-capture.md",
        )
    else:
        out.add("  capture: poll", "tables are looked at again and again; with a cursor, a deleted row is not seen")
    out.add(f"  url: {scalar(origin.url or '')}")
    if header.password_file:
        out.add(f"  password_file: {scalar(header.password_file)}", "for this user alone; never in this file")


def _dataset(out: _Lines, proposal: Proposal) -> None:
    sampled = proposal.sampled
    out.add(f"  {proposal.dataset}:")
    seen = f"{len(sampled.records):,} records looked at, {proposal.accepted:,} of them would be accepted"
    out.add(f"    title: {scalar(sampled.name)}", seen)
    if proposal.children:
        out.add(f"    # sensitive 敏感: {proposal.children:,} of them speak of {SENSITIVE['minor']} (PIPL art. 28, 31)")
    if not proposal.polled:
        out.add(f"    pattern: {scalar(sampled.name)}", sampled.shape or "{period} is year and month")
    else:
        schema, _, table = sampled.name.rpartition(".")
        out.add(f"    table: {scalar(table)}")
        if schema:
            out.add(f"    schema_name: {scalar(schema)}")
    _named(out, f"    key: [{', '.join(map(scalar, proposal.key.columns))}]", f"{proposal.dataset}.key", proposal.key)
    if proposal.polled:
        _cursor(out, proposal)
    out.add("    map:")
    for placed in proposal.placed:
        _field(out, proposal.dataset, placed)
    if proposal.unplaced:
        out.add("      # not mapped 未对应的列:")
    for unplaced in proposal.unplaced:
        _left(out, proposal.dataset, unplaced)


def _named(out: _Lines, text: str, what: str, named: Named) -> None:
    line = out.add(text, f"{sure(named.confidence)}: {named.reason}")
    if named.confidence < SURE:
        out.doubt(line, what, named.confidence, named.reason)


def _cursor(out: _Lines, proposal: Proposal) -> None:
    what, maybe = f"{proposal.dataset}.cursor", proposal.cursor
    if (cursor := proposal.trusted_cursor) is not None:
        _named(out, f"    cursor: {scalar(cursor.columns[0])}", what, cursor)
        return
    reason = (
        "no column surely rises with each change, so the whole table is read each time; deleted rows are seen."
        " Of more than 50,000 rows set fresh_s to rows / 5000"
    )
    if maybe is not None:
        reason += f". {maybe.columns[0]} may be one, {maybe.confidence:.0%}: {maybe.reason}"
    line = out.add(f"    # cursor: {scalar(maybe.columns[0]) if maybe else 'COLUMN'}", _said(reason))
    out.doubt(line, what, 0.5, reason)


def _field(out: _Lines, dataset: str, each: Placed) -> None:
    line = out.add(
        f"      {each.field}: {_entry(mapped(each))}",
        f"{sure(each.confidence)}: {_said(each.reason)}{_sensitive(each.sensitive)}",
    )
    if each.confidence < SURE:
        out.doubt(line, f"{dataset}.{each.field} from {each.column}", each.confidence, each.reason)


def _left(out: _Lines, dataset: str, each: Unplaced) -> None:
    entry = _entry({"column": each.column, **each.how})
    about = f"{sure(each.confidence)}: " if each.field else ""
    line = out.add(
        f"      # {each.field or 'FIELD'}: {_said(entry)}",
        f"{each.kind}; {about}{_said(each.reason)}{_sensitive(each.sensitive)}",
    )
    if each.field:
        out.doubt(line, f"{dataset}.{each.field} from {each.column}?", each.confidence, f"not mapped: {each.reason}")


def _sensitive(kind: str) -> str:
    return f"; sensitive 敏感: {SENSITIVE[kind]} (PIPL art. 28)" if kind else ""


def sure(confidence: float) -> str:
    """How sure, in words and as a share."""
    word = "sure" if confidence >= SURE else "unsure"
    return f"{word} {min(confidence, 0.99):.0%}"


def _entry(how: Mapping[str, Any]) -> str:
    """A field's part of the mapping in one line, in its short form where it is a column alone."""
    if list(how) == ["column"]:
        return scalar(how["column"])
    return f"{{{', '.join(f'{name}: {_flow(value)}' for name, value in how.items())}}}"


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{scalar(name)}: {_flow(item)}' for name, item in value.items())}}}"
    return str(value).lower() if isinstance(value, bool) else scalar(str(value))


def scalar(text: str) -> str:
    """A text as YAML reads it back: bare where nothing else could be meant, else in quotes."""
    if _PLAIN.fullmatch(text) and text.lower() not in _NO_TEXT:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _one_line(text: str) -> str:
    """A text of characters that YAML allows in a comment."""
    return "".join(c if c.isprintable() else " " for c in text)


def _said(text: str) -> str:
    """A text in one line, cut where nobody reads on."""
    line = _one_line(text)
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
