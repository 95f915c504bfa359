"""docker-compose.yml and the Dockerfile, as far as they can be held without a Docker engine."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from compose_spec import PyCompose

from onewindow.roles import ROLES
from onewindow.settings import Settings

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SERVICES = yaml.safe_load(COMPOSE)["services"]
OURS = [name for name in ROLES if name != "broker"]
LIBPQ = {"PGPASSFILE"}


def settings():
    """The environment variable of each setting, with the type of its value."""
    found = {}
    for name, about in Settings.model_fields.items():
        parts = getattr(about.annotation, "model_fields", None)
        for inner in parts or ():
            found[f"ONEWINDOW_{name}__{inner}".upper()] = parts[inner].annotation
        if not parts:
            found[f"ONEWINDOW_{name}".upper()] = about.annotation
    return found


def instructions():
    """(instruction, rest) of the Dockerfile, continued lines joined."""
    lines = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", DOCKERFILE)).splitlines()
    return [tuple(line.split(None, 1)) for line in lines if line.strip()]


def test_it_follows_the_compose_specification():
    merged = yaml.safe_dump({key: value for key, value in yaml.safe_load(COMPOSE).items() if not key.startswith("x-")})
    compose = PyCompose.from_yaml(merged)
    compose.validate()
    assert set(compose.service_names()) == set(SERVICES)
    with pytest.raises(Exception, match="no_such_key"):
        PyCompose.from_yaml(merged.replace("stop_grace_period", "no_such_key", 1))


def test_each_role_has_a_service_and_the_broker_none():
    roles = {name: about["command"] for name, about in SERVICES.items() if "build" in about}
    assert roles == {name: ["run", name] for name in OURS}


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_pinned_watched_and_refers_to_what_there_is(name):
    about, whole = SERVICES[name], yaml.safe_load(COMPOSE)
    assert re.search(r":\d+\.\d+", about["image"]), about["image"]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= set(about["healthcheck"])
    assert about["restart"] == "unless-stopped"
    assert set(about.get("depends_on", ())) <= set(SERVICES)
    assert all(how == {"condition": "service_healthy"} for how in about.get("depends_on", {}).values())
    assert set(about.get("secrets", ())) <= set(whole["secrets"])
    assert {config["source"] for config in about.get("configs", ())} <= set(whole["configs"])
    kept = [volume.split(":")[0] for volume in about["volumes"]]
    assert kept, "a container without a volume keeps nothing"
    assert all(volume in whole["volumes"] or volume.startswith("./") for volume in kept)
    assert "ports" not in about, "nothing is open to the outside"


@pytest.mark.parametrize("name", OURS)
def test_each_variable_of_a_role_is_a_setting_and_its_value_is_one(name, monkeypatch):
    environment = SERVICES[name]["environment"]
    assert set(environment) - LIBPQ <= set(settings())
    for key, value in environment.items():
        assert isinstance(value, str), f"{key} is not quoted"
        monkeypatch.setenv(key, value)
    read = Settings()
    assert read.kafka.embedded is False
    assert read.kafka.bootstrap_servers.split(",") == [f"kafka-{number}:9092" for number in (1, 2, 3)]
    assert read.kafka.replication == 3
    assert read.view.url != read.streams.url
    for url in (read.view.url, read.streams.url):
        assert re.fullmatch(r"postgresql\+psycopg://onewindow@postgres/\w+", url), "a password may not stand here"


def test_the_nodes_of_kafka_agree_and_lose_nothing():
    nodes = {name: about for name, about in SERVICES.items() if name.startswith("kafka")}
    own = {"KAFKA_NODE_ID", "KAFKA_ADVERTISED_LISTENERS"}
    shared = [{k: v for k, v in about["environment"].items() if k not in own} for about in nodes.values()]
    assert shared[1:] == shared[:-1]
    voters = shared[0]["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",")
    assert voters == [f"{about['environment']['KAFKA_NODE_ID']}@{name}:9093" for name, about in nodes.items()]
    assert len(shared[0]["CLUSTER_ID"]) == 22
    for about, name in zip(nodes.values(), nodes, strict=True):
        assert about["environment"]["KAFKA_ADVERTISED_LISTENERS"] == f"PLAINTEXT://{name}:9092"
    assert shared[0]["KAFKA_UNCLEAN_LEADER_ELECTION_ENABLE"] == "false"
    assert (shared[0]["KAFKA_DEFAULT_REPLICATION_FACTOR"], shared[0]["KAFKA_MIN_INSYNC_REPLICAS"]) == ("3", "2")


def test_no_secret_stands_in_either_file():
    for about in SERVICES.values():
        for name, value in about["environment"].items():
            if re.search("PASSWORD|SECRET|TOKEN|KEY", name):
                assert name.endswith("_FILE"), name
            assert not re.search(r"://[^/@]*:[^/@]+@", str(value)), name
    assert not re.search(r"(?i)(password|secret|token)\s*[=:]", DOCKERFILE)
    assert all(set(about) == {"file"} for about in yaml.safe_load(COMPOSE)["secrets"].values())


def test_the_image_is_pinned_small_and_runs_as_nobody_in_particular():
    steps = instructions()
    bases = [rest.split()[0] for step, rest in steps if step == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases)
    last = len(steps) - 1 - [step for step, _ in reversed(steps)].index("FROM")
    users = [rest for step, rest in steps[last:] if step == "USER"]
    assert users == ["10001:10001"]
    after = [step for step, _ in steps[[step for step, _ in steps].index("USER") :]]
    assert "RUN" not in after
    assert "COPY" not in after
    installs = [rest for step, rest in steps if step == "RUN" and "pip install" in rest]
    assert installs
    assert all("--require-hashes" in rest and "--no-cache-dir" in rest for rest in installs)
    assert not [step for step, _ in steps if step == "ADD"]
    assert [rest for step, rest in steps if step == "ENTRYPOINT"] == ['["python", "-m", "onewindow"]']


def test_the_image_holds_every_package_and_what_is_not_copied_stays_out():
    copied = {
        rest.split()[-1].removeprefix("/app/") for step, rest in instructions() if step == "COPY" and "/app/" in rest
    }
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks"}
    assert copied == packages
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert {line[1:].removesuffix("/**") for line in ignored if line.startswith("!")} == {
        *packages,
        "requirements-run.txt",
    }


def test_the_libraries_of_the_image_are_those_of_the_lock():
    def pins(name):
        return dict(re.findall(r"(?m)^([a-z0-9][\w.-]*)==(\S+)", (ROOT / name).read_text()))

    run, whole = pins("requirements-run.txt"), pins("requirements.txt")
    assert run
    assert run.items() <= whole.items()
    assert not {"pytest", "mypy", "ruff", "testcontainers"} & set(run)
    text = (ROOT / "requirements-run.txt").read_text()
    assert len(re.findall(r"(?m)^\S+==\S+(?: ; .*)? \\\n    --hash=sha256:", text)) == len(run)


def test_the_health_check_tells_a_role_that_works_from_one_that_does_not(tmp_path):
    (written,) = re.findall(r"printf '(.*?)' ", DOCKERFILE)
    check = tmp_path / "role-is-alive"
    check.write_text(subprocess.run(["printf", written], capture_output=True, text=True, check=True).stdout)
    file = tmp_path / "run" / "streams.json"
    file.parent.mkdir()

    def alive():
        return (
            subprocess.run(["/bin/sh", check, "streams"], cwd=tmp_path, capture_output=True, check=False).returncode
            == 0
        )

    assert not alive()
    file.write_text('{"role": "streams", "pid": 1, "state": "ready"}')
    assert alive()
    file.write_text('{"role": "streams", "pid": 1, "state": "starting"}')
    assert not alive()
    file.write_text('{"role": "streams", "pid": 1, "state": "ready"}')
    subprocess.run(["touch", "-d", "1 minute ago", file], check=True)
    assert not alive()
