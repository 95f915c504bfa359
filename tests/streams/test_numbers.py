"""The numbers that a producer gives: no loss is forgotten until the dataset is read from its beginning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.numbers import Numbers


def sequence(reading, epoch, first, numbers):
    return [f"{reading}.{epoch}.{first}.{number}" for number in numbers]


KNOWN = [
    ("nothing is lost", [sequence(1, 1, 0, range(5)), sequence(1, 2, 5, range(5, 9))], 0),
    ("a gap", [sequence(1, 1, 0, (0, 1, 4))], 2),
    ("the head of the first epoch", [sequence(1, 1, 0, (2, 3))], 2),
    ("a gap stays when the next epoch goes on", [sequence(1, 1, 0, (0, 1, 4)), sequence(1, 2, 5, (5, 6))], 2),
    ("the tail of an epoch", [sequence(1, 1, 0, (0, 1)), sequence(1, 2, 5, (5, 6))], 3),
    ("the tail, and nothing of the epoch after it", [sequence(1, 1, 0, (0, 1)), sequence(1, 3, 5, (5,))], 3),
    ("the head of a continued epoch", [sequence(1, 1, 0, (0, 1)), sequence(1, 2, 2, (4,))], 2),
    ("the whole first epoch", [sequence(1, 2, 4, (4, 5))], 4),
    ("what a crash makes appear again is no loss", [sequence(1, 1, 0, range(9)), sequence(1, 2, 4, range(4, 12))], 0),
    ("a loss in what appears again", [sequence(1, 1, 0, range(9)), sequence(1, 2, 4, (4, 7, 8, 9))], 2),
    ("its head", [sequence(1, 1, 0, range(9)), sequence(1, 2, 4, (6, 7))], 2),
    ("reading from the beginning forgets it", [sequence(1, 1, 0, (0, 4)), sequence(2, 2, 0, (0, 1))], 0),
    ("and finds its own", [sequence(1, 1, 0, (0, 4)), sequence(2, 2, 0, (1, 2))], 1),
    ("one that only seemed dead says nothing", [sequence(1, 2, 4, (4, 5)), sequence(1, 1, 0, (9,))], 4),
    ("another tool numbers nothing", [["", "17", "1.2", "a.b.c.d", "1.1.1.1.1"]], 0),
]


@pytest.mark.parametrize(("epochs", "missing"), [case[1:] for case in KNOWN], ids=[case[0] for case in KNOWN])
def test_known_histories(epochs, missing):
    came = [each for epoch in epochs for each in epoch]
    assert Numbers().after(came).missing == missing
    one_by_one = Numbers()
    for each in came:
        one_by_one = one_by_one.after([each])
    assert one_by_one == Numbers().after(came)


@given(st.lists(st.tuples(st.integers(0, 6), st.sets(st.integers(0, 5), max_size=3), st.integers(0, 6)), max_size=5))
def test_what_is_lost_and_never_published_again_is_seen_with_the_next_event(epochs):
    """Each epoch publishes so many events from the saved number on, loses some, and saves a number up to its end."""
    came, saved, reached, lost = [], 0, 0, set()
    for epoch, (count, gone, kept) in enumerate(epochs, 1):
        numbers = range(saved, saved + count)
        arrived = [n for n in numbers if n - saved not in gone]
        if not arrived and saved < reached:
            arrived = list(numbers)  # the one case that numbers can't show, see the module
        came += sequence(1, epoch, saved, arrived)
        lost = {n for n in lost if n < saved} | set(numbers) - set(arrived)
        reached = max(reached, saved + count)
        saved = min(saved + kept, saved + count)
    lost = {n for n in lost if n < saved}
    came += sequence(1, 99, saved, [saved])
    assert Numbers().after(came).missing >= len(lost)
