"""Data contracts with sources, in the Open Data Contract Standard: what a dataset was agreed to look like, one file each in
``contracts/SYSTEM.DATASET.odcs.yaml``; and where the source has drifted from it.

A contract is made from what is declared and what the source shows. Words that a person writes into it stay when it is
renewed.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from open_data_contract_standard.model import (
    CustomProperty,
    DataQuality,
    Description,
    EnumValue,
    OpenDataContractStandard,
    SchemaObject,
    SchemaProperty,
    Server,
    ServiceLevelAgreementProperty,
    Team,
)
from pydantic import ValidationError

from connectors.base import Connector, Dataset, Finding
from contracts.column_names import SENSITIVE, name_hint
from contracts.errors import ContractUnreadable, TableMissing
from contracts.fields import FIELDS
from contracts.sources import DatasetSource, Source
from onewindow.settings import Deployment

FOLDER = "contracts"
_STANDARD = "v3.1.0"
_FIELD = "onewindowField"
_LOGICAL = (
    (r"BOOL(EAN)?\b|BIT\b", "boolean"),
    (r"TIMESTAMP|DATETIME", "timestamp"),
    (r"DATE\b", "date"),
    (r"TIME\b", "time"),
    (r"(TINY|SMALL|MEDIUM|BIG)?INT(EGER)?\b|(BIG|SMALL)?SERIAL\b", "integer"),
    (r"NUMERIC|DECIMAL|REAL|FLOAT|DOUBLE|NUMBER|MONEY", "number"),
    (r"JSON|OBJECT", "object"),
    (r"ARRAY", "array"),
)
_ADDED, _REMOVED, _RENAMED, _RETYPED, _KEY, _VOLUME = "added", "removed", "renamed", "retyped", "key", "volume"
_ROWS = "rowCount"
_NOTHING = "null"  # the type of a column of an API that says nothing in the records that were looked at


class Drift(NamedTuple):
    """One way in which a source is not as agreed. ``needs``: what reads the column; of the number of rows there is none.
    ``instead``: what a column may be called now."""

    kind: str
    column: str
    text: str
    needs: tuple[str, ...] = ()
    instead: str = ""


def agree(
    deployment: Deployment, source: Source, names: Iterable[str], connector: Connector, *, renew: bool
) -> dict[str, Any]:
    """Make the contracts of these datasets that are not there yet; compare the others with the source, and ``renew`` those
    from which it has drifted. ``as_agreed``: nothing has drifted, or all was renewed.

    Raises TableMissing, ContractUnreadable, and what looking at the source raises.
    """
    seen = shown(source, connector.discover())
    found = [_agreed(deployment, source, each, seen.get(each), renew=renew) for each in names]
    return {"system": source.system, "as_agreed": all(each["state"] != "drifted" for each in found), "datasets": found}


def shown_as(dataset: str, declared: DatasetSource) -> str:
    """What discovery calls a dataset: its table, or its own name."""
    return f"{declared.schema_name}.{declared.table}" if declared.schema_name else declared.table or dataset


def shown(source: Source, there: Iterable[Dataset]) -> dict[str, Dataset]:
    """What of a source's datasets there is to be seen, by the dataset's name."""
    by_name = {each.name: each for each in there}
    found = {dataset: by_name.get(shown_as(dataset, item)) for dataset, item in source.datasets.items()}
    return {dataset: each for dataset, each in found.items() if each is not None and each.columns}


def _agreed(
    deployment: Deployment, source: Source, dataset: str, seen: Dataset | None, *, renew: bool
) -> dict[str, Any]:
    if seen is None:
        raise TableMissing(
            f"nothing of {source.system}.{dataset} is there to be seen, so nothing can be agreed about it",
            fix=f"see why: onewindow source check {source.system}",
        )
    path, new = path_of(deployment, source.system, dataset), made(source, dataset, seen)
    about: dict[str, Any] = {"dataset": f"{source.system}.{dataset}", "file": str(path), "columns": len(seen.columns)}
    if not path.exists():
        path.parent.mkdir(exist_ok=True)
        _write(path, new)
        return {**about, "state": "made", "drift": []}
    old = read(path)
    drift = list(drifts(old, source.datasets[dataset], seen))
    if drift and renew:
        _write(path, renewed(old, new, drift))
    return {
        **about,
        "state": ("renewed" if renew else "drifted") if drift else "as agreed",
        "drift": [each._asdict() for each in drift],
    }


def _write(path: Path, contract: OpenDataContractStandard) -> None:
    """As a whole, or not at all: a person's words are in it."""
    beside = path.with_name(f".{path.name}.new")
    with beside.open("w", encoding="utf-8") as file:
        file.write(contract.to_yaml())
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def findings(deployment: Deployment, source: Source, connector: Connector) -> Iterator[Finding]:
    """What a check of a source says of the contracts that there are."""
    paths = {dataset: path_of(deployment, source.system, dataset) for dataset in source.datasets}
    there = {dataset: path for dataset, path in paths.items() if path.exists()}
    if not there:
        return
    seen = shown(source, connector.discover())
    for dataset, path in there.items():
        subject = f"{source.system}.{dataset}"
        if dataset not in seen:
            continue  # the check itself has said so
        try:
            drift = list(drifts(read(path), source.datasets[dataset], seen[dataset]))
        except ContractUnreadable as error:
            yield Finding("fail", subject, str(error), error)
            continue
        for each in drift:
            yield Finding("warn", subject, f"not as its contract says: {each.text}")
        if not drift:
            yield Finding("ok", subject, f"its columns are as agreed in {FOLDER}/{path.name}")


def path_of(deployment: Deployment, system: str, dataset: str) -> Path:
    """Where the contract of a dataset lies, or would lie."""
    return deployment.path(FOLDER) / f"{system}.{dataset}.odcs.yaml"


def read(path: Path) -> OpenDataContractStandard:
    """The contract in a file. Raises ContractUnreadable."""
    try:
        found = OpenDataContractStandard.from_string(path.read_text(encoding="utf-8"))
        _columns(found)
    except (OSError, ValidationError, yaml.YAMLError, UnicodeDecodeError, TypeError, LookupError) as error:
        raise ContractUnreadable(
            f"{path.name} is no contract of the Open Data Contract Standard with one schema: {_said(error)}",
            fix="correct it, or move it away and let it be made anew: onewindow source contract",
        ) from error
    return found


def _said(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def made(source: Source, dataset: str, seen: Dataset) -> OpenDataContractStandard:
    """The contract that says what the source shows now."""
    declared = source.datasets[dataset]
    place = declared.table or declared.pattern or (declared.endpoint.path if declared.endpoint else dataset)
    owner = source.owner_now()
    return OpenDataContractStandard(
        apiVersion=_STANDARD,
        kind="DataContract",
        id=f"{source.system}.{dataset}",
        name=declared.title or dataset,
        version="1.0.0",
        status="active",
        domain=source.system,
        description=Description(purpose=f"{source.title}: {declared.title or dataset}"),
        servers=[Server(server=source.system, type="custom", description=f"{source.title}, read by {source.connector.kind}")],
        schema=[
            SchemaObject(
                name=dataset,
                physicalName=place,
                logicalType="object",
                properties=[_property(name, kind, declared) for name, kind in seen.columns.items()],
                quality=_volume(seen, declared),
            )
        ],
        team=Team(name=owner) if owner else None,
        slaProperties=[ServiceLevelAgreementProperty(property="latency", value=declared.fresh_s, unit="s", element=dataset)],
    )  # fmt: skip


def _property(name: str, kind: str, declared: DatasetSource) -> SchemaProperty:
    fields = [field for field, how in declared.map.items() if how.column == name]
    about = FIELDS[fields[0]] if fields else None
    codes = declared.map[fields[0]].codes if fields else None
    hint = name_hint(name)
    sensitive = "id_number" if "id_number" in fields else hint.sensitive if hint is not None else ""
    return SchemaProperty(
        name=name,
        physicalName=name,
        physicalType=kind,
        logicalType=next((logical for form, logical in _LOGICAL if re.match(form, kind.upper())), "string"),
        businessName=about.chinese if about else None,
        description=about.english if about else None,
        primaryKey=True if name in declared.key else None,
        primaryKeyPosition=declared.key.index(name) + 1 if name in declared.key else None,
        required=True if name in declared.key or any(declared.map[field].required for field in fields) else None,
        classification=f"sensitive 敏感: {SENSITIVE[sensitive]}" if sensitive else None,
        enum=[EnumValue(value=code, label=str(label)) for code, label in codes.items()] if codes else None,
        customProperties=[CustomProperty(property=_FIELD, value=fields)] if fields else None,
    )


def _volume(seen: Dataset, declared: DatasetSource) -> list[DataQuality] | None:
    """How few rows there may be before it is suspicious, where the source can tell how many there are."""
    if seen.rows is None:
        return None
    return [
        DataQuality(
            type="library",
            metric=_ROWS,
            mustBeGreaterOrEqualTo=int(seen.rows * (1 - declared.disappear_limit)),
            description=f"about {seen.rows:,} rows when it was agreed; disappear_limit is {declared.disappear_limit:.0%}",
        )
    ]


def _schema(contract: OpenDataContractStandard) -> SchemaObject:
    """Its one schema. Raises LookupError where there is none, or it has no columns."""
    schemas = contract.schema_ or []
    if len(schemas) != 1 or not schemas[0].properties:
        raise LookupError(f"it has {len(schemas)} schemas" if len(schemas) != 1 else "its schema has no properties")
    return schemas[0]


def _columns(contract: OpenDataContractStandard) -> dict[str, SchemaProperty]:
    """Its columns by their names in the source. Raises LookupError."""
    return {str(each.physicalName or each.name): each for each in _schema(contract).properties or []}


def drifts(contract: OpenDataContractStandard, declared: DatasetSource, seen: Dataset) -> Iterator[Drift]:
    """Where what the source shows is not what was agreed: columns, types, key, number of rows."""
    agreed = _columns(contract)
    added = [name for name in seen.columns if name not in agreed]
    removed = [name for name in agreed if name not in seen.columns]
    renamed = _renamed(agreed, seen.columns, removed, added)
    for name in removed:
        needs = _needs(declared, name)
        if name in renamed:
            text = f"column {name} is gone, and {renamed[name]}, of the same type, is new: was it renamed?"
            yield Drift(_RENAMED, name, text + _depends(needs), needs, renamed[name])
        else:
            yield Drift(_REMOVED, name, f"column {name} is gone" + _depends(needs), needs)
    for name in added:
        if name not in renamed.values():
            yield Drift(_ADDED, name, f"column {name} ({seen.columns[name]}) is new; nothing reads it")
    for name, each in agreed.items():
        now = seen.columns.get(name)
        if now not in (None, _NOTHING, each.physicalType) and each.physicalType not in (None, _NOTHING):
            needs = _needs(declared, name)
            yield Drift(_RETYPED, name, f"column {name} was {each.physicalType}, and is {now}" + _depends(needs), needs)
    key = [name for name, each in agreed.items() if each.primaryKey]
    if sorted(key) != sorted(declared.key):
        text = f"the key is declared as {', '.join(declared.key)}, and was agreed to be {', '.join(key) or 'none'}"
        yield Drift(_KEY, ", ".join(declared.key), text)
    least = next(
        (each.mustBeGreaterOrEqualTo for each in _schema(contract).quality or [] if each.metric == _ROWS), None
    )
    if least is not None and seen.rows is not None and seen.rows < least:
        yield Drift(_VOLUME, "", f"there are about {seen.rows:,} rows, and at least {least:,} were agreed")


def _renamed(
    agreed: Mapping[str, SchemaProperty], now: Mapping[str, str], removed: Iterable[str], added: Iterable[str]
) -> dict[str, str]:
    """Old name -> new name, where one column alone of a type is gone and one alone of that type is new."""
    gone = Counter(agreed[name].physicalType for name in removed)
    come = Counter(now[name] for name in added)
    new = {now[name]: name for name in added}
    return {
        name: new[str(kind)]
        for name in removed
        if gone[kind := agreed[name].physicalType] == 1 and kind is not None and come[kind] == 1
    }


def _needs(declared: DatasetSource, column: str) -> tuple[str, ...]:
    """What of a dataset's declaration reads a column."""
    found = [f"field {field}" for field, how in declared.map.items() if column in (how.column, how.when)]
    if column in declared.key:
        found.append("key")
    if column == declared.cursor:
        found.append("cursor")
    if column in declared.where:
        found.append("where")
    if declared.deleted is not None and column == declared.deleted.column:
        found.append("deleted")
    return tuple(found)


def _depends(needs: tuple[str, ...]) -> str:
    return f"; {', '.join(needs)} {'depends' if len(needs) == 1 else 'depend'} on it" if needs else "; nothing reads it"


def renewed(
    old: OpenDataContractStandard, new: OpenDataContractStandard, drift: Iterable[Drift]
) -> OpenDataContractStandard:
    """The old contract with the columns, types and keys of the new one, and all else as a person has left it; the least
    number of rows only where there are fewer now."""
    known, drift = _columns(old), list(drift)
    schema, fresh = _schema(old), _schema(new)
    gone = {each.instead: known[each.column] for each in drift if each.kind == _RENAMED}
    properties = [
        _merged(known.get(name := str(each.physicalName)) or gone.get(name), each) for each in fresh.properties or []
    ]
    update: dict[str, Any] = {"properties": properties}
    if any(each.kind == _VOLUME for each in drift):
        own = [each for each in schema.quality or [] if each.metric != _ROWS]
        update["quality"] = [*(fresh.quality or []), *own]
    return old.model_copy(update={"schema_": [schema.model_copy(update=update)], "version": _raised(old.version)})


def _merged(old: SchemaProperty | None, new: SchemaProperty) -> SchemaProperty:
    if old is None:
        return new
    told = {
        name: value for name, value in new.model_dump(exclude_none=True).items() if getattr(old, name, None) is None
    }
    from_source = ("name", "physicalName", "physicalType", "logicalType", "primaryKey", "primaryKeyPosition")
    return SchemaProperty(**{
        **old.model_dump(exclude_none=True), **told, **{name: getattr(new, name) for name in from_source},
    })  # fmt: skip


def _raised(version: str | None) -> str:
    parts = (version or "1.0.0").split(".")
    if len(parts) != 3 or not parts[1].isdigit():
        return f"{version}.1"
    return f"{parts[0]}.{int(parts[1]) + 1}.0"
