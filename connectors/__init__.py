"""How to read a department's system. ``open_connector`` gives the connector that a source file declares."""

from __future__ import annotations

from pathlib import Path

from connectors.base import Connector, Dataset, Delete, Finding, Page, Position, Upsert
from contracts.sources import Source


def open_connector(source: Source, *, password: str | None = None, state: Path) -> Connector:
    """The connector of a source. Reaches nothing yet. ``state``: a directory for what it must remember of files and full reads.

    Raises SettingInvalid.
    """
    if source.connector.kind == "postgres" and source.connector.capture == "log":
        from connectors.postgres import PostgresConnector

        return PostgresConnector(source, password)
    if source.connector.kind == "mysql" and source.connector.capture == "log":
        from connectors.mysql import MysqlConnector

        return MysqlConnector(source, password)
    if source.connector.kind == "rest":
        from connectors.rest import RestConnector

        return RestConnector(source, password, state)
    if source.connector.kind == "python":
        from connectors._named import named_connector

        return named_connector(source, password, state)
    if source.connector.kind == "exchange":
        from connectors.exchange import ExchangeConnector

        return ExchangeConnector(source, password)
    if source.connector.kind != "files":
        from connectors.sql import SqlConnector

        return SqlConnector(source, password, state)
    from connectors.files import FilesConnector

    return FilesConnector(source, state)


__all__ = ["Connector", "Dataset", "Delete", "Finding", "Page", "Position", "Upsert", "open_connector"]
