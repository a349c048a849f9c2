"""API tokens: `tb_<id>_<secret>`. The secret is shown once and kept as a hash."""

import secrets
from collections import OrderedDict
from collections.abc import Collection
from contextlib import suppress
from datetime import timedelta
from typing import Final

from aiohttp import web

from bot.access import ApiToken, Principal, Scope, User
from bot.dashboard.patience import soon
from bot.dashboard.sessions import digest
from bot.errors import DatabaseUnavailable, UsageError
from bot.interfaces import Clock, TokenStore, UserStore

DEFAULT_DAYS: Final = 90
MOST_DAYS: Final = 365
LONGEST_LABEL: Final = 64
_PREFIX: Final = "tb"
_SECRET_BYTES: Final = 32
_TOUCH_EVERY: Final = timedelta(minutes=1)
_REMEMBERED: Final = 1_000


class TokenDesk:
    """Makes tokens and recognises them. Each request asks the database, so that a revocation holds at once.

    While the database is silent, what it said last holds, so that a program can press the kill switch.
    """

    def __init__(self, tokens: TokenStore, users: UserStore, clock: Clock) -> None:
        self._tokens = tokens
        self._users = users
        self._clock = clock
        self._known: OrderedDict[str, tuple[ApiToken, User]] = OrderedDict()

    async def create(self, user: User, *, label: str, scopes: Collection[Scope], days: int) -> tuple[ApiToken, str]:
        """A new token, and the text that is shown once. Raises UsageError."""
        _check(user, label, scopes, days)
        secret, now = secrets.token_urlsafe(_SECRET_BYTES), self._clock.now()
        token = ApiToken(
            id=secrets.token_hex(5),
            digest=digest(secret),
            user=user.name,
            label=label,
            scopes=frozenset(scopes),
            created_at=now,
            expires_at=now + timedelta(days=days),
        )
        await self._tokens.add(token)
        return token, f"{_PREFIX}_{token.id}_{secret}"

    async def recognise(self, text: str) -> Principal | None:
        """Who stands behind `text`, if it is a token that holds: with its scopes that its user still has."""
        prefix, _, rest = text.partition("_")
        token_id, _, secret = rest.partition("_")
        if prefix != _PREFIX or not secret:
            return None
        token, user = await self._look(token_id)
        known = token.digest if token else digest("")
        if not secrets.compare_digest(digest(secret), known) or token is None or user is None:
            return None
        now = self._clock.now()
        if not token.holds(now) or not user.is_enabled:
            return None
        await self._touch(token)
        scopes = token.scopes & user.role.scopes
        return Principal(name=user.name, scopes=scopes, is_token=True, how=f"token {token.id}")

    async def _look(self, token_id: str) -> tuple[ApiToken | None, User | None]:
        try:
            token = await soon(self._tokens.get(token_id))
            user = None if token is None else await soon(self._users.get(token.user))
        except DatabaseUnavailable:
            return self._known.get(token_id, (None, None))
        self._known.pop(token_id, None)
        if token is not None and user is not None:
            self._known[token_id] = (token, user)
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
        return token, user

    async def _touch(self, token: ApiToken) -> None:
        now = self._clock.now()
        if token.used_at is not None and now - token.used_at < _TOUCH_EVERY:
            return
        with suppress(DatabaseUnavailable):  # when it was used last is for looking only
            await soon(self._tokens.touch(token.id, now))


def _check(user: User, label: str, scopes: Collection[Scope], days: int) -> None:
    if not label or len(label) > LONGEST_LABEL:
        raise UsageError(f"a token needs a name of 1 to {LONGEST_LABEL} characters that says what it is for")
    if not scopes:
        raise UsageError(f"token {label!r} has no scope; give it at least one of {', '.join(Scope)}")
    beyond = sorted(set(scopes) - user.role.scopes)
    if beyond:
        raise UsageError(
            f"token {label!r} cannot have {', '.join(beyond)}: {user.name} is a {user.role.value} and has "
            f"{', '.join(sorted(user.role.scopes))}; choose among these"
        )
    if not 1 <= days <= MOST_DAYS:
        raise UsageError(f"token {label!r} cannot last {days} days; choose 1 to {MOST_DAYS}")


TOKEN_DESK: Final = web.AppKey("token_desk", TokenDesk)
