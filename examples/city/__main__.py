"""``python -m examples.city DIR``: keep the departments of a sample city up, and make changes in them until told to end.

Prints one line of JSON when they are up, ``{"hrss_url": …, "hrss_password_file": …, "drop": …}``; reads commands from
standard input, a line each: ``{"count": 200, "rate": 100}`` makes so many changes and answers ``{"made": n}``.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from pathlib import Path

from examples.city.city import City


def main() -> None:
    """Run until SIGTERM, SIGINT or the end of standard input."""
    parser = argparse.ArgumentParser(prog="python -m examples.city", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--residents", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=0.0, help="changes a second; 0 waits for commands")
    parser.add_argument("--dump-each", type=int, default=0, help="deliver the next dump after so many changes")
    given = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    city = City(given.directory, residents=given.residents, seed=given.seed)

    def progress(done: int) -> None:
        _say({"building": done, "of": given.residents})

    city.start(progress)
    try:
        _say(
            {
                "hrss_url": city.hrss.reader_url,
                "hrss_password_file": str(city.hrss.password_file),
                "drop": str(city.drop),
            }
        )
        changes = city.changes(dump_each=given.dump_each)
        if given.rate:
            changes.run(given.rate, until=stop.is_set, each=lambda number: _say({"made": number}))
        else:
            _obey(city, stop)
    finally:
        city.stop()


def _obey(city: City, stop: threading.Event) -> None:
    reader = threading.Thread(target=_read_commands, args=(city, stop), daemon=True)
    reader.start()
    stop.wait()


def _read_commands(city: City, stop: threading.Event) -> None:
    for line in sys.stdin:
        wish = json.loads(line)
        changes = city.changes(dump_each=wish.get("dump_each", 0))
        changes.run(wish["rate"], count=wish["count"], until=stop.is_set)
        _say({"made": changes.made})
    stop.set()


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
