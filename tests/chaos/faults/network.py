"""Faults of the network: each of the proxy's toxics, on any link of the city."""

from __future__ import annotations

import socket
from contextlib import suppress

from chaos.faults.base import Fault
from chaos.proxy import HEALTHY, Toxics

_TOXICS = {
    "slow": Toxics(latency_s=0.2, jitter_s=0.15),
    "narrow": Toxics(bytes_per_s=40_000),
    "cut both ways": Toxics(cut=("up", "down")),
    "cut on the way up": Toxics(cut=("up",)),
    "cut on the way down": Toxics(cut=("down",)),
    "reset": Toxics(reset=True),
    "in pieces of 7 bytes": Toxics(slice_bytes=7),
    "half closed": Toxics(half_close=True),
}


class BadNetwork(Fault):
    nemesis, title, weight = "N3", "bad network", 16

    def begin(self) -> str:
        self.link = self.rng.choice(sorted(self.town.proxies))
        how = self.rng.choice(sorted(_TOXICS))
        self.town.proxies[self.link].poison(_TOXICS[how])
        self.seconds = self.rng.uniform(2, 6)
        return f"{self.link}: {how}"

    def end(self) -> None:
        self.town.proxies[self.link].poison(HEALTHY)


class IdleClients(Fault):
    """Many connections that say half a word, and read nothing."""

    nemesis, title, weight = "N15", "hundreds of clients that never read", 3

    def begin(self) -> str:
        self.clients: list[socket.socket] = []
        host, _, port = self.town.deployment.bootstrap.split(",")[0].partition(":")
        for _ in range(300):
            with suppress(OSError):
                self.clients.append(socket.create_connection((host, int(port)), timeout=1))
                self.clients[-1].sendall(b"\0\0\0\x40\0\x12")
        self.seconds = self.rng.uniform(2, 4)
        return f"{len(self.clients)} connections"

    def end(self) -> None:
        for client in self.clients:
            client.close()
