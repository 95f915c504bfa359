"""Which source wins a field."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import SettingInvalid
from contracts.fields import RESIDENT_FIELDS
from projections.reading import field_origins
from projections.winners import Authority, Member, decide

AUTHORITY = Authority({"default": ["civil.elder", "hrss.person"], "phone": ["hrss.person"]})


def member(source: str, as_of: str | None = None, **fields: Any) -> Member:
    system, dataset, *key = source.split(".")
    return Member(system, dataset, ".".join(key) or "1", as_of, False, False, fields)


def canonical(value: Any) -> str:
    """As RFC 8785 writes it, as far as it matters here: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def winner(field: str, *members: Member, authority: Authority = AUTHORITY) -> tuple[Any, str, str]:
    """The value, the record it comes from, and the rule."""
    values, provenance = decide(list(members), authority)
    where = field_origins(json.loads(provenance))[field]
    value = values[RESIDENT_FIELDS.index(field)]
    return value, f"{where['system']}.{where['dataset']}.{where['record_key']}", where["rule"]


OTHER = member("grid.home", name="other", phone="0")
"""A third source that is listed nowhere, so that each rule is tried among two and among three."""


@pytest.mark.parametrize("more", [[], [OTHER]])
def test_the_source_that_is_listed_first_wins_though_it_is_older(more: list[Member]):
    elder, person = (
        member("civil.elder", "2020", name="a", phone="1"),
        member("hrss.person", "2026", name="b", phone="2"),
    )
    assert winner("name", elder, person, *more) == ("a", "civil.elder.1", "authority")
    assert winner("phone", elder, person, *more) == ("2", "hrss.person.1", "authority")
    assert winner("name", *more, person, elder) == ("a", "civil.elder.1", "authority")


@pytest.mark.parametrize("more", [[], [OTHER]])
def test_a_source_that_is_silent_does_not_win(more: list[Member]):
    elder, person = member("civil.elder", name=None), member("hrss.person", name="b")
    assert winner("name", elder, person, *more)[:2] == ("b", "hrss.person.1")
    assert winner("name", elder, person)[2] == "only source"
    assert decide([elder], AUTHORITY) == ([None] * len(RESIDENT_FIELDS), "[]")


def test_a_null_of_who_would_lose_anyway_is_no_word_either():
    first, second = member("hrss.person", "2026", name="a"), member("hrss.person.2", "2025", name=None)
    assert winner("name", first, second)[2] == "only source"


def test_values_come_in_the_types_of_their_columns():
    values = dict(zip(RESIDENT_FIELDS, decide([member("civil.elder", name=7, alive=1)], AUTHORITY)[0], strict=True))
    assert (values["name"], values["alive"], values["phone"]) == ("7", True, None)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_provenance_is_canonical_whatever_a_key_holds(text: str):
    provenance = decide([Member("s", text, text, text, False, False, {"name": "a"})], AUTHORITY)[1]
    assert provenance == canonical(json.loads(provenance))
    assert json.loads(provenance)[0]["record_key"] == text


def test_false_is_a_value():
    assert winner("alive", member("civil.elder", alive=False), member("hrss.person", alive=True))[0] is False


def test_a_listed_source_comes_before_one_that_is_not():
    assert winner("name", OTHER, member("hrss.person", name="b")) == ("b", "hrss.person.1", "authority")


@pytest.mark.parametrize("more", [[], [member("grid.home.3", "2000", name="c")]])
def test_among_equals_the_more_recent_wins_and_no_date_is_the_oldest(more: list[Member]):
    old, new = member("grid.home.1", "2026-01-01", name="a"), member("grid.home.2", "2026-01-01T00:00:00", name="b")
    assert winner("name", old, new, *more) == ("b", "grid.home.2", "recency")
    undated = member("grid.home.0", None, name="c")
    assert winner("name", undated, old) == ("a", "grid.home.1", "recency")


@pytest.mark.parametrize("more", [[], [member("z.z", "2026", name="z")]])
def test_a_tie_goes_to_the_smallest_key(more: list[Member]):
    one, two = member("grid.home.1", "2026", name="a"), member("grid.home.2", "2026", name="b")
    assert winner("name", two, one, *more) == ("a", "grid.home.1", "tie")
    assert winner("name", member("b.a.1", name="x"), member("a.b.2", name="y"))[0] == "y"


def test_an_order_of_a_field_replaces_the_default():
    assert winner("phone", member("civil.elder", "2026", phone="1"), member("grid.home", "2027", phone="2")) == (
        "2", "grid.home.1", "recency",
    )  # fmt: skip


@pytest.mark.parametrize("order", [{"nickname": ["a.b"]}, {"benefit_kind": ["a.b"]}, {"name": ["a.b", "a.b"]}])
def test_a_declaration_that_makes_no_sense_is_refused(order: dict[str, list[str]]):
    with pytest.raises(SettingInvalid):
        Authority(order)


def test_the_fingerprint_follows_the_order_and_nothing_else():
    one = Authority({"name": ["a.b", "c.d"], "phone": ["a.b"]})
    assert one.fingerprint == Authority({"phone": ("a.b",), "name": ("a.b", "c.d")}).fingerprint
    assert one.fingerprint != Authority({"name": ["c.d", "a.b"], "phone": ["a.b"]}).fingerprint


sources = st.sampled_from(["civil.elder", "hrss.person", "grid.home"])
days = st.sampled_from([None, "2026-01-01", "2026-01-02"])
texts, flags = st.sampled_from([None, "a", "b"]), st.sampled_from([None, True, False])
said = st.fixed_dictionaries({}, optional={"name": texts, "phone": texts, "sex": texts, "alive": flags})


@given(st.data(), st.lists(st.tuples(sources, days, said), min_size=1, max_size=4))
def test_the_order_of_the_members_is_nothing(data: st.DataObject, drawn: list[tuple[str, str | None, dict[str, Any]]]):
    members = [member(f"{source}.{index}", day, **fields) for index, (source, day, fields) in enumerate(drawn)]
    assert decide(list(members), AUTHORITY) == decide(data.draw(st.permutations(members)), AUTHORITY)


@given(st.lists(st.tuples(sources, days, said), min_size=1, max_size=4))
def test_every_value_has_provenance_and_the_other_way_round(drawn: list[tuple[str, str | None, dict[str, Any]]]):
    members = [member(f"{source}.{index}", day, **fields) for index, (source, day, fields) in enumerate(drawn)]
    values, provenance = decide(members, AUTHORITY)
    assert provenance == canonical(json.loads(provenance))
    where = field_origins(json.loads(provenance))
    assert set(where) == {name for name, value in zip(RESIDENT_FIELDS, values, strict=True) if value is not None}
    by_key = {one.record_key: one for one in members}
    for name, origin in where.items():
        assert by_key[origin["record_key"]].fields[name] == values[RESIDENT_FIELDS.index(name)]
        assert origin["as_of"] == by_key[origin["record_key"]].as_of
