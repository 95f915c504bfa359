"""A deployment keeps to the key that it was made with."""

from __future__ import annotations

import pytest

from contracts.errors import DeploymentExists, KeyDiffers
from contracts.identity import Hasher
from onewindow import deploying, deployment_key
from projections.databases import open_view


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def store(request, tmp_path):
    if request.param == "sqlite":
        engine = open_view(f"sqlite:///{tmp_path}/streams.sqlite")
    else:
        server = request.getfixturevalue("postgres")
        engine = open_view(server.url(server.new_database()))
    yield engine
    engine.dispose()


def test_another_key_is_refused_and_the_first_goes_on(store):
    first, other = Hasher(b"1" * 32), Hasher(b"2" * 32)
    deployment_key.confirm(store, first)
    with pytest.raises(KeyDiffers) as error:
        deployment_key.confirm(store, other)
    assert error.value.exit_code == 78
    deployment_key.confirm(store, first)


def test_the_check_value_is_no_id_of_anybody():
    key = Hasher(b"1" * 32)
    assert key.check_value not in (key.resident("deployment"), key.provisional("deployment"))


def test_a_new_deployment_is_for_its_user_alone(tmp_path):
    deploying.make(tmp_path / "city")
    assert (tmp_path / "city").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "city" / "secret.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["onewindow.yaml", "secret.key", "view.sqlite", "broker/", "sources/"])
def test_what_remains_of_a_deployment_is_left_alone(tmp_path, name):
    made = tmp_path / name
    made.mkdir() if name.endswith("/") else made.write_text("00")
    with pytest.raises(DeploymentExists, match=name.rstrip("/")):
        deploying.make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [made.name]


def test_a_key_is_never_written_over(tmp_path):
    (tmp_path / "secret.key").write_text("00")
    with pytest.raises(FileExistsError):
        deploying.write_secret(tmp_path / "secret.key", "11")
    assert (tmp_path / "secret.key").read_text() == "00"
