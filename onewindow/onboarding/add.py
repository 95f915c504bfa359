"""``onewindow source add``: look at a source, propose a source file, and write it where none is."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contracts import dates
from contracts.errors import (
    DatasetUnknown,
    KeyUnknown,
    NothingToPropose,
    OneWindowError,
    SettingInvalid,
    SourceExists,
    SourceUnreachable,
)
from contracts.sources import NAME, Source
from onewindow.deploying import write_secret
from onewindow.onboarding.origin import Origin, origin_of
from onewindow.onboarding.propose import LeftOut, Proposal, mapped, proposed
from onewindow.onboarding.sample import sampled
from onewindow.onboarding.write import NOBODY, Doubt, Header, written
from onewindow.settings import Deployment
from onewindow.yaml_files import load

_FIX = "let the department give you a view with a key, and name it with --dataset; or declare the key by hand: docs/configuration.md"


@dataclass(frozen=True)
class Wish:
    """What a person asks for. ``datasets``: TABLE or NAME=TABLE; nothing means all that can be understood."""

    system: str
    origin: str
    title: str | None = None
    owner: str | None = None
    datasets: Sequence[str] = ()


def add(deployment: Deployment, wish: Wish) -> dict[str, Any]:
    """Write ``sources/NAME.yaml``, and the password into a file of its own; gives the proposals.

    Raises SourceExists before anything is looked at; NothingToPropose, KeyUnknown and DatasetUnknown with nothing written;
    and what reaching the source raises.
    """
    target = deployment.directory / "sources" / f"{wish.system}.yaml"
    _raise_if_there(deployment, wish.system, target)
    origin = origin_of(wish.origin)
    names = _names(wish.datasets)
    today = dates.today()
    proposals: list[Proposal] = []
    left_out: list[LeftOut] = []
    seen: set[str] = set()
    for each in sampled(wish.system, origin, list(names)):
        seen.add(each.name)
        found = each if isinstance(each, LeftOut) else proposed(
            each, _dataset_name(names.get(each.name, ""), each.name, proposals), today, polled=origin.kind != "files"
        )  # fmt: skip
        left_out.append(found) if isinstance(found, LeftOut) else proposals.append(found)
    if missing := [name for name in names if name not in seen] if origin.kind != "files" else []:
        raise DatasetUnknown(
            f"{wish.system} has no table {missing[0]}", fix="name a table as the database does, or SCHEMA.TABLE"
        )
    if not proposals:
        raise _nothing(wish.system, left_out)
    password_file = f"{wish.system}.password" if origin.password is not None else None
    header = Header(wish.system, wish.title or wish.system, wish.owner or NOBODY, origin, password_file)
    text, doubts = written(header, proposals, left_out, today)
    _write(deployment, target, text, password_file, origin)
    return _told(target, password_file, proposals, left_out, doubts)


def _names(datasets: Sequence[str]) -> dict[str, str]:
    """Table -> the dataset's name, empty where none is given."""
    found = {}
    for each in datasets:
        name, _, table = each.rpartition("=")
        found[table] = name
    return found


def _raise_if_there(deployment: Deployment, system: str, target: Path) -> None:
    if not re.match(NAME, system):
        raise SettingInvalid(f"{system!r} can't be the name of a system", fix="use small letters, digits and _")
    if target.exists() or target.is_symlink():
        raise SourceExists(f"{target.name} is in sources/ already", fix="choose another name, or move the file away")
    if system in {source.system for source in deployment.sources}:
        raise SourceExists(f"another file in sources/ declares the system {system}", fix="choose another name")
    if (deployment.directory / f"{system}.password").exists():
        raise SourceExists(f"{system}.password is there already", fix="move the file away, or choose another name")


def _dataset_name(given: str, table: str, taken: Sequence[Proposal]) -> str:
    """A dataset's name: as given, else made of the table's, else numbered."""
    if given:
        if not re.match(NAME, given):
            raise SettingInvalid(f"{given!r} can't be the name of a dataset", fix="use small letters, digits and _")
        return given
    bare = Path(table.replace("{period}", "")).stem if "." in table else table.replace("{period}", "")
    if "." in table and not table.lower().endswith((".csv", ".txt", ".tsv", ".dat", ".xlsx", ".xls", ".ods", ".zip")):
        bare = table.rpartition(".")[2]
    name = re.sub(r"[^a-z0-9]+", "_", bare.lower()).strip("_")[:40]
    name = name if re.match(NAME, name) else "dataset"
    used = {proposal.dataset for proposal in taken}
    number = 2
    unique = name
    while unique in used:
        unique, number = f"{name}_{number}", number + 1
    return unique


def _nothing(system: str, left_out: Sequence[LeftOut]) -> OneWindowError:
    """Of all that was left out, the error that is nearest to success: one that a person can do something about."""
    by = {why: [f"{each.name}: {each.reason}" for each in left_out if each.why == why] for why in ("key", "unreadable")}
    said = "; ".join(f"{each.name}: {each.reason}" for each in left_out[:5])
    if by["key"]:
        return KeyUnknown(f"{system}: {by['key'][0]}", fix=_FIX)
    if not left_out:
        return NothingToPropose(
            f"{system}: there is no table or file to be seen",
            fix="see that the login may see the tables, and that the path is right",
        )
    if len(by["unreadable"]) == len(left_out):
        return SourceUnreachable(
            f"{system}: nothing in it can be read: {said}",
            fix="let the department grant the login SELECT, or mend the files",
        )
    return NothingToPropose(
        f"{system}: {said}",
        fix="name the tables with --dataset, wait until they hold rows, or write the source file by hand: docs/configuration.md",
    )


def _write(deployment: Deployment, target: Path, text: str, password_file: str | None, origin: Origin) -> None:
    """Put the file in its place whole: connectors that run would read a half. It is read as they read it before that."""
    draft = target.with_name(f".{target.name}.draft")
    target.parent.mkdir(exist_ok=True)
    draft.write_text(text, encoding="utf-8")
    try:
        Source.model_validate(load(draft))
        if password_file is not None:
            write_secret(deployment.path(password_file), origin.password or "")
        os.link(draft, target)  # unlike a renaming, this writes over nothing
    except FileExistsError as error:
        raise SourceExists(
            f"{error.filename2 or error.filename} was made meanwhile", fix="choose another name"
        ) from error
    finally:
        draft.unlink()


def _told(
    target: Path,
    password_file: str | None,
    proposals: Sequence[Proposal],
    left_out: Sequence[LeftOut],
    doubts: Sequence[Doubt],
) -> dict[str, Any]:
    return {
        "file": str(target),
        "password_file": password_file,
        "look_at": [{"line": each.line, "what": each.what, "confidence": round(each.confidence, 2), "reason": each.reason}
                    for each in doubts],
        "datasets": [_dataset_told(proposal) for proposal in proposals],
        "left_out": [{"name": each.name, "why": each.why, "reason": each.reason} for each in left_out],
    }  # fmt: skip


def _dataset_told(proposal: Proposal) -> dict[str, Any]:
    named = {"key": proposal.key, "cursor": proposal.trusted_cursor}
    return {
        "dataset": proposal.dataset,
        "table": proposal.sampled.name,
        "rows": len(proposal.sampled.records),
        "accepted": proposal.accepted,
        "read_whole": proposal.polled and proposal.trusted_cursor is None,
        **{
            name: each and {"columns": list(each.columns), "confidence": round(each.confidence, 2), "reason": each.reason}
            for name, each in named.items()
        },
        "fields": [
            {"field": each.field, **mapped(each), "confidence": round(each.confidence, 2), "reason": each.reason,
             "sensitive": each.sensitive or None}
            for each in proposal.placed
        ],
        "not_mapped": [
            {"column": each.column, "kind": each.kind, "field": each.field or None, "confidence": round(each.confidence, 2),
             "reason": each.reason, "sensitive": each.sensitive or None}
            for each in proposal.unplaced
        ],
    }  # fmt: skip
