"""The document of a run and its page, made from given figures."""

from __future__ import annotations

import json
import re

import pytest

from benchmarks import report, results
from benchmarks.spread import Figure, ratios, spread, spread_of

ABOUT = {
    "made_at": "2026-11-27T12:00:00Z",
    "runs": 3,
    "quick": False,
    "machine": {"cores": 2, "system": "Linux", "memory_gib": 24},
    "versions": {"debezium": "3.5.0.Final"},
    "services": {"postgres": {"fsync": "on"}, "kafka_heap_mb": 512},
}


def figures(*values):
    return [Figure(value, 0.4) for value in values]


def latency(*p50s):
    runs = [{"rate": 200, "changes": 3_000, "p50": p50, "p95": 2 * p50, "p99": 3 * p50} for p50 in p50s]
    return {part: spread([run[part] for run in runs], 1) for part in ("p50", "p95", "p99")} | {"runs": runs}


def process(most):
    return {"most_mb": most, "second_quarter_mb": most, "last_quarter_mb": most, "growth": 1.0}


@pytest.fixture
def parts():
    ours, sink = figures(30_000, 28_000, 33_000), figures(15_000, 20_000, 15_000)
    return [
        {
            "figures": {"topic_to_view": {"onewindow": spread_of(ours, "rows/s"), "jdbc_sink": spread_of(sink, "rows/s")}},
            "ratios": {"topic_to_view_vs_jdbc_sink": spread(ratios(ours, sink))},
            "settings": {"topic_to_view": {"records": 300_000}},
            "sweeps": {"jdbc_sink": {"batch.size = 500": 9_000}},
        },
        {
            "latency": {"200/s": {"onewindow": latency(50, 60, 90), "debezium": latency(150, 100, 150)}},
            "memory": {"debezium, run 1": {"processes": {"connect": process(800)}, "together_mb": 1_200}},
            "sweeps": {"source": {"poll.interval.ms = 10": {"p50": 135, "p99": 426}}},
        },
        {"growth": {"cost_ratio": 1.3, "steps": [{"events": 1_000_000, "rate": 9_000, "cpu_us": 80.0},
                                                 {"events": 2_000_000, "rate": 8_000, "cpu_us": 104.0}],
                    "memory": {"processes": {"projections": process(200)}, "together_mb": 200}}},
        {"city": {"residents": 20_000, "processes": {"broker": process(60)}, "together_mb": 600}},
    ]  # fmt: skip


@pytest.fixture
def found(parts):
    return results.document(parts, [0.3, 0.5, 0.4], ABOUT)


def test_medians_stand_on_top_with_the_spread_beside(found):
    assert found["topic_to_view_vs_jdbc_sink"] == 2.0
    assert found["spread"]["topic_to_view_vs_jdbc_sink"]["runs"] == [2.0, 1.4, 2.2]
    assert found["calibration_s"] == 0.4
    assert found["latency_ms"] == {
        "onewindow": {"p50": 60, "p95": 120, "p99": 180},
        "debezium": {"p50": 150, "p95": 300, "p99": 450},
    }


def test_the_parts_of_a_run_are_joined_and_none_lost(found):
    assert set(found["sweeps"]) == {"jdbc_sink", "source"}
    assert found["figures"]["topic_to_view"]["onewindow"]["median"] == 30_000


def test_goals_are_judged_by_their_direction(found):
    judged = {goal["name"]: (goal["value"], goal["met"]) for goal in found["goals"]}
    assert judged == {
        "topic_to_view_vs_jdbc_sink": (2.0, True),
        "latency_p50_vs_debezium": (0.6, False),  # of 50/150, 60/100, 90/150
        "latency_p99_vs_debezium": (0.6, False),
        "cost_growth": (1.3, False),
        "city_memory_vs_kafka_connect": (0.5, True),
    }


def test_each_goal_has_a_name_of_its_own():
    names = [goal.name for goal in results.GOALS]
    assert len(set(names)) == len(names)


def test_the_page_shows_what_the_document_holds(found, tmp_path):
    report.write(json.loads(json.dumps(found)), tmp_path / "benchmarks.md")
    text = (tmp_path / "benchmarks.md").read_text(encoding="utf-8")
    for shown in ("30,000", "2.00, 1.40, 2.20", "60 (50 to 90)", "| debezium | 3.5.0.Final |", "1,000,000", "135 ms"):
        assert shown in text
    plots = re.findall(r"\]\((.*?\.svg)\)", text)
    assert len(plots) == 3
    for plot in plots:
        assert (tmp_path / plot).read_text().count("<svg") == 1


def test_the_page_says_what_keeps_a_missed_goal_from_being_met(found):
    causes = {goal.name: goal.cause for goal in results.GOALS}
    text = report.page(found)
    missed = [goal["name"] for goal in found["goals"] if not goal["met"]]
    assert "latency_p50_vs_debezium" in missed
    assert all(text.count(causes[name]) == 1 for name in missed)
    assert causes["topic_to_view_vs_jdbc_sink"] not in text  # that one is met


def test_the_same_document_gives_the_same_plots(found, tmp_path):
    pages = [tmp_path / name for name in ("first", "second")]
    for page in pages:
        page.mkdir()
        report.write(found, page / "benchmarks.md")
    for plot in pages[0].iterdir():
        assert plot.read_bytes() == (pages[1] / plot.name).read_bytes()


def test_the_page_in_docs_is_made_from_the_results_in_the_folder():
    assert report.PAGE.read_text(encoding="utf-8") == report.page(results.read())
