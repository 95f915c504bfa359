"""A dump in another form than lines with a header: zip, workbook, columns of fixed width, no header at all.

Each is made into plain CSV in UTF-8 before anything else looks at it. What is packed is measured before it is unpacked:
a file of some kilobytes may hold gigabytes.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from connectors._dumps import DELIMITERS, Shape, count_rows, encoding_of, examine, peek
from connectors.values import declared_columns
from contracts.errors import DumpTruncated, FileTooLarge, FileUnreadable, OneWindowError, SettingInvalid
from contracts.sources import DatasetSource

INFLATED_BYTES = 1 << 30
CELLS = 20_000_000
_ENTRIES = 10_000
_MEMORY_BYTES, _CPU_S = 3 << 30, 300
_CHUNK = 1 << 20
_ZIPS = (b"PK\x03\x04", b"PK\x05\x06")  # the second: of an empty one
_OLD_WORKBOOK = b"\xd0\xcf\x11\xe0"
_PACKED = (*_ZIPS, _OLD_WORKBOOK)
_AGAIN = "let the department export and upload it again; nothing of it was read, and nobody was deleted"


_ANY = DatasetSource.model_construct(key=[], map={}, where={}, widths=[], columns=[], sheet=None, encoding=None)


@dataclass(frozen=True, slots=True)
class Plain:
    """A dump as lines with a header: where it lies, how it is declared now, and where its rows stood: on this ``sheet``, with
    so many rows ``above`` the header."""

    path: Path
    declared: DatasetSource
    sheet: str = ""
    above: int = 0


def shape_of(path: Path, name: str, declared: DatasetSource) -> Shape:
    """``examine`` of a dump in whatever form, leaving nothing behind. Raises what ``plain`` and ``examine`` raise."""
    with TemporaryDirectory(prefix="onewindow-") as folder:
        found = plain(path, name, declared, Path(folder) / "plain")
        return examine(found.path, name, found.declared)


def rows_about(path: Path, name: str, declared: DatasetSource) -> int:
    """About how many rows a dump has that will not be read."""
    if not _is_packed(path):
        return count_rows(path)
    try:
        return shape_of(path, name, declared).rows
    except OneWindowError:
        return 0


def peeked(path: Path, declared: DatasetSource | None) -> tuple[tuple[str, ...], int | None]:
    """``peek`` at a file in whatever form; nothing of one that this user may not read."""
    try:
        packed = _is_packed(path)
    except OSError:
        return (), None
    if not packed and not (declared and declared.columns):
        return peek(path, declared)
    with TemporaryDirectory(prefix="onewindow-") as folder:
        try:
            found = plain(path, path.name, declared or _ANY, Path(folder) / "plain")
        except OneWindowError:
            return (), None
        return peek(found.path, found.declared if declared else None)


def _is_packed(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(4) in _PACKED


def plain(path: Path, name: str, declared: DatasetSource, to: Path) -> Plain:
    """The dump at ``path``, called ``name`` in messages; where it has another form it is made plain in ``to``.

    Raises FileTooLarge, FileUnreadable, DumpTruncated, FileEncodingWrong, SettingInvalid.
    """
    with path.open("rb") as stream:
        head = stream.read(4)
    with ExitStack() as stack:
        if head in _ZIPS and not _is_workbook(path, name):
            folder = stack.enter_context(TemporaryDirectory(dir=to.parent, prefix="unpacking-"))
            path, name = _member(path, name, Path(folder))
            with path.open("rb") as stream:
                head = stream.read(4)
            if head not in _PACKED and not (declared.widths or declared.columns):
                path.replace(to)
                return Plain(to, declared)
        if head in _ZIPS:
            _raise_if_bursting(path, name)
        if head in _PACKED:
            return _sheet(path, name, declared, to)
        if declared.widths or declared.columns:
            return _headed(path, name, declared, to)
    return Plain(path, declared)


def _now_plain(declared: DatasetSource) -> DatasetSource:
    return declared.model_copy(
        update={"encoding": "utf-8", "delimiter": ",", "widths": [], "columns": [], "sheet": None}
    )


# zip -----------------------------------------------------------------------------------------------------------------


def _opened(path: Path, name: str) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DumpTruncated(f"{name} is not a whole zip file or workbook", fix=_AGAIN) from error
    if len(archive.infolist()) > _ENTRIES:
        archive.close()
        raise FileTooLarge(f"{name} holds more than {_ENTRIES:,} files", fix=_AGAIN)
    return archive


def _is_workbook(path: Path, name: str) -> bool:
    with _opened(path, name) as archive:
        return "[Content_Types].xml" in archive.namelist() or "content.xml" in archive.namelist()


def _member(path: Path, name: str, folder: Path) -> tuple[Path, str]:
    """The one file inside, unpacked."""
    with _opened(path, name) as archive:
        inside = [
            entry for entry in archive.infolist()
            if not entry.is_dir() and not entry.filename.startswith("__MACOSX/") and entry.file_size
        ]  # fmt: skip
        if len(inside) != 1:
            raise FileUnreadable(
                f"{name} holds {len(inside)} files, and one is read of each",
                fix="let the department pack each dump by itself, with a name that fits the pattern",
            )
        to = folder / "member"
        with to.open("wb") as out:
            for chunk in _inflated(archive, inside[0], name, INFLATED_BYTES):
                out.write(chunk)
    return to, name


def _inflated(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str, room: int) -> Iterator[bytes]:
    """What an entry holds, as long as it is no more than there is room for; its own word on its size is not believed."""
    try:
        with archive.open(entry) as stream:
            while chunk := stream.read(_CHUNK):
                room -= len(chunk)
                if room < 0:
                    raise FileTooLarge(
                        f"{name} holds more than {INFLATED_BYTES >> 20:,} MB when it is unpacked",
                        fix="let the department split it; if it should be small, it is damaged or was made to do harm",
                    )
                yield chunk
    except RuntimeError as error:  # zipfile's word for an entry that needs a password
        raise FileUnreadable(f"{name} is locked with a password", fix="let the department send it unlocked") from error
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, zlib.error) as error:
        raise DumpTruncated(f"{name} is damaged: what it holds can't be unpacked", fix=_AGAIN) from error


def _raise_if_bursting(path: Path, name: str) -> None:
    """Count the bytes and cells of a workbook without building it."""
    room, cells = INFLATED_BYTES, 0
    with _opened(path, name) as archive:
        for entry in archive.infolist():
            is_sheet, tail = entry.filename.startswith("xl/worksheets/"), b""
            for chunk in _inflated(archive, entry, name, room):
                room -= len(chunk)
                if is_sheet:
                    text = tail + chunk
                    cells += text.count(b"<c ") + text.count(b"<c>")
                    tail = text[-2:]
                    if cells > CELLS:
                        raise FileTooLarge(
                            f"{name} holds more than {CELLS:,} cells", fix="let the department split it, or export CSV"
                        )


# workbooks -----------------------------------------------------------------------------------------------------------


def _sheet(path: Path, name: str, declared: DatasetSource, to: Path) -> Plain:
    order = {
        "source": str(path.absolute()), "to": str(to.absolute()), "wanted": declared_columns(declared),
        "sheet": declared.sheet, "memory_bytes": _MEMORY_BYTES, "seconds": _CPU_S,
    }  # fmt: skip
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "connectors._workbook"]
    try:
        done = subprocess.run(
            command, input=json.dumps(order), cwd=root, capture_output=True, text=True, timeout=2 * _CPU_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _bursting(name) from error
    if done.returncode != 0:
        raise _bursting(name)
    said = json.loads(done.stdout)
    if "error" in said:
        raise FileUnreadable(
            f"{name}: {said['error']}",
            fix="let the department export it again, without a password; or correct sheet in the source file",
        )
    return Plain(to, _now_plain(declared), said["sheet"], said["above"])


def _bursting(name: str) -> FileTooLarge:
    return FileTooLarge(
        f"{name} needs more than {_MEMORY_BYTES >> 30} GB or {_CPU_S} s to be read as a workbook",
        fix="let the department clear unused rows and columns, split it, or export CSV",
    )


# lines without a header ----------------------------------------------------------------------------------------------


def _headed(path: Path, name: str, declared: DatasetSource, to: Path) -> Plain:
    if declared.widths and len(declared.widths) != len(declared.columns):
        raise SettingInvalid(
            f"widths names {len(declared.widths)} columns, and columns {len(declared.columns)}",
            fix="give each column of a file of fixed width a name and a width in bytes",
        )
    encoding = encoding_of(path, name, declared.encoding)
    with to.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(declared.columns)
        writer.writerows(_cut(path, encoding, declared.widths) if declared.widths else _split(path, encoding, declared))
    return Plain(to, _now_plain(declared), above=-1)


def _cut(path: Path, encoding: str, widths: Sequence[int]) -> Iterator[list[str]]:
    """Columns of so many bytes each. A line of another length is given whole: it has not the columns that it should."""
    width = sum(widths)
    with path.open("rb") as stream:
        for raw in stream:
            line = raw.rstrip(b"\r\n")
            if len(line) != width:
                yield [line.decode(encoding, "replace")]
                continue
            at, cells = 0, []
            for each in widths:
                cells.append(line[at : at + each].decode(encoding, "replace").strip())
                at += each
            yield cells


def _split(path: Path, encoding: str, declared: DatasetSource) -> Iterator[list[str]]:
    with path.open(encoding=encoding, newline="") as stream:
        delimiter = declared.delimiter
        for line in stream:
            if delimiter is None:
                count = len(declared.columns) - 1
                delimiter = next((each for each in DELIMITERS if line.count(each) in (count, count + 1)), ",")
            cells = next(csv.reader([line], delimiter=delimiter), [])
            yield cells[:-1] if len(cells) == len(declared.columns) + 1 and not cells[-1].strip() else cells
