"""What the desk and the command line find in the view."""

from __future__ import annotations

import pytest
from viewcases import Views, asserted, feed, held

from contracts.errors import CommunityUnknown, ResidentUnknown
from contracts.identity import Hasher
from projections.databases import reading
from projections.reading import communities, resident_of

NUMBER = "00000019300101001X"


def test_a_resident_is_told_with_where_each_field_comes_from(views: Views):
    key = Hasher(b"0123456789abcdef").resident(NUMBER)
    view = views.new()
    feed(
        view,
        asserted("7", 1, key, id_number=NUMBER, phone="1", community_code="370102001001", originals={"phone": "(1)"},
                 mends={"phone": "digits only"}, benefit_kind="pension", benefit_state="paying", benefit_amount_fen=5),
        asserted("civil.elder/1", 1, key, phone="2", name="王芳", alive=True, as_of="2026-01-01"),
        held("7", 2, key, "name_missing"),
    )  # fmt: skip
    with reading(view.engine) as connection:
        found = resident_of(connection, key)
        (counted,) = communities(connection, "370102001001")
        assert counted["benefit_fen_paying"] == 5
        assert communities(connection) == [counted]
    assert found["fields"]["phone"] == {
        "value": "1", "system": "hrss", "dataset": "person", "record_key": "7", "rule": "authority", "as_of": None,
        "original": "(1)", "mend": "digits only",
    }  # fmt: skip
    assert found["fields"]["name"] == {
        "value": "王芳", "system": "civil", "dataset": "elder", "record_key": "1", "rule": "only source",
        "as_of": "2026-01-01",
    }  # fmt: skip
    assert "address" not in found["fields"]
    assert found["fields"]["alive"]["value"] is True
    assert (found["resident_id"], found["records"], found["held"], found["provisional"]) == (key, 2, 1, False)
    assert [(each["system"], each["held_reason"]) for each in found["assertions"]] == [
        ("civil", None), ("hrss", "name_missing"),
    ]  # fmt: skip
    assert found["assertions"][0]["fields"] == {"alive": True, "name": "王芳", "phone": "2"}
    assert found["benefits"] == [
        {
            "system": "hrss", "dataset": "person", "record_key": "7", "kind": "pension", "scheme": None, "amount_fen": 5,
            "from_month": None, "until_month": None, "state": "paying",
        }
    ]  # fmt: skip


def test_a_residents_household_is_told_with_the_relation_of_each_member(views: Views):
    view, home = views.new(), {"household_number": "12", "household_room": "402"}
    feed(
        view,
        asserted("grid.home/1", 1, "x", household_relation="10", **home),
        asserted("grid.home/2", 1, "y", household_relation="02", **home),
        asserted("grid.home/3", 1, "z", household_number="13"),
        asserted("7", 1, "w", name="甲"),
    )
    with reading(view.engine) as connection:
        assert resident_of(connection, "x")["households"] == [
            {
                "system": "grid", "dataset": "home", "household_number": "12", "community_code": None, "building": None,
                "unit": None, "room": "402", "head_resident_id": "y", "members": 2,
                "relations": [{"resident_id": "x", "relation": "10"}, {"resident_id": "y", "relation": "02"}],
            }
        ]  # fmt: skip
        assert resident_of(connection, "w")["households"] == []


def test_who_is_not_there_is_unknown(views: Views):
    view = views.new()
    with reading(view.engine) as connection:
        with pytest.raises(ResidentUnknown):
            resident_of(connection, "0" * 32)
        with pytest.raises(CommunityUnknown):
            communities(connection, "370102001001")
        assert communities(connection) == []
