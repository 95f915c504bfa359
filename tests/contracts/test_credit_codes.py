"""The credit code beyond its vectors (test_vectors.py): GB 32100."""

import pytest
import stdnum.cn.uscc
from hypothesis import given
from hypothesis import strategies as st
from strategies import full_width, spaces

from contracts import credit_codes
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
GOOD = "59379903EBLGM9DY0G"
first17 = st.from_regex(rf"[1-9ANY][{ALPHABET}]3799[0-9]{{2}}[{ALPHABET}]{{9}}", fullmatch=True)
codes = first17.map(lambda digits: digits + credit_codes.check_character(digits))


@given(st.from_regex(rf"[1-9]{{2}}3799[0-9]{{2}}[{ALPHABET}]{{9}}", fullmatch=True))
def test_the_check_character_is_that_of_another_library(digits):
    assert credit_codes.check_character(digits) == stdnum.cn.uscc.calc_check_digit(digits)


@given(codes, st.integers(8, 16), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_refused(code, place, other):
    wrong = code[:place] + other + code[place + 1 :]
    if wrong == code:
        assert credit_codes.credit_code(code) == (code, None)
    else:
        with pytest.raises(Refused) as refused:
            credit_codes.credit_code(wrong)
        assert refused.value.reason == Reason.CREDIT_CODE


@given(codes, spaces, spaces, st.sampled_from([str, str.lower, full_width]))
def test_a_repaired_code_is_the_code(code, before, after, dress):
    raw = before + dress(code) + after
    value, mend = credit_codes.credit_code(raw)
    assert value == code
    assert (mend is None) == (raw == code)


@pytest.mark.parametrize(
    ("raw", "mend"),
    [
        ("59379903 EBLGM9DY0G", Mend.SPACES),
        ("59379903-EBLGM9DY0-G", Mend.SEPARATORS),
        (GOOD.lower(), Mend.CODE_ALIAS),
        ("'" + GOOD, Mend.QUOTE_PREFIX),
    ],
)
def test_mends(raw, mend):
    assert credit_codes.credit_code(raw) == (GOOD, mend)


@pytest.mark.parametrize("raw", ["59٣79903EBLGM9DY0G", [GOOD], "91", GOOD + " " + GOOD])
def test_refusals(raw):
    with pytest.raises(Refused):
        credit_codes.credit_code(raw)
