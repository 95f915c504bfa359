"""Idempotent producers: a repeat is acknowledged again and written once, a gap is refused, across crashes too."""

from __future__ import annotations

import asyncio

import pytest
from brokerkit import batch, content, no_sync, partition, running, values
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Code, Refused


def numbered(sequence, *, count=1, epoch=0, producer_id=7):
    return batch(*values(count, start=sequence), producer_id=producer_id, epoch=epoch, sequence=sequence)


def refusal(log, raw):
    with pytest.raises(Refused) as refused:
        log.append(raw)
    return refused.value.code


def test_a_repeated_batch_is_acknowledged_at_its_offset_and_not_written(tmp_path):
    log = partition(tmp_path / "log")
    offsets = [log.append(numbered(sequence)) for sequence in (0, 1, 2)]

    assert [log.append(numbered(sequence)) for sequence in (2, 0, 1)] == [2, 0, 1]
    assert offsets == [0, 1, 2]
    assert log.end == 3


def test_a_batch_after_a_gap_is_refused(tmp_path):
    log = partition(tmp_path / "log")
    log.append(numbered(0, count=3))

    assert refusal(log, numbered(4)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert refusal(log, numbered(1, producer_id=8)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert log.append(numbered(3)) == 3


def test_a_new_epoch_begins_at_zero_and_fences_the_old_one(tmp_path):
    log = partition(tmp_path / "log")
    log.append(numbered(0))

    assert refusal(log, numbered(1, epoch=1)) is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert log.append(numbered(0, epoch=1)) == 1
    assert refusal(log, numbered(1)) is Code.INVALID_PRODUCER_EPOCH


@given(sent=st.lists(st.integers(0, 8), max_size=40), crashes=st.sets(st.integers(0, 40)))
def test_whatever_is_repeated_the_log_holds_each_batch_once_and_in_order(tmp_path_factory, sent, crashes):
    path = tmp_path_factory.mktemp("log") / "log"
    log = partition(path, segment_bytes=300, sync=no_sync)
    for step, sequence in enumerate([0, *sent]):
        if step in crashes:
            log = partition(path, create=False, clean=False, epoch=step, sync=no_sync)
            log.segment_bytes = 300
        try:
            assert log.append(numbered(sequence)) == sequence
        except Refused as refused:
            assert refused.code is Code.OUT_OF_ORDER_SEQUENCE_NUMBER  # noqa: PT017 - both outcomes are fine
    assert [value for _, _, value in content(log)] == [b"%d" % number for number in range(log.end)]


def test_producer_ids_are_never_given_twice(tmp_path):
    async def ids():
        async with running(tmp_path) as (_, client):
            fields = {"transactional_id": None, "transaction_timeout_ms": 0, "producer_id": -1, "producer_epoch": -1}
            return [(await client.ask("InitProducerId", **fields)).producer_id for _ in range(3)]

    given_out = [*asyncio.run(ids()), *asyncio.run(ids())]
    assert len(set(given_out)) == 6


def test_a_producer_may_raise_its_epoch_but_not_begin_transactions(tmp_path):
    async def main():
        async with running(tmp_path) as (_, client):
            fields = {"transaction_timeout_ms": 0, "producer_id": 12, "producer_epoch": 3}
            raised = await client.ask("InitProducerId", transactional_id=None, **fields)
            refused = await client.ask("InitProducerId", transactional_id="t", **fields)
            return (raised.producer_id, raised.producer_epoch), refused.error_code

    assert asyncio.run(main()) == ((12, 4), Code.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
