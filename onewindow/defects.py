"""What OneWindow did not foresee: one message for the user, and a file for whoever mends it."""

from __future__ import annotations

import re
import sys
import tempfile
import traceback
from pathlib import Path

from contracts.errors import Defect
from onewindow.settings import FILE

_DIGITS = re.compile(r"\d{5,}[\dXx]?")
_CHINESE = re.compile(r"[\u3400-\u9fff\U00020000-\U000323af·]+")


def defect(error: Exception, directory: Path) -> Defect:
    """The error to show for one that nobody foresaw; where it arose is written to ``run/`` of the deployment, or to the
    folder for temporary files where there is no deployment. The same defect has the same file, so there are few."""
    folder = directory / "run" if (directory / FILE).is_file() else Path(tempfile.gettempdir())
    last = traceback.extract_tb(error.__traceback__)[-1]
    path = folder / f"onewindow-defect-{Path(last.filename).stem}-{last.lineno}.txt"
    try:
        folder.mkdir(exist_ok=True)
        path.write_text(report(error), encoding="utf-8")
        where = f"what led to it is in {path}"
    except OSError as unwritten:
        where = f"it could not be written to {path} ({unwritten.strerror})"
    return Defect(
        f"OneWindow failed in a way that nobody foresaw ({type(error).__name__}): the fault is ours, and {where}",
        fix="try it again; if it fails again, report it with that file",
    )


def report(error: BaseException) -> str:
    """Command and traceback, with whatever may be a number or name of a resident made unreadable."""
    text = " ".join(["onewindow", *sys.argv[1:], "\n"]) + "".join(traceback.format_exception(error))
    return _CHINESE.sub("字", _DIGITS.sub("99999", text))
