"""The journal in PostgreSQL."""

from collections.abc import Collection, Sequence
from typing import Final

from bot.database.access import Database
from bot.database.codec import storable, storable_json
from bot.database.pool import Record
from bot.models import ClientOrderId, JournalEntry, PositionId, TaskId
from bot.reports import JournalLine

_INSERT: Final = "INSERT INTO journal (at, kind, task_id, data) VALUES ($1, $2, $3, $4)"

_SELECT_NEWEST: Final = """
    SELECT sequence, at, kind, task_id, data FROM journal
    WHERE sequence < coalesce($2, 9223372036854775807) ORDER BY sequence DESC LIMIT $1
"""

# Each half has an index of its own; asked with OR, the newest rows are read one by one until the limit is full.
_SELECT_ABOUT: Final = """
    WITH about AS (
        SELECT sequence, at, kind, task_id, data FROM journal WHERE data->>'position' = $1
        UNION ALL
        SELECT sequence, at, kind, task_id, data FROM journal
        WHERE data->>'order' = ANY($2::text[]) AND data->>'position' IS DISTINCT FROM $1
    )
    SELECT at, kind, task_id, data FROM about ORDER BY sequence DESC LIMIT $3
"""


class PostgresJournal:
    """`JournalStore` over PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, entry: JournalEntry) -> None:
        """Add one."""
        await self._database.write(_INSERT, entry.at, storable(entry.kind), entry.task_id, storable_json(entry.data))

    async def recent(self, limit: int, *, before: int | None = None) -> Sequence[JournalLine]:
        """Newest first, in the order of appending whatever the entries' instants; those older than number `before`."""
        rows = await self._database.rows(_SELECT_NEWEST, limit, before)
        return [JournalLine(number=row["sequence"], entry=_entry_of(row)) for row in rows]

    async def about(
        self, position_id: PositionId, orders: Collection[ClientOrderId], limit: int
    ) -> Sequence[JournalEntry]:
        """Newest first: what names that position, or one of those orders."""
        rows = await self._database.rows(_SELECT_ABOUT, position_id, list(orders), limit)
        return [_entry_of(row) for row in rows]


def _entry_of(row: Record) -> JournalEntry:
    return JournalEntry(
        at=row["at"],
        kind=row["kind"],
        task_id=TaskId(row["task_id"]) if row["task_id"] is not None else None,
        data=row["data"],
    )
