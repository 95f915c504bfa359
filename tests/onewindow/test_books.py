"""The books compare two sides: what the connectors' side had acknowledged, and what streams decided."""

from __future__ import annotations

import pytest

from onewindow.books import Decided, Reading, book
from streams.store import BOOKS

NOTHING = dict.fromkeys(BOOKS, 0)


def decided(**counts):
    return Decided(sum(counts.values()), NOTHING | counts)


def test_at_rest_both_sides_agree():
    found = book(Reading(10, 0, 3, 2), 10, decided(accepted=8, quarantined=2), loaded=True)
    assert found.document() == {
        "read": 15, "accepted": 8, "quarantined": 2, "duplicate": 3, "stale": 2, "filtered": 0, "pending": 0,
        "balanced": True,
    }  # fmt: skip
    assert found.done == 15


def test_what_is_under_way_is_pending():
    found = book(Reading(6, 0, 0, 0), 10, decided(accepted=7), loaded=False)
    assert (found.read, found.pending, found.balanced) == (10, 3, True)


def test_what_a_crash_left_in_the_topic_comes_out_as_duplicates_and_hides_no_loss():
    """Four events were published, not saved, and published once more."""
    reading = Reading(10, 4, 0, 0)
    whole = book(reading, 14, decided(accepted=10, duplicate=4), loaded=True)
    assert (whole.read, whole.pending, whole.balanced) == (14, 0, True)
    short = book(reading, 12, decided(accepted=8, duplicate=4), loaded=True)
    assert (short.lost, short.pending, short.balanced) == (2, 2, False)


def test_a_topic_that_ends_before_what_was_acknowledged_is_a_loss():
    found = book(Reading(10, 0, 0, 0), 7, decided(accepted=7), loaded=True)
    assert (found.read, found.pending, found.lost, found.balanced) == (10, 3, 3, False)


def test_counts_that_differ_from_the_offset_are_not_balanced():
    found = book(Reading(10, 0, 0, 0), 10, Decided(10, NOTHING | {"accepted": 9}), loaded=True)
    assert (found.lost, found.balanced) == (0, False)


@pytest.mark.parametrize(
    ("reading", "in_topic", "streams", "pending"),
    [
        (Reading(10, 0, 0, 0), None, decided(accepted=10), None),
        (Reading(10, 0, 0, 0), 10, None, None),
        (None, 10, decided(accepted=10), 0),
        (None, None, None, None),
    ],
)
def test_what_is_not_known_is_not_zero(reading, in_topic, streams, pending):
    found = book(reading, in_topic, streams, loaded=True)
    assert (found.read, found.pending, found.balanced) == (in_topic, pending, None)
    assert (found.parts["accepted"] is None) == (streams is None)


def test_nothing_read_is_balanced_only_when_the_source_is_known_to_be_empty():
    nothing = Reading(0, 0, 0, 0), 0, decided()
    assert book(*nothing, loaded=False).balanced is None
    assert book(*nothing, loaded=True).balanced is True
