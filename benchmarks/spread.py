"""Figures of several runs: their median, with least and greatest beside; and percentiles of one run."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple


class Figure(NamedTuple):
    """What one run gave, and the seconds of the calibration loop beside it: the mean of before and after."""

    value: float
    calibration_s: float


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """p50, p95 and p99: the smallest value that so many of a hundred do not exceed. Raises ValueError without values."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values, no percentiles")
    return {f"p{part}": ordered[max(0, -(-len(ordered) * part // 100) - 1)] for part in (50, 95, 99)}


def spread(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Median, least and greatest of the runs, and each run in its order."""
    return {
        "median": round(median(values), digits),
        "min": round(min(values), digits),
        "max": round(max(values), digits),
        "runs": [round(value, digits) for value in values],
    }


def spread_of(figures: Sequence[Figure], unit: str, digits: int = 0) -> dict[str, Any]:
    """The same of figures, with the calibration of each run."""
    return {
        "unit": unit,
        **spread([figure.value for figure in figures], digits),
        "calibration_s": [round(figure.calibration_s, 3) for figure in figures],
    }


def ratios(ours: Sequence[Figure], theirs: Sequence[Figure]) -> list[float]:
    """Ours over theirs, run by run: the two of a run stood next to each other in time."""
    return [mine.value / other.value for mine, other in zip(ours, theirs, strict=True)]
