"""Framing: requests and responses of the Kafka protocol on a TCP connection, one request at a time, as Kafka does.

    request:  size int32 | api key int16 | version int16 | correlation id int32 | client id | body
    response: size int32 | correlation id int32 | body

The message classes are kafka-python's, generated from the protocol's own definitions. Which versions are answered is
stated in ``VERSIONS``: Fetch, Produce, OffsetCommit and OffsetFetch stop where topic ids and the second transaction
protocol begin.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import struct
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from kafka.protocol import admin, consumer, metadata, producer

from broker.errors import Code

log = logging.getLogger(__name__)

VERSIONS: dict[Any, tuple[int, int]] = {
    producer.ProduceRequest: (0, 11),  # 0 to 2 are advertised for old librdkafka's sake, and refused
    consumer.FetchRequest: (4, 12),
    consumer.ListOffsetsRequest: (1, 7),
    metadata.MetadataRequest: (0, 12),
    consumer.OffsetCommitRequest: (2, 8),
    consumer.OffsetFetchRequest: (1, 8),
    metadata.FindCoordinatorRequest: (0, 4),
    consumer.JoinGroupRequest: (0, 9),
    consumer.HeartbeatRequest: (0, 4),
    consumer.LeaveGroupRequest: (0, 5),
    consumer.SyncGroupRequest: (0, 5),
    admin.DescribeGroupsRequest: (0, 5),
    admin.ListGroupsRequest: (0, 4),
    metadata.ApiVersionsRequest: (0, 4),
    admin.CreateTopicsRequest: (2, 7),
    admin.DeleteTopicsRequest: (1, 6),
    admin.DeleteRecordsRequest: (0, 2),
    producer.InitProducerIdRequest: (0, 4),
    consumer.OffsetForLeaderEpochRequest: (2, 4),
    admin.DescribeConfigsRequest: (1, 4),
    admin.CreatePartitionsRequest: (0, 3),
    admin.DeleteGroupsRequest: (0, 2),
    admin.DescribeClusterRequest: (0, 1),
}
PRODUCE, API_VERSIONS = 0, 18
LARGEST_REQUEST = 100 << 20
_BACKLOG = 32 << 20


class Client(NamedTuple):
    """Who asks: the client id of the request, and the address."""

    id: str
    host: str


Answer = Any
Handler = Callable[[Any, int, Client], Answer | Awaitable[Answer]]


class Refused(ValueError):
    """A frame that this broker can't answer; the connection is closed, as Kafka does."""


class Wire:
    """What all connections share: how each request is decoded and who answers it."""

    def __init__(self, handlers: dict[Any, Handler]) -> None:
        self._handlers = {cls.API_KEY: (cls, *VERSIONS[cls], handler) for cls, handler in handlers.items()}
        self.connections: set[Connection] = set()

    def decode(self, frame: bytes) -> tuple[Any, int, int, str, Handler]:
        """(request, version, correlation id, client id, handler)."""
        key, version, correlation, length = struct.unpack_from(">hhih", frame)
        position = 10 + max(length, 0)
        if key not in self._handlers:
            msg = f"API {key} is not spoken here"
            raise Refused(msg)
        cls, lowest, highest, handler = self._handlers[key]
        if key == API_VERSIONS and version > highest:
            return None, version, correlation, "", handler
        if not lowest <= version <= highest or (key == PRODUCE and version < 3):
            msg = f"{cls.__name__} version {version} is not spoken here"
            raise Refused(msg)
        if cls.flexible_version_q(version):
            if frame[position]:
                msg = "tagged fields in a request header"
                raise Refused(msg)
            position += 1
        client = frame[10:position].decode(errors="replace").rstrip("\0")
        return cls.decode(memoryview(frame)[position:], version=version), version, correlation, client, handler


class Connection(asyncio.Protocol):
    """One client connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire, self._buffer = wire, bytearray()
        self._task: asyncio.Task[None] | None = None
        self._paused = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._host = "/" + str((transport.get_extra_info("peername") or ("?",))[0])
        self._wire.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._wire.connections.discard(self)
        self._buffer.clear()
        if self._task:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._task is None:
            self._pump()
        elif len(self._buffer) > _BACKLOG and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _pump(self) -> None:
        while self._task is None and len(self._buffer) >= 4:
            size = int.from_bytes(self._buffer[:4], "big", signed=True)
            if not 0 < size <= LARGEST_REQUEST:
                log.warning("a frame of %d bytes from %s: not the Kafka protocol?", size, self._host)
                self.transport.abort()
                return
            if len(self._buffer) < 4 + size:
                return
            frame = bytes(memoryview(self._buffer)[4 : 4 + size])
            del self._buffer[: 4 + size]
            try:
                self._answer(frame)
            except (Refused, ValueError, IndexError, struct.error) as flaw:
                log.warning("request from %s refused: %s", self._host, flaw)
                self.transport.abort()
                return

    def _answer(self, frame: bytes) -> None:
        request, version, correlation, client, handler = self._wire.decode(frame)
        answer = handler(request, version, Client(client, self._host))
        if request is None:  # KIP-511: a version of ApiVersions that is too new is answered in version 0
            assert not inspect.isawaitable(answer)
            answer.error_code = Code.UNSUPPORTED_VERSION
            version = 0
        if inspect.isawaitable(answer):
            self._task = asyncio.ensure_future(self._finish(answer, correlation, version))
        elif answer is not None:
            self._reply(answer, correlation, version)

    async def _finish(self, answer: Awaitable[Answer], correlation: int, version: int) -> None:
        try:
            response = await answer
            if response is not None:
                self._reply(response, correlation, version)
        except asyncio.CancelledError:
            return
        except Exception:  # the edge of the server: this connection ends, the others go on
            log.exception("a request of %s failed", self._host)
            self.transport.abort()
            return
        self._task = None
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        self._pump()

    def _reply(self, answer: Answer, correlation: int, version: int) -> None:
        answer.API_VERSION = version  # before with_header(): kafka-python 3.0.12 can't set it afterwards
        answer.with_header(correlation_id=correlation)
        self.transport.write(answer.encode(header=True, framed=True))
