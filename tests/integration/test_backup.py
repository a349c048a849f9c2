"""Backup and restore: what is in one, that it comes back whole or not at all, and what is refused (S65, O6, D7)."""

import asyncio
import json
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace as replace_state
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from bot.clock import ManualClock, SystemClock
from bot.database.archive import ArchiveWriter, Manifest, new_archive, open_archive
from bot.database.backup import Restored, back_up, restore
from bot.database.catalog import made_by
from bot.database.migrate import MIGRATIONS, migrate, read_migrations
from bot.database.pool import Pool, open_pool
from bot.database.postgres import PostgresStores
from bot.database.sealed import Key
from bot.database.writer import WriterLock
from bot.errors import BotError, DataError, NotTheWriter, SchemaMismatch, UsageError
from bot.interfaces import Stores
from bot.models import KillCause, KillLevel, KillState, OrderState
from tests.contract.store_builders import (
    at,
    entry_of_journal,
    fill,
    filled,
    order,
    outcome,
    pending,
    position,
    signal_record,
    snapshot,
    stop_order,
    task,
)
from tests.postgres import START, Databases

CLOCK = ManualClock(START)
EMPTY = "template1"
Dump = Mapping[str, list[bytes]]


async def fill_with_facts(stores: Stores) -> None:
    """A signal, its order filled, its position, and rows with every kind of value."""
    await stores.tasks.ensure([task()])
    await stores.signals.record(signal_record())
    await stores.orders.record_intent((order(), stop_order()), signal_id=order().signal_id, position=pending())
    await stores.orders.transition(
        order().client_order_id, expected=OrderState.INTENT, state=OrderState.SENDING, cause="sent", at=at(1)
    )
    await stores.orders.record_fill(fill(), order=filled(order()), position=position())
    await stores.outcomes.save(outcome())
    await stores.snapshots.append(snapshot())
    for number in range(3):
        await stores.journal.append(entry_of_journal(number))


async def dump(pool: Pool, *, without: tuple[str, ...] = ("writer",)) -> Dump:
    """Every row of every table, as the server writes it; the writer's epoch is meant to differ after a restore."""
    found: dict[str, list[bytes]] = {}
    async with pool.acquire() as connection:
        for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            pieces: list[bytes] = []

            async def take(piece: bytes, pieces: list[bytes] = pieces) -> None:
                pieces.append(piece)

            await connection.copy_from_table(row["tablename"], output=take)
            found[row["tablename"]] = sorted(b"".join(pieces).splitlines())
    return {name: rows for name, rows in found.items() if name not in without}


async def backed_up(pool: Pool, path: Path, key: Key | None = None) -> Manifest:
    with new_archive(path, key) as archive:
        manifest = await back_up(pool, archive, CLOCK)
    assert manifest is not None
    return manifest


async def restored(pool: Pool, path: Path, *, replace: bool = False, key: Key | None = None) -> Restored:
    with open_archive(path, key) as archive:
        archive.verify()
        return await restore(pool, archive, CLOCK, replace=replace)


@pytest.fixture
async def full(pool: Pool) -> Pool:
    """A database with facts in it."""
    await fill_with_facts(PostgresStores(pool))
    return pool


@pytest.fixture
async def backup(full: Pool, tmp_path: Path) -> Path:
    """A backup of it."""
    await backed_up(full, tmp_path / "good.zip")
    return tmp_path / "good.zip"


# --------------------------------------------------------------------------------------------------------- the drill


class BusyWriter(ArchiveWriter):
    """An archive during whose making a writer commits an order and a journal entry before each table.

    The backup waits for each commit, on this same thread: were it in the writer's way, neither would ever end.
    """

    dsn = ""
    commits = 0

    @contextmanager
    def table(self, name: str, columns: tuple[str, ...]) -> Iterator[Callable[[bytes], int]]:
        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, self._commit()).result()
        with super().table(name, columns) as write:
            yield write

    async def _commit(self) -> None:
        pool = await open_pool(self.dsn)
        stores = PostgresStores(pool)
        self.commits += 1
        await stores.orders.record_intent((order(f"late{self.commits}", signal=None),), signal_id=None)
        await stores.journal.append(entry_of_journal(self.commits))
        await stores.close()


async def test_a_backup_made_while_a_writer_writes_restores_to_the_instant_at_which_it_began(
    databases: Databases, tmp_path: Path
) -> None:
    # Arrange
    async with databases.fresh() as source_dsn, databases.pool(template=EMPTY) as target:
        source = await open_pool(source_dsn)
        await fill_with_facts(PostgresStores(source))
        at_the_beginning = await dump(source)

        # Act
        with new_archive(tmp_path / "drill.zip") as archive:
            busy = BusyWriter(archive._zip)
            busy.dsn = source_dsn
            manifest = await back_up(source, busy, CLOCK)
        done = await restored(target, tmp_path / "drill.zip")

        # Assert
        assert manifest is not None
        assert busy.commits == len(manifest.tables)
        assert len((await dump(source))["journal"]) == 3 + busy.commits
        assert await dump(target) == at_the_beginning
        assert done.rows == manifest.rows
        await source.close()


async def test_after_a_restore_facts_are_still_protected_and_numbers_go_on(
    databases: Databases, full: Pool, backup: Path
) -> None:
    async with databases.pool(template=EMPTY) as target:
        await restored(target, backup)
        before = await full.fetchval("SELECT max(sequence) FROM journal")

        await PostgresStores(target).journal.append(entry_of_journal(9))

        assert await target.fetchval("SELECT max(sequence) FROM journal") == before + 1
        with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="append-only"):
            await target.execute("DELETE FROM journal")


async def test_an_older_backup_is_brought_up_to_date_by_the_restore(databases: Databases, tmp_path: Path) -> None:
    # Arrange: a database of the first two migrations
    old = tmp_path / "old"
    old.mkdir()
    newer = [each.name for each in read_migrations()][2:]
    for path in sorted(MIGRATIONS.glob("*.sql"))[:2]:
        (old / path.name).write_text(path.read_text())
    async with databases.pool(template=EMPTY) as source, databases.pool(template=EMPTY) as target:
        await migrate(source, CLOCK, old)
        await source.execute("INSERT INTO journal (at, kind, data) VALUES ('2024-01-02', 'old', '{}')")
        await backed_up(source, tmp_path / "old.zip")

        # Act
        done = await restored(target, tmp_path / "old.zip")

        # Assert
        assert list(done.upgraded_by) == newer
        assert await migrate(target, CLOCK) == ()
        assert await target.fetchval("SELECT kind FROM journal") == "old"


async def test_a_kill_switch_that_was_pressed_after_the_backup_is_not_lifted_by_the_restore(
    full: Pool, backup: Path
) -> None:
    # Arrange: one is pressed, another is pressed and released
    kills = PostgresStores(full).kills
    halt = KillState(level=KillLevel.HALT, by="ann", cause=KillCause.COMMAND, reason="looks wrong", at=at(5))
    await kills.set(halt)
    await kills.set(replace_state(halt, level=KillLevel.PAUSE, cause=KillCause.DRAWDOWN))
    await kills.set(replace_state(halt, level=KillLevel.NONE, cause=KillCause.DRAWDOWN))

    # Act
    await restored(full, backup, replace=True)
    await restored(full, backup, replace=True)

    # Assert
    assert await kills.active() == [halt]


async def test_nobody_is_logged_in_by_a_restore(databases: Databases, full: Pool, tmp_path: Path) -> None:
    """Who has logged out since the backup would be in again."""
    # Arrange
    await full.execute(
        "INSERT INTO users (name, role, password_hash, must_change, created_at, password_at, seeded_by)"
        " VALUES ('ann', 'admin', 'x', false, '2024-01-01', '2024-01-01', '')"
    )
    await full.execute(
        "INSERT INTO user_sessions (digest, id, user_name, opened_at, used_at, address, agent)"
        " VALUES ('d', 'i', 'ann', '2024-01-01', '2024-01-01', '', '')"
    )
    await backed_up(full, tmp_path / "with-users.zip")

    # Act
    async with databases.pool(template=EMPTY) as target:
        await restored(target, tmp_path / "with-users.zip")

        # Assert
        assert await target.fetchval("SELECT count(*) FROM users") == 1
        assert await target.fetchval("SELECT count(*) FROM user_sessions") == 0


async def test_the_epoch_is_above_that_of_the_backup_and_that_of_what_was_replaced(full: Pool, backup: Path) -> None:
    await full.execute("UPDATE writer SET epoch = 41")

    await restored(full, backup, replace=True)

    assert await full.fetchval("SELECT epoch FROM writer") == 42


# -------------------------------------------------------------------------------------------------- what is refused


def rewritten(source: Path, target: Path, change: Callable[[dict[str, Any]], None], **entries: bytes | None) -> Path:
    """A copy of a backup with another manifest; an entry given as None is left out."""
    with zipfile.ZipFile(source) as good, zipfile.ZipFile(target, "w") as bad:
        manifest = json.loads(good.read("manifest.json"))
        change(manifest)
        parts = {name: good.read(name) for name in good.namelist()} | {"manifest.json": json.dumps(manifest).encode()}
        changed = {f"tables/{name}.copy": data for name, data in entries.items()}
        for name, data in (parts | changed).items():
            if data is not None:
                bad.writestr(name, data)
    return target


def nothing(_: dict[str, Any]) -> None:
    """The manifest stays as it is."""


def of_a_newer_program(manifest: dict[str, Any]) -> None:
    manifest["migrations"].append([99, "0099_future.sql", "0" * 64])


def of_an_edited_migration(manifest: dict[str, Any]) -> None:
    manifest["migrations"][0][2] = "0" * 64


def with_fewer_rows(manifest: dict[str, Any]) -> None:
    next(each for each in manifest["tables"] if each["name"] == "journal")["rows"] -= 1


def without_a_table(manifest: dict[str, Any]) -> None:
    manifest["tables"] = [each for each in manifest["tables"] if each["name"] != "journal"]


def of_another_format(manifest: dict[str, Any]) -> None:
    manifest["format"] = 2


def damaged_files(backup: Path, folder: Path) -> dict[str, tuple[Path, type[BotError], str]]:
    """Backups that must not be taken: the file, the error and a word of its text."""
    whole = backup.read_bytes()
    (folder / "cut.zip").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.zip").write_bytes(b"")
    at_byte = whole.index(b"tables/journal.copy") + 40
    (folder / "flipped.zip").write_bytes(whole[:at_byte] + bytes([whole[at_byte] ^ 1]) + whole[at_byte + 1 :])
    edit = folder / "edit.zip"
    return {
        "cut short": (folder / "cut.zip", DataError, "damaged"),
        "empty": (folder / "empty.zip", DataError, "damaged"),
        "one bit flipped": (folder / "flipped.zip", DataError, "damaged"),
        "rows edited": (rewritten(backup, edit, nothing, journal=b"1\t2024-01-01\tx\t\\N\t{}\n"), DataError, "journal"),
        "part missing": (rewritten(backup, folder / "p.zip", nothing, journal=None), DataError, "its manifest names"),
        "part added": (rewritten(backup, folder / "a.zip", nothing, evil=b""), DataError, "its manifest names"),
        "count edited": (rewritten(backup, folder / "c.zip", with_fewer_rows), DataError, "journal"),
        "table left out": (
            rewritten(backup, folder / "t.zip", without_a_table, journal=None),
            DataError,
            "same tables: journal",
        ),
        "format": (rewritten(backup, folder / "f.zip", of_another_format), DataError, "format"),
        "newer": (rewritten(backup, folder / "n.zip", of_a_newer_program), SchemaMismatch, "0099_future.sql"),
        "edited migration": (rewritten(backup, folder / "m.zip", of_an_edited_migration), SchemaMismatch, "checksum"),
    }


async def test_a_backup_that_is_not_whole_or_not_ours_is_refused_and_nothing_is_changed(
    full: Pool, backup: Path, tmp_path: Path
) -> None:
    before = await dump(full, without=())
    for name, (path, error, word) in damaged_files(backup, tmp_path).items():
        with pytest.raises(error, match=re.escape(word)):
            await restored(full, path, replace=True)
        assert await dump(full, without=()) == before, name


async def test_rows_that_the_schema_refuses_leave_everything_as_it_was(
    full: Pool, backup: Path, tmp_path: Path
) -> None:
    """The sums are right, the content is not: the error comes in the middle of the restore."""
    # Arrange
    with open_archive(backup) as archive:
        fills = next(each for each in archive.manifest.tables if each.name == "fills")
        text = b"".join(archive.pieces(fills)).replace(b"o1\t", b"xx\t")

    def true_sums(manifest: dict[str, Any]) -> None:
        import hashlib

        part = next(each for each in manifest["tables"] if each["name"] == "fills")
        part |= {"sha256": hashlib.sha256(text).hexdigest(), "size_bytes": len(text)}

    path = rewritten(backup, tmp_path / "orphan.zip", true_sums, fills=text)
    before = await dump(full, without=())

    # Act
    with pytest.raises(BotError, match="orders"):
        await restored(full, path, replace=True)

    # Assert
    assert await dump(full, without=()) == before


async def test_a_database_that_holds_rows_is_replaced_only_when_told_and_other_programs_tables_are_left_alone(
    full: Pool, backup: Path
) -> None:
    # Arrange
    at_backup = await dump(full)
    await full.execute("CREATE TABLE of_another_program AS SELECT 7 AS number")
    await PostgresStores(full).journal.append(entry_of_journal(9))

    # Act, assert
    with pytest.raises(UsageError, match=r"not empty \(rows: .*journal 4.*--replace"):
        await restored(full, backup)
    assert len((await dump(full))["journal"]) == 4

    await restored(full, backup, replace=True)
    assert await dump(full) == {**at_backup, "of_another_program": [b"7"]}


async def test_a_restore_is_refused_while_a_daemon_trades_there_and_else_a_freshly_migrated_database_counts_as_empty(
    databases: Databases, backup: Path
) -> None:
    async with databases.fresh() as dsn:
        target = await open_pool(dsn)
        async with WriterLock(dsn, SystemClock()).held():
            with pytest.raises(NotTheWriter, match="stop the daemon"):
                await restored(target, backup)
        await restored(target, backup)
        await target.close()


async def test_a_database_of_a_newer_program_is_neither_backed_up_nor_replaced(
    full: Pool, backup: Path, tmp_path: Path
) -> None:
    await full.execute("INSERT INTO schema_migrations VALUES (99, '0099_future.sql', 'x', '2024-01-01')")

    with pytest.raises(SchemaMismatch, match=r"newer than this code"):
        await backed_up(full, tmp_path / "never.zip")
    with pytest.raises(SchemaMismatch, match=r"0099_future.sql.*empty database"):
        await restored(full, backup, replace=True)

    assert not (tmp_path / "never.zip").exists()
    assert list(tmp_path.glob("*.partial")) == []


# ------------------------------------------------------------------------------------------------------- the file


async def test_the_file_is_for_its_owner_only_is_never_overwritten_and_holds_no_address(
    full: Pool, backup: Path
) -> None:
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="exists already"):
        await backed_up(full, backup)
    with zipfile.ZipFile(backup) as archive:
        manifest = archive.read("manifest.json").decode()
    assert "postgresql:" not in manifest
    assert str(backup.parent) not in manifest


async def test_a_sealed_backup_opens_with_its_key_only_and_a_changed_byte_is_found(
    databases: Databases, full: Pool, tmp_path: Path
) -> None:
    # Arrange
    key, other, path = Key(bytes(range(32))), Key(bytes(32)), tmp_path / "sealed.zip.sealed"
    await backed_up(full, path, key)
    before = await dump(full)
    content = path.read_bytes()
    changed = tmp_path / "changed.sealed"
    changed.write_bytes(content[:-20] + bytes([content[-20] ^ 1]) + content[-19:])

    # Act, assert
    assert b"journal" not in content
    with pytest.raises(UsageError, match="--key-file"):
        await restored(full, path)
    for file, with_key in ((path, other), (changed, key)):
        with pytest.raises(DataError, match="cannot be opened with this key"):
            await restored(full, file, key=with_key)
    async with databases.pool(template=EMPTY) as target:
        await restored(target, path, key=key)
        assert await dump(target) == before


async def test_every_table_that_the_migrations_make_is_known_as_ours(pool: Pool) -> None:
    rows = await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    views = await pool.fetch("SELECT viewname FROM pg_views WHERE schemaname = 'public'")
    functions = await pool.fetch("SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace")
    ours = made_by(read_migrations())

    assert {each["tablename"] for each in rows} <= set(ours["TABLE"])
    assert {each["viewname"] for each in views} <= set(ours["VIEW"])
    assert {each["proname"] for each in functions} <= set(ours["FUNCTION"])
