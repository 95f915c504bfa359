"""Framing: one request at a time on each connection, answered in order.

    request:  size int32 | api key int16 | version int16 | correlation id int32 | client id string | [tags] | body
    response: size int32 | correlation id int32 | [tags] | body

A connection holds one request and one response in memory: reading stops while a request is being served, and serving
stops while a client does not read.
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


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, apis: Mapping[int, Api], connections: set[Connection], max_request_bytes: int) -> None:
        self._apis, self._connections, self._max_request_bytes = apis, connections, max_request_bytes
        self._received = bytearray()
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
        if self._serving:
            self._serving.cancel()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        if self._serving is None:
            self._start()
        elif len(self._received) > _READ_AHEAD_BYTES:
            self._transport.pause_reading()

    # -- serving ------------------------------------------------------------------------------------------------------

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
            if not _HEAD.size <= size <= self._max_request_bytes:
                log.warning("%s sent a frame of %d bytes, the connection is closed", self._host, size)
                self._transport.abort()
            elif len(self._received) >= 4 + size:
                self._serving = asyncio.create_task(self._serve())

    def _next_frame(self) -> bytes | None:
        if len(self._received) < 4:
            return None
        size = int.from_bytes(self._received[:4], "big", signed=True)
        if not _HEAD.size <= size <= self._max_request_bytes:
            raise Unreadable(f"a frame of {size} bytes")
        if len(self._received) < 4 + size:
            return None
        with memoryview(self._received) as view:
            frame = bytes(view[4 : 4 + size])
        del self._received[: 4 + size]
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
            log.warning("%s: %s; the connection is closed", self._host, flaw)
            self._transport.abort()
        except Exception:  # a fault of ours in one request: this client is cut off, the others are served
            log.exception("a request of %s failed, the connection is closed", self._host)
            self._transport.abort()
        else:
            self._serving = None
            if not self._transport.is_closing():
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
