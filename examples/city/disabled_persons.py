"""残联 (disabled persons' federation): no database to be reached, but an API over HTTP that gives cards page by page.

Its register is an SQLite file, which the department's own program writes; ``card_api`` reads it for others. A card that was
cancelled stays in it, marked.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from examples.city.card_api import BASE, CardApi, Page, Place, Tokens, stamp
from examples.city.records import CARD, CHINA, Record
from examples.ownership import Ownership
from examples.postgres import write_secret

CLIENT = "onewindow"
_FORM = "%Y-%m-%d %H:%M:%S.%f"
COLUMNS = {
    "cjrbh": "残疾人编号",
    "cjzh": "残疾人证号",
    "xm": "姓名",
    "xb": "性别",
    "sqdm": "社区代码",
    "lxdz": "联系地址",
    "lxdh": "联系电话",
    "cjlb": "残疾类别",
    "cjdj": "残疾等级",
    "fzrq": "发证日期",
    "zxbz": "注销标志",
    "jbsj": "经办时间",
    "gxsj": "更新时间",
}
"""The columns of the register with their meaning, the key first; the last one is set with each change, in China's time."""
_CREATED = f"create table if not exists card({', '.join(COLUMNS)}, primary key(cjrbh)) without rowid"
_INDEXED = "create index if not exists card_changed on card(gxsj, cjrbh)"
_NAMES = ", ".join(COLUMNS)
_PUT = f"insert or replace into card({_NAMES}) values({', '.join('?' * len(COLUMNS))})"


class CardRegister:
    """The register in its file. A change is later than all before it, whatever the clock does: who reads in the order of
    changes misses none, though cards are changed meanwhile."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        connection.execute("pragma journal_mode = wal")
        return connection

    def create(self) -> None:
        """Make the file, unless it is there."""
        with closing(self._connect()) as connection:
            connection.execute(_CREATED)
            connection.execute(_INDEXED)

    @contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """A change as a whole, or nothing of it."""
        with closing(self._connect()) as connection:
            connection.execute("begin immediate")
            with connection:
                yield connection

    def load(self, connection: sqlite3.Connection, records: Iterable[Record]) -> None:
        """Add cards. They were last updated when the department dealt with them, long ago."""
        connection.executemany(_PUT, ((*record.row.values(), f"{record.row['jbsj']}.000") for record in records))

    def write(self, connection: sqlite3.Connection, records: Iterable[Record], now: datetime | None = None) -> None:
        """Insert or replace cards, all with the same time of change: ``now``, or the machine's."""
        (newest,) = connection.execute("select max(gxsj) from card").fetchone()
        at = now or datetime.now(CHINA)
        if newest is not None:
            at = max(at, datetime.strptime(newest, _FORM).replace(tzinfo=CHINA) + timedelta(milliseconds=1))
        connection.executemany(_PUT, ((*record.row.values(), stamp(at)) for record in records))

    def rows(self) -> list[dict[str, Any]]:
        """All cards, those too that were cancelled, in the order of their keys."""
        with closing(self._connect()) as connection:
            return _named(connection.execute(f"select {_NAMES} from card order by cjrbh"))  # noqa: S608

    def page(self, since: str, after: Place, size: int) -> Page:
        """Cards that have changed from ``since`` on and stand behind ``after``, in the order of their changes and keys."""
        with closing(self._connect()) as connection:
            connection.execute("begin")  # the total is that of the moment of the page
            (total,) = connection.execute("select count(*) from card where gxsj >= ?", (since,)).fetchone()
            found = _named(
                connection.execute(
                    f"select {_NAMES} from card where gxsj >= ? and (gxsj, cjrbh) > (?, ?)"  # noqa: S608 - fixed names
                    " order by gxsj, cjrbh limit ?",
                    (since, *after, size + 1),
                )
            )
        cards = found[:size]
        return Page(cards, total, Place(cards[-1]["gxsj"], cards[-1]["cjrbh"]) if len(found) > size else None)


def _named(found: sqlite3.Cursor) -> list[dict[str, Any]]:
    return [dict(zip(COLUMNS, row, strict=True)) for row in found]


class DisabledPersons:
    """The department's system. ``token_lasts_s``: how long a login holds."""

    system = "disabled_persons"
    tables = (CARD,)

    def __init__(self, directory: Path, *, token_lasts_s: float = 60.0) -> None:
        self.register = CardRegister(directory / "disabled_persons.sqlite")
        self.password_file = directory / "disabled_persons-password"
        self._port_file = directory / "disabled_persons.port"
        self._ownership = Ownership(directory / "disabled_persons.lock")
        self._token_lasts_s = token_lasts_s
        self._api: CardApi | None = None
        self._filling: sqlite3.Connection | None = None

    @property
    def owned(self) -> bool:
        """Whether this process has the API up."""
        return self._ownership.held

    @property
    def reader_url(self) -> str:
        """Where the pipeline reads; the secret is in ``password_file``."""
        return f"http://127.0.0.1:{self._port_file.read_text()}{BASE}"

    def start(self) -> None:
        """Bring the API up, on the port of last time if that is free; or leave it to the process that has it up."""
        if self._ownership.take():
            self.register.create()
            if not self.password_file.exists():
                write_secret(self.password_file, secrets.token_urlsafe(18))
            tokens = Tokens(CLIENT, self.password_file.read_text(), lasts_s=self._token_lasts_s)
            before = int(self._port_file.read_text()) if self._port_file.exists() else 0
            self._api = CardApi(self.register.page, tokens, port=before)
            self._port_file.write_text(str(self._api.port))

    @contextmanager
    def filling(self) -> Iterator[None]:
        """The register anew, filled with ``load`` in here: all or nothing."""
        with self.register.changing() as connection:
            connection.execute("drop table card")
            connection.execute(_CREATED)
            self._filling = connection
            try:
                yield
            finally:
                self._filling = None
            connection.execute(_INDEXED)

    def load(self, _dataset: str, records: Iterable[Record]) -> None:
        """Add cards, within ``filling``."""
        assert self._filling is not None
        self.register.load(self._filling, records)

    def commit(self, records: Iterable[Record]) -> None:
        """Insert or replace cards in a transaction of their own."""
        with self.register.changing() as connection:
            self.register.write(connection, records)

    def stop(self) -> None:
        """Take the API down, or leave it to the process that has it up."""
        if self._api is not None:
            self._api.close()
            self._api = None
        self._ownership.give_back()
