"""Where a new source lies: a database's URL, a file, or a folder, as a person gives it; its password taken out."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.engine import URL

from contracts.errors import FolderMissing, SecretMissing, SettingInvalid, SourceUnreachable

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
"""What is meant by a URL without a driver, of those that are here."""
_SQLITE = b"SQLite format 3\0"
_REFERENCE = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_FORM = "write it as postgresql://USER:PASSWORD@HOST/DATABASE, sqlite:////path/file, or the path of a file or folder"


@dataclass(frozen=True)
class Origin:
    """``url`` as it may stand in the source file, and ``password`` that may not. ``reach``: the URL to connect with.

    ``file``: the one file that is meant, of those in ``folder``.
    """

    kind: Literal["sql", "postgres", "files"]
    url: str | None = None
    reach: str | None = None
    password: str | None = None
    folder: str | None = None
    file: str | None = None


def origin_of(text: str) -> Origin:
    """What ``--from`` means.

    Raises SettingInvalid for a URL that is none, SourceUnreachable for a SQLite file and FolderMissing for a path that is
    not there, SecretMissing for a ${NAME} that is not in the environment.
    """
    if text.lower().startswith(("http://", "https://")):
        raise SettingInvalid(
            "--from: a web service is not looked at by itself",
            fix="write its source file by hand: docs/configuration.md",
        )
    if re.match(r"[A-Za-z][A-Za-z0-9+.]*://", text):
        return _database(text)
    path = Path(text).expanduser().absolute()
    if path.is_dir():
        return Origin("files", folder=str(path))
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_SQLITE))
    except OSError as error:
        raise FolderMissing(
            f"--from {path}: there is no such file or folder that can be read ({error.strerror})", fix=_FORM
        ) from error
    if head == _SQLITE:
        return _database(f"sqlite:///{path}")
    return Origin("files", folder=str(path.parent), file=path.name)


def _database(text: str) -> Origin:
    resolved = _REFERENCE.sub(lambda found: _from_environment(found.group(1)), text)
    url, reach = _url(text), _url(resolved)
    if url.get_backend_name() == "sqlite":
        return _sqlite(url)
    if "@" in (reach.host or ""):
        raise SettingInvalid(
            "--from: the host in the URL has an @ in it, so it begins within user or password",
            fix="write %40 for each @ in user and password",
        )
    if hidden := [name for name in url.query if "password" in name.lower() and name != "password"]:
        raise SettingInvalid(
            f"--from: {hidden[0]} stands in the URL, and would stand in the source file",
            fix=f"write it as ${{{hidden[0].upper()}}}",
        )
    in_query = url.query.get("password")
    password = url.password or (in_query if isinstance(in_query, str) else None)
    if password is None or _REFERENCE.fullmatch(password):
        return Origin(_kind(url), _written(url), _written(reach))
    query = {name: value for name, value in url.query.items() if name != "password"}
    bare = _written(URL.create(url.drivername, url.username, None, url.host, url.port, url.database, query))
    return Origin(_kind(url), bare, bare, password)


def _kind(url: URL) -> Literal["sql", "postgres"]:
    return "postgres" if url.get_backend_name() == "postgresql" else "sql"


def _written(url: URL) -> str:
    """The URL as text; a reference to the environment stays one."""
    text = url.render_as_string(hide_password=False)
    return re.sub(r"%24%7B([A-Z][A-Z0-9_]*)%7D", r"${\1}", text)


def _from_environment(name: str) -> str:
    if name not in os.environ:
        raise SecretMissing(f"--from refers to ${{{name}}}, which is not in the environment", fix=f"export {name}=…")
    return os.environ[name]


def _url(text: str) -> URL:
    try:
        url = sa.make_url(text)
        if url.drivername in _DRIVERS:
            url = url.set(drivername=_DRIVERS[url.drivername])
        url.get_dialect()
    except (sa.exc.ArgumentError, ImportError, ValueError) as error:
        raise SettingInvalid(
            f"--from is not the URL of a database that can be reached from here ({type(error).__name__})", fix=_FORM
        ) from None  # the error of a port shows what stands in its place
    return url


def _sqlite(url: URL) -> Origin:
    """A SQLite file by its whole path: the deployment may be started from anywhere."""
    path = Path(url.database or "").absolute()
    if not url.database or not path.is_file():  # to connect would make it
        raise SourceUnreachable(f"--from: there is no SQLite file {path}", fix="correct the path")
    whole = url.set(database=str(path)).render_as_string(hide_password=False)
    return Origin("sql", whole, whole)
