"""Keyed hashes that stand for keys: resident ids, record keys and event ids (guarantee 9).

An ID number is never a topic key, an event id or part of a URL. HMAC-SHA-256 under the deployment's secret, cut to 128
bits (32 hexadecimal digits), takes its place: the same number always gives the same resident id, and nobody without the
secret can go from one to the other by trying numbers.
"""

from __future__ import annotations

import hashlib

_BLOCK = hashlib.sha256().block_size
_INNER, _OUTER = bytes(byte ^ 0x36 for byte in range(256)), bytes(byte ^ 0x5C for byte in range(256))


class Hasher:
    """The keyed hashes of one deployment. ``secret`` is made by ``onewindow init``."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        # HMAC (RFC 2104) with both keyed states kept: the module hmac takes twice as long a digest, or (hmac.digest) lets
        # go of the interpreter's lock, which a busy thread beside this one then gives back milliseconds later.
        block = (hashlib.sha256(secret).digest() if len(secret) > _BLOCK else secret).ljust(_BLOCK, b"\0")
        self._inner, self._outer = hashlib.sha256(block.translate(_INNER)), hashlib.sha256(block.translate(_OUTER))

    def _digest(self, text: str) -> str:
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(text.encode())
        outer.update(inner.digest())
        return outer.hexdigest()[:32]

    @property
    def check_value(self) -> str:
        """What tells this secret from another one, and does not give it away."""
        return self._digest("deployment")

    def resident(self, id_number: str) -> str:
        """The id of the resident with this citizen ID number (18 characters, canonical)."""
        return self._digest("resident\0" + id_number)

    def provisional(self, record_key: str) -> str:
        """The id of the provisional resident that one record without an ID number stands for."""
        return self._digest("provisional\0" + record_key)

    def record(self, system: str, dataset: str, key: str) -> str:
        """The topic key of a record: what its key in the source becomes outside of it."""
        return self._digest(f"record\0{system}\0{dataset}\0{key}")


def event_id(system: str, dataset: str, record_key: str, at: str) -> str:
    """``ce_id`` of a change: the same for the same record at the same point of the source, however often it is read."""
    return hashlib.sha256(f"{system}\0{dataset}\0{record_key}\0{at}".encode()).hexdigest()[:32]


def partition_of(key: str, partitions: int) -> int:
    """The partition of a topic key. Keys are hashes already: their first 32 bits decide, no second hash is needed."""
    return int(key[:8], 16) % partitions
