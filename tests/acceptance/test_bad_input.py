"""Bad input: one clear message with code and fix, the right exit code, no traceback, and nothing lost."""

from __future__ import annotations

import shutil
import socket
import sqlite3

import pytest
from product import document, new_deployment, onewindow, until, up

from examples.postgres import free_port

pytestmark = pytest.mark.deployment

HRSS = """system: hrss
title: 人社
owner: 信息中心
connector: {{kind: sql, url: "{url}"}}
datasets:
  person:
    table: ac01
    key: [aac001]
    cursor: updated_at
    map: {{id_number: aac002, name: aac003}}
"""
AGEING = """system: ageing
title: 老龄
owner: 老龄办
connector: {{kind: files, folder: {folder}, settle_s: 0}}
datasets:
  elder:
    pattern: elder_{{period}}.csv
    encoding: gbk
    key: [编号]
    map: {{id_number: 身份证号, name: 姓名}}
"""


@pytest.fixture
def deployment():
    directory = new_deployment()
    yield directory
    shutil.rmtree(directory.parent)


def refused(done, code: str, exit_code: int) -> str:
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert code in said, said
    assert "fix:" in said
    assert done.returncode == exit_code, said
    return said


def source(deployment, name: str, text: str) -> None:
    (deployment / "sources" / f"{name}.yaml").write_text(text, encoding="utf-8")


def test_a_directory_without_a_deployment(tmp_path):
    refused(onewindow("-C", tmp_path, "status"), "OW-1101", 78)


def test_a_wrong_key_names_the_nearest_one(deployment):
    with (deployment / "onewindow.yaml").open("a") as file:
        file.write("\nveiw: {url: x}\n")
    assert "did you mean view?" in refused(onewindow("-C", deployment, "up"), "OW-1102", 78)


def test_a_wrong_key_in_a_source_file(deployment):
    source(deployment, "hrss", HRSS.format(url="sqlite:///x.db").replace("cursor:", "cursr:"))
    assert "did you mean cursor?" in refused(onewindow("-C", deployment, "up"), "OW-1102", 78)


def test_a_wrong_value(deployment):
    source(deployment, "hrss", HRSS.format(url="sqlite:///x.db").replace("aac003}", "aac003, nmae: x}"))
    refused(onewindow("-C", deployment, "up"), "OW-1103", 78)


def test_what_is_not_yaml(deployment):
    source(deployment, "hrss", "system: [")
    refused(onewindow("-C", deployment, "up"), "OW-1104", 78)


def test_a_secret_that_is_not_there(deployment):
    source(deployment, "hrss", HRSS.format(url="postgresql://u:${NO_SUCH_SECRET}@127.0.0.1/x"))
    refused(onewindow("-C", deployment, "up"), "OW-1105", 78)


def test_an_unreachable_database(deployment):
    source(deployment, "hrss", HRSS.format(url=f"postgresql+psycopg://u:secret-word@127.0.0.1:{free_port()}/hrss"))
    said = refused(onewindow("-C", deployment, "source", "check"), "OW-1201", 69)
    assert "secret-word" not in said


def test_a_wrong_password(deployment):
    from examples.postgres import Postgres

    server = Postgres(deployment.parent / "pg")
    server.start()
    try:
        url = f"postgresql+psycopg://postgres:wrong-word@127.0.0.1:{server.port}/postgres"
        source(deployment, "hrss", HRSS.format(url=url))
        for command in (("source", "check"), ("up",)):
            said = refused(onewindow("-C", deployment, *command), "OW-1202", 78)
            assert "wrong-word" not in said
    finally:
        server.stop()


def test_a_missing_drop_folder(deployment):
    source(deployment, "ageing", AGEING.format(folder="nowhere"))
    refused(onewindow("-C", deployment, "source", "check"), "OW-1204", 78)


def test_a_source_that_nobody_can_read_holds_up_no_other(deployment):
    database = deployment.parent / "hrss.db"
    database.touch()  # there is no table in it
    source(deployment, "hrss", HRSS.format(url=f"sqlite:///{database}"))
    source(deployment, "ageing", AGEING.format(folder="drop"))
    (deployment / "drop").mkdir()
    dump = "编号,身份证号,姓名\n1,379901195001010244,张三\n"
    (deployment / "drop" / "elder_202611.csv").write_text(dump, encoding="gbk")
    refused(onewindow("-C", deployment, "source", "check", "hrss"), "OW-1108", 78)

    def accepted():
        return {each["system"]: each["accepted"] for each in document("-C", deployment, "status")["sources"]}

    with up(deployment) as running:
        until(lambda: accepted()["ageing"] == 1)
        assert running.poll() is None


def test_a_file_in_another_encoding(deployment):
    source(deployment, "ageing", AGEING.format(folder="drop"))
    (deployment / "drop").mkdir()
    (deployment / "drop" / "elder_202611.csv").write_text(
        "编号,身份证号,姓名\n1,379901195001010244,张三\n", encoding="utf-8"
    )
    refused(onewindow("-C", deployment, "source", "check"), "OW-1205", 1)


def test_a_truncated_dump(deployment):
    source(deployment, "ageing", AGEING.format(folder="drop"))
    (deployment / "drop").mkdir()
    text = "编号,身份证号,姓名\n1,379901195001010244,张三\n2,3799011949"
    (deployment / "drop" / "elder_202611.csv").write_text(text, encoding="gbk")
    refused(onewindow("-C", deployment, "source", "check"), "OW-1206", 1)


def test_a_port_in_use(deployment):
    port = int((deployment / "onewindow.yaml").read_text().split("127.0.0.1:")[1].split()[0])
    with socket.create_server(("127.0.0.1", port)):
        refused(onewindow("-C", deployment, "run", "broker"), "OW-1302", 69)


def test_a_second_broker_on_one_directory(deployment):
    with up(deployment):
        refused(onewindow("-C", deployment, "run", "broker"), "OW-1303", 69)
        refused(onewindow("-C", deployment, "up"), "OW-1602", 69)


def test_a_view_of_another_log(deployment):
    with up(deployment):
        pass
    shutil.rmtree(deployment / "broker")
    before = (deployment / "view.sqlite").read_bytes()
    broker = None
    try:
        import subprocess
        import sys

        from product import ROOT

        broker = subprocess.Popen([sys.executable, "-m", "onewindow", "-C", str(deployment), "run", "broker"], cwd=ROOT)
        until(lambda: '"ready"' in (deployment / "run" / "broker.json").read_text())
        refused(onewindow("-C", deployment, "run", "projections"), "OW-1402", 78)
    finally:
        if broker is not None:
            broker.terminate()
            broker.wait()
    assert (deployment / "view.sqlite").read_bytes() == before


def test_no_view_yet(deployment):
    refused(onewindow("-C", deployment, "verify"), "OW-1408", 78)


def test_an_id_number_as_an_argument(deployment):
    said = refused(onewindow("-C", deployment, "resident", "379901195001010244"), "OW-1503", 2)
    assert "379901195001010244" not in said


def test_a_broker_that_is_away(deployment):
    sqlite3.connect(deployment / "view.sqlite").close()
    from projections.databases import open_view
    from projections.tables import metadata

    engine = open_view(f"sqlite:///{deployment}/view.sqlite")
    metadata.create_all(engine)
    engine.dispose()
    refused(onewindow("-C", deployment, "verify"), "OW-1301", 69)


def test_init_leaves_a_deployment_alone(deployment):
    before = (deployment / "secret.key").read_text()
    refused(onewindow("init", deployment), "OW-1109", 78)
    assert (deployment / "secret.key").read_text() == before


@pytest.mark.parametrize(
    ("name", "commands"),
    [("view.sqlite", ["up", "verify", "resident " + "0" * 32]), ("streams.sqlite", ["up", "quarantine list"])],
)
def test_what_is_no_database(deployment, name, commands):
    with up(deployment):
        pass
    before = b"no database at all, " * 1_000
    for beside in deployment.glob(f"{name}*"):
        beside.unlink()
    (deployment / name).write_bytes(before)
    for command in commands:
        assert name in refused(onewindow("-C", deployment, *command.split()), "OW-1409", 78)
    assert (deployment / name).read_bytes() == before


def test_a_damaged_database_is_made_anew_as_the_fix_says(deployment):
    with up(deployment):
        pass
    for path in deployment.glob("*.sqlite*"):
        path.unlink()
    with up(deployment):
        assert onewindow("-C", deployment, "verify").returncode == 0


@pytest.mark.parametrize(
    "line",
    [
        "view: {url: 'mysql://u@h/d'}",
        "view: {url: 'nonsense'}",
        "streams: {url: 'postgresql://u@h:port/d'}",
        "kafka: {bootstrap_servers: localhost}",
        "kafka: {bootstrap_servers: 'localhost:kafka'}",
        "kafka: {bootstrap_servers: 'localhost:99999'}",
    ],
)
def test_an_address_that_is_none(deployment, line):
    (deployment / "onewindow.yaml").write_text(f"{line}\n")
    for command in ("up", "status"):
        refused(onewindow("-C", deployment, command), "OW-1103", 78)


def test_an_address_from_the_environment_is_named_as_such(deployment):
    done = onewindow("-C", deployment, "status", environment={"ONEWINDOW_KAFKA__BOOTSTRAP_SERVERS": "localhost"})
    assert "correct kafka.bootstrap_servers in ONEWINDOW_KAFKA__BOOTSTRAP_SERVERS" in refused(done, "OW-1103", 78)
    refused(onewindow("-C", deployment, "status", environment={"ONEWINDOW_KAFKA": "{"}), "OW-1103", 78)


def test_settings_in_another_encoding(deployment):
    (deployment / "onewindow.yaml").write_bytes("name: 历下区".encode("gbk"))
    refused(onewindow("-C", deployment, "status"), "OW-1104", 78)


def test_the_directory_may_stand_after_the_command(deployment):
    refused(onewindow("verify", "-C", deployment, "--json"), "OW-1408", 78)
