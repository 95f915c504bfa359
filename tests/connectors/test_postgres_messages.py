"""Messages of the log, snapshots, and what becomes of them, without a server."""

from __future__ import annotations

import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from connectors import _pgoutput
from connectors._log_changes import Layout, Reading, changes_of
from connectors._log_channels import Channels
from connectors._pgoutput import UNCHANGED, Begin, Column, Malformed, Relation
from connectors._transactions import Snapshot, lsn_number, lsn_text
from connectors.base import Delete, Upsert
from contracts.errors import SourceUnreachable

OID = 16385
VALUES = st.lists(st.none() | st.just(UNCHANGED) | st.binary(max_size=20), max_size=6)


def row(values) -> bytes:
    parts = [struct.pack(">H", len(values))]
    for value in values:
        if value is None:
            parts.append(b"n")
        elif value is UNCHANGED:
            parts.append(b"u")
        else:
            parts.append(b"t" + struct.pack(">I", len(value)) + value)
    return b"".join(parts)


def change(tag: bytes, *rows: tuple[bytes, list]) -> bytes:
    return tag + struct.pack(">I", OID) + b"".join(kind + row(values) for kind, values in rows)


def begin(lsn: int, xid: int = 1) -> bytes:
    return struct.pack(">cqqI", b"B", lsn, 0, xid)


def commit(lsn: int, end: int) -> bytes:
    return struct.pack(">cBqqq", b"C", 0, lsn, end, 0)


def relation_message(names: list[str], keys: int = 1) -> bytes:
    head = b"R" + struct.pack(">I", OID) + b"public\0person\0d" + struct.pack(">H", len(names))
    return head + b"".join(
        bytes([index < keys]) + name.encode() + b"\0" + struct.pack(">Ii", 25, -1) for index, name in enumerate(names)
    )


@given(new=VALUES, old=VALUES)
def test_rows_come_back_as_they_were_written(new, old):
    as_they_are = [bytes] * len(new)
    read = _pgoutput.insert(change(b"I", (b"N", new)), as_they_are)
    assert (read.values, read.unchanged) == (new, UNCHANGED in new)
    assert _pgoutput.delete(change(b"D", (b"K", new)), as_they_are).values == new
    old = (old + [None] * len(new))[: len(new)]
    for kind, full in ((b"K", False), (b"O", True)):
        update = _pgoutput.update(change(b"U", (kind, old), (b"N", new)), as_they_are)
        assert (update.old.values, update.full, update.new.values) == (old, full, new)
    assert _pgoutput.update(change(b"U", (b"N", new)), as_they_are) == (None, False, read)


def test_what_messages_say_of_transactions_and_tables():
    assert _pgoutput.begin(struct.pack(">cqqI", b"B", 0x16B374D848, 843_253_445_123_456, 4_000_000_000)) == Begin(
        0x16B374D848, "2026-09-20T21:04:05.123456Z", 4_000_000_000
    )
    assert _pgoutput.commit_end(commit(7, 9)) == 9
    assert _pgoutput.relation(relation_message(["id", "姓名"])) == Relation(
        OID, "public", "person", "d", (Column("id", 25, True), Column("姓名", 25, False))
    )
    assert _pgoutput.truncated(b"T" + struct.pack(">IB2I", 2, 1, 5, OID)) == (5, OID)


@given(cut=st.integers(0, 200), extra=st.binary(max_size=3))
def test_a_broken_message_is_malformed_and_nothing_else(cut, extra):
    decoders = [bytes, bytes]
    for message, read in (
        (change(b"I", (b"N", [b"a", b"bc"])), lambda m: _pgoutput.insert(m, decoders)),
        (change(b"U", (b"O", [b"a", None]), (b"N", [b"a", b"c"])), lambda m: _pgoutput.update(m, decoders)),
        (change(b"D", (b"K", [b"a", None])), lambda m: _pgoutput.delete(m, decoders)),
        (relation_message(["id", "name"]), _pgoutput.relation),
        (begin(1), _pgoutput.begin),
        (commit(1, 2), _pgoutput.commit_end),
        (b"T" + struct.pack(">IBI", 1, 0, OID), _pgoutput.truncated),
    ):
        broken = message[: cut % len(message)] + extra
        if broken != message and len(broken) >= 1:
            try:
                read(broken)
            except Malformed:
                continue
            assert extra, "a cut message was taken as whole"  # extra bytes may happen to make another good one
    with pytest.raises(Malformed):
        _pgoutput.insert(change(b"I", (b"N", [b"a"])), decoders)


def test_places_in_the_log_are_written_as_postgres_does():
    assert lsn_text(0x16B374D848) == "16/B374D848"
    assert lsn_number("16/B374D848") == 0x16B374D848


@given(xmax=st.integers(3, 1 << 40), back=st.integers(0, 1000), ahead=st.integers(0, 1000), data=st.data())
@example(xmax=(1 << 32) + 5, back=10, ahead=10, data=None)  # across the end of 32 bits
def test_a_snapshot_saw_what_had_ended(xmax, back, ahead, data):
    xmin = max(3, xmax - back)
    running = data.draw(st.sets(st.integers(xmin, xmax - 1), max_size=5)) if data and xmin < xmax else set()
    snapshot = Snapshot.parse(f"{xmin}:{xmax}:{','.join(map(str, sorted(running)))}")
    for full in range(max(3, xmin - 20), xmax + ahead):
        assert snapshot.saw(full & 0xFFFFFFFF) == (full < xmax and full not in running)


# changes ---------------------------------------------------------------------------------------------------------------

R = relation_message(["id", "name", "note"])


def layout(relation: Relation) -> Layout:
    return Layout(relation, [bytes.decode] * 3, [(0, str)], [column.name for column in relation.columns])


def entries(*transactions: tuple[Begin, list[bytes]]) -> list:
    return [(of, message) for of, messages in transactions for message in messages]


def insert(key: bytes, name: bytes = b"n") -> bytes:
    return change(b"I", (b"N", [key, name, b""]))


def test_a_changed_key_is_a_deletion_and_a_new_record():
    of = Begin(10, "t", 1)
    found = changes_of(
        entries((of, [R, change(b"U", (b"K", [b"a", None, None]), (b"N", [b"b", b"n", b"x"])), commit(10, 12)])),
        Reading(), after=(0, 0), seen=None, layout_of=layout,
    )  # fmt: skip
    assert found.changes == [
        Delete("a", "0/A/1/old", "t"),
        Upsert("b", {"id": "b", "name": "n", "note": "x"}, "0/A/1", "t"),
    ]
    assert found.place == (12, 0)


@given(cut=st.integers(0, 9), sizes=st.lists(st.integers(1, 3), min_size=3, max_size=3))
def test_wherever_reading_stops_the_same_log_read_again_goes_on_there(cut, sizes):
    transactions = [
        (Begin(10 * n, "t", n), [R, *(insert(b"%d.%d" % (n, i)) for i in range(size)), commit(10 * n, 10 * n + 5)])
        for n, size in enumerate(sizes, 1)
    ]
    log = entries(*transactions)
    whole = changes_of(log, Reading(), after=(0, 0), seen=None, layout_of=layout)
    first = changes_of(log[:cut], Reading(), after=(0, 0), seen=None, layout_of=layout)
    again = changes_of(log, Reading(), after=first.place, seen=None, layout_of=layout)
    on = changes_of(log[first.used :], first.reading, after=first.place, seen=None, layout_of=layout)
    assert first.changes + again.changes == first.changes + on.changes == whole.changes
    assert len(whole.changes) == sum(sizes)
    assert again.place == on.place == whole.place == (35, 0)


def test_what_a_first_copy_saw_is_left_out():
    log = entries(*((Begin(10 * n, "t", n), [R, insert(b"%d" % n), commit(10 * n, 10 * n + 5)]) for n in range(1, 5)))
    seen = (Snapshot.parse("2:4:2"), 100)  # 1 and 3 had ended
    found = changes_of(log, Reading(), after=(0, 0), seen=seen, layout_of=layout)
    assert [item.key for item in found.changes] == ["2", "4"]
    found = changes_of(log, Reading(), after=(0, 0), seen=(seen[0], 25), layout_of=layout)
    assert [item.key for item in found.changes] == ["2", "3", "4"]  # past that place ids say nothing any more


def test_a_truncation_comes_alone():
    emptied = b"T" + struct.pack(">IBI", 1, 0, OID)
    log = entries((Begin(10, "t", 1), [R, insert(b"a"), emptied, insert(b"b"), commit(10, 15)]))
    first = changes_of(log, Reading(), after=(0, 0), seen=None, layout_of=layout)
    second = changes_of(log[first.used :], first.reading, after=first.place, seen=None, layout_of=layout)
    third = changes_of(log[first.used + second.used :], second.reading, after=second.place, seen=None, layout_of=layout)
    assert [[c.key for c in found.changes] for found in (first, second, third)] == [["a"], [], ["b"]]
    assert [found.cleared for found in (first, second, third)] == [False, True, False]


def test_unchanged_values_come_from_a_full_old_row_or_leave_a_gap():
    full = change(b"U", (b"O", [b"a", b"n", b"big"]), (b"N", [b"a", b"m", UNCHANGED]))
    part = change(b"U", (b"N", [b"b", b"m", UNCHANGED]))
    found = changes_of(
        entries((Begin(10, "t", 1), [R, full, part])), Reading(), after=(0, 0), seen=None, layout_of=layout
    )
    assert found.changes[0].record["note"] == "big"
    assert [(gap.change.key, gap.names, gap.key) for gap in found.gaps] == [("b", ("note",), ["b"])]


# channels --------------------------------------------------------------------------------------------------------------


def message(size: int) -> tuple:
    return (Begin(1, "t", 1), b"I" * size)


def test_a_channel_that_nobody_looks_into_is_cut_and_the_other_goes_on():
    channels = Channels(["a", "b"], 1_000)
    channels.begin(5, 5, ["a", "b"])
    channels.look("a", 1)
    assert channels.put([("b", message(1_000))], 6)
    assert channels.put([("a", message(10))], 7), "b is given up, not a held up"
    look = channels.look("a", 10)
    assert [len(entry[1]) for entry in look.entries] == [10]
    assert not look.cut
    assert channels.look("b", 10).cut
    assert not channels.continues("b", (5, 0))
    assert channels.durable() == 5, "what was given up is kept by the server"


def test_without_room_nothing_is_put_until_something_is_taken():
    channels = Channels(["a"], 1_000)
    channels.begin(5, 5, ["a"])
    look = channels.look("a", 1)
    assert channels.put([("a", message(1_000))], 6)
    assert not channels.put([("a", message(1))], 7)
    look = channels.look("a", 10)
    assert (len(look.entries), look.reached) == (1, 6)
    channels.took("a", look, 1)
    assert channels.put([("a", message(1))], 7)


def test_the_server_may_forget_what_all_have_confirmed():
    channels = Channels(["a", "b", "broken"], 1_000)
    channels.begin(5, 5, ["a", "b"])
    channels.put([], 50)
    channels.confirm("a", 40)
    assert channels.durable() == 5
    channels.confirm("b", 30)
    assert channels.durable() == 30
    channels.confirm("b", 99)
    assert channels.durable() == 40, "nothing beyond what was read counts as confirmed"
    channels.hold("b")
    channels.confirm("b", 10)
    assert channels.durable() == 40, "it never goes back"


def test_what_ended_a_run_is_told_once_to_each():
    channels = Channels(["a", "b"], 1_000)
    channels.begin(5, 5, ["a", "b"])
    channels.end(SourceUnreachable("gone", fix="wait"))
    for dataset in "ab":
        with pytest.raises(SourceUnreachable):
            channels.look(dataset, 1)
        assert channels.look(dataset, 1).ended
