"""The log against a list: whatever is appended, cut, expired and reopened, what is read is what was acknowledged."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from brokerkit import batch, content, no_sync, partition, values
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import Code, Refused

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 5)),
        st.tuples(st.just("crash"), st.integers(0, 130)),
        st.tuples(st.just("stop"), st.just(0)),
        st.tuples(st.just("delete"), st.integers(0, 40)),
    ),
    max_size=25,
)


@given(steps=steps, segment_bytes=st.sampled_from([150, 400, 10_000]))
def test_the_log_holds_what_a_list_would(steps, segment_bytes):
    with tempfile.TemporaryDirectory() as directory:
        path, epoch = Path(directory) / "log", 0
        log = partition(path, segment_bytes=segment_bytes, sync=no_sync)
        expected, counter = {}, 0
        for what, number in steps:
            if what == "append":
                base = log.append(batch(*values(number, start=counter)))
                expected |= {base + i: b"%d" % (counter + i) for i in range(number)}
                counter += number
            elif what == "delete":
                offset = min(log.start + number, log.end)
                log.delete_before(offset)
                expected = {at: value for at, value in expected.items() if at >= offset}
            else:
                if what == "stop":
                    log.close()
                elif number:
                    with log.segments[-1].path.open("ab") as file:  # the begin of a write that was interrupted
                        file.write(batch(*values(9))[:number])
                epoch += what == "crash"
                clean = what == "stop"
                log = partition(path, create=False, segment_bytes=segment_bytes, clean=clean, epoch=epoch, sync=no_sync)
            assert log.damage is None
            assert {offset: value for offset, _, value in content(log)} == expected
        log.close()


@given(offset=st.integers(0, 59), max_bytes=st.integers(1, 5_000))
def test_a_fetch_begins_with_the_batch_of_the_offset_and_keeps_to_its_limit(tmp_path_factory, offset, max_bytes):
    log = partition(tmp_path_factory.mktemp("log") / "log", segment_bytes=1_000, sync=no_sync)
    for number in range(20):
        log.append(batch(*values(3, start=3 * number)))

    piece = log.locate(offset, max_bytes)

    one = len(batch(*values(3, start=30)))
    assert piece.stop - piece.start <= max(max_bytes, one)
    assert content(log, offset)[0][0] == offset
    log.close()


def test_one_known_log(tmp_path):
    log = partition(tmp_path / "log")
    assert [log.append(batch(*values(2))), log.append(batch((b"k", b"v")))] == [0, 2]
    assert content(log) == [(0, None, b"0"), (1, None, b"1"), (2, b"k", b"v")]
    assert log.locate(3, 100) is None


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda raw: raw[:40], Code.CORRUPT_MESSAGE),
        (lambda raw: raw[:-1], Code.CORRUPT_MESSAGE),
        (lambda raw: raw[:-1] + b"\xff", Code.CORRUPT_MESSAGE),
        (lambda raw: raw + raw, Code.INVALID_RECORD),
        (lambda raw: raw[:16] + b"\x01" + raw[17:], Code.UNSUPPORTED_FOR_MESSAGE_FORMAT),
        (lambda _: batch((None, b"x" * (2 << 20))), Code.MESSAGE_TOO_LARGE),
    ],
)
def test_what_is_no_good_batch_is_refused(tmp_path, spoil, code):
    log = partition(tmp_path / "log")
    with pytest.raises(Refused) as refused:
        log.append(spoil(batch(*values(2))))
    assert refused.value.code is code
    assert log.end == 0


def test_retention_drops_closed_segments_by_age_and_by_size(tmp_path):
    log = partition(tmp_path / "log", segment_bytes=150)
    for number in range(6):
        log.append(batch(*values(2), timestamp=number))
    sizes = [segment.size for segment in log.segments]

    log.expire(before_ms=2, max_bytes=None)
    aged = log.start
    log.expire(before_ms=None, max_bytes=sum(sizes[-2:]))

    assert (aged, log.start, len(log.segments)) == (4, 8, 2)
    assert len(list((tmp_path / "log").glob("*.log"))) == 2
