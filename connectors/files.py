"""Reads full dumps that a department drops into a folder, and finds out what has changed since the dump before.

A dump is copied into the connector's own state directory when it has been at rest for ``settle_s``, looked at from
beginning to end, and only then used; so nothing happens to a reading when the department replaces or removes the file.
The department's files are never changed, moved or removed.

Dumps are taken by ``{period}`` (year and month in the name), those of one period by their time; a pattern without a period
goes by time alone. Of each dump, rows that are new or changed are given as upserts, then the keys of the dump before that
are absent as deletes, unless guarantee 10 forbids it: the dump is not whole, a key in it can't be read, or more than
``disappear_limit`` of the records have disappeared. Then nothing is deleted, a note says so, and the question stays open
until a later dump has the records again, or a person answers it with a file ``<dump>.approved`` beside the dump that holds
the question's number. The number stands for this dump and what it was compared with, so that an old answer fits no other
question.

- A dump may also be a workbook, zipped, of fixed width or without a header (``_unpacking``); its copy is made plain.
- Where the department says ``done`` with a file beside the dump, nothing is taken before that is there.
- The same content again is counted as duplicates; a dump of an earlier period than the last one taken as stale.
- A file that can't be taken (truncated, wrong encoding or columns) raises, at each look, after everything else was given;
  it holds its dataset only until a newer whole file appears, which is taken in its stead.
- A row without a readable key is given nevertheless, under its place as key and with its key columns empty, so that it
  goes to quarantine.
- Manifests (``_manifests``) tell what changed. A first dump is a snapshot. So is the newest whole dump when a dataset is
  read again from the beginning; deletions of the past are then told again.
- When the manifest of the last dump is lost, the position is: the dataset must be read again from the beginning. How many
  rows that dump had is kept in ``before``; the first dump with about as many rows, all of them readable, is marked complete,
  so that what it lacks is gone.

Position: ``last``: the dump that was taken last; ``now``: the one at hand, with the row or key it stands at; ``files``: what
was judged, by name: size, time and digest; ``unsure``: what was published of the last dump is not known; ``before``: rows of
the dump whose manifest was lost, until a dump is marked complete.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import filterfalse, islice
from pathlib import Path
from typing import Any, Literal

from connectors import _manifests
from connectors._dumps import CHUNK, Line, Shape, examine, lines
from connectors._manifests import Manifest
from connectors._unpacking import Plain, peeked, plain, rows_about, shape_of
from connectors.base import Dataset, Delete, Finding, Page, Position, Question, Upsert
from connectors.periods import file_pattern, period
from connectors.values import joined_key
from contracts.errors import (
    AbsenceDoubtful,
    DumpTooEarly,
    DumpTruncated,
    FolderMissing,
    FullReadImpossible,
    OneWindowError,
    PositionLost,
    SettingInvalid,
    TooManyDisappeared,
)
from contracts.sources import DatasetSource, Source

_UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload", ".approved")


@dataclass(frozen=True, slots=True)
class _File:
    """A file of the folder that fits the pattern."""

    path: Path
    period: str
    size: int
    mtime_ns: int

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def stamp(self) -> list[int]:
        return [self.size, self.mtime_ns]

    @property
    def order(self) -> tuple[str, int, str]:
        return self.period, self.mtime_ns, self.name


class FilesConnector:
    """Full dumps of one department. ``state`` is a directory for copies and manifests; ``now`` is the wall clock.

    Different datasets may be pulled by different threads. ``pull`` must be given a position that is saved for good: what
    only older positions need is removed then.
    """

    def __init__(self, source: Source, state: Path, *, now: Callable[[], float] = time.time) -> None:
        self._source, self._now = source, now
        self._folder, self._done = Path(source.connector.folder or ""), source.connector.done
        self._unfinished = (*_UNFINISHED, self._done) if self._done else _UNFINISHED
        self._patterns = {name: _pattern(source, name) for name in source.datasets}
        self._state = {name: state / f"{source.system}.{name}" for name in source.datasets}
        self._bad: dict[Path, tuple[list[int], OneWindowError]] = {}  # not to be looked at again until they change
        self._first_seen: dict[Path, tuple[list[int], float]] = {}

    def close(self) -> None:
        """Nothing to let go of."""

    # reading ---------------------------------------------------------------------------------------------------------

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        """What has changed with each dump since. Holds one page in memory.

        Raises FolderMissing; PositionLost when what the last dump held is no longer known; and, after everything else was
        given, DumpTruncated, FileEncodingWrong, FileColumnsWrong, FileTooLarge or FileUnreadable of the newest file that can't
        be taken, or DumpTooEarly.
        """
        state = self._state[dataset]
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        reading = _Reading(self._source.datasets[dataset], self._folder, state, self._source.connector.page_rows, after)
        reading.raise_if_lost(f"{self._source.system}.{dataset}")
        yield from reading.resumed()
        answered = False
        for page in reading.approved():
            answered = True
            yield page
        if not answered:  # the manifest follows the approval only when that is saved: with the next pull
            files = sorted(self._fitting(dataset), key=lambda file: file.order)
            in_time = [file for file in files if not self._is_early(file)]
            yield from reading.looked([file for file in in_time if self._at_rest(file)], self._bad)
            self._raise_if_early(files)

    def copy(self, dataset: str) -> Iterator[Page]:
        """The rows of the newest whole dump, as after the loss of all that was known. Raises FullReadImpossible where there
        is none, and as ``pull`` does."""
        state = self._state[dataset]
        state.mkdir(parents=True, exist_ok=True, mode=0o700)
        for each in state.iterdir():
            each.unlink()
        _manifests.remember_rows(state, 0)
        read = False
        for page in self.pull(dataset, None):
            read = True
            yield page
        if not read:
            raise FullReadImpossible(
                f"{self._source.system}.{dataset}: no dump that fits {self._source.datasets[dataset].pattern} is in the"
                " drop folder, so there is nothing to compare with",
                fix="let the department put its newest full dump there",
            )

    def _is_early(self, file: _File) -> bool:
        """Whether its name says a month to come: a slip that would make every true dump after it stale."""
        return file.period > _month_after(self._now())

    def _raise_if_early(self, files: Iterable[_File]) -> None:
        for file in filter(self._is_early, files):
            raise DumpTooEarly(
                f"{file.name} is named for a month that has not come; it is not taken, or every dump until then would be stale",
                fix="rename it, or take it out of the drop folder",
            )

    def _fitting(self, dataset: str) -> Iterator[_File]:
        """Files whose names fit the pattern. Raises FolderMissing."""
        for entry in self._entries():
            found = self._patterns[dataset].fullmatch(entry.name)
            if found is None or entry.name.startswith(".") or entry.name.endswith(self._unfinished):
                continue
            if self._done and not Path(f"{entry.path}{self._done}").exists():
                continue
            try:
                if entry.is_file(follow_symlinks=False):
                    status = entry.stat(follow_symlinks=False)
                    yield _File(Path(entry.path), period(found), status.st_size, status.st_mtime_ns)
            except FileNotFoundError:
                continue

    def _entries(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._folder) as entries:
                return list(entries)
        except OSError as error:
            raise FolderMissing(
                f"{self._source.system}: the drop folder {self._folder} can't be read ({error.strerror})",
                fix="create it, or correct connector.folder; the user that runs OneWindow must be able to read it",
            ) from error

    def _at_rest(self, file: _File) -> bool:
        """Unchanged for ``settle_s``: by the file's time, or, where that lies ahead of our clock, as seen from here."""
        now, settle = self._now(), self._source.connector.settle_s
        if not settle:
            return True
        stamp, since = self._first_seen.get(file.path, (None, now))
        if stamp != file.stamp:
            since = now
        self._first_seen[file.path] = (file.stamp, since)
        return now - file.mtime_ns / 1e9 >= settle or now - since >= settle

    # looking around --------------------------------------------------------------------------------------------------

    def check(self) -> Iterable[Finding]:
        """The folder, and for each dataset its newest file and open questions."""
        try:
            entries = self._entries()
        except FolderMissing as error:
            yield Finding("fail", self._source.system, str(error), error)
            return
        yield Finding("ok", self._source.system, f"the drop folder {self._folder} can be read")
        names = [
            entry.name
            for entry in entries
            if not entry.name.startswith(".") and not entry.name.endswith(self._unfinished)
        ]
        for name in sorted(names):
            if not any(pattern.fullmatch(name) for pattern in self._patterns.values()):
                yield Finding("warn", self._source.system, f"{name} fits the pattern of no dataset and is not read")
        for dataset in self._source.datasets:
            files = sorted(self._fitting(dataset), key=lambda file: file.order)
            yield self._check(dataset, [file for file in files if not self._is_early(file)])
            try:
                self._raise_if_early(files)
            except DumpTooEarly as error:
                yield Finding("warn", f"{self._source.system}.{dataset}", str(error), error)

    def _check(self, dataset: str, files: Sequence[_File]) -> Finding:
        subject, declared = f"{self._source.system}.{dataset}", self._source.datasets[dataset]
        if not files:
            return Finding("warn", subject, f"no file fits {declared.pattern} yet")
        try:
            shape = shape_of(files[-1].path, files[-1].name, declared)
        except OneWindowError as error:
            return Finding("fail", subject, str(error), error)
        return Finding(
            "ok", subject, f"{files[-1].name}: {shape.rows} rows, {shape.encoding}, {shape.delimiter!r} between columns"
        )

    def discover(self) -> Iterable[Dataset]:
        """The newest file of each dataset, and every other file by its own name, with columns and rows where readable."""
        fitting = {
            name: sorted(filterfalse(self._is_early, self._fitting(name)), key=lambda file: file.order)
            for name in self._source.datasets
        }
        for name, files in fitting.items():
            if files:
                yield self._described(name, files[-1].path, self._source.datasets[name])
        known = {file.path.name for files in fitting.values() for file in files}
        for entry in sorted(self._entries(), key=lambda entry: entry.name):
            if entry.name not in known and entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                yield self._described(entry.name, Path(entry.path), None)

    def _described(self, name: str, path: Path, declared: DatasetSource | None) -> Dataset:
        header, rows = peeked(path, declared)
        return Dataset(name, dict.fromkeys(header, "text"), tuple(declared.key) if declared else (), rows)


class _Reading:
    """One pull of one dataset."""

    def __init__(
        self, declared: DatasetSource, folder: Path, state: Path, page_rows: int, after: Position | None
    ) -> None:
        self._declared, self._folder, self._state, self._page_rows = declared, folder, state, page_rows
        self._last: dict[str, Any] | None = dict(after["last"]) if after and after["last"] else None
        self._at: dict[str, Any] | None = dict(after["now"]) if after and after["now"] else None
        self._files: dict[str, list[Any]] = dict(after["files"]) if after else {}
        self._unsure = bool(after["unsure"]) if after else True
        self._base: str | None = self._last["sha"] if self._last else self._newest_manifest() if after is None else None
        self._before: int | None = _manifests.rows_before(state) if after is None else after.get("before")
        self._anew = after is None and (self._base or self._before) is not None  # read again, after it was read before
        self._clean(keep_before=after is None)

    def _position(self) -> dict[str, Any]:
        now = dict(self._at) if self._at else None
        return {
            "last": self._last, "now": now, "files": dict(self._files), "unsure": self._unsure, "before": self._before,
        }  # fmt: skip

    def _page(self, changes: Sequence[Upsert | Delete] = (), **fields: Any) -> Page:
        return Page(changes, self._position(), asks=self._questions(), **fields)

    def _questions(self) -> list[Question]:
        """What is open: of the dump at hand once its rows are read, until then of the one before."""
        judged = self._at if self._at and self._at["phase"] == "deletes" else self._last
        return [Question(**each) for each in (judged or {}).get("asks", ())]

    # what earlier pulls left -----------------------------------------------------------------------------------------

    def _manifest(self, sha: str) -> Path:
        return self._state / f"{sha[:32]}.manifest"

    def _copy_of(self, sha: str) -> Path:
        return self._state / f"{sha[:32]}.dump"

    def _newest_manifest(self) -> str | None:
        """Read from the beginning, while a manifest is there: it knows what was deleted."""
        found = max(self._state.glob("*.manifest"), key=lambda path: path.stat().st_mtime_ns, default=None)
        return found.stem if found else None

    def raise_if_lost(self, subject: str) -> None:
        """Raises PositionLost when the manifest of the last dump is gone, and remembers how many rows that had."""
        last = self._last
        if last is None or self._manifest(last["sha"]).exists():
            return
        _manifests.remember_rows(self._state, last["rows"] if self._before is None else self._before)
        raise PositionLost(
            f"{subject}: what {last['name']} held is no longer known here; the newest dump is read in full, and what is"
            " absent from it is compared with all that was read before",
            fix="nothing to do; if it happens again, see that nobody empties the state directory of the deployment",
        )

    def _clean(self, *, keep_before: bool) -> None:
        """Remove what this position no longer needs."""
        at = self._at or {}
        kept = {self._manifest(sha) for sha in (self._base, at.get("sha"), at.get("previous")) if sha}
        kept |= {self._copy_of(at["sha"])} if at else set()
        kept |= {self._state / _manifests.BEFORE} if keep_before else set()
        for path in self._state.iterdir():
            if path not in kept:
                path.unlink()
        if self._last and self._last.get("approved") and self._manifest(self._last["sha"]).exists():
            _manifests.approve(self._manifest(self._last["sha"]), self._last["token"])

    def resumed(self) -> Iterator[Page]:
        """The rest of the dump that was at hand."""
        if self._at is None:
            return
        copy = self._copy_of(self._at["sha"])
        if self._at["phase"] == "rows" and not copy.exists() and not self._copied_again(self._at, copy):
            note = f"{self._at['name']} was removed while it was being read; the next dump is read in full"
            self._at, self._unsure = None, True
            yield self._page(notes=[note])
            return
        yield from self._rest()

    def _copied_again(self, at: dict[str, Any], copy: Path) -> bool:
        """The state directory was lost, but the department's file may still be there."""
        path = self._folder / at["name"]
        if not path.is_file() or path.is_symlink():
            return False
        if _copied(path, self._state / "copying") != at["sha"]:
            return False
        self._plain(at["name"])
        (self._state / "copying").replace(copy)
        return True

    def approved(self) -> Iterator[Page]:
        """Deletions that a person has meanwhile approved."""
        last = self._last
        if last is None or not last["held"] or not self._is_approved(last):
            return
        manifest, count = self._manifest(last["sha"]), 0
        while manifest.exists() and (keys := _manifests.held(manifest, last.get("key", ""), self._page_rows)):
            count += len(keys)
            self._last = last = last | {"key": keys[-1]}
            yield self._page([self._delete(last, key) for key in keys])
        self._last = last | {"held": 0, "asks": [], "key": "", "approved": True}
        notes = [f"{last['name']} was approved: {count or last['held']} absent records are deleted"]
        yield self._page(notes=notes, mark=self._completed(last))

    def _is_approved(self, dump: dict[str, Any]) -> bool:
        """Whether a person has answered the question that this dump raised; an editor may have written it in UTF-16."""
        try:
            with self._approval(dump).open("rb") as stream:
                said = stream.read(1_000).replace(b"\0", b"")
        except OSError:
            return False
        return dump["question"].encode() in said

    def _approval(self, dump: dict[str, Any]) -> Path:
        return self._folder / f"{dump['name']}.approved"

    def _completed(self, dump: dict[str, Any]) -> Literal["complete"] | None:
        """What to mark a dump with from which nothing is held, once its rows and deletions are given."""
        if self._before is None or not dump["readable"]:
            return None
        self._before = None
        return "complete"

    # new files -------------------------------------------------------------------------------------------------------

    def looked(self, candidates: Sequence[_File], bad: dict[Path, tuple[list[int], OneWindowError]]) -> Iterator[Page]:
        """What the folder holds that was not judged yet. Raises the error of the newest file that can't be taken."""
        self._files = {name: judged for name, judged in self._files.items() if (self._folder / name).exists()}
        if self._anew:
            candidates = self._newest_whole(candidates)
        waiting: list[_File] = []
        for file in candidates:
            judged = self._files.get(file.name)
            if judged and judged[:2] == file.stamp:
                continue
            if file.path in bad and bad[file.path][0] == file.stamp:
                waiting.append(file)
            elif self._is_stale(file):
                self._files[file.name] = [*file.stamp, ""]
                note = f"{file.name} is older than {(self._last or {})['name']}, which was taken; it is left out"
                yield self._page(stale=rows_about(file.path, file.name, self._declared), notes=[note])
            else:
                try:
                    yield from self._judged(file, waiting)
                except OneWindowError as error:
                    bad[file.path] = (file.stamp, error)
                    waiting.append(file)
        if waiting:
            raise bad[waiting[-1].path][1]

    def _newest_whole(self, candidates: Sequence[_File]) -> list[_File]:
        """The newest dump that can be read, and what is newer: to take older ones again would bring back the past."""
        chosen: list[_File] = []
        for file in reversed(candidates):
            chosen.insert(0, file)
            try:
                shape_of(file.path, file.name, self._declared)
            except (OneWindowError, OSError):
                continue
            break
        self._files |= {file.name: [*file.stamp, ""] for file in candidates if file not in chosen}
        return chosen

    def _is_stale(self, file: _File) -> bool:
        last = self._last
        if last is None or (file.name == last["name"] and file.period == last["period"]):
            return False
        return (file.period, file.mtime_ns) < (last["period"], last["mtime_ns"])

    def _judged(self, file: _File, waiting: list[_File]) -> Iterator[Page]:
        """Take a file, or leave it out as a repetition. ``waiting``: bad ones that it is newer than."""
        copying = self._state / "copying"
        sha = _copied(file.path, copying)
        if sha is None or file.path.stat().st_mtime_ns != file.mtime_ns:
            return  # still being written
        before, judged = (self._last or {}).get("sha"), self._files.get(file.name)
        if sha == before or (judged and judged[2] == sha):
            self._files[file.name] = [*file.stamp, sha]
            rows = (
                self._last["rows"] if self._last and sha == before else rows_about(copying, file.name, self._declared)
            )
            what = self._last["name"] if self._last and sha == before else "it held before"
            yield self._page(duplicates=rows, notes=[f"{file.name} has the same content as {what}; it is left out"])
            return
        found = self._plain(file.name)
        shape = examine(copying, file.name, found.declared)
        if self._last and self._last["final_newline"] and not shape.final_newline:
            raise DumpTruncated(
                f"{file.name} is not a whole dump: it does not end with a new line, as {self._last['name']} did",
                fix="let the department export and upload it again; nothing of it was read, and nobody was deleted",
            )
        copying.replace(self._copy_of(sha))
        notes = [f"{other.name} can't be read and is left out: {file.name} is newer" for other in waiting]
        for other in waiting:
            self._files[other.name] = [*other.stamp, ""]
        waiting.clear()
        self._begin(file, sha, shape, found)
        if notes:
            yield self._page(notes=notes)
        yield from self._rest()

    def _plain(self, name: str) -> Plain:
        """Make the copy plain, whatever it was."""
        copying = self._state / "copying"
        found = plain(copying, name, self._declared, self._state / "plain")
        if found.path != copying:
            found.path.replace(copying)
        return found

    def _begin(self, file: _File, sha: str, shape: Shape, found: Plain) -> None:
        base = self._base if self._base and self._manifest(self._base).exists() else None
        token = f"{sha[:16]}@{file.mtime_ns // 1_000_000}"
        self._at = {
            "name": file.name, "sha": sha, "token": token, "question": _question(file.name, sha, token, base), "period": file.period, "size": file.size, "mtime_ns": file.mtime_ns,
            "previous": base, "compare": base is not None and not self._unsure, "phase": "rows", "row": 1, "key": "",
            "held": 0, "asks": [], "readable": False, "encoding": shape.encoding, "delimiter": shape.delimiter, "header": list(shape.header),
            "rows": shape.rows, "final_newline": shape.final_newline, "sheet": found.sheet, "above": found.above,
        }  # fmt: skip

    # one dump --------------------------------------------------------------------------------------------------------

    def _rest(self) -> Iterator[Page]:
        """The dump at hand, from where the position stands."""
        at = self._here()
        if at["phase"] == "rows":
            yield from self._rows()
        at = self._here()
        while keys := self._deleted(at):
            self._at = at = at | {"key": keys[-1]}
            yield self._page([self._delete(at, key) for key in keys])
        self._files[at["name"]] = [at["size"], at["mtime_ns"], at["sha"]]
        kept = (
            "name", "sha", "token", "question", "period", "mtime_ns", "held", "asks", "readable", "rows", "final_newline",
        )  # fmt: skip
        self._last, self._base, self._at, self._unsure = {name: at[name] for name in kept}, at["sha"], None, False
        mark = None if at["held"] else self._completed(at)
        yield self._page(done=at["rows"], total=at["rows"], mark=mark)

    def _here(self) -> dict[str, Any]:
        assert self._at is not None
        return self._at

    def _deleted(self, at: dict[str, Any]) -> list[str]:
        manifest = self._manifest(at["sha"])
        return _manifests.deleted(manifest, at["token"], at["key"], self._page_rows) if manifest.exists() else []

    def _rows(self) -> Iterator[Page]:
        """The changed rows. Always begins at the first row, to make the manifest; what was given before is not given."""
        at = self._here()
        shape = Shape(at["encoding"], at["delimiter"], tuple(at["header"]), at["rows"], at["final_newline"])
        previous = self._manifest(at["previous"]) if at["previous"] else None
        manifest = Manifest(self._manifest(at["sha"]), previous if previous and previous.exists() else None)
        unreadable = done = 0
        try:
            dump = lines(self._copy_of(at["sha"]), shape)
            while batch := list(islice(dump, self._page_rows)):
                differing = _Differing(self._declared.key, at, manifest)
                differing.take(batch)
                unreadable, done = unreadable + differing.unreadable, done + len(batch)
                if batch[-1].number > at["row"]:
                    self._at = self._here() | {"row": batch[-1].number}
                    yield self._page(
                        differing.changes,
                        snapshot=not at["compare"],
                        duplicates=differing.duplicates,
                        done=done,
                        total=at["rows"],
                    )
            absent, had = manifest.absent()
            if self._before is not None and self._before - at["rows"] > absent:
                absent, had = self._before - at["rows"], self._before
            doubts = self._objections(at, unreadable, absent, had) if absent else []
            manifest.finish(at["token"], delete=not doubts, again=not at["compare"])
        finally:
            manifest.close()
        self._at = self._here() | {
            "phase": "deletes", "held": absent if doubts else 0, "readable": not unreadable,
            "asks": [{"code": one.code, "finding": one.finding, "fix": one.fix} for one in doubts],
        }  # fmt: skip
        if doubts:
            yield self._page(notes=[str(one) for one in doubts])

    def _objections(self, at: dict[str, Any], unreadable: int, absent: int, had: int) -> list[OneWindowError]:
        """Why nothing may be deleted until a person says so."""
        doubts: list[OneWindowError] = []
        approve = f"run: echo {at['question']} > {shlex.quote(str(self._approval(at)))}"
        if absent > self._declared.disappear_limit * had:
            doubts.append(
                TooManyDisappeared(
                    f"{at['name']}: {absent} of {had} records are absent, more than"
                    f" {self._declared.disappear_limit:.1%}; nobody is deleted",
                    fix=f"let the department export it again; if they are truly gone, {approve}",
                )
            )
        if unreadable:
            doubts.append(
                AbsenceDoubtful(
                    f"{at['name']}: {absent} records are absent, but {unreadable} rows have no readable key and may be"
                    " theirs; nobody is deleted",
                    fix=f"let the department mend the rows; if the records are truly gone, {approve}",
                )
            )
        return doubts

    def _delete(self, dump: dict[str, Any], key: str) -> Delete:
        return Delete(key, f"{dump['token']}:gone", _iso(dump["mtime_ns"]), dump["name"])


class _Differing:
    """The rows of a batch that are new or changed. ``take`` enters all of them in the manifest."""

    def __init__(self, key: Sequence[str], at: dict[str, Any], manifest: Manifest) -> None:
        self.changes: list[Upsert | Delete] = []
        self.duplicates = self.unreadable = 0
        self._at, self._manifest, self._header, self._key = at, manifest, at["header"], key
        self._key_at = [self._header.index(column) for column in key]
        self._columns = hashlib.blake2b("\0".join(self._header).encode(), digest_size=16).digest()
        self._committed_at = _iso(at["mtime_ns"]) if at["compare"] else None

    def take(self, batch: Sequence[Line]) -> None:
        """Sort out a batch; those up to the position's row were given before."""
        keys = [self._key_of(line) for line in batch]
        readable = [key for key in keys if key is not None]
        new, old = self._manifest.prints(readable), self._manifest.old_prints(readable) if self._at["compare"] else {}
        put: dict[str, bytes] = {}
        for line, key in zip(batch, keys, strict=True):
            if key is None or line.values is None:
                self.unreadable += 1
                same = False
            else:
                text = "\0".join(line.values).encode("utf-8", "surrogatepass")
                mark = hashlib.blake2b(text, digest_size=8, key=self._columns).digest()
                current = put.get(key) or new.get(key)
                same = mark == (current or old.get(key))
                put[key] = mark
            if line.number > self._at["row"]:
                if same:
                    self.duplicates += 1
                else:
                    self.changes.append(self._upsert(line, key))
        self._manifest.put(put)

    def _key_of(self, line: Line) -> str | None:
        """None where a row has no readable key."""
        if line.values is None:
            return None
        parts = [line.values[index].strip() for index in self._key_at]
        return joined_key(parts) if all(parts) else None

    def _upsert(self, line: Line, key: str | None) -> Upsert:
        where = ", ".join(filter(None, [self._at["name"], self._at.get("sheet")]))
        place = f"{where}:{line.number + self._at.get('above', 0)}"
        if line.values is None:  # its columns may be shifted: none of its values may pass for a key
            record: dict[str, Any] = dict.fromkeys(self._key) | {"unreadable_row": self._at["delimiter"].join(line.raw)}
        else:
            record = dict(zip(self._header, line.values, strict=True))
        return Upsert(key or place, record, f"{self._at['token']}:{line.number}", self._committed_at, place)


def _question(name: str, sha: str, token: str, base: str | None) -> str:
    """The number of the question that a dump may raise: of its name, content and time, and of what it is compared with."""
    return hashlib.sha256("\0".join([name, sha, token, base or ""]).encode()).hexdigest()[:12]


def _copied(path: Path, to: Path) -> str | None:
    """Copy a file for this user only; gives its SHA-256, None when it is gone."""
    digest = hashlib.sha256()
    try:
        with (
            path.open("rb") as source,
            os.fdopen(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as out,
        ):
            while chunk := source.read(CHUNK):
                digest.update(chunk)
                out.write(chunk)
            out.flush()
            os.fsync(out.fileno())
    except FileNotFoundError:
        return None
    return digest.hexdigest()


def _iso(mtime_ns: int) -> str:
    return (
        datetime.fromtimestamp(mtime_ns // 1_000 / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def _month_after(now: float) -> str:
    """The month after this one, as a period: the latest that a dump may be of."""
    at = datetime.fromtimestamp(now, UTC)
    return f"{at.year + at.month // 12:04d}{at.month % 12 + 1:02d}"


def _pattern(source: Source, dataset: str) -> re.Pattern[str]:
    pattern = source.datasets[dataset].pattern
    if not pattern or "/" in pattern or pattern.count("{period}") > 1:
        raise SettingInvalid(
            f"{source.system}.{dataset}: kind files needs pattern, a file name with at most one {{period}}; it is {pattern!r}",
            fix=f'write datasets.{dataset}.pattern as in "{dataset}_{{period}}.csv"',
        )
    return file_pattern(pattern)
