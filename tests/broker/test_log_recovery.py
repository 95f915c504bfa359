"""What a partition makes of its files after a crash, and of files that are not as it left them."""

from __future__ import annotations

import logging

import pytest
from brokerkit import batch, content, flip, header_of, partition, values

from broker.errors import Code, Damaged, Refused


def filled(path, batches=6, **options):
    """A log of batches of two records, left as a crash leaves it."""
    log = partition(path, **options)
    for number in range(batches):
        log.append(batch(*values(2, start=2 * number)))
    return log


def reopened(path, **options):
    return partition(path, create=False, **({"clean": False, "epoch": 1} | options))


def test_everything_written_is_there_after_a_crash(tmp_path):
    filled(tmp_path / "log", 6, segment_bytes=170)

    log = reopened(tmp_path / "log")

    assert [value for _, _, value in content(log)] == [b"%d" % number for number in range(12)]
    assert log.end == 12
    assert len(log.segments) > 2


@pytest.mark.parametrize("cut", [1, 30, 60, 70])
def test_a_torn_tail_is_truncated_with_a_warning(tmp_path, caplog, cut):
    log = filled(tmp_path / "log", 3)
    path, size = log.segments[-1].path, log.segments[-1].size
    with path.open("r+b") as file:
        file.truncate(size - cut)

    again = reopened(tmp_path / "log")

    one = size // 3
    assert again.damage is None
    assert again.end == 4
    assert f"{one - cut} bytes truncated" in caplog.text
    assert path.stat().st_size == 2 * one
    assert again.append(batch(*values(1))) == 4


def test_a_flipped_bit_in_the_last_batch_after_a_crash_is_a_torn_tail(tmp_path):
    log = filled(tmp_path / "log", 3)
    flip(log.segments[-1].path, log.segments[-1].size - 3)

    again = reopened(tmp_path / "log")

    assert (again.damage, again.end) == (None, 4)


@pytest.mark.parametrize("position", [8, 16, 19, 70], ids=["length", "format", "checksum", "record"])
def test_a_flipped_bit_before_good_batches_is_reported_and_nothing_truncated(tmp_path, caplog, position):
    log = filled(tmp_path / "log", 4)
    path, size = log.segments[-1].path, log.segments[-1].size
    flip(path, size // 4 + position)

    again = reopened(tmp_path / "log")

    assert isinstance(again.damage, Damaged)
    assert (again.damage.path, again.damage.position) == (path, size // 4)
    assert path.stat().st_size == size
    assert any(record.levelno == logging.ERROR and "offline" in record.message for record in caplog.records)
    with pytest.raises(Refused) as refused:
        again.append(batch(*values(1)))
    assert refused.value.code is Code.KAFKA_STORAGE_ERROR


def test_a_flipped_bit_in_a_closed_segment_is_found_when_it_is_read(tmp_path):
    log = filled(tmp_path / "log", 6, segment_bytes=170)
    flip(log.segments[0].path, 70)
    again = reopened(tmp_path / "log")
    assert again.damage is None

    with pytest.raises(Refused) as refused:
        content(again)

    assert refused.value.code is Code.KAFKA_STORAGE_ERROR
    assert again.damage.path == log.segments[0].path


@pytest.mark.parametrize("which", [0, 1])
def test_a_closed_segment_that_is_shorter_than_it_was_takes_the_partition_offline(tmp_path, which):
    log = filled(tmp_path / "log", 6, segment_bytes=170)
    with log.segments[which].path.open("r+b") as file:
        file.truncate(log.segments[which].size - 1)

    assert reopened(tmp_path / "log").damage is not None


@pytest.mark.parametrize("which", [0, 1, -1], ids=["first", "middle", "active"])
def test_a_missing_segment_takes_the_partition_offline(tmp_path, which):
    log = filled(tmp_path / "log", 6, segment_bytes=170)
    log.segments[which].path.unlink()

    assert "missing" in str(reopened(tmp_path / "log").damage)


def test_a_missing_or_damaged_manifest_is_not_guessed_at(tmp_path):
    filled(tmp_path / "log")
    flip(tmp_path / "log" / "manifest", 20)
    assert "checksum" in str(reopened(tmp_path / "log").damage)
    (tmp_path / "log" / "manifest").unlink()
    assert "missing" in str(reopened(tmp_path / "log").damage)


def test_a_lost_or_damaged_index_is_made_anew(tmp_path):
    log = filled(tmp_path / "log", 6, segment_bytes=170)
    log.segments[0].index_path.unlink()
    flip(log.segments[1].index_path, log.segments[1].index_path.stat().st_size - 1)

    again = reopened(tmp_path / "log")

    assert [offset for offset, _, _ in content(again)] == list(range(12))
    assert log.segments[0].index_path.exists()


def test_after_a_clean_end_any_change_of_the_active_segment_is_damage(tmp_path):
    log = filled(tmp_path / "log")
    log.close()
    with log.segments[-1].path.open("ab") as file:
        file.write(b"x")
    assert reopened(tmp_path / "log", clean=True).damage is not None


def test_what_a_crash_left_between_two_manifests_is_deleted(tmp_path):
    filled(tmp_path / "log")
    leftover = tmp_path / "log" / f"{0:020d}.1.log"
    leftover.write_bytes(b"half a compaction")

    assert reopened(tmp_path / "log").damage is None
    assert not leftover.exists()


def test_the_leader_epoch_tells_the_batches_of_before_and_after_the_crash_apart(tmp_path):
    filled(tmp_path / "log", 2)
    again = reopened(tmp_path / "log", epoch=1)
    again.append(batch(*values(3)))

    assert [again.epoch_end(epoch) for epoch in (0, 1, 5)] == [(0, 4), (1, 7), (1, 7)]
    piece = again.locate(4, 1)
    with piece.segment.path.open("rb") as file:
        file.seek(piece.start)
        assert header_of(file.read(61)).leader_epoch == 1
    third = reopened(tmp_path / "log", epoch=2)
    assert [third.epoch_end(epoch) for epoch in (0, 1, 2)] == [(0, 4), (1, 7), (2, 7)]


def test_deleted_records_stay_deleted_after_a_crash(tmp_path):
    log = filled(tmp_path / "log", 6, segment_bytes=170)
    log.delete_before(5)

    again = reopened(tmp_path / "log")

    assert content(again)[0][0] == 5
    with pytest.raises(Refused) as refused:
        again.locate(4, 100)
    assert refused.value.code is Code.OFFSET_OUT_OF_RANGE


def test_an_intact_batch_with_a_wrong_offset_is_no_torn_tail(tmp_path):
    log = filled(tmp_path / "log", 2)
    with log.segments[-1].path.open("ab") as file:
        file.write(batch(*values(1)))

    assert "offset 0 follows 4" in str(reopened(tmp_path / "log").damage)
