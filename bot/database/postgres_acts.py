"""Acts that are done once, in PostgreSQL."""

from datetime import datetime
from typing import Final

from bot.access import Act
from bot.database.access import Database

_FORGET_OLD: Final = "DELETE FROM acts WHERE at < $1"
_INSERT: Final = """
    INSERT INTO acts (who, key, fingerprint, at, status, answer) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (who, key) DO NOTHING
    RETURNING true
"""
_SELECT: Final = "SELECT who, key, fingerprint, at, status, answer FROM acts WHERE who = $1 AND key = $2"
_END: Final = "UPDATE acts SET status = $3, answer = $4 WHERE who = $1 AND key = $2 AND status IS NULL"
_FORGET: Final = "DELETE FROM acts WHERE who = $1 AND key = $2"


class PostgresActs:
    """`ActStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self, act: Act, *, forget_before: datetime) -> Act | None:
        """Store an act that begins; the one that has its name already, if there is one. Older ones are forgotten."""
        await self._database.write(_FORGET_OLD, forget_before)
        values = (act.who, act.key, act.fingerprint, act.at, act.status, act.answer)
        if await self._database.write(_INSERT, *values) is True:
            return None
        row = await self._database.row(_SELECT, act.who, act.key)
        return act if row is None else Act(**row)  # forgotten in this moment: it counts as one that has not ended

    async def end(self, act: Act, *, status: int, answer: str) -> None:
        """Say how it ended; one that has ended stays as it is."""
        await self._database.write(_END, act.who, act.key, status, answer)

    async def forget(self, act: Act) -> None:
        """Nothing was done: the same may be asked for again."""
        await self._database.write(_FORGET, act.who, act.key)
