"""What the registers that are dropped into folders have in common: a month each, and a file that is seen when it is whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.city.people import TODAY

_MONTHS = 20


def month_of(number: int) -> tuple[int, int]:
    """Year and month of dump ``number``: one a month, from January 2025 to August 2026, which is then put right again and
    again. A city that runs for long would come to months that have not been yet, and no reader takes their dumps."""
    month = min(number, _MONTHS - 1)
    return TODAY.year + month // 12, month % 12 + 1


@contextmanager
def replaced(folder: Path, name: str) -> Iterator[Path]:
    """A file of this folder, to be written beside it first: it gets its name, and takes the place of one with that name, when
    it is whole."""
    folder.mkdir(parents=True, exist_ok=True)
    beside = folder.parent / (name + ".part")
    yield beside
    beside.replace(folder / name)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
