"""The login of an API: what is sent in a header, from where it comes, and how to keep it out of every text."""

from __future__ import annotations

import base64
import re
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus

from connectors._rest_answers import MISSING, dig
from contracts.errors import AnswerShapeWrong, SettingInvalid
from contracts.sources import Login, Source

_HEADER = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
_EARLY = 0.1  # the share of a token's life before whose end it is renewed; half a minute at most
Post = Callable[..., Any]


class Credentials:
    """What a source file declares as ``login``, with its secret. Threads share a token.

    Raises SettingInvalid when the secret is missing, or can't be sent in a header.
    """

    def __init__(self, source: Source, secret: str | None, monotonic: Callable[[], float]) -> None:
        self._login, self._system, self._monotonic = source.connector.login, source.system, monotonic
        self._secret, self._lock = secret or "", threading.Lock()
        self._token, self._until, self._given = "", 0.0, deque[str](maxlen=8)
        if self._login is not None:
            self._check(self._login)

    def _check(self, login: Login) -> None:
        if self._secret and (login.by != "header" or _HEADER.fullmatch(login.before + self._secret)):
            return
        flaw = "has characters that can't be sent in a header" if self._secret else "is empty"
        raise SettingInvalid(
            f"{self._system}: the secret in connector.password_file {flaw}",
            fix="write the secret alone into the file, on one line",
        )

    @property
    def _basic(self) -> str:
        user = self._login.user if self._login is not None else ""
        return base64.b64encode(f"{user}:{self._secret}".encode()).decode()

    def headers(self, post: Post) -> Mapping[str, str]:
        """The headers that show who asks. ``post`` asks a path for a token, where one is needed."""
        login = self._login
        if login is None:
            return {}
        if login.by == "basic":
            return {"Authorization": f"Basic {self._basic}"}
        if login.by == "header":
            return {login.header: login.before + self._secret}
        with self._lock:
            if not self._token or self._monotonic() >= self._until:
                self._renew(login, post)
            return {login.header: login.before + self._token}

    def renewable(self, refused: Mapping[str, str]) -> bool:
        """Whether a new token may fare better than these headers, which were refused."""
        login = self._login
        if login is None or login.by != "token":
            return False
        with self._lock:
            if refused.get(login.header) == login.before + self._token:  # else another thread has renewed it meanwhile
                self._token = ""
        return True

    def forget(self) -> None:
        """Get a new token for the next request."""
        with self._lock:
            self._token = ""

    def _renew(self, login: Login, post: Post) -> None:
        fill = {"{user}": login.user or "", "{password}": self._secret}
        body = {name: _filled(text, fill) for name, text in login.body.items()}
        found = post(login.path, **({"json": body} if login.encoded == "json" else {"data": body}))
        token = dig(found, login.token)
        if not isinstance(token, str) or not _HEADER.fullmatch(token):
            raise AnswerShapeWrong(
                f"{self._system}: the answer of {login.path} holds no token at {login.token}",
                fix="correct connector.login.token; if the answer is an error, correct connector.login and the secret",
            )
        lasts = dig(found, login.expires)
        try:
            lasts_s = float("inf") if lasts is MISSING or lasts is None else float(lasts)
        except (TypeError, ValueError):
            lasts_s = float("inf")
        self._given.append(token)
        self._token, self._until = token, self._monotonic() + lasts_s - min(30.0, lasts_s * _EARLY)

    def hidden(self, text: str) -> str:
        """A text without secrets, as they are or as they would be written in an address."""
        basic = [self._basic] if self._login is not None and self._login.by == "basic" else []
        secrets = [self._secret, *basic, *self._given]
        forms = {form for secret in secrets if secret for form in (secret, quote(secret, safe=""), quote_plus(secret))}
        for form in sorted(forms, key=len, reverse=True):
            pattern = re.escape(form) if len(form) > 3 else rf"(?<!\w){re.escape(form)}(?!\w)"
            text = re.sub(pattern, "***", text)
        return text


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\{user\}|\{password\}", lambda found: values[found[0]], text)
