"""A full disk refuses writes, leaves nothing half done, and does no harm once there is room again."""

from __future__ import annotations

import asyncio
import os

import pytest
from brokerkit import batch, content, partition, running, values

from broker.errors import Code, Refused


@pytest.fixture
def full(monkeypatch):
    """Make the disk take only this many bytes of each write; None for all."""
    write = os.pwritev

    def fill(room):
        def limited(fd, buffers, position):
            data = b"".join(buffers)
            if room is None:
                return write(fd, buffers, position)
            if not room:
                raise OSError(28, "No space left on device")
            return write(fd, [data[:room]], position)

        monkeypatch.setattr("os.pwritev", limited)

    return fill


@pytest.mark.parametrize("room", [0, 1, 40, 70])
def test_an_append_that_does_not_fit_is_undone(tmp_path, full, room):
    log = partition(tmp_path / "log")
    log.append(batch(*values(2)))
    size = log.segments[-1].path.stat().st_size
    full(room)
    with pytest.raises(Refused) as refused:
        log.append(batch(*values(2, start=2)))
    assert refused.value.code is Code.KAFKA_STORAGE_ERROR
    assert log.segments[-1].path.stat().st_size == size

    full(None)

    assert log.append(batch(*values(2, start=2))) == 2
    assert [offset for offset, _, _ in content(partition(tmp_path / "log", create=False, clean=False))] == [0, 1, 2, 3]


def test_a_sequence_that_was_refused_may_come_again(tmp_path, full):
    log = partition(tmp_path / "log")
    one, two = (batch((None, b"x"), producer_id=3, epoch=0, sequence=number) for number in (0, 1))
    full(0)
    with pytest.raises(Refused):
        log.append(one)
    full(None)
    with pytest.raises(Refused) as refused:
        log.append(two)  # it was on its way already; in order it has to be
    assert refused.value.code is Code.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert [log.append(one), log.append(two)] == [0, 1]


def test_a_new_segment_that_can_not_be_begun_is_undone(tmp_path, monkeypatch):
    log = partition(tmp_path / "log", segment_bytes=80)
    log.append(batch(*values(1)))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("broker.log.write_atomic", fail)
    with pytest.raises(Refused):
        log.append(batch(*values(1, start=1)))
    monkeypatch.undo()

    assert log.append(batch(*values(1, start=1))) == 1
    again = partition(tmp_path / "log", create=False, clean=False)
    assert [value for _, _, value in content(again)] == [b"0", b"1"]


def test_the_broker_answers_with_the_error_and_goes_on(tmp_path, full):
    async def main():
        async with running(tmp_path) as (broker, client):
            await client.create("t")
            full(10)
            refused = await client.produce("t", batch(*values(1)))
            full(None)
            accepted = await client.produce("t", batch(*values(1)))
            assert broker.damaged == {}
            return refused.error_code, accepted.error_code, accepted.base_offset

    assert asyncio.run(main()) == (Code.KAFKA_STORAGE_ERROR, 0, 0)
