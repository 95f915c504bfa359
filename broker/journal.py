"""Small durable state: a map kept as an append-only journal, one ``crc json`` line an update.

A cut-off last line is a write that a crash interrupted, and is dropped; a bad line before good ones is damage. The file
is rewritten when most of it is outdated.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from broker.errors import Code, Damaged, Refused
from broker.files import line, parse, write_atomic

log = logging.getLogger(__name__)


class Journal:
    """A durable map of text to JSON values; a Durable for the flusher.

    What it holds (groups, and the offsets that they committed) can be missed: clients join again, and begin where they are
    told to. So a damaged journal is set aside as ``<name>.damaged``, and begun anew with a warning.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data: dict[str, Any] = {}
        self._lines, self._size, self._failed = 0, 0, False
        if path.exists():
            try:
                self._read()
            except Damaged as damage:
                aside = path.with_name(path.name + ".damaged")
                path.replace(aside)
                self.data, self._lines = {}, 0
                log.warning("%s; it is kept as %s, and begun anew", damage, aside.name)
        self._fd = self._rewrite()

    def _read(self) -> None:
        raw, position = self.path.read_bytes().splitlines(keepends=True), 0
        for number, text in enumerate(raw):
            try:
                key, value = parse(text)
            except (ValueError, TypeError) as flaw:
                if number + 1 < len(raw):
                    raise Damaged(self.path, position, str(flaw)) from flaw
                log.warning("torn tail of %s: %d bytes dropped", self.path, len(text))
                return
            self._apply(key, value)
            position += len(text)

    def _apply(self, key: str, value: Any) -> None:
        self._lines += 1
        if value is None:
            self.data.pop(key, None)
        else:
            self.data[key] = value

    def _rewrite(self) -> int:
        data = b"".join(line([key, value]) for key, value in self.data.items())
        write_atomic(self.path, data)
        self._lines, self._size = len(self.data), len(data)
        return os.open(self.path, os.O_WRONLY)

    def put(self, items: Iterable[tuple[str, Any]]) -> None:
        """Set each key, or remove it where the value is None. Raises Refused, with nothing changed."""
        items = list(items)
        data = b"".join(line([key, value]) for key, value in items)
        try:
            if self._failed:
                raise OSError("an earlier sync failed")
            if os.pwrite(self._fd, data, self._size) != len(data):
                os.ftruncate(self._fd, self._size)
                raise OSError("the disk is full")
        except OSError as error:
            raise Refused(Code.COORDINATOR_NOT_AVAILABLE, f"{self.path}: {error}") from error
        self._size += len(data)
        for key, value in items:
            self._apply(key, value)

    def tidy(self) -> None:
        """Rewrite the file if most of its lines are outdated."""
        if self._lines > 1_000 + 10 * len(self.data) and not self._failed:
            outdated, self._fd = self._fd, self._rewrite()
            os.close(outdated)

    def sync_begins(self) -> tuple[int, int]:
        copy = os.dup(self._fd)  # the file may be rewritten meanwhile
        return copy, copy

    def sync_ended(self, mark: int, error: OSError | None) -> None:
        os.close(mark)
        if error:
            self._failed = True
            log.error("sync of %s failed, no more of it is acknowledged: %s", self.path, error)

    def confirm(self) -> None:
        """Raise Refused when a sync has failed."""
        if self._failed:
            raise Refused(Code.COORDINATOR_NOT_AVAILABLE, f"sync of {self.path} failed")

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)
