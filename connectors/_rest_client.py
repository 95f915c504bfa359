"""Asks an API of a department: shows who asks, keeps to its pace, and takes one answer of limited size at a time.

No message holds a secret, an ID number, the query of an address or a piece of an answer. Redirections are not followed, so
a login goes nowhere but to the declared server; neither proxies nor .netrc of the environment are used. Certificates are
those that OpenSSL trusts (SSL_CERT_FILE adds a city's own).
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from connectors._rest_answers import parsed
from connectors._rest_login import Credentials
from contracts.citizen import masked
from contracts.errors import (
    AnswerNotJson,
    AnswerTooLarge,
    AnswerTruncated,
    OneWindowError,
    PrivilegeMissing,
    RequestRefused,
    SourceRefused,
    SourceThrottled,
    SourceUnreachable,
    TableMissing,
)
from contracts.sources import Source

_CHUNK = 1 << 16
_LONGEST_REST_S = 86_400.0  # a Retry-After beyond a day is a slip
_REST_S = 10.0  # where an API asks for rest and does not say how long


@dataclass(frozen=True, slots=True)
class Answer:
    """What an API said. ``body``: the JSON; ``unchanged``: it is as at the time that the conditions spoke of.

    ``conditions``: headers that ask for this answer again only if it has changed. ``at``: the server's clock, UTC.
    """

    body: Any = None
    unchanged: bool = False
    conditions: Mapping[str, str] = field(default_factory=dict)
    link: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Clocks:
    """``now`` is the wall clock, ``monotonic`` and ``sleep`` measure and wait."""

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Client:
    """One API. Threads share its pace, its login and its connections.

    Raises SettingInvalid for a secret that can't be sent in a header.
    """

    def __init__(self, source: Source, password: str | None, clocks: Clocks) -> None:
        declared = source.connector
        self.system, self._declared, self._clocks = source.system, declared, clocks
        self._base = (declared.url or "").rstrip("/")
        self._limit = declared.answer_limit_mb << 20
        self._credentials = Credentials(source, password, clocks.monotonic)
        self._lock, self._free_at, self._rest_until, self._rest_text = threading.Lock(), 0.0, 0.0, ""
        for name in ("httpx2", "httpcore2"):  # they log whole addresses, and headers
            logging.getLogger(name).setLevel(logging.WARNING)
        self._http = httpx2.Client(
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "onewindow"},
            verify=ssl.create_default_context(),
            trust_env=False,
            timeout=declared.timeout_s,
            # A kept connection that the server closes meanwhile looks like a server that fails; at this pace a new one costs little.
            limits=httpx2.Limits(max_connections=len(source.datasets) + 1, max_keepalive_connections=0),
        )

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    # addresses -------------------------------------------------------------------------------------------------------

    @property
    def host(self) -> str:
        """Scheme, host and port."""
        url = httpx2.URL(self._base)
        return f"{url.scheme}://{url.netloc.decode()}"

    def address(self, path: str) -> str:
        """The address of a declared path."""
        return f"{self._base}/{path.lstrip('/')}"

    def following(self, asked: str, link: str) -> str:
        """Path and query of the next page's address, which may be relative to the one that was asked.

        They are asked of the declared server; what a gateway's inner server calls itself may differ in scheme and port.
        Raises RequestRefused for an address on another host: it would be shown the login.
        """
        try:
            url = httpx2.URL(asked).join(link)
        except (httpx2.InvalidURL, ValueError):
            url = None
        if url is None or url.host != httpx2.URL(self._base).host:
            raise RequestRefused(
                f"{self.system}: the next page of {self.place(asked)} lies on another server"
                + (f" ({self.hidden(url.host)})" if url is not None else "")
                + ", which is not shown the login",
                fix="let the department mend the address; or page by page, offset or token, if the API can",
            )
        return url.raw_path.decode("ascii")

    def place(self, address: str) -> str:
        """The path of an address, for messages."""
        return self.hidden(httpx2.URL(address).path)

    def hidden(self, text: str) -> str:
        """A text without secrets, and masked where it holds an ID number."""
        return masked(self._credentials.hidden(text))

    def holds_secret(self, text: str) -> bool:
        """Whether a text has a secret in it."""
        return self._credentials.hidden(text) != text

    # pace ------------------------------------------------------------------------------------------------------------

    def wait_s(self) -> float:
        """How long it is until the next request may be sent. Raises SourceThrottled while the API wants to be left alone."""
        now = self._clocks.monotonic()
        with self._lock:
            if now < self._rest_until:
                raise SourceThrottled(self._rest_text, fix="nothing to do: it goes on by itself")
            return max(0.0, self._free_at - now)

    def _take_turn(self) -> None:
        """Wait for the next free moment of the declared pace."""
        self.wait_s()
        with self._lock:
            now = self._clocks.monotonic()
            turn = max(now, self._free_at)
            self._free_at = turn + 1 / self._declared.requests_per_s
        if turn > now:
            self._clocks.sleep(turn - now)

    def _rest(self, response: httpx2.Response, where: str) -> SourceThrottled:
        """What to raise when the API asks for rest; all threads heed it."""
        rest_s = min(_rest_s(response.headers.get("retry-after"), self._clocks.now()), _LONGEST_REST_S)
        until = datetime.fromtimestamp(self._clocks.now(), UTC) + timedelta(seconds=rest_s)
        with self._lock:
            self._rest_until = self._clocks.monotonic() + rest_s
            self._rest_text = (
                f"{self.system}: {where} answers {response.status_code} and is not asked again before"
                f" {until.isoformat(timespec='seconds').replace('+00:00', 'Z')}"
            )
        return SourceThrottled(
            self._rest_text,
            fix="nothing to do: it goes on by itself; if it comes often, lower connector.requests_per_s",
        )

    # asking ----------------------------------------------------------------------------------------------------------

    def get(self, address: str, conditions: Mapping[str, str] | None = None) -> Answer:
        """Ask for one address, with a token that is renewed once where it is refused.

        Raises SourceUnreachable, SourceThrottled, SourceRefused, PrivilegeMissing, TableMissing, RequestRefused,
        AnswerNotJson, AnswerTruncated and AnswerTooLarge.
        """
        for last in (False, True):
            used = self._credentials.headers(self._post)
            status, answer = self._send("GET", address, headers={**used, **(conditions or {})})
            if status != 401:
                return answer
            if last or not self._credentials.renewable(used):
                break
        raise SourceRefused(
            f"{self.system}: {self.place(address)} refuses the login (401)",
            fix="correct connector.login, and the secret in connector.password_file",
        )

    def forget_login(self) -> None:
        """Get a new token for the next request: an API may say in an answer of its own that the old one has expired."""
        self._credentials.forget()

    def _post(self, path: str, **content: Any) -> Any:
        """Ask for a token; gives the JSON of the answer."""
        try:
            status, answer = self._send("POST", self.address(path), **content)
        except (RequestRefused, PrivilegeMissing):
            status = 401
        if status == 401:
            raise SourceRefused(
                f"{self.system}: {self.hidden(path)} gives no token for this login",
                fix="correct user and body of connector.login, and the secret in connector.password_file",
            )
        return answer.body

    def _send(self, method: str, address: str, **content: Any) -> tuple[int, Answer]:
        """One request. A 401 is given back; every other trouble is raised."""
        self._take_turn()
        where, begun = self.place(address), False
        deadline = self._clocks.monotonic() + self._declared.timeout_s
        try:
            with self._http.stream(method, address, **content) as response:
                begun = True
                self._judge(response, where)
                body = self._body(response, deadline, where)
        except httpx2.TimeoutException:
            raise self._too_slow(where) from None
        except httpx2.RemoteProtocolError:
            if begun:
                raise AnswerTruncated(
                    f"{self.system}: the answer of {where} ends before all that it announced has come",
                    fix="nothing, if it happens once; else lower connector.page_rows, and ask the department about its"
                    " gateway",
                ) from None
            raise self._unreachable("gives no whole answer in HTTP") from None
        except httpx2.HTTPError as error:
            raise self._failed(error) from None
        return response.status_code, self._answer(response, body, where)

    def _judge(self, response: httpx2.Response, where: str) -> None:
        """Raises the error that a status means; 200, 204, 304 and 401 mean none yet."""
        status = response.status_code
        if status in (200, 204, 304, 401):
            return
        if status in (429, 503):
            raise self._rest(response, where)
        if 300 <= status < 400:
            raise AnswerNotJson(
                f"{self.system}: {where} sends on to {self._target(response)} ({status}) instead of answering",
                fix="if that is a login page, correct connector.login; else write the final address in connector.url",
            )
        raise _refusal(self.system, where, status)

    def _target(self, response: httpx2.Response) -> str:
        """Where a redirection leads, without its query."""
        try:
            url = response.url.join(response.headers.get("location", ""))
        except (httpx2.InvalidURL, ValueError):
            return "an address that is none"
        return self.hidden(f"{url.scheme}://{url.host}{url.path}")

    def _body(self, response: httpx2.Response, deadline: float, where: str) -> bytes:
        """The body, within the limits of time and size."""
        announced, body = response.headers.get("content-length", ""), bytearray()
        if announced.isdecimal() and int(announced) > self._limit:
            raise self._too_large(where)
        for chunk in _unpacked(response, f"{self.system}: the answer of {where}", self._limit):
            body += chunk
            if len(body) > self._limit:
                raise self._too_large(where)
            if self._clocks.monotonic() > deadline:
                raise self._too_slow(where)
        return bytes(body)

    def _answer(self, response: httpx2.Response, body: bytes, where: str) -> Answer:
        headers, status = response.headers, response.status_code
        at = _date(headers.get("date"))
        if status == 401:
            return Answer(at=at)
        if status == 304:
            return Answer(unchanged=True, at=at)
        pairs = (("If-None-Match", headers.get("etag")), ("If-Modified-Since", headers.get("last-modified")))
        link = response.links.get("next", {}).get("url")
        conditions = {name: value for name, value in pairs if value}
        found = None if status == 204 else parsed(body, response.charset_encoding, f"{self.system}: {where}")
        return Answer(found, conditions=conditions, link=link, at=at)

    # trouble ---------------------------------------------------------------------------------------------------------

    def _too_slow(self, where: str) -> SourceUnreachable:
        return SourceUnreachable(
            f"{self.system}: {where} has not answered within {self._declared.timeout_s:g} s",
            fix="nothing, if it happens once; else lower connector.page_rows or raise connector.timeout_s",
        )

    def _too_large(self, where: str) -> AnswerTooLarge:
        return AnswerTooLarge(
            f"{self.system}: the answer of {where} is larger than {self._declared.answer_limit_mb} MB",
            fix="lower connector.page_rows, or raise connector.answer_limit_mb if pages are truly so large",
        )

    def _unreachable(self, why: str) -> SourceUnreachable:
        return SourceUnreachable(
            f"{self.system}: {self.host} {why}",
            fix="check that it runs and that host and port in connector.url are right; it is tried again meanwhile",
        )

    def _failed(self, error: httpx2.HTTPError) -> OneWindowError:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, ssl.SSLCertVerificationError):
                return SourceUnreachable(
                    f"{self.system}: the certificate of {self.host} is not trusted ({cause.verify_message})",
                    fix="let the environment variable SSL_CERT_FILE name a file with the certificates of the city's own"
                    " authority; or correct the host in connector.url",
                )
            if isinstance(cause, ssl.SSLError):
                return SourceUnreachable(
                    f"{self.system}: {self.host} speaks no TLS that is understood here ({cause.reason})",
                    fix="check https or http and the port in connector.url",
                )
            cause = cause.__cause__ or cause.__context__
        return self._unreachable(f"does not answer ({type(error).__name__})")


def _refusal(system: str, where: str, status: int) -> OneWindowError:
    """The error that a status from 400 on means."""
    if status == 403:
        return PrivilegeMissing(
            f"{system}: the login may not read {where} (403)",
            fix="ask the department to allow it for this login, or correct path in the source file",
        )
    if status in (404, 410):
        return TableMissing(
            f"{system}: there is nothing at {where} ({status})",
            fix="correct connector.url, and path of the endpoint, in the source file",
        )
    if 400 <= status < 500 and status != 408:
        return RequestRefused(
            f"{system}: {where} refuses the request as wrong ({status})",
            fix="compare query, paging and since of the endpoint with the API's documentation",
        )
    return SourceUnreachable(
        f"{system}: {where} fails by itself ({status})",
        fix="ask the department if it stays; it is tried again meanwhile",
    )


def _unpacked(response: httpx2.Response, what: str, limit: int) -> Iterator[bytes]:
    """The bytes as they were before gzip, never more at once than the limit and one. Raises AnswerNotJson, AnswerTruncated."""
    kind = response.headers.get("content-encoding", "identity").lower()
    if kind == "identity" or response.status_code != 200:
        yield from response.iter_raw(_CHUNK)
        return
    if kind != "gzip":
        raise AnswerNotJson(
            f"{what} is packed as {kind[:20]!r}, although it was asked for unpacked",
            fix="let the department switch off the compression of this API",
        )
    unpack = zlib.decompressobj(wbits=31)
    try:
        for chunk in response.iter_raw(_CHUNK):
            yield unpack.decompress(chunk, limit + 1)
    except zlib.error:
        raise _cut(f"{what} is packed with gzip, and can't be unpacked") from None
    if not unpack.eof:
        raise _cut(f"{what} is packed with gzip, and ends too early")


def _cut(finding: str) -> AnswerTruncated:
    return AnswerTruncated(finding, fix="nothing, if it happens once; else ask the department about its gateway")


def _rest_s(text: str | None, now: float) -> float:
    """Seconds of a Retry-After: a number, or a date (RFC 9110, 10.2.3)."""
    if text is None:
        return _REST_S
    if text.strip().isdecimal():
        return float(text)
    at = _date(text)
    return max(0.0, at.timestamp() - now) if at is not None else _REST_S


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except (ValueError, OverflowError):
        return None
