"""The projections role with the register as its view, a process: ``python -m benchmarks.register_role BOOTSTRAP URL DIR NAME``.

Composed as ``onewindow.roles.projections`` composes it; only the projection is another.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from benchmarks.register import Register
from contracts.events import RESIDENT_TOPIC
from onewindow.events_log import identity
from onewindow.roles import quiet_collector
from projections.databases import open_view
from projections.engine import ViewEngine
from projections.winners import Authority
from streams.roles import ProjectionsRole


def main(bootstrap: str, url: str, directory: Path, instance: str) -> None:
    """Project until told to stop."""
    quiet_collector()
    view = ViewEngine(open_view(url), Authority({}), [Register()])
    view.prepare(identity(bootstrap, [RESIDENT_TOPIC]))

    async def work() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        role = ProjectionsRole(view, bootstrap=bootstrap, instance=instance, datadir=str(directory))
        await role.run(stop, ready=lambda: None)

    asyncio.run(work())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4])
