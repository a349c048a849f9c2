"""Forward-only migrations: numbered SQL files, each applied once, in order, in a transaction of its own.

Why not a library: docs/decisions/0002-migrations.md. A file that has run anywhere is never edited again; a mistake is
corrected by the next file.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from bot.database.access import translated
from bot.database.pool import Connection, Pool
from bot.errors import BotError, SchemaMismatch
from bot.interfaces import Clock

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LEDGER: Final = "schema_migrations"

_FILE_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
MIGRATION_LOCK: Final = 7_302_615_400_113  # any number; two programs that migrate this database must use the same
_PATIENCE_S: Final = 600.0  # for another daemon's migrations, and for each of ours

CREATE_LEDGER: Final = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        number integer PRIMARY KEY,
        name text NOT NULL,
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL
    )
"""
_HAS_LEDGER: Final = "SELECT to_regclass('schema_migrations') IS NOT NULL"
_SELECT_APPLIED: Final = "SELECT number, name, checksum FROM schema_migrations ORDER BY number"
_INSERT_APPLIED: Final = """
    INSERT INTO schema_migrations (number, name, checksum, applied_at) VALUES ($1, $2, $3, $4)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file: its number, name, text, and the SHA-256 of the text with Unix line ends."""

    number: int
    name: str
    sql: str
    checksum: str


class AppliedMigration(NamedTuple):
    """One row of the ledger."""

    number: int
    name: str
    checksum: str


async def migrate(pool: Pool, clock: Clock, directory: Path = MIGRATIONS) -> tuple[str, ...]:
    """Apply what is not applied yet; return the names of those files. A second daemon waits for the first.

    Raises SchemaMismatch when the database is newer than this code, when a file was edited after it ran, or when a
    file fails (nothing of that file is kept then).
    """
    migrations = read_migrations(directory)
    with translated():
        async with pool.acquire() as connection:
            # Until the connection goes back to the pool, which also frees the lock.
            await connection.execute("SET statement_timeout = 0; SET lock_timeout = 0")
            await connection.execute(f"SELECT pg_advisory_lock({MIGRATION_LOCK})", timeout=_PATIENCE_S)
            await connection.execute(CREATE_LEDGER)
            pending = pending_of(migrations, await applied_migrations(connection))
            for migration in pending:
                await apply_migration(connection, migration, clock)
    return tuple(each.name for each in pending)


async def pending_migrations(pool: Pool, directory: Path = MIGRATIONS) -> tuple[str, ...]:
    """Names of the files that `migrate` would apply; nothing is changed. Raises SchemaMismatch as it does."""
    migrations = read_migrations(directory)
    with translated():
        async with pool.acquire() as connection:
            return tuple(each.name for each in pending_of(migrations, await applied_migrations(connection)))


async def applied_migrations(connection: Connection) -> tuple[AppliedMigration, ...]:
    """What the database says was applied, in order; nothing for one that was never migrated."""
    if not await connection.fetchval(_HAS_LEDGER):
        return ()
    rows = await connection.fetch(_SELECT_APPLIED)
    return tuple(AppliedMigration(row["number"], row["name"], row["checksum"]) for row in rows)


def read_migrations(directory: Path = MIGRATIONS) -> tuple[Migration, ...]:
    """All files of `directory`, by number. Raises SchemaMismatch unless the numbers are 1, 2, 3, ... without a hole."""
    migrations = tuple(_read(path) for path in sorted(directory.glob("*.sql")))
    numbers = [each.number for each in migrations]
    if not numbers or numbers != list(range(1, len(numbers) + 1)):
        raise SchemaMismatch(
            f"migrations in {directory} are numbered {numbers}, need 1, 2, 3, ... once each; rename or restore files"
        )
    return migrations


def _read(path: Path) -> Migration:
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise SchemaMismatch(f"migration file {path.name} is not named NNNN_lower_case.sql; rename it")
    sql = path.read_text(encoding="utf-8")  # reads any line end as \n, so a Windows checkout has the same checksum
    return Migration(number=int(match[1]), name=path.name, sql=sql, checksum=hashlib.sha256(sql.encode()).hexdigest())


def pending_of(migrations: Sequence[Migration], applied: Sequence[AppliedMigration]) -> Sequence[Migration]:
    """Those not applied yet; the applied ones must be the first of `migrations`, unchanged.

    Raises SchemaMismatch.
    """
    for place, (number, name, checksum) in enumerate(applied):
        if place >= len(migrations):
            raise SchemaMismatch(
                f"the database is newer than this code: it has migration {name}, the newest one here is "
                f"{migrations[-1].name}; start the newer version, or restore a backup from before it"
            )
        expected = migrations[place]
        if (number, name) != (expected.number, expected.name):
            raise SchemaMismatch(
                f"the database applied {name} where this code has {expected.name}; "
                "start the version that made this database, or use another database"
            )
        if checksum != expected.checksum:
            raise SchemaMismatch(
                f"migration {expected.name} was edited after it ran (its checksum differs); "
                "restore the file as it was, and write the change as a new migration"
            )
    return migrations[len(applied) :]


async def apply_migration(connection: Connection, migration: Migration, clock: Clock) -> None:
    """Run one file and note it in the ledger. Raises SchemaMismatch, and then nothing of the file is kept."""
    try:
        with translated():
            async with connection.transaction():
                await connection.execute(migration.sql, timeout=_PATIENCE_S)
                values = (migration.number, migration.name, migration.checksum, clock.now())
                await connection.execute(_INSERT_APPLIED, *values)
    except BotError as error:
        if connection.is_closed():  # the server went away: no fault of the file
            raise
        raise SchemaMismatch(
            f"migration {migration.name} failed: {error}; nothing of it was kept: correct the file, or the database it "
            "does not fit, and start again"
        ) from error
