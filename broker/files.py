"""Writing small files so that a crash or a flipped bit can be told from good content."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path
from typing import Any

from broker.errors import Damaged


def sync_directory(path: Path) -> None:
    """Make new names and renames in a directory durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file so that a crash leaves the old or the new content, never a mixture."""
    temporary = path.with_name(path.name + ".tmp")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_directory(path.parent)


def line(value: Any) -> bytes:
    """A JSON value as one line, led by its CRC-32 in hexadecimal digits."""
    body = json.dumps(value, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def parse(raw: bytes) -> Any:
    """The value of a ``line``. Raises ValueError when it is cut off or does not fit its CRC."""
    body = raw[9:-1]
    if raw[-1:] != b"\n" or raw[:9] != b"%08x " % zlib.crc32(body):
        raise ValueError("the checksum does not fit")
    return json.loads(body)


def read_state(path: Path) -> Any:
    """The value of a file of one line, None if there is no such file. Raises Damaged."""
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as flaw:
        raise Damaged(path, 0, str(flaw)) from flaw
