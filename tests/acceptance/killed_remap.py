"""Runs ``onewindow remap`` in small steps, and kills it with SIGKILL in one of them, before or after its commit.

python killed_remap.py DIRECTORY DATASET STEP before|after
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from onewindow.remapping import remap
from onewindow.settings import Deployment
from streams import remap as steps
from streams.remap import Remap
from streams.store import Store

DIRECTORY, DATASET, STEP, WHERE = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4]
taken = [0]
real_step, real_note = Remap.step, Store.note_remap


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def step(self: Remap) -> Any:
    taken[0] += 1
    outcome = real_step(self)
    if taken[0] == STEP:
        die()
    return outcome


def note(self: Store, *arguments: Any, **named: Any) -> None:
    real_note(self, *arguments, **named)
    if taken[0] == STEP and WHERE == "before":
        die()


steps.STEP = 20
Remap.step, Store.note_remap = step, note  # type: ignore[method-assign]
remap(Deployment(DIRECTORY), DATASET)
