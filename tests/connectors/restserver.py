"""An API of a department on loopback: real HTTP, with a clock of its own, and every bad habit on request."""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlencode, urlsplit

BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Asked:
    """A request as it came."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Reply:
    """An answer. ``raw`` is sent as it is, and the connection closed after it."""

    status: int = 200
    body: bytes | dict | list = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


@dataclass
class Person:
    """A record of the API's table."""

    id: str
    name: str
    updated_at: str
    deleted: bool = False

    def shown(self) -> dict:
        return {"id": self.id, "name": self.name, "meta": {"updated_at": self.updated_at, "deleted": self.deleted}}


class Department:
    """The server. ``script``: what to answer next, once each, instead of the list (None: the list). ``before`` is called
    before each answer. ``paging``: how the list is paged; ``order``: id, asc or desc by time; ``cap``: the largest page."""

    def __init__(self) -> None:
        self.reset()
        department = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                department.handle(self)

            do_POST = do_GET  # noqa: N815 - as http.server wants it

            def log_message(self, *args) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address) -> None:
                pass  # the client went away, which tests make it do

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="department")
        self._thread.start()

    def reset(self) -> None:
        self.people: dict[str, Person] = {}
        self.asked: list[Asked] = []
        self.script: deque[Reply | Callable[[Asked], Reply | None] | None] = deque()
        self.before: Callable[[int], None] = lambda _: None
        self.login: Callable[[Asked], bool] = lambda _: True
        self.token: Callable[[Asked], Reply] = lambda _: Reply(404)
        self.paging, self.order, self.cap, self.etags, self.hides_total = "none", "id", 1_000, False, False
        self.now, self.skew_s = BEGAN, 0
        self.held = threading.Event()

    def close(self) -> None:
        self.held.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/api"

    @property
    def lists(self) -> list[Asked]:
        """The requests for the list."""
        return [each for each in self.asked if each.method == "GET"]

    # its table -------------------------------------------------------------------------------------------------------

    def put(self, key: str, name: str | None = None, *, deleted: bool = False, late_s: int = 0) -> Person:
        """Insert or change a person, a second after what happened before; ``late_s``: committed so late."""
        self.now += timedelta(seconds=1)
        stamp = (self.now - timedelta(seconds=late_s)).isoformat().replace("+00:00", "Z")
        self.people[key] = Person(key, name or f"n{stamp}", stamp, deleted)
        return self.people[key]

    def remove(self, key: str) -> None:
        """Delete a person without a trace."""
        self.now += timedelta(seconds=1)
        self.people.pop(key, None)

    def truth(self) -> dict[str, str]:
        """Who is there."""
        return {person.id: person.name for person in self.people.values() if not person.deleted}

    # answering -------------------------------------------------------------------------------------------------------

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        asked = Asked(handler.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
        self.asked.append(asked)
        reply = self.reply(asked)
        if reply.raw is not None:
            handler.wfile.write(reply.raw)
            handler.close_connection = True
            return
        content = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        handler.send_response_only(reply.status)
        sent = {
            "Date": format_datetime(self.now + timedelta(seconds=self.skew_s), usegmt=True),
            "Content-Type": "application/json",
        } | reply.headers
        if reply.status != 304:
            sent = {"Content-Length": str(len(content))} | sent
        for name, value in sent.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)

    def reply(self, asked: Asked) -> Reply:
        if asked.path.endswith("/token"):
            return self.token(asked)
        if not self.login(asked):
            return Reply(401, {"error": "who are you"})
        self.before(len(self.lists))
        scripted = self.script.popleft() if self.script else None
        reply = scripted(asked) if callable(scripted) else scripted
        return reply if reply is not None else self.listing(asked)

    def listing(self, asked: Asked) -> Reply:
        """The list, as it is paged."""
        query = asked.query
        people = [each for each in self.people.values() if each.updated_at >= query.get("since", "")]
        people.sort(key=lambda each: each.id if self.order == "id" else (each.updated_at, each.id))
        if self.order == "desc":
            people.reverse()
        size = min(int(query.get("size", "1000")), self.cap)
        page, more = self._page(people, query, size)
        answer = {"data": {"items": [each.shown() for each in page]}}
        if not self.hides_total:
            answer["data"]["total"] = len(people)
        headers = {}
        if more is not None and self.paging == "token":
            answer["next"] = more
        if more is not None and self.paging.startswith("link"):
            target = f"{asked.path}?{urlencode(query | {'after': more})}"
            if self.paging == "link":
                answer["next"] = target
            else:
                headers["Link"] = f'<{target}>; rel="next", </api/people>; rel="first"'
        content = json.dumps(answer).encode()
        if self.etags:
            headers["ETag"] = f'"{hash(content)}"'
            if asked.headers.get("if-none-match") == headers["ETag"]:
                return Reply(304, headers=headers)
        return Reply(200, content, headers)

    def _page(self, people: list[Person], query: dict[str, str], size: int) -> tuple[list[Person], str | None]:
        """The page that is asked for, and what names the next one."""
        if self.paging == "none":
            return people, None
        if self.paging in ("page", "offset"):
            first = int(query["page"]) * size - size if self.paging == "page" else int(query["offset"])
            return people[first : first + size], None
        after = query.get("after")  # keyset: after the last record that was given
        if after is not None:
            stamp, _, key = after.partition("_")
            if self.order == "id":
                people = [each for each in people if each.id > key]
            else:
                people = [
                    each for each in people if ((each.updated_at, each.id) > (stamp, key)) == (self.order == "asc")
                ]
                people = [each for each in people if each.id != key or each.updated_at != stamp]
        page = people[:size]
        return page, f"{page[-1].updated_at}_{page[-1].id}" if len(people) > size else None


def chunked(body: bytes) -> bytes:
    """A whole answer in one chunk and without its end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + f"{len(body):x}\r\n".encode() + body + b"\r\n"
