"""Dumps that other programs made: LibreOffice, iconv, PostgreSQL's COPY, MariaDB's client."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date

import psycopg
import pytest
from test_files import City

from contracts.sources import Source
from streams.mapping import RecordMap, Refusal

pytestmark = pytest.mark.services

NUMBER = "370102195001011233"
COLUMNS = ("编号", "身份证号", "姓名", "出生日期", "津贴", "住址")
ROWS = [
    ("1", NUMBER, "王㐂", "1950-01-01", "300.5", "泉城路1号"),
    ("2", "", "李四", "1948-12-31", "1000", "1号楼, 2单元"),
]
MAP = {
    "id_number": "身份证号",
    "name": "姓名",
    "birth_on": "出生日期",
    "address": "住址",
    "benefit_amount_fen": {"column": "津贴", "unit": "yuan"},
}
TEXT, ANY, DAY = 2, 1, 5  # how LibreOffice is told to read a column of CSV


def csv(rows=ROWS):
    return "".join(",".join(f'"{cell}"' for cell in row) + "\n" for row in (COLUMNS, *rows))


def mapped(city):
    """What becomes of each record, by key."""
    source = Source.model_validate(
        {
            "system": "ageing",
            "title": "老龄",
            "owner": "老龄办",
            "connector": {"kind": "files", "folder": str(city.folder)},
            "datasets": {"elder": {"pattern": "elder_{period}.csv", "key": ["编号"], "map": MAP}},
        }
    )
    fields = RecordMap(source.datasets["elder"], today=date(2026, 11, 28))
    return {key: fields.map(record) for key, record in city.records.items()}


def all_are_as_written(city):
    city.look()
    found = mapped(city)
    assert {key: each.fields for key, each in found.items()} == {
        "1": {
            "id_number": NUMBER,
            "name": "王㐂",
            "birth_on": "1950-01-01",
            "address": "泉城路1号",
            "benefit_amount_fen": 30_050,
        },
        "2": {"name": "李四", "birth_on": "1948-12-31", "address": "1号楼, 2单元", "benefit_amount_fen": 100_000},
    }


def calc(folder, form, *, number):
    """What LibreOffice makes of the CSV when a clerk opens it and saves it as another form."""
    written = folder / "written.csv"
    written.write_text(csv(), encoding="utf-8")
    columns = "/".join(f"{at}/{how}" for at, how in enumerate((TEXT, number, TEXT, DAY, ANY, TEXT), 1))
    subprocess.run(
        [
            "soffice", f"-env:UserInstallation=file://{folder}/profile", "--headless",
            f"--infilter=CSV:44,34,UTF8,1,{columns}", "--convert-to", form, "--outdir", folder, written,
        ],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    return (folder / f"written.{form}").read_bytes()


@pytest.mark.parametrize("form", ["xlsx", "xls", "ods"])
def test_a_workbook_that_libreoffice_saved(tmp_path, form):
    city = City(tmp_path, pattern=f"elder_{{period}}.{form}")
    city.drop(f"elder_202601.{form}", calc(tmp_path, form, number=TEXT))
    all_are_as_written(city)


def test_digits_that_libreoffice_has_dropped_from_an_id_number_are_not_made_up(tmp_path):
    """Opened without care, a number of 18 digits becomes one of 15 and three noughts."""
    city = City(tmp_path, pattern="elder_{period}.xlsx")
    city.drop("elder_202601.xlsx", calc(tmp_path, "xlsx", number=ANY))
    city.look()
    refused = mapped(city)["1"]
    assert isinstance(refused, Refusal)
    assert (refused.reason, refused.field) == ("id_scientific_notation", "id_number")
    assert not isinstance(mapped(city)["2"], Refusal)


@pytest.mark.parametrize("encoding", ["GB18030", "UTF-16", "UTF-8"])
def test_text_that_iconv_wrote(tmp_path, encoding):
    city = City(tmp_path)
    made = subprocess.run(
        ["iconv", "-f", "UTF-8", "-t", encoding], input=csv().encode(), capture_output=True, check=True
    )
    city.drop("elder_202601.csv", made.stdout)
    all_are_as_written(city)


def test_text_of_a_system_that_knows_gbk_alone(tmp_path):
    """㐂 is not in GBK: who exports in it writes something else, and no other character is put in its place."""
    city = City(tmp_path, encoding="gbk")
    made = subprocess.run(
        ["iconv", "-f", "UTF-8", "-t", "GBK//TRANSLIT"], input=csv().encode(), capture_output=True, check=True
    )
    city.drop("elder_202601.csv", made.stdout)
    city.look()
    assert city.records["1"]["姓名"] == "王?"
    assert city.records["2"]["住址"] == "1号楼, 2单元"


def test_what_postgresql_copies_out(tmp_path, postgres):
    database = postgres.new_database()
    names, declared = ", ".join(COLUMNS), " text, ".join(COLUMNS)
    with psycopg.connect(postgres.conninfo(database), autocommit=True) as connection:
        connection.execute(f"CREATE TABLE elder ({declared} text)")
        connection.cursor().executemany(
            f"INSERT INTO elder ({names}) VALUES (%s, nullif(%s, ''), %s, %s, %s, %s)", ROWS
        )
        with connection.cursor().copy("COPY elder TO STDOUT (FORMAT csv, HEADER)") as copied:
            data = b"".join(bytes(block) for block in copied)
    city = City(tmp_path)
    city.drop("elder_202601.csv", data)
    all_are_as_written(city)


def test_what_mariadbs_client_prints(tmp_path, mariadb):
    database = mariadb.new_database()
    with mariadb.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE elder ({', '.join(f'{name} varchar(60)' for name in COLUMNS)})")
        cursor.executemany("INSERT INTO elder VALUES (%s, %s, %s, %s, %s, %s)", ROWS)
    client = shutil.which("mariadb") or "mysql"
    command = [client, "--batch", f"--host={mariadb.host}", f"--port={mariadb.port}", f"--user={mariadb.owner}"]
    made = subprocess.run(
        [*command, "--default-character-set=utf8mb4", "--execute=SELECT * FROM elder", database],
        check=True, capture_output=True, env={"MYSQL_PWD": mariadb.password, "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    city = City(tmp_path, delimiter="\t")
    city.drop("elder_202601.csv", made.stdout)
    all_are_as_written(city)
