"""A department at work, a process: ``python -m benchmarks.changes DSN TABLE LOADED FIRST RATE SECONDS``.

Single changes at a steady rate, each a transaction of its own, over several connections: one alone would wait for the
disk after each commit. Late ones are caught up with. Prints the rate that was reached.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import psycopg

from benchmarks import people

_CONNECTIONS = 8


def _work(dsn: str, statements: Sequence[tuple[str, tuple[str, ...]]], every_s: float, start: float) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        for place, (statement, values) in enumerate(statements):
            wait = start + place * every_s - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            connection.execute(statement, values)


def main(dsn: str, table: str, loaded: int, first: int, rate: float, seconds: float) -> float:
    """Make the changes; gives how many a second they were."""
    made = list(people.changes(table, loaded, first, round(rate * seconds)))
    every_s, began = _CONNECTIONS / rate, time.monotonic() + 0.2
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        done = [
            pool.submit(_work, dsn, made[lane::_CONNECTIONS], every_s, began + lane / rate)
            for lane in range(_CONNECTIONS)
        ]
        for each in done:
            each.result()
    return len(made) / (time.monotonic() - began)


if __name__ == "__main__":
    _, given_dsn, given_table, *numbers = sys.argv
    print(main(given_dsn, given_table, int(numbers[0]), int(numbers[1]), float(numbers[2]), float(numbers[3])))
