"""The key that a deployment was made with: its check value is kept in the store of streams, and compared at each start.

With another key every resident and record would get a second id beside its first, and nobody would notice.
"""

from __future__ import annotations

import sqlalchemy as sa

from contracts.errors import KeyDiffers
from contracts.identity import Hasher
from projections.databases import writing

_LOCK = 0x6F77_6B65_79
"""Key of PostgreSQL's advisory lock under which the table is made: two roles may start at once."""

metadata = sa.MetaData()
deployment_key = sa.Table(
    "deployment_key",
    metadata,
    sa.Column("check_value", sa.Text, primary_key=True, comment="HMAC of a fixed word under the secret key"),
)


def confirm(engine: sa.Engine, hasher: Hasher) -> None:
    """Compare the key with the one that the deployment was made with; the first key is taken down.

    Raises KeyDiffers, with nothing changed; DatabaseUnreachable.
    """
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        metadata.create_all(connection)
        known = connection.scalar(sa.select(deployment_key.c.check_value))
        if known is None:
            connection.execute(sa.insert(deployment_key).values(check_value=hasher.check_value))
        elif known != hasher.check_value:
            raise KeyDiffers(
                "the secret file does not hold the key that this deployment was made with",
                fix="put back that key; with another one, start a new deployment: the sources are read again",
            )
