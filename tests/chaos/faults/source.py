"""Faults of the departments: their database, its replication slot, their tables, their rows, their files."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from chaos.faults.base import Fault, NotPossible, Town
from chaos.proxy import HEALTHY, Toxics
from contracts.errors import (
    ColumnMissing,
    DumpTruncated,
    FolderMissing,
    SourceRefused,
    SourceSick,
    SourceUnreachable,
)

READER = "onewindow_reader"
_BAD_ROWS = 800  # some 200 a partition: all that is judged there is bad
_SEGMENTS = 12


def end_backends(connection: psycopg.Connection[Any]) -> int:
    """Cut the pipeline's sessions, whatever they are in the middle of."""
    found = connection.execute(
        "select count(pg_terminate_backend(pid)) from pg_stat_activity where usename = %s", (READER,)
    ).fetchone()
    return int(found[0]) if found else 0


class CrashDepartment(Fault):
    nemesis, title, weight = "N8", "kill -9 of a department's database and program", 4
    shows = (SourceUnreachable.code,)

    def begin(self) -> str:
        self.town.crash_departments()
        self.seconds = self.rng.uniform(1, 5)
        return "hrss"

    def end(self) -> None:
        self.town.start_departments_again()


class CutSessions(Fault):
    nemesis, title, weight = "N8", "sessions at the source cut in mid-transaction", 8

    def begin(self) -> str:
        ended = 0
        with self.town.source() as connection:
            for _ in range(self.rng.randint(1, 4)):
                ended += end_backends(connection)
                time.sleep(self.rng.uniform(0.05, 0.5))  # it comes back, and is cut again
        return f"{ended} sessions of hrss"


class RefuseLogin(Fault):
    nemesis, title, weight = "N8", "the source refuses the login", 3
    shows = (SourceRefused.code,)

    def begin(self) -> str:
        with self.town.source() as connection:
            connection.execute(f"alter role {READER} nologin")
            end_backends(connection)
        self.seconds = self.rng.uniform(2, 5)
        return "hrss"

    def end(self) -> None:
        with self.town.source() as connection:
            connection.execute(f"alter role {READER} login")


class DropSlot(Fault):
    nemesis, title, weight = "N9", "replication slot dropped", 5
    again = False

    def begin(self) -> str:
        with self.town.source() as connection:
            return self._drop(connection)

    def _drop(self, connection: psycopg.Connection[Any]) -> str:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            row = connection.execute("select slot_name, plugin from pg_replication_slots").fetchone()
            if row is not None:
                end_backends(connection)
                try:
                    connection.execute("select pg_drop_replication_slot(%s)", (row[0],))
                    if self.again:
                        connection.execute("select pg_create_logical_replication_slot(%s, %s)", row)
                except (psycopg.errors.ObjectInUse, psycopg.errors.UndefinedObject, psycopg.errors.DuplicateObject):
                    continue  # its reader was faster: once more
                return str(row[0])
        raise NotPossible("the slot was in use all the while")


class RecreateSlot(DropSlot):
    nemesis, title, weight = "N9", "replication slot dropped and made anew", 5
    again = True


class LoseSlot(Fault):
    """The source keeps too little of its log for a pipeline that was away (max_slot_wal_keep_size)."""

    nemesis, title, weight = "N9", "replication slot lost", 3

    def begin(self) -> str:
        self.town.proxies["source"].poison(Toxics(cut=("up", "down")))
        with self.town.source() as connection:
            connection.execute("alter system set max_slot_wal_keep_size = '1MB'")
            connection.execute("select pg_reload_conf()")
            for _ in range(_SEGMENTS):
                connection.execute("select pg_logical_emit_message(false, 'chaos', 'much')")
                connection.execute("select pg_switch_wal()")
                connection.execute("checkpoint")
                row = connection.execute("select wal_status from pg_replication_slots").fetchone()
                if row is None or row[0] == "lost":
                    return f"hrss, {row and row[0]}"
        self.end()
        raise NotPossible("the slot was not lost")

    def end(self) -> None:
        with self.town.source() as connection:
            connection.execute("alter system reset max_slot_wal_keep_size")
            connection.execute("select pg_reload_conf()")
        self.town.proxies["source"].poison(HEALTHY)


class AddColumn(Fault):
    nemesis, title, weight = "N10", "column added at the source, and dropped", 4

    def begin(self) -> str:
        with self.town.source() as connection:
            connection.execute("set lock_timeout = '10s'")
            connection.execute("alter table ac01 add column aae013 text default 'note'")
        self.seconds = self.rng.uniform(2, 4)
        return "ac01.aae013"

    def end(self) -> None:
        with self.town.source() as connection:
            connection.execute("set lock_timeout = '10s'")
            connection.execute("alter table ac01 drop column aae013")


class RenameColumn(Fault):
    """The department's program waits meanwhile: it knows the old name. A few rows are written under the new one."""

    nemesis, title, weight = "N10", "column renamed at the source, and back", 4
    shows = (ColumnMissing.code, SourceSick.code)

    def begin(self) -> str:
        self.turn = taking_turns(self.town)
        self.turn.__enter__()
        try:
            with self.town.source() as connection:
                connection.execute("set lock_timeout = '10s'")
                connection.execute("alter table ac01 rename column aac003 to aac003x")
                self._touch(connection)
        except BaseException:
            self.turn.__exit__(None, None, None)
            raise
        self.seconds = self.rng.uniform(2, 5)
        return "ac01.aac003"

    def _touch(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "update ac01 set updated_at = clock_timestamp() where aac001 in (select aac001 from ac01 order by aac001 limit 5)"
        )

    def end(self) -> None:
        try:
            with self.town.source() as connection:
                connection.execute("set lock_timeout = '10s'")
                connection.execute("alter table ac01 rename column aac003x to aac003")
                self._touch(connection)
        finally:
            self.turn.__exit__(None, None, None)


@contextmanager
def taking_turns(town: Town) -> Iterator[None]:
    """The department's program makes no change in here."""
    flowing, town.flowing = town.flowing, False
    try:
        with (town.directory / "city" / "changes.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    finally:
        town.flowing = flowing


class PoisonFlood(Fault):
    """Far more bad rows than good ones: the dataset pauses. Then the rows go, and a person says that it may go on."""

    nemesis, title, weight = "N11", "poison flood", 4
    shows = (SourceSick.code,)

    def begin(self) -> str:
        round_ = len(self.town.poison)
        self.keys = [f"X{round_ + number:09d}" for number in range(_BAD_ROWS)]
        hasher = self.town.deployment.hasher
        self.town.poison |= {f"hrss.insured_person/{hasher.record('hrss', 'insured_person', key)}" for key in self.keys}
        with self.town.source() as connection, connection.transaction():
            connection.cursor().executemany(
                "insert into ac01(aac001, aac002, aac006) values(%s, 'x', '99999999')", [(key,) for key in self.keys]
            )
        self.paused = self.town.until(self._is_paused, 30, "the dataset is paused")
        return f"{len(self.keys)} rows"

    def _is_paused(self) -> bool:
        latest = self.town.status.latest
        return bool(latest and latest["sources"]["hrss.insured_person"]["state"] == "paused")

    def end(self) -> None:
        with self.town.source() as connection:
            connection.execute("delete from ac01 where aac001 like 'X%%'")
        self.town.until(self._goes_on, 60, "the dataset goes on")

    def _goes_on(self) -> bool:
        """Rows that came in after it was resumed pause it again: a person looks again."""
        subprocess.run(
            [sys.executable, "-m", "onewindow", "-C", str(self.town.directory), "source", "resume", "hrss.insured_person"],
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        seen = self.town.status.latest
        self.town.until(lambda: self.town.status.latest is not seen, 30, "the status is looked at")
        seen = self.town.status.latest
        self.town.until(lambda: self.town.status.latest is not seen, 30, "the status is looked at")
        return not self._is_paused()


class CutDump(Fault):
    """A dump breaks off in the middle; the next one is whole."""

    nemesis, title, weight = "N12", "dump cut in the middle", 4
    shows = (DumpTruncated.code,)

    def begin(self) -> str:
        cut = self.rng.uniform(0.2, 0.9)
        self.town.change("dump", "--cut", f"{cut:.2f}")
        self.seconds = self.rng.uniform(2, 4)
        return f"at {cut:.0%}"

    def end(self) -> None:
        self.town.change("dump")


class Burst(Fault):
    nemesis, title, weight = "N20", "a burst of changes", 4

    def begin(self) -> str:
        count = self.rng.randint(100, 300)
        self.town.change("stream", "--count", count)
        return f"{count} changes"


class ShareAway(Fault):
    """The long one, beside all others: the folder of 老龄 can't be reached."""

    nemesis, title, weight = "N12", "one dataset down for long", 0
    shows = (FolderMissing.code,)

    def begin(self) -> str:
        self.town.share.rename(self.town.share.with_suffix(".away"))
        return "ageing.elder"

    def end(self) -> None:
        self.town.share.with_suffix(".away").rename(self.town.share)
