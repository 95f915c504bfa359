"""What a person asks of a deployment: a resident, a community, what was refused, what a code means."""

from __future__ import annotations

import getpass
import json
import re
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from contracts import citizen, texts
from contracts.dates import today
from contracts.errors import (
    CodeUnknown,
    IdOnCommandLine,
    QuarantineUnknown,
    ResidentUnknown,
    catalogue,
)
from contracts.explanations import EXPLAINED
from contracts.reasons import REASONS, Reason
from onewindow.databases import existing_view, holds
from onewindow.events_log import EventsLog
from onewindow.logins import login
from onewindow.settings import Deployment
from projections.databases import open_view, reading
from projections.reading import communities as communities_of
from projections.reading import resident_of
from streams.store import Store, discarded, quarantine

_RESIDENT_ID = re.compile(r"[0-9a-f]{32}")


def resident_id(deployment: Deployment, given: str | None) -> str:
    """The id of the resident who is asked for: as given, or from an ID number that is read here.

    Raises IdOnCommandLine for an ID number as an argument, ResidentUnknown for what is neither.
    """
    if given is not None:
        if _RESIDENT_ID.fullmatch(given):
            return given
        if re.fullmatch(r"[\dXx* -]{14,24}", given):
            raise IdOnCommandLine(
                "an ID number was given as an argument, where others can see it",
                fix="leave it out: it is asked for, or read from standard input",
            )
        raise ResidentUnknown("that is no resident id (32 hexadecimal digits)", fix="see `onewindow resident --help`")
    raw = getpass.getpass("ID number 公民身份号码: ") if sys.stdin.isatty() else sys.stdin.readline()
    try:
        number, _ = citizen.id_number(raw, on=today())
    except texts.Refused as refused:
        raise ResidentUnknown(
            f"that is no citizen ID number: {REASONS[refused.reason].english}", fix="type it again"
        ) from refused
    if number is None:
        raise ResidentUnknown("no ID number was given", fix="type it at the prompt, or send it on standard input")
    return deployment.hasher.resident(number)


def resident(deployment: Deployment, asked: str) -> dict[str, Any]:
    """The unified record. Raises ResidentUnknown."""
    engine = existing_view(deployment)
    try:
        with reading(engine) as view:
            return resident_of(view, asked)
    finally:
        engine.dispose()


def communities(deployment: Deployment, code: str | None) -> list[dict[str, Any]]:
    """The counts of one community, or of all. Raises CommunityUnknown."""
    from contracts.divisions import name_of

    engine = existing_view(deployment)
    try:
        with reading(engine) as view:
            found = communities_of(view, code)
    finally:
        engine.dispose()
    return [{"name": name_of(row["community_code"]), **row} for row in found]


def refusals(
    deployment: Deployment, system: str | None, reason: str | None, *, only_discarded: bool = False
) -> list[dict[str, Any]]:
    """Refused records that are neither mended nor discarded, or those that are discarded, newest first."""
    owners = {f"{source.system}.{dataset}": source.owner_now() for source, dataset in deployment.datasets()}
    query = _unmended(reason).order_by(quarantine.c.refused_at.desc(), quarantine.c.record_key)
    let_go = {(row["dataset"], row["record_key"], row["event_id"]): row for row in _discarded(deployment)}
    rows = [
        row | {"discarded": let_go.get((row["dataset"], row["record_key"], row["event_id"]))}
        for row in _store_rows(deployment, query)
    ]
    return [
        {
            "system": row["dataset"].split(".")[0],
            "dataset": row["dataset"].split(".")[1],
            "record_key": row["record_key"],
            "reason": row["reason"],
            "meaning": REASONS[Reason(row["reason"])].english,
            "meaning_zh": REASONS[Reason(row["reason"])].chinese,
            "field": row["field"],
            "column": row["column"],
            "looks_like": row["detail"],
            "place": row["place"] or f"{row['topic']}/{row['partition']}@{row['offset']}",
            "owner": owners.get(row["dataset"], ""),
            "mend": REASONS[Reason(row["reason"])].mend,
            "refused_at": row["refused_at"],
            **(
                {name: row["discarded"][name] for name in ("because", "by", "discarded_at")} if row["discarded"] else {}
            ),
        }
        for row in rows
        if (system is None or row["dataset"].startswith(f"{system}.")) and bool(row["discarded"]) == only_discarded
    ]


def open_refusals(deployment: Deployment, reason: str | None, dataset: str | None) -> list[dict[str, Any]]:
    """Refused records that are neither mended nor discarded, as the store of streams holds them."""
    query = _unmended(reason)
    if dataset is not None:
        query = query.where(quarantine.c.dataset == dataset)
    let_go = {(row["dataset"], row["record_key"], row["event_id"]) for row in _discarded(deployment)}
    rows = _store_rows(deployment, query)
    return [row for row in rows if (row["dataset"], row["record_key"], row["event_id"]) not in let_go]


def _unmended(reason: str | None) -> sa.Select[Any]:
    query = sa.select(quarantine).where(sa.not_(quarantine.c.mended))
    return query if reason is None else query.where(quarantine.c.reason == reason)


def _discarded(deployment: Deployment) -> list[dict[str, Any]]:
    return _store_rows(deployment, sa.select(discarded), of=discarded)


def discard(
    deployment: Deployment, dataset: str, keys: Sequence[str], reason: str | None, because: str, *, do: bool
) -> dict[str, Any]:
    """Note that nobody will mend refused records of a dataset: those with these keys, or all of a reason; ``do``: else only
    say how many. Nothing changes in the view or the books; a newer version that is refused is open again.

    Raises DatasetUnknown; QuarantineUnknown when a key is not among those that are open.
    """
    source, name = deployment.dataset(dataset)
    open_ones = {each["record_key"] for each in refusals(deployment, source.system, reason) if each["dataset"] == name}
    if unknown := sorted(set(keys) - open_ones):
        raise QuarantineUnknown(
            f"{unknown[0]} is not in quarantine, or was discarded before", fix="list them: onewindow quarantine list"
        )
    chosen = sorted(keys or open_ones)
    if do and chosen:
        query = sa.select(quarantine).where(quarantine.c.dataset == dataset, quarantine.c.record_key.in_(chosen))
        refused = [(dataset, row["record_key"], row["event_id"]) for row in _store_rows(deployment, query)]
        engine = open_view(deployment.streams_url)
        try:
            Store(engine).discard(refused, because, login(), datetime.now(UTC).isoformat(timespec="seconds"))
        finally:
            engine.dispose()
    return {"dataset": dataset, "records": len(chosen), "because": because, "done": do and bool(chosen)}


def _store_rows(deployment: Deployment, query: Any, of: sa.Table = quarantine) -> list[dict[str, Any]]:
    engine = open_view(deployment.streams_url)
    try:
        if not holds(engine, of.name):
            return []
        with reading(engine) as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
    finally:
        engine.dispose()


def refusal(deployment: Deployment, record_key: str) -> dict[str, Any]:
    """One refused record with the shape of each of its values. Raises QuarantineUnknown."""
    rows = _store_rows(deployment, sa.select(quarantine).where(quarantine.c.record_key == record_key))
    if not rows:
        raise QuarantineUnknown("no refused record has this key", fix="list them: onewindow quarantine list")
    row = rows[0]
    log = EventsLog(deployment.bootstrap)
    try:
        event = log.one(row["topic"], row["partition"], row["offset"])
    finally:
        log.close()
    record = json.loads(event.value).get("record", {}) if event is not None else {}
    listed = [item for item in refusals(deployment, None, None) if item["record_key"] == record_key]
    about = listed[0] if listed else {"record_key": record_key, "reason": row["reason"], "mended": True}
    return {
        **about,
        "mended": row["mended"],
        "values": {
            name: {"looks_like": None if value is None else texts.shape(str(value)), "culprit": name == row["column"]}
            for name, value in record.items()
        },
    }


def explain(code: str) -> dict[str, Any]:
    """What an error code or a reason means, and what mends it. Raises CodeUnknown."""
    if code in {reason.value for reason in Reason}:
        about = REASONS[Reason(code)]
        return {"code": code, "kind": "reason", **about._asdict()}
    errors = catalogue()
    error = errors.get(code.upper())
    if error is None:
        raise CodeUnknown(
            f"there is no code {code}",
            fix=f"codes are {min(errors)} to {max(errors)}, and reasons such as id_check_digit",
        )
    family = next(base.__name__ for base in error.__mro__[1:] if base.__doc__ and base is not error)
    return {
        "code": error.code,
        "kind": family,
        "english": " ".join((error.__doc__ or "").split()),
        **EXPLAINED[error.code]._asdict(),
        "exit_code": error.exit_code,
    }
