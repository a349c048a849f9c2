"""Questions about the database as a whole, for `botctl db`; nothing here changes anything."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.database.access import translated
from bot.database.backup import rows_by_table
from bot.database.catalog import our_sequences, our_tables
from bot.database.migrate import applied_migrations, read_migrations
from bot.database.pool import Pool
from bot.database.schema import SCHEMA, schema_of
from bot.database.writer import WRITER_LOCK

_UNHURRIED: Final = "SET LOCAL statement_timeout = 0"
_SIZE: Final = "SELECT pg_database_size(current_database())"
_WRITERS: Final = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND classid = 0 AND objid = $1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_CHECKSUM_FAILURES: Final = "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"
_LAST: Final = "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM {}"
_SCHEMA_MADE_BY_MAJOR: Final = 18  # other versions may word the same definition otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseFacts:
    """What `botctl db status` shows of the database."""

    server_version: str
    size_bytes: int
    schema_version: str
    daemon_trades: bool
    rows: dict[str, int]


async def facts_of(pool: Pool) -> DatabaseFacts:
    """Version, size and exact row counts, all as of one instant."""
    with translated():
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(_UNHURRIED)
            applied = await applied_migrations(connection)
            return DatabaseFacts(
                server_version=await connection.fetchval("SHOW server_version"),
                size_bytes=await connection.fetchval(_SIZE),
                schema_version=applied[-1].name if applied else "none: it was never migrated",
                daemon_trades=await connection.fetchval(_WRITERS, WRITER_LOCK) > 0,
                rows=await rows_by_table(connection, read_migrations()),
            )


async def schema_number(pool: Pool) -> int:
    """Number of the newest migration that was applied; 0 for none."""
    with translated():
        async with pool.acquire() as connection:
            applied = await applied_migrations(connection)
    return applied[-1].number if applied else 0


async def was_migrated(pool: Pool) -> bool:
    """There is anything of ours in it."""
    return await schema_number(pool) > 0


async def page_faults(pool: Pool) -> tuple[str, ...]:
    """Sentences about pages that the disk did not give back as they were written; empty if none is known."""
    with translated():
        if await pool.fetchval("SHOW data_checksums") != "on":
            return ("data checksums are off: a page that the disk has damaged is not noticed",)
        failures = await pool.fetchval(_CHECKSUM_FAILURES)
    return (f"{failures} pages failed their checksum",) if failures else ()


async def number_faults(pool: Pool) -> tuple[str, ...]:
    """Sequences that stand behind their column: the next row would be refused as a duplicate."""
    faults = []
    with translated():
        async with pool.acquire() as connection:
            for each in await our_sequences(connection, await our_tables(connection, read_migrations())):
                last = await connection.fetchval(_LAST.format(each.name))
                highest = await connection.fetchval(f'SELECT max("{each.column}") FROM public."{each.table}"')  # noqa: S608 from the catalog
                if highest is not None and last < highest:
                    faults.append(f"{each.table}.{each.column} has {highest}, its sequence stands at {last}")
    return tuple(faults)


async def schema_faults(pool: Pool, schema: Path = SCHEMA) -> tuple[str, ...]:
    """Lines of `schema.sql` that the database does not have, or has otherwise; what it has beyond them is no fault."""
    with translated():
        version = int(await pool.fetchval("SHOW server_version_num")) // 10_000
    if version != _SCHEMA_MADE_BY_MAJOR:
        return ()
    found = set((await schema_of(pool)).splitlines())
    wanted = schema.read_text(encoding="utf-8").splitlines()  # noqa: ASYNC240 a small file of our own
    return tuple(dict.fromkeys(each.strip(" ,;") for each in wanted if each not in found))


class Nowhere:
    """A sink that keeps nothing: what goes into it was read."""

    def __init__(self) -> None:
        self.rows = 0
        self.tables = 0

    @contextlib.contextmanager
    def table(self, name: str, columns: tuple[str, ...]) -> Iterator[Callable[[bytes], int]]:
        """See `archive.Sink`."""
        del name, columns

        def count(piece: bytes) -> int:
            rows = piece.count(b"\n")
            self.rows += rows
            return rows

        self.tables += 1
        yield count
