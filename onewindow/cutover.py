"""The cut-over report 割接报告: what a reconcile came to, as a file to be kept and signed, with its SHA-256 beside it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from contracts.errors import SettingInvalid
from onewindow import asking
from onewindow.logins import login
from onewindow.settings import Deployment


def beside(file: Path) -> Path:
    """Where the SHA-256 of a report is."""
    return file.with_name(f"{file.name}.sha256")


def write(deployment: Deployment, found: dict[str, Any], file: Path) -> dict[str, str]:
    """Write the report, then its SHA-256 in the format of ``sha256sum --check``. Nothing is written over.

    Raises SettingInvalid where it can't be written.
    """
    open_ones = asking.refusals(deployment, found["system"], None)
    compared = {each["dataset"] for each in found["datasets"]}
    refused = [each for each in open_ones if f"{each['system']}.{each['dataset']}" in compared]
    body = {
        "report": "reconcile 对账",
        "deployment": deployment.settings.name,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "made_by": login(),
        "versions": {"onewindow": version("onewindow"), "python": platform.python_version()},
        "key_check": deployment.hasher.check_value,
        **found,
        "open_quarantine": {
            "records": len(refused),
            "by_reason": dict(sorted(Counter(each["reason"] for each in refused).items())),
            "keys": [each["record_key"] for each in refused],
        },
    }
    data = (json.dumps(body, ensure_ascii=False, indent=2) + "\n").encode()
    digest = hashlib.sha256(data).hexdigest()
    try:
        _write(file, data)
        _write(beside(file), f"{digest}  {file.name}\n".encode())
    except OSError as error:
        raise SettingInvalid(
            f"the report can't be written to {file} ({error.strerror})",
            fix="compare again, with another place for --report",
        ) from error
    return {"file": str(file), "sha256": digest}


def _write(file: Path, data: bytes) -> None:
    with file.open("xb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
