"""A TCP proxy on loopback whose network can be made bad: toxics as in Toxiproxy, for links of a running city.

    latency, jitter     each piece is held back so many seconds, in order
    bytes_per_s         no more than that
    slice_bytes         in pieces of so many bytes
    cut                 "down", "up", or both: nothing goes through that way; TCP keeps it until the cut ends
    reset               each connection ends with RST, now and as long as it lasts
    half_close          each connection's way down is closed, and the way up stays open

Runs on an event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

_PIECE = 64 << 10
_LOOK_S = 0.02
Address = tuple[str, int]


@dataclass(frozen=True)
class Toxics:
    """What is wrong with a link. The default: nothing."""

    latency_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    slice_bytes: int = 0
    cut: Collection[str] = ()
    reset: bool = False
    half_close: bool = False


HEALTHY = Toxics()


class Proxy:
    """One link: listens on ``port`` and connects to what ``target`` names at that moment."""

    def __init__(
        self, target: Callable[[], Address], seed: int = 0, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._target, self._random, self._sleep = target, random.Random(seed), sleep
        self._toxics = HEALTHY
        self._writers: set[asyncio.StreamWriter] = set()
        self._downs: set[asyncio.StreamWriter] = set()
        self._closed: set[asyncio.StreamWriter] = set()  # of the ways down, while the connection lasts
        self.port = self.passed = 0
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def poison(self, toxics: Toxics) -> None:
        """From now on the link is like this; HEALTHY mends it."""
        self._in_loop(self._poison(toxics))

    def drop(self) -> None:
        """End all connections with RST: the target is another one."""
        self._in_loop(self._reset())

    def close(self) -> None:
        """End all connections and listen no more. Once is enough, and twice does no harm."""
        if self._loop.is_closed():
            return
        self._toxics = HEALTHY
        self._in_loop(self._reset())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _in_loop(self, what) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._connected, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        if left := asyncio.all_tasks(self._loop):  # their connections are ended, so they end
            self._loop.run_until_complete(asyncio.wait(left, timeout=5))
        self._loop.close()

    async def _poison(self, toxics: Toxics) -> None:
        self._toxics = toxics
        if toxics.reset:
            await self._reset()
        if toxics.half_close:
            for writer in list(self._downs):
                if not writer.is_closing():
                    writer.write_eof()
                    self._downs.discard(writer)
                    self._closed.add(writer)

    async def _reset(self) -> None:
        for writer in list(self._writers):
            _rst(writer)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._toxics.reset:
            _rst(writer)
            return
        try:
            there, back = await asyncio.open_connection(*self._target())
        except OSError:
            _rst(writer)
            return
        self._writers |= {writer, back}
        self._downs.add(writer)
        try:
            await asyncio.gather(self._pump("up", reader, back), self._pump("down", there, writer))
        finally:
            self._writers -= {writer, back}
            self._downs.discard(writer)
            self._closed.discard(writer)
            for each in (writer, back):
                each.close()

    async def _pump(self, way: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while piece := await reader.read(self._toxics.slice_bytes or _PIECE):
                await self._held_back(way, len(piece))
                if writer in self._closed:
                    continue  # this way was closed, and what still comes for it is gone
                writer.write(piece)
                await writer.drain()
                self.passed += len(piece)
            if not writer.is_closing() and writer not in self._closed:
                writer.write_eof()
        except OSError:
            _rst(writer)

    async def _held_back(self, way: str, size: int) -> None:
        now = self._toxics
        if now.latency_s:
            await self._sleep(max(0.0, now.latency_s + self._random.uniform(-now.jitter_s, now.jitter_s)))
        if now.bytes_per_s:
            await self._sleep(size / now.bytes_per_s)
        while way in self._toxics.cut:  # noqa: ASYNC110 - it is set from a fault's thread, and seldom
            await asyncio.sleep(_LOOK_S)


def _rst(writer: asyncio.StreamWriter) -> None:
    """End a connection as a crashed host does."""
    connection = writer.get_extra_info("socket")
    if connection is not None and not writer.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
