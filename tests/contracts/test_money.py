"""Money in fen, exactly."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import full_width, spaces

from contracts import money
from contracts.reasons import Mend, Reason
from contracts.texts import Refused


@given(st.integers(0, 10**12), spaces)
def test_yuan_in_any_dress_is_the_same_fen(fen, space):
    plain, grouped = f"{fen // 100}.{fen % 100:02d}", f"{fen // 100:,}.{fen % 100:02d}"
    assert money.fen(plain, unit="yuan") == money.fen(Decimal(plain), unit="yuan") == (fen, None)
    for raw in (
        grouped,
        "¥" + plain,
        "￥" + grouped,
        plain + "元",
        grouped + " 元整",
        "RMB " + plain,
        full_width(plain),
    ):
        assert money.fen(space + raw, unit="yuan")[0] == fen
    assert money.fen(f"{fen / 100:.2f}", unit="yuan") == (fen, None)
    assert money.fen(str(fen), unit="fen") == money.fen(fen, unit="fen") == (fen, None)


@pytest.mark.parametrize(
    ("raw", "unit", "fen", "mend"),
    [
        ("1234.5", "yuan", 123450, None),
        (1234.5, "yuan", 123450, None),
        (1234, "yuan", 123400, None),
        ("1234.5000", "yuan", 123450, None),
        (".5", "yuan", 50, Mend.MONEY_FORM),
        ("+5", "yuan", 500, Mend.MONEY_FORM),
        ("1,234.5", "yuan", 123450, Mend.MONEY_FORM),
        ("¥ 1,234.5", "yuan", 123450, Mend.MONEY_FORM),
        ("1234.0", "fen", 1234, None),
        ("1234分", "fen", 1234, Mend.MONEY_FORM),
        ("-0.00", "yuan", 0, Mend.MONEY_FORM),
        (" 5", "fen", 5, Mend.SPACES),
        ("无", "yuan", None, None),
        (None, "fen", None, None),
    ],
)
def test_amounts(raw, unit, fen, mend):
    assert money.fen(raw, unit=unit) == (fen, mend)


@pytest.mark.parametrize(
    ("raw", "unit"),
    [("12.345", "yuan"), (0.1 + 0.2, "yuan"), ("12.5", "fen"), ("100元", "fen"), ("100分", "yuan"), ("1万元", "yuan"),
     ("1,23", "yuan"), ("12¥34", "yuan"), (".", "yuan"), ("元", "yuan"), ("1e3", "yuan"), (True, "yuan"), ("٣", "yuan"), ("٣.٣٣", "yuan"),
     ("9" * 5_000, "fen"), (2**63, "fen"), ("92233720368547759", "yuan"), (float("inf"), "yuan")],
)  # fmt: skip
def test_unreadable(raw, unit):
    with pytest.raises(Refused) as refused:
        money.fen(raw, unit=unit)
    assert refused.value.reason == Reason.MONEY_UNREADABLE


@pytest.mark.parametrize("raw", ["-1", -1, "-0.01", "¥-5", "-¥5", "−5", "(5.00)", "－５"])
def test_negative(raw):
    with pytest.raises(Refused) as refused:
        money.fen(raw, unit="yuan")
    assert refused.value.reason == Reason.MONEY_NEGATIVE
