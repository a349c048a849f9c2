"""Accounts that this database belongs to, in PostgreSQL."""

from datetime import datetime
from typing import Final

from bot.database.access import Database
from bot.instruments import BrokerId

_BIND: Final = """
    INSERT INTO accounts (broker_id, fingerprint, account, bound_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (broker_id) DO NOTHING
"""

_SELECT: Final = "SELECT fingerprint, account FROM accounts WHERE broker_id = $1"


class PostgresAccounts:
    """`AccountStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def bind(self, broker_id: BrokerId, *, fingerprint: str, account: str, at: datetime) -> tuple[str, str]:
        """Bind if nobody did; the fingerprint and name of the account it is bound to."""
        await self._database.write(_BIND, broker_id, fingerprint, account, at)
        row = await self._database.row(_SELECT, broker_id)
        assert row is not None  # noqa: S101 it was just written, and rows are never removed
        return row["fingerprint"], row["account"]
