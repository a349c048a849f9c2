"""Who is logged in. Sessions are stored, so that a restart keeps people logged in; by their hash, so that who reads the
database gets in nowhere."""

import base64
import hashlib
import hmac
import secrets
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from aiohttp import web

from bot.access import Principal, Role, StoredSession, User
from bot.dashboard.patience import soon
from bot.errors import DatabaseUnavailable
from bot.interfaces import Clock, SessionStore, UserStore

IDLE_S: Final = 30 * 60.0
ABSOLUTE_S: Final = 12 * 3600.0
STEP_UP_S: Final = 5 * 60.0
ONE_TIME_LOGIN_S: Final = 15 * 60.0
_TOUCH_EVERY_S: Final = 60.0  # use is written down that often; in between it is known here
_REMEMBERED: Final = 1_000
_TOKEN_BYTES: Final = 32


class Owed(StrEnum):
    """What a person has to do before anything else is open."""

    PASSWORD = "password"  # noqa: S105 - the one they have was for the first login only
    SECOND_FACTOR = "second factor"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One browser that logged in, with what its person may do at this moment."""

    id: str
    user: str
    role: Role
    csrf_token: str
    opened_at: datetime
    used_at: datetime
    stepped_up_at: datetime | None
    owes: Owed | None

    def is_elevated(self, now: datetime) -> bool:
        """Whether password and code were given within the last minutes (S15)."""
        return self.stepped_up_at is not None and now - self.stepped_up_at < timedelta(seconds=STEP_UP_S)

    @property
    def principal(self) -> Principal:
        """Who this is, for the routes and the audit."""
        return Principal(name=self.user, scopes=self.role.scopes, how="session")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """A session as the database said last, and when it was used since then."""

    stored: StoredSession
    user: User
    used_at: datetime


class Sessions:
    """Open sessions. Each request asks the database, so that an end holds at once, whoever ended it.

    While the database is silent, what it said last holds: who is logged in can press the kill switch.
    """

    def __init__(
        self, sessions: SessionStore, users: UserStore, clock: Clock, *, second_factor_required: bool = False
    ) -> None:
        self._sessions = sessions
        self._users = users
        self._clock = clock
        self._second_factor_required = second_factor_required
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._is_silent = False  # the database, when it was asked last

    async def open(
        self, user: str, *, proven: bool = False, address: str = "", agent: str = "", instead_of: str = ""
    ) -> str:
        """Begin a session, end the one it takes the place of, and return its token.

        `proven`: by password and code just now. Raises NotFound for an unknown person, DatabaseUnavailable.
        """
        token, now = secrets.token_urlsafe(_TOKEN_BYTES), self._clock.now()
        session = StoredSession(
            digest=digest(token),
            id=secrets.token_hex(8),
            user=user,
            opened_at=now,
            used_at=now,
            stepped_up_at=now if proven else None,
            address=address,
            agent=agent,
        )
        before = digest(instead_of) if instead_of else None
        await self._sessions.open(session, instead_of=before)
        if before is not None:
            self._known.pop(before, None)
        await self._sessions.purge(
            opened_before=now - timedelta(seconds=ABSOLUTE_S),
            used_before=now - timedelta(seconds=IDLE_S + _TOUCH_EVERY_S),
        )
        return token

    async def elevate(self, token: str) -> str:
        """The same session with a new token: password and code were given just now. It does not last longer."""
        stored, now = await self._sessions.get(digest(token)), self._clock.now()
        fresh = secrets.token_urlsafe(_TOKEN_BYTES)
        if stored is not None:
            raised = replace(stored, digest=digest(fresh), id=secrets.token_hex(8), used_at=now, stepped_up_at=now)
            await self._sessions.open(raised, instead_of=stored.digest)
            self._known.pop(stored.digest, None)
        return fresh

    async def use(self, token: str) -> Session | None:
        """The session of `token`, which counts as used now; None if there is none or it has run out.

        Raises DatabaseUnavailable if that is silent and never said anything of it.
        """
        session = await self.look(token)
        if session is None:
            return None
        key, now = digest(token), self._clock.now()
        known = self._known[key] = replace(self._known[key], used_at=now)
        if not self._is_silent and (now - known.stored.used_at).total_seconds() >= _TOUCH_EVERY_S:
            await self._touch(key, now)
        return session

    async def look(self, token: str) -> Session | None:
        """The session of `token`, if it holds; looking is not using.

        Raises DatabaseUnavailable if that is silent and never said anything of it.
        """
        key = digest(token)
        found = await self._asked(key)
        now = self._clock.now()
        if found is None or not found.user.is_enabled or _has_run_out(found, now):
            self._known.pop(key, None)
            return None
        self._remember(key, found)
        return self._session(token, found)

    async def close(self, token: str) -> None:
        """End the session of `token`, if there is one; here at once, also where the database is silent."""
        key = digest(token)
        self._known.pop(key, None)
        await soon(self._sessions.close(key))

    async def _asked(self, key: bytes) -> _Known | None:
        """What the database says of it; if that is silent, what it said last."""
        known = self._known.get(key)
        try:
            stored = await soon(self._sessions.get(key))
            user = None if stored is None else await soon(self._users.get(stored.user))
        except DatabaseUnavailable:
            self._is_silent = True
            if known is None:
                raise  # nobody knows whose this is, which does not make it nobody's
            return known
        self._is_silent = False
        if stored is None or user is None:
            return None
        used_at = stored.used_at if known is None else max(stored.used_at, known.used_at)
        return _Known(stored=stored, user=user, used_at=used_at)

    def _remember(self, key: bytes, known: _Known) -> None:
        self._known[key] = known
        self._known.move_to_end(key)
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    async def _touch(self, key: bytes, now: datetime) -> None:
        with suppress(DatabaseUnavailable):  # it is known here
            await soon(self._sessions.touch(key, now))

    def _session(self, token: str, known: _Known) -> Session:
        stored, user = known.stored, known.user
        return Session(
            id=stored.id,
            user=user.name,
            role=user.role,
            csrf_token=csrf_token_of(token),
            opened_at=stored.opened_at,
            used_at=known.used_at,
            stepped_up_at=stored.stepped_up_at,
            owes=self._owed(stored, user),
        )

    def _owed(self, stored: StoredSession, user: User) -> Owed | None:
        if user.must_change and stored.stepped_up_at is not None:  # the printed link opens the page at once
            return Owed.PASSWORD
        if self._second_factor_required and user.role is not Role.VIEWER and not user.has_second_factor:
            return Owed.SECOND_FACTOR
        return None


def _has_run_out(known: _Known, now: datetime) -> bool:
    idle, age = now - known.used_at, now - known.stored.opened_at
    return idle >= timedelta(seconds=IDLE_S) or age >= timedelta(seconds=ABSOLUTE_S)


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


def csrf_token_of(token: str) -> str:
    """What the forms of a session carry: follows from its token, so that it need not be kept; never the other way."""
    key = token.encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(hmac.digest(key, b"form", "sha256")).decode().rstrip("=")


SESSIONS: Final = web.AppKey("sessions", Sessions)
SESSION: Final = web.RequestKey("session", Session)  # there only if someone is logged in
