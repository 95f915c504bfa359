"""What the tests of the sample city share."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

from python_calamine import CalamineWorkbook

from examples.city.city import City
from examples.city.records import CARD

ROOT = Path(__file__).parent.parent.parent
RESIDENTS, SEED = 1_500, 5


def new_directory() -> Path:
    """Not pytest's own folder: run by root, the server is another user, who can't enter that."""
    return Path(tempfile.mkdtemp(prefix="onewindow-city-"))


def rows(city: City, dataset: str) -> dict[str, tuple[object, ...]]:
    """What the department's table holds, by key, without the time of the machine."""
    if dataset == CARD:
        return {row["cjrbh"]: tuple(row.values())[:-1] for row in city.disabled_persons.register.rows()}
    database = city.databases[dataset.partition(".")[0]]
    table = database.tables[dataset]
    found = database.owner.execute(f"select {', '.join(table.columns)} from {table.name} order by 1").fetchall()
    database.owner.rollback()
    return {row[0]: tuple(str(cell) if isinstance(cell, Decimal) else cell for cell in row) for row in found}


def digest(city: City) -> dict[str, str]:
    """Each table and dump of the departments, and what should come of them, as a hash."""
    parts = {dataset: repr(list(rows(city, dataset).values())) for dataset in in_tables(city)}
    parts |= {path.name: path.read_bytes().hex() for path in [*city.drop.iterdir(), *city.grid_drop.iterdir()]}
    parts["households"] = json.dumps({number: len(of) for number, of in city.truth.expected_households().items()})
    parts["expected"] = json.dumps([[e.id_number, e.fields] for e in city.truth.expected_residents()])
    return {name: f"{len(text)}:{hashlib.sha256(text.encode()).hexdigest()[:16]}" for name, text in parts.items()}


def tables_equal_truth(city: City) -> None:
    for dataset in in_tables(city):
        assert rows(city, dataset) == {r.key: tuple(r.row.values()) for r in city.truth.rows(dataset)}


def in_tables(city: City) -> list[str]:
    """The datasets that lie in a table."""
    return [dataset for department in city.departments.values() for dataset in department.tables]


def register_rows(path: Path, sheet: str) -> list[list[str]]:
    """The cells of a grid's register."""
    with CalamineWorkbook.from_path(path) as book:
        assert book.sheet_names == [sheet]
        return [[str(cell) for cell in row] for row in book.get_sheet_by_name(sheet).to_python()]


def crash(city: City) -> None:
    """Stop its databases at once: nobody needs them again."""
    for database in city.databases.values():
        database.server.stop("immediate")


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "examples.city", *map(str, arguments)]


def called(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)


def started(*arguments: object) -> tuple[subprocess.Popen[str], dict[str, str]]:
    """A running city, and what it said when it was up."""
    process = subprocess.Popen(
        command("run", *arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    said = process.stdout.readline()
    if not said:
        raise AssertionError(process.communicate()[1])
    return process, json.loads(said)
