"""The keyed hash is HMAC-SHA-256, cut to 128 bits; ids of different kinds never meet."""

from __future__ import annotations

import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.identity import Hasher


@given(secret=st.binary(max_size=150), number=st.text(max_size=80))
def test_the_keyed_hash_is_that_of_the_standard_library(secret, number):
    try:
        said = f"resident\0{number}".encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        with pytest.raises(UnicodeEncodeError):
            Hasher(secret).resident(number)
    else:
        assert Hasher(secret).resident(number) == hmac.digest(secret, said, "sha256").hex()[:32]


def test_one_text_of_two_kinds_gives_two_ids():
    hasher = Hasher(b"secret")
    assert len({hasher.resident("a"), hasher.provisional("a"), hasher.record("", "", "a"), hasher.check_value}) == 4
    assert Hasher(b"another").resident("a") != hasher.resident("a")
