"""``onewindow init``: a deployment to start from."""

from __future__ import annotations

import os
import secrets
from importlib.resources import files
from pathlib import Path

from contracts.errors import DeploymentExists
from onewindow.settings import FILE, remains

EXAMPLE, SECRET = "sources/example.yaml.off", "secret.key"


def make(directory: Path) -> list[str]:
    """Write the settings file, a secret of its own, and an example of a source file; gives their names.

    The directory is then for this user alone. Raises DeploymentExists, with nothing changed, when a deployment is there,
    or anything of one.
    """
    there = [FILE] if (directory / FILE).exists() else remains(directory)
    if there:
        raise DeploymentExists(f"{directory} holds {', '.join(there)} of a deployment", fix="choose another directory")
    (directory / "sources").mkdir(parents=True)
    directory.chmod(0o700)
    write_secret(directory / SECRET, secrets.token_hex(32))
    templates = files("onewindow") / "templates"
    (directory / FILE).write_text((templates / FILE).read_text(encoding="utf-8"), encoding="utf-8")
    example = (templates / "source.yaml.example").read_text(encoding="utf-8")
    (directory / EXAMPLE).write_text(example, encoding="utf-8")
    return [FILE, EXAMPLE, SECRET]


def write_secret(path: Path, secret: str) -> None:
    """Make a file that this user alone may read. Raises FileExistsError: a key is never written over."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
