"""Who runs a command."""

from __future__ import annotations

import getpass
import os


def login() -> str:
    """The login's name, or its number where it has none, as in a container with a user of its own."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
