"""The command line: it answers at once, and each code can be explained."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from contracts.errors import FAMILIES, catalogue
from contracts.reasons import REASONS, Mend, Reason
from onewindow.asking import explain

HEAVY = ("sqlalchemy", "faust", "kafka", "aiokafka", "pydantic", "msgspec", "psycopg", "yaml")


def test_help_loads_nothing_heavy():
    code = (
        "import sys, typer.testing, onewindow.cli as c\n"
        "assert typer.testing.CliRunner().invoke(c.app, ['--help']).exit_code == 0\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("code", [*catalogue(), *(reason.value for reason in Reason)])
def test_each_code_is_explained_in_both_languages(code):
    found = explain(code)
    assert len(found["english"]) > 10
    assert any("\u4e00" <= character <= "\u9fff" for character in found["chinese"])


def test_each_error_is_in_one_family_or_an_answer_to_a_question():
    for error in catalogue().values():
        families = [family for family in FAMILIES if issubclass(error, family)]
        assert len(families) <= 1
        assert families or error.code.startswith("OW-15")
        assert error.exit_code in (1, 2, 69, 75, 78)


def test_each_reason_has_an_explanation_and_lists_are_closed():
    assert set(REASONS) == set(Reason)
    assert len(set(Mend)) == len(list(Mend))


def test_a_wrong_word_is_wrong_usage():
    done = subprocess.run(
        [sys.executable, "-m", "onewindow", "run", "nothing"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "there are broker, connectors, streams" in done.stderr


def test_explain_as_json():
    done = subprocess.run(
        [sys.executable, "-m", "onewindow", "explain", "OW-1203", "--json"], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["code"] == "OW-1203"
