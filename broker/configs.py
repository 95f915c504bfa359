"""Settings of a topic: which there are, their defaults, and what they may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from broker.errors import Code, Refused

_number = re.compile(r"-?[0-9]{1,18}").fullmatch
_fraction = re.compile(r"[01](\.[0-9]{1,9})?").fullmatch


def _at_least(least: int) -> Callable[[str], bool]:
    return lambda text: _number(text) is not None and int(text) >= least


def _one_of(*values: str) -> Callable[[str], bool]:
    return lambda text: text in values


def _share(text: str) -> bool:
    return _fraction(text) is not None and float(text) <= 1


_POLICIES = ("delete", "compact", "compact,delete", "delete,compact")
_SETTINGS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "cleanup.policy": ("delete", _one_of(*_POLICIES)),
    "compression.type": ("producer", _one_of("producer")),  # batches stay as they come
    "delete.retention.ms": ("86400000", _at_least(0)),
    "max.message.bytes": ("1048588", _at_least(0)),
    "message.timestamp.type": ("CreateTime", _one_of("CreateTime")),
    "min.cleanable.dirty.ratio": ("0.5", _share),
    "min.insync.replicas": ("1", _one_of("1")),  # there is one
    "retention.bytes": ("-1", _at_least(-1)),
    "retention.ms": ("604800000", _at_least(-1)),
    "segment.bytes": ("67108864", _at_least(1_024)),
    "segment.ms": ("604800000", _at_least(1)),
}
DEFAULTS = {name: default for name, (default, _) in _SETTINGS.items()}


def validate(given: Mapping[str, str | None]) -> dict[str, str]:
    """The settings as they are kept. Raises Refused for an unknown name or a value that it can't have."""
    kept = {}
    for name, value in given.items():
        if name not in _SETTINGS:
            raise Refused(Code.INVALID_CONFIG, f"{name} is not known; there are {', '.join(_SETTINGS)}")
        if value is None or not _SETTINGS[name][1](value):
            raise Refused(Code.INVALID_CONFIG, f"{name} can't be {value!r} here")
        kept[name] = value
    return kept
