"""``python -m contracts.schemas DIR``: the JSON Schemas of all events, a file each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from contracts import changes, events


def write(directory: Path) -> None:
    """Write them all."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, schema in {**events.schemas(), "Change.v1": changes.Change.model_json_schema()}.items():
        (directory / f"{name}.json").write_text(
            json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    write(Path(sys.argv[1]))
