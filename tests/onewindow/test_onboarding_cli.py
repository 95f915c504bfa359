"""``source add`` and ``source preview`` from outside, on systems that nobody prepared."""

from __future__ import annotations

import json
import shutil
import sqlite3
import stat
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))

from product import new_deployment, onewindow

from contracts.sources import DatasetSource
from examples.city.people import person
from onewindow.onboarding.add import Wish, add
from onewindow.onboarding.preview import preview
from onewindow.onboarding.sample import records_of
from onewindow.settings import Deployment

pytestmark = pytest.mark.deployment

PEOPLE = [person(5, number) for number in range(150)]
WRONG = range(0, 150, 30)  # whose ID number has another check character


@pytest.fixture(scope="module")
def made():
    directory = new_deployment()
    yield directory
    shutil.rmtree(directory.parent)


@pytest.fixture
def deployment(made):
    """A deployment with no source."""
    for path in (*(made / "sources").glob("*.yaml"), *made.glob("*.password")):
        path.unlink()
    return made


def wrong(number: str) -> str:
    return number[:17] + ("1" if number[17] != "1" else "2")


@pytest.fixture
def population(tmp_path):
    """Pinyin columns, codes 1 and 2, amounts in yuan, an update time, and other tables beside."""
    path = tmp_path / "population.db"
    with sqlite3.connect(path) as db:
        db.execute(
            "CREATE TABLE RY_JBXX (RYBH VARCHAR(20) PRIMARY KEY, GMSFHM VARCHAR(18), XM VARCHAR(50), XB INTEGER,"
            " CSRQ VARCHAR(10), LXDH VARCHAR(20), JTZZ VARCHAR(200), GLJT DECIMAL(10,2), JHRDH VARCHAR(20), CJLB VARCHAR(2),"
            " updated_at DATETIME)"
        )
        db.execute("CREATE TABLE sys_log (at TEXT, what TEXT)")
        db.execute("CREATE TABLE kong (id INTEGER PRIMARY KEY, sfzh TEXT)")
        db.execute("INSERT INTO sys_log VALUES ('x', 'y'), ('x', 'y')")
        for n, one in enumerate(PEOPLE):
            number = wrong(one.id_number) if n in WRONG else one.id_number
            db.execute(
                "INSERT INTO RY_JBXX VALUES (?,?,?,?,?,?,?,?,?,?,?)",
                (f"R{n:05d}", number, one.name, 1 if one.sex == "male" else 2, one.birth_on.replace("-", "/"),
                 f"139{n:04d}{n * 37 % 10000:04d}", one.address, 200.5 if n % 3 == 0 else None, "13800000000", str(n % 7 + 1),
                 f"2026-01-{n % 28 + 1:02d} 08:00:00"),
            )  # fmt: skip
    db.close()
    return path


def refused(done, code: str, exit_code: int) -> str:
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert code in said, said
    assert "fix:" in said
    assert done.returncode == exit_code, said
    return said


def test_from_nothing_to_a_source_that_is_read(deployment, population):
    done = onewindow(
        "-C", deployment, "source", "add", "mz", "--from", population, "--owner", "市民政局", "--title", "民政"
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith("Look at this line")
    assert "benefit_kind" in second
    text = (deployment / "sources" / "mz.yaml").read_text(encoding="utf-8")
    line = int(second.split()[1])
    assert text.splitlines()[line - 1].strip().startswith("benefit_kind:")
    assert "# FIELD: JHRDH" in text
    assert "敏感: health or disability" in text
    assert "# not taken: kong: it is empty" in text
    (source,) = Deployment(deployment).sources
    assert (source.system, source.title, source.owner_now()) == ("mz", "民政", "市民政局")
    dataset = source.datasets["ry_jbxx"]
    assert (dataset.table, dataset.key, dataset.cursor) == ("RY_JBXX", ["RYBH"], "updated_at")
    declared = {name: how.model_dump(exclude_defaults=True) for name, how in dataset.map.items()}
    assert declared == {
        "id_number": {"column": "GMSFHM"}, "name": {"column": "XM"},
        "sex": {"column": "XB", "codes": {"1": "male", "2": "female"}},
        "birth_on": {"column": "CSRQ", "date": "%Y/%m/%d"}, "phone": {"column": "LXDH"}, "address": {"column": "JTZZ"},
        "disability_category": {"column": "CJLB"},
        "benefit_kind": {"value": "old_age_allowance", "when": "GLJT"},
        "benefit_amount_fen": {"column": "GLJT", "unit": "yuan"}, "as_of": {"column": "updated_at"},
    }  # fmt: skip
    before = sorted(path for path in deployment.rglob("*"))
    done = onewindow("-C", deployment, "source", "preview", "mz", "--rows", "2")
    assert done.returncode == 0, done.stderr
    assert "150 rows read: 145 would be accepted, 5 refused, 0 filtered" in done.stdout
    assert "id_check_digit" in done.stdout
    assert not any(one.id_number[6:17] in done.stdout or one.name in done.stdout for one in PEOPLE)
    found = json.loads(
        onewindow("-C", deployment, "source", "preview", "mz", "--rows", "2", "--show-values", "--json").stdout
    )
    assert sorted(path for path in deployment.rglob("*")) == before
    (about,) = found
    assert about["refused"] == {"id_check_digit": 5}
    assert about["filled"]["benefit_amount_fen"] == sum(n % 3 == 0 and n not in WRONG for n in range(150))
    accepted = next(row for row in about["rows"] if row["outcome"] == "accepted")
    shown = {each["field"]: (each["source"], each["canonical"]) for each in accepted["fields"]}
    assert shown["name"] == (PEOPLE[1].name, PEOPLE[1].name)
    assert shown["id_number"][0] == PEOPLE[1].id_number[:6] + "*" * 11 + PEOPLE[1].id_number[17]
    assert shown["sex"][1] == PEOPLE[1].sex
    assert onewindow("-C", deployment, "source", "check", "mz").returncode == 0


def test_a_file_in_gbk_with_chinese_headers(deployment, tmp_path):
    drop = tmp_path / "drop"
    drop.mkdir()
    rows = ["档案编号,身份证号,姓名,性别,出生日期,联系电话,社区代码,备注"]
    rows += [f"D{n:04d},{one.id_number},{one.name},{'男' if one.sex == 'male' else '女'},{one.birth_on.replace('-', '.')},"
             f"137{n:04d}{n * 41 % 10000:04d},{one.community_code}," for n, one in enumerate(PEOPLE)]  # fmt: skip
    for month in ("202601", "202602"):
        (drop / f"elder_{month}.csv").write_bytes(("\n".join(rows) + "\n").encode("gb18030"))
    done = onewindow("-C", deployment, "source", "add", "ll", "--from", drop / "elder_202602.csv", "--json")
    found = json.loads(done.stdout)
    assert found["look_at"][0]["what"] == "owner"
    assert {each["field"] for each in found["datasets"][0]["fields"]} == {
        "id_number", "name", "sex", "birth_on", "phone", "community_code",
    }  # fmt: skip
    (source,) = Deployment(deployment).sources
    dataset = source.datasets["elder"]
    assert (dataset.pattern, dataset.key, dataset.map["birth_on"].date) == (
        "elder_{period}.csv",
        ["档案编号"],
        "%Y.%m.%d",
    )
    (about,) = json.loads(onewindow("-C", deployment, "source", "preview", "ll", "--dataset", "elder", "--json").stdout)
    assert (about["read"], about["accepted"]) == (150, 150)
    assert about["rows"][0]["place"].startswith("elder_202602.csv:")


def test_a_folder_is_taken_by_its_patterns(deployment, tmp_path):
    for name in ("a_202601", "a_202602", "b"):
        rows = "".join(f"{n},{one.id_number}\n" for n, one in enumerate(PEOPLE))
        (tmp_path / f"{name}.csv").write_text(f"编号,身份证号\n{rows}", encoding="utf-8")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "a_202602.csv.approved").touch()
    found = add(Deployment(deployment), Wish("dumps", str(tmp_path)))
    assert [each["table"] for each in found["datasets"]] == ["a_{period}.csv", "b.csv"]
    assert [(each["name"], each["why"]) for each in found["left_out"]] == [("empty.csv", "unreadable")]


def test_nothing_is_written_over(deployment, population):
    path = deployment / "sources" / "mz.yaml"
    path.write_text("system: [", encoding="utf-8")
    refused(onewindow("-C", deployment, "source", "add", "mz", "--from", population), "OW-1104", 78)
    path.unlink()
    assert onewindow("-C", deployment, "source", "add", "mz", "--from", population).returncode == 0
    text = path.read_text(encoding="utf-8")
    refused(onewindow("-C", deployment, "source", "add", "mz", "--from", population), "OW-1113", 78)
    assert path.read_text(encoding="utf-8") == text
    assert [each.name for each in path.parent.iterdir() if "draft" in each.name] == []


def test_what_can_not_be_onboarded_says_what_to_do(deployment, tmp_path):
    path = tmp_path / "odd.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE twice (sfzh TEXT, xm TEXT, updated_at TEXT)")
        db.execute("CREATE TABLE kong (id INTEGER PRIMARY KEY, sfzh TEXT)")
        for one in PEOPLE[:30]:
            for _ in range(2):
                db.execute("INSERT INTO twice VALUES (?,?,'2026-01-01 00:00:00')", (one.id_number, one.name))
    db.close()

    def add_only(table: str):
        return onewindow("-C", deployment, "source", "add", "odd", "--from", path, "--dataset", table)

    said = refused(add_only("twice"), "OW-1115", 78)
    assert "view with a key" in said
    assert "it is empty" in refused(add_only("kong"), "OW-1114", 78)
    refused(add_only("nothing"), "OW-1106", 78)
    assert list((deployment / "sources").glob("*.yaml")) == []


@pytest.mark.parametrize(
    ("origin", "code", "exit_code"),
    [("sqlite:////nowhere/at.db", "OW-1201", 69), ("/nowhere/at.csv", "OW-1204", 78), ("nosuch://a/b", "OW-1103", 78),
     ("https://a/b", "OW-1103", 78),
     ("postgresql://u:geheim99@127.0.0.1:1/x", "OW-1201", 69), ("postgresql://u:a@b@h/x", "OW-1103", 78),
     ("postgresql://u:${NOT_SET_ANYWHERE}@h/x", "OW-1105", 78)],
)  # fmt: skip
def test_what_can_not_be_reached_is_one_message(deployment, origin, code, exit_code):
    said = refused(onewindow("-C", deployment, "source", "add", "far", "--from", origin), code, exit_code)
    assert "geheim99" not in said
    assert list((deployment / "sources").glob("*.yaml")) == []
    assert list(deployment.glob("*.password")) == []


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [("cut.csv", b"", "OW-1206"), ("bad.csv", b"\xff\xff\xff,\x80\n\xff,\xff\n", "OW-1205"),
     ("bare.csv", f"{PEOPLE[0].id_number},13900000000,1950-01-01\n".encode() * 3, "OW-1208")],
)  # fmt: skip
def test_a_file_that_can_not_be_read_is_one_message(deployment, tmp_path, name, content, code):
    (tmp_path / name).write_bytes(content)
    said = refused(onewindow("-C", deployment, "source", "add", "bad", "--from", tmp_path / name), code, 1)
    assert PEOPLE[0].id_number not in said


def test_a_table_in_which_nothing_rises_with_each_change_is_read_whole(deployment, population):
    """A column that may be a cursor stands as a comment: if it is none, changes would be missed."""
    with sqlite3.connect(population) as db:
        db.execute("ALTER TABLE RY_JBXX RENAME COLUMN updated_at TO some_time")
        db.execute(
            "UPDATE RY_JBXX SET some_time = '2026-01-01 08:00:' || substr('0' || (rowid % 60), -2) || '.' || rowid"
        )
    db.close()
    found = add(Deployment(deployment), Wish("mz", str(population)))
    (told,) = found["datasets"]
    assert (told["cursor"], told["read_whole"]) == (None, True)
    text = (deployment / "sources" / "mz.yaml").read_text(encoding="utf-8")
    line = next(each["line"] for each in found["look_at"] if each["what"] == "ry_jbxx.cursor")
    assert text.splitlines()[line - 1].startswith("    # cursor: some_time  # no column surely rises")
    (source,) = Deployment(deployment).sources
    assert source.datasets["ry_jbxx"].cursor is None
    (about,) = preview(Deployment(deployment), "mz", None, 1, openly=False)
    assert (about["read"], about["accepted"]) == (150, 145)
    (deployment / "sources" / "mz.yaml").unlink()
    done = onewindow("-C", deployment, "source", "add", "mz", "--from", population)
    assert "no cursor: the whole table is read each time" in done.stdout


def test_a_workbook(deployment, tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append(["编号", "身份证号", "姓名"])
    for n, one in enumerate(PEOPLE):
        book.active.append([f"X{n}", one.id_number, one.name])
    book.save(tmp_path / "people.xlsx")
    found = add(Deployment(deployment), Wish("book", str(tmp_path / "people.xlsx")))
    assert {each["field"] for each in found["datasets"][0]["fields"]} == {"id_number", "name"}
    (about,) = preview(Deployment(deployment), "book", None, 1, openly=False)
    assert about["accepted"] == 150


def test_a_server_with_a_password(deployment, postgres):
    url = sa.make_url(postgres.url(postgres.new_database()))
    engine = sa.create_engine(url)
    with engine.begin() as tx:
        tx.execute(sa.text("CREATE SCHEMA hr"))
        tx.execute(sa.text("CREATE TABLE hr.ac01 (aac001 bigint PRIMARY KEY, aac002 text, aac003 text, aac006 date,"
                           " aae036 timestamptz NOT NULL DEFAULT now())"))  # fmt: skip
        for n, one in enumerate(PEOPLE):
            values = {"n": n, "i": one.id_number, "x": one.name, "b": one.birth_on}
            tx.execute(sa.text("INSERT INTO hr.ac01 VALUES (:n, :i, :x, :b)"), values)
    engine.dispose()
    given = url.set(password="p@ss/word").render_as_string(hide_password=False)
    found = add(Deployment(deployment), Wish("hrss", given, datasets=["person=hr.ac01"]))
    assert found["password_file"] == "hrss.password"
    secret = deployment / "hrss.password"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.read_text() == "p@ss/word"
    text = (deployment / "sources" / "hrss.yaml").read_text(encoding="utf-8")
    assert "p@ss" not in text
    assert "p%40ss" not in text
    again = Deployment(deployment)
    (source,) = again.sources
    assert (source.connector.kind, source.datasets["person"].schema_name) == ("postgres", "hr")
    assert source.datasets["person"].cursor == "aae036"
    (about,) = preview(again, "hrss", "person", 1, openly=False)
    assert (about["accepted"], about["filled"]["birth_on"]) == (150, 150)


def test_the_log_of_a_server_is_left_alone_by_a_preview(postgres):
    """A preview of ``capture: log`` makes no slot."""
    from contracts.sources import ConnectorSource, Source

    url = postgres.url(postgres.new_database())
    engine = sa.create_engine(url)
    with engine.begin() as tx:
        tx.execute(sa.text("CREATE TABLE t (id int PRIMARY KEY, xm text)"))
        tx.execute(sa.text("INSERT INTO t VALUES (1, '张三')"))
    connector = ConnectorSource(
        kind="postgres", url=sa.make_url(url).render_as_string(hide_password=False), capture="log"
    )
    dataset = DatasetSource.model_validate({"table": "t", "key": ["id"], "map": {"name": "xm"}})
    source = Source(system="s", title="s", owner="s", connector=connector, datasets={"d": dataset})
    assert records_of(source, None, "d", 10) == [("", {"id": 1, "xm": "张三"})]
    with engine.connect() as connection:
        assert (
            connection.scalar(sa.text("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'onewindow_s'")) == 0
        )
    engine.dispose()
