"""``python -m examples.city``: build a sample city, keep its departments up, make changes in them, tell the truth.

``run`` prints one line of JSON on standard output when the departments are up, ``{"urls": {"hrss": …, "civil_affairs": …,
"disabled_persons": …}, "password_files": {"hrss": …, …}, "drop": …, "directory": …}``, and progress as lines of JSON on standard error. SIGUSR1 ends its changes and leaves the
departments up: ``{"made": …, "quiet": true}`` once the last one has committed. The other commands print one line of JSON.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from examples.city.changes import Changes, Made, NothingToChange
from examples.city.city import City, CityUnfinished
from examples.city.happenings import KINDS
from examples.city.truth import FILE, Expected, Truth
from examples.postgres import PostgresUnavailable

_RESIDENTS, _SEED = 20_000, 1


class _ToldToEnd(Exception):
    """A signal came while the city was being built; the next start builds it anew."""


def main() -> int:
    """Run one command. Exit 0: done; 69: the departments can't be had; 1: the change can't be made."""
    given = _parser().parse_args()
    try:
        command: Callable[[argparse.Namespace], None] = given.command
        command(given)
    except _ToldToEnd:
        return 0
    except KeyboardInterrupt:
        return 130
    except (PostgresUnavailable, CityUnfinished, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 69
    except NothingToChange as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.city", description=__doc__)
    commands = parser.add_subparsers(required=True)
    build = commands.add_parser("build", help="fill the departments of a new city, and leave them down")
    run = commands.add_parser("run", help="keep the departments up until SIGTERM or SIGINT, building them if need be")
    change = commands.add_parser("change", help="make changes now, also while the city runs in another process")
    truth = commands.add_parser("truth", help="what is so, and what the view should show")
    for command, function in ((build, _build), (run, _run), (change, _change), (truth, _truth)):
        command.add_argument("directory", type=Path)
        command.set_defaults(command=function)
    for command in (build, run):
        command.add_argument("--residents", type=int, help=f"{_RESIDENTS} unless the city is built")
        command.add_argument("--seed", type=int, help=f"{_SEED} unless the city is built")
    run.add_argument("--rate", type=float, default=0.0, help="changes a second; 0: none")
    run.add_argument("--dump-each", type=int, default=0, help="deliver the next dump after so many changes; 0: never")
    run.add_argument("--wait", action="store_true", help="begin the changes at SIGUSR2")
    run.add_argument("--with-parent", action="store_true", help="end when the process that started this one has ended")
    change.add_argument("kind", choices=[*KINDS, "dump", "stream"])
    change.add_argument("--resident", type=int, help="whom it is done to; any one otherwise")
    change.add_argument("--to", help="move: the code of the community")
    change.add_argument("--cut", type=float, default=1.0, help="dump: break it off after this share of its bytes")
    change.add_argument("--count", type=int, default=1, help="stream: how many changes")
    change.add_argument("--rate", type=float, default=0.0, help="stream: changes a second; 0: as fast as can be")
    change.add_argument("--dump-each", type=int, default=0, help="stream: as for run")
    truth.add_argument("--resident", type=int, help="one resident by number; all otherwise, a line each")
    truth.add_argument("--records", action="store_true", help="all records, a line each")
    return parser


def _build(given: argparse.Namespace) -> None:
    city = _city(given)
    begun = time.perf_counter()
    city.build(_progress(city))
    city.stop()
    _say(sys.stdout, residents=city.residents, seed=city.seed, seconds=round(time.perf_counter() - begun, 2))


def _run(given: argparse.Namespace) -> None:
    stop, quiet, begin = threading.Event(), threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: _set(stop, quiet, begin))
    signal.signal(signal.SIGUSR1, lambda *_: _set(quiet, begin))
    signal.signal(signal.SIGUSR2, lambda *_: begin.set())
    if not given.wait:
        begin.set()
    if given.with_parent:
        threading.Thread(target=_end_with_parent, args=(os.getppid(), stop, quiet, begin), daemon=True).start()
    city = _city(given)
    with _up(city, stop):
        _say(
            sys.stdout,
            urls={system: each.reader_url for system, each in city.departments.items()},
            password_files={system: str(each.password_file) for system, each in city.departments.items()},
            drop=str(city.drop),
            directory=str(city.directory),
        )
        if given.rate:
            changes = Changes(city, dump_each=given.dump_each)
            _say(sys.stderr, made=changes.made)
            begin.wait()
            changes.run(given.rate, stop=quiet, each=_each_second(changes))
            _say(sys.stderr, made=changes.made, quiet=True)
        stop.wait()


def _set(*events: threading.Event) -> None:
    for event in events:
        event.set()


def _end_with_parent(parent: int, stop: threading.Event, *others: threading.Event) -> None:
    while os.getppid() == parent and not stop.wait(0.2):
        pass
    _set(stop, *others)


def _change(given: argparse.Namespace) -> None:
    city = City.open(given.directory)
    with _up(city, threading.Event()):
        changes = Changes(city, dump_each=given.dump_each)
        if given.kind == "stream":
            done = changes.run(given.rate or math.inf, count=given.count)
            _say(sys.stdout, made=done, of_all=changes.made)
            return
        if given.kind == "dump":
            made = changes.dump(cut=given.cut)
        else:
            made = changes.make(given.kind, resident=given.resident, to=given.to)
        _say(sys.stdout, kind=made.kind, resident=made.resident, records=made.records)


def _truth(given: argparse.Namespace) -> None:
    truth = Truth.open(given.directory)
    if given.records:
        for record in truth.records():
            _say(sys.stdout, **record._asdict(), outcome=record.outcome, as_of=record.as_of)
    elif given.resident is None:
        for expected in truth.expected_residents():
            _say(sys.stdout, **_plain(expected))
    else:
        _say(
            sys.stdout,
            resident=truth.resident(given.resident)._asdict(),
            records=[{**r._asdict(), "outcome": r.outcome} for r in truth.records_of(given.resident).values()],
            expected=[_plain(expected) for expected in truth.expected_resident(given.resident)],
        )
    truth.close()


def _plain(expected: Expected) -> dict[str, Any]:
    plain = dataclasses.asdict(expected)
    plain["benefits"] = [{"dataset": dataset, "key": key, **said} for (dataset, key), said in expected.benefits.items()]
    for name in ("records", "held"):
        plain[name] = [[record.dataset, record.key] for record in getattr(expected, name)]
    return plain


def _city(given: argparse.Namespace) -> City:
    """The city that is in the directory, unless the command line says another."""
    residents, seed = given.residents, given.seed
    if (given.directory / FILE).exists():
        truth = Truth.open(given.directory)
        residents, seed = residents or truth.size or None, truth.seed if seed is None and truth.size else seed
        truth.close()
    return City(given.directory, residents or _RESIDENTS, _SEED if seed is None else seed)


@contextmanager
def _up(city: City, stop: threading.Event) -> Iterator[None]:
    def progress(done: int) -> None:
        _progress(city)(done)
        if stop.is_set():
            raise _ToldToEnd

    try:
        city.start(progress)
        yield
    finally:
        city.stop()


def _progress(city: City) -> Callable[[int], None]:
    return lambda done: _say(sys.stderr, building=done, of=city.residents)


def _each_second(changes: Changes) -> Callable[[Made], None]:
    """Say how many changes were made, at most once a second."""
    last = [0.0]

    def say(made: Made) -> None:
        if time.monotonic() - last[0] >= 1:
            last[0] = time.monotonic()
            _say(sys.stderr, made=changes.made, last=made.kind)

    return say


def _say(stream: TextIO, **what: Any) -> None:
    stream.write(json.dumps(what, ensure_ascii=False) + "\n")
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
