"""Compaction keeps the latest record of each key, and moves nothing."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

import pytest
from brokerkit import batch, content, flip, header_of, no_sync, partition
from hypothesis import given
from hypothesis import strategies as st

from broker.compaction import _rebuilt, compact
from broker.topics import Topic

keys = st.sampled_from([b"a", b"b", b"c", b"d", None])
contents = st.lists(st.lists(st.tuples(keys, st.one_of(st.none(), st.binary(max_size=20))), min_size=1, max_size=4))


def compacted(log, **settings):
    """Run one round of compaction over the log."""
    names = {name.replace("_", "."): value for name, value in settings.items()}
    topic = Topic("t", "id", {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0"} | names)
    topic.partitions = [log]
    asyncio.run(compact(topic))


def written(path, batches, **options):
    log = partition(path, sync=no_sync, **options)
    for pairs in batches:
        log.append(batch(*pairs))
    return log


@given(batches=contents, segment_bytes=st.sampled_from([100, 200, 500]), codec=st.sampled_from([0, 1]))
def test_the_last_value_of_each_key_stays_at_its_offset(batches, segment_bytes, codec):
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "log"
        log = partition(path, sync=no_sync, segment_bytes=segment_bytes)
        for pairs in batches:
            log.append(batch(*pairs, codec=codec))
        before, active = content(log), log.segments[-1].base
        latest = {key: offset for offset, key, _ in before if offset < active}

        compacted(log)

        expected = [one for one in before if one[0] >= active or one[1] is None or latest[one[1]] == one[0]]
        assert content(log) == expected
        assert (log.end, log.damage) == (sum(map(len, batches)), None)
        log.close()
        again = partition(path, create=False, sync=no_sync)
        assert again.damage is None
        assert content(again) == expected
        for offset in range(again.end):
            assert content(again, offset) == [one for one in expected if one[0] >= offset]
        again.close()


def test_one_known_log(tmp_path):
    batches = [[(b"a", b"1"), (b"b", b"2")], [(b"a", b"3")], [(b"c", b"4")], [(b"b", b"5")]]
    log = written(tmp_path / "log", batches, segment_bytes=80)

    compacted(log)

    assert content(log) == [(1, b"b", b"2"), (2, b"a", b"3"), (3, b"c", b"4"), (4, b"b", b"5")]


def test_tombstones_stay_for_their_time_and_then_go(tmp_path, monkeypatch):
    log = written(tmp_path / "log", [[(b"a", b"1")], [(b"a", None)], [(b"b", b"2")], [(b"c", b"3")]], segment_bytes=80)
    compacted(log)
    assert content(log)[0] == (1, b"a", None)
    compacted(log)
    assert content(log)[0] == (1, b"a", None)

    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 86_401)
    compacted(log)

    assert [key for _, key, _ in content(log)] == [b"b", b"c"]


def test_small_segments_are_merged(tmp_path):
    log = written(tmp_path / "log", [[(b"%d" % (number % 3), b"v")] for number in range(40)], segment_bytes=160)
    many = len(log.segments)

    compacted(log)

    assert many > 15
    assert len(log.segments) <= 4
    assert len(list((tmp_path / "log").glob("*.log"))) == len(log.segments)


def test_a_damaged_segment_is_not_compacted_but_reported(tmp_path):
    log = written(tmp_path / "log", [[(b"a", b"1")], [(b"a", b"2")], [(b"a", b"3")]], segment_bytes=80)
    flip(log.segments[0].path, 65)

    compacted(log)

    assert log.damage is not None
    assert {file.name.split(".")[1] for file in (tmp_path / "log").glob("*.log")} == {"0"}


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    log = written(tmp_path / "log", [[(b"a", b"1")], [(b"a", b"2")], [(b"a", b"3")]], segment_bytes=80)
    before = content(log)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.pwrite", full)
    with pytest.raises(OSError, match="No space"):
        compacted(log)
    monkeypatch.undo()

    assert content(log) == before
    compacted(log)
    assert [value for _, _, value in content(log)] == [b"2", b"3"]


def test_sequences_survive_the_compaction_of_their_batches(tmp_path):
    log = partition(tmp_path / "log", segment_bytes=100)
    for number in range(4):
        log.append(batch((b"a", b"%d" % number), producer_id=9, epoch=0, sequence=number))
    compacted(log)
    log.close()

    again = partition(tmp_path / "log", create=False)

    assert again.append(batch((b"a", b"1"), producer_id=9, epoch=0, sequence=1)) == 1
    assert again.append(batch((b"a", b"4"), producer_id=9, epoch=0, sequence=4)) == 4


def test_a_rebuilt_batch_keeps_what_is_not_its_records():
    raw = batch((b"a", b"1" * 100), (b"b", b"2"), producer_id=5, epoch=1, sequence=7)
    old = header_of(raw)

    class Record:
        offset, timestamp, key, value, headers = 0, 1_000, b"a", b"1", [("h", b"x")]

    new = header_of(_rebuilt(old, [Record()]))

    assert (new.last_delta, new.records, new.next) == (old.last_delta, 1, old.next)
    assert (new.producer_id, new.producer_epoch, new.sequence) == (5, 1, 7)
