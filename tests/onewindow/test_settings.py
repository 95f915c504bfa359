"""The deployment file: read, checked, overridden from the environment; secrets by reference alone."""

from __future__ import annotations

import pytest

from contracts.errors import DeploymentMissing, SecretMissing, SettingInvalid, SettingUnknown, YamlUnreadable
from onewindow.settings import Deployment

SOURCE = """
system: hrss
title: 人社
owner: 信息中心
connector: {kind: sql, url: "postgresql://reader:${HRSS_PASSWORD}@localhost/hrss"}
datasets:
  person: {table: ac01, key: [aac001], cursor: updated_at, map: {name: aac003}}
"""


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "sources").mkdir()
    (tmp_path / "onewindow.yaml").write_text("name: test\nkafka: {partitions: 2}\n")
    return tmp_path


def test_the_environment_wins_over_the_file(directory, monkeypatch):
    monkeypatch.setenv("ONEWINDOW_KAFKA__PARTITIONS", "6")
    deployment = Deployment(directory)
    assert deployment.settings.kafka.partitions == 6
    assert deployment.settings.name == "test"


def test_paths_are_relative_to_the_deployment(directory):
    assert Deployment(directory).view_url == f"sqlite:///{directory}/view.sqlite"


def test_a_secret_comes_from_the_environment(directory, monkeypatch):
    (directory / "sources" / "hrss.yaml").write_text(SOURCE, encoding="utf-8")
    with pytest.raises(SecretMissing, match="HRSS_PASSWORD"):
        Deployment(directory)
    monkeypatch.setenv("HRSS_PASSWORD", "word")
    assert Deployment(directory).sources[0].connector.url == "postgresql://reader:word@localhost/hrss"


@pytest.mark.parametrize(
    ("text", "hint"),
    [("kafka: {partitons: 3}", "partitions"), ("authorty: {}", "authority"), ("view: {urll: x}", "url")],
)
def test_an_unknown_key_names_the_nearest(directory, text, hint):
    (directory / "onewindow.yaml").write_text(text)
    with pytest.raises(SettingUnknown) as error:
        Deployment(directory)
    assert f"did you mean {hint}?" in error.value.fix


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("kind: sql", "kind: sqll"),
        ("map: {name: aac003}", "map: {nickname: aac003}"),
        ("map: {name: aac003}", "map: {name: {value: x, column: y}}"),
        ("map: {name: aac003}", "map: {alive: {value: 'no', when: aac003}}"),
        ("map: {name: aac003}", "map: {name: {value: false}}"),
        ("key: [aac001]", "key: []"),
    ],
)
def test_a_wrong_value_says_where(directory, monkeypatch, old, new):
    monkeypatch.setenv("HRSS_PASSWORD", "word")
    (directory / "sources" / "hrss.yaml").write_text(SOURCE.replace(old, new), encoding="utf-8")
    with pytest.raises(SettingInvalid, match=r"hrss\.yaml: "):
        Deployment(directory)


HRSS = SOURCE.replace("${HRSS_PASSWORD}", "word")


def written(directory, text, name="hrss.yaml"):
    (directory / "sources" / name).write_text(text, encoding="utf-8")
    return directory


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: [" + "[" * 3_000, "nested too deeply"),
        ("name: 2020-13-45", "put it in quotes"),
        ("1: 2", "the key 1 is no text; put it in quotes"),
        ("name: a\nname: b", "the key name stands here twice"),
        ("kafka: {partitions: 2, partitions: 3}", "the key partitions stands here twice"),
        ("name: \x00", "not allowed"),
    ],
)
def test_yaml_that_means_something_else_is_refused(directory, text, said):
    (directory / "onewindow.yaml").write_text(text)
    with pytest.raises(YamlUnreadable, match=said):
        Deployment(directory)


@pytest.mark.parametrize(
    "line",
    [
        "kafka: {bootstrap_servers: '[::1]:29093'}",
        "kafka: {bootstrap_servers: 'localhost:0'}",
        "kafka: {bootstrap_servers: 'localhost:99999'}",
        "view: {url: not a url}",
        "view: {url: 'http://localhost/view'}",
        "view: {url: 'postgresql://localhost:xx/view'}",
        "authority: {nickname: []}",
        "authority: {phone: [hrss.person]}",
        "name: yes",
        "name: 2020",
        "name: 2020-12-13",
    ],
)
def test_a_value_that_can_not_be_is_refused(directory, line):
    (directory / "onewindow.yaml").write_text(line)
    with pytest.raises(SettingInvalid):
        Deployment(directory)


def test_text_that_yaml_reads_as_something_else_wants_quotes(directory):
    (directory / "onewindow.yaml").write_text("name: yes")
    with pytest.raises(SettingInvalid, match="reads it as yes or no") as error:
        Deployment(directory)
    assert "put it in quotes" in error.value.fix


def test_names_that_pydantic_settings_would_take_for_its_own_are_unknown(directory):
    (directory / "onewindow.yaml").write_text("_env_file: other.env")
    with pytest.raises(SettingUnknown):
        Deployment(directory)


@pytest.mark.parametrize(
    ("variable", "near"),
    [("ONEWINDOW_VEIW__URL", "ONEWINDOW_VIEW__URL"), ("ONEWINDOW_KAFKA__PARTITION", "ONEWINDOW_KAFKA__PARTITIONS")],
)
def test_an_unknown_variable_names_the_nearest(directory, monkeypatch, variable, near):
    monkeypatch.setenv(variable, "x")
    with pytest.raises(SettingUnknown, match=variable) as error:
        Deployment(directory)
    assert near in error.value.fix


def test_variables_that_set_nothing_are_let_pass(directory, monkeypatch):
    for variable in ("ONEWINDOW_SUPERVISOR", "ONEWINDOW_TEST_KAFKA"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.setenv("ONEWINDOW_AUTHORITY__PHONE", "[]")
    assert Deployment(directory).settings.authority == {"phone": []}


@pytest.mark.parametrize("text", ["notjson", "{", "[]"])
def test_a_variable_that_is_no_json_is_refused(directory, monkeypatch, text):
    monkeypatch.setenv("ONEWINDOW_KAFKA", text)
    with pytest.raises(SettingInvalid):
        Deployment(directory)


def test_two_files_may_not_declare_one_system(directory):
    written(written(directory, HRSS), HRSS, "copy.yaml")
    with pytest.raises(SettingInvalid, match=r"copy\.yaml and hrss\.yaml both declare the system hrss"):
        Deployment(directory)


def test_a_source_file_that_would_be_overlooked_is_refused(directory):
    written(directory, HRSS, "hrss.yml")
    with pytest.raises(SettingInvalid, match=r"hrss\.yml ends in \.yml"):
        Deployment(directory)


def test_authority_may_list_what_is_declared(directory):
    written(directory, HRSS)
    (directory / "onewindow.yaml").write_text("authority: {phone: [hrss.person]}")
    assert Deployment(directory).settings.authority == {"phone": ["hrss.person"]}


def test_what_is_no_file_is_refused(directory):
    (directory / "sources" / "d.yaml").mkdir()
    with pytest.raises(YamlUnreadable, match=r"d\.yaml can't be read"):
        Deployment(directory)
    (directory / "sources" / "d.yaml").rmdir()
    (directory / "sources" / "d.yaml").symlink_to(directory / "nowhere")
    with pytest.raises(YamlUnreadable, match=r"d\.yaml can't be read"):
        Deployment(directory)


@pytest.mark.parametrize("raw", [SOURCE.encode("gbk"), bytes(range(256))])
def test_a_source_file_that_is_not_utf_8_is_refused(directory, raw):
    (directory / "sources" / "hrss.yaml").write_bytes(raw)
    with pytest.raises(YamlUnreadable, match="UTF-8"):
        Deployment(directory)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("{name: aac003}", '{sex: {column: a, codes: {"1": mael}}}', "mael is not a canonical code"),
        ("{name: aac003}", "{benefit_kind: {value: pensoin}}", "pensoin is not a canonical code"),
        ("{name: aac003}", '{alive: {column: a, codes: {"1": living}}}', "true or false, not living"),
        ("{name: aac003}", '{name: {column: a, codes: {"1": x}}}', "codes are for coded fields"),
        ("{name: aac003}", "{name: {column: a, form: disability_card}}", "is for the column of an ID number"),
        ("{name: aac003}", '{id_number: {value: "1", form: disability_card}}', "is for the column of an ID number"),
        ("{name: aac003}", '{birth_on: {column: a, date: "%Q"}}', "no form with year, month and day"),
        ("{name: aac003}", '{birth_on: {column: a, date: "%Y%m"}}', "no form with year, month and day"),
        ("{name: aac003}", "{phone: {column: a, unit: yuan}}", "unit is for money"),
        ("{name: aac003}", '{phone: {column: a, date: "%Y%m%d"}}', "date is for days"),
        ("{name: aac003}", "{}", "map"),
        ("kind: sql", "kind: sql, every_s: .inf", "every_s"),
        ("kind: sql", "kind: sql, overlap_s: 1e300", "overlap_s"),
        ("kind: sql", "kind: sql, every_s: .nan", "every_s"),
        ("cursor: updated_at", "cursor: updated_at, fresh_s: 0", "fresh_s"),
        ("postgresql://reader:word@localhost/hrss", "not a url", "connector.url"),
        ("reader:word@localhost", "reader:wo@rd@localhost", "write %40 for each @"),
        ("{name: aac003}", "{sex: {column: a, codes: {是: 5}}}", "reads it as a number"),
    ],
)
def test_a_source_that_can_not_work_is_refused(directory, old, new, said):
    written(directory, HRSS.replace(old, new))
    with pytest.raises(SettingInvalid, match=said):
        Deployment(directory)


@pytest.mark.parametrize("secret", ["", "00" * 31, "not hexadecimal"])
def test_a_key_that_is_too_short_is_refused(directory, secret):
    (directory / "secret.key").write_text(secret)
    with pytest.raises(SecretMissing):
        _ = Deployment(directory).hasher


def test_a_deployment_without_its_settings_is_to_be_restored(directory):
    (directory / "onewindow.yaml").unlink()
    with pytest.raises(DeploymentMissing) as error:
        Deployment(directory)
    assert "restore onewindow.yaml" in error.value.fix
    assert "init" not in error.value.fix
