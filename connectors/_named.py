"""Finds the connector that a source file names: a class in a module, or an entry point of an installed package."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from connectors.base import Connector
from contracts.errors import SettingInvalid
from contracts.sources import Source

GROUP = "onewindow.connectors"
_METHODS = ("check", "discover", "pull", "close")


def named_connector(source: Source, password: str | None, state: Path) -> Connector:
    """The connector that ``connector.use`` names, made as ``Class(source, password, state)``.

    Raises SettingInvalid when there is none, or when it is none; what its constructor raises passes unchanged.
    """
    use = source.connector.use or ""
    found = _loaded(source, use)
    if not callable(found):
        raise _invalid(source, f"{use} is no class (its type is {type(found).__name__})", "name the connector's class")
    try:
        inspect.signature(found).bind(source, password, state)
    except TypeError as error:
        raise _invalid(
            source, f"{use} can't be made from (source, password, state): {error}",
            "give the class an __init__(self, source, password, state)",
        ) from error  # fmt: skip
    connector: Connector = found(source, password, state)
    missing = [name for name in _METHODS if not callable(getattr(connector, name, None))]
    if missing:
        raise _invalid(source, f"{use} is no connector: it lacks {', '.join(missing)}", "add what it lacks")
    return connector


def _loaded(source: Source, use: str) -> Any:
    """What the name stands for. The module's own code runs here, and may fail in any way."""
    module, _, name = use.partition(":")
    try:
        if name:
            found: Any = import_module(module)
            for part in name.split("."):
                found = getattr(found, part)
            return found
        for point in entry_points(group=GROUP, name=use):
            return point.load()
    except Exception as error:
        raise _invalid(
            source, f"{use} can't be loaded ({type(error).__name__}: {error})",
            "write connector.use as package.module:ClassName, and install the package into the Python that runs OneWindow,"
            " or put its directory into PYTHONPATH",
        ) from error  # fmt: skip
    known = ", ".join(sorted(point.name for point in entry_points(group=GROUP))) or "none"
    raise _invalid(
        source, f"no entry point of the group {GROUP} has the name {use}; there are: {known}",
        "install the package that has it, or write connector.use as package.module:ClassName",
    )  # fmt: skip


def _invalid(source: Source, finding: str, fix: str) -> SettingInvalid:
    return SettingInvalid(
        f"{source.system}: connector.use: {finding}", fix=f"{fix}; docs/connectors.md shows a whole one"
    )
