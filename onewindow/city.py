"""The sample city as a deployment: its departments as a process of their own, its source files, its settings."""

from __future__ import annotations

import hashlib
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import IO, Any

from contracts.errors import RoleFailing
from examples.postgres import free_port

_CITY = [sys.executable, "-m", "examples.city"]
_AUTHORITY = """authority:
  default: [hrss.insured_person, ageing.elder, hrss.pension]
  phone: [ageing.elder, hrss.insured_person]
  community_code: [ageing.elder, hrss.insured_person]
"""


def write_deployment(directory: Path, seed: int) -> None:
    """Make the deployment, unless it is there. Its secret follows from the seed, so that two runs can be compared: that
    is for people who do not exist, and for no other deployment."""
    (directory / "sources").mkdir(parents=True, exist_ok=True)
    port_file = directory / "city" / "hrss-pg.port"
    if not (directory / "onewindow.yaml").exists():
        port_file.parent.mkdir(parents=True, exist_ok=True)
        port_file.write_text(str(free_port()))
        secret = hashlib.sha256(f"sample city {seed}".encode()).hexdigest()
        (directory / "secret.key").write_text(secret)
        (directory / "onewindow.yaml").write_text(
            f"name: sample city\nkafka:\n  bootstrap_servers: 127.0.0.1:{free_port()}\n  embedded: true\n  partitions: 4\n"
            + _AUTHORITY
        )
    url = f"postgresql+psycopg://onewindow_reader@127.0.0.1:{port_file.read_text()}/hrss"
    for name in ("hrss.yaml", "ageing.yaml"):
        template = (files("examples.city") / "sources" / name).read_text(encoding="utf-8")
        text = Template(template).safe_substitute(url=url)
        path = directory / "sources" / name
        if not path.exists() or (name == "hrss.yaml" and url not in path.read_text()):
            path.write_text(text, encoding="utf-8")


class Departments:
    """The process that keeps the departments up, and makes changes in them."""

    def __init__(self, directory: Path, *, residents: int, seed: int, rate: float = 0.0, dump_each: int = 0) -> None:
        self._city, self._log = directory / "city", directory / "run" / "departments.log"
        self._command = [
            *_CITY, "run", str(self._city), "--residents", str(residents), "--seed", str(seed),
            "--rate", str(rate), "--dump-each", str(dump_each), "--with-parent",
        ]  # fmt: skip
        self.built, self.up, self.made = 0, False, 0
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._ears: list[threading.Thread] = []
        self._changer: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it fills the departments first if that was not done."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        for stream in (self._process.stdout, self._process.stderr):
            self._ears.append(threading.Thread(target=self._listen, args=(stream,), daemon=True))
            self._ears[-1].start()

    def _listen(self, stream: IO[str]) -> None:
        with stream, self._log.open("a") as log:
            for line in stream:
                try:
                    self._said.put(json.loads(line))
                except ValueError:
                    log.write(line)
                    log.flush()

    def _news(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield self._said.get_nowait()
            except queue.Empty:
                return

    def look(self) -> None:
        """Take in what it said. Raises RoleFailing when it has ended."""
        for news in self._news():
            self.built = news.get("building", self.built)
            self.up = self.up or "hrss_url" in news
            self.made = news.get("made", self.made)
        assert self._process is not None
        if self._process.poll() is not None:
            raise RoleFailing(
                f"the sample departments ended with exit code {self._process.returncode}", fix=f"see {self._log}"
            )

    def change(self, count: int, rate: float, dump_each: int) -> None:
        """Begin to make so many changes."""
        command = [
            *_CITY, "change", str(self._city), "stream", "--count", str(count), "--rate", str(rate),
            "--dump-each", str(dump_each),
        ]  # fmt: skip
        with self._log.open("ab") as log:
            self._changer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def changed(self) -> bool:
        """Whether the changes that were begun are made. Raises RoleFailing when they could not be."""
        assert self._changer is not None
        code = self._changer.poll()
        if code:
            raise RoleFailing(f"the changes ended with exit code {code}", fix=f"see {self._log}")
        return code == 0

    def stop(self) -> None:
        """Stop the departments."""
        for process in (self._changer, self._process):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(30)
        for ear in self._ears:
            ear.join()
