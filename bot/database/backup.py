"""Backup of a database while daemons work on it, and restore of a backup, whole or not at all.

A backup is one REPEATABLE READ transaction: all tables as they were at one instant; it takes no lock that a writer
could wait for. A restore is one transaction, too: our migrations up to the version of the backup, its rows, then the
newer migrations. Needs no program of PostgreSQL and no right but those of the database's owner.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bot.database.access import translated
from bot.database.archive import Archive, ArchiveWriter, Manifest, SequencePart, Sink, TablePart
from bot.database.catalog import Table, made_by, our_sequences, our_tables
from bot.database.migrate import (
    CREATE_LEDGER,
    LEDGER,
    MIGRATION_LOCK,
    AppliedMigration,
    Migration,
    applied_migrations,
    apply_migration,
    pending_of,
    read_migrations,
)
from bot.database.pool import Connection, Pool
from bot.database.postgres_kills import locked_latches, press_again
from bot.database.writer import WRITER_LOCK
from bot.errors import DataError, NotTheWriter, SchemaMismatch, UsageError
from bot.interfaces import Clock
from bot.models import KillState

_PATIENCE_S: Final = 6 * 3_600.0  # for one table; a disk that answers slowly is no fault
_UNHURRIED: Final = """
    SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '30s';
    SET LOCAL idle_in_transaction_session_timeout = 0
"""
_TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock($1)"
_LOCK: Final = "SELECT pg_advisory_xact_lock($1)"
_SEQUENCE: Final = "SELECT last_value, is_called FROM {}"
_SET_SEQUENCE: Final = "SELECT setval($1::regclass, $2, $3)"
_EPOCH: Final = "SELECT epoch FROM public.writer"
_RAISE_EPOCH: Final = "UPDATE public.writer SET epoch = greatest(epoch, $1) + 1"
_HAS_SESSIONS: Final = "SELECT to_regclass('public.user_sessions') IS NOT NULL"
_END_SESSIONS: Final = "DELETE FROM public.user_sessions"
_NOT_CONTENT: Final = (LEDGER, "writer", "alert_desk")  # where migrations themselves put rows

OnRows = Callable[[int], None]


def nobody_watches(_: int) -> None:
    """Progress is of no interest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore has done."""

    rows: int
    tables: int
    upgraded_by: tuple[str, ...]


async def back_up(pool: Pool, sink: Sink, clock: Clock, on_rows: OnRows = nobody_watches) -> "Manifest | None":
    """Copy every table of ours, as of one instant, into `sink`; the manifest, if that is an archive.

    Raises SchemaMismatch for a database that is newer than this code, or was never migrated.
    """
    with translated():
        async with pool.acquire() as connection, connection.transaction(isolation="repeatable_read", readonly=True):
            await connection.execute(_UNHURRIED)
            migrations, applied = read_migrations(), await applied_migrations(connection)
            if not applied:
                raise SchemaMismatch("the database was never migrated: there is nothing to back up")
            pending_of(migrations, applied)  # raises for a newer or foreign one
            made_at = clock.now()
            tables = await our_tables(connection, migrations)
            for table in tables:
                await _copy_out(connection, table, sink, on_rows)
            if not isinstance(sink, ArchiveWriter):
                return None
            return sink.finish(
                made_at=made_at,
                server_version=await connection.fetchval("SHOW server_version"),
                migrations=applied,
                sequences=await _sequences(connection, tables),  # after the rows: not behind any of them
            )


async def restore(
    pool: Pool,
    archive: Archive,
    clock: Clock,
    *,
    replace: bool = False,
    on_rows: OnRows = nobody_watches,
    migrations: Sequence[Migration] | None = None,
) -> Restored:
    """Make the database what the backup says; of what was there before nothing is left. All of it, or nothing.

    Raises NotTheWriter while a daemon trades on the database, UsageError if it holds rows and `replace` is not given,
    SchemaMismatch for a backup that this code cannot read, DataError for one that is damaged.
    """
    migrations = migrations or read_migrations()
    behind = pending_of_archive(archive, migrations)
    with translated():
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(_UNHURRIED)
            await _keep_others_out(connection)
            kept = await _clear(connection, migrations, replace=replace)
            await connection.execute(CREATE_LEDGER)
            for migration in migrations[: len(migrations) - len(behind)]:
                await connection.execute(migration.sql, timeout=_PATIENCE_S)
            await _load(connection, archive, migrations, on_rows)
            for migration in behind:
                await apply_migration(connection, migration, clock)
            await connection.execute(_RAISE_EPOCH, kept.epoch)
            await press_again(connection, kept.latches)
            if await connection.fetchval(_HAS_SESSIONS):
                await connection.execute(_END_SESSIONS)  # who has logged out since would be logged in again
    manifest = archive.manifest
    names = tuple(each.name for each in behind)
    return Restored(rows=manifest.rows, tables=len(manifest.tables), upgraded_by=names)


def pending_of_archive(archive: Archive, migrations: Sequence[Migration]) -> Sequence[Migration]:
    """Our migrations that the backup does not have. Raises SchemaMismatch if it has some that we do not have."""
    try:
        return pending_of(migrations, archive.manifest.migrations)
    except SchemaMismatch as error:
        raise SchemaMismatch(
            f"this backup does not fit this program: {error}; next step: restore it with the version of this program "
            "that made it, or a later one, and upgrade from there"
        ) from error


async def rows_by_table(connection: Connection, migrations: Sequence[Migration]) -> dict[str, int]:
    """Exact counts of our tables."""
    tables = await our_tables(connection, migrations)
    return {each.name: await connection.fetchval(f'SELECT count(*) FROM public."{each.name}"') for each in tables}  # noqa: S608 from the catalog


async def _copy_out(connection: Connection, table: Table, sink: Sink, on_rows: OnRows) -> None:
    with sink.table(table.name, table.columns) as write:

        async def take(piece: bytes) -> None:
            on_rows(write(piece))

        await connection.copy_from_table(
            table.name,
            schema_name="public",
            columns=table.columns,
            output=take,
            format="text",
            encoding="utf-8",
            timeout=_PATIENCE_S,
        )


async def _sequences(connection: Connection, tables: Sequence[Table]) -> tuple[SequencePart, ...]:
    parts = []
    for each in await our_sequences(connection, tables):
        row = await connection.fetchrow(_SEQUENCE.format(each.name))  # quoted by the server where need be
        assert row is not None  # noqa: S101 a sequence has one row
        part = SequencePart(
            table=each.table, column=each.column, last_value=row["last_value"], is_called=row["is_called"]
        )
        parts.append(part)
    return tuple(parts)


async def _keep_others_out(connection: Connection) -> None:
    """Until the end of the transaction no daemon can start on this database, and nobody migrates it."""
    if not await connection.fetchval(_TRY_LOCK, WRITER_LOCK):
        raise NotTheWriter(
            "a daemon trades on this database, and a restore would pull its record away; nothing was changed: stop the "
            "daemon, then restore"
        )
    await connection.fetchval(_LOCK, MIGRATION_LOCK)


class _Kept(NamedTuple):
    """What outlives a replacement: no writer of before may write again, no kill switch is lifted by it."""

    epoch: int = 0
    latches: Sequence[KillState] = ()


async def _clear(connection: Connection, migrations: Sequence[Migration], *, replace: bool) -> _Kept:
    """Drop what is ours. Raises UsageError if there are rows and they may not be replaced."""
    _known(migrations, await applied_migrations(connection))
    counts = await rows_by_table(connection, migrations)
    content = {name: count for name, count in counts.items() if count and name not in _NOT_CONTENT}
    if content and not replace:
        shown = ", ".join(f"{name} {count:,}" for name, count in sorted(content.items(), key=lambda each: -each[1])[:5])
        raise UsageError(
            f"the database is not empty (rows: {shown}); nothing was changed: use --replace to throw that away (it is "
            "backed up first), or an empty database"
        )
    kept = _Kept(
        epoch=await connection.fetchval(_EPOCH) if counts.get("writer") else 0,
        latches=await locked_latches(connection) if "kill_events" in counts else (),
    )
    for kind, names in made_by(migrations).items():
        if names:
            listed = ", ".join(f'public."{name}"' for name in names)
            await connection.execute(f"DROP {kind} IF EXISTS {listed}", timeout=_PATIENCE_S)
    return kept


def _known(migrations: Sequence[Migration], applied: Sequence[AppliedMigration]) -> None:
    """A newer program has made tables here that we do not know, so we cannot clear them away. Raises SchemaMismatch."""
    try:
        pending_of(migrations, applied)
    except SchemaMismatch as error:
        raise SchemaMismatch(
            f"what is to be replaced is not of this program: {error}; nothing was changed: restore into an empty "
            "database (docs/restore.md)"
        ) from error


async def _load(connection: Connection, archive: Archive, migrations: Sequence[Migration], on_rows: OnRows) -> None:
    tables = await our_tables(connection, migrations)
    parts = {each.name: each for each in archive.manifest.tables}
    if {each.name for each in tables} != set(parts):
        odd = ", ".join(sorted({each.name for each in tables} ^ set(parts)))
        raise DataError(f"the backup and its schema version do not have the same tables: {odd}; nothing was changed")
    listed = ", ".join(f'public."{each.name}"' for each in tables)
    # Facts refuse to be truncated, and kill_events tells a daemon of each new row: not of these.
    await _triggers(connection, tables, "DISABLE")
    await connection.execute(f"TRUNCATE {listed}")  # what migrations put in is in the backup, as it has become
    for table in tables:
        part = parts[table.name]
        if part.columns != table.columns:
            raise DataError(f"table {table.name} of the backup has other columns than its schema; nothing was changed")
        await _copy_in(connection, part, archive.pieces(part), on_rows)
    await _triggers(connection, tables, "ENABLE")
    sources = {(each.table, each.column): each.name for each in await our_sequences(connection, tables)}
    for sequence in archive.manifest.sequences:
        source = sources.get((sequence.table, sequence.column))
        if source is None:
            raise DataError(
                f"column {sequence.table}.{sequence.column} of the backup has no sequence; nothing was changed"
            )
        await connection.fetchval(_SET_SEQUENCE, source, sequence.last_value, sequence.is_called)


async def _triggers(connection: Connection, tables: Sequence[Table], verb: str) -> None:
    for each in tables:
        await connection.execute(f'ALTER TABLE public."{each.name}" {verb} TRIGGER USER')


async def _copy_in(connection: Connection, part: TablePart, pieces: Iterator[bytes], on_rows: OnRows) -> None:
    async def source() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            on_rows(piece.count(b"\n"))

    said = await connection.copy_to_table(
        part.name,
        schema_name="public",
        columns=part.columns,
        source=source(),
        format="text",
        encoding="utf-8",
        timeout=_PATIENCE_S,
    )
    if said != f"COPY {part.rows}":
        raise DataError(
            f"table {part.name}: the server took {said!r}, the backup has {part.rows} rows; nothing was changed"
        )
