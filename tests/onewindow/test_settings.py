"""The deployment file: read, checked, overridden from the environment; secrets by reference alone."""

from __future__ import annotations

import pytest

from contracts.errors import SecretMissing, SettingInvalid, SettingUnknown
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
        ("key: [aac001]", "key: []"),
    ],
)
def test_a_wrong_value_says_where(directory, monkeypatch, old, new):
    monkeypatch.setenv("HRSS_PASSWORD", "word")
    (directory / "sources" / "hrss.yaml").write_text(SOURCE.replace(old, new), encoding="utf-8")
    with pytest.raises(SettingInvalid, match=r"hrss\.yaml: "):
        Deployment(directory)
