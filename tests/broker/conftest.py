"""Lets ``broker`` mean the room and not this folder, which pytest's import mode would have as a namespace package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
