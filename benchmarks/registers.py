"""``python -m benchmarks.registers``: how much memory a connector takes to read a large register, and how fast it is.

Each reading is a process of its own that pulls all pages and throws them away; its memory is the kernel's peak (VmHWM) beside
what it was before the first page. Nobody's records: ID numbers of a division that does not exist.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from connectors import open_connector
from contracts.sources import ConnectorSource, DatasetSource, Source
from examples.postgres import Postgres
from projections.bench import calibration

_MAP = {"id_number": "sfzh", "name": "xm"}
_CHUNK = 100_000


@contextmanager
def _sql(directory: Path, rows: int, *, cursor: str | None) -> Iterator[Source]:
    path = directory / "register.db"
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TABLE ry(nr integer primary key, sfzh text, xm text, updated_at text not null)")
        db.execute(
            "INSERT INTO ry WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?)"
            " SELECT n, printf('00000019500101%04d', n % 10000), '王' || n, datetime(1700000000 + n, 'unixepoch') FROM c",
            (rows,),
        )
        db.execute("CREATE INDEX ry_cursor ON ry(updated_at, nr)")
    yield _source({"kind": "sql", "url": f"sqlite:///{path}"}, {"table": "ry", "cursor": cursor})


@contextmanager
def _sql_cursor(directory: Path, rows: int) -> Iterator[Source]:
    """A table that is polled by cursor and key."""
    with _sql(directory, rows, cursor="updated_at") as source:
        yield source


@contextmanager
def _sql_whole(directory: Path, rows: int) -> Iterator[Source]:
    """A table without a cursor: read whole, and compared by fingerprints."""
    with _sql(directory, rows, cursor=None) as source:
        yield source


@contextmanager
def _postgres_log(directory: Path, rows: int) -> Iterator[Source]:
    """The first copy of a table whose log is followed."""
    server = Postgres(directory / "pg", "-c wal_level=logical -c max_wal_size=4GB")
    server.start()
    try:
        server.create_database("register")
        with psycopg.connect(server.socket_dsn("register"), autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE ry AS SELECT n::bigint AS nr, '00000019500101' || lpad(mod(n, 10000)::text, 4, '0') AS sfzh,"
                " '王' || n AS xm, to_timestamp(1700000000 + n) AS updated_at FROM generate_series(1, %s) AS n",
                (rows,),
            )
            connection.execute("ALTER TABLE ry ADD PRIMARY KEY (nr)")
            connection.execute("CREATE ROLE reader LOGIN REPLICATION PASSWORD 'of this run'")
            connection.execute("GRANT SELECT ON ry TO reader")
            connection.execute("CREATE PUBLICATION onewindow_register FOR TABLE ry")
        url = f"postgresql+psycopg://reader:of%20this%20run@127.0.0.1:{server.port}/register"
        yield _source({"kind": "postgres", "capture": "log", "url": url}, {"table": "ry"})
    finally:
        server.stop()


@contextmanager
def _csv(directory: Path, rows: int) -> Iterator[Source]:
    """A full dump, and the next one, which lacks every hundredth row and has other names in every fiftieth."""
    for month, later in (("01", 0), ("02", 1)):
        with (directory / f"register_2026{month}.csv{'.part' * later}").open("w", encoding="utf-8") as file:
            file.write("nr,sfzh,xm,updated_at\n")
            for start in range(0, rows, _CHUNK):
                numbers = [n for n in range(start, min(rows, start + _CHUNK)) if not later or n % 100]
                lines = [
                    f"{n},00000019500101{n % 10_000:04d},王{n + (later and n % 50 == 1)},2026-01-01\n" for n in numbers
                ]
                file.write("".join(lines))
    yield _source({"kind": "files", "folder": str(directory), "settle_s": 0}, {"pattern": "register_{period}.csv"})


def _source(connector: dict[str, Any], dataset: dict[str, Any]) -> Source:
    declared = DatasetSource.model_validate({"key": ["nr"], "map": _MAP, **dataset})
    return Source(
        system="register", title="登记册", owner="", connector=ConnectorSource(**connector), datasets={"ry": declared}
    )


READERS: dict[str, Callable[[Path, int], Any]] = {
    "files": _csv,
    "sql": _sql_cursor,
    "sql, no cursor": _sql_whole,
    "postgres, log": _postgres_log,
}


def _peak_mb() -> int:
    """Of this process, as the kernel has it; getrusage would tell the parent's before the exec."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return round(int(line.split()[1]) / 1024)


def read(source: Source, state: Path) -> dict[str, Any]:
    """Pull all there is; what it took. A next dump is pulled too."""
    connector, position, before = open_connector(source, state=state), None, _peak_mb()
    found: dict[str, Any] = {"before_mb": before}
    for look in ("first", "next"):
        began, changes = time.perf_counter(), 0
        for page in connector.pull("ry", position):
            position, changes = page.position, changes + len(page.changes)
        took = time.perf_counter() - began
        found[look] = {"changes": changes, "seconds": round(took, 2), "peak_mb": _peak_mb()}
        later = list(Path(source.connector.folder or state).glob("*.part"))
        if not later:
            break
        for path in later:
            path.rename(path.with_suffix(""))
    connector.close()
    return found


def main(
    rows: Annotated[int, typer.Option(min=1, help="Rows of the register.")] = 10_000_000,
    only: Annotated[list[str] | None, typer.Option(help=f"Of these: {'; '.join(READERS)}.")] = None,
) -> None:
    """One register of so many rows through each connector. One JSON document; progress on standard error."""
    if unknown := set(only or ()) - set(READERS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; known: {'; '.join(READERS)}")
    found: dict[str, Any] = {"rows": rows, "calibration_s": round(calibration(), 3), "readers": {}}
    for name in only or READERS:
        with tempfile.TemporaryDirectory(prefix="onewindow-register-") as folder:
            directory = Path(folder)
            directory.chmod(0o755)
            sys.stderr.write(f"{name}: making {rows:,} rows\n")
            with READERS[name](directory, rows) as source:
                sys.stderr.write(f"{name}: reading\n")
                child = [sys.executable, "-m", "benchmarks.registers", "--child", str(directory / "state")]
                done = subprocess.run(
                    child, input=source.model_dump_json(), capture_output=True, text=True, check=False
                )
            if done.returncode:
                sys.exit(done.stderr)
            found["readers"][name] = json.loads(done.stdout)
    print(json.dumps(found, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        Path(sys.argv[2]).mkdir()
        print(json.dumps(read(Source.model_validate_json(sys.stdin.read()), Path(sys.argv[2]))))
    else:
        typer.run(main)
