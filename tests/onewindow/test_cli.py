"""The command line: it answers at once, and each code can be explained."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version

import pytest

from contracts.errors import FAMILIES, IdOnCommandLine, OneWindowError, catalogue
from contracts.explanations import EXPLAINED
from contracts.reasons import REASONS, Mend, Reason
from onewindow.asking import explain
from onewindow.cli import _refuse_id_numbers

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
    for name in ("english", "mend"):
        assert len(found[name]) > 10
    for name in ("chinese", "mend_zh"):
        assert any("\u4e00" <= character <= "\u9fff" for character in found[name])
        assert found[name].endswith("。")
    assert isinstance(found.get("exit_code", 0), int)


def test_each_code_is_one_error():
    def leaves(cls):
        return [cls, *(leaf for child in cls.__subclasses__() for leaf in leaves(child))]

    codes = [cls.code for cls in leaves(OneWindowError) if cls.code]
    assert sorted(codes) == sorted(set(codes))
    assert set(codes) == set(EXPLAINED)


def test_each_error_is_in_one_family_or_an_answer_to_a_question():
    for error in catalogue().values():
        families = [family for family in FAMILIES if issubclass(error, family)]
        assert len(families) <= 1
        assert families or error.code.startswith("OW-15")
        assert error.exit_code in (1, 2, 69, 70, 75, 78)


def test_each_reason_has_an_explanation_and_lists_are_closed():
    assert set(REASONS) == set(Reason)
    assert len(set(Mend)) == len(list(Mend))


def test_it_says_its_version():
    done = subprocess.run([sys.executable, "-m", "onewindow", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"onewindow {version('onewindow')}, Python 3.")


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


NUMBER = "379901195001010244"


@pytest.mark.parametrize(
    "arguments",
    [["explain", NUMBER], ["community", NUMBER], ["resident", f"{NUMBER}张三"], ["resident", f"a{NUMBER[:17]}x"],
     [NUMBER[:15]], ["quarantine", "list", f"--system={NUMBER}"]],
)  # fmt: skip
def test_an_id_number_in_any_argument_is_refused(arguments):
    with pytest.raises(IdOnCommandLine) as error:
        _refuse_id_numbers(arguments)
    assert error.value.exit_code == 2
    assert NUMBER[:14] not in str(error.value)


@pytest.mark.parametrize(
    "arguments", [["resident", "0" * 32], ["-C", f"/data/{NUMBER}", "status"], ["community", "370102001001"]]
)
def test_arguments_that_only_look_like_one_are_let_pass(arguments):
    _refuse_id_numbers(arguments)


def test_the_command_line_refuses_it_before_anything_else():
    done = subprocess.run(
        [sys.executable, "-m", "onewindow", "explain", NUMBER], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "OW-1503" in done.stderr) == (2, True)
    assert NUMBER not in done.stdout + done.stderr
