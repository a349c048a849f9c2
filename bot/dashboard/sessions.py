"""Who is logged in. Kept in memory: a restart logs everyone out."""

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final

from aiohttp import web

from bot.interfaces import Clock

IDLE_S: Final = 30 * 60.0
ABSOLUTE_S: Final = 12 * 3600.0
ONE_TIME_LOGIN_S: Final = 15 * 60.0
_MAX_SESSIONS: Final = 100
_TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser that logged in. Seconds are the clock's monotonic ones."""

    user: str
    csrf_token: str
    opened_s: float
    used_s: float


class Sessions:
    """Open sessions by the hash of their token: what leaks from memory opens nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._by_digest: OrderedDict[bytes, Session] = OrderedDict()

    def open(self, user: str) -> str:
        """Begin a session and return its token. The longest unused one ends if there are too many."""
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), self._clock.monotonic()
        csrf_token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._by_digest[digest(token)] = Session(user=user, csrf_token=csrf_token, opened_s=now, used_s=now)
        while len(self._by_digest) > _MAX_SESSIONS:
            self._by_digest.popitem(last=False)
        return token

    def use(self, token: str) -> Session | None:
        """The session of `token`, which counts as used now; None if there is none or it has run out."""
        if not self.is_alive(token):
            return None
        key = digest(token)
        session = self._by_digest[key] = replace(self._by_digest[key], used_s=self._clock.monotonic())
        self._by_digest.move_to_end(key)
        return session

    def is_alive(self, token: str) -> bool:
        """Whether the session of `token` still holds; asking is not using. One that has run out is forgotten."""
        session = self._by_digest.get(digest(token))
        if session is None:
            return False
        now = self._clock.monotonic()
        if now - session.used_s < IDLE_S and now - session.opened_s < ABSOLUTE_S:
            return True
        self.close(token)
        return False

    def close(self, token: str) -> None:
        """End the session of `token`, if there is one."""
        self._by_digest.pop(digest(token), None)


class OneTimeLogin:
    """A link that logs in once: whoever started the daemon sees it on the terminal."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._digest: bytes | None = None
        self._issued_s = 0.0

    def issue(self) -> str:
        """A new token, good for 15 minutes and one use; an older one is no longer accepted."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._digest, self._issued_s = digest(token), self._clock.monotonic()
        return token

    def redeem(self, token: str) -> bool:
        """Whether `token` is the one issued; True once at most."""
        if self._digest is None or not secrets.compare_digest(digest(token), self._digest):
            return False
        self._digest = None
        return self._clock.monotonic() - self._issued_s < ONE_TIME_LOGIN_S


def digest(token: str) -> bytes:
    """What is kept of a token. It is random in all its bits, so one fast hash is enough."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def cookie_name(request: web.Request, purpose: str) -> str:
    """Name of a cookie. Browsers share cookies over all ports of a host, so two daemons must not use the same name."""
    if request.secure:
        return f"__Host-bot-{purpose}"
    address = request.get_extra_info("sockname")
    return f"bot-{purpose}-{address[1] if isinstance(address, tuple) else 0}"


def set_cookie(request: web.Request, response: web.StreamResponse, purpose: str, value: str) -> None:
    """Put a cookie that scripts cannot read and other sites cannot send; it ends with the browser."""
    response.set_cookie(
        cookie_name(request, purpose), value, path="/", httponly=True, samesite="Strict", secure=request.secure
    )


def drop_cookie(request: web.Request, response: web.StreamResponse, purpose: str) -> None:
    """Tell the browser to forget a cookie."""
    response.del_cookie(
        cookie_name(request, purpose), path="/", httponly=True, samesite="Strict", secure=request.secure
    )


SESSIONS: Final = web.AppKey("sessions", Sessions)
SESSION: Final = web.RequestKey("session", Session)  # there only if someone is logged in
