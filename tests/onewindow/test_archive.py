"""The archive keeps what the topics drop; archive and topics are one history."""

from __future__ import annotations

import uuid
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

from contracts.errors import ArchiveDamaged, TopicWrong
from onewindow import archive as archiving
from onewindow.archive import MANIFEST, Archive, History
from onewindow.events_log import EventsLog
from onewindow.parquet_files import ArchivedRecord
from producers.publisher import Publisher, Record

DAY_MS = 86_400_000
NOON = 1_794_636_000_000  # 2026-11-14 in China; a broker refuses a time that lies ahead


def quiet(*_: int) -> None:
    """No progress."""


class Topic:
    """A topic of one partition, and its log."""

    def __init__(self, bootstrap: str, name: str) -> None:
        self.name, self._bootstrap, self._moment = name, bootstrap, NOON / 1_000
        self.place = (name, 0)
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(name, 1, 1, topic_configs={"retention.ms": "-1"})])
        admin.close()
        self.log = EventsLog(bootstrap, [name])
        self._publisher = Publisher(bootstrap, "test", now=lambda: self._moment)

    def say(self, *values: str, day: int = 0) -> None:
        """Append events as streams does, ``day`` days after the first."""
        self._moment = NOON / 1_000 + day * 86_400
        first = self.end
        headers = [
            (("ce_source", b"department.a.b/0"), ("ce_sequence", b"%d" % (first + n))) for n in range(len(values))
        ]
        self._publisher.publish(
            self.name,
            [Record(b"key", value.encode(), tuple(each), 0) for value, each in zip(values, headers, strict=True)],
        )
        self._publisher.flush()

    @property
    def end(self) -> int:
        return self.log.ends().get(self.place, 0)

    def archive(self, into: Archive):
        return into.write(self.log, self.log.ends(), quiet)

    def close(self) -> None:
        self._publisher.close()
        self.log.close()


@pytest.fixture
def topic(broker):
    made = Topic(broker.bootstrap, f"department.s{uuid.uuid4().hex[:8]}.people")
    yield made
    made.close()


def everything(archive: Archive, topic: Topic) -> list[ArchivedRecord]:
    return [record for _, _, records in archive.records(*topic.place, 0, topic.end) for record in records]


def test_it_holds_each_record_unchanged_and_once(topic: Topic, tmp_path: Path):
    archive = Archive(tmp_path)
    topic.say("one", "two", '{"name":"王芳"}')
    topic.archive(archive)
    topic.say("three")
    assert topic.archive(archive)[0].first == 3
    assert topic.archive(archive) == []
    in_log = [record for _, _, records in topic.log.records(*topic.place, 0, topic.end) for record in records]
    assert everything(archive, topic) == [
        (record.offset, record.timestamp, record.key, record.value, list(record.headers)) for record in in_log
    ]
    assert archive.check(quiet) == 4


def test_files_lie_by_system_dataset_and_day(topic: Topic, tmp_path: Path):
    topic.say("one", "two")
    topic.say("three", day=1)
    topic.say("late", day=0)
    made = topic.archive(Archive(tmp_path))
    system = topic.name.split(".")[1]
    assert [(file.rows, file.day) for file in made] == [(2, "2026-11-14"), (2, "2026-11-15")]
    assert made[0].path.startswith(f"system={system}/dataset=people/day=2026-11-14/")


def test_large_partitions_are_cut(topic: Topic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(archiving, "_FILE_ROWS", 3)
    topic.say(*map(str, range(8)))
    made = topic.archive(Archive(tmp_path))
    assert [(file.first, file.to, file.rows) for file in made] == [(0, 3, 3), (3, 6, 3), (6, 8, 2)]
    assert [int(record.value or b"") for record in everything(Archive(tmp_path), topic)] == list(range(8))


def test_duckdb_reads_it(topic: Topic, tmp_path: Path):
    topic.say('{"op":"upsert"}', '{"op":"delete"}')
    topic.archive(Archive(tmp_path))
    found = duckdb.sql(
        "SELECT system, day::text, decode(value)->>'$.op' AS op, count(*) "
        f"FROM read_parquet('{tmp_path}/*/*/*/*.parquet', hive_partitioning = true) GROUP BY ALL ORDER BY op"
    ).fetchall()
    system = topic.name.split(".")[1]
    assert found == [(system, "2026-11-14", "delete", 1), (system, "2026-11-14", "upsert", 1)]


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("harm", [damage, Path.unlink], ids=["a flipped bit", "a missing file"])
def test_a_file_that_is_not_what_was_written_is_never_served(topic: Topic, tmp_path: Path, harm):
    archive = Archive(tmp_path)
    topic.say("one")
    (file,) = topic.archive(archive)
    harm(tmp_path / file.path)
    for use in (lambda: everything(archive, topic), lambda: archive.check(quiet)):
        with pytest.raises(ArchiveDamaged):
            use()


def test_a_hole_is_never_served(topic: Topic, tmp_path: Path):
    archive = Archive(tmp_path)
    for value in ("one", "two", "three"):
        topic.say(value)
        topic.archive(archive)
    lines = (tmp_path / MANIFEST).read_text().splitlines(keepends=True)
    (tmp_path / MANIFEST).write_text(lines[0] + lines[2])
    for use in (lambda: everything(archive, topic), lambda: archive.check(quiet)):
        with pytest.raises(ArchiveDamaged, match="hole"):
            use()


def test_a_line_that_was_cut_short_counts_for_nothing(topic: Topic, tmp_path: Path):
    archive = Archive(tmp_path)
    topic.say("one")
    topic.archive(archive)
    manifest = tmp_path / MANIFEST
    topic.say("two")
    topic.archive(archive)
    manifest.write_bytes(manifest.read_bytes()[:-9])
    assert archive.ends() == {topic.place: 1}
    topic.archive(archive)
    assert [record.value for record in everything(archive, topic)] == [b"one", b"two"]


class Trimmed:
    """A log that has dropped what lies before an offset."""

    def __init__(self, log: EventsLog, start: int) -> None:
        self._log, self._start = log, start

    def records(self, topic, partition, at, end):
        assert at >= self._start, "asked for what is gone"
        return self._log.records(topic, partition, at, end)


def test_archive_and_topic_are_one_history(topic: Topic, tmp_path: Path):
    archive = Archive(tmp_path)
    topic.say("0", "1", "2")
    topic.archive(archive)
    topic.say("3", "4")
    history = History(archive, Trimmed(topic.log, 3))
    for since in range(6):
        found = [
            (arrival.offset, arrival.number, arrival.value)
            for batch in history.batches({topic.place: 5}, {topic.place: since})
            for arrival in batch.arrivals
        ]
        assert found == [(n, n, str(n).encode()) for n in range(since, 5)]


def test_what_was_dropped_before_it_was_archived_is_a_clear_error():
    """The log begins at 5; neither the archive nor the log can give what lies before."""
    log = EventsLog.__new__(EventsLog)
    place = SimpleNamespace()
    log._consumer = SimpleNamespace(
        assign=lambda _: None, seek=lambda *_: None, position=lambda _: 7, beginning_offsets=lambda _: dict.fromkeys(_, 5),
        poll=lambda **_: {place: []},
    )  # fmt: skip
    log._poll = lambda _: [SimpleNamespace(offset=5), SimpleNamespace(offset=6)]
    with pytest.raises(TopicWrong):
        list(log.records("t", 0, 0, 7))


def test_a_topic_that_has_dropped_all_it_held_is_not_taken_for_an_empty_one(topic: Topic, broker, tmp_path: Path):
    archive = Archive(tmp_path)
    topic.say("0", "1", "2")
    topic.archive(archive)
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.delete_records({TopicPartition(*topic.place): 3})
    admin.close()
    with pytest.raises(TopicWrong, match="archive"):
        list(topic.log.records(*topic.place, 0, 3))
    topic.say("3")
    found = [
        record.value for _, _, records in History(archive, topic.log).records(*topic.place, 0, 4) for record in records
    ]
    assert found == [b"0", b"1", b"2", b"3"]
