"""The deployment file ``onewindow.yaml`` and the source files in ``sources/``: read, checked, and nothing guessed.

An unknown key is an error that names the nearest known one. Secrets stand in the files only by reference, ``${NAME}`` for
the environment or a file's path, and are never shown.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from contracts.errors import DeploymentMissing, SecretMissing, SettingInvalid, SettingUnknown, YamlUnreadable
from contracts.identity import Hasher
from contracts.sources import Source, department_topic, quarantine_topic

FILE = "onewindow.yaml"
_Model = TypeVar("_Model", bound=BaseModel)
_REFERENCE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(_Part):
    """The log. ``embedded``: the supervisor starts a broker of our own on that address."""

    bootstrap_servers: str = "127.0.0.1:9092"
    embedded: bool = True
    partitions: int = Field(4, ge=1, le=1_000)
    replication: int = Field(1, ge=1)
    fsync: Literal["always", "interval", "never"] = "always"
    directory: str = "broker"

    @property
    def host_port(self) -> tuple[str, int]:
        """The first address."""
        host, _, port = self.bootstrap_servers.split(",")[0].rpartition(":")
        return host, int(port)


class ViewSettings(_Part):
    """Where the unified view lives."""

    url: str = "sqlite:///view.sqlite"


class StreamsSettings(_Part):
    """Where streams keeps its state and outbox."""

    url: str = "sqlite:///streams.sqlite"


class Settings(BaseSettings):
    """``onewindow.yaml``, with the environment before it."""

    model_config = SettingsConfigDict(
        env_prefix="ONEWINDOW_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    name: str = "a city"
    secret_file: str = "secret.key"  # noqa: S105 - a path
    kafka: KafkaSettings = KafkaSettings()
    view: ViewSettings = ViewSettings()
    streams: StreamsSettings = StreamsSettings()
    authority: dict[str, list[str]] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over the file."""
        return env_settings, init_settings


class Deployment:
    """A deployment's directory, read and checked once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.resolve()
        file = self.directory / FILE
        if not file.is_file():
            raise DeploymentMissing(
                f"{directory} holds no {FILE}",
                fix=f"name a deployment with -C DIR, or make one: onewindow init {directory}",
            )
        self.settings = _validated(Settings, _load(file), file)
        self.sources = [self._source(path) for path in sorted((self.directory / "sources").glob("*.yaml"))]

    def _source(self, path: Path) -> Source:
        source = _validated(Source, _resolved(_load(path), path), path)
        connector = source.connector
        if connector.folder:
            connector = connector.model_copy(update={"folder": str(self.path(connector.folder))})
        return source.model_copy(update={"connector": connector})

    def path(self, name: str) -> Path:
        """A path of the settings, taken from the deployment's directory."""
        return self.directory / name

    def url(self, url: str) -> str:
        """A database URL; a SQLite file's path is taken from the deployment's directory."""
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return prefix + str(self.directory / url[len(prefix) :])
        return _resolve_text(url, self.directory / FILE)

    @property
    def view_url(self) -> str:
        """Where the view is."""
        return self.url(self.settings.view.url)

    @property
    def streams_url(self) -> str:
        """Where streams keeps its state."""
        return self.url(self.settings.streams.url)

    @property
    def bootstrap(self) -> str:
        """Where the broker is."""
        return self.settings.kafka.bootstrap_servers

    @property
    def hasher(self) -> Hasher:
        """The keyed hashes of this deployment."""
        file = self.path(self.settings.secret_file)
        try:
            secret = bytes.fromhex(file.read_text().strip())
        except (OSError, ValueError) as error:
            raise SecretMissing(
                f"the secret file {file} can't be read as hexadecimal digits",
                fix="put back the file that `onewindow init` made; another key would give every resident another id",
            ) from error
        return Hasher(secret)

    def password(self, source: Source) -> str | None:
        """The password of a source, from its file."""
        name = source.connector.password_file
        if name is None:
            return None
        try:
            return self.path(name).read_text().strip()
        except OSError as error:
            raise SecretMissing(
                f"the password file {name} of system {source.system} can't be read",
                fix="create it, readable by this user alone, or correct connector.password_file",
            ) from error

    def datasets(self) -> Iterable[tuple[Source, str]]:
        """(source, dataset) of all that is declared."""
        for source in self.sources:
            for dataset in source.datasets:
                yield source, dataset

    def topics(self) -> list[str]:
        """All topics of events, without those of OneWindow itself."""
        return [
            topic
            for source, dataset in self.datasets()
            for topic in (department_topic(source.system, dataset), quarantine_topic(source.system, dataset))
        ]


def _load(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise YamlUnreadable(
            f"{path.name}{where}: {getattr(error, 'problem', None) or 'not YAML'}", fix="correct the file there"
        ) from error
    if not isinstance(found, dict):
        raise YamlUnreadable(f"{path.name} holds no keys and values", fix="compare with docs/configuration.md")
    return found


def _resolved(value: Any, path: Path) -> Any:
    """The value with ${NAME} replaced from the environment."""
    if isinstance(value, dict):
        return {key: _resolved(item, path) for key, item in value.items()}
    if isinstance(value, list):
        return [_resolved(item, path) for item in value]
    return _resolve_text(value, path) if isinstance(value, str) else value


def _resolve_text(text: str, path: Path) -> str:
    def named(found: re.Match[str]) -> str:
        name = found.group(1)
        if name not in os.environ:
            raise SecretMissing(
                f"{path.name} refers to ${{{name}}}, which is not in the environment", fix=f"export {name}=…"
            )
        return os.environ[name]

    return _REFERENCE.sub(named, text)


def _validated(model: type[_Model], values: dict[str, Any], path: Path) -> _Model:
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise _explain(model, first, path) from error


def _explain(model: type[BaseModel], first: Any, path: Path) -> Exception:
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        known = _known_keys(model, first["loc"][:-1])
        near = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
        return SettingUnknown(f"{path.name}: {where} is not a setting", fix=hint)
    return SettingInvalid(
        f"{path.name}: {where}: {first['msg'].removeprefix('Value error, ')}", fix=f"correct {where} in {path.name}"
    )


def _known_keys(model: type[BaseModel], loc: Iterable[Any]) -> list[str]:
    """The keys that a model knows at a place."""
    at: Any = model
    for part in loc:
        if isinstance(at, type) and issubclass(at, BaseModel) and part in at.model_fields:
            at = at.model_fields[part].annotation
            arguments = getattr(at, "__args__", ())
            at = next((a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)), at)
    return list(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else []
