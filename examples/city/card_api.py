"""The API of 残联, over HTTP on loopback: a token for a login, and cards page by page in the order in which they changed.

    POST /api/v1/oauth/token    grant_type=client_credentials&client_id=…&client_secret=…
    200 {"access_token": "…", "token_type": "Bearer", "expires_in": 60}

    GET /api/v1/cards?size=500&updated_since=2026-11-28 12:49:05.123&cursor=…      Authorization: Bearer …
    200 {"data": {"total": 1234, "list": [{"cjrbh": "…", …, "gxsj": "…"}], "next": "…"}}

``next`` is the cursor of the next page, null on the last one: time and key of the last card, and nothing of a person. What
else stands in an address is refused, so that no ID number does. Nothing is logged.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from examples.city.records import CHINA

BASE = "/api/v1"
_LARGEST, _USUAL = 500, 100  # cards of a page
_LONGEST_FORM = 4_096  # bytes
_FORM = "%Y-%m-%d %H:%M:%S.%f"
_PARAMETERS = {"size", "updated_since", "cursor"}


class Place(NamedTuple):
    """Where a card stands in the order of changes."""

    changed: str
    key: str


class Page(NamedTuple):
    """Cards, how many there are in all, and where the next page begins; None: there is none."""

    cards: list[dict[str, Any]]
    total: int
    last: Place | None


_BEGINNING = Place("", "")
Pages = Callable[[str, Place, int], Page]
"""(changed from this time on, behind this place, so many) -> a page."""


def stamp(moment: datetime) -> str:
    """A time as the department writes it: China's, with milliseconds."""
    return moment.astimezone(CHINA).strftime(_FORM)[:-3]


class Refusal(Exception):
    """A request that is answered with an error. The message is what the client is told."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Tokens:
    """Logins, each until it expires. ``monotonic``: the clock, in seconds."""

    def __init__(
        self, client: str, secret: str, *, lasts_s: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._secret, self.lasts_s, self._monotonic = client, secret, lasts_s, monotonic
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    def given(self, client: str, secret: str) -> str:
        """A new token. Raises Refusal for another client or secret."""
        known = secrets.compare_digest(client.encode(), self._client.encode())
        if not (secrets.compare_digest(secret.encode(), self._secret.encode()) and known):
            raise Refusal(401, "client_id or client_secret is wrong")
        token, now = secrets.token_urlsafe(24), self._monotonic()
        with self._lock:
            self._until = {each: until for each, until in self._until.items() if until > now}
            self._until[token] = now + self.lasts_s
        return token

    def check(self, authorization: str) -> None:
        """Raises Refusal unless the header bears a token that is still good."""
        with self._lock:
            until = self._until.get(authorization.removeprefix("Bearer "))
        if until is None or until <= self._monotonic():
            raise Refusal(401, "no token, or one that has expired")


class CardApi:
    """The server, in threads of its own. ``port``: of loopback, if it is free, else another one; 0 for any."""

    def __init__(self, pages: Pages, tokens: Tokens, *, port: int = 0) -> None:
        try:
            self._server = _Server(("127.0.0.1", port), pages, tokens)
        except OSError:  # somebody else has it
            self._server = _Server(("127.0.0.1", 0), pages, tokens)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="card-api", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: Pages, tokens: Tokens) -> None:
        self.pages, self.tokens = pages, tokens
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away in the middle of an answer is no trouble of the department's."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "CardApi/1", ""
    timeout = 30  # seconds for which a connection may say nothing

    def do_POST(self) -> None:
        self._answer(self._token, "/oauth/token")

    def do_GET(self) -> None:
        self._answer(self._cards, "/cards")

    def log_message(self, *_: Any) -> None:
        """Nothing: addresses and headers are nobody's business."""

    def _answer(self, handle: Callable[[], Mapping[str, Any]], path: str) -> None:
        try:
            if urlsplit(self.path).path != BASE + path:
                raise Refusal(404, "there is nothing here")
            status, said = 200, handle()
        except Refusal as refusal:
            status, said = refusal.status, {"error": str(refusal)}
        body = json.dumps(said, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Bearer")
        if status != 200:
            self.send_header("Connection", "close")  # the body of the request may not have been read
        self.end_headers()
        self.wfile.write(body)

    def _token(self) -> Mapping[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _LONGEST_FORM:
            raise Refusal(413, f"a form of at most {_LONGEST_FORM} bytes is wanted")
        form = _single(self.rfile.read(int(length)).decode("utf-8", "replace"))
        if form.get("grant_type") != "client_credentials":
            raise Refusal(400, "grant_type is client_credentials, and nothing else")
        token = self.server.tokens.given(form.get("client_id", ""), form.get("client_secret", ""))
        return {"access_token": token, "token_type": "Bearer", "expires_in": self.server.tokens.lasts_s}

    def _cards(self) -> Mapping[str, Any]:
        self.server.tokens.check(self.headers.get("Authorization", ""))
        asked = _single(urlsplit(self.path).query)
        if not asked.keys() <= _PARAMETERS:
            raise Refusal(400, f"an address has no parameters but {', '.join(sorted(_PARAMETERS))}")
        since = _time(asked["updated_since"]) if "updated_since" in asked else ""
        after = _place(asked["cursor"]) if "cursor" in asked else _BEGINNING
        page = self.server.pages(since, after, _size(asked.get("size", str(_USUAL))))
        following = _cursor(page.last) if page.last is not None else None
        return {"data": {"total": page.total, "list": page.cards, "next": following}}


def _single(text: str) -> dict[str, str]:
    """Names and values of a form or a query; of a name that stands twice the last value."""
    return {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}


def _size(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise Refusal(400, "size is a number from 1 on")
    return min(int(text), _LARGEST)


def _time(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
        return stamp(moment if moment.tzinfo else moment.replace(tzinfo=CHINA))
    except (ValueError, OverflowError):
        raise Refusal(400, "updated_since is a time such as 2026-11-28 12:49:05.123") from None


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode("|".join(place).encode()).decode()


def _place(cursor: str) -> Place:
    try:
        changed, key = base64.urlsafe_b64decode(cursor).decode().split("|")
    except (binascii.Error, ValueError):
        raise Refusal(400, "cursor is what an answer gave as next") from None
    return Place(changed, key)
