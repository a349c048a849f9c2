"""Passwords: how one is kept, checked, and how guessing is slowed down."""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from secrets import compare_digest
from typing import Final

import argon2
from aiohttp import web

from bot.config import Settings
from bot.dashboard.sessions import digest
from bot.errors import ConfigError
from bot.interfaces import Clock

PASSWORD_FILE: Final = "dashboard-password"  # noqa: S105 - a name of a file
MAX_PASSWORD_LENGTH: Final = 1_024
_HASHER: Final = argon2.PasswordHasher()  # argon2id, 3 passes over 64 MiB, 4 lanes: above the minimum of S3
_FREE_TRIES: Final = 3
_FIRST_DELAY_S: Final = 2.0
_LONGEST_DELAY_S: Final = 60.0  # so that a stranger can slow the owner down, but never shut him out
_ACCOUNTS_REMEMBERED: Final = 1_000


def password_hash_of(password: str) -> str:
    """The argon2id hash to keep instead of `password`. Takes about 50 ms and 64 MiB: call it in a worker thread."""
    return _HASHER.hash(password)


def password_matches(password_hash: str, password: str) -> bool:
    """Whether `password` is the one that was hashed. As slow and as large as hashing."""
    if len(password) > MAX_PASSWORD_LENGTH:
        return False
    try:
        return _HASHER.verify(password_hash, password.encode("utf-8", "surrogatepass"))
    except argon2.exceptions.VerifyMismatchError:
        return False


def known_password(settings: Settings, data_directory: Path) -> str:
    """The password of the page: the setting, or the one that was made and kept; empty before the first start."""
    given = settings.dashboard.dashboard_password
    path = data_directory / PASSWORD_FILE
    if given or not path.exists():
        return given
    return path.read_text(encoding="utf-8").strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginAnswer:
    """Whether the login is accepted, and if nothing was tried, how long to wait."""

    accepted: bool
    wait_s: float = 0.0


class LoginDesk:
    """Checks the one account there is. From the fourth failure on an account waits: 2 s, then twice as long each time.

    An unknown name takes the same time, the same delays and the same answer as a wrong password. Tries during a delay
    are not looked at and do not lengthen it.
    """

    def __init__(self, *, user: str, password_hash: str, clock: Clock) -> None:
        """Raises ConfigError if `password_hash` is not one."""
        try:
            argon2.extract_parameters(password_hash)
        except argon2.exceptions.InvalidHashError:
            raise ConfigError(
                f"the password of dashboard user {user!r} is not an argon2 hash; make one with password_hash_of()"
            ) from None
        self._user = user
        self._password_hash = password_hash
        self._clock = clock
        self._failures: OrderedDict[bytes, tuple[int, float]] = OrderedDict()
        self._one_at_a_time = asyncio.Lock()  # also bounds the memory that hashing takes

    async def check(self, user: str, password: str) -> LoginAnswer:
        """Try one login."""
        async with self._one_at_a_time:
            account = digest(user)
            wait_s = self._wait_s(account)
            if wait_s > 0:
                return LoginAnswer(accepted=False, wait_s=wait_s)
            matches = await asyncio.to_thread(password_matches, self._password_hash, password)
            accepted = compare_digest(account, digest(self._user)) and matches
            self._remember(account, accepted)
            return LoginAnswer(accepted=accepted)

    def _wait_s(self, account: bytes) -> float:
        failures, failed_s = self._failures.get(account, (0, 0.0))
        if failures < _FREE_TRIES:
            return 0.0
        doublings = min(failures - _FREE_TRIES, 10)
        delay_s = min(_FIRST_DELAY_S * 2.0**doublings, _LONGEST_DELAY_S)
        return failed_s + delay_s - self._clock.monotonic()

    def _remember(self, account: bytes, accepted: bool) -> None:
        if accepted:
            self._failures.pop(account, None)
            return
        failures, _ = self._failures.pop(account, (0, 0.0))
        self._failures[account] = (failures + 1, self._clock.monotonic())
        if len(self._failures) > _ACCOUNTS_REMEMBERED:
            self._failures.popitem(last=False)


LOGIN_DESK: Final = web.AppKey("login_desk", LoginDesk)
