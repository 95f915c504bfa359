"""Names of people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import han, rare, spaces

from contracts import names
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

part = st.lists(st.one_of(han, rare), min_size=2, max_size=6).map("".join)


@given(st.lists(part, min_size=2, max_size=4), st.sampled_from("·•・．‧∙⋅･.。"), spaces)
def test_every_dot_is_the_same_dot(parts, dot, space):
    name = "·".join(parts)
    assert names.name((space + dot).join(parts))[0] == name
    assert names.name(name) == (name, None)


@given(st.lists(st.one_of(han, rare), min_size=1, max_size=6), st.sampled_from(" \u3000\u00a0\t\u200b"))
def test_spaces_in_a_chinese_name_go(characters, space):
    assert names.name(space.join(characters))[0] == names.name("".join(characters))[0]


@given(st.text())
def test_a_name_is_a_fixed_point(raw):
    try:
        value, _ = names.name(raw)
    except Refused:
        return
    assert value is None or names.name(value) == (value, None)


@pytest.mark.parametrize(
    ("raw", "value", "mend"),
    [
        ("张三", "张三", None),
        ("张 三", "张三", Mend.SPACES),
        ("张　三　", "张三", Mend.SPACES),
        ("买买提•吐尔逊", "买买提·吐尔逊", Mend.NAME_DOT),
        ("买买提 . 吐尔逊", "买买提·吐尔逊", Mend.NAME_DOT),
        ("买买提&#183;吐尔逊", "买买提·吐尔逊", Mend.NAME_DOT),
        ("买买提··吐尔逊", "买买提·吐尔逊", Mend.NAME_DOT),
        ("买买提· ·吐尔逊", "买买提·吐尔逊", Mend.SPACES),
        ("张三.", "张三", Mend.NAME_DOT),
        (".'张三", "张三", Mend.NAME_DOT),
        ("John  F. Kennedy", "John F. Kennedy", Mend.SPACES),
        ("José García", "José García", None),
        ("O'Neil", "O'Neil", None),
        ("ئەخمەت تۇرسۇن", "ئەخمەت تۇرسۇن", None),
        ("李〇", "李〇", None),
        ("𠮷田", "𠮷田", None),
        ("\U00030000\U00031350", "\U00030000\U00031350", None),
        ("Ｊｏｈｎ", "John", Mend.FULL_WIDTH),
        ("王", "王", None),
        ("无", None, None),
        ("不详", None, None),
        (None, None, None),
    ],
)
def test_known_names(raw, value, mend):
    assert names.name(raw) == (value, mend)


@pytest.mark.parametrize(
    "raw",
    ["张三1", "张三１", "??", "张?", "张\ufffd", "张\x00", "å¼\xa0ä¸‰", "锟斤拷", "张*三", "张\ue000", "张□", "张三/李四",
     "·", "()", 12, ["张三"], "张\U000f0000", "張😀"],
)  # fmt: skip
def test_unreadable(raw):
    with pytest.raises(Refused) as refused:
        names.name(raw)
    assert refused.value.reason == Reason.NAME_UNREADABLE


def test_fifty_characters_are_a_name_and_fifty_one_are_not():
    assert names.name("阿" * 25 + "·" + "里" * 24)[1] is None
    with pytest.raises(Refused) as refused:
        names.name("阿" * 51)
    assert refused.value.reason == Reason.NAME_TOO_LONG
