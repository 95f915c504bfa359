"""``onewindow init``: a deployment to start from."""

from __future__ import annotations

import secrets
from importlib.resources import files
from pathlib import Path

from contracts.errors import DeploymentExists
from onewindow.settings import FILE


def make(directory: Path) -> None:
    """Write the settings file, a secret of its own, and an example of a source file. Changes nothing that is there."""
    if (directory / FILE).exists():
        raise DeploymentExists(f"{directory} holds a deployment already", fix="choose another directory")
    (directory / "sources").mkdir(parents=True, exist_ok=True)
    templates = files("onewindow") / "templates"
    (directory / FILE).write_text((templates / FILE).read_text(encoding="utf-8"), encoding="utf-8")
    example = (templates / "source.yaml.example").read_text(encoding="utf-8")
    (directory / "sources" / "example.yaml.off").write_text(example, encoding="utf-8")
    secret = directory / "secret.key"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_hex(32))
