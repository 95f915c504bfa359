"""A drop folder that is wrong in one way."""

from __future__ import annotations

import io
import zipfile

import pytest
from bad import Look, Way, bad
from openpyxl import Workbook

from contracts.sources import Source
from examples.city.people import person

HEADER = "编号,身份证号,姓名,联系电话\n"
PEOPLE = [person(5, number) for number in range(20)]


def line(number: int, name: str | None = None) -> str:
    who = PEOPLE[number]
    return f"{number},{who.id_number},{name or who.name},1390000{number:04d}\n"


def dump(numbers=range(20)) -> str:
    return HEADER + "".join(map(line, numbers))


def zipped(files: dict[str, str | bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


class Drop:
    """The folder, and who reads it."""

    def __init__(self, folder, opened) -> None:
        self.folder = folder
        folder.mkdir()
        declared = {"key": ["编号"], "map": {"id_number": "身份证号", "name": "姓名", "phone": "联系电话"}}
        source = Source.model_validate({
            "system": "ageing", "title": "老龄", "owner": "",
            "connector": {"kind": "files", "folder": str(folder), "settle_s": 0},
            "datasets": {"elder": {"pattern": "elder_{period}.csv", "refuse_limit": 1, "disappear_limit": 0.2, **declared}},
        })  # fmt: skip
        self.way: Way = opened(source)

    def put(self, month: int, content: str | bytes, name: str = "elder_{}.csv", encoding: str = "utf-8") -> None:
        path = self.folder / name.format(f"2026{month:02d}")
        path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))

    def look(self) -> Look:
        return self.way.look()

    @property
    def names(self) -> set[str]:
        return set(self.way.people)


ALL = {who.name for who in PEOPLE}


@pytest.fixture
def drop(opened, tmp_path):
    """With a good dump that was read."""
    made = Drop(tmp_path / "drop", opened)
    made.put(1, dump())
    assert made.look() == Look(counts={"accepted": 20, "duplicate": 0, "stale": 0, "deleted": 0})
    assert made.names == ALL
    return made


def not_taken(drop: Drop, code: str) -> None:
    """Nothing of it is read, nobody is deleted, and the next good dump is taken as if nothing had been."""
    assert drop.look().error == code
    assert drop.names == ALL
    drop.put(3, dump(range(19)))
    found = drop.look()
    assert (found.error, found.counts["deleted"]) == ("", 1)
    assert drop.names == ALL - {PEOPLE[19].name}


NOT_TAKEN = "not taken ({}); nobody is deleted, and the next whole dump is"


@bad("a dump", "cut in the middle of a line", NOT_TAKEN.format("OW-1206"))
def test_cut(drop):
    drop.put(2, dump()[:-9])
    not_taken(drop, "OW-1206")


@bad("a dump", "a file of 0 bytes", NOT_TAKEN.format("OW-1206"))
def test_no_bytes(drop):
    drop.put(2, b"")
    not_taken(drop, "OW-1206")


@bad("a dump", "bytes that are no character in its encoding", NOT_TAKEN.format("OW-1205"))
def test_broken_characters(drop):
    drop.put(2, dump().encode() + b"21,\xff\xfe,\xff,1\n")
    not_taken(drop, "OW-1205")


@bad("a dump", "a declared column is missing, or has another name", NOT_TAKEN.format("OW-1208"))
def test_renamed_column(drop):
    drop.put(2, dump().replace("姓名", "名字"))
    not_taken(drop, "OW-1208")


@bad("a dump", "a zip file under the name of a text", "read: what it is shows in its first bytes")
def test_zip_under_the_name_of_a_text(drop):
    drop.put(2, zipped({"elder.csv": dump().replace(PEOPLE[1].name, "甲")}))
    assert drop.look().counts["accepted"] == 1
    assert "甲" in drop.names


@bad("a dump", "a zip file with two dumps in it", NOT_TAKEN.format("OW-1242"))
def test_two_in_one(drop):
    drop.put(2, zipped({"a.csv": dump(), "b.csv": dump(range(3))}))
    not_taken(drop, "OW-1242")


@bad("a dump", "a zip file that bursts: 3 MB of it inflate to more than 1 GB", NOT_TAKEN.format("OW-1241"))
def test_bomb(drop):
    drop.put(2, zipped({"a.csv": bytes((1 << 30) + 1)}))
    not_taken(drop, "OW-1241")


@bad("a dump", "a damaged zip file", NOT_TAKEN.format("OW-1206"))
def test_damaged_zip(drop):
    whole = bytearray(zipped({"a.csv": dump()}))
    whole[120] ^= 0xFF
    drop.put(2, bytes(whole))
    not_taken(drop, "OW-1206")


@bad("a dump", "a workbook without the declared columns", NOT_TAKEN.format("OW-1208"))
def test_another_workbook(drop):
    book = Workbook()
    book.active.append(["编号", "备注"])
    book.active.append(["1", "x"])
    stream = io.BytesIO()
    book.save(stream)
    drop.put(2, stream.getvalue())
    not_taken(drop, "OW-1208")


@bad(
    "a dump",
    "the month of the file lies in the future",
    "not taken (OW-1243), so that the true ones are not stale after it",
)
def test_future(drop):
    drop.put(1, dump(range(5)), name="elder_209901.csv")
    assert drop.look().error == "OW-1243"
    assert drop.names == ALL
    drop.put(2, dump(range(19)))
    assert drop.look().counts["deleted"] == 1
    assert drop.names == ALL - {PEOPLE[19].name}


@bad("a dump", "only the header", NOT_TAKEN.format("OW-1206"))
def test_nobody_left(drop):
    drop.put(2, HEADER)
    not_taken(drop, "OW-1206")


@bad(
    "a dump",
    "more records are gone than `disappear_limit`",
    "the others are read; nobody is deleted until a person answers (OW-1207)",
)
def test_too_many_gone(drop):
    drop.put(2, dump(range(10)).replace(PEOPLE[3].name, "新名"))
    found = drop.look()
    assert (found.asks, found.counts["deleted"], found.counts["accepted"]) == (["OW-1207"], 0, 1)
    assert drop.names == ALL - {PEOPLE[3].name} | {"新名"}


@bad(
    "a dump",
    "a row without a key, while another record is gone",
    "the row is refused, `key_missing`; nobody is deleted (OW-1211)",
)
def test_unreadable_key(drop):
    drop.put(2, dump(range(19)) + line(19).replace("19,", ",", 1))
    found = drop.look()
    assert (found.asks, found.counts["deleted"]) == (["OW-1211"], 0)
    assert [reason for reason, _ in drop.way.refused] == ["key_missing"]
    assert drop.names == ALL


@bad("a dump", "the same key twice", "the last row counts")
def test_key_twice(drop):
    drop.put(2, dump() + line(4, "后者"))
    drop.look()
    assert drop.names == ALL - {PEOPLE[4].name} | {"后者"}


@bad("a dump", "the same content again, under a new name", "counted as duplicates")
def test_again(drop):
    drop.put(2, dump())
    found = drop.look()
    assert (found.counts["duplicate"], found.counts["accepted"], found.counts["deleted"]) == (20, 0, 0)


@bad("a dump", "of a month before the last one, and late", "counted as stale, and changes nothing")
def test_late(drop):
    drop.put(3, dump(range(19)))
    drop.look()
    drop.put(2, dump(range(10)))
    found = drop.look()
    assert (found.counts["stale"], found.counts["deleted"]) == (10, 0)
    assert drop.names == ALL - {PEOPLE[19].name}


@bad("a dump", "being written still (`.part`, `.tmp`)", "left alone until it has its name")
def test_half_written(drop):
    drop.put(2, dump(range(3)), name="elder_{}.csv.part")
    assert drop.look().counts["accepted"] == 0
    assert drop.names == ALL
    drop.put(2, dump(range(19)), name="elder_{}.csv.part")
    (drop.folder / "elder_202602.csv.part").rename(drop.folder / "elder_202602.csv")
    drop.look()
    assert drop.names == ALL - {PEOPLE[19].name}


@bad("a dump", "another encoding than before (GBK, a byte order mark)", "read")
def test_other_encodings(drop):
    drop.put(2, dump().replace(PEOPLE[1].name, "甲"), encoding="gbk")
    assert drop.look().error == ""
    drop.put(3, dump().replace(PEOPLE[1].name, "乙"), encoding="utf-8-sig")
    assert drop.look().error == ""
    assert "乙" in drop.names


@bad("a dump", "another delimiter, the columns in another order, one more column", "read")
def test_other_form(drop):
    rows = [f"x;{who.name};{number};{who.id_number};1390000{number:04d}\n" for number, who in enumerate(PEOPLE)]
    drop.put(2, "备注;姓名;编号;身份证号;联系电话\n" + "".join(rows))
    found = drop.look()
    assert (found.error, found.counts["accepted"], found.counts["deleted"]) == ("", 20, 0)
    assert drop.names == ALL


@bad(
    "a dump",
    "a row with a cell too many or too few",
    "the row is refused, `record_unreadable` or `key_missing`; the others are read",
)
def test_uneven_rows(drop):
    drop.put(2, dump(range(17)) + line(17).rstrip("\n") + ",x,y\n" + "18\n" + line(19))
    found = drop.look()
    assert (found.error, found.counts["deleted"]) == ("", 0)
    assert len(drop.way.refused) == 2
    assert drop.names == ALL


@bad("a dump", "the drop folder is gone", "waits (OW-1204); the last good state stands")
def test_no_folder(drop):
    drop.folder.rename(drop.folder.with_name("elsewhere"))
    assert drop.look().error == "OW-1204"
    assert drop.names == ALL


@bad(
    "a dump", "what the last dump held is lost (`state/`)", "read anew (OW-1221); who is not in the newest dump is gone"
)
def test_lost_state(drop, tmp_path):
    for path in sorted((tmp_path / "state").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    drop.put(2, dump(range(19)))
    assert drop.look().error == "OW-1221"
    drop.look()
    assert drop.names == ALL - {PEOPLE[19].name}
