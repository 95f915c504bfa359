"""A connector that a source file names: found by module or entry point, and said to be none when it is none."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import ValidationError

from connectors import open_connector
from contracts.errors import SettingInvalid
from contracts.sources import Source

MODULE = """
    class Whole:
        def __init__(self, source, password, state):
            self.made_from = source.connector.options, password, state
        def check(self): ...
        def discover(self): ...
        def pull(self, dataset, after): ...
        def close(self): ...

    class Outer:
        Inner = Whole

    class Half(Whole):
        pull = None

    class Other:
        def __init__(self, source): ...

    class Sick(Whole):
        def __init__(self, source, password, state):
            raise ValueError("a fault of its own")

    number = 7
"""


def source(**connector) -> Source:
    return Source.model_validate(
        {
            "system": "station",
            "title": "服务站",
            "owner": "信息中心",
            "connector": {"kind": "python"} | connector,
            "datasets": {"person": {"key": ["id"], "map": {"name": "name"}}},
        }
    )


@pytest.fixture(autouse=True)
def package(tmp_path, monkeypatch):
    """A module that can be imported, and the entry points of an installed package."""
    (tmp_path / "of_the_city.py").write_text(dedent(MODULE))
    (tmp_path / "of_broken_code.py").write_text("import nothing_of_this_name\n")
    about = tmp_path / "of_the_city-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: of-the-city\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[onewindow.connectors]\ncity-register = of_the_city:Whole\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("of_the_city", None)


@pytest.mark.parametrize("use", ["of_the_city:Whole", "of_the_city:Outer.Inner", "city-register"])
def test_it_is_made_from_source_password_and_state(use):
    connector = open_connector(source(use=use, options={"depth": 3}), password="p", state=Path("state"))
    assert type(connector).__name__ == "Whole"
    assert connector.made_from == ({"depth": 3}, "p", Path("state"))


@pytest.mark.parametrize(
    ("use", "finding"),
    [
        ("of_no_city:Whole", "can't be loaded .ModuleNotFoundError: No module named 'of_no_city'"),
        ("of_broken_code:Whole", "can't be loaded .ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("of_the_city:Hole", "can't be loaded .AttributeError: .*Hole"),
        ("town-register", "no entry point of the group onewindow.connectors .*there are: city-register"),
        ("of_the_city:number", "of_the_city:number is no class .its type is int"),
        ("of_the_city:Half", "is no connector: it lacks pull"),
        ("of_the_city:Other", "can't be made from .source, password, state.: too many positional arguments"),
    ],
)
def test_what_is_no_connector_is_said_with_a_fix(use, finding):
    with pytest.raises(SettingInvalid, match=f"station: connector.use: .*{finding}") as invalid:
        open_connector(source(use=use), password="the password", state=Path("state"))
    assert "docs/connectors.md" in invalid.value.fix
    assert "the password" not in str(invalid.value)


def test_what_its_constructor_raises_passes():
    with pytest.raises(ValueError, match="a fault of its own"):
        open_connector(source(use="of_the_city:Sick"), state=Path("state"))


@pytest.mark.parametrize(
    "connector",
    [{}, {"use": "a b"}, {"use": "os:"}, {"kind": "files", "folder": "drop", "options": {"depth": 3}},
     {"kind": "files", "folder": "drop", "use": "of_the_city:Whole"}],
)  # fmt: skip
def test_use_and_options_are_for_kind_python(connector):
    with pytest.raises(ValidationError, match="connector"):
        source(**connector)
