"""The archive: what the topics hold, as Parquet files by system and day, for longer than the topics keep it.

    <archive>/system=hrss/dataset=insured_person/day=2026-11-24/<topic>.<partition>.<first>-<to>.parquet
    <archive>/manifest.jsonl

A file holds the records of one partition from offset ``first`` up to ``to``, unchanged. The manifest names each file with
its rows and its SHA-256, one line a file, and only a file that is named there counts: a file that was being written when
the power went is written again. Archive and topics together are one history, from which a view can be rebuilt.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from contracts.errors import ArchiveDamaged
from contracts.events import RESIDENT_TOPIC
from onewindow.events_log import EventsLog
from projections.engine import LogBatch
from projections.verify import Positions
from streams.records import arrival

if TYPE_CHECKING:
    from onewindow.parquet_files import ArchivedRecord

MANIFEST = "manifest.jsonl"
_CHINA = timezone(timedelta(hours=8))
_FILE_ROWS = 50_000


class ArchivedFile(NamedTuple):
    """A line of the manifest. ``path`` is relative to the archive."""

    topic: str
    partition: int
    first: int
    to: int
    rows: int
    day: str
    path: str
    sha256: str


class Archive:
    """The archive in one directory. One process may write it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def files(self) -> list[ArchivedFile]:
        """What the manifest names, in the order of writing. Raises ArchiveDamaged when it can't be read."""
        path = self.directory / MANIFEST
        if not path.exists():
            return []
        lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last line end was being written
        try:
            return [ArchivedFile(**json.loads(line)) for line in lines]
        except (ValueError, TypeError) as error:
            raise ArchiveDamaged(f"{path} can't be read", fix="restore it from the backup of the archive") from error

    def ends(self) -> dict[tuple[str, int], int]:
        """(topic, partition) -> the offset up to which it is archived."""
        return {(file.topic, file.partition): file.to for file in self.files()}

    def write(self, log: EventsLog, until: Positions, progress: Callable[[int, int], None]) -> list[ArchivedFile]:
        """Take over what the log holds beyond the archive's ends, up to ``until``; gives the files that were made."""
        ends, made = self.ends(), []
        done, total = 0, sum(max(end - ends.get(place, 0), 0) for place, end in until.items())
        for (topic, partition), end in sorted(until.items()):
            for first, to, records in _by_day(log.records(topic, partition, ends.get((topic, partition), 0), end)):
                made.append(self._add(topic, partition, first, to, records))
                done += to - first
                progress(done, total)
        return made

    def _add(self, topic: str, partition: int, first: int, to: int, records: Sequence[Any]) -> ArchivedFile:
        from onewindow import parquet_files  # pyarrow takes 0.2 s to load, and few commands need it

        day = _day(records[0]) if records else "empty"
        folder = self.directory / _folder(topic) / f"day={day}"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{topic}.{partition}.{first:012d}-{to:012d}.parquet"
        parquet_files.write(path, records)
        _make_durable(path)
        file = ArchivedFile(
            topic, partition, first, to, len(records), day, str(path.relative_to(self.directory)), _sha256(path)
        )
        with (self.directory / MANIFEST).open("ab") as manifest:
            _cut_torn_line(manifest)
            manifest.write(json.dumps(file._asdict()).encode() + b"\n")
            manifest.flush()
            os.fsync(manifest.fileno())
        return file

    def records(self, topic: str, partition: int, at: int, end: int) -> Iterator[tuple[int, int, list[ArchivedRecord]]]:
        """(first, to, records) of a partition, file by file, from ``at`` up to ``end`` or the archive's end.

        Raises ArchiveDamaged when a file is missing, is not as the manifest says, or there is a hole between two.
        """
        for file in self.files():
            if (file.topic, file.partition) != (topic, partition) or file.to <= at:
                continue
            if at >= end:
                return
            if file.first > at:
                raise ArchiveDamaged(
                    f"the archive of {topic}/{partition} has a hole: offsets {at} to {file.first - 1}",
                    fix="restore it from its backup",
                )
            to = min(file.to, end)
            yield at, to, [record for record in self._read(file) if at <= record.offset < to]
            at = to

    def _read(self, file: ArchivedFile) -> list[ArchivedRecord]:
        from onewindow import parquet_files

        path = self.directory / file.path
        if not path.exists() or _sha256(path) != file.sha256:
            what = "is not what was written" if path.exists() else "is missing"
            raise ArchiveDamaged(f"{file.path} of the archive {what}", fix="restore it from the backup of the archive")
        return parquet_files.read(path)

    def check(self, progress: Callable[[int, int], None]) -> int:
        """Read every file; gives the rows. Raises ArchiveDamaged at the first that is not as it was written."""
        rows, files = 0, self.files()
        reached: dict[tuple[str, int], int] = {}
        for number, file in enumerate(files, 1):
            place = (file.topic, file.partition)
            if file.first != reached.get(place, file.first):
                raise ArchiveDamaged(
                    f"the archive of {file.topic}/{file.partition} has a hole before offset {file.first}",
                    fix="restore it from its backup",
                )
            reached[place] = file.to
            rows += len(self._read(file))
            progress(number, len(files))
        return rows


class History:
    """Archive and topics as one log: the archive as far as it reaches, the topics after that."""

    def __init__(self, archive: Archive, log: EventsLog) -> None:
        self._archive, self._log = archive, log

    def ends(self) -> Positions:
        """Where each partition ends now."""
        return self._log.ends([RESIDENT_TOPIC])

    def batches(self, until: Positions, since: Positions) -> Iterator[LogBatch]:
        """Each partition from the one offset up to the other."""
        for place, end in sorted(until.items()):
            for first, to, records in self.records(*place, since.get(place, 0), end):
                yield LogBatch(*place, first, to, [arrival(record) for record in records])

    def records(self, topic: str, partition: int, at: int, end: int) -> Iterator[tuple[int, int, list[Any]]]:
        """(first, to, records) of a partition, from offset ``at`` up to ``end``."""
        kept = min(self._archive.ends().get((topic, partition), 0), end)
        if at < kept:
            yield from self._archive.records(topic, partition, at, kept)
            at = kept
        if at < end:
            yield from self._log.records(topic, partition, at, end)


def _by_day(pieces: Iterator[tuple[int, int, list[Any]]]) -> Iterator[tuple[int, int, list[Any]]]:
    """Pieces of a partition as those of one file each: up to _FILE_ROWS records, of one day in China.

    A record that carries an earlier time than those before it stays with them.
    """
    start: int | None = None
    at, held, day = 0, list[Any](), ""
    for first, to, records in pieces:
        start = first if start is None else start
        for record in records:
            if held and (_day(record) > day or len(held) >= _FILE_ROWS):
                yield start, record.offset, held
                start, held = record.offset, []
            if not held:
                day = _day(record)
            held.append(record)
        at = to
    if start is not None and start < at:
        yield start, at, held


def _day(record: Any) -> str:
    return datetime.fromtimestamp(record.timestamp / 1_000, _CHINA).date().isoformat()


def _folder(topic: str) -> Path:
    """``department.hrss.pension`` and ``quarantine.hrss.pension`` lie together under system and dataset."""
    kind, _, rest = topic.partition(".")
    system, _, dataset = rest.partition(".")
    return Path(f"system={system}") / f"dataset={dataset}" if dataset else Path(f"system={kind}") / f"dataset={system}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _make_durable(path: Path) -> None:
    for each, flags in ((path, os.O_RDONLY), (path.parent, os.O_RDONLY | os.O_DIRECTORY)):
        descriptor = os.open(each, flags)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _cut_torn_line(manifest: Any) -> None:
    """A line that a crash cut short names nothing: it is taken away before the next one is written."""
    size = manifest.tell()
    if not size:
        return
    content = Path(manifest.name).read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < size:
        manifest.truncate(whole)
