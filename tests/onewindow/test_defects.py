"""What nobody foresaw is one message, and its file holds nothing of a resident."""

from __future__ import annotations

import subprocess
import sys

from onewindow.defects import defect

NUMBER, NAME = "379901195001010244", "张三"


def test_a_defect_is_one_message_and_a_file_without_values(tmp_path):
    (tmp_path / "onewindow.yaml").write_text("name: test\n")
    try:
        raise KeyError(f"no {NUMBER} of {NAME}")
    except KeyError as error:
        found = defect(error, tmp_path)
    (file,) = (tmp_path / "run").iterdir()
    text = file.read_text()
    assert "Traceback" in text
    assert "test_defects.py" in text
    for word in (NUMBER, NAME, NUMBER[:6]):
        assert word not in text + str(found)
    assert str(file) in str(found)
    assert found.exit_code == 70


def test_the_command_line_ends_with_it(tmp_path):
    (tmp_path / "onewindow.yaml").write_text("name: test\n")
    broken = (
        "import sys, onewindow.deploying, onewindow.cli as c\n"
        "def make(directory): raise RuntimeError('not foreseen')\n"
        "onewindow.deploying.make = make\n"
        f"sys.argv = ['onewindow', 'init', 'x', '-C', {str(tmp_path)!r}]\n"
        "c.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", broken], capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert done.stderr.startswith("OW-1604: ")
    assert "Traceback" not in done.stderr
    (file,) = (tmp_path / "run").iterdir()
    assert "RuntimeError: not foreseen" in file.read_text()
