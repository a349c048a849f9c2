"""People: adding one, roles, passwords, second factors. The page and the command line do it by the same code."""

import re
import secrets
from typing import Final

from aiohttp import web

from bot.access import Role, User
from bot.dashboard.password_rules import password_fault
from bot.dashboard.passwords import Hasher
from bot.errors import NotFound, UsageError
from bot.interfaces import Clock, Stores

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}")
_ONE_TIME_BYTES: Final = 12
_MOST_TOKENS: Final = 10_000


class PeopleDesk:
    """Changes people. Every method raises UsageError for what must not be, NotFound for who is not there."""

    def __init__(self, *, stores: Stores, hasher: Hasher, clock: Clock) -> None:
        self._stores = stores
        self._hasher = hasher
        self._clock = clock

    async def get(self, name: str) -> User:
        """One person."""
        user = await self._stores.users.get(name.strip().lower())
        if user is None:
            raise NotFound(f"there is no user {name!r}; ./botctl users lists all")
        return user

    async def add(self, name: str, role: Role, password: str = "", *, seeded_by: str = "") -> tuple[User, str]:
        """A new person. Without a password one is made for the first login; it is given back, and kept nowhere."""
        plain = checked_name(name)
        made = "" if password else one_time_password()
        if password:
            _check(password, plain)
        now = self._clock.now()
        user = User(
            name=plain,
            role=role,
            password_hash=await self._hasher.hash_of(password or made),
            must_change=bool(made),
            created_at=now,
            password_at=now,
            seeded_by=seeded_by,
        )
        if not await self._stores.users.add(user):
            raise UsageError(f"the name {plain!r} is taken; choose another one")
        return user, made

    async def set_role(self, name: str, role: Role) -> None:
        """What that person may do from now on, in open sessions and with tokens too."""
        user = await self.get(name)
        if role is not Role.ADMIN:
            await self._keep_an_admin(user)
        await self._stores.users.set_role(user.name, role)

    async def set_enabled(self, name: str, enabled: bool) -> None:
        """Let in again, or shut out at once: sessions end, tokens open nothing."""
        user = await self.get(name)
        if enabled:
            await self._stores.users.set_disabled(user.name, None)
            return
        await self._keep_an_admin(user)
        await self._stores.users.set_disabled(user.name, self._clock.now())
        await self._stores.sessions.close_all(user.name)

    async def set_password(self, name: str, password: str, *, keeps: bytes | None = None) -> None:
        """A password that the person chose. Every other session of it ends; `keeps` is the digest of this one."""
        user = await self.get(name)
        _check(password, user.name)
        if await self._hasher.matches(user.password_hash, password):
            raise UsageError("That is the password that you have. Take another one.")
        await self._store_password(user, password, must_change=False)
        await self._stores.sessions.close_all(user.name, but=keeps)

    async def end_sessions(self, name: str, *, keeps: bytes | None = None, only_id: str = "") -> int:
        """Log that person out everywhere, but for the session with the digest `keeps`; or only the one with that id."""
        return await self._stores.sessions.close_all(name, but=keeps, only_id=only_id)

    async def reset(self, name: str) -> str:
        """A password for the next login, given back and kept nowhere; sessions, tokens and the second factor end."""
        user, made = await self.get(name), one_time_password()
        await self._store_password(user, made, must_change=True)
        await self._stores.users.set_second_factor(user.name, None, ())
        await self._stores.sessions.close_all(user.name)
        await self._revoke_tokens(user)
        return made

    async def remove_second_factor(self, name: str) -> None:
        """From now on the password alone is asked for."""
        user = await self.get(name)
        await self._stores.users.set_second_factor(user.name, None, ())

    async def _revoke_tokens(self, user: User) -> None:
        now = self._clock.now()
        for each in await self._stores.tokens.recent(_MOST_TOKENS, user=user.name):
            await self._stores.tokens.revoke(each.id, now)

    async def _store_password(self, user: User, password: str, *, must_change: bool) -> None:
        await self._stores.users.set_password(
            user.name,
            await self._hasher.hash_of(password),
            at=self._clock.now(),
            must_change=must_change,
            seeded_by=user.seeded_by,
        )

    async def _keep_an_admin(self, user: User) -> None:
        """Somebody has to be left who can undo it."""
        others = [each for each in await self._stores.users.all() if each.name != user.name]
        if user.role is Role.ADMIN and not any(each.role is Role.ADMIN and each.is_enabled for each in others):
            raise UsageError(f"{user.name} is the only admin who is not disabled; make somebody else an admin first")


def checked_name(name: str) -> str:
    """The name as it is kept. Raises UsageError."""
    plain = name.strip().lower()
    if not _NAME.fullmatch(plain):
        raise UsageError(
            f"{name[:80]!r} cannot be a name: 1 to 64 of the letters a to z, digits and . _ @ + -, beginning with a "
            "letter or digit; choose another one"
        )
    return plain


def one_time_password() -> str:
    """96 random bits."""
    return secrets.token_urlsafe(_ONE_TIME_BYTES)


def _check(password: str, name: str) -> None:
    fault = password_fault(password, name=name)
    if fault:
        raise UsageError(fault)


PEOPLE: Final = web.AppKey("people", PeopleDesk)
