"""The record batch of Kafka's message format 2: its 61-byte header, as far as a broker needs it.

    base offset int64 | length int32 | leader epoch int32 | magic int8 | crc uint32 |
    attributes int16 | last offset delta int32 | first timestamp int64 | max timestamp int64 |
    producer id int64 | producer epoch int16 | base sequence int32 | record count int32 | records …

The CRC-32C covers everything from the attributes on, so a broker may write base offset and leader epoch without
touching the rest: batches stay opaque, compressed or not.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import NamedTuple

from crc32c import crc32c

HEADER = struct.Struct(">qiibIhiqqqhii")
PREFIX = struct.Struct(">qii")  # base offset, length, leader epoch: what a broker writes
CONTROL, TRANSACTIONAL = 0x20, 0x10
_LENGTH_ENDS, _MAGIC_AT, CRC_FROM = 12, 16, 21


class Header(NamedTuple):
    """A batch header."""

    base: int
    length: int
    leader_epoch: int
    magic: int
    crc: int
    attributes: int
    last_delta: int
    first_timestamp: int
    max_timestamp: int
    producer_id: int
    producer_epoch: int
    sequence: int
    records: int

    @property
    def size(self) -> int:
        """Bytes of the whole batch."""
        return self.length + _LENGTH_ENDS

    @property
    def next(self) -> int:
        """The offset after the batch."""
        return self.base + self.last_delta + 1


class NotABatch(ValueError):
    """The bytes at ``position`` are no whole, intact batch of format 2."""

    def __init__(self, position: int, why: str) -> None:
        super().__init__(why)
        self.position, self.why = position, why


def read_header(data: bytes | memoryview, position: int, stop: int) -> Header:
    """The header at this position of data that goes on to ``stop``. Raises NotABatch when no batch fits in there."""
    if stop - position < HEADER.size:
        raise NotABatch(position, "cut off inside a header")
    header = Header(*HEADER.unpack_from(data, position))
    if header.magic != 2:
        raise NotABatch(position, f"message format {header.magic}, not 2")
    if header.size < HEADER.size or header.last_delta < 0 or header.base < 0:
        raise NotABatch(position, "impossible numbers in a header")
    if position + header.size > stop:
        raise NotABatch(position, "cut off inside a batch")
    return header


def intact(data: memoryview, position: int, header: Header) -> bool:
    """Whether the batch is as its producer made it."""
    return bool(crc32c(data[position + CRC_FROM : position + header.size]) == header.crc)


def check(data: bytes) -> None:
    """Raise NotABatch unless the data consists of whole, intact batches."""
    position, view = 0, memoryview(data)
    while position < len(data):
        header = read_header(view, position, len(data))
        if not intact(view, position, header):
            raise NotABatch(position, "the checksum does not fit")
        position += header.size


def walk(fd: int, position: int, stop: int, *, checked: bool, window_bytes: int) -> Iterator[tuple[int, Header]]:
    """(position, header) of each batch of a file, holding a window of it in memory.

    Raises NotABatch at the first that is not whole, or whose checksum does not fit where it is ``checked``.
    """
    window, begin = memoryview(b""), position
    while position < stop:
        if begin + len(window) - position < HEADER.size:
            window, begin = memoryview(os.pread(fd, min(window_bytes, stop - position), position)), position
        try:
            header = read_header(window, position - begin, stop - begin)
        except NotABatch as flaw:
            raise NotABatch(position, flaw.why) from None
        if checked:
            if begin + len(window) < position + header.size:
                window, begin = memoryview(os.pread(fd, max(window_bytes, header.size), position)), position
            if not intact(window, position - begin, header):
                raise NotABatch(position, "the checksum does not fit")
        yield position, header
        position += header.size
        if position >= begin + len(window):
            window, begin = memoryview(b""), position


def follows(data: bytes, expected: int) -> bool:
    """Whether a whole, intact batch starts anywhere in the data, with an offset that may follow ``expected``."""
    view, at = memoryview(data), _MAGIC_AT
    while (at := data.find(b"\x02", at)) >= 0:
        start = at - _MAGIC_AT
        at += 1
        try:
            header = read_header(view, start, len(data))
        except NotABatch:
            continue
        if expected <= header.base < expected + (1 << 32) and intact(view, start, header):
            return True
    return False
