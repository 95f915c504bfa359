"""The sample city on what a city runs: three nodes of Apache Kafka, replication 3, and PostgreSQL for view and streams."""

from __future__ import annotations

import json
import shutil

import pytest
from product import document, new_directory, onewindow

from projections.databases import open_view, reading
from projections.digest import digest, overall

pytestmark = pytest.mark.services

CITY = ("--residents", 1_500, "--seed", 7, "--changes", 60)


@pytest.fixture(scope="module")
def embedded():
    """The same city on the embedded parts."""
    return document("demo", "--once", *CITY)


@pytest.mark.timeout(300)
def test_the_same_city_gives_the_same_view(embedded, kafka_cluster, postgres):
    directory = new_directory()
    view, streams = (postgres.url(postgres.new_database()) for _ in range(2))
    environment = {
        "ONEWINDOW_KAFKA__BOOTSTRAP_SERVERS": kafka_cluster.bootstrap,
        "ONEWINDOW_KAFKA__EMBEDDED": "false",
        "ONEWINDOW_KAFKA__REPLICATION": "3",
        "ONEWINDOW_VIEW__URL": view,
        "ONEWINDOW_STREAMS__URL": streams,
    }
    done = onewindow("demo", "--once", *CITY, "--dir", directory, "--json", environment=environment, seconds=280)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["verified"] is True
    assert all(source["balanced"] and source["pending"] == 0 for source in found["sources"])
    assert found["digest"] == embedded["digest"]
    assert found["tables"] == embedded["tables"]

    assert not list(directory.glob("*.sqlite")), "something was written beside PostgreSQL"
    assert not (directory / "broker").exists()
    engine = open_view(view)
    with reading(engine) as connection:
        assert overall(digest(connection)) == found["digest"]
    engine.dispose()
    shutil.rmtree(directory)
