"""Data contracts with sources, and what is seen when a source drifts from its own."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import jsonschema
import pytest
import yaml
from open_data_contract_standard.model import OpenDataContractStandard

from connectors.base import Dataset
from connectors.sql import SqlConnector
from contracts.errors import ContractUnreadable, SourceUnreachable, TableMissing
from onewindow import data_contracts, sources
from onewindow.settings import Deployment

MADE = "create table person(nr integer primary key, gmsfhm varchar(18) not null, xm text, xb char(1), bz varchar(20), at text)"
SOURCE = """system: mz
title: 民政业务系统
owner: 市民政局
connector: {kind: sql, url: "sqlite:///mz.db"}
datasets:
  person:
    title: 居民
    table: person
    key: [nr]
    cursor: at
    map:
      id_number: gmsfhm
      name: {column: xm, required: true}
      sex: {column: xb, codes: {"1": male, "2": female}}
"""


class Town:
    """A department's table, and a deployment that reads it."""

    def __init__(self, folder):
        self.folder, self.database = folder, folder / "mz.db"
        (folder / "sources").mkdir()
        (folder / "onewindow.yaml").write_text("name: town\n")
        (folder / "sources" / "mz.yaml").write_text(SOURCE.replace("sqlite:///mz.db", f"sqlite:///{self.database}"))
        self.run(MADE)
        self.run(*(f"insert into person values({n}, 'x', 'y', '1', null, '2026-01-01')" for n in range(100)))
        self.deployment = Deployment(folder)
        self.file = folder / "contracts" / "mz.person.odcs.yaml"

    def run(self, *statements):
        with closing(sqlite3.connect(self.database)) as connection, connection:
            for statement in statements:
                connection.execute(statement)

    def agree(self, *, renew=False):
        found = sources.agree(self.deployment, "mz", None, renew=renew)
        (dataset,) = found["datasets"]
        return found["as_agreed"], dataset["state"], {(each["kind"], each["column"]) for each in dataset["drift"]}

    def texts(self):
        (dataset,) = sources.agree(self.deployment, "mz", None, renew=False)["datasets"]
        return [each["text"] for each in dataset["drift"]]


@pytest.fixture
def town(tmp_path):
    return Town(tmp_path)


def test_a_contract_says_what_is_declared_and_what_the_source_shows_and_is_of_the_standard(town):
    assert town.agree() == (True, "made", set())
    text = town.file.read_text(encoding="utf-8")
    document = yaml.safe_load(text)
    jsonschema.validate(document, json.loads(OpenDataContractStandard.json_schema()))
    (schema,) = document["schema"]
    columns = {each["name"]: each for each in schema["properties"]}
    assert list(columns) == ["nr", "gmsfhm", "xm", "xb", "bz", "at"]
    assert columns["nr"] | {"primaryKey": True, "logicalType": "integer", "required": True} == columns["nr"]
    assert columns["gmsfhm"]["classification"].startswith("sensitive")
    assert [each["value"] for each in columns["xb"]["enum"]] == ["1", "2"]
    assert columns["xm"]["required"] is True
    assert schema["quality"][0]["mustBeGreaterOrEqualTo"] == 95
    assert document["slaProperties"][0]["value"] == 5.0
    assert document["team"]["name"] == "市民政局"
    assert str(town.database) not in text  # nor anything else of how it is reached


def test_a_source_that_stays_as_it_is_is_as_agreed(town):
    town.agree()
    before = town.file.read_bytes()
    assert town.agree() == (True, "as agreed", set())
    assert town.file.read_bytes() == before


@pytest.mark.parametrize(
    ("statements", "drift"),
    [
        (["alter table person add column phone text"], {("added", "phone")}),
        (["alter table person drop column bz"], {("removed", "bz")}),
        (["alter table person rename column xb to sex"], {("renamed", "xb")}),
        (["alter table person drop column xb", "alter table person add column xb integer"], {("retyped", "xb")}),
        (["delete from person where nr < 10"], {("volume", "")}),
        (
            ["alter table person drop column xm", "alter table person add column one text", "alter table person add column two text"],
            {("removed", "xm"), ("added", "one"), ("added", "two")},
        ),
    ],
)  # fmt: skip
def test_each_drift_is_seen_and_the_contract_stays(town, statements, drift):
    town.agree()
    before = town.file.read_bytes()
    town.run(*statements)
    assert town.agree() == (False, "drifted", drift)
    assert town.file.read_bytes() == before
    levels = {
        (each["level"], each["exit_code"])
        for each in sources.check(town.deployment, "mz")
        if "contract" in each["text"]
    }
    assert levels == {("warn", 0)}


def test_a_drift_says_what_depends_on_the_column(town):
    town.agree()
    town.run("alter table person rename column xb to sex", "alter table person drop column bz")
    assert town.texts() == [
        "column xb is gone, and sex, of the same type, is new: was it renamed?; field sex depends on it",
        "column bz is gone; nothing reads it",
    ]


def test_another_key_than_was_agreed(town):
    town.agree()
    file = town.folder / "sources" / "mz.yaml"
    file.write_text(file.read_text().replace("key: [nr]", "key: [nr, xb]"))
    town.deployment = Deployment(town.folder)
    assert town.agree() == (False, "drifted", {("key", "nr, xb")})


def test_a_renewed_contract_keeps_what_a_person_wrote(town):
    town.agree()
    document = yaml.safe_load(town.file.read_text())
    document["description"]["limitations"] = "not before 1998"
    document["schema"][0]["properties"][2]["description"] = "as in the household register"
    document["schema"][0]["properties"][2]["tags"] = ["checked"]
    document["schema"][0]["properties"][3]["description"] = "1 is male"
    ours = {"type": "sql", "query": "select 1", "mustBe": 1}
    document["schema"][0]["quality"] = [document["schema"][0]["quality"][0] | {"mustBeGreaterOrEqualTo": 42}, ours]
    town.file.write_text(yaml.safe_dump(document, allow_unicode=True))
    town.run(
        "alter table person add column phone text",
        "alter table person drop column bz",
        "alter table person rename column xb to sex",
    )
    assert town.agree(renew=True) == (True, "renewed", {("added", "phone"), ("removed", "bz"), ("renamed", "xb")})
    assert town.agree() == (True, "as agreed", set())
    document = yaml.safe_load(town.file.read_text())
    columns = {each["name"]: each for each in document["schema"][0]["properties"]}
    assert (document["version"], document["description"]["limitations"]) == ("1.1.0", "not before 1998")
    assert (columns["xm"]["description"], columns["xm"]["tags"]) == ("as in the household register", ["checked"])
    assert columns["sex"]["description"] == "1 is male"
    assert [each.get("mustBeGreaterOrEqualTo") for each in document["schema"][0]["quality"]] == [42, None]
    town.run("delete from person where nr >= 30")
    assert town.agree(renew=True) == (True, "renewed", {("volume", "")})
    quality = yaml.safe_load(town.file.read_text())["schema"][0]["quality"]
    assert [each.get("mustBeGreaterOrEqualTo") for each in quality] == [28, None]
    assert "phone" in columns
    assert "bz" not in columns


@pytest.mark.parametrize(
    "text", ["", "schema: 3", "- a", "a: [", "kind: DataContract", "schema: [{name: a}, {name: b}]", "no: key"]
)
def test_what_is_no_contract_is_one_message(town, text):
    town.agree()
    town.file.write_text(text)
    with pytest.raises(ContractUnreadable, match=r"mz\.person\.odcs\.yaml"):
        town.agree()
    (finding,) = [each for each in sources.check(town.deployment, "mz") if each["code"] == "OW-1121"]
    assert (finding["level"], finding["exit_code"]) == ("fail", 78)


def test_of_what_is_not_there_nothing_is_agreed(town):
    town.run("drop table person")
    with pytest.raises(TableMissing):
        town.agree()
    assert not town.file.exists()


def test_a_check_keeps_its_own_lines_when_the_contract_can_not_be_compared(town, monkeypatch):
    town.agree()

    def broken(_):
        raise SourceUnreachable("it went away", fix="wait")

    monkeypatch.setattr(SqlConnector, "discover", broken)
    levels = [(each["level"], each["code"]) for each in sources.check(town.deployment, "mz")]
    assert levels.count(("ok", None)) >= 2
    assert levels[-1] == ("fail", "OW-1201")


@pytest.mark.parametrize(
    ("physical", "logical"),
    [("INTEGER", "integer"), ("bigint unsigned", "integer"), ("INTERVAL", "string"), ("POINT", "string"), ("DATE", "date"),
     ("DATETIME", "timestamp"), ("ENUM('DATE','X')", "string"), ("DECIMAL(12, 2)", "number"), ("BOOLEAN", "boolean"),
     ("VARBIT", "string"), ("VARCHAR(18)", "string"), ("text", "string")],
)  # fmt: skip
def test_what_a_type_of_a_database_means(town, physical, logical):
    seen = Dataset("person", {"nr": physical}, ("nr",))
    contract = data_contracts.made(town.deployment.dataset("mz.person")[0], "person", seen)
    assert data_contracts._columns(contract)["nr"].logicalType == logical


def test_a_column_of_an_api_that_says_nothing_for_once_has_not_drifted(town):
    source, _ = town.deployment.dataset("mz.person")
    agreed = data_contracts.made(
        source, "person", Dataset("person", {"nr": "integer", "swrq": "text", "bz": "null"}, ("nr",))
    )
    now = Dataset("person", {"nr": "integer", "swrq": "null", "bz": "text"}, ("nr",))
    assert list(data_contracts.drifts(agreed, source.datasets["person"], now)) == []
