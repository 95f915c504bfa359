"""Framing: one request at a time on each connection, answered in order.

    request:  size int32 | api key int16 | version int16 | correlation id int32 | client id string | [tags] | body
    response: size int32 | correlation id int32 | [tags] | body

A connection holds one request and one response in memory: reading stops while a request is being served, and serving
stops while a client does not read. All connections together hold so many bytes of requests and no more: past that, the
one that holds most is hung up on, and so is one that does not end a request that it has begun.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from broker.errors import Code
from broker.messages import metadata

log = logging.getLogger(__name__)

_HEAD = struct.Struct(">hhih")
_READ_AHEAD_BYTES = 64 << 10


class Client(NamedTuple):
    """Who asks."""

    ident: str
    host: str


class Request(NamedTuple):
    """A decoded request."""

    body: Any
    version: int
    client: Client


Handler = Callable[[Request], Awaitable[Any]]


class Api(NamedTuple):
    """One kind of request, the versions of it that are served, and by what; it answers with None for no answer."""

    message: Any
    oldest: int
    newest: int
    handler: Handler


class Unreadable(Exception):
    """A frame that can't be answered: the connection is closed."""


class Limits(NamedTuple):
    """What clients may ask of our memory. ``held_bytes``: requests of all connections, whole or not; ``frame_s``: how long
    a request may take to arrive once it has begun."""

    request_bytes: int
    held_bytes: int
    frame_s: float


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, apis: Mapping[int, Api], connections: set[Connection], limits: Limits) -> None:
        self._apis, self._connections, self._limits = apis, connections, limits
        self._received = bytearray()
        self._served_bytes = 0
        self._patience: asyncio.TimerHandle | None = None
        self._serving: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: Any = None
        self._host = ""

    # -- called by the event loop -------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._connections.add(self)
        self._host = "/" + str((transport.get_extra_info("peername") or ["?"])[0])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the reason does not matter
        self._connections.discard(self)
        self._received.clear()
        self._have_patience(wanted=False)
        if self._serving:
            self._serving.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _READ_AHEAD_BYTES:  # less than that does not count
            self._make_room()
        if self._serving is None:
            self._start()
        elif len(self._received) > _READ_AHEAD_BYTES:
            self._transport.pause_reading()

    # -- serving ------------------------------------------------------------------------------------------------------

    @property
    def held_bytes(self) -> int:
        """Bytes of requests that are in memory for this client."""
        return len(self._received) + self._served_bytes

    def hang_up(self, why: str) -> None:
        """Cut the client off at once."""
        log.warning("%s: %s; the connection is closed", self._host, why)
        self._received.clear()
        self._transport.abort()

    def _make_room(self) -> None:
        """Hang up on the client that holds most, if all together hold too much."""
        while sum(each.held_bytes for each in self._connections) > self._limits.held_bytes:
            greediest = max(self._connections, key=lambda each: each.held_bytes)
            greediest.hang_up(f"{greediest.held_bytes} bytes of requests, and all clients together sent too many")
            self._connections.discard(greediest)

    def _have_patience(self, *, wanted: bool) -> None:
        """Give a request that has begun its time to arrive; not wanted any more once it has."""
        if not wanted and self._patience is not None:
            self._patience.cancel()
            self._patience = None
        elif wanted and self._patience is None:
            loop, why = asyncio.get_running_loop(), f"a request did not arrive in {self._limits.frame_s:g} s"
            self._patience = loop.call_later(self._limits.frame_s, self.hang_up, why)

    @property
    def idle(self) -> bool:
        """Whether no request is being served."""
        return self._serving is None

    def close(self) -> None:
        """Hang up; what has been answered still goes out."""
        if self._serving:
            self._serving.cancel()
        self._transport.close()

    def _start(self) -> None:
        if len(self._received) >= 4:
            size = int.from_bytes(self._received[:4], "big", signed=True)
            if not _HEAD.size <= size <= self._limits.request_bytes:
                return self.hang_up(f"a frame of {size} bytes")
            if len(self._received) >= 4 + size:
                self._have_patience(wanted=False)
                self._serving = asyncio.create_task(self._serve())
                return None
        return self._have_patience(wanted=bool(self._received))

    def _next_frame(self) -> bytes | None:
        self._served_bytes = 0
        if len(self._received) < 4:
            return None
        size = int.from_bytes(self._received[:4], "big", signed=True)
        if not _HEAD.size <= size <= self._limits.request_bytes:
            raise Unreadable(f"a frame of {size} bytes")
        if len(self._received) < 4 + size:
            return None
        with memoryview(self._received) as view:
            frame = bytes(view[4 : 4 + size])
        del self._received[: 4 + size]
        self._served_bytes = size
        return frame

    async def _serve(self) -> None:
        """Answer what has been received, one request after another."""
        try:
            while (frame := self._next_frame()) is not None:
                answer = await self._answer(frame)
                if answer is not None:
                    self._transport.write(answer)
                    await self._writable.wait()
        except Unreadable as flaw:
            self.hang_up(str(flaw))
        except Exception:  # a fault of ours in one request: this client is cut off, the others are served
            log.exception("a request of %s failed, the connection is closed", self._host)
            self._transport.abort()
        else:
            self._serving = None
            if not self._transport.is_closing():
                self._have_patience(wanted=bool(self._received))
                self._transport.resume_reading()

    async def _answer(self, frame: bytes) -> bytes | None:
        key, version, correlation, id_length = _HEAD.unpack_from(frame)
        api = self._apis.get(key)
        if api is None:
            raise Unreadable(f"api key {key} is not served")
        if not api.oldest <= version <= api.newest:
            if api.message is metadata.ApiVersionsRequest:  # KIP-511: it can be read by every client
                refusal = supported_versions(self._apis, Code.UNSUPPORTED_VERSION)
                return _encode(refusal, correlation, 0)
            raise Unreadable(f"{api.message.__name__} version {version} is not served")
        request = _decode(api, frame, version, id_length, self._host)
        response = await api.handler(request)
        return None if response is None else _encode(response, correlation, version)


def _decode(api: Api, frame: bytes, version: int, id_length: int, host: str) -> Request:
    start = _HEAD.size + max(id_length, 0)
    try:
        ident = frame[_HEAD.size : start].decode()
        if api.message.flexible_version_q(version):
            if frame[start]:
                raise Unreadable("tags in a request's header")
            start += 1
        body = api.message.decode(memoryview(frame)[start:], version=version)
    except (ValueError, IndexError, struct.error, TypeError, OverflowError) as flaw:
        raise Unreadable(f"{api.message.__name__} version {version} can't be decoded: {flaw}") from flaw
    return Request(body, version, Client(ident, host))


def _encode(response: Any, correlation: int, version: int) -> bytes:
    response.API_VERSION = version  # before with_header: kafka-python 3.0.12 refuses it afterwards
    response.with_header(correlation_id=correlation)
    return bytes(response.encode(header=True, framed=True))


def supported_versions(apis: Mapping[int, Api], code: Code = Code.NONE) -> Any:
    """The answer to ApiVersions."""
    kind = metadata.ApiVersionsResponse
    versions = []
    for key, api in apis.items():
        # librdkafka takes compression for unsupported when Produce does not begin at 0, though it never sends that
        oldest = 0 if key == 0 else api.oldest
        versions.append(kind.ApiVersion(api_key=key, min_version=oldest, max_version=api.newest))
    return kind(error_code=code, api_keys=versions)
