"""What a fault is: a thing that goes wrong for a while. Each knows its nemesis, what it needs, and what the status has to say."""

from __future__ import annotations

import random
from typing import ClassVar

from chaos.town import NotPossible, Town

BOTH = ("embedded", "services")


class Fault:
    """One fault. ``begin`` injects it and says what it hit; after ``seconds`` ``end`` takes it back.

    ``shows``: codes of which the status has to say one if it lasts longer than 15 s. ``rolls_back``: the view may step back
    meanwhile. ``limit_s``: how long to wait for the end of its recovery.
    """

    nemesis: ClassVar[str]
    title: ClassVar[str]
    weight: ClassVar[float] = 10.0
    on: ClassVar[tuple[str, ...]] = BOTH
    shows: tuple[str, ...] = ()
    rolls_back: ClassVar[bool] = False

    def __init__(self, town: Town, rng: random.Random) -> None:
        self.town, self.rng = town, rng
        self.seconds = 0.0

    @staticmethod
    def missing() -> str | None:
        """Why it can't be injected here; None when it can."""
        return None

    def begin(self) -> str:
        raise NotImplementedError

    def end(self) -> None:
        """Take it back; nothing to do for a kill."""


__all__ = ["BOTH", "Fault", "NotPossible", "Town"]
