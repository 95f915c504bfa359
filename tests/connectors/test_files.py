"""The files connector on real folders: whatever comes, the last whole dump is the state, and nobody is deleted in error."""

from __future__ import annotations

import os
import subprocess
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Delete, Page
from connectors.files import FilesConnector
from connectors.periods import file_pattern, period
from contracts.errors import (
    DumpTooEarly,
    DumpTruncated,
    FileColumnsWrong,
    FileEncodingWrong,
    FolderMissing,
    OneWindowError,
    PositionLost,
    SettingInvalid,
)
from contracts.sources import Source

NOW = 1_790_000_000.0  # 2026-09-21


def source(folder: Path, *, page_rows: int = 3, pattern: str = "elder_{period}.csv", **dataset) -> Source:
    return Source.model_validate(
        {
            "system": "ageing",
            "title": "老龄",
            "owner": "老龄办",
            "connector": {"kind": "files", "folder": str(folder), "page_rows": page_rows, "settle_s": 1.0},
            "datasets": {"elder": {"pattern": pattern, "key": ["编号"], "map": {"name": "姓名"}} | dataset},
        }
    )


class City:
    """A drop folder, a connector's state, and what its changes add up to."""

    def __init__(self, path: Path, **options) -> None:
        self.folder, self.state, self.options = path / "drop", path / "state", options
        self.folder.mkdir(parents=True)
        self.clock, self.position = NOW - 10_000, None
        self.records: dict[str, dict] = {}
        self.read: set[str] = set()  # keys that came since reading began
        self.published = self.duplicates = self.stale = 0
        self.notes: list[str] = []
        self.asks: list[str] = []
        self.fixes: list[str] = []

    def connector(self) -> FilesConnector:
        return FilesConnector(source(self.folder, **self.options), self.state, now=lambda: NOW)

    def drop(self, name: str, text: str | bytes, encoding: str = "utf-8") -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        self.clock += 10
        os.utime(path, (self.clock, self.clock))
        return path

    def take(self, page: Page) -> None:
        for change in page.changes:
            if isinstance(change, Delete):
                self.records.pop(change.key, None)
            else:
                self.records[change.key] = change.record
                self.read.add(change.key)
        if page.mark == "complete":
            self.records = {key: record for key, record in self.records.items() if key in self.read}
        self.published += len(page.changes)
        self.duplicates, self.stale = self.duplicates + page.duplicates, self.stale + page.stale
        self.notes += page.notes
        self.asks = [question.code for question in page.asks]
        self.fixes = [question.fix for question in page.asks]
        self.position = page.position

    def look(self) -> list[Page]:
        pages = []
        for page in islice(self.connector().pull("elder", self.position), 1_000):
            pages.append(page)
            self.take(page)
        assert len(pages) < 1_000
        return pages

    def read_again(self) -> None:
        self.position, self.read = None, set()

    def lose_state(self) -> None:
        for path in sorted(self.state.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()

    def answer(self) -> Path:
        """Do what the open question says."""
        command = self.fixes[0].rpartition("run: ")[2]
        subprocess.run(["/bin/sh", "-c", command], check=True)
        return next(self.folder.glob("*.approved"))

    def look_and_crash_after_every_page(self) -> None:
        """Each page is taken, and then the process ends; the next begins where that page's position says."""
        for _ in range(1_000):
            page = next(self.connector().pull("elder", self.position), None)
            if page is None:
                return
            self.take(page)
        raise AssertionError("it never ended")


def dump(rows: dict[str, str]) -> str:
    return "编号,姓名\n" + "".join(f"{key},{name}\n" for key, name in rows.items())


def names(city: City) -> dict[str, str]:
    return {key: record["姓名"] for key, record in city.records.items()}


@pytest.fixture
def city(tmp_path):
    return City(tmp_path)


DUMPS = st.lists(
    st.dictionaries(st.sampled_from("abcdefg"), st.sampled_from(["李", "王", "陈"]), min_size=1), min_size=1, max_size=6
)


@given(dumps=DUMPS, page_rows=st.integers(1, 4), crash=st.booleans(), together=st.booleans(), reread=st.integers(-1, 5))
def test_after_any_sequence_of_dumps_the_state_is_the_last_one(
    tmp_path_factory, dumps, page_rows, crash, together, reread
):
    city = City(tmp_path_factory.mktemp("city"), page_rows=page_rows, disappear_limit=1)
    for number, rows in enumerate(dumps):
        city.drop(f"elder_2026{number + 1:02d}.csv", dump(rows))
        if number == reread:
            city.read_again()
        if not together:
            city.look_and_crash_after_every_page() if crash else city.look()
    city.look_and_crash_after_every_page() if crash else city.look()
    assert names(city) == dumps[-1]
    if not together and reread < 0:
        assert city.published + city.duplicates >= len(dumps[0])
        before: dict[str, str] = {}
        changed = 0
        for rows in dumps:
            changed += sum(before.get(key) != name for key, name in rows.items()) + len(before.keys() - rows.keys())
            before = rows
        assert city.published == changed  # a repeated dump publishes nothing, a changed row once


@given(data=st.data())
def test_a_dump_cut_anywhere_deletes_nobody_and_changes_nobody(tmp_path_factory, data):
    city = City(tmp_path_factory.mktemp("city"), disappear_limit=1)
    people = {f"k{number}": f"李{number}" for number in range(12)}
    city.drop("elder_202601.csv", dump(people))
    city.look()
    whole = dump(people | {"k3": "改"}).encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    city.drop("elder_202602.csv", cut)
    if cut.endswith(b"\n") and cut.count(b"\n") > 1:  # cut between two rows: no one can tell, but for the limit
        return
    with pytest.raises((DumpTruncated, FileEncodingWrong, FileColumnsWrong)):
        city.look()
    assert names(city) == people
    city.drop("elder_202602.csv", whole)
    city.look()
    assert names(city) == people | {"k3": "改"}


def test_the_first_dump_is_a_snapshot_and_later_ones_are_changes(city):
    city.drop("elder_202601.csv", dump({"1": "李", "2": "王", "3": "陈", "4": "张"}))
    first = city.look()
    assert all(page.snapshot for page in first if page.changes)
    assert [change.committed_at for page in first for change in page.changes] == [None] * 4
    assert first[0].changes[0].place == "elder_202601.csv:2"
    assert (first[-1].done, first[-1].total) == (4, 4)
    city.drop("elder_202602.csv", dump({"1": "李", "2": "王五", "3": "陈", "5": "赵", "4": "张"}))
    second = city.look()
    changes = [change for page in second for change in page.changes]
    assert [(change.key, change.place) for change in changes] == [
        ("2", "elder_202602.csv:3"),
        ("5", "elder_202602.csv:5"),
    ]
    assert all(change.committed_at and change.committed_at.endswith("Z") for change in changes)
    assert not any(page.snapshot for page in second)
    assert city.duplicates == 3
    assert city.look() == []


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("gbk", None), ("gb18030", None), ("utf-8", None), ("utf-8-sig", None), ("utf-16", None), ("gbk", "gbk"),
     ("gb18030", "gb2312"), ("utf-8-sig", "utf-8"), ("gb18030", "gb18030")],
)  # fmt: skip
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encodings_and_delimiters(tmp_path, encoding, declared, delimiter):
    name = "买买提·艾力" if encoding != "gb2312" else "李"
    if encoding == "gb18030":
        name = "㐀𠀀"  # beyond GBK
    city = City(tmp_path, encoding=declared)
    city.drop("elder_202601.csv", f"编号{delimiter}姓名{delimiter}备注\r\n1{delimiter}{name}{delimiter}\r\n", encoding)
    city.look()
    assert city.records == {"1": {"编号": "1", "姓名": name, "备注": ""}}


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (b"", DumpTruncated, "empty"),
        (b"\n\n", DumpTruncated, "no header"),
        ("编号,姓名\n", DumpTruncated, "no row"),
        ("9,孙\n8,吴\n", DumpTruncated, "no header"),
        ("编号,姓名\n1,李\n2", DumpTruncated, "last row"),
        ("编号,姓名\n1,李\n2\n", DumpTruncated, "last row"),
        ("编号,姓名\n1,李\n2,王", DumpTruncated, "new line"),
        ('编号,姓名\n1,李\n2,"王\n', DumpTruncated, "quoted"),
        ("编号,名字\n1,李\n", FileColumnsWrong, "lacks the columns 姓名; of its 2 columns, these are declared: 编号\n"),
        ("编号,姓名,姓名\n1,李,李\n", FileColumnsWrong, "more than once"),
        ("编号,姓名\n1,李\n".encode() + b"\xff\xff,\xff\n", FileEncodingWrong, "byte"),
    ],
)
def test_what_is_no_whole_dump_is_refused_until_a_newer_one_comes(city, text, error, words):
    people = {"1": "李", "2": "王"}
    city.drop("elder_202601.csv", dump(people))
    city.look()
    city.drop("elder_202602.csv", text)
    connector = city.connector()
    for _ in range(2):  # at each look, without reading it again
        with pytest.raises(error, match=words) as caught:
            list(connector.pull("elder", city.position))
    assert "elder_202602.csv" in caught.value.finding
    assert names(city) == people
    city.drop("elder_202603.csv", dump(people | {"3": "陈"}))
    city.look()
    assert names(city) == people | {"3": "陈"}
    assert any("elder_202602.csv can't be read and is left out" in note for note in city.notes)
    assert city.look() == []


def test_a_dump_without_final_newline_is_taken_where_that_is_the_habit(city):
    city.drop("elder_202601.csv", "编号,姓名\n1,李\n2,王")
    city.look()
    city.drop("elder_202602.csv", "编号,姓名\n1,李\n2,王五")
    city.look()
    assert names(city) == {"1": "李", "2": "王五"}


def test_files_at_work_are_left_alone(city):
    city.drop("elder_202601.csv.part", dump({"1": "李"}))
    city.drop(".elder_202601.csv", dump({"1": "李"}))
    city.drop("elder_202699.csv", dump({"1": "李"}))
    fresh = city.drop("elder_202601.csv", dump({"1": "李"}))
    os.utime(fresh, (NOW - 0.5, NOW - 0.5))
    assert city.look() == []
    os.utime(fresh, (NOW - 1, NOW - 1))
    city.look()
    assert names(city) == {"1": "李"}


def test_a_dump_of_a_month_to_come_is_not_taken_and_not_passed_over_in_silence(city):
    city.drop("elder_202611.csv", dump({"1": "王"}))  # now it is September
    city.drop("elder_202610.csv", dump({"1": "李"}))
    with pytest.raises(DumpTooEarly, match=r"elder_202611\.csv is named for a month"):
        city.look()
    assert names(city) == {"1": "李"}  # all else is
    assert [finding.level for finding in city.connector().check()] == ["ok", "ok", "warn"]
    (city.folder / "elder_202611.csv").rename(city.folder / "elder_202609.csv")
    city.look()
    assert names(city) == {"1": "李"}


def test_a_clock_that_lags_behind_the_file_server_does_not_hold_a_file(tmp_path):
    clock = [NOW]
    city = City(tmp_path)
    os.utime(city.drop("elder_202601.csv", dump({"1": "李"})), (NOW + 3_600, NOW + 3_600))
    connector = FilesConnector(source(city.folder), city.state, now=lambda: clock[0])
    assert list(connector.pull("elder", None)) == []
    clock[0] += 1
    assert list(connector.pull("elder", None)) != []


def test_the_same_content_again_and_older_dumps_are_counted_and_said_once(city):
    people = {"1": "李", "2": "王"}
    city.drop("elder_202603.csv", dump(people))
    city.look()
    city.drop("elder_202604.csv", dump(people))
    city.drop("elder_202602.csv", dump({"1": "旧"}))
    city.look()
    assert (city.duplicates, city.stale) == (2, 1)
    assert len(city.notes) == 2
    city.drop("elder_202603.csv", dump(people))  # only touched
    city.look()
    assert city.duplicates == 4
    assert city.look() == []
    assert names(city) == people


def test_the_same_name_with_new_content_is_a_new_version(city):
    city.drop("elder_202603.csv", dump({"1": "李", "2": "王"}))
    city.look()
    city.drop("elder_202603.csv", dump({"1": "李", "2": "王五"}))
    city.look()
    city.drop("elder_202603.csv", dump({"1": "李", "2": "王"}))
    pages = city.look()
    assert names(city) == {"1": "李", "2": "王"}
    assert [change.key for page in pages for change in page.changes] == ["2"]


def test_a_column_that_is_renamed_or_added_gives_every_row_again(city):
    city.drop("elder_202603.csv", "编号,姓名,备注\n1,李,x\n")
    city.look()
    city.drop("elder_202604.csv", "编号,姓名,说明\n1,李,x\n")
    city.look()
    assert city.records == {"1": {"编号": "1", "姓名": "李", "说明": "x"}}


def test_too_many_absent_are_kept_until_they_return(tmp_path):
    city = City(tmp_path, disappear_limit=0.2)
    people = {str(number): "李" for number in range(10)}
    city.drop("elder_202601.csv", dump(people))
    city.look()
    city.drop("elder_202602.csv", dump({"1": "王", "2": "李", "new": "新"}))
    city.look()
    assert names(city) == people | {"1": "王", "new": "新"}
    assert "OW-1207" in city.notes[-1]
    assert "8 of 10 records are absent" in city.notes[-1]
    assert city.asks == ["OW-1207"]
    city.drop("elder_202512.csv", dump({"1": "旧"}))  # left out: a question stays open while other files are looked at
    city.look()
    assert city.asks == ["OW-1207"]
    published = city.published
    city.drop("elder_202603.csv", dump(people | {"1": "王", "new": "新"} | {"3": "改"}))
    city.look()
    assert city.published == published + 1  # those that came back were never gone
    assert city.asks == []
    assert names(city) == people | {"1": "王", "new": "新", "3": "改"}
    remaining = {
        key: name for key, name in (people | {"1": "王", "new": "新", "3": "改"}).items() if key not in ("8", "9")
    }
    city.drop("elder_202604.csv", dump(remaining))
    city.look()
    assert names(city) == remaining


@pytest.mark.parametrize("crash", [False, True])
def test_a_person_can_approve_what_is_absent(tmp_path, crash):
    city = City(tmp_path, disappear_limit=0.1)
    people = {str(number): "李" for number in range(10)}
    city.drop("elder_202601.csv", dump(people))
    city.look()
    city.drop("elder_202602.csv", dump({"1": "李"}))
    city.look()
    assert names(city) == people
    assert city.asks == ["OW-1207"]
    city.answer()
    city.look_and_crash_after_every_page() if crash else city.look()
    assert names(city) == {"1": "李"}
    assert "elder_202602.csv was approved: 9 absent records are deleted" in city.notes
    assert city.asks == []
    city.look()
    city.drop("elder_202603.csv", dump({"1": "李", "2": "回"}))
    city.look()
    assert names(city) == {"1": "李", "2": "回"}
    assert city.look() == []


@pytest.mark.parametrize("said", [b"", b"yes\n", b"0123456789ab\n"])
def test_a_file_that_does_not_answer_the_question_approves_nothing(tmp_path, said):
    city = City(tmp_path, disappear_limit=0.1)
    people = {str(number): "李" for number in range(10)}
    city.drop("elder_202601.csv", dump(people))
    city.look()
    (city.folder / "elder_202602.csv.approved").write_bytes(said)
    city.drop("elder_202602.csv", dump({"1": "李"}))
    for _ in range(3):
        city.look()
    assert names(city) == people
    assert city.asks == ["OW-1207"]


def test_an_approval_counts_once_and_for_one_content(tmp_path):
    """One file name for all dumps, and the approval of the first stays where it is."""
    city = City(tmp_path, disappear_limit=0.1, pattern="elder.csv")
    people = {str(number): "李" for number in range(10)}
    city.drop("elder.csv", dump(people))
    city.look()
    city.drop("elder.csv", dump({"1": "李"}))
    city.look()
    city.answer()
    city.look()
    assert names(city) == {"1": "李"}
    for rows in (people, {"2": "李"}, people, {"1": "李"}):  # the last is the content that was approved
        city.drop("elder.csv", dump(rows))
        city.look()
        city.look()
    assert names(city) == people
    assert city.asks == ["OW-1207"]
    city.answer()
    city.look()
    assert names(city) == {"1": "李"}


def test_an_approval_may_be_written_by_an_editor_in_utf_16(tmp_path):
    city = City(tmp_path, disappear_limit=0.1)
    city.drop("elder_202601.csv", dump({str(number): "李" for number in range(10)}))
    city.look()
    city.drop("elder_202602.csv", dump({"1": "李"}))
    city.look()
    path = city.answer()
    path.write_text(path.read_text(), encoding="utf-16")
    city.look()
    assert names(city) == {"1": "李"}


def rows_of(count: int, **other: str) -> str:
    """People with address, some rows written otherwise."""
    rows = [other.get(f"k{number}", f"k{number},李{number},济南") for number in range(count)]
    return "编号,姓名,住址\n" + "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    "strays",
    [
        {"k100": 'k100,李,"济南', "k108": 'k108,李,济南"'},  # closed in the same column
        {"k100": 'k100,李,"济南', "k101": 'k101,李,济南"'},  # in the next row
        {"k100": 'k100,"李,济南', "k101": 'k101,李",济南'},
        {"k100": '"k100,李,济南', "k108": 'k108",李,济南'},
        {"k100": 'k100,"李,济南', "k108": 'k108,李,济南"'},  # in another column
        {"k100": 'k100,李,"济南', "k108": 'k108,"李,济南'},  # another one that opens
        {"k100": 'k100,李,"济南', "k199": 'k199,李,济南"'},  # the last row
    ],
)
def test_a_stray_quote_takes_nobody_else_along(tmp_path, strays):
    city = City(tmp_path, disappear_limit=1, page_rows=50)
    city.drop("elder_202601.csv", rows_of(200))
    city.look()
    city.drop("elder_202602.csv", rows_of(200, **strays))
    city.look_and_crash_after_every_page()
    people = {f"k{number}" for number in range(200)}
    assert people <= city.records.keys()
    assert all("\n" not in value for record in city.records.values() for value in record.values() if value)
    refused = {key: record for key, record in city.records.items() if key not in people}
    assert sorted(record["unreadable_row"] for record in refused.values()) == sorted(strays.values())
    assert all(record["编号"] is None for record in refused.values())


def test_a_stray_quote_that_is_never_closed_takes_nobody_else_along(tmp_path):
    city = City(tmp_path, disappear_limit=1, page_rows=1_000)
    count = 12_000  # more than the csv module takes for one value
    city.drop("elder_202601.csv", rows_of(count, k100='k100,李,"济南'))
    city.look()
    assert len(city.records) == count
    assert city.records["elder_202601.csv:102"] == {"编号": None, "unreadable_row": 'k100,李,"济南'}
    assert f"k{count - 1}" in city.records


def test_a_row_that_a_stray_quote_made_unreadable_forbids_deletions(tmp_path):
    city = City(tmp_path, disappear_limit=1)
    city.drop("elder_202601.csv", rows_of(20))
    city.look()
    city.drop("elder_202602.csv", rows_of(19, k3='k3,李,"济南', k5='k5,李,济南"'))
    city.look()
    assert "k19" in city.records
    assert city.asks == ["OW-1211"]


def test_a_value_may_have_lines_and_quotes(tmp_path):
    city = City(tmp_path, page_rows=2)
    text = '编号,姓名,住址\n1,李,"济南\n历下, 2 号\n"\n"2\n乙",王,"a ""b"" c"\n3,"陈\n三","x\r\ny, z"\n4,张,5"管\n'
    city.drop("elder_202601.csv", text)
    city.look()
    assert {key: (record["姓名"], record["住址"]) for key, record in city.records.items()} == {
        "1": ("李", "济南\n历下, 2 号\n"),
        "2\n乙": ("王", 'a "b" c'),
        "3": ("陈\n三", "x\r\ny, z"),
        "4": ("张", '5"管'),
    }


def test_the_first_row_of_a_file_without_header_is_not_shown(city):
    city.drop("elder_202601.csv", "编号,37010219300101001X,张三\n1,37010219300101002X,李四\n")
    with pytest.raises(FileColumnsWrong) as caught:
        city.look()
    (finding,) = [finding for finding in city.connector().check() if finding.level == "fail"]
    shown = str(caught.value) + finding.text
    assert "张三" not in shown
    assert "37010219300101001X" not in shown
    (found,) = city.connector().discover()
    assert "37010219300101001X" not in found.columns


def test_a_row_without_a_readable_key_goes_on_and_forbids_deletions(tmp_path):
    city = City(tmp_path, disappear_limit=1)
    city.drop("elder_202601.csv", dump({"1": "李", "2": "王", "3": "陈"}))
    city.look()
    city.drop("elder_202602.csv", "编号,姓名\n1,李\n ,王\n7\n8,a,b\n9,赵\n,\n,,\n")
    city.look()
    assert city.records["elder_202602.csv:3"] == {"编号": " ", "姓名": "王"}
    assert city.records["elder_202602.csv:4"] == {"编号": None, "unreadable_row": "7"}
    assert city.records["elder_202602.csv:5"] == {"编号": None, "unreadable_row": "8,a,b"}
    assert {"2", "3", "9"} <= city.records.keys()
    assert "3 rows have no readable key" in city.notes[-1]
    assert city.asks == ["OW-1211"]
    city.drop("elder_202603.csv", dump({"1": "李", "9": "赵"}))
    city.look()
    assert {"2", "3"}.isdisjoint(city.records)


def test_a_key_twice_in_one_dump(city):
    city.drop("elder_202601.csv", "编号,姓名\n1,甲\n1,乙\n2,丙\n2,丙\n1,甲\n")
    city.look()
    assert names(city) == {"1": "甲", "2": "丙"}
    assert (city.published, city.duplicates) == (4, 1)
    city.drop("elder_202602.csv", "编号,姓名\n1,乙\n1,甲\n2,丙\n")
    city.look()
    assert names(city) == {"1": "甲", "2": "丙"}


@pytest.mark.parametrize("when", ["between", "within", "twice"])
def test_after_a_lost_state_directory_the_newest_dump_is_read_again_and_complete(tmp_path, when):
    city = City(tmp_path, disappear_limit=0.5, page_rows=1)
    city.drop("elder_202601.csv", dump({"1": "李", "2": "王", "3": "陈"}))
    city.look()
    city.drop("elder_202602.csv", dump({"1": "改", "2": "王"}))
    if when == "within":
        city.take(next(city.connector().pull("elder", city.position)))
    for _ in range(2 if when == "twice" else 1):
        city.lose_state()
        with pytest.raises(PositionLost, match="held is no longer known"):
            city.look()
    city.read_again()
    city.look_and_crash_after_every_page()
    assert names(city) == {"1": "改", "2": "王"}
    city.drop("elder_202603.csv", dump({"1": "改"}))
    city.look()
    assert names(city) == {"1": "改"}
    assert city.look() == []


def test_after_a_lost_state_directory_too_short_a_dump_deletes_nobody_until_a_person_says_so(tmp_path):
    city = City(tmp_path, disappear_limit=0.1)
    people = {str(number): "李" for number in range(10)}
    city.drop("elder_202601.csv", dump(people))
    city.look()
    city.lose_state()
    city.drop("elder_202602.csv", dump({"1": "王", "2": "李"}))
    with pytest.raises(PositionLost):
        city.look()
    city.read_again()
    city.look_and_crash_after_every_page()
    assert names(city) == people | {"1": "王"}
    assert city.asks == ["OW-1207"]
    assert "8 of 10 records are absent" in city.notes[-1]
    city.answer()
    city.look()
    assert names(city) == {"1": "王", "2": "李"}
    assert city.asks == []


def test_after_a_lost_state_directory_a_dump_with_unreadable_rows_is_not_complete(tmp_path):
    city = City(tmp_path, disappear_limit=1)
    city.drop("elder_202601.csv", dump({"1": "李", "2": "王", "3": "陈"}))
    city.look()
    city.lose_state()
    city.drop("elder_202602.csv", "编号,姓名\n1,李\n,王\n4,孙\n")
    with pytest.raises(PositionLost):
        city.look()
    city.read_again()
    city.look()
    assert {"1", "2", "3", "4"} <= names(city).keys()
    city.drop("elder_202603.csv", dump({"1": "李", "2": "王", "4": "孙"}))
    city.look()
    assert city.records.keys() == {"1", "2", "4", "elder_202602.csv:3"}


def test_a_file_that_is_removed_while_it_is_read_does_no_harm(tmp_path):
    city = City(tmp_path, disappear_limit=1, page_rows=1)
    city.drop("elder_202601.csv", dump({"1": "李", "2": "王"}))
    city.look()
    path = city.drop("elder_202602.csv", dump({"1": "改", "2": "王"}))
    city.take(next(city.connector().pull("elder", city.position)))
    path.unlink()
    for copy in city.state.rglob("*.dump"):
        copy.unlink()
    city.drop("elder_202603.csv", dump({"1": "李"}))
    city.look()
    assert names(city) == {"1": "李"}


def test_reading_again_takes_the_newest_whole_dump_and_tells_deletions_again(tmp_path):
    city = City(tmp_path, disappear_limit=1)
    for number, rows in enumerate([{"1": "李", "2": "王"}, {"1": "李", "3": "陈"}, {"1": "李", "4": "张"}]):
        city.drop(f"elder_20260{number + 1}.csv", dump(rows))
        city.look()
    city.drop("elder_202604.csv", "")
    city.read_again()
    city.records = {"2": {"姓名": "lost deletion"}}
    with pytest.raises(DumpTruncated):
        city.look()
    assert names(city) == {"1": "李", "4": "张"}
    assert city.stale == 0
    with pytest.raises(DumpTruncated):
        city.look()


def test_the_folder_of_the_department_is_not_touched(city):
    city.drop("elder_202601.csv", dump({"1": "李"}))
    before = [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_ino) for entry in os.scandir(city.folder)]
    city.look()
    assert before == [(entry.name, entry.stat().st_mtime_ns, entry.stat().st_ino) for entry in os.scandir(city.folder)]
    assert [path.suffix for path in city.state.rglob("*") if path.is_file()] != []
    city.look()
    assert [path.suffix for path in city.state.rglob("*") if path.is_file()] == [".manifest"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in city.state.rglob("*"))


def test_a_pattern_without_a_period_goes_by_time(tmp_path):
    city = City(tmp_path, pattern="elder*.csv", disappear_limit=1)
    city.drop("elder_b.csv", dump({"1": "李", "2": "王"}))
    city.drop("elder_a.csv", dump({"1": "改"}))
    city.look()
    assert names(city) == {"1": "改"}


def test_settings_and_folder_that_cannot_work_are_named(tmp_path):
    with pytest.raises(FolderMissing, match="can't be read"):
        list(FilesConnector(source(tmp_path / "nowhere"), tmp_path / "state").pull("elder", None))
    with pytest.raises(SettingInvalid, match="pattern"):
        FilesConnector(source(tmp_path, pattern="a/b.csv"), tmp_path / "state")
    city = City(tmp_path / "c", encoding="klingon")
    city.drop("elder_202601.csv", dump({"1": "李"}))
    with pytest.raises(SettingInvalid, match="klingon"):
        city.look()


def test_check_and_discover_say_what_there_is(city):
    city.drop("elder_202601.csv", dump({"1": "李"}), "gbk")
    city.drop("notes.txt", "x")
    levels = {finding.text.split(":")[0]: finding.level for finding in city.connector().check()}
    assert levels == {
        f"the drop folder {city.folder} can be read": "ok",
        "notes.txt fits the pattern of no dataset and is not read": "warn",
        "elder_202601.csv": "ok",
    }
    found = {dataset.name: dataset for dataset in city.connector().discover()}
    assert tuple(found["elder"].columns) == ("编号", "姓名")
    assert found["elder"].rows == 1
    assert "notes.txt" in found
    city.drop("elder_202602.csv", "")
    (last,) = [finding for finding in city.connector().check() if finding.level == "fail"]
    assert isinstance(last.error, OneWindowError)


@pytest.mark.parametrize(
    ("name", "month"),
    [("网格2026年9月.csv", "202609"), ("网格2026年09月.csv", "202609"), ("网格2026-9.csv", "202609"), ("网格202609.csv", "202609"),
     ("网格2026.10.csv", "202610"), ("网格2026年13月.csv", None), ("网格20269.csv", None), ("网格.csv", None)],
)  # fmt: skip
def test_the_month_of_a_dump_is_read_as_departments_write_it(name, month):
    found = file_pattern("网格{period}.csv").fullmatch(name)
    assert (period(found) if found else None) == month


def test_a_file_that_nobody_may_read_is_found_and_nothing_of_it(tmp_path, monkeypatch):
    """A file of somebody else in the drop folder. To root nothing is forbidden, so the refusal is played."""
    city = City(tmp_path)
    city.drop("elder_202601.csv", "编号,姓名\n1,张三\n".encode())
    city.drop("private.csv", b"x\n")
    real = Path.open

    def opened(path, *arguments, **named):
        if path.name == "private.csv":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", opened)
    found = {each.name: each for each in city.connector().discover()}
    assert (dict(found["private.csv"].columns), found["private.csv"].rows) == ({}, None)
    assert len(found) == 2
