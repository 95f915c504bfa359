"""The connectors role: a thread for each dataset that is read, also for those that are added meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import sqlalchemy as sa
import structlog

from connectors import open_connector
from contracts.errors import RetryLater
from contracts.sources import Source, department_topic
from onewindow.events_log import EventsLog
from onewindow.lost import LostAndFound
from onewindow.newcomers import Newcomers
from onewindow.settings import Deployment
from producers.producer import DatasetProducer, Pace
from producers.progress import Progress
from producers.publisher import Publisher
from projections.databases import reading
from streams.store import halts

log = structlog.get_logger()

_LOOK_S = 2.0


class Readers:
    """Those of one deployment. ``prepare`` makes sure of the topics; ``store`` is that of streams."""

    def __init__(self, deployment: Deployment, store: sa.Engine, prepare: Callable[[Deployment], None]) -> None:
        self._prepare, self._store = prepare, store
        self._newcomers = Newcomers(deployment, self._opened)
        self._producers: list[DatasetProducer] = []
        self._threads: list[threading.Thread] = []
        self._halted: set[str] | None = None

    @property
    def progress(self) -> list[Progress]:
        """What each is doing."""
        return [producer.progress for producer in self._producers]

    def _opened(self, of: Deployment, sources: list[Source]) -> list[DatasetProducer]:
        self._prepare(of)
        return [producer for source in sources for producer in _producers(of, source)]

    def _begin(self, producers: list[DatasetProducer], stop: threading.Event) -> None:
        self._producers.extend(producers)
        self._heed(producers)
        for each in producers:
            thread = threading.Thread(target=each.run, args=(stop,), name=f"{each.system}.{each.dataset}")
            self._threads.append(thread)
            thread.start()

    def _look_for_halts(self) -> None:
        """Whom a person has paused (``onewindow source pause``); as before while that can't be asked."""
        try:
            with reading(self._store) as connection:
                self._halted = set(halts(connection))
        except RetryLater as error:
            log.warning("it can't be asked now which datasets are paused", code=error.code)

    def _heed(self, producers: Iterable[DatasetProducer]) -> None:
        assert self._halted is not None, "nothing is read before it is known what is paused"
        for each in producers:
            each.halt(halted=department_topic(each.system, each.dataset) in self._halted)

    def run(self, stop: threading.Event, ready: Callable[[], None]) -> None:
        """Read until told to stop; then each saves what it has."""
        deployment = self._newcomers.deployment
        first = [producer for source in deployment.sources for producer in _producers(deployment, source)]
        lost = LostAndFound(self._store, first, self._open_log)
        looking = threading.Thread(target=lost.run, args=(stop,), name="lost-and-found")
        self._look_for_halts()
        while self._halted is None:
            if stop.wait(_LOOK_S):
                return
            self._look_for_halts()
        self._begin(first, stop)
        looking.start()
        ready()
        while not stop.wait(_LOOK_S):
            self._look_for_halts()
            self._heed(self._producers)
            if come := self._newcomers.look():
                self._begin(come, stop)
                lost.watch(come)
        for thread in (*self._threads, looking):
            thread.join()

    def _open_log(self) -> EventsLog:
        deployment = self._newcomers.deployment
        return EventsLog(deployment.bootstrap, deployment.topics())


def _producers(of: Deployment, source: Source) -> list[DatasetProducer]:
    """A source's datasets, to be read; nothing is connected to yet. Raises SecretMissing, SettingInvalid."""
    state = of.path("state") / source.system
    state.mkdir(parents=True, exist_ok=True)
    connector = open_connector(source, password=of.password(source), state=state)

    def producer(dataset: str) -> DatasetProducer:
        return DatasetProducer(
            connector,
            source.system,
            dataset,
            bootstrap=of.bootstrap,
            hasher=of.hasher,
            publisher=lambda: Publisher(of.bootstrap, f"onewindow-{source.system}-{dataset}"),
            pace=Pace(every_s=source.connector.pause_s),
        )

    return [producer(dataset) for dataset in source.datasets]
