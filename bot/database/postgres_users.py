"""People in PostgreSQL: passwords, roles, second factors, wrong tries."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from bot.access import Failures, Role, User
from bot.database.access import Database
from bot.database.codec import storable
from bot.database.contract import unknown_user
from bot.database.pool import Record

_COLUMNS: Final = """
    name, role, password_hash, must_change, created_at, password_at, disabled_at, sealed_seed, seeded_by
"""

_INSERT: Final = f"""
    INSERT INTO users ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING true
"""  # noqa: S608 - made of constants
_SELECT: Final = f"SELECT {_COLUMNS} FROM users WHERE name = $1"  # noqa: S608 - made of constants
_SELECT_ALL: Final = f"SELECT {_COLUMNS} FROM users ORDER BY name LIMIT 1000"  # noqa: S608 - made of constants
_SET_HASH: Final = """
    UPDATE users SET password_hash = $2, password_at = $3, must_change = $4, seeded_by = $5 WHERE name = $1
    RETURNING true
"""
_REHASH: Final = "UPDATE users SET password_hash = $3 WHERE name = $1 AND password_hash = $2"
_SET_ROLE: Final = "UPDATE users SET role = $2 WHERE name = $1 RETURNING true"
_SET_DISABLED: Final = "UPDATE users SET disabled_at = $2 WHERE name = $1 RETURNING true"
_SET_SEED: Final = "UPDATE users SET sealed_seed = $2 WHERE name = $1 RETURNING true"
_VOID_CODES: Final = "DELETE FROM recovery_codes WHERE user_name = $1"
_INSERT_CODE: Final = "INSERT INTO recovery_codes (user_name, digest) VALUES ($1, $2)"
_TAKE_STEP: Final = "UPDATE users SET newest_step = $2 WHERE name = $1 AND newest_step < $2 RETURNING true"
_TAKE_CODE: Final = """
    UPDATE recovery_codes SET used_at = $3 WHERE user_name = $1 AND digest = $2 AND used_at IS NULL RETURNING true
"""
_COUNT_CODES: Final = "SELECT count(*) FROM recovery_codes WHERE user_name = $1 AND used_at IS NULL"
_SELECT_FAILURES: Final = "SELECT key, count, at FROM login_failures WHERE key = ANY($1)"
_FORGET_FAILURES: Final = "DELETE FROM login_failures WHERE at < $1"
_FAIL: Final = """
    INSERT INTO login_failures (key, count, at) VALUES ($1, 1, $2)
    ON CONFLICT (key) DO UPDATE SET count = login_failures.count + 1, at = excluded.at
"""
_FORGIVE: Final = "DELETE FROM login_failures WHERE key = ANY($1)"


class PostgresUsers:
    """`UserStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, user: User) -> bool:
        """Store a new person; False if the name is taken."""
        values = (
            storable(user.name),
            user.role.value,
            user.password_hash,
            user.must_change,
            user.created_at,
            user.password_at,
            user.disabled_at,
            user.sealed_seed,
            user.seeded_by,
        )
        return await self._database.write(_INSERT, *values) is True

    async def get(self, name: str) -> User | None:
        """One person."""
        row = await self._database.row(_SELECT, storable(name))
        return None if row is None else _user_of(row)

    async def all(self) -> Sequence[User]:
        """Everybody, by name; a thousand at most."""
        return [_user_of(row) for row in await self._database.rows(_SELECT_ALL)]

    async def set_password(
        self, name: str, password_hash: str, *, at: datetime, must_change: bool, seeded_by: str
    ) -> None:
        """A new password, and whether it is only for the next login."""
        await self._change(name, _SET_HASH, password_hash, at, must_change, seeded_by)

    async def rehash(self, name: str, *, was: str, password_hash: str) -> None:
        """The same password hashed anew; nothing if it is another one by now."""
        await self._database.write(_REHASH, storable(name), was, password_hash)

    async def set_role(self, name: str, role: Role) -> None:
        """What that person may do from now on."""
        await self._change(name, _SET_ROLE, role.value)

    async def set_disabled(self, name: str, at: datetime | None) -> None:
        """Shut out from `at` on; None lets in again."""
        await self._change(name, _SET_DISABLED, at)

    async def set_second_factor(self, name: str, sealed_seed: bytes | None, codes: Collection[bytes]) -> None:
        """A new second factor with the digests of its recovery codes, or none; the old ones are void."""
        key = storable(name)
        async with self._database.transaction() as connection:
            if await connection.fetchval(_SET_SEED, key, sealed_seed) is None:
                raise unknown_user(name)
            await connection.execute(_VOID_CODES, key)
            await connection.executemany(_INSERT_CODE, [(key, each) for each in codes])

    async def take_step(self, name: str, step: int) -> bool:
        """Use the code of one time step up; False if it, or a later one, was used."""
        return await self._database.write(_TAKE_STEP, storable(name), step) is True

    async def take_recovery_code(self, name: str, digest: bytes, *, at: datetime) -> bool:
        """Use a recovery code up; False if it was used, or is none."""
        return await self._database.write(_TAKE_CODE, storable(name), digest, at) is True

    async def recovery_codes_left(self, name: str) -> int:
        """How many are not used up."""
        return int(await self._database.value(_COUNT_CODES, storable(name)))

    async def failures(self, keys: Collection[str]) -> Mapping[str, Failures]:
        """Wrong tries in a row, of those keys that have any."""
        rows = await self._database.rows(_SELECT_FAILURES, list(keys))
        return {row["key"]: Failures(count=row["count"], at=row["at"]) for row in rows}

    async def fail(self, key: str, *, at: datetime, forget_before: datetime) -> None:
        """Count one more; what failed last before `forget_before`, of whatever key, is forgotten."""
        async with self._database.transaction() as connection:
            await connection.execute(_FORGET_FAILURES, forget_before)
            await connection.execute(_FAIL, key, at)

    async def forgive(self, keys: Collection[str]) -> None:
        """Count from nothing again."""
        await self._database.write(_FORGIVE, list(keys))

    async def _change(self, name: str, statement: str, *values: Any) -> None:
        if await self._database.write(statement, storable(name), *values) is None:
            raise unknown_user(name)


def _user_of(row: Record) -> User:
    return User(
        name=row["name"],
        role=Role(row["role"]),
        password_hash=row["password_hash"],
        must_change=row["must_change"],
        created_at=row["created_at"],
        password_at=row["password_at"],
        disabled_at=row["disabled_at"],
        sealed_seed=row["sealed_seed"],
        seeded_by=row["seeded_by"],
    )
