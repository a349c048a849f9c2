"""Checks names, passwords and codes, and slows guessing down."""

import asyncio
import math
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Final

from aiohttp import web
from loguru import logger

from bot.access import User
from bot.dashboard.passwords import Hasher
from bot.dashboard.second_factor import Vault, code_matches, recovery_digest, step_of
from bot.dashboard.sessions import digest
from bot.errors import DataError
from bot.interfaces import Clock, UserStore

FREE_TRIES: Final = 3
_FREE_OF_ADDRESS: Final = 10  # several people may come from one address
_FIRST_DELAY_S: Final = 2.0
_LONGEST_DELAY_S: Final = 60.0  # so that a stranger can slow the owner down, but never shut him out
_FORGOTTEN_AFTER: Final = timedelta(days=1)
_MOST_WAITING: Final = 20  # of strangers; whoever is known here is never sent away
_BUSY_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAnswer:
    """Who was let in; None if nobody, and if nothing was tried then, how long to wait."""

    user: User | None = None
    wait_s: float = 0.0


class LoginDesk:
    """Decides about one login at a time. From the fourth failure on a name waits: 2 s, then twice as long each time.

    Failures are counted by name and by address, in the database, so that a restart forgives nothing. A browser that has
    logged in before as that person is counted by itself: whatever strangers do, it is not delayed by them. An unknown
    name takes the same time, the same delays and the same answer as a wrong password. Tries during a delay are not
    looked at and do not lengthen it.
    """

    def __init__(self, *, users: UserStore, hasher: Hasher, vault: Vault, clock: Clock) -> None:
        self._users = users
        self._hasher = hasher
        self._vault = vault
        self._clock = clock
        self._one_at_a_time = asyncio.Lock()
        self._waiting = 0

    async def check(
        self, name: str, password: str, code: str = "", *, address: str = "", browser: str = ""
    ) -> LoginAnswer:
        """Try one login; `browser` is the mark that it was given before. Raises DatabaseUnavailable."""
        name = name.strip().lower()
        keys = self._keys(name, address, browser)
        if self._waiting >= _MOST_WAITING and not _is_known(keys):
            return LoginAnswer(wait_s=_BUSY_S)
        self._waiting += 1
        try:
            async with self._one_at_a_time:
                return await self._decided(keys, name, password, code)
        finally:
            self._waiting -= 1

    async def _decided(self, keys: Collection[str], name: str, password: str, code: str) -> LoginAnswer:
        wait_s = await self._wait_s(keys)
        if wait_s > 0:
            return LoginAnswer(wait_s=wait_s)
        user = await self._users.get(name)
        matches = await self._hasher.matches(user.password_hash if user else None, password)
        if user is None or not matches or not user.is_enabled or not await self._has_code(user, code):
            await self._remember(keys)
            return LoginAnswer()
        await self._users.forgive(keys)
        await self._rehash(user, password)
        return LoginAnswer(user=user)

    def mark_of(self, name: str) -> str:
        """A mark for a browser that has just logged in as `name`."""
        nonce = secrets.token_hex(16)
        return f"{nonce}.{self._vault.mark(f'{nonce} {name}')}"

    def _keys(self, name: str, address: str, browser: str) -> Collection[str]:
        nonce, _, mark = browser.partition(".")
        given = mark.encode("utf-8", "surrogatepass")
        if secrets.compare_digest(given, self._vault.mark(f"{nonce} {name}").encode()):
            return (f"browser {digest(nonce).hex()}",)
        account = f"account {digest(name).hex()}"  # hashed: people type passwords into the wrong field
        return (account, f"address {_network_of(address)}") if address else (account,)

    async def _wait_s(self, keys: Collection[str]) -> float:
        now, found = self._clock.now(), await self._users.failures(keys)
        waits = [(each.at - now).total_seconds() + delay_s(each.count, free=_free(key)) for key, each in found.items()]
        return max(0.0, *waits) if waits else 0.0

    async def _remember(self, keys: Collection[str]) -> None:
        now = self._clock.now()
        for each in keys:
            await self._users.fail(each, at=now, forget_before=now - _FORGOTTEN_AFTER)

    async def _has_code(self, user: User, code: str) -> bool:
        """Whether `code` is right, and nobody has used it; whoever has no second factor needs none."""
        if user.sealed_seed is None:
            return True
        now = self._clock.now()
        try:
            seed = self._vault.open(user.name, user.sealed_seed)
        except DataError as error:
            logger.error("dashboard: {}", error)
        else:
            if code_matches(seed, code, now):
                return await self._users.take_step(user.name, step_of(now))
        return await self._users.take_recovery_code(user.name, recovery_digest(code), at=now)

    async def _rehash(self, user: User, password: str) -> None:
        if self._hasher.is_old(user.password_hash):
            fresh = await self._hasher.hash_of(password)
            await self._users.rehash(user.name, was=user.password_hash, password_hash=fresh)


def delay_s(failures: int, *, free: int = FREE_TRIES) -> float:
    """How long to wait after that many failures in a row."""
    if failures < free:
        return 0.0
    return min(_FIRST_DELAY_S * 2.0 ** min(failures - free, 10), _LONGEST_DELAY_S)


def wait_words(wait_s: float) -> str:
    """What a person is told who has to wait."""
    return f"Too many wrong tries. Wait {math.ceil(wait_s)} s, then try again."


def _network_of(address: str) -> str:
    """Whoever has one IPv6 address has the other 2 to the power of 64 of its network, too."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    return str(ip_network((found, 64), strict=False)) if found.version == 6 else address


def _is_known(keys: Collection[str]) -> bool:
    return any(each.startswith("browser ") for each in keys)


def _free(key: str) -> int:
    return _FREE_OF_ADDRESS if key.startswith("address ") else FREE_TRIES


LOGIN_DESK: Final = web.AppKey("login_desk", LoginDesk)
