"""Passwords: how one is kept and checked, off the event loop and a few at a time."""

import asyncio
from typing import Final

import argon2

from bot.errors import ConfigError

MAX_PASSWORD_LENGTH: Final = 1_024
_ARGON2: Final = argon2.PasswordHasher()  # argon2id, 3 passes over 64 MiB, 4 lanes: above the minimum of S3
_AT_ONCE: Final = 2  # 64 MiB each
# Of a password that nobody knows: an unknown name must take as long as a wrong password (S7).
_NOBODY: Final = "$argon2id$v=19$m=65536,t=3,p=4$NHkG9jHCQhIzwGpRDsU7oA$U9jbVpxohHL1gCoJIT/7jGuP+NlAJ5Feoz3xYhi6lEg"


class Hasher:
    """Hashes and checks in worker threads; at most two at once, because each takes 64 MiB."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def hash_of(self, password: str) -> str:
        """The argon2id hash to keep instead of `password`."""
        async with self._turns:
            return await asyncio.to_thread(password_hash_of, password)

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether `password` is the one that was hashed. None, for a person who is not there, takes as long."""
        async with self._turns:
            right = await asyncio.to_thread(password_matches, password_hash or _NOBODY, password)
        return right and password_hash is not None

    @staticmethod
    def is_old(password_hash: str) -> bool:
        """Whether it was made with weaker parameters than those of today."""
        return _ARGON2.check_needs_rehash(password_hash)


def password_hash_of(password: str) -> str:
    """The argon2id hash of `password`. Takes about 50 ms and 64 MiB: call it in a worker thread."""
    return _ARGON2.hash(password.encode("utf-8", "surrogatepass"))


def password_matches(password_hash: str, password: str) -> bool:
    """Whether `password` is the one that was hashed. As slow and as large as hashing."""
    if len(password) > MAX_PASSWORD_LENGTH:
        password = ""  # takes as long, and matches nothing
    try:
        return _ARGON2.verify(password_hash, password.encode("utf-8", "surrogatepass"))
    except (argon2.exceptions.VerifyMismatchError, argon2.exceptions.InvalidHashError):
        return False


def check_hash(setting: str, password_hash: str) -> None:
    """Raises ConfigError unless `password_hash` is argon2id, and as strong as S3 asks."""
    try:
        found = argon2.extract_parameters(password_hash)
    except argon2.exceptions.InvalidHashError:
        raise ConfigError(
            f"{setting} is not an argon2 hash; give the password itself, or make one: ./botctl users hash"
        ) from None
    if found.type is not argon2.Type.ID or found.time_cost < 2 or found.memory_cost < 19 * 1024:
        raise ConfigError(
            f"{setting} is {found.type.name} with {found.time_cost} passes over {found.memory_cost} KiB; needs "
            "argon2id with at least 2 over 19456; make a new one: ./botctl users hash"
        )
