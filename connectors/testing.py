"""An acceptance kit for connectors, in plain Python: whatever reads a source, it must keep these promises.

An author writes a ``Town``, a source that the kit can change as a department would, and a ``Trial``, how to make his
connector for it. In pytest he inherits from ``Acceptance``:

    class TestMine(Acceptance):
        def trial(self, path: Path) -> Trial:
            town = MyTown(path)
            return Trial(town, "person", lambda page_rows: MyConnector(town.source(page_rows), SECRET, path / "state"), ...)

Each check is a function of a fresh trial and raises PromiseBroken, with what was found. The kit folds pages as OneWindow
does: a delete removes its key; ``complete`` removes what did not come since reading began; ``cleared`` removes all. It keeps
positions as JSON, as OneWindow does, and gives back what JSON made of them.

A promise that a source can't let a connector keep, such as deletes that its table doesn't show, is left out by its name, in
sight of whoever reads the test: ``test_deletes_are_seen = None``.
"""

from __future__ import annotations

import io
import json
import logging
import traceback
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from connectors.base import Connector, Delete, Page, Position, Upsert
from contracts.errors import OneWindowError

SECRET = "OneWindowKitSecret7"  # noqa: S105 - the point is that it is known
"""The password to make a connector with, where it takes one. It must show nowhere."""

ROWS, PAGE_ROWS = 10, 3  # a read of a few pages, the last of them not full
MOST_PAGES = 1_000  # of one pull of a few rows: past that it never ends
LARGEST_POSITION = 64 * 1024  # bytes as JSON; each save of a position is a record of a topic
FEW, MANY, LARGE_PAGE = 2_000, 20_000, 500
MORE_MEMORY = 4_000_000  # bytes for 18,000 rows more: hashes of what was read have room (sql: 3.0 MB), records have not


class PromiseBroken(AssertionError):
    """What a connector did that it must not do. ``promise``: the check that found it."""

    def __init__(self, finding: str) -> None:
        super().__init__(finding)
        self.finding, self.promise = finding, ""

    def __str__(self) -> str:
        return f"{self.promise.replace('_', ' ') or 'broken'}: {self.finding}"


class Town(Protocol):
    """A source that the kit can change, at first empty. Rows are called by numbers; what else they hold is the author's.

    Each method returns when the source shows the change to whoever reads it.
    """

    def insert(self, numbers: Iterable[int]) -> None:
        """Add these rows. A number that was deleted may come again."""

    def update(self, number: int) -> None:
        """Change what a row holds beside its key, each time to something else."""

    def delete(self, number: int) -> None:
        """Remove a row, in the way in which this source does it."""

    def rename(self, number: int, to: int) -> None:
        """Give a row the key of another number that is free, and keep what it holds. It is called by that number then."""

    def holds(self) -> Mapping[str, Mapping[str, Any]]:
        """The records that are there now, by the keys and in the form in which the connector is to give them."""

    def close(self) -> None:
        """Let go of what was opened."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A town, and connectors that read ``dataset`` of it.

    ``connector`` makes a new one with this many rows a page, as a restarted process would: what it may remember lies in
    ``state``. ``unreachable`` makes one whose source does not answer. Both with the password SECRET, where they take one.
    """

    town: Town
    dataset: str
    connector: Callable[[int], Connector]
    unreachable: Callable[[], Connector]
    state: Path | None = None
    opened: list[Connector] = field(default_factory=list, init=False)

    def connect(self, page_rows: int = PAGE_ROWS) -> Connector:
        """A new connector, closed at the end of the trial."""
        return self._kept(self.connector(page_rows))

    def connect_in_vain(self) -> Connector:
        """A connector whose source can't be reached, closed at the end of the trial."""
        return self._kept(self.unreachable())

    def _kept(self, connector: Connector) -> Connector:
        self.opened.append(connector)
        return connector

    def fill(self, rows: int = ROWS) -> None:
        """Let the town hold its first rows."""
        self.town.insert(range(rows))
        if len(self.town.holds()) != rows:
            msg = f"the Town is wrong: {rows} rows were inserted, and it holds {len(self.town.holds())}"
            raise ValueError(msg)

    def close(self) -> None:
        """Close what was opened."""
        for connector in self.opened:
            connector.close()
        self.town.close()


Check = Callable[[Trial], None]


def promise(check: Check) -> Check:
    """A check by its name: it closes its trial, and what it finds broken says so."""

    @wraps(check)
    def checked(trial: Trial) -> None:
        with closing(trial):
            try:
                check(trial)
            except PromiseBroken as broken:
                broken.promise = check.__name__
                raise

    return checked


class Reader:
    """What pages add up to, and the position after the last one, as OneWindow would have saved it."""

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self.position: Position | None = None
        self.records: dict[str, dict[str, Any]] = {}
        self.changes: list[Upsert | Delete] = []  # of the last look
        self._came: set[str] = set()

    def look(self, connector: Connector, *, pages: int | None = None, unkept: int = 0) -> int:
        """Take the pages of one pull, or the first so many of them; how many there were.

        ``unkept``: pages that are read beyond these and then lost, as when the broker did not take them.
        """
        self.changes, taken = [], 0
        most = None if pages is None else pages + unkept
        for page in islice(pulled(connector, self._trial.dataset, self.position), most):
            if pages is None or taken < pages:
                self.take(page)
                taken += 1
        return taken

    def take(self, page: Page) -> None:
        """Fold one page."""
        for change in page.changes:
            for name in ("key", "at", "committed_at", "place"):
                said = getattr(change, name)
                if type(said) is not str and not (said is None and name in ("committed_at", "place")):
                    raise PromiseBroken(
                        f"{name} of {change.key!s} is a {type(said).__name__}, and must be a plain text"
                    )
            if isinstance(change, Delete):
                self.records.pop(change.key, None)
                self._came.discard(change.key)
            else:
                self.records[change.key] = change.record
                self._came.add(change.key)
        if page.mark == "complete":
            self.records = {key: record for key, record in self.records.items() if key in self._came}
        elif page.mark == "cleared":
            self.records, self._came = {}, set()
        self.changes += page.changes
        self.position = _saved(page.position)

    def begin_again(self) -> None:
        """Read from the beginning; what is held stays."""
        self.position, self._came = None, set()

    def must_agree(self, when: str) -> None:
        """Raises PromiseBroken unless what was read is what the town holds."""
        holds = {key: dict(record) for key, record in self._trial.town.holds().items()}
        lost, left = sorted(holds.keys() - self.records.keys()), sorted(self.records.keys() - holds.keys())
        wrong = [key for key in sorted(holds.keys() & self.records.keys()) if holds[key] != self.records[key]]
        found = [f"{len(lost)} rows were lost ({_some(lost)})"] if lost else []
        found += [f"{len(left)} rows that are gone are still there ({_some(left)})"] if left else []
        if wrong:
            found.append(f"{len(wrong)} differ, {wrong[0]} is {self.records[wrong[0]]} instead of {holds[wrong[0]]}")
        if found:
            raise PromiseBroken(f"{when}, {'; '.join(found)}")


def pulled(connector: Connector, dataset: str, after: Position | None) -> Iterator[Page]:
    """The pages of one pull. Raises PromiseBroken when it never ends, or fails."""
    with closing(_closable(connector.pull(dataset, after))) as pages:
        count = 0
        while True:
            try:
                page = next(pages)
            except StopIteration:
                return
            except Exception as error:
                raise PromiseBroken(f"pull raised {type(error).__name__}: {error}") from error
            count += 1
            if count > MOST_PAGES:
                raise PromiseBroken(f"a pull gave more than {MOST_PAGES} pages and did not end")
            yield page


def _closable(pages: Iterator[Page]) -> Any:
    """The pages, as something that has ``close``: a pull need not be a generator."""
    return pages if hasattr(pages, "close") else (page for page in pages)


def _saved(position: Position) -> Position:
    """What a position is after it was saved as JSON; the position itself where that can't be, which has a check of its own."""
    with suppress(TypeError, ValueError):
        saved: Position = json.loads(json.dumps(position))
        return saved
    return position


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (", …" if len(keys) > 3 else "")


# nothing is lost -----------------------------------------------------------------------------------------------------


@promise
def a_full_read_gives_what_the_source_holds(trial: Trial) -> None:
    """The first pull, from no position on, gives every row."""
    trial.fill()
    reader = Reader(trial)
    reader.look(trial.connect())
    reader.must_agree("after a full read")


@promise
def a_restart_after_any_page_loses_nothing(trial: Trial) -> None:
    """A new connector goes on from the position of any page: once, at each page, and after every single one."""
    trial.fill()
    pages = Reader(trial).look(trial.connect())
    for taken in range(1, pages + 1):
        reader = Reader(trial)
        reader.look(trial.connect(), pages=taken)
        reader.look(trial.connect())
        reader.must_agree(f"when it was started again after page {taken}")
    reader = Reader(trial)
    for _ in range(3 * pages):  # it may read some again at each start, and need not come to an end in this way
        if not reader.look(trial.connect(), pages=1):
            break
    reader.look(trial.connect())
    reader.must_agree("when it was started again after every page")
    for taken in range(1, 4):
        first = 100 * taken
        trial.town.insert(range(first, first + ROWS))
        trial.town.update(taken)
        reader.look(trial.connect(), pages=taken)
        reader.look(trial.connect())
        reader.must_agree(f"when it was started again after page {taken} of changes")


@promise
def a_page_that_was_not_kept_is_given_again(trial: Trial) -> None:
    """The same connector, or a new one, goes back to the position before a page that could not be published."""
    trial.fill()
    pages = Reader(trial).look(trial.connect())
    for restarted in (False, True):
        for taken in range(pages):
            reader, connector = Reader(trial), trial.connect()
            reader.look(connector, pages=taken, unkept=1)
            reader.look(trial.connect() if restarted else connector)
            reader.must_agree(f"when page {taken + 1} was read and not kept")
        trial.town.update(1)
        reader.look(connector, pages=0, unkept=1)
        reader.look(trial.connect() if restarted else connector)
        reader.must_agree("when a page of changes was read and not kept")


# what a change says --------------------------------------------------------------------------------------------------


@promise
def a_repeated_read_gives_the_same_changes(trial: Trial) -> None:
    """Key, ``at`` and record of a row are the same each time that it is read, and ``at`` is another once it has changed."""
    trial.fill()
    reader, again = Reader(trial), Reader(trial)
    reader.look(trial.connect())
    known = _contents(reader.changes)
    again.look(trial.connect())
    _must_repeat(known, _contents(again.changes))
    before = again.position
    trial.town.update(1)
    trial.town.insert([ROWS])
    again.look(trial.connect())
    changed = _contents(again.changes)
    for identity in known.keys() & changed.keys():
        if known[identity] != changed[identity]:
            raise PromiseBroken(
                f"{identity[0]} has changed and its at is {identity[1]!r} as before: a reader may skip it"
            )
    again.position = before
    again.look(trial.connect())
    _must_repeat(changed, _contents(again.changes))


def _contents(changes: Iterable[Upsert | Delete]) -> dict[tuple[str, str], Any]:
    """Each change by its identity; a delete as None."""
    found: dict[tuple[str, str], Any] = {}
    for change in changes:
        identity: tuple[object, object] = (change.key, change.at)  # what the types promise is not yet so
        if not all(isinstance(part, str) and part for part in identity):
            raise PromiseBroken(f"key and at are texts that say something, not {change.key!r} and {change.at!r}")
        content = None if isinstance(change, Delete) else change.record
        if not _is_json(content):
            raise PromiseBroken(f"the record of {change.key} is not JSON: {content}")
        found[change.key, change.at] = content
    return found


def _must_repeat(first: Mapping[tuple[str, str], Any], second: Mapping[tuple[str, str], Any]) -> None:
    for key, at in first:
        if (key, at) not in second:
            others = [other for name, other in second if name == key]
            raise PromiseBroken(f"{key} came with at {at!r}, and read again with {others or 'none: it did not come'}")
        if first[key, at] != second[key, at]:
            raise PromiseBroken(f"{key} at {at!r} was {first[key, at]}, and read again {second[key, at]}")


@promise
def positions_are_small_json(trial: Trial) -> None:
    """A position comes back from JSON as it was, and is small."""
    trial.fill()
    connector, after = trial.connect(), None
    for look in range(2):
        for page in pulled(connector, trial.dataset, after):
            after = page.position
            if not _is_json(dict(after)):
                raise PromiseBroken(f"a position does not come back from JSON as it was: {after!r}")
            if len(json.dumps(after).encode()) >= LARGEST_POSITION:
                raise PromiseBroken(
                    f"a position has {len(json.dumps(after).encode())} bytes; {LARGEST_POSITION} are too many"
                )
        trial.town.update(look)


def _is_json(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


# what changes later --------------------------------------------------------------------------------------------------


@promise
def changes_come(trial: Trial) -> None:
    """What is inserted and updated later comes, to the same connector and to a new one, also during the first read."""
    trial.fill()
    reader, connector = Reader(trial), trial.connect()
    reader.look(connector)
    for number, after_restart in enumerate((False, True)):
        connector = trial.connect() if after_restart else connector
        trial.town.insert([ROWS + number])
        reader.look(connector)
        reader.must_agree("after a row was inserted")
        trial.town.update(number)
        reader.look(connector)
        reader.must_agree("after a row was updated")

    def change(number: int) -> None:
        trial.town.insert([50 + number])
        trial.town.update(0)
        trial.town.update(8)

    _while_it_reads(trial, change)


@promise
def deletes_are_seen(trial: Trial) -> None:
    """A row that is gone comes as a delete, or a mark says so, also during the first read; a key may be used again."""
    trial.fill()
    reader, connector = Reader(trial), trial.connect()
    reader.look(connector)
    for after_restart in (False, True):
        connector = trial.connect() if after_restart else connector
        trial.town.delete(1)
        trial.town.delete(4)
        reader.look(connector)
        reader.must_agree("after two rows were deleted")
        trial.town.insert([1, 4])
        reader.look(connector)
        reader.must_agree("after their keys were used again")

    def change(number: int) -> None:
        trial.town.delete(2 + number)
        trial.town.delete(9 - number)

    _while_it_reads(trial, change)


def _while_it_reads(trial: Trial, change: Callable[[int], None]) -> None:
    """A first read with a change after its first page, and one with a change in its middle."""
    for taken in (1, 2):
        reader, connector = Reader(trial), trial.connect()
        with closing(_closable(pulled(connector, trial.dataset, None))) as pages:
            for page in islice(pages, taken):
                reader.take(page)
            change(taken)
            for page in pages:
                reader.take(page)
        reader.look(connector)
        reader.must_agree("when rows changed during the first read, and after the look that followed it")


@promise
def a_changed_key_is_a_delete_and_an_upsert(trial: Trial) -> None:
    """A row that has another key now is there once, under the new one."""
    trial.fill()
    reader, connector = Reader(trial), trial.connect()
    reader.look(connector)
    for number, after_restart in enumerate((False, True)):
        connector = trial.connect() if after_restart else connector
        trial.town.rename(5 + number, 70 + number)
        reader.look(connector)
        reader.must_agree("after a row got another key")


@promise
def a_dataset_that_is_read_again_forgets_what_is_gone(trial: Trial) -> None:
    """Read from the beginning once more, deletes of the past are told again, or the read is marked complete."""
    trial.fill()
    reader = Reader(trial)
    reader.look(trial.connect())
    trial.town.delete(3)
    reader.begin_again()
    connector = trial.connect()
    reader.look(connector)
    reader.look(connector)
    reader.must_agree("when it was read again after a row was deleted")


@promise
def nothing_comes_when_nothing_has_changed(trial: Trial) -> None:
    """A look at a source at rest ends, and gives no change; that of a new connector gives none that it did not give."""
    trial.fill()
    reader, connector = Reader(trial), trial.connect()
    reader.look(connector)
    known = _contents(reader.changes)
    for _ in range(3):
        reader.look(connector)
        if reader.changes:
            raise PromiseBroken(f"nothing had changed, and {len(reader.changes)} changes came")
    reader.look(trial.connect())
    for identity in _contents(reader.changes):
        if identity not in known:
            raise PromiseBroken(f"nothing had changed, and after a restart {identity} came, which is new")


# what it costs -------------------------------------------------------------------------------------------------------


@promise
def pages_are_short(trial: Trial) -> None:
    """No page has more changes than ``connector.page_rows`` allows."""
    trial.fill()
    for page_rows in (1, PAGE_ROWS):
        for page in pulled(trial.connect(page_rows), trial.dataset, None):
            if len(page.changes) > page_rows:
                raise PromiseBroken(f"a page has {len(page.changes)} changes, and page_rows is {page_rows}")


@promise
def memory_is_bounded(trial: Trial) -> None:
    """Ten times the rows take no more memory: at most MORE_MEMORY bytes at the peak of a read, as tracemalloc sees it."""
    trial.fill(FEW)
    _peak(trial)  # what is imported and cached once counts for neither
    few = _peak(trial)
    trial.town.insert(range(FEW, MANY))
    many = _peak(trial)
    if many - few > MORE_MEMORY:
        raise PromiseBroken(
            f"reading {FEW} rows took {few / 1e6:.1f} MB at the peak, and {MANY} rows {many / 1e6:.1f} MB"
        )


def _peak(trial: Trial) -> int:
    connector, traced = trial.connect(LARGE_PAGE), tracemalloc.is_tracing()
    tracemalloc.start()
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    try:
        for _ in pulled(connector, trial.dataset, None):
            pass
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        if not traced:
            tracemalloc.stop()


# what it says --------------------------------------------------------------------------------------------------------


@promise
def no_secret_shows(trial: Trial) -> None:
    """The password is in no page, position, finding, error with its causes, log, output or repr."""
    trial.fill()
    with _overheard() as heard:
        for connector in (trial.connect(), trial.connect_in_vain()):
            heard |= {
                "its repr": repr(connector),
                "a page": _told(partial(connector.pull, trial.dataset, None)),
                "a finding": _told(connector.check),
                "what it discovers": _told(connector.discover),
            }
            _raise_if_told(heard)
    _raise_if_told(heard)


def _raise_if_told(heard: Mapping[str, str]) -> None:
    for where, text in heard.items():
        if SECRET in text:
            raise PromiseBroken(f"the password shows in {where}, or in an error instead")


def _told(method: Callable[[], Iterable[Any]]) -> str:
    """All that a method gives or raises, as text."""
    found: list[Any] = []
    try:
        found += islice(method(), MOST_PAGES)
    except Exception as error:  # noqa: BLE001  # whatever it raises is looked at
        found.append("".join(traceback.format_exception(error)) + repr(error))
    errors = [each.error for each in found if getattr(each, "error", None) is not None]
    return "".join(
        [*map(repr, found), *map(str, found), *("".join(traceback.format_exception(error)) for error in errors)]
    )


@contextmanager
def _overheard() -> Iterator[dict[str, str]]:
    """What is logged and printed meanwhile, once it is over."""
    heard: dict[str, str] = {}
    printed, logged, root = io.StringIO(), io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(logged), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with redirect_stdout(printed), redirect_stderr(printed):
            yield heard
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        heard |= {"its output": printed.getvalue(), "its log": logged.getvalue()}


@promise
def an_unreachable_source_is_said(trial: Trial) -> None:
    """``pull`` raises an error of ours with code and fix, and ``check`` gives it as a finding that fails."""
    trial.fill()
    connector = trial.connect_in_vain()
    _must_be_ours("pull", _raised(lambda: list(islice(connector.pull(trial.dataset, None), MOST_PAGES))))
    error = _raised(lambda: list(connector.discover()))
    if error is not None:
        _must_be_ours("discover", error)
    try:
        failed = [finding for finding in connector.check() if finding.level == "fail"]
    except Exception as error:
        raise PromiseBroken(f"check raised {type(error).__name__} instead of a finding that fails") from error
    if not failed:
        raise PromiseBroken("check found nothing that fails, and the source does not answer")
    for finding in failed:
        fix = _must_be_ours("a finding", finding.error)
        if fix not in finding.text:
            raise PromiseBroken(f"a finding does not say how to mend it: {finding.text!r}")


def _raised(work: Callable[[], object]) -> Exception | None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  # which it is is what is asked
        return error
    return None


def _must_be_ours(where: str, error: Exception | None) -> str:
    """The fix that the error gives. Raises PromiseBroken when it is none of ours."""
    if not isinstance(error, OneWindowError):
        found = "nothing" if error is None else f"{type(error).__name__}: {error}"
        raise PromiseBroken(
            f"{where} of a source that does not answer: an error of contracts.errors is wanted, not {found}"
        )
    if not error.code or not error.fix:
        raise PromiseBroken(f"{where}: {type(error).__name__} has no code or no fix")
    return error.fix


@promise
def a_check_changes_nothing(trial: Trial) -> None:
    """A check in the middle of a read finds nothing wrong, and leaves source, state directory and position as they are."""
    trial.fill()
    reader, connector = Reader(trial), trial.connect()
    reader.look(connector, pages=2)
    holds, state = dict(trial.town.holds()), _files(trial.state)
    for each in (connector, trial.connect()):
        failed = [finding.text for finding in each.check() if finding.level == "fail"]
        if failed:
            raise PromiseBroken(f"nothing is wrong, and check says: {failed[0]}")
    if dict(trial.town.holds()) != holds:
        raise PromiseBroken("check changed the source")
    if _files(trial.state) != state:
        raise PromiseBroken("check changed the state directory")
    reader.look(connector)
    reader.must_agree("when it was checked in the middle of a read")


def _files(directory: Path | None) -> dict[str, tuple[int, bytes]]:
    """Every file in a directory, with its time and content."""
    found = sorted(directory.rglob("*")) if directory is not None else []
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in found if path.is_file()}


CHECKS: tuple[Check, ...] = (
    a_full_read_gives_what_the_source_holds,
    a_restart_after_any_page_loses_nothing,
    a_page_that_was_not_kept_is_given_again,
    a_repeated_read_gives_the_same_changes,
    positions_are_small_json,
    changes_come,
    deletes_are_seen,
    a_changed_key_is_a_delete_and_an_upsert,
    a_dataset_that_is_read_again_forgets_what_is_gone,
    nothing_comes_when_nothing_has_changed,
    pages_are_short,
    memory_is_bounded,
    no_secret_shows,
    an_unreachable_source_is_said,
    a_check_changes_nothing,
)
"""All of them."""


class Acceptance:
    """The checks as tests of pytest: inherit, call the class ``Test…``, and say how to make a trial."""

    def trial(self, path: Path) -> Trial:
        """A fresh town and its connectors. ``path``: an empty directory."""
        raise NotImplementedError

    def test_a_full_read_gives_what_the_source_holds(self, tmp_path: Path) -> None:
        a_full_read_gives_what_the_source_holds(self.trial(tmp_path))

    def test_a_restart_after_any_page_loses_nothing(self, tmp_path: Path) -> None:
        a_restart_after_any_page_loses_nothing(self.trial(tmp_path))

    def test_a_page_that_was_not_kept_is_given_again(self, tmp_path: Path) -> None:
        a_page_that_was_not_kept_is_given_again(self.trial(tmp_path))

    def test_a_repeated_read_gives_the_same_changes(self, tmp_path: Path) -> None:
        a_repeated_read_gives_the_same_changes(self.trial(tmp_path))

    def test_positions_are_small_json(self, tmp_path: Path) -> None:
        positions_are_small_json(self.trial(tmp_path))

    def test_changes_come(self, tmp_path: Path) -> None:
        changes_come(self.trial(tmp_path))

    def test_deletes_are_seen(self, tmp_path: Path) -> None:
        deletes_are_seen(self.trial(tmp_path))

    def test_a_changed_key_is_a_delete_and_an_upsert(self, tmp_path: Path) -> None:
        a_changed_key_is_a_delete_and_an_upsert(self.trial(tmp_path))

    def test_a_dataset_that_is_read_again_forgets_what_is_gone(self, tmp_path: Path) -> None:
        a_dataset_that_is_read_again_forgets_what_is_gone(self.trial(tmp_path))

    def test_nothing_comes_when_nothing_has_changed(self, tmp_path: Path) -> None:
        nothing_comes_when_nothing_has_changed(self.trial(tmp_path))

    def test_pages_are_short(self, tmp_path: Path) -> None:
        pages_are_short(self.trial(tmp_path))

    def test_memory_is_bounded(self, tmp_path: Path) -> None:
        memory_is_bounded(self.trial(tmp_path))

    def test_no_secret_shows(self, tmp_path: Path) -> None:
        no_secret_shows(self.trial(tmp_path))

    def test_an_unreachable_source_is_said(self, tmp_path: Path) -> None:
        an_unreachable_source_is_said(self.trial(tmp_path))

    def test_a_check_changes_nothing(self, tmp_path: Path) -> None:
        a_check_changes_nothing(self.trial(tmp_path))
