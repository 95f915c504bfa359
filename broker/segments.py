"""Segments: files of whole batches, each with a sparse index in a file beside it.

A segment ``<first offset>.<generation>.log`` has an index ``<first offset>.<generation>.index``: a line of JSON with its
CRC (bytes covered, next offset, greatest timestamp, checksum of the rest), then three arrays of int64: first offset,
position and greatest timestamp of each run of about 4 KiB. Compaction raises the generation.
"""

from __future__ import annotations

import os
import time
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from broker.batches import Header, NotABatch, walk
from broker.errors import Damaged
from broker.files import line, parse, write_atomic

_RUN_BYTES = 4_096
_HEAD = ("size", "end", "max_timestamp", "began_ms", "cleaned_ms", "tombstones")


class Slice(NamedTuple):
    """A run of whole batches in one segment."""

    segment: Segment
    start: int
    stop: int


class Segment:
    """One file of batches. ``readable`` is how many of its ``size`` bytes consumers may see."""

    def __init__(self, path: Path) -> None:
        base, generation, _ = path.name.split(".")
        self.path, self.base, self.generation = path, int(base), int(generation)
        self.size, self.readable, self.end, self.max_timestamp = 0, 0, self.base, -1
        self.began_ms: int | None = None
        self.cleaned_ms: int | None = None
        self.tombstones = False
        self._bases, self._positions, self._timestamps = array("q"), array("q"), array("q")
        self._lazy = False
        self._pins, self._removed = 0, False
        self.fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)

    @property
    def index_path(self) -> Path:
        """The file of the index."""
        return self.path.with_suffix(".index")

    def note(self, header: Header, base: int) -> None:
        """Count in a batch that was written at the end, at offset ``base``."""
        self._load()
        if self.began_ms is None:
            self.began_ms = int(time.time() * 1_000)
        if not self._positions or self.size - self._positions[-1] >= _RUN_BYTES:
            self._bases.append(base)
            self._positions.append(self.size)
            self._timestamps.append(header.max_timestamp)
        elif header.max_timestamp > self._timestamps[-1]:
            self._timestamps[-1] = header.max_timestamp
        self.size += header.size
        self.end = base + header.last_delta + 1
        self.max_timestamp = max(self.max_timestamp, header.max_timestamp)

    # -- the index file -----------------------------------------------------------------------------------------------

    def index(self) -> bytes:
        """The content of the index file, as of now."""
        self._load()
        arrays = b"".join(numbers.tobytes() for numbers in (self._bases, self._positions, self._timestamps))
        head = {name: getattr(self, name) for name in _HEAD}
        return line(head | {"crc": zlib.crc32(arrays)}) + arrays

    def write_index(self) -> None:
        """Keep the index for the next start. The segment itself has to be durable before."""
        write_atomic(self.index_path, self.index())

    def read_head(self) -> bool:
        """Take size, end and greatest timestamp from the index file; False if there is none to trust.

        Raises Damaged when the segment is shorter than what is known to have been durable.
        """
        try:
            with self.index_path.open("rb") as file:
                head: dict[str, Any] = parse(file.readline())
        except (FileNotFoundError, ValueError):
            return False
        size = os.fstat(self.fd).st_size
        if size < head["size"]:
            raise Damaged(self.path, size, f"{head['size'] - size} bytes that were durable are missing")
        for name in _HEAD:
            setattr(self, name, head[name])
        self.readable, self._lazy = self.size, True
        return True

    def _load(self) -> None:
        """Read the arrays when they are first needed; an index that doesn't fit its checksum is made anew."""
        if not self._lazy:
            return
        self._lazy = False
        arrays = self._read_arrays()
        if arrays is not None:
            third = len(arrays) // 3
            for number, into in enumerate((self._bases, self._positions, self._timestamps)):
                into.frombytes(arrays[number * third : (number + 1) * third])
            return
        stop, end = self.size, self.end
        self.size = 0
        for _, header in self.walk(0, stop, checked=False):
            self.note(header, header.base)
        self.end = end

    def _read_arrays(self) -> bytes | None:
        try:
            head, _, arrays = self.index_path.read_bytes().partition(b"\n")
            return arrays if zlib.crc32(arrays) == parse(head + b"\n")["crc"] else None
        except (FileNotFoundError, ValueError):
            return None

    # -- reading ------------------------------------------------------------------------------------------------------

    def walk(
        self, position: int, stop: int, *, checked: bool, window_bytes: int = 1 << 20
    ) -> Iterator[tuple[int, Header]]:
        """(position, header) of each batch. Raises Damaged at the first that is not whole and, if checked, intact."""
        try:
            yield from walk(self.fd, position, stop, checked=checked, window_bytes=window_bytes)
        except NotABatch as flaw:
            raise Damaged(self.path, flaw.position, flaw.why) from flaw

    def _headers(self, run: int) -> Iterator[tuple[int, Header]]:
        """The readable batches from the begin of a run on."""
        return self.walk(self._positions[run], self.readable, checked=False, window_bytes=2 * _RUN_BYTES)

    def locate(self, offset: int, max_bytes: int) -> Slice | None:
        """Whole readable batches from the one that holds ``offset`` or follows it, at least one; None at the end."""
        self._load()
        run = max(bisect_right(self._bases, offset) - 1, 0)
        if run >= len(self._bases):
            return None
        for position, header in self._headers(run):
            if header.next > offset:
                return Slice(self, position, max(position + header.size, self._boundary(position + max_bytes)))
        return None

    def _boundary(self, position: int) -> int:
        """The last place at or before a position that is known to lie between batches."""
        if position >= self.readable:
            return self.readable
        return min(self._positions[bisect_right(self._positions, position) - 1], self.readable)

    def at_time(self, timestamp: int) -> tuple[int, Header] | None:
        """(position, header) of the first readable batch with a record at or after this time."""
        self._load()
        for run, latest in enumerate(self._timestamps):
            if latest >= timestamp:
                for position, header in self._headers(run):
                    if header.max_timestamp >= timestamp:
                        return position, header
        return None

    # -- the file's life ----------------------------------------------------------------------------------------------

    def pin(self) -> int:
        """Keep the file open while another thread works with it; gives its descriptor."""
        self._pins += 1
        return self.fd

    def unpin(self) -> None:
        """Undo one ``pin``."""
        self._pins -= 1
        if self._removed and not self._pins:
            os.close(self.fd)

    def close(self) -> None:
        """Close the file as soon as nobody works with it."""
        self._removed = True
        if not self._pins:
            os.close(self.fd)

    def remove(self) -> None:
        """Close and delete the files."""
        self.path.unlink(missing_ok=True)
        self.index_path.unlink(missing_ok=True)
        self.close()
