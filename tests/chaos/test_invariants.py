"""Each checker finds its anomaly in a history that was written by hand, and nothing in a good one."""

from __future__ import annotations

import pytest

from chaos import invariants
from chaos.invariants import Logged, as_meant, balanced, log_order, no_gap

A, B = "hrss.pension/a", "ageing.elder/b"
HELD_STILL = {"residents": 0, "records": 0}


def read(at, **changed):
    entry = {
        "kind": "read", "at": at, "begun": at - 0.01, "sums": dict(HELD_STILL), "orphans": {"nobody's records": 0},
        "positions": {}, "records": {}, "gone": [], "lag": {}, "flows": True,
    }  # fmt: skip
    return entry | changed


def look(at, state="healthy", problems=None, sources=None, outbox=0):
    return {
        "kind": "status", "at": at, "begun": at - 0.1, "state": state, "problems": problems or {},
        "sources": sources or {}, "outbox": outbox, "behind": 0,
    }  # fmt: skip


def fault(at, phase, number=1, **more):
    return {"kind": "fault", "at": at, "phase": phase, "number": number, "nemesis": "N1", "title": "a fault", **more}


def resources(at, **used):
    return {"kind": "resources", "at": at, "roles": {"streams": {"rss_mb": 100.0, "files": 30, "pid": 1, **used}}}


GOOD = [
    read(1, positions={"t/0": 5}, records={A: [1, True, "r"], B: [1, True, "r"]}, lag={"hrss.pension": 0.2}),
    look(1.5),
    resources(1.6),
    fault(2, "begin", shows=["OW-1601"]),
    read(10, positions={"t/0": 5}, lag={"hrss.pension": 9}),
    look(12, "needs attention", {"streams": "OW-1601"}),
    read(18, positions={"t/0": 5}, lag={"hrss.pension": 17}),
    look(18.5, "needs attention", {"streams": "OW-1601"}),
    fault(19, "end"),
    read(20, positions={"t/0": 9}, records={A: [2, True, "s"]}, gone=[B], lag={"hrss.pension": 0.1}),
    look(21),
    fault(21, "normal", took=2.0),
]


def found(check, history):
    return [(violation.invariant, violation.anomaly) for violation in check(history)]


@pytest.mark.parametrize("check", invariants.OVER_TIME, ids=lambda check: check.__name__)
def test_a_good_history_violates_nothing(check):
    assert found(check, GOOD) == []


def test_a_position_that_goes_back():
    history = [read(1, positions={"t/0": 5}), read(2, positions={"t/0": 4})]
    assert found(invariants.monotonic, history) == [("I4", "nonmonotonic-poll")]


def test_a_revision_that_goes_back():
    history = [read(1, records={A: [3, True, "r"]}), read(2, records={A: [2, True, "r"]})]
    assert found(invariants.monotonic, history) == [("I4", "nonmonotonic-poll")]


def test_a_promoted_standby_may_step_back_once_and_only_then():
    back = [read(1, positions={"t/0": 5}), read(4, positions={"t/0": 3})]
    within = [fault(3, "begin", rolls_back=True), fault(5, "end")]
    assert found(invariants.monotonic, [back[0], within[0], back[1], within[1]]) == []
    after = [*within, back[0] | {"at": 6, "begun": 6}, back[1] | {"at": 7, "begun": 7}]
    assert found(invariants.monotonic, after) == [("I4", "nonmonotonic-poll")]


def test_a_sum_that_is_not_conserved():
    assert found(invariants.internal_consistency, [read(1, sums={"residents": 1})]) == [("I6", "conserved-sum")]


def test_a_record_that_is_nobodys():
    history = [read(1, orphans={"nobody's records": 2})]
    assert found(invariants.internal_consistency, history) == [("I6", "conserved-sum")]


@pytest.mark.parametrize("later", [{"gone": [A]}, {"records": {A: [2, False, "r"]}}])
def test_a_record_that_is_missing_in_between(later):
    history = [read(1, records={A: [1, True, "r"]}), read(2, **later), read(3, records={A: [3, True, "r"]})]
    assert found(invariants.presence, history) == [("I9", "poll-skip")]


def test_a_refused_record_that_is_shown():
    check = invariants.never_accepted([read(1, records={A: [1, True, "r"]})], [A])
    assert [violation.anomaly for violation in check] == ["aborted-read G1a"]


def test_a_status_that_is_healthy_while_the_view_stands_still():
    history = [read(1, lag={"hrss.pension": 16}), look(2), read(5, lag={"hrss.pension": 20})]
    assert found(invariants.honest_status, history) == [("I11", "dishonest-status")]


def test_a_status_that_is_healthy_at_the_moment_in_which_the_view_goes_on():
    history = [
        read(1, lag={"hrss.pension": 16}),
        look(2),
        read(2.1, lag={"hrss.pension": 17}),
        read(3, lag={"hrss.pension": 0}),
    ]
    assert found(invariants.honest_status, history) == []


def test_a_view_that_stands_still_because_nothing_happens_is_healthy():
    assert found(invariants.honest_status, [read(1, lag={"hrss.pension": 16}, flows=False), look(2)]) == []


@pytest.mark.parametrize(
    "looks", [[], [look(10, "needs attention", {"x": "OW-1301"})], [look(18, problems={"x": "OW-1601"})]]
)
def test_a_lasting_fault_that_the_status_does_not_show_in_time(looks):
    history = [fault(2, "begin", shows=["OW-1601"]), *looks, fault(19, "end"), fault(20, "normal", took=1.0)]
    assert found(invariants.honest_status, history) == [("I11", "dishonest-status")]


def test_a_short_fault_may_pass_unseen():
    history = [fault(2, "begin", shows=["OW-1601"]), fault(9, "end"), fault(10, "normal", took=1.0)]
    assert found(invariants.honest_status, history) == []


@pytest.mark.parametrize("last", [fault(41, "normal", took=31.0), fault(200, "late", why="lag 100")])
def test_a_recovery_that_takes_too_long(last):
    assert found(invariants.recovery, [fault(2, "begin"), fault(10, "end"), last]) == [("I12", "realtime-lag")]


def test_a_dataset_that_another_one_holds_up():
    long_one = [fault(1, "begin", number=1, beside=True), fault(100, "end", number=1)]
    behind = read(50, lag={"hrss.pension": 16})
    assert found(invariants.others_stay_fresh, [long_one[0], behind, long_one[1]]) == [("I12", "realtime-lag")]
    another = [fault(40, "begin", number=2), fault(55, "end", number=2), fault(56, "normal", number=2, took=1.0)]
    assert found(invariants.others_stay_fresh, [long_one[0], another[0], behind, *another[1:], long_one[1]]) == []


@pytest.mark.parametrize("history", [[resources(1, rss_mb=1e4)], [resources(1, files=5000)], [look(1, outbox=10**6)]])
def test_a_role_that_grows_without_bounds(history):
    assert found(invariants.bounded, history) == [("I13", "unbounded")]


def test_what_may_never_be():
    history = [{"kind": "trouble", "at": 1, "what": "the supervisor failed"}]
    assert found(invariants.troubles, history) == [("I11", "trouble")]


def logged(number, revision=1, *, offset=0, content=b"x", record="r"):
    return Logged(0, offset, "department.hrss.pension/0", number, record, revision, content)


def test_a_log_in_order_with_a_batch_that_came_twice():
    events = [logged(0, 1), logged(1, 2, content=b"y"), logged(0, 1), logged(1, 2, content=b"y"), logged(2, 3)]
    assert list(log_order(events)) == []
    assert list(no_gap(events)) == []


def test_a_number_that_holds_two_events():
    (violation,) = log_order([logged(0), logged(0, content=b"another")])
    assert violation[:2] == ("I3", "inconsistent-offsets")


def test_a_revision_that_was_sent_out_of_order():
    (violation,) = log_order([logged(0, 2), logged(1, 1)])
    assert violation[:2] == ("I3", "nonmonotonic-send")


@pytest.mark.parametrize("numbers", [[1, 2], [0, 2]])
def test_a_number_that_never_came(numbers):
    (violation,) = no_gap([logged(number) for number in numbers])
    assert violation[:2] == ("I1", "lost-write")


def test_a_batch_behind_a_gap_that_was_filled_later_is_no_violation():
    events = [logged(0), logged(2, 3), logged(1, 2), logged(2, 3)]
    assert [*log_order(events), *no_gap(events)] == []


BOOK = {"system": "hrss", "dataset": "pension", "read": 5, "accepted": 3, "quarantined": 1, "duplicate": 1, "stale": 0,
        "filtered": 0, "pending": 0, "balanced": True}  # fmt: skip


def test_books():
    assert list(balanced([BOOK])) == []
    assert [v.anomaly for v in balanced([BOOK | {"accepted": 2}])] == ["unbalanced-books"]
    assert [v.anomaly for v in balanced([BOOK | {"balanced": False}])] == ["unbalanced-books"]
    assert [v.anomaly for v in balanced([BOOK | {"accepted": 2, "pending": 1}])] == ["unseen"]


MEANT = {"a": {"name": "甲"}, "b": {"name": "乙"}}


def test_what_is_shown_as_it_is_meant():
    assert list(as_meant(MEANT, [("a", {"name": "甲", "sex": "male"}), ("b", {"name": "乙"})])) == []


@pytest.mark.parametrize(
    ("shown", "anomaly"),
    [
        ([("a", {"name": "甲"})], "lost-write"),
        ([("a", {"name": "甲"}), ("b", {"name": "丙"})], "lost-write"),
        ([("a", {"name": "甲"}), ("b", {"name": "乙"}), ("b", {"name": "乙"})], "duplicate"),
        ([("a", {"name": "甲"}), ("b", {"name": "乙"}), ("c", {"name": "丙"})], "duplicate"),
    ],
)
def test_what_is_not_shown_as_it_is_meant(shown, anomaly):
    assert [violation.anomaly for violation in as_meant(MEANT, shown)] == [anomaly]
