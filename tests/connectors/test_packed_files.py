"""Dumps in other forms than CSV, through the files connector: workbooks, zip, fixed width, no header."""

from __future__ import annotations

import io
import random
import zipfile
from datetime import date, datetime

import pytest
from openpyxl import Workbook
from test_files import City

from connectors import _unpacking
from contracts.errors import DumpTruncated, FileColumnsWrong, FileTooLarge, FileUnreadable, SettingInvalid
from contracts.sources import Source
from streams.mapping import RecordMap, Refusal

NAMES = {"1": "张三", "2": "李四", "3": "王五"}


def saved(book):
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def workbook(*rows, title="名册", merged=()):
    book = Workbook()
    sheet = book.active
    sheet.title = title
    for row in rows:
        sheet.append(list(row))
    for cells in merged:
        sheet.merge_cells(cells)
    return saved(book)


def zipped(**files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return stream.getvalue()


def names(city):
    return {key: record["姓名"] for key, record in city.records.items()}


@pytest.fixture
def xlsx(tmp_path):
    return City(tmp_path, pattern="elder_{period}.xlsx")


def test_a_workbook_is_read_as_its_rows_and_compared_with_the_one_before(xlsx):
    xlsx.drop("elder_202601.xlsx", workbook(("编号", "姓名"), *NAMES.items()))
    first = xlsx.look()
    assert names(xlsx) == NAMES
    assert [change.place for page in first for change in page.changes][:2] == [
        "elder_202601.xlsx, 名册:2", "elder_202601.xlsx, 名册:3",
    ]  # fmt: skip
    xlsx.options["disappear_limit"] = 0.5
    xlsx.drop("elder_202602.xlsx", workbook(("编号", "姓名"), ("1", "张三"), ("2", "李斯")))
    xlsx.look()
    assert names(xlsx) == {"1": "张三", "2": "李斯"}
    assert xlsx.duplicates == 1


def test_a_crash_after_every_page_and_a_lost_state_change_nothing(xlsx):
    rows = [(str(number), f"name {number}") for number in range(20)]
    xlsx.drop("elder_202601.xlsx", workbook(("编号", "姓名"), *rows))
    xlsx.take(next(xlsx.connector().pull("elder", xlsx.position)))
    (xlsx.state / "ageing.elder").joinpath(next((xlsx.state / "ageing.elder").glob("*.dump")).name).unlink()
    xlsx.look_and_crash_after_every_page()
    assert names(xlsx) == dict(rows)
    assert xlsx.published == 20


def test_titles_and_blank_rows_around_the_table_are_no_records_and_places_are_those_of_the_sheet(xlsx):
    xlsx.drop(
        "elder_202601.xlsx",
        workbook(("某社区老年人名册",), ("2026年1月",), ("编号", "姓名"), ("1", "张三"), (), ("2", "李四")),
    )
    pages = xlsx.look()
    assert names(xlsx) == {"1": "张三", "2": "李四"}
    assert [change.place for page in pages for change in page.changes] == [
        "elder_202601.xlsx, 名册:4", "elder_202601.xlsx, 名册:6",
    ]  # fmt: skip


def test_merged_headers_and_cells_say_for_each_cell_what_is_seen(tmp_path):
    city = City(
        tmp_path, pattern="elder_{period}.xlsx",
        map={"name": "姓名", "address": "住址.楼", "phone": "联系.电话"},
    )  # fmt: skip
    rows = [
        ("编号", "姓名", "住址", None, "联系", None),
        (None, None, "楼", "单元", "电话", "单元"),
        ("1", "张三", "8号楼", "1", "0531-1", "x"),
        ("2", "李四", None, "2", "0531-2", "y"),
        ("3", "王五", "9号楼", "1", "0531-3", "z"),
    ]
    merged = ("A1:A2", "B1:B2", "C1:D1", "E1:F1", "C3:C4")
    city.drop("elder_202601.xlsx", workbook(*rows, merged=merged))
    city.look()
    assert {key: (record["住址.楼"], record["联系.电话"], record["住址.单元"]) for key, record in city.records.items()} == {
        "1": ("8号楼", "0531-1", "1"), "2": ("8号楼", "0531-2", "2"), "3": ("9号楼", "0531-3", "1"),
    }  # fmt: skip


def test_of_sheets_named_by_month_the_newest_is_read(tmp_path):
    city = City(tmp_path, pattern="elder.xlsx", sheet="{month}月")
    book = Workbook()
    for month in (9, 10, 2):
        sheet = book.create_sheet(f"{month}月")
        sheet.append(["编号", "姓名"])
        sheet.append([str(month), f"name {month}"])
    city.drop("elder.xlsx", saved(book))
    city.look()
    assert names(city) == {"10": "name 10"}


def test_of_sheets_named_by_year_and_month_the_newest_is_read(tmp_path):
    city = City(tmp_path, pattern="elder.xlsx", sheet="{year}年{month}月")
    book = Workbook()
    for title in ("2025年12月", "2026年2月", "2026年11月", "2025年1月", "26年12月"):
        sheet = book.create_sheet(title)
        sheet.append(["编号", "姓名"])
        sheet.append([title, title])
    city.drop("elder.xlsx", saved(book))
    city.look()
    assert set(names(city)) == {"2026年11月"}


def test_without_a_named_sheet_the_one_with_the_declared_columns_is_read_and_hidden_ones_are_not(tmp_path):
    city = City(tmp_path, pattern="elder.xlsx")
    book = Workbook()
    book.active.append(["说明"])
    hidden = book.create_sheet("旧")
    hidden.sheet_state = "hidden"
    for sheet, name in ((hidden, "旧"), (book.create_sheet("新"), "新")):
        sheet.append(["编号", "姓名"])
        sheet.append(["1", name])
    city.drop("elder.xlsx", saved(book))
    city.look()
    assert names(city) == {"1": "新"}


def test_json_in_a_cell_gives_its_values_under_their_path(tmp_path):
    city = City(tmp_path, pattern="elder.xlsx", map={"name": "姓名", "phone": "详情.电话"})
    rows = [
        ("编号", "姓名", "详情"),
        ("1", "张三", '{"电话": "0531-1", "x": [1]}'),
        ("2", "李四", "{"),
        ("3", "王五", None),
    ]
    city.drop("elder.xlsx", workbook(*rows))
    city.look()
    assert {key: record["详情.电话"] for key, record in city.records.items()} == {"1": "0531-1", "2": "", "3": ""}


def test_numbers_days_and_breaks_become_the_text_that_a_person_sees(tmp_path):
    city = City(tmp_path, pattern="elder.xlsx", map={"name": "姓名", "birth_on": "日"})
    rows = [
        ("编号", "姓名", "日", "数", "是"),
        (1, "张\n三", date(1950, 1, 31), 12.5, True),
        (2, "李四", datetime(2026, 1, 2, 3, 4, 5), 7.0, False),  # noqa: DTZ001 - a spreadsheet knows no zone
    ]
    city.drop("elder.xlsx", workbook(*rows))
    city.look()
    assert [list(record.values()) for record in city.records.values()] == [
        ["1", "张 三", "1950-01-31", "12.5", "TRUE"], ["2", "李四", "2026-01-02 03:04:05", "7", "FALSE"],
    ]  # fmt: skip


def test_an_id_number_that_the_spreadsheet_took_for_a_number_is_refused_and_never_guessed(tmp_path):
    declared = {"name": "姓名", "id_number": "证"}
    city = City(tmp_path, pattern="elder.xlsx", map=declared)
    city.drop("elder.xlsx", workbook(("编号", "姓名", "证"), ("1", "张三", 379901194910010132)))
    city.look()
    record = city.records["1"]
    assert "E+17" in record["证"]
    mapping = Source.model_validate(
        {"system": "a", "title": "", "owner": "", "connector": {"kind": "files", "folder": "x"},
         "datasets": {"d": {"key": ["编号"], "map": declared}}}
    ).datasets["d"]  # fmt: skip
    found = RecordMap(mapping, today=date(2026, 11, 1)).map(record)
    assert isinstance(found, Refusal)
    assert found.field == "id_number"


def test_a_workbook_without_the_columns_says_which_are_missing(xlsx):
    xlsx.drop("elder_202601.xlsx", workbook(("编号", "名"), ("1", "张三")))
    with pytest.raises(FileColumnsWrong, match="lacks the columns 姓名"):
        xlsx.look()


@pytest.mark.parametrize("keep", [1_000, -30])
def test_a_workbook_that_was_cut_off_is_not_whole(xlsx, keep):
    whole = workbook(("编号", "姓名"), *NAMES.items())
    xlsx.drop("elder_202601.xlsx", whole[:keep])
    with pytest.raises(DumpTruncated):
        xlsx.look()


def test_a_sheet_that_is_not_there_is_named_with_those_that_are(tmp_path):
    city = City(tmp_path, pattern="elder.xlsx", sheet="老年人")
    city.drop("elder.xlsx", workbook(("编号", "姓名"), ("1", "张三")))
    with pytest.raises(FileUnreadable, match="no sheet 老年人; it has 名册"):
        city.look()


# zip -----------------------------------------------------------------------------------------------------------------


def test_a_zipped_dump_is_read_as_what_it_holds(tmp_path):
    city = City(tmp_path, pattern="elder_{period}.zip")
    city.drop("elder_202601.zip", zipped(**{"a.csv": "编号,姓名\n1,张三\n".encode("gbk"), "__MACOSX/x": b"x"}))
    city.look()
    city.drop("elder_202602.zip", zipped(**{"b.xlsx": workbook(("编号", "姓名"), ("1", "张三"), ("2", "李四"))}))
    city.look()
    assert names(city) == {"1": "张三", "2": "李四"}


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({}, FileUnreadable),
        ({"a.csv": b"1", "b.csv": b"2"}, FileUnreadable),
        ({"a.csv": b"0" * 3_000_000}, FileTooLarge),
    ],
)
def test_a_zip_file_that_holds_no_one_dump_of_reasonable_size_is_not_read(tmp_path, monkeypatch, files, error):
    monkeypatch.setattr(_unpacking, "INFLATED_BYTES", 2_000_000)
    city = City(tmp_path, pattern="elder.zip")
    city.drop("elder.zip", zipped(**files))
    with pytest.raises(error):
        city.look()
    assert not city.records
    assert not list(city.state.rglob("unpacking-*"))


def test_a_damaged_zip_file_is_not_whole(tmp_path):
    city = City(tmp_path, pattern="elder.zip")
    noise = random.Random(1).randbytes(5_000)
    whole = bytearray(zipped(**{"a.csv": "编号,姓名\n1,张三\n".encode() + noise}))
    whole[200] ^= 0xFF
    city.drop("elder.zip", bytes(whole))
    with pytest.raises(DumpTruncated):
        city.look()


def test_a_locked_zip_file_asks_for_an_unlocked_one(tmp_path):
    city = City(tmp_path, pattern="elder.zip")
    data = bytearray(zipped(**{"a.csv": "编号,姓名\n1,张三\n".encode()}))
    data[6] |= 1  # general purpose flag: encrypted; here and in the central directory
    data[data.index(b"PK\x01\x02") + 8] |= 1
    city.drop("elder.zip", bytes(data))
    with pytest.raises(FileUnreadable, match="password"):
        city.look()


def test_a_workbook_of_too_many_cells_is_not_built(xlsx, monkeypatch):
    monkeypatch.setattr(_unpacking, "CELLS", 5)
    xlsx.drop("elder_202601.xlsx", workbook(("编号", "姓名"), *NAMES.items()))
    with pytest.raises(FileTooLarge):
        xlsx.look()


def test_a_workbook_that_bursts_while_it_is_built_takes_nobody_with_it(xlsx, monkeypatch):
    """Two cells span the whole sheet: seventeen thousand million cells to whoever believes it."""
    monkeypatch.setattr(_unpacking, "_MEMORY_BYTES", 1 << 30)
    book = Workbook()
    book.active.append(["编号", "姓名"])
    book.active.cell(1_048_576, 16_384, "x")
    xlsx.drop("elder_202601.xlsx", saved(book))
    with pytest.raises(FileTooLarge):
        xlsx.look()


# without a header ----------------------------------------------------------------------------------------------------


def test_columns_of_fixed_width_are_cut_by_bytes(tmp_path):
    city = City(tmp_path, pattern="elder.txt", encoding="gbk", columns=["编号", "姓名", "级"], widths=[4, 10, 1])
    lines = [f"{key:<4}".encode() + name.encode("gbk").ljust(10) + b"1" for key, name in NAMES.items()]
    city.drop("elder.txt", b"\r\n".join([*lines[:2], b"short", lines[2], b""]))
    pages = city.look()
    assert {key: record["姓名"] for key, record in city.records.items() if "姓名" in record} == NAMES
    bad = [change for page in pages for change in page.changes if "unreadable_row" in change.record]
    assert [(change.place, change.record["编号"]) for change in bad] == [("elder.txt:3", None)]


def test_lines_without_a_header_have_the_declared_columns(tmp_path):
    city = City(tmp_path, pattern="elder.txt", encoding="gbk", columns=["编号", "姓名", "级"])
    city.drop("elder.txt", "".join(f"{key}|{name}|1|\n" for key, name in NAMES.items()).encode("gbk"))
    pages = city.look()
    assert names(city) == NAMES
    assert pages[0].changes[0].place == "elder.txt:1"


def test_widths_without_names_are_a_setting_to_correct(tmp_path):
    city = City(tmp_path, pattern="elder.txt", columns=["编号"], widths=[4, 10])
    city.drop("elder.txt", b"1")
    with pytest.raises(SettingInvalid):
        city.look()


def test_nothing_is_taken_before_the_department_says_that_it_is_done(tmp_path):
    city = City(tmp_path)
    connector = city.connector()
    connector._done, connector._unfinished = ".done", (".part", ".done")
    city.drop("elder_202601.csv", "编号,姓名\n1,张三\n")
    assert list(connector.pull("elder", None)) == []
    city.drop("elder_202601.csv.done", "")
    assert [change.key for page in connector.pull("elder", None) for change in page.changes] == ["1"]
