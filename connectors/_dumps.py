"""One full dump in a file: its encoding, delimiter and header, whether it is whole, and its rows.

Departments export CSV in GBK, GB18030 or UTF-8, with or without BOM, comma, semicolon, tab or bar between the columns. A
file is looked at from beginning to end before anything of it is used, in bounded memory.

One stray quote makes a single value of everything up to the next one, other people's rows included. A value like that is
recognised by its lines, which are rows; then the line that it began in is unreadable, and the lines inside are read anew.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from charset_normalizer import from_bytes

from connectors.values import declared_columns
from contracts.citizen import masked
from contracts.errors import DumpTruncated, FileColumnsWrong, FileEncodingWrong, SettingInvalid
from contracts.sources import DatasetSource

DELIMITERS = ",;\t|"
CHUNK = 1 << 20
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_GUESSED = ("big5", "big5hkscs", "utf_16_le", "utf_16_be", "utf_32")  # a single-byte encoding "fits" any bytes at all
# Each encodes less than the one beside it: what the smaller can't read, the larger may.
_LARGER = {"gbk": "gb18030", "gb2312": "gb18030", "cp936": "gb18030", "utf_8": "utf-8-sig"}


@dataclass(frozen=True, slots=True)
class Shape:
    """What a whole dump looks like. ``rows`` counts those that are not blank, the header aside."""

    encoding: str
    delimiter: str
    header: tuple[str, ...]
    rows: int
    final_newline: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One row of a dump. ``number`` counts from the header, which is 1, as a spreadsheet shows it.

    ``values`` is None when the row has not as many columns as the header, or a stray quote; ``raw`` are its values as they
    are.
    """

    number: int
    values: Sequence[str] | None
    raw: Sequence[str]


def examine(path: Path, name: str, declared: DatasetSource) -> Shape:
    """The shape of the dump at ``path``, called ``name`` in messages.

    Raises DumpTruncated, FileEncodingWrong, FileColumnsWrong; SettingInvalid for an encoding that does not exist.
    """
    if path.stat().st_size == 0:
        raise _truncated(name, "it is empty")
    encoding = encoding_of(path, name, declared.encoding)
    wanted = declared_columns(declared)
    first = _first_line(path, encoding)
    delimiter = declared.delimiter or _delimiter(first, wanted)
    header = _header(first, delimiter)
    if not first.strip():
        raise _truncated(name, "it has no header")
    if not set(wanted) & set(header):
        _raise_if_readable_otherwise(path, name, wanted, encoding)
        raise _truncated(name, f"its first row is no header: it names none of the columns {', '.join(wanted)}")
    if missing := [column for column in wanted if column not in header]:  # what is not declared may be a person's data
        raise FileColumnsWrong(
            f"{name} lacks the columns {', '.join(missing)}; of its {len(header)} columns, these are declared:"
            f" {', '.join(column for column in header if column in wanted)}",
            fix="let the department export them again, with a header, or correct key and map in the source file",
        )
    if twice := sorted({column for column in wanted if header.count(column) > 1}):
        raise FileColumnsWrong(
            f"{name} has the columns {', '.join(twice)} more than once",
            fix="let the department export each column once",
        )
    shape = Shape(encoding, delimiter, header, 0, _ends_in_newline(path, encoding))
    count, last = 0, None
    for line in lines(path, shape):
        count, last = count + 1, line
    if last is None:
        raise _truncated(name, "it holds a header and no row")
    if last.values is None and len(last.raw) != len(header):
        raise _truncated(name, f"its last row (row {last.number}) has {len(last.raw)} of {len(header)} columns")
    if last.raw[-1].endswith(("\n", "\r")) and not _tail(path, encoding).endswith('"'):
        raise _truncated(name, f"it ends inside a quoted value that began in row {last.number}")
    return Shape(encoding, delimiter, header, count, shape.final_newline)


def _raise_if_readable_otherwise(path: Path, name: str, wanted: Sequence[str], encoding: str) -> None:
    """Many bytes of UTF-8 are characters of GBK too: a header that makes sense in the other says which it is."""
    for other in ("utf-8-sig", "gb18030"):
        if other != encoding and _undecodable(path, other) is None:
            first = _first_line(path, other)
            if set(wanted) & set(_header(first, _delimiter(first, wanted))):
                raise FileEncodingWrong(
                    f"{name} is declared as {encoding}, but reads as {other}",
                    fix=f"declare encoding: {other} in the source file, or let the department export it again",
                )


def lines(path: Path, shape: Shape) -> Iterator[Line]:
    """The rows of a dump in order, blank ones left out."""
    width = len(shape.header)
    with path.open(encoding=shape.encoding, newline="") as stream:
        number = 0
        for raw, sound in _records(stream, shape.delimiter, width):
            number += 1
            if number == 1 or not any(value.strip() for value in raw):
                continue
            values = raw if len(raw) == width or any(raw[width:]) else raw[:width]
            yield Line(number, values if sound and len(values) == width else None, raw)


def count_rows(path: Path) -> int:
    """About how many rows a file has that will not be read: its lines without the header."""
    with path.open("rb") as stream:
        return max(0, sum(1 for line in stream if line.strip()) - 1)


def peek(path: Path, declared: DatasetSource | None) -> tuple[tuple[str, ...], int | None]:
    """Header and rows of any file as far as they can be made out, for discovery."""
    try:
        encoding = encoding_of(path, path.name, declared.encoding if declared else None)
        first = _first_line(path, encoding)
    except (FileEncodingWrong, OSError):
        return (), None
    wanted = declared_columns(declared) if declared else ()
    header = _header(first, (declared and declared.delimiter) or _delimiter(first, wanted))
    return tuple(masked(column) for column in header), count_rows(path)


class _Lines:
    """The lines of a file; those of a record that should not have been one can be given back, to be read anew."""

    def __init__(self, stream: Iterator[str]) -> None:
        self._stream, self._back = stream, deque[str]()
        self.taken: list[str] = []
        self.anew = False
        """Whether the record at hand began in a line that was given back."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._back.popleft() if self._back else next(self._stream)
        self.taken.append(line)
        return line

    def begin(self) -> None:
        """The next line begins a record."""
        self.taken, self.anew = [], bool(self._back)

    def give_back(self) -> str:
        """All lines of the record but its first, which is returned."""
        self._back.extendleft(reversed(self.taken[1:]))
        return self.taken[0]


def _records(stream: Iterator[str], delimiter: str, width: int) -> Iterator[tuple[list[str], bool]]:
    """The values of each record, and False where a stray quote stands in it."""
    source = _Lines(stream)
    reader = csv.reader(source, delimiter=delimiter)
    while True:
        source.begin()
        try:
            raw = next(reader)
            values = raw
        except StopIteration:
            return
        except csv.Error as error:  # a field past the limit of 128 KiB: most likely a quote that is never closed
            raw, values = [f"unreadable: {error}"], ["".join(source.taken)]
        if len(source.taken) > 1 and _holds_rows(values, delimiter, width):
            yield source.give_back().rstrip("\r\n").split(delimiter), False
        else:
            stray = source.anew and len(source.taken) == 1 and source.taken[0].count('"') % 2 == 1
            yield raw, not stray


def _holds_rows(values: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether one of the values of a record is made of rows: from a stray quote in one row to a stray quote in another.

    Then a line in its midst has as many columns as the header; or its first line has all columns of a row from this one
    on, and its last line all of a row up to the column in which the record goes on.
    """
    for index, value in enumerate(values):
        if "\n" not in value and "\r" not in value:
            continue
        columns = [line.count(delimiter) + 1 for line in re.split("\r\n|\r|\n", value)]
        ends_in = index + width - len(values)
        if max(columns[1:-1], default=0) >= max(2, width) or (
            columns[0] >= width - index and columns[-1] >= max(2, ends_in + 1)
        ):
            return True
    return False


def encoding_of(path: Path, name: str, declared: str | None) -> str:
    """What its text is written in. Raises FileEncodingWrong, SettingInvalid."""
    with path.open("rb") as stream:
        head = stream.read(4)
    marked = next((encoding for bom, encoding in _BOMS if head.startswith(bom)), None)
    if marked:
        candidates = [marked]
    elif declared:
        try:
            known = codecs.lookup(declared).name.replace("-", "_")
        except LookupError as error:
            raise SettingInvalid(
                f"there is no encoding {declared!r}", fix="set encoding to gb18030 or utf-8"
            ) from error
        candidates = [_LARGER.get(known, declared)]
    else:
        candidates = ["utf-8-sig", "gb18030"]  # hardly any GBK text is UTF-8 by chance, but UTF-8 often is valid GBK
        with path.open("rb") as stream:
            guess = from_bytes(stream.read(CHUNK // 4)).best()
        if guess is not None and guess.encoding in _GUESSED:
            candidates.append(guess.encoding)
    flaws = [(encoding, _undecodable(path, encoding)) for encoding in candidates]
    for encoding, flaw in flaws:
        if flaw is None:
            return encoding
    tried, at = flaws[0]
    raise FileEncodingWrong(
        f"{name} is not {' nor '.join(encoding for encoding, _ in flaws)}: {tried} fails at byte {at}",
        fix="declare its encoding in the source file, or let the department export it again",
    )


def _undecodable(path: Path, encoding: str) -> int | None:
    """The byte at which the file can't be decoded, or None."""
    decoder, done = codecs.getincrementaldecoder(encoding)("strict"), 0
    with path.open("rb") as stream:
        while True:
            chunk = stream.read(CHUNK)
            try:
                decoder.decode(chunk, final=not chunk)
            except UnicodeError as error:
                return done + int(getattr(error, "start", 0))
            if not chunk:
                return None
            done += len(chunk)


def _first_line(path: Path, encoding: str) -> str:
    with path.open(encoding=encoding, newline="") as stream:
        return stream.readline(CHUNK)


def _header(line: str, delimiter: str) -> tuple[str, ...]:
    names = [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]
    while names and not names[-1]:  # a delimiter at the end of each row
        names.pop()
    return tuple(names)


def _delimiter(line: str, wanted: Sequence[str]) -> str:
    """The one that makes most of the declared columns out of the header; csv.Sniffer where none does."""
    best = max(DELIMITERS, key=lambda one: len(set(wanted) & set(_header(line, one))))
    if set(wanted) & set(_header(line, best)):
        return best
    try:
        return csv.Sniffer().sniff(line, DELIMITERS).delimiter
    except csv.Error:
        return ","


def _tail(path: Path, encoding: str) -> str:
    """The last characters, without white space."""
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 256))
        return stream.read().decode(encoding, "replace").rstrip()


def _ends_in_newline(path: Path, encoding: str) -> bool:
    newline = "\n".encode("utf-16-le" if encoding == "utf-16" else "ascii")
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 2))
        return stream.read().rstrip(b"\r").strip(b"\0").endswith(newline.strip(b"\0"))


def _truncated(name: str, why: str) -> DumpTruncated:
    return DumpTruncated(
        f"{name} is not a whole dump: {why}",
        fix="let the department export and upload it again; nothing of it was read, and nobody was deleted",
    )
