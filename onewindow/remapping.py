"""``onewindow remap``: what was decided of a dataset is said again as its mended mapping makes it (guarantee 5)."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from contracts.errors import (
    AnotherLog,
    DatabaseDamaged,
    DatabaseUnreachable,
    StoreOutdated,
    ViewOutdated,
)
from contracts.events import RESIDENT_TOPIC
from contracts.sources import department_topic
from onewindow import damage, deployment_key
from onewindow.archive import History
from onewindow.databases import existing_store
from onewindow.events_log import EventsLog, identity
from onewindow.history import archive_of
from onewindow.locks import locked
from onewindow.settings import Deployment
from projections.bulk import Collision
from projections.databases import reading
from projections.engine import LogIdentity
from streams import store as tables
from streams.intake import Intake
from streams.refold import Declared, Refold
from streams.remap import Remap
from streams.standing import Standing
from streams.store import Store

_ATTEMPTS = 60  # a second apart, while the database or another writer is in the way
_WAITING = 16  # rows of the outbox, above which live changes would wait long behind those of the remap
_STANDS_S = 3.0  # an outbox that nothing is taken from for so long has no relay

Progress = Callable[[int, int], None]


def declared(deployment: Deployment) -> list[Declared]:
    """All datasets of a deployment as they are declared."""
    return [
        Declared(source.system, dataset, source.datasets[dataset], source.owner_on)
        for source, dataset in deployment.datasets()
    ]


def remap(deployment: Deployment, name: str, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Remap one dataset. Events may flow meanwhile; broken off, it goes on where it stood.

    Raises DatasetUnknown; MappingReplaced; LogDamaged; and what keeps log or store from being read.
    """
    deployment.dataset(name)
    found = next(each for each in declared(deployment) if f"{each.system}.{each.dataset}" == name)
    damaged = damage.found(deployment.directory)
    if damaged is not None:
        raise damaged
    began = time.monotonic()
    with locked(deployment.directory, f"remap-{name}"), live_store(deployment) as store:
        topic = department_topic(found.system, found.dataset)
        about = identity(deployment.bootstrap, [topic, RESIDENT_TOPIC])
        store.prepare(about.cluster_id, {topic: about.topic_ids[topic]})
        with closing(EventsLog(deployment.bootstrap, [topic, RESIDENT_TOPIC])) as log:
            done = _Work(deployment, store, found, about, History(archive_of(deployment), log)).run(progress)
    return {"dataset": name, **done, "seconds": round(time.monotonic() - began, 2)}


@contextmanager
def live_store(deployment: Deployment) -> Iterator[Store]:
    """The store of streams, made with the deployment's own key."""
    engine = existing_store(deployment)
    try:
        deployment_key.confirm(engine, deployment.hasher)  # under another key all records would be somebody else's
        yield Store(engine)
    finally:
        engine.dispose()


class _Work(NamedTuple):
    """One remap and what it needs."""

    deployment: Deployment
    store: Store
    dataset: Declared
    about: LogIdentity
    history: History

    def run(self, progress: Progress) -> dict[str, Any]:
        partitions = self.deployment.settings.kafka.partitions
        intake = Intake(
            self.store, self.dataset.system, self.dataset.dataset, self.dataset.declared,
            owner_on=self.dataset.owner_on, hasher=self.deployment.hasher, partitions=partitions,
        )  # fmt: skip
        folder, outbox = self._folder(intake), _Outbox(self.store.engine)
        refold, standing = self._beside(folder)
        try:
            work = Remap(self.store, intake, refold, standing, self.history, self.history)
            records = patiently(work.begin)
            refold.follow(self.history, self.store.positions(), progress)
            work.hear(progress)
            counts, ended = dict[str, int](), False
            while not ended:
                ended, counts = patiently(work.step)
                progress(min(sum(counts.values()), records), records)
                outbox.let_pass()
        finally:
            refold.close()
            standing.engine.dispose()
        shutil.rmtree(folder)
        stood = self.store.positions()
        read = sum(end for (topic, _), end in stood.items() if topic == intake.topic)
        return {"mapping": intake.meaning, "read": read, **counts, "waiting": outbox.rows()}

    def _folder(self, intake: Intake) -> Path:
        """Where it works. What a remap to another mapping left behind is of no use."""
        above = self.deployment.path("run") / "remap"
        folder = above / f"{intake.name}.{intake.meaning}"
        for other in above.glob(f"{intake.name}.*"):
            if other != folder:
                shutil.rmtree(other)
        return folder

    def _beside(self, folder: Path) -> tuple[Refold, Standing]:
        """The databases beside the store: as an earlier try left them, or empty if they were made of something else."""
        with suppress(AnotherLog, StoreOutdated, ViewOutdated, DatabaseDamaged):
            return self._opened(folder)
        shutil.rmtree(folder)
        return self._opened(folder)

    def _opened(self, folder: Path) -> tuple[Refold, Standing]:
        folder.mkdir(parents=True, exist_ok=True)
        partitions = self.deployment.settings.kafka.partitions
        refold = Refold(folder, [self.dataset], self.deployment.hasher, partitions)
        standing = Standing(f"sqlite:///{folder}/stands.sqlite")
        try:
            refold.prepare(self.about)
            standing.prepare(LogIdentity(self.about.cluster_id, {RESIDENT_TOPIC: self.about.topic_ids[RESIDENT_TOPIC]}))
        except Exception:
            refold.close()
            standing.engine.dispose()
            raise
        return refold, standing


class _Outbox:
    """What waits to be published, so that live changes need not wait long behind a remap."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine, self._is_relayed = engine, True

    def rows(self) -> int:
        """How many rows wait."""
        with reading(self._engine) as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(tables.outbox)) or 0

    def let_pass(self) -> None:
        """Wait while much is there, as long as somebody takes something out of it."""
        rows, since = self.rows() if self._is_relayed else 0, time.monotonic()
        while rows > _WAITING and self._is_relayed:
            time.sleep(0.05)
            before, rows = rows, self.rows()
            since = time.monotonic() if rows < before else since
            self._is_relayed = time.monotonic() - since < _STANDS_S


def patiently(work: Callable[[], Any]) -> Any:
    """Do it, again where another was in the way."""
    for attempt in range(_ATTEMPTS):
        try:
            return work()
        except (Collision, DatabaseUnreachable):
            if attempt + 1 == _ATTEMPTS:
                raise
            time.sleep(1.0)
    raise AssertionError("the last attempt returns or raises")
