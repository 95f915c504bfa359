"""The deployment file ``onewindow.yaml`` and the source files in ``sources/``: read, checked, and nothing guessed.

An unknown key is an error that names the nearest known one. Secrets stand in the files only by reference, ``${NAME}`` for
the environment or a file's path, and are never shown.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any, Literal, TypeVar

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from contracts.errors import DatasetUnknown, DeploymentMissing, SecretMissing, SettingInvalid, SettingUnknown
from contracts.identity import Hasher
from contracts.sources import Source, department_topic, quarantine_topic
from onewindow.ending import SUPERVISOR
from onewindow.yaml_files import load
from projections.winners import Authority

FILE = "onewindow.yaml"
_Model = TypeVar("_Model", bound=BaseModel)
_URLS = "sqlite:///view.sqlite, or postgresql://user@host/database"
_PREFIX = "ONEWINDOW_"
_NOT_SETTINGS = (SUPERVISOR, "ONEWINDOW_TEST_")
"""Beginnings of variables that have our prefix and set nothing."""
_SECRET_BYTES = 32
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

    @field_validator("bootstrap_servers")
    @classmethod
    def _has_ports(cls, servers: str) -> str:
        for server in servers.split(","):
            host, _, port = server.strip().rpartition(":")
            if not host or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65_535:
                raise ValueError(f"{server.strip()!r} is not host:port, such as 127.0.0.1:9092")
            if ":" in host:
                raise ValueError(f"{server.strip()!r} is an IPv6 address; give a host name or an IPv4 address")
        return servers

    @property
    def host_port(self) -> tuple[str, int]:
        """The first address."""
        host, _, port = self.bootstrap_servers.split(",")[0].strip().rpartition(":")
        return host, int(port)


class ViewSettings(_Part):
    """Where the unified view lives."""

    url: str = "sqlite:///view.sqlite"


class StreamsSettings(_Part):
    """Where streams keeps its state and outbox."""

    url: str = "sqlite:///streams.sqlite"


class ArchiveSettings(_Part):
    """Where ``onewindow archive write`` keeps what the topics will drop. ``topics_days``: how long the topics keep events at
    least, where the archive is written more often than that; None: for ever."""

    directory: str = "archive"
    topics_days: float | None = Field(None, ge=1)


class Settings(BaseSettings):
    """``onewindow.yaml``, with the environment before it."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
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
    archive: ArchiveSettings = ArchiveSettings()
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
            raise _missing(directory)
        _check_environment()
        self.settings = _validated(Settings, load(file), file)
        self.view_url = self._database("view.url", self.settings.view.url)
        self.streams_url = self._database("streams.url", self.settings.streams.url)
        self.sources = [self._source(path) for path in _source_files(self.directory / "sources")]
        self._check_systems()
        self._check_authority()

    def _source(self, path: Path) -> Source:
        source = _validated(Source, _resolved(load(path), path), path)
        connector = source.connector
        if connector.url and connector.kind in ("sql", "postgres", "mysql", "exchange"):
            try:
                url = sa.make_url(connector.url)
            except (sa.exc.ArgumentError, ValueError) as error:
                raise SettingInvalid(
                    f"{path.name}: connector.url is not the URL of a database",
                    fix=f"correct connector.url in {path.name}, such as postgresql+psycopg://user@host/database",
                ) from error
            if "@" in (url.host or ""):  # messages name the host, and it would hold a part of the password
                raise SettingInvalid(
                    f"{path.name}: the host in connector.url has an @ in it, so it begins within user or password",
                    fix="write %40 for each @ in user and password, or put the password into connector.password_file",
                )
        if connector.folder:
            connector = connector.model_copy(update={"folder": str(self.path(connector.folder))})
        return source.model_copy(update={"connector": connector})

    def _check_systems(self) -> None:
        """One file for a system: two would write to the same topics."""
        files: dict[str, str] = {}
        for source, path in zip(self.sources, _source_files(self.directory / "sources"), strict=True):
            if source.system in files:
                raise SettingInvalid(
                    f"{files[source.system]} and {path.name} both declare the system {source.system}",
                    fix="give one of them another system, or delete it",
                )
            files[source.system] = path.name

    def _check_authority(self) -> None:
        """Authority over fields that there are, of datasets that there are."""
        Authority(self.settings.authority)
        known = [f"{source.system}.{dataset}" for source, dataset in self.datasets()]
        for field, datasets in self.settings.authority.items():
            for name in datasets:
                if name not in known:
                    near = difflib.get_close_matches(name, known, n=1) or known or ["none"]
                    raise SettingInvalid(
                        f"{FILE}: authority.{field} lists {name}, which no source file declares",
                        fix=f"correct authority.{field} in {FILE}; declared: {', '.join(near)}",
                    )

    def path(self, name: str) -> Path:
        """A path of the settings, taken from the deployment's directory."""
        return self.directory / name

    def _database(self, name: str, url: str) -> str:
        """The URL of a database of our own; a SQLite file's path is taken from the deployment's directory."""
        file = self.directory / FILE
        url = _resolve_text(url, file)
        try:
            parsed = sa.make_url(url)
        except (sa.exc.ArgumentError, ValueError) as error:
            raise SettingInvalid(
                f"{FILE}: {name} is not the URL of a database", fix=f"correct {name} in {FILE}: {_URLS}"
            ) from error
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise SettingInvalid(
                f"{FILE}: {name} begins with {parsed.get_backend_name()}, and it can only be SQLite or PostgreSQL",
                fix=f"correct {name} in {FILE}: {_URLS}",
            )
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return prefix + str(self.directory / url[len(prefix) :])
        return url

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
        if len(secret) < _SECRET_BYTES:
            raise SecretMissing(
                f"the secret file {file} holds {len(secret)} bytes, and a key has at least {_SECRET_BYTES}",
                fix="put back the file that `onewindow init` made; another key would give every resident another id",
            )
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

    def dataset(self, name: str) -> tuple[Source, str]:
        """The one that is called ``system.dataset``. Raises DatasetUnknown."""
        known = {f"{source.system}.{dataset}": (source, dataset) for source, dataset in self.datasets()}
        if name not in known:
            raise DatasetUnknown(f"no dataset {name} is declared", fix=f"declared are: {', '.join(known) or 'none'}")
        return known[name]

    def topics(self) -> list[str]:
        """All topics of events, without those of OneWindow itself."""
        return [
            topic
            for source, dataset in self.datasets()
            for topic in (department_topic(source.system, dataset), quarantine_topic(source.system, dataset))
        ]


def remains(directory: Path) -> list[str]:
    """What of a deployment is in a directory, beside its settings."""
    names = ["secret.key", "sources", "broker", "state", *(path.name for path in sorted(directory.glob("*.sqlite")))]
    return [name for name in names if (directory / name).exists()]


def _missing(directory: Path) -> DeploymentMissing:
    found = remains(directory)
    if found:
        return DeploymentMissing(
            f"{directory} holds {', '.join(found)} of a deployment, but no {FILE}",
            fix=f"restore {FILE} from a backup; the rest belongs to it, the secret key above all",
        )
    return DeploymentMissing(
        f"{directory} holds no {FILE}",
        fix=f"name a deployment with -C DIR, or make one: onewindow init {directory}",
    )


def _source_files(folder: Path) -> list[Path]:
    """The source files, by name. Raises SettingInvalid for one that would be overlooked."""
    for path in sorted(folder.glob("*")):
        if path.suffix.lower() in (".yml", ".yaml") and path.suffix != ".yaml":
            raise SettingInvalid(
                f"sources/{path.name} ends in {path.suffix}, and only source files that end in .yaml are read",
                fix=f"rename it to {path.stem}.yaml",
            )
    return sorted(folder.glob("*.yaml"))


def _check_environment() -> None:
    """Raise SettingUnknown for a variable with our prefix that sets nothing: it was meant to."""
    for variable in sorted(os.environ):
        name = variable.upper()
        if not name.startswith(_PREFIX) or name.startswith(_NOT_SETTINGS):
            continue
        known = _variables(Settings, _PREFIX)
        if name not in known and not any(name.startswith(f"{each}__") for each in known if each.endswith("AUTHORITY")):
            near = difflib.get_close_matches(name, known, n=1) or sorted(known)
            raise SettingUnknown(
                f"the environment: {variable} is not a setting",
                fix=f"unset it, or did you mean {' or '.join(near)}?",
            )


def _variables(model: type[BaseModel], prefix: str) -> list[str]:
    """The environment variables of a model's settings."""
    names = []
    for name, field in model.model_fields.items():
        variable, kind = f"{prefix}{name.upper()}", field.annotation
        names.append(variable)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            names.extend(_variables(kind, f"{variable}__"))
    return names


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
    for key in values:
        if key not in model.model_fields:  # said here: pydantic-settings takes names such as _env_file for its own
            raise _unknown(model, (key,), path)
    try:
        return model(**values)
    except ValidationError as error:
        first = error.errors()[0]
        raise _explain(model, first, path) from error
    except SettingsError as error:  # the environment, before it reaches the model
        raise SettingInvalid(
            f"the environment: {error}", fix="correct or unset the variable; ONEWINDOW_VIEW__URL is view.url"
        ) from error


def _explain(model: type[BaseModel], first: Any, path: Path) -> Exception:
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return _unknown(model, first["loc"], path)
    if first["type"] == "string_type" and isinstance(first["input"], bool | int | float | date):
        return SettingInvalid(
            f"{path.name}: {where}: YAML reads it as {_yaml_kind(first['input'])}, and it must be text",
            fix=f"put it in quotes in {path.name}, as it stands there",
        )
    variable = _PREFIX + "__".join(str(part).upper() for part in first["loc"])
    place = variable if model is Settings and variable in os.environ else path.name
    return SettingInvalid(
        f"{place}: {where}: {first['msg'].removeprefix('Value error, ')}", fix=f"correct {where} in {place}"
    )


def _unknown(model: type[BaseModel], loc: tuple[Any, ...], path: Path) -> SettingUnknown:
    known = _known_keys(model, loc[:-1])
    near = difflib.get_close_matches(str(loc[-1]), known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(sorted(known))}"
    return SettingUnknown(f"{path.name}: {'.'.join(map(str, loc))} is not a setting", fix=hint)


def _yaml_kind(value: object) -> str:
    return "yes or no" if isinstance(value, bool) else "a day" if isinstance(value, date) else "a number"


def _known_keys(model: type[BaseModel], loc: Iterable[Any]) -> list[str]:
    """The keys that a model knows at a place."""
    at: Any = model
    for part in loc:
        if isinstance(at, type) and issubclass(at, BaseModel) and part in at.model_fields:
            at = at.model_fields[part].annotation
            arguments = getattr(at, "__args__", ())
            at = next((a for a in arguments if isinstance(a, type) and issubclass(a, BaseModel)), at)
    return list(at.model_fields) if isinstance(at, type) and issubclass(at, BaseModel) else []
