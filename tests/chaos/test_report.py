"""The page keeps the section of the services that did not run; figures are those of the history."""

from __future__ import annotations

import random
from types import SimpleNamespace

from chaos.conductor import drawn
from chaos.faults import FAULTS
from chaos.history import History, load
from chaos.invariants import Violation
from chaos.report import Recovery, put, section, summary, write_report

PAGE = "# Reliability\n\nWords.\n\n## A\n\nold a\n\n## B\n\nold b\n\n## Limits\n\nlast\n"


def test_a_section_is_replaced_and_the_others_stay():
    page = put(PAGE, "A", "## A\n\nnew a\n")
    assert page == PAGE.replace("old a", "new a")
    assert put(page, "B", "## B\n\nnew b\n") == page.replace("old b", "new b")


def test_a_section_that_was_not_there_comes_last():
    assert put("# Reliability\n", "A", "## A\n\na\n") == "# Reliability\n\n## A\n\na\n"


def test_quantiles_are_by_nearest_rank():
    kind = Recovery("N1", "kill", [5.0, 1.0, 3.0, 2.0, 4.0])
    assert (kind.quantile(0.5), kind.quantile(0.95)) == (3.0, 5.0)


def fault(history, phase, number, title, **more):
    history.add("fault", phase=phase, number=number, nemesis="N1", title=title, **more)


def run(tmp_path):
    history = History(tmp_path / "history.jsonl")
    history.add("made", changes=12)
    history.add("read", lag={"hrss.pension": 0.5}, repeated=3)
    fault(history, "begin", 1, "kill", target="streams")
    fault(history, "end", 1, "kill")
    fault(history, "normal", 1, "kill", took=1.5)
    fault(history, "impossible", 2, "slot", why="in use")
    fault(history, "normal", 2, "slot", took=0.1)
    history.add("read", lag={"hrss.pension": 0.7}, repeated=4)
    history.add("resources", roles={"streams": {"rss_mb": 90.0, "files": 20, "pid": 1}})
    history.close()
    assert load(history.path) == history.entries
    violations = [Violation("I4", "nonmonotonic-poll", 1.0, "it went back")]
    return summary(
        "embedded", 7, 2, {"broker": "x"}, history.entries, violations, SimpleNamespace(left_out={"disk": "no root"})
    )


def test_a_run_is_counted(tmp_path):
    found = run(tmp_path)
    document = found.document()
    assert (document["faults"], document["changes"], document["reads"], document["violations"]) == (1, 12, 2, 1)
    assert document["repeats_dropped"] == 4
    assert document["left_out"] == {"disk": "no root", "slot (1 times)": "in use"}
    text = section(found, "plot.svg")
    assert "| N1 | kill | 1 | 1.5 | 1.5 | 1.5 |" in text
    assert "I4: no reader sees a position or revision go back | 1 |" in text
    assert "it went back" in text


def test_the_report_has_a_plot_beside_it(tmp_path):
    page = tmp_path / "reliability.md"
    page.write_text(PAGE)
    write_report(page, run(tmp_path))
    assert "old b" in page.read_text()
    assert "reliability-embedded.svg" in page.read_text()
    assert "<svg" in (tmp_path / "reliability-embedded.svg").read_text()


def test_a_seed_draws_the_same_faults_and_each_kind_comes_first_once():
    def draw(seed):
        rng = random.Random(seed)
        first = rng.sample(FAULTS, len(FAULTS))
        return [drawn(rng, FAULTS, first) for _ in range(100)]

    assert draw(1) == draw(1) != draw(2)
    assert set(draw(1)[: len(FAULTS)]) == set(FAULTS)
