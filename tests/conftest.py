"""Fixtures that several rooms share: real services, started when the first test asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings
from services import ApacheKafka, BrokerProcess, MariaDb, Postgres, Services, broker_process
from services.processes import Run

settings.register_profile("default", deadline=None)
settings.load_profile("default")

_SERVICES = pytest.StashKey[Services]()
_USE_SERVICES = {"broker", "kafka", "kafka_cluster", "postgres", "mariadb"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--services",
        action="store_true",
        help="run the tests that use a broker or a database server, against real ones",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Choose the services of this run, and let two warnings of kafka-python 3.0.12 pass that are not ours.

    It reads its schemas with importlib.resources.read_text, deprecated in Python 3.11 and 3.12, and leaves the socket of
    a refused connection to the garbage collector. Both lines go when it mends them.
    """
    config.addinivalue_line("markers", "services: needs real services, and runs with --services alone")
    config.addinivalue_line("markers", "server: uses a broker or database server that it asks for by name")
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket.socket:ResourceWarning")
    config.addinivalue_line(
        "filterwarnings", "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
    )
    given = getattr(config, "workerinput", None)  # of an xdist worker
    if given is None:
        config.stash[_SERVICES] = Services.choose(Run.begin(), real=config.getoption("--services"))
    else:
        config.stash[_SERVICES] = Services(Run(Path(given["services_run"])), given["services_ways"])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Tell an xdist worker what was chosen."""
    services = node.config.stash[_SERVICES]  # type: ignore[attr-defined]
    node.workerinput |= {  # type: ignore[attr-defined]
        "services_run": str(services.run.directory),
        "services_ways": services.ways,
    }


def pytest_unconfigure(config: pytest.Config) -> None:
    """The process that chose the services ends them."""
    if not hasattr(config, "workerinput") and _SERVICES in config.stash:
        config.stash[_SERVICES].end()


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Say what this run uses, also with -q, which leaves out pytest's own header."""
    if reporter := session.config.pluginmanager.get_plugin("terminalreporter"):
        reporter.write_line(session.config.stash[_SERVICES].described())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --services the tests that use one, without it all but those that need a real one."""
    real = config.getoption("--services")

    def wanted(item: pytest.Item) -> bool:
        needs_real = item.get_closest_marker("services") is not None
        uses = (
            bool(_USE_SERVICES & set(getattr(item, "fixturenames", ())))
            or item.get_closest_marker("server") is not None
        )
        return needs_real or uses if real else not needs_real

    kept = [item for item in items if wanted(item)]
    config.hook.pytest_deselected(items=[item for item in items if not wanted(item)])
    items[:] = kept


@dataclass(frozen=True)
class Broker:
    """A broker of this run, wherever it comes from; tests use topics of their own and don't stop it."""

    bootstrap: str

    @property
    def port(self) -> int:
        return int(self.bootstrap.rpartition(":")[2])


@pytest.fixture(scope="session")
def services(pytestconfig: pytest.Config) -> Services:
    """What this run has."""
    return pytestconfig.stash[_SERVICES]


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """The embedded broker, in any case."""
    with broker_process(tmp_path_factory.mktemp("broker") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def broker(services: Services, request: pytest.FixtureRequest) -> Broker:
    """The broker of this run: Apache Kafka where there is one, else the embedded one."""
    return Broker(services.kafka() or request.getfixturevalue("embedded_broker").bootstrap)


@pytest.fixture(scope="session")
def kafka(services: Services) -> Broker:
    """Apache Kafka, one node; for tests that are marked ``services``."""
    bootstrap = services.kafka()
    assert bootstrap, "there is no Apache Kafka in this run: pytest --services"
    return Broker(bootstrap)


@pytest.fixture
def kafka_cluster(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApacheKafka]:
    """Three nodes of Apache Kafka of the test's own, replication 3, min.insync.replicas 2; marked ``services``."""
    cluster = ApacheKafka(tmp_path_factory.mktemp("kafka"), 3, services.run.keep)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def postgres(services: Services) -> Postgres:
    """A PostgreSQL for the whole run; tests use databases of their own."""
    return services.postgres()


@pytest.fixture(scope="session")
def mariadb(services: Services) -> MariaDb:
    """A MariaDB for the whole run; for tests that are marked ``services``."""
    return services.mariadb()
