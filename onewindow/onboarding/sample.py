"""Some records of a source, read gently: nothing is counted in a database, nothing is written to it or to the deployment.

What a connector must remember while it reads (copies of files) lies in a temporary directory for this user alone, and is
gone afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from connectors import Connector, Upsert, open_connector
from connectors.base import Sampling
from connectors.periods import PERIOD, file_pattern, period
from connectors.values import declared_columns
from contracts import citizen, dates, texts
from contracts.errors import ColumnMissing, FileColumnsWrong, OneWindowError, SourceRefused, SourceUnreachable
from contracts.sources import ConnectorSource, DatasetSource, Source
from contracts.texts import Refused
from onewindow.onboarding.origin import Origin
from onewindow.onboarding.propose import LeftOut, Sampled

ROWS = 2_000
_DUMPS = (".csv", ".txt", ".tsv", ".dat", ".xlsx", ".xls", ".ods", ".zip")
_FIX = (
    "see that the system runs, and correct host, port, user, password and database in --from;"
    " the password goes into a file of its own"
)
_PERIOD = re.compile(rf"(?<!\d)(?=19|20){PERIOD}(?!\d)")


@contextmanager
def _opened(source: Source, password: str | None) -> Iterator[Connector]:
    """The connector of a source, with a place of its own for what it must remember."""
    with TemporaryDirectory(prefix="onewindow-") as state:
        connector = open_connector(source, password=password, state=Path(state))
        try:
            yield connector
        finally:
            connector.close()


def _provisional(system: str, origin: Origin, datasets: dict[str, DatasetSource], rows: int = ROWS) -> Source:
    connector = ConnectorSource(
        kind=origin.kind, url=origin.reach, folder=origin.folder, settle_s=0, page_rows=rows, capture="poll"
    )
    return Source(system=system, title=system, owner="", connector=connector, datasets=datasets)


def sampled(system: str, origin: Origin, wanted: Sequence[str], rows: int = ROWS) -> Iterator[Sampled | LeftOut]:
    """Each table or kind of file with some of its records, or why it could not be read. ``wanted``: only these.

    Raises SourceUnreachable, SourceRefused and the like where nothing can be read at all; DatasetUnknown has its place with
    the caller, who knows what was asked for.
    """
    if origin.kind == "files":
        yield from _files(system, origin, wanted, rows)
        return
    schemas = [name.rpartition(".")[0] for name in wanted if "." in name]
    with _opened(_provisional(system, origin, {}), origin.password) as connector:
        assert isinstance(connector, Sampling)
        try:
            tables = [each for each in connector.outline(schemas) if not wanted or each.name in wanted]
        except (SourceRefused, SourceUnreachable) as error:  # there is no source file yet that could be corrected
            raise type(error)(error.finding, fix=_FIX) from error
        for table in tables:
            try:
                records = connector.sample(table.name, rows)
            except OneWindowError as error:
                yield LeftOut(table.name, "unreadable", error.finding)
                continue
            yield Sampled(table.name, dict(table.columns), table.key, records)


# files ---------------------------------------------------------------------------------------------------------------


def pattern_of(name: str) -> str:
    """The pattern of a dump's name: year and month in it become ``{period}``."""
    found = list(_PERIOD.finditer(name))
    return name[: found[-1].start()] + "{period}" + name[found[-1].end() :] if found else name


def _files(system: str, origin: Origin, wanted: Sequence[str], rows: int) -> Iterator[Sampled | LeftOut]:
    """The newest file of each pattern."""
    with _opened(_provisional(system, origin, {}), None) as connector:
        headers = {each.name: list(each.columns) for each in connector.discover()}
    newest: dict[str, str] = {}
    for name in sorted(headers):
        if name == origin.file or (origin.file is None and name.lower().endswith(_DUMPS)):
            newest[pattern_of(name)] = name
    for pattern, name in newest.items():
        if wanted and not {pattern, name} & set(wanted):
            continue
        try:
            found = _file(system, origin, name, headers[name], rows)
        except OneWindowError as error:
            if origin.file is not None:
                raise
            yield LeftOut(pattern, "unreadable", error.finding)
        else:
            yield Sampled(pattern, dict.fromkeys(found[0], "text"), (), found[1], found[2])


def _file(
    system: str, origin: Origin, name: str, header: Sequence[str], rows: int
) -> tuple[list[str], list[dict[str, Any]], str]:
    """Columns, records and shape of one file, taken as a dump whose key is all of its columns."""
    _raise_if_no_header(name, header)
    once = [column for column in header if column and header.count(column) == 1] or ["-"]
    declared = DatasetSource.model_validate({"pattern": name, "key": once, "map": {"name": once[0]}})
    with _opened(_provisional(system, origin, {"sample": declared}, rows), None) as connector:
        records = [change.record for change in _changes(connector, "sample", rows)]
        shape = next((finding.text for finding in connector.check() if finding.subject.endswith(".sample")), "")
    return once, [record for record in records if "unreadable_row" not in record], shape


def _raise_if_no_header(name: str, header: Sequence[str]) -> None:
    """Raise FileColumnsWrong where the first row is a record and no header."""
    strange = [column for column in header if _is_value(column)]
    if len(strange) > len(header) / 4:
        raise FileColumnsWrong(
            f"{name} has no header: its first row holds values",
            fix="let the department export it with a header, or write the source file by hand with `columns`",
        )


def _is_value(text: str) -> bool:
    """Whether a cell of the first row can hardly be a column's name."""
    bare = texts.clean(text)[0]
    if "*" in bare or texts.number(bare if bare.isascii() and bare.isdigit() else "")[0] is not None:
        return True
    try:
        return dates.day(bare)[0] is not None or citizen.masked(bare) != bare
    except Refused:
        return False


def _changes(connector: Connector, dataset: str, rows: int) -> list[Upsert]:
    """The first records that a connector gives."""
    with closing(_upserts(connector, dataset)) as found:
        return list(islice(found, rows))


def _upserts(connector: Connector, dataset: str) -> Generator[Upsert, None, None]:
    for page in connector.pull(dataset, None):
        yield from (change for change in page.changes if isinstance(change, Upsert))


# declared sources ----------------------------------------------------------------------------------------------------


def records_of(source: Source, password: str | None, dataset: str, rows: int) -> list[tuple[str, dict[str, Any]]]:
    """(place, record) of the first records of a declared dataset, of the newest dump where it is one of files.

    Raises ColumnMissing, TableMissing, SourceUnreachable, and what else reading raises.
    """
    declared = source.datasets[dataset]
    with _opened(_only_looking(source, dataset, rows), password) as connector:
        if isinstance(connector, Sampling) and declared.table is not None:
            name = f"{declared.schema_name}.{declared.table}" if declared.schema_name else declared.table
            records = connector.sample(name, rows)
            _raise_if_missing(source, dataset, records)
            return [("", record) for record in records]
        return [(change.place or "", change.record) for change in _changes(connector, dataset, rows)]


def _only_looking(source: Source, dataset: str, rows: int) -> Source:
    """The source with this dataset alone, read without a slot in its log, and files as they are now."""
    changed: dict[str, Any] = {"page_rows": rows, "settle_s": 0.0}
    if source.connector.capture == "log":
        changed["capture"] = "poll"
    declared = source.datasets[dataset]
    if source.connector.kind == "files" and (newest := _newest(source, declared)) is not None:
        declared = declared.model_copy(update={"pattern": newest})
    return source.model_copy(
        update={"connector": source.connector.model_copy(update=changed), "datasets": {dataset: declared}}
    )


def _newest(source: Source, declared: DatasetSource) -> str | None:
    """The name of the newest dump, by period and then by time; None where the connector shall say what is wrong."""
    pattern = file_pattern(declared.pattern or "")
    folder = Path(source.connector.folder or "")
    try:
        fitting = [(period(found), path.stat().st_mtime_ns, path.name)
                   for path in folder.iterdir() if (found := pattern.fullmatch(path.name))]  # fmt: skip
    except OSError:
        return None
    return max(fitting)[2] if fitting else None


def _raise_if_missing(source: Source, dataset: str, records: Sequence[dict[str, Any]]) -> None:
    declared = source.datasets[dataset]
    wanted = [*declared_columns(declared), *([declared.cursor] if declared.cursor else [])]
    if records and (missing := [column for column in wanted if column not in records[0]]):
        raise ColumnMissing(
            f"{source.system}: {declared.table} has no column {missing[0]}; it has {', '.join(records[0])}",
            fix=f"correct datasets.{dataset} in the source file",
        )
