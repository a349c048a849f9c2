"""Wiring of `botctl db`: the database of the settings, opened beside a running daemon or without one."""

import contextlib
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from bot.clock import SystemClock
from bot.config import Loaded
from bot.database.access import Database
from bot.database.archive import Manifest, new_archive, open_archive
from bot.database.backup import OnRows, Restored, back_up, nobody_watches, pending_of_archive, restore
from bot.database.durability import NEXT_STEP, durability_faults
from bot.database.embedded import EmbeddedPostgres
from bot.database.inspection import (
    DatabaseFacts,
    Nowhere,
    facts_of,
    number_faults,
    page_faults,
    schema_faults,
    schema_number,
    was_migrated,
)
from bot.database.migrate import migrate, pending_migrations, read_migrations
from bot.database.pool import Pool, open_pool, place_of
from bot.database.sealed import Key
from bot.errors import BotError, SchemaMismatch, UsageError
from bot.wiring.data_lock import DataInUse, data_lock
from bot.wiring.doctor import Check, Status

Say = Callable[[str], None]

_FILE_NAME: Final = re.compile(r"bot-\d{8}T\d{6}Z-schema\d{4}\.zip(\.sealed)?")
_UNFINISHED: Final = re.compile(_FILE_NAME.pattern + r"\.partial")
_ABANDONED_AFTER_S: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFile:
    """One backup in a directory."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeBackup:
    """What `make_backup` has written, and what it removed as too old."""

    path: Path
    size_bytes: int
    manifest: Manifest
    removed: tuple[Path, ...]


def database_place(loaded: Loaded) -> str:
    """Which database the settings mean, for a person."""
    dsn = loaded.settings.run.database_url
    return place_of(dsn) if dsn else f"embedded PostgreSQL in {_server_directory(loaded)}"


def backup_directory(loaded: Loaded) -> Path:
    """Where backups go when nobody says otherwise."""
    return loaded.data_directory / "backups"


@asynccontextmanager
async def opened_database(loaded: Loaded, say: Say, *, make: bool = False, alone: bool = False) -> AsyncIterator[Pool]:
    """A pool on the database of the settings. An embedded server is left as it was found: running, or not.

    `make`: an embedded database that does not exist is made, else UsageError. `alone`: no daemon can start on the data
    directory meanwhile. Raises DataInUse if one runs and the server is embedded (`restore` finds a daemon on any
    other), DatabaseUnavailable or StorageError.
    """
    if loaded.settings.run.database_url:
        async with _pool(loaded.settings.run.database_url) as pool:
            yield pool
        return
    if not make and not _server_directory(loaded).exists():
        raise UsageError(f"there is no database in {_server_directory(loaded)} yet; ./botctl run makes one")
    with data_lock(loaded.data_directory) if alone else contextlib.nullcontext():
        server = EmbeddedPostgres(_server_directory(loaded), sleep=SystemClock().sleep, on_progress=say)
        try:
            async with _pool(await server.start()) as pool:
                yield pool
        finally:
            if not server.reused:
                # A daemon that came later uses the server now, and keeps it.
                with (
                    contextlib.suppress(DataInUse),
                    contextlib.nullcontext() if alone else data_lock(loaded.data_directory),
                ):
                    await server.stop()


async def database_facts(loaded: Loaded, say: Say) -> tuple[DatabaseFacts, tuple[str, ...]]:
    """What there is, and the names of migrations that wait."""
    async with opened_database(loaded, say) as pool:
        return await facts_of(pool), await pending_migrations(pool)


async def migrate_database(loaded: Loaded, say: Say) -> tuple[str, ...]:
    """Apply what is not applied yet; the names of those files."""
    async with opened_database(loaded, say, make=True) as pool:
        return await migrate(pool, SystemClock())


async def make_backup(
    loaded: Loaded, to: Path | None, key: Key | None, keep: int | None, say: Say, on_rows: OnRows = nobody_watches
) -> MadeBackup:
    """Write a backup, read it back, and only then remove older ones of the same directory beyond `keep`."""
    async with opened_database(loaded, say) as pool:
        made = await _backed_up(pool, to or backup_directory(loaded), key, on_rows)
    removed = _removed(made.path, keep, SystemClock().now()) if keep else ()
    return replace(made, removed=removed)


async def restore_backup(
    loaded: Loaded,
    file: Path,
    key: Key | None,
    *,
    may_replace: bool,
    say: Say,
    on_rows: OnRows = nobody_watches,
) -> tuple[Manifest, Restored, Path | None]:
    """Check the file, then restore it; what it was, what was done, and the backup of what it replaced."""
    with open_archive(file, key) as archive:
        say("Checking the backup ...")
        archive.verify()
        pending_of_archive(archive, read_migrations())
        async with opened_database(loaded, say, make=True, alone=True) as pool:
            saved = None
            if may_replace and await was_migrated(pool):
                say("Backing up what is replaced ...")
                saved = (await _backed_up(pool, backup_directory(loaded), key, nobody_watches)).path
            say("Restoring ...")
            done = await restore(pool, archive, SystemClock(), replace=may_replace, on_rows=on_rows)
        return archive.manifest, done, saved


def check_backup(file: Path, key: Key | None, on_rows: OnRows = nobody_watches) -> tuple[Manifest, tuple[str, ...]]:
    """Read all of a backup; what it is, and the migrations that a restore would apply to it. Raises DataError."""
    with open_archive(file, key) as archive:
        archive.verify(on_rows)
        return archive.manifest, tuple(each.name for each in pending_of_archive(archive, read_migrations()))


def backups_in(directory: Path) -> Sequence[BackupFile]:
    """The backups of a directory that have our names, newest first."""
    if not directory.is_dir():
        return ()
    names = sorted((each for each in directory.iterdir() if _FILE_NAME.fullmatch(each.name)), reverse=True)
    return [BackupFile(path=each, size_bytes=_size(each)) for each in names]


async def database_checks(loaded: Loaded, say: Say) -> list[Check]:
    """Is the database what this program needs, and can all of it be read? Nothing is changed."""
    async with opened_database(loaded, say) as pool:
        checks = [await _migrations_check(pool), await _reading_check(pool)]
        pages, numbers, durability = await page_faults(pool), await number_faults(pool), await durability_faults(pool)
        schema = () if checks[0].status != "ok" else await schema_faults(pool)
    return [
        *checks,
        _check("pages", pages, "warn", "every page has a checksum", "restore the newest good backup on another disk"),
        _check("numbers", numbers, "fail", "every sequence is ahead of its column", "restore the newest good backup"),
        _check("durability", durability, "fail", "a commit survives a power cut", NEXT_STEP),
        _check("schema", schema, "fail", "as the migrations made it", "undo what was changed by hand, see schema.sql"),
    ]


def _check(name: str, faults: Sequence[str], status: Status, good: str, step: str) -> Check:
    if not faults:
        return Check(name=name, status="ok", detail=good)
    return Check(name=name, status=status, detail="; ".join(faults), next_step=step)


async def _migrations_check(pool: Pool) -> Check:
    try:
        waiting = await pending_migrations(pool)
    except SchemaMismatch as error:
        return Check(name="migrations", status="fail", detail=str(error), next_step="see docs/upgrade.md")
    step = "start the daemon, or ./botctl db migrate"
    return _check("migrations", waiting and [f"not applied yet: {', '.join(waiting)}"], "warn", "all applied", step)


async def _reading_check(pool: Pool) -> Check:
    sink = Nowhere()
    try:
        await back_up(pool, sink, SystemClock())
    except BotError as error:
        step = "look at the disk and the server's log, then restore the newest good backup"
        return Check(name="rows", status="fail", detail=str(error), next_step=step)
    return Check(name="rows", status="ok", detail=f"all {sink.rows:,} rows of {sink.tables} tables were read")


async def _backed_up(pool: Pool, to: Path, key: Key | None, on_rows: OnRows) -> MadeBackup:
    clock = SystemClock()
    path = _target(to, _name(clock.now(), await schema_number(pool), key))
    with new_archive(path, key) as archive:
        manifest = await back_up(pool, archive, clock, on_rows)
    assert manifest is not None  # noqa: S101 an archive has one
    with open_archive(path, key) as written:
        written.verify()  # a backup that was never read back is a hope
    return MadeBackup(path=path, size_bytes=_size(path), manifest=manifest, removed=())


def _target(to: Path, name: str) -> Path:
    """`to` itself if it reads as a file's name, else a file in that directory."""
    return to / name if to.is_dir() or not to.suffix else to


def _name(now: datetime, schema: int, key: Key | None) -> str:
    return f"bot-{now:%Y%m%dT%H%M%SZ}-schema{schema:04d}.zip{'.sealed' if key else ''}"


def _removed(newest: Path, keep: int, now: datetime) -> tuple[Path, ...]:
    """Remove what is older than the newest `keep`, and what killed backups have left."""
    old = [each.path for each in backups_in(newest.parent)[keep:] if each.path != newest]
    for each in newest.parent.iterdir():
        if _UNFINISHED.fullmatch(each.name) and now.timestamp() - each.stat().st_mtime > _ABANDONED_AFTER_S:
            old.append(each)
    for each in old:
        each.unlink(missing_ok=True)
    return tuple(old)


def _size(path: Path) -> int:
    return path.stat().st_size


def _server_directory(loaded: Loaded) -> Path:
    return loaded.data_directory / "postgres"


@asynccontextmanager
async def _pool(dsn: str) -> AsyncIterator[Pool]:
    pool = await open_pool(dsn)
    try:
        yield pool
    finally:
        await Database(pool).close()
