"""Refusals that nobody will mend: off the work list, until a newer version of the record is refused as well."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from contracts.errors import QuarantineUnknown
from onewindow import asking
from projections.databases import open_view, writing
from streams.store import Store


def refuse(store, key, event_id):
    row = (
        "hrss.person",
        key,
        "id_length",
        "id_number",
        "aac002",
        "999",
        "ac01",
        "t",
        0,
        1,
        event_id,
        "2026-11-01",
        False,
    )
    with writing(store.engine) as connection:
        store.refuse(connection, [row])


@pytest.fixture
def deployment(tmp_path):
    url = f"sqlite:///{tmp_path}/streams.sqlite"
    store = Store(open_view(url))
    store.prepare("cluster", {})
    for key in ("a", "b"):
        refuse(store, key, "first")
    source = SimpleNamespace(system="hrss", owner_now=lambda: "人社")
    yield SimpleNamespace(
        streams_url=url, datasets=lambda: [(source, "person")], dataset=lambda _: (source, "person"), store=store
    )
    store.engine.dispose()


def keys(deployment, **more):
    return sorted(each["record_key"] for each in asking.refusals(deployment, None, None, **more))


def test_only_what_is_asked_for_and_only_when_it_is_meant(deployment):
    assert asking.discard(deployment, "hrss.person", ["a"], None, "moved", do=False)["records"] == 1
    assert keys(deployment) == ["a", "b"]
    assert asking.discard(deployment, "hrss.person", ["a"], None, "moved", do=True)["done"] is True
    assert (keys(deployment), keys(deployment, only_discarded=True)) == (["b"], ["a"])
    with pytest.raises(QuarantineUnknown):
        asking.discard(deployment, "hrss.person", ["a"], None, "moved", do=True)
    assert asking.discard(deployment, "hrss.person", [], "id_length", "all", do=True)["records"] == 1
    assert keys(deployment) == []


def test_a_newer_version_that_is_refused_is_on_the_list_again(deployment):
    asking.discard(deployment, "hrss.person", ["a"], None, "moved", do=True)
    refuse(deployment.store, "a", "second")
    assert (keys(deployment), keys(deployment, only_discarded=True)) == (["a", "b"], [])
