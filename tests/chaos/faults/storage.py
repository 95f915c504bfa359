"""Faults of disks: full, a sync that fails, a torn tail, a flipped byte, a database that another one holds locked."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import sqlalchemy as sa

from broker.files import read_state
from chaos.faults.base import Fault, NotPossible, Town
from chaos.mounts import DISK_MB, is_private
from contracts.errors import DiskFull, LogDamaged

_DISK_BYTES = DISK_MB << 20
_HEADER = struct.Struct(">qiibIhi")  # base offset, length, leader epoch, magic, crc, attributes, last offset delta


class FullDisk(Fault):
    """The disk of the deployment (a small one of the run's own) is filled to its last block, then there is room again."""

    nemesis, title, weight, on = "N4", "disk full", 5, ("embedded",)
    shows = (DiskFull.code,)

    @staticmethod
    def missing() -> str | None:
        return None if is_private() else "no mount namespace of our own (root and unshare are needed)"

    def begin(self) -> str:
        self.ballast = self.town.directory / "ballast"
        filled = 0
        with self.ballast.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):  # in small pieces at last: others write meanwhile
                with suppress(OSError):
                    while filled <= _DISK_BYTES:
                        filled += file.write(bytes(size))
        if self.rng.random() < 0.3:
            self.town.send(self.rng.choice(self.town.names), signal.SIGKILL)
        self.seconds = self.rng.uniform(3, 6)
        return f"{filled >> 20} MB filled"

    def end(self) -> None:
        self.ballast.unlink()


class FailingSync(Fault):
    """The next fsync of the broker fails, and those after it seem to succeed: the trap of 2018. It must not acknowledge."""

    nemesis, title, weight, on = "N6", "fsync of the broker fails", 4, ("embedded",)
    shows = (LogDamaged.code,)

    @staticmethod
    def missing() -> str | None:
        return None if shutil.which("strace") else "strace is not installed"

    def begin(self) -> str:
        pid = self.town.pid("broker")
        self.town.may_be_lost = True
        inject = "fsync,fdatasync:error=EIO:when=1"
        self.tracer = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync", "-e", f"inject={inject}", "-p", str(pid)],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            self.seconds = 3.0
            self.town.until(lambda: self._took(pid), 15, "a sync fails")
        except BaseException:
            self.end()
            raise
        return "broker"

    def _took(self, pid: int) -> bool:
        if self.tracer.poll() is not None and self.tracer.stderr is not None:
            raise NotPossible(f"strace: {self.tracer.stderr.read()[:200]}")
        about = self.town.said("broker")
        return bool(about.get("damaged")) or about.get("pid") != pid or not about.get("alive")

    def end(self) -> None:
        """The way back is a new start: the log is read again from the disk."""
        self.tracer.terminate()
        self.tracer.wait()
        self.town.start_over()


class TornTail(Fault):
    """A crash in the middle of a write: the half of a batch lies at the log's end. It was never acknowledged."""

    nemesis, title, weight, on = "N5", "torn tail of the log", 4, ("embedded",)

    def begin(self) -> str:
        self.town.hold_down("broker")
        try:
            log = _log_of(self.town, self.rng, batches=1)
            at, header = _batches(log)[-1]
            batch = log.read_bytes()[at : at + 12 + header[1]]
            following = struct.pack(">q", header[0] + header[6] + 1) + batch[8:]
            torn = following[: self.rng.randrange(1, len(following))]
            with log.open("ab") as file:
                file.write(torn)
        finally:
            self.town.release("broker")
        return f"{log.parent.name}, {len(torn)} bytes"


class FlippedByte(Fault):
    """A byte in the middle of the log changes. It is said and never skipped; the way back is the copy of a backup.

    Behind the last checkpoint the broker finds it at its start. What lies before that is not read again by a start: there
    whoever reads it finds it, here ``onewindow verify``.
    """

    nemesis, title, weight, on = "N5", "flipped byte in the log", 3, ("embedded",)
    shows = (LogDamaged.code,)

    def begin(self) -> str:
        self.town.may_be_lost = True
        self.town.hold_down("broker")
        try:
            self.log = _log_of(self.town, self.rng, batches=3, start="community.")
            self.whole = self.log.read_bytes()
            at, header = self.rng.choice(_batches(self.log)[:-2])
            known_to = read_state(self.log.parent / "manifest")["end"]
            place = at + self.rng.randrange(21, 12 + header[1])
            with self.log.open("r+b") as file:
                file.seek(place)
                file.write(bytes([self.whole[place] ^ (1 << self.rng.randrange(8))]))
        except BaseException:
            self.town.may_be_lost = False
            raise
        finally:
            self.town.release("broker")
        is_old = header[0] < known_to
        if is_old:
            self._verify()
        self.town.until(lambda: self.town.said("broker").get("damaged"), 15, "the broker says that its log is damaged")
        self.seconds = 2.0
        return f"{self.log.parent.name} at byte {place}, {'an old' if is_old else 'a new'} batch"

    def _verify(self) -> None:
        self.town.until(lambda: self.town.said("broker").get("state") == "ready", 20, "the broker is ready")
        done = subprocess.run(
            [sys.executable, "-m", "onewindow", "-C", str(self.town.directory), "verify"],
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if done.returncode == 0:
            self.town.history.add("trouble", invariant="I7", what="onewindow verify passed over a flipped byte")

    def end(self) -> None:
        self.town.start_over(self._restore)

    def _restore(self) -> None:
        """From a backup that is as new as the damage; what was written after it stays."""
        with self.log.open("r+b") as file:
            file.write(self.whole)


def _batches(log: Path) -> list[tuple[int, tuple[int, ...]]]:
    """(place, header) of each whole batch of a segment."""
    data, at, found = log.read_bytes(), 0, []
    while at + _HEADER.size <= len(data):
        header = _HEADER.unpack_from(data, at)
        if header[1] <= 0 or at + 12 + header[1] > len(data):
            break
        found.append((at, header))
        at += 12 + header[1]
    return found


def _log_of(town: Town, rng, batches: int, start: str | tuple[str, ...] = ("community.", "department.")) -> Path:
    """The active segment of a partition that has so many batches; its topic's name begins so."""
    topics = town.directory / town.deployment.settings.kafka.directory / "topics"
    logs = [max(each.glob("*.log")) for each in sorted(topics.iterdir()) if each.name.startswith(start)]
    fitting = [log for log in logs if len(_batches(log)) >= batches]
    if not fitting:
        raise NotPossible(f"no partition has {batches} batches yet")
    return rng.choice(fitting)


class LockedDatabase(Fault):
    """Another program holds the writer's lock of the view, or of the store of streams."""

    nemesis, title, weight, on = "N8", "database locked by another", 5, ("embedded",)

    def begin(self) -> str:
        url = self.rng.choice([self.town.deployment.view_url, self.town.deployment.streams_url])
        self.seconds = self.rng.uniform(2, 9)  # shorter and longer than a writer waits
        path = sa.make_url(url).database
        assert path is not None
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=20)
        self.connection.execute("begin immediate")
        return f"{Path(path).name}, {self.seconds:.0f} s"

    def end(self) -> None:
        self.connection.execute("rollback")
        self.connection.close()
