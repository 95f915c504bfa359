"""``onewindow plan``: what changed files would change of what is there."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "acceptance"))

from product import document, new_deployment, onewindow, until, up

import projections.engine
from onewindow import planning
from onewindow.planning import plan
from onewindow.settings import Deployment

pytestmark = pytest.mark.deployment

SOURCE = """system: {system}
title: 人社
owner: 信息中心
connector: {{kind: files, folder: {folder}, settle_s: 0}}
datasets:
  person:
    pattern: person_{{period}}.csv
    key: [nr]
    map: {{id_number: id, name: name}}
"""


@pytest.fixture(scope="module")
def read():
    """A deployment that has read three records of one dataset, and is down."""
    directory = new_deployment()
    drop = directory / "drop"
    drop.mkdir()
    people = "7,379901194910010132,张三\n8,379901197005151019,王秀英\n9,,李四\n"
    (drop / "person_202601.csv").write_text("nr,id,name\n" + people, encoding="utf-8")
    (directory / "sources" / "hrss.yaml").write_text(SOURCE.format(system="hrss", folder=drop), encoding="utf-8")
    before = plan(Deployment(directory))["steps"]
    assert [(step["about"], step["then"]) for step in before] == [
        ("hrss.person", "by itself, when the deployment comes up"),
        ("view", "by itself, when the deployment comes up"),
    ]
    with up(directory):
        until(lambda: [each["accepted"] for each in document("-C", directory, "status")["sources"]] == [3])
        until(lambda: document("-C", directory, "status")["healthy"])
        assert document("-C", directory, "plan") == {"steps": [], "unknown": [], "as_declared": True}
    yield directory
    shutil.rmtree(directory.parent)


@pytest.fixture
def deployment(read, tmp_path):
    """A copy whose files may be changed."""
    directory = tmp_path / "city"
    shutil.copytree(read, directory)
    return directory


def change(directory: Path, *replaced: tuple[str, str]) -> None:
    path = directory / "sources" / "hrss.yaml"
    text = path.read_text(encoding="utf-8")
    for old, new in replaced:
        assert text.count(old) == 1
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def steps(directory: Path) -> list[tuple[str, str, str, int | None]]:
    before = sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file())
    found = plan(Deployment(directory))
    assert sorted((path, path.stat().st_mtime_ns) for path in directory.rglob("*") if path.is_file()) == before
    assert found["as_declared"] == (not found["steps"])
    return [(step["about"], step["finding"], step["then"], step["events"]) for step in found["steps"]]


def test_nothing_is_to_be_done_of_what_is_in_force(deployment):
    assert steps(deployment) == []
    done = onewindow("-C", deployment, "plan")
    assert (done.returncode, done.stdout) == (0, "all is as declared: nothing is to be done\n")


def test_a_changed_mapping_names_the_remap_and_what_it_goes_through(deployment):
    change(deployment, ("name: name}", "phone: name}"))
    ((about, finding, then, events),) = steps(deployment)
    assert (about, events) == ("hrss.person", 3)
    assert "map.name (gone), map.phone (new)" in finding
    assert then.startswith("onewindow remap hrss.person;")
    done = onewindow("-C", deployment, "plan")
    assert done.returncode == 1
    assert "3 of them; 1 s or more" in done.stdout


def test_a_limit_changes_nothing_that_was_decided(deployment):
    change(deployment, ("    key: [nr]", "    key: [nr]\n    refuse_limit: 0.25"))
    assert steps(deployment) == [
        ("hrss.person", "has changed in refuse_limit: nothing of what was decided changes",
         "by itself, when the deployment comes up", None)
    ]  # fmt: skip


def test_what_is_read_otherwise_wants_to_be_read_again(deployment):
    change(deployment, ("pattern: person_", "pattern: people_"))
    ((_, finding, then, _),) = steps(deployment)
    assert "pattern: it is read otherwise" in finding
    assert then.endswith("onewindow source reread hrss.person")


def test_another_key_wants_the_dataset_read_again(deployment):
    change(deployment, ("key: [nr]", "key: [id]"))
    ((_, finding, then, _),) = steps(deployment)
    assert "key: its records get other keys" in finding
    assert then.endswith("onewindow source reread hrss.person")


def test_what_is_not_declared_any_more_stays(deployment):
    (deployment / "sources" / "hrss.yaml").unlink()
    ((about, finding, _, _),) = steps(deployment)
    assert about == "hrss.person"
    assert "what its 3 records say stays in the view" in finding


def test_a_new_source_is_read_from_its_beginning(deployment):
    (deployment / "sources" / "more.yaml").write_text(SOURCE.format(system="more", folder="drop"), encoding="utf-8")
    assert steps(deployment) == [
        ("more.person", "is new: it will be read from its beginning", "by itself, when the deployment comes up", None)
    ]  # fmt: skip


def test_another_authority_wants_a_rebuild(deployment):
    settings = deployment / "onewindow.yaml"
    settings.write_text(settings.read_text().replace("default: []", "default: [hrss.person]"))
    ((about, _, then, events),) = steps(deployment)
    assert (about, events) == ("view", 3)
    assert then.startswith("onewindow rebuild;")


def test_a_view_of_an_older_version_is_made_anew_by_itself(deployment, monkeypatch):
    monkeypatch.setattr(projections.engine, "SCHEMA_VERSION", 1_000)
    ((about, finding, then, events),) = steps(deployment)
    assert (about, then, events) == ("view", "by itself, when the deployment comes up", 3)
    assert "schema is now version 1000" in finding


def test_a_cluster_that_does_not_answer_is_said_and_the_rest_is_told(deployment):
    settings = deployment / "onewindow.yaml"
    settings.write_text(settings.read_text().replace("embedded: true", "embedded: false"))
    assert not Deployment(deployment).settings.kafka.embedded
    (deployment / "sources" / "hrss.yaml").unlink()
    found = document("-C", deployment, "plan")
    assert len(found["steps"]) == 1
    assert found["unknown"][0].startswith("topics: no broker answers")
    assert found["as_declared"] is False


def test_what_is_not_said_any_more_is_a_change_too():
    """An exchange that is not declared stands in no declaration."""
    before, now = {"table": "t", "exchange": {"flag": "bz"}, "map": {}}, {"table": "t", "map": {}}
    assert list(planning._changes(before, now)) == list(planning._changes(now, before)) == ["exchange"]
