"""What the tests draw: numbers of people who can't exist (prefixes that no division has had), names, spaces."""

from __future__ import annotations

from datetime import date

import stdnum.cn.ric
from hypothesis import strategies as st

TODAY = date(2026, 11, 1)

regions = st.sampled_from(["379901", "379902", "379903", "379904", "000000"])
births = st.dates(date(1850, 1, 1), TODAY)
first17 = st.builds(
    lambda region, born, sequence: f"{region}{born:%Y%m%d}{sequence:03d}", regions, births, st.integers(0, 999)
)
id_numbers = first17.map(lambda digits: digits + stdnum.cn.ric.calc_check_digit(digits + "0"))

spaces = st.sampled_from(["", " ", "\t", "\u3000", "\u00a0", "\ufeff", "\u200b", " \u3000"])
"""What sources put around a value without meaning it."""

han = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)
rare = st.sampled_from("䶮㛃𠮷𡈼𪚥𫖯〇")


def full_width(text: str) -> str:
    """ASCII as its full-width twins."""
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
