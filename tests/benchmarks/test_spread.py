"""Figures of runs, and what is made of them."""

from __future__ import annotations

import pytest

from benchmarks.spread import Figure, percentiles, ratios, spread, spread_of


def test_percentiles_are_values_that_were_measured():
    assert percentiles(range(1, 101)) == {"p50": 50, "p95": 95, "p99": 99}
    assert percentiles([7.0]) == {"p50": 7.0, "p95": 7.0, "p99": 7.0}
    assert percentiles([4, 1, 3, 2]) == {"p50": 2, "p95": 4, "p99": 4}


def test_without_values_there_are_no_percentiles():
    with pytest.raises(ValueError, match="no values"):
        percentiles([])


def test_a_spread_keeps_each_run_in_its_order():
    assert spread([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "runs": [3.0, 1.0, 2.0]}


def test_each_figure_stands_beside_its_calibration():
    told = spread_of([Figure(1_000, 0.5), Figure(3_000, 0.25)], "rows/s")
    assert (told["unit"], told["median"], told["calibration_s"]) == ("rows/s", 2_000, [0.5, 0.25])


def test_ratios_are_made_within_a_run():
    fast, slow = Figure(4_000, 0.2), Figure(1_000, 0.8)
    assert ratios([fast, slow], [Figure(2_000, 0.2), Figure(500, 0.8)]) == [2.0, 2.0]


def test_a_run_that_is_missing_on_one_side_is_no_ratio():
    with pytest.raises(ValueError, match="shorter"):
        ratios([Figure(1, 1), Figure(1, 1)], [Figure(1, 1)])
