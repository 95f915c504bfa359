"""Fixtures that several rooms share: real services, started when the first test asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings
from services import BrokerProcess, Postgres, broker_process, start_postgres

settings.register_profile("default", deadline=None)
settings.load_profile("default")


def pytest_configure(config: pytest.Config) -> None:
    """kafka-python 3.0.12 warns in two ways that are not ours; both go when it mends them.

    It reads its schemas with importlib.resources.read_text, deprecated in Python 3.11 and 3.12, and leaves the socket of
    a refused connection to the garbage collector.
    """
    config.addinivalue_line("filterwarnings", "ignore:(read|open)_text is deprecated:DeprecationWarning")
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket.socket:ResourceWarning")
    config.addinivalue_line(
        "filterwarnings", "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
    )


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerProcess]:
    """A broker for the whole run; tests use topics of their own and don't stop it."""
    with broker_process(tmp_path_factory.mktemp("broker") / "data") as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Postgres:
    """A PostgreSQL for the whole run; tests use databases of their own."""
    return start_postgres()
