"""A source is added to a deployment that is up: its file is enough, and no process is started again."""

from __future__ import annotations

import shutil

import pytest
from product import document, new_deployment, until, up
from test_bad_input import AGEING, source

pytestmark = pytest.mark.deployment

HRSS = """system: hrss
title: 人社
owner: 信息中心
connector: {{kind: files, folder: {folder}, settle_s: 0}}
datasets:
  person:
    pattern: person_{{period}}.csv
    key: [nr]
    map: {{id_number: id, name: name}}
"""


def test_a_file_in_sources_is_enough():
    directory = new_deployment()
    drop = directory / "drop"
    drop.mkdir()
    (drop / "elder_202601.csv").write_bytes("编号,身份证号,姓名\n1,379901197005151019,王秀英\n".encode("gbk"))
    (drop / "person_202601.csv").write_text("nr,id,name\n7,379901194910010132,张三\n", encoding="utf-8")

    def sources():
        return {each["system"]: each for each in document("-C", directory, "status")["sources"]}

    def pids():
        return {each["role"]: each["pid"] for each in document("-C", directory, "status")["roles"]}

    def read(system):
        found = sources().get(system, {})
        return found.get("state") == "live" and found["accepted"] == 1 and found["pending"] == 0

    source(directory, "ageing", AGEING.format(folder=drop))
    with up(directory):
        until(lambda: read("ageing"))
        before = pids()
        source(directory, "hrss", HRSS.format(folder=drop).replace("pattern", "patternn"))  # as while it is written
        log = directory / "run" / "connectors.log"
        until(lambda: "did you mean pattern" in log.read_text(encoding="utf-8"))
        source(directory, "hrss", HRSS.format(folder=drop))
        until(lambda: read("hrss") and read("ageing"))
        until(lambda: document("-C", directory, "status")["healthy"])
        assert pids() == before
        verified = document("-C", directory, "verify")
        assert verified["equal"] is True
        assert verified["tables"]["resident"]["rows"] == 2
        again = (drop / "elder_202602.csv").with_suffix(".part")
        again.write_bytes("编号,身份证号,姓名\n1,379901197005151019,王秀莲\n".encode("gbk"))
        again.rename(drop / "elder_202602.csv")
        until(lambda: sources()["ageing"]["accepted"] == 2)  # who was there before goes on
    shutil.rmtree(directory.parent)
