"""The acceptance kit: real connectors pass it, and a connector that breaks a promise is caught by the check of that promise."""

from __future__ import annotations

import logging
import os
from bisect import bisect_right, insort
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, count
from pathlib import Path

import pytest
import sqlalchemy as sa

from connectors import testing as kit
from connectors.base import Dataset, Delete, Finding, Page, Upsert
from connectors.files import FilesConnector
from connectors.sql import SqlConnector
from connectors.testing import SECRET, Acceptance, PromiseBroken, Trial
from contracts.errors import SourceUnreachable
from contracts.sources import Source

# a reference connector ------------------------------------------------------------------------------------------------


class Register:
    """A source in memory: rows by key, each with the serial and the number of its last change, and a log of changes."""

    def __init__(self) -> None:
        self.rows: dict[str, tuple[int, int]] = {}
        self.keys: list[str] = []
        self.log: list[tuple[str, int | None]] = []

    def insert(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            insort(self.keys, key := f"p{number:05d}")
            self._put(key, number)

    def update(self, number: int) -> None:
        self._put(key := f"p{number:05d}", self.rows[key][1] + 100_000)

    def delete(self, number: int) -> None:
        self._drop(f"p{number:05d}")

    def rename(self, number: int, to: int) -> None:
        held = self._drop(f"p{number:05d}")
        insort(self.keys, key := f"p{to:05d}")
        self._put(key, held)

    def _put(self, key: str, content: int) -> None:
        self.log.append((key, content))
        self.rows[key] = len(self.log), content

    def _drop(self, key: str) -> int:
        self.log.append((key, None))
        self.keys.remove(key)
        return self.rows.pop(key)[1]

    def holds(self) -> dict[str, dict[str, str]]:
        return {key: record(key, content) for key, (_, content) in self.rows.items()}

    def close(self) -> None:
        pass


def record(key: str, content: int) -> dict[str, str]:
    return {"id": key, "name": f"n{content:06d}", "note": f"{content:064d}"}


class Reference:
    """Copies a register in the order of its keys, and then reads its log, from where that stood when the copy began."""

    def __init__(
        self, register: Register, page_rows: int, state: Path, password: str, *, reachable: bool = True
    ) -> None:
        self.register, self.page_rows, self.state, self.password = register, page_rows, state, password
        self.reachable = reachable

    def pull(self, dataset, after):  # noqa: ARG002 - there is one alone
        self.reach()
        at = dict(after) if after else {"key": "", "serial": len(self.register.log)}
        while at["key"] is not None:
            start = bisect_right(self.register.keys, at["key"])
            keys = self.register.keys[start : start + self.page_rows]
            rows = [(key, *self.register.rows[key]) for key in keys]
            last = len(keys) < self.page_rows
            at = at | {"key": None if last else keys[-1]}
            yield Page(
                [Upsert(key, record(key, content), str(serial)) for key, serial, content in rows], at,
                snapshot=True, mark="complete" if last else None,
            )  # fmt: skip
        while entries := self.register.log[at["serial"] : at["serial"] + self.page_rows]:
            changes = [self.change(at["serial"] + number, *entry) for number, entry in enumerate(entries, 1)]
            at = at | {"serial": at["serial"] + len(entries)}
            yield Page(changes, at)

    def change(self, serial: int, key: str, content: int | None) -> Upsert | Delete:
        return Delete(key, str(serial)) if content is None else Upsert(key, record(key, content), str(serial))

    def check(self):
        try:
            self.reach()
        except SourceUnreachable as error:
            yield Finding("fail", "register", str(error), error)
            return
        yield Finding("ok", "register", "answers")

    def discover(self):
        self.reach()
        return [Dataset("register", {"id": "text", "name": "text", "note": "text"}, ["id"])]

    def reach(self) -> None:
        try:
            self.connection()
        except OSError as error:
            raise SourceUnreachable("the register does not answer", fix="start it") from error

    def connection(self) -> None:
        if not self.reachable:
            raise ConnectionRefusedError("refused")

    def close(self) -> None:
        pass


def reference_trial(path: Path, connector: type[Reference] = Reference) -> Trial:
    register, state = Register(), path / "state"
    state.mkdir()
    return Trial(
        register, "register",
        lambda page_rows: connector(register, page_rows, state, SECRET),
        lambda: connector(register, 3, state, SECRET, reachable=False),
        state,
    )  # fmt: skip


class TestOfTheReference(Acceptance):
    def trial(self, path: Path) -> Trial:
        return reference_trial(path)


# real connectors ------------------------------------------------------------------------------------------------------


def source(system: str, connector: dict, dataset: dict) -> Source:
    about = {"system": system, "title": "人社", "owner": "信息中心"}
    return Source.model_validate(about | {"connector": connector, "datasets": {"person": dataset}})


NOW = 1_790_000_000.0  # 2026-09-21


class Dumps:
    """A department that drops its whole register into a folder after each change."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, NOW - 100_000
        self.rows: dict[str, int] = {}
        folder.mkdir()

    def insert(self, numbers: Iterable[int]) -> None:
        self.rows |= {f"k{number}": number for number in numbers}
        self.drop()

    def update(self, number: int) -> None:
        self.rows[f"k{number}"] += 100_000
        self.drop()

    def delete(self, number: int) -> None:
        del self.rows[f"k{number}"]
        self.drop()

    def rename(self, number: int, to: int) -> None:
        self.rows[f"k{to}"] = self.rows.pop(f"k{number}")
        self.drop()

    def drop(self) -> None:
        path, self.clock = self.folder / "person.csv", self.clock + 10
        lines = "".join(f"{key},n{content}\n" for key, content in self.rows.items())
        path.write_text("编号,姓名\n" + lines, encoding="gb18030")
        os.utime(path, (self.clock, self.clock))

    def holds(self) -> dict[str, dict[str, str]]:
        return {key: {"编号": key, "姓名": f"n{content}"} for key, content in self.rows.items()}

    def close(self) -> None:
        pass


class TestOfFiles(Acceptance):
    def trial(self, path: Path) -> Trial:
        town, state = Dumps(path / "drop"), path / "state"

        def connector(page_rows: int, folder: Path = town.folder) -> FilesConnector:
            dataset = {
                "pattern": "person.csv", "key": ["编号"], "map": {"name": "姓名"}, "disappear_limit": 1,
                "encoding": "gb18030",  # to find it out takes 20 MB, however large the dump is: more than is measured here
            }  # fmt: skip
            how = {"kind": "files", "folder": str(folder), "page_rows": page_rows}
            return FilesConnector(source("ageing", how, dataset), state, now=lambda: NOW)

        return Trial(town, "person", connector, lambda: connector(3, path / "nowhere"), state)


class Table:
    """A table whose rows are never removed: a column says that they are gone."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self.engine = sa.create_engine(self.url)
        self._run(
            "CREATE TABLE person (id TEXT NOT NULL PRIMARY KEY, name TEXT, gone INTEGER, updated_at DATETIME NOT NULL)",
            {},
        )
        self._run("CREATE INDEX person_changes ON person (updated_at, id)", {})

    def _run(self, statement: str, values: dict | list[dict]) -> None:
        with self.engine.begin() as tx:
            tx.execute(sa.text(statement), values)

    def insert(self, numbers: Iterable[int]) -> None:
        rows = [{"id": f"k{number}", "name": f"n{number}", "at": clock()} for number in numbers]
        self._run("INSERT OR REPLACE INTO person VALUES (:id, :name, 0, :at)", rows)

    def update(self, number: int) -> None:
        self._run(
            "UPDATE person SET name = name || 'x', updated_at = :at WHERE id = :id", {"id": f"k{number}", "at": clock()}
        )

    def delete(self, number: int) -> None:
        self._run("UPDATE person SET gone = 1, updated_at = :at WHERE id = :id", {"id": f"k{number}", "at": clock()})

    def rename(self, number: int, to: int) -> None:
        self._run(
            "INSERT INTO person SELECT :to, name, 0, :at FROM person WHERE id = :id",
            {"id": f"k{number}", "to": f"k{to}", "at": clock()},
        )
        self.delete(number)

    def holds(self) -> dict[str, dict]:
        with self.engine.connect() as connection:
            rows = connection.execute(sa.text("SELECT * FROM person WHERE gone = 0")).mappings().all()
        return {row["id"]: dict(row) | {"updated_at": row["updated_at"].replace(" ", "T")} for row in rows}

    def close(self) -> None:
        self.engine.dispose()


def clock() -> str:
    """The time of day, as SQLite's own clock tells it."""
    return datetime.now(UTC).astimezone().replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")


class TestOfSql(Acceptance):
    def trial(self, path: Path) -> Trial:
        town = Table(path / "person.db")
        dataset = {
            "table": "person", "key": ["id"], "cursor": "updated_at", "map": {"name": "name"},
            "deleted": {"column": "gone", "values": [1]},
        }  # fmt: skip

        def connector(page_rows: int) -> SqlConnector:
            return SqlConnector(source("hrss", {"kind": "sql", "url": town.url, "page_rows": page_rows}, dataset))

        def unreachable() -> SqlConnector:
            how = {"kind": "sql", "url": "postgresql+psycopg://reader@127.0.0.1:1/hrss"}
            return SqlConnector(source("hrss", how, dataset), SECRET)

        return Trial(town, "person", connector, unreachable)


class BareTable(Table):
    """The same without a flag, and with nothing that tells what was changed."""

    def update(self, number: int) -> None:
        self._run("UPDATE person SET name = name || 'x' WHERE id = :id", {"id": f"k{number}"})

    def delete(self, number: int) -> None:
        self._run("DELETE FROM person WHERE id = :id", {"id": f"k{number}"})

    def rename(self, number: int, to: int) -> None:
        self._run("UPDATE person SET id = :to WHERE id = :id", {"id": f"k{number}", "to": f"k{to}"})


class TestOfSqlReadWhole(Acceptance):
    def trial(self, path: Path) -> Trial:
        town = BareTable(path / "person.db")
        dataset = {"table": "person", "key": ["id"], "map": {"name": "name"}, "disappear_limit": 0.5}

        def connector(page_rows: int) -> SqlConnector:
            how = {"kind": "sql", "url": town.url, "page_rows": page_rows}
            return SqlConnector(source("hrss", how, dataset), None, path / "state")

        def unreachable() -> SqlConnector:
            how = {"kind": "sql", "url": "postgresql+psycopg://reader@127.0.0.1:1/hrss"}
            return SqlConnector(source("hrss", how, dataset), SECRET, path / "state")

        return Trial(town, "person", connector, unreachable)


# connectors that break a promise --------------------------------------------------------------------------------------


class DropsARow(Reference):
    """At the end of a full page."""

    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, changes=page.changes[: self.page_rows - 1])


class PositionAhead(Reference):
    """Of each page, the position of the one after it."""

    def pull(self, dataset, after):
        before = None
        for page in super().pull(dataset, after):
            if before is not None:
                yield replace(before, position=page.position)
            before = page
        if before is not None:
            yield before


class RemembersWhatItGave(Reference):
    """And does not give it again, though it may have been lost on the way."""

    def __init__(self, *args, **options) -> None:
        super().__init__(*args, **options)
        self.given = set()

    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            fresh = [change for change in page.changes if (change.key, change.at) not in self.given]
            self.given |= {(change.key, change.at) for change in fresh}
            yield replace(page, changes=fresh)


NUMBERS = count()


class UnstableKeys(Reference):
    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, changes=[replace(each, key=f"{each.key}.{next(NUMBERS)}") for each in page.changes])


class UnstableAt(Reference):
    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, changes=[replace(each, at=f"{each.at}.{next(NUMBERS)}") for each in page.changes])


class AtThatStays(Reference):
    """When the row changes."""

    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, changes=[replace(each, at="1") for each in page.changes])


class RecordThatIsNotJson(Reference):
    def change(self, serial, key, content):
        found = super().change(serial, key, content)
        return found if isinstance(found, Delete) else replace(found, record=found.record | {"on": datetime.now(UTC)})


class PositionThatIsNotJson(Reference):
    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, position=dict(page.position) | {"at": datetime.now(UTC)})


class PositionThatJsonChanges(Reference):
    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, position=dict(page.position) | {"pair": (1, 2)})


class PositionThatIsLarge(Reference):
    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, position=dict(page.position) | {"seen": ["k" * 100] * 1_000})


class CopiesOnce(Reference):
    """And never looks at what changes."""

    def pull(self, dataset, after):
        return (page for page in super().pull(dataset, after) if page.snapshot)


class BeginsItsLogLate(Reference):
    """Where the log stands when the copy has ended, instead of where it stood when the copy began."""

    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            late = page.snapshot and page.mark == "complete"
            yield replace(page, position={"key": None, "serial": len(self.register.log)}) if late else page
            if late:
                return


class NeverSeesDeletes(Reference):
    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, changes=[each for each in page.changes if isinstance(each, Upsert)])


class DropsTheDeleteOfAChangedKey(Reference):
    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            pairs = zip(page.changes, [*page.changes[1:], None], strict=False)
            kept = [each for each, then in pairs if not (isinstance(each, Delete) and isinstance(then, Upsert))]
            yield replace(page, changes=kept)


class MarksNothing(Reference):
    def pull(self, dataset, after):
        return (replace(page, mark=None) for page in super().pull(dataset, after))


class NeverEnds(Reference):
    """A look at a source at rest."""

    def pull(self, dataset, after):
        last = Page([], after or {"key": "", "serial": 0})
        for last in super().pull(dataset, after):
            yield last
        while after is not None:
            yield replace(last, changes=[], mark=None)


class RepeatsTheLast(Reference):
    """The newest change, at each look."""

    def pull(self, dataset, after):
        again = dict(after) | {"serial": after["serial"] - 1} if after and after["key"] is None else after
        return super().pull(dataset, again)


class InventsAfterARestart(Reference):
    """A change that nobody made, when a new connector looks for the first time."""

    looked = False

    def pull(self, dataset, after):
        first, self.looked = not self.looked, True
        if first and after is not None:
            key = self.register.keys[0]
            yield Page([Upsert(key, record(key, self.register.rows[key][1]), f"restart {next(NUMBERS)}")], after)
        yield from super().pull(dataset, after)


class OnePage(Reference):
    def pull(self, dataset, after):
        pages = list(super().pull(dataset, after))
        if pages:
            yield replace(pages[-1], changes=list(chain.from_iterable(page.changes for page in pages)))


class HoldsAll(Reference):
    """Reads everything before it gives the first page."""

    def pull(self, dataset, after):
        yield from list(super().pull(dataset, after))


class SecretInAnError(Reference):
    def reach(self) -> None:
        if not self.reachable:
            raise SourceUnreachable(f"register://me:{self.password}@host does not answer", fix="start it")


class SecretInACause(Reference):
    def connection(self) -> None:
        if not self.reachable:
            raise ConnectionRefusedError(f"me:{self.password} was refused")


class SecretInAPosition(Reference):
    def pull(self, dataset, after):
        for page in super().pull(dataset, after):
            yield replace(page, position=dict(page.position) | {"login": self.password})


class SecretInAFinding(Reference):
    def check(self):
        yield from super().check()
        yield Finding("ok", "register", f"the password {self.password} works")


class SecretInItsRepr(Reference):
    def __repr__(self) -> str:
        return f"Reference({self.password!r})"


class SecretInALog(Reference):
    def connection(self) -> None:
        logging.getLogger("register").debug("login with %s", self.password)
        super().connection()


class SecretOnTheScreen(Reference):
    def connection(self) -> None:
        print(self.password)
        super().connection()


class RaisesWhatItGot(Reference):
    def reach(self) -> None:
        self.connection()


class CheckRaises(Reference):
    def check(self):
        self.reach()
        yield Finding("ok", "register", "answers")


class CheckSeesNothing(Reference):
    def check(self):
        return [Finding("ok", "register", "all is well")]


class IsSilentWhenUnreachable(Reference):
    def pull(self, dataset, after):
        return super().pull(dataset, after) if self.reachable else iter(())


class CheckWrites(Reference):
    def check(self):
        (self.state / "checked").write_text("now")
        return super().check()


class CheckMovesOn(Reference):
    """Takes the newest entry off the log, as one that reads a queue."""

    def check(self):
        self.register.keys.pop()
        self.register.rows.popitem()
        return super().check()


CAUGHT = [
    (DropsARow, kit.a_full_read_gives_what_the_source_holds, "3 rows were lost"),
    (PositionAhead, kit.a_restart_after_any_page_loses_nothing, "started again after page 1, .* lost"),
    (
        RemembersWhatItGave,
        kit.a_page_that_was_not_kept_is_given_again,
        "page 1 was read and not kept, 3 rows were lost",
    ),
    (UnstableKeys, kit.a_repeated_read_gives_the_same_changes, "it did not come"),
    (UnstableAt, kit.a_repeated_read_gives_the_same_changes, "came with at '.*', and read again with"),
    (AtThatStays, kit.a_repeated_read_gives_the_same_changes, "has changed and its at is '1' as before"),
    (RecordThatIsNotJson, kit.a_repeated_read_gives_the_same_changes, "is not JSON"),
    (PositionThatIsNotJson, kit.positions_are_small_json, "does not come back from JSON"),
    (PositionThatJsonChanges, kit.positions_are_small_json, "does not come back from JSON"),
    (PositionThatIsLarge, kit.positions_are_small_json, "bytes"),
    (CopiesOnce, kit.changes_come, "after a row was inserted, 1 rows were lost"),
    (BeginsItsLogLate, kit.changes_come, "rows changed during the first read"),
    (NeverSeesDeletes, kit.deletes_are_seen, "2 rows that are gone are still there"),
    (DropsTheDeleteOfAChangedKey, kit.a_changed_key_is_a_delete_and_an_upsert, "1 rows that are gone are still there"),
    (MarksNothing, kit.a_dataset_that_is_read_again_forgets_what_is_gone, "still there"),
    (NeverEnds, kit.nothing_comes_when_nothing_has_changed, "did not end"),
    (RepeatsTheLast, kit.nothing_comes_when_nothing_has_changed, "nothing had changed, and 1 changes came"),
    (InventsAfterARestart, kit.nothing_comes_when_nothing_has_changed, "after a restart .* which is new"),
    (OnePage, kit.pages_are_short, "10 changes, and page_rows is 1"),
    (HoldsAll, kit.memory_is_bounded, "at the peak"),
    (SecretInAnError, kit.no_secret_shows, "the password shows in a page"),
    (SecretInACause, kit.no_secret_shows, "the password shows in a page"),
    (SecretInAPosition, kit.no_secret_shows, "the password shows in a page"),
    (SecretInAFinding, kit.no_secret_shows, "the password shows in a finding"),
    (SecretInItsRepr, kit.no_secret_shows, "the password shows in its repr"),
    (SecretInALog, kit.no_secret_shows, "the password shows in its log"),
    (SecretOnTheScreen, kit.no_secret_shows, "the password shows in its output"),
    (RaisesWhatItGot, kit.an_unreachable_source_is_said, "ConnectionRefusedError"),
    (CheckRaises, kit.an_unreachable_source_is_said, "check raised SourceUnreachable"),
    (CheckSeesNothing, kit.an_unreachable_source_is_said, "check found nothing that fails"),
    (IsSilentWhenUnreachable, kit.an_unreachable_source_is_said, "pull .* not nothing"),
    (CheckWrites, kit.a_check_changes_nothing, "changed the state directory"),
    (CheckMovesOn, kit.a_check_changes_nothing, "changed the source"),
]


@pytest.mark.parametrize(("connector", "check", "finding"), CAUGHT, ids=[each[0].__name__ for each in CAUGHT])
def test_a_broken_connector_is_caught_by_the_check_of_its_promise(tmp_path, connector, check, finding):
    with pytest.raises(PromiseBroken, match=finding) as broken:
        check(reference_trial(tmp_path, connector))
    assert broken.value.promise == check.__name__
    assert str(broken.value).startswith(check.__name__.replace("_", " "))


def test_each_promise_is_broken_by_someone():
    assert {check for _, check, _ in CAUGHT} == set(kit.CHECKS)


def test_each_check_is_a_test_of_the_acceptance_class():
    tests = {name.removeprefix("test_") for name in vars(Acceptance) if name.startswith("test_")}
    assert tests == {check.__name__ for check in kit.CHECKS}


# how pages are folded -------------------------------------------------------------------------------------------------


def reader(tmp_path) -> kit.Reader:
    return kit.Reader(reference_trial(tmp_path))


def put(*keys: str) -> list[Upsert]:
    return [Upsert(key, {"id": key}, "1") for key in keys]


def test_complete_removes_what_did_not_come_since_reading_began(tmp_path):
    fold = reader(tmp_path)
    fold.take(Page(put("a", "b"), {"n": 1}))
    fold.begin_again()
    assert fold.position is None
    fold.take(Page(put("b"), {"n": 1}))
    assert fold.records.keys() == {"a", "b"}
    fold.take(Page(put("c"), {"n": 2}, mark="complete"))
    assert fold.records.keys() == {"b", "c"}


def test_cleared_removes_all_that_came_before_also_in_its_page(tmp_path):
    fold = reader(tmp_path)
    fold.take(Page(put("a"), {"n": 1}))
    fold.take(Page(put("b"), {"n": 2}, mark="cleared"))
    assert fold.records == {}
    fold.take(Page([*put("c", "d"), Delete("c", "2")], {"n": 3}, mark="complete"))
    assert fold.records.keys() == {"d"}


def test_a_town_that_does_not_do_what_it_is_told_is_said_to_be_wrong(tmp_path):
    trial = reference_trial(tmp_path)
    trial.town.insert = list
    with pytest.raises(ValueError, match="the Town is wrong: 10 rows were inserted, and it holds 0"):
        kit.changes_come(trial)
