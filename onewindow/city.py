"""The sample city as a deployment: its departments as a process of their own, its source files, its settings."""

from __future__ import annotations

import hashlib
import json
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import IO, Any

from contracts.errors import CityDiffers, NoSampleCity, RoleFailing
from examples.city.truth import FILE as TRUTH
from examples.city.truth import Truth
from examples.postgres import free_port
from onewindow.deploying import SECRET, write_secret
from onewindow.settings import FILE, remains

_CITY = [sys.executable, "-m", "examples.city"]
_RESIDENTS, _SEED = 20_000, 1
_DATABASES = ("hrss", "civil_affairs")
_API = "disabled_persons"
_DUMPS = ("ageing", "grid")
_AUTHORITY = """authority:
  default: [hrss.insured_person, civil_affairs.resident, ageing.elder, hrss.pension, civil_affairs.low_income, disabled_persons.disability_card, grid.resident]
  phone: [ageing.elder, hrss.insured_person, disabled_persons.disability_card, grid.resident]
  community_code: [grid.resident, ageing.elder, hrss.insured_person, civil_affairs.resident, disabled_persons.disability_card]
  alive: [civil_affairs.resident, hrss.insured_person]
  marital_status: [civil_affairs.resident]
  disability_category: [disabled_persons.disability_card]
  disability_level: [disabled_persons.disability_card]
"""


def size_and_seed(directory: Path, residents: int | None, seed: int | None) -> tuple[int, int]:
    """Of the sample city that is in the directory, or is to be made there. None: as it is, or 20,000 and 1 for a new one.

    Raises NoSampleCity for another deployment, CityDiffers when the city there is of another size or seed.
    """
    there = remains(directory)
    if not (directory / FILE).exists() and (not there or (directory / "city").is_dir()):
        return residents or _RESIDENTS, _SEED if seed is None else seed
    if not (directory / "city").is_dir():
        raise NoSampleCity(
            f"{directory} holds a deployment that is not the sample city",
            fix=f"choose another directory with --dir; this one is started by: onewindow -C {directory} up",
        )
    there_residents, there_seed = _there(directory)
    differs = [
        f"--{name} {asked}, it has {there}"
        for name, asked, there in (("residents", residents, there_residents), ("seed", seed, there_seed))
        if there is not None and asked not in (None, there)
    ]
    if differs:
        raise CityDiffers(
            f"{directory} holds a sample city already, and it is another one: {'; '.join(differs)}",
            fix="leave the options out to go on with it, choose another directory with --dir, or remove this one",
        )
    return there_residents or residents or _RESIDENTS, _SEED if there_seed is None else there_seed


def _there(directory: Path) -> tuple[int | None, int | None]:
    """Size and seed of the city that was built or begun in the directory."""
    try:
        truth = Truth.open(directory / "city")
    except FileNotFoundError:
        return None, None
    try:
        return (truth.size, truth.seed) if truth.size else (None, None)
    finally:
        truth.close()


def write_deployment(directory: Path, seed: int) -> None:
    """Make the deployment, unless it is there. Its secret follows from the seed, so that two runs can be compared: that
    is for people who do not exist, and for no other deployment."""
    (directory / "sources").mkdir(parents=True, exist_ok=True)
    (directory / "city").mkdir(exist_ok=True)
    if not (directory / FILE).exists():
        (directory / FILE).write_text(
            f"name: sample city\nkafka:\n  bootstrap_servers: 127.0.0.1:{free_port()}\n  embedded: true\n  partitions: 4\n"
            + _AUTHORITY
        )
    if not (directory / "city" / TRUTH).exists():  # nothing was made with another secret
        (directory / SECRET).unlink(missing_ok=True)
        write_secret(directory / SECRET, hashlib.sha256(f"sample city {seed}".encode()).hexdigest())
    for system in _DATABASES:
        port = _port(directory / "city" / f"{system}-pg.port")
        _write_source(directory, system, f"postgresql+psycopg://onewindow_reader@127.0.0.1:{port}/{system}")
    _write_source(directory, _API, f"http://127.0.0.1:{_port(directory / 'city' / f'{_API}.port')}/api/v1")
    for system in _DUMPS:
        _write_source(directory, system)


def _port(file: Path) -> str:
    """The port of loopback that is kept for a department in this file."""
    if not file.exists():
        file.write_text(str(free_port()))
    return file.read_text()


def _write_source(directory: Path, system: str, url: str = "") -> None:
    """Write a source file, unless it is there and names the address of its system."""
    path = directory / "sources" / f"{system}.yaml"
    if not path.exists() or url not in path.read_text(encoding="utf-8"):
        template = (files("examples.city") / "sources" / path.name).read_text(encoding="utf-8")
        path.write_text(Template(template).safe_substitute(url=url), encoding="utf-8")


class Departments:
    """The process that keeps the departments up, and makes changes in them."""

    def __init__(self, directory: Path, *, residents: int, seed: int, rate: float = 0.0, dump_each: int = 0) -> None:
        self._city, self._log = directory / "city", directory / "run" / "departments.log"
        self._command = [
            *_CITY, "run", str(self._city), "--residents", str(residents), "--seed", str(seed),
            "--rate", str(rate), "--dump-each", str(dump_each), "--wait", "--with-parent",
        ]  # fmt: skip
        self.residents, self.built, self.up, self.made = residents, 0, False, 0
        self._were_there, self.is_quiet = (self._city / TRUTH).exists(), False
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
            self.up = self.up or "urls" in news
            self.made = news.get("made", self.made)
            self.is_quiet = self.is_quiet or "quiet" in news
        assert self._process is not None
        if self._process.poll() is not None:
            raise RoleFailing(
                f"the sample departments ended with exit code {self._process.returncode}", fix=f"see {self._log}"
            )

    @property
    def doing(self) -> str:
        """What they do until they are up."""
        if self.built == self.residents or (self._were_there and not self.built):
            return "starting the departments"
        return f"building the departments: {self.built:,} of {self.residents:,} residents"

    def begin(self) -> None:
        """Begin the changes of the live city."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR2)

    def quiet(self) -> None:
        """End the changes of the live city; the departments stay up. ``is_quiet`` once the last one has committed."""
        assert self._process is not None
        self._process.send_signal(signal.SIGUSR1)

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
