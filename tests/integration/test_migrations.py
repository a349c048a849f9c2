"""Migrations on the real PostgreSQL."""

import asyncio
import shutil
from pathlib import Path

import pytest

from bot.clock import ManualClock
from bot.database.memory import MemoryStores
from bot.database.migrate import MIGRATIONS, migrate, pending_migrations, read_migrations
from bot.database.pool import Pool
from bot.database.postgres import PostgresStores
from bot.errors import SchemaMismatch
from bot.reports import SignalFilter, TradeFilter, TradeGroup
from tests.fakes.dashboard_years import fill_weeks, weeks
from tests.postgres import START

# A server is shared by tests that run at the same time: only what is held in this database is ours.
HELD = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""
ALL = TradeFilter()
CLOCK = ManualClock(START)
APPLIED = "SELECT name FROM schema_migrations ORDER BY number"


def write(directory: Path, **files: str) -> Path:
    for name, sql in files.items():
        (directory / f"{name.removeprefix('n')}.sql").write_text(sql)
    return directory


async def names(pool: Pool) -> list[str]:
    return [row["name"] for row in await pool.fetch(APPLIED)]


async def tables(pool: Pool) -> set[str]:
    return {row["tablename"] for row in await pool.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


async def test_an_empty_database_gets_every_migration_in_order_with_the_clocks_instant(
    empty_pool: Pool, tmp_path: Path
) -> None:
    # Arrange
    directory = write(tmp_path, n0001_one="CREATE TABLE one ()", n0002_two="ALTER TABLE one ADD COLUMN a int")

    # Act
    applied = await migrate(empty_pool, CLOCK, directory)

    # Assert
    assert applied == ("0001_one.sql", "0002_two.sql")
    assert await names(empty_pool) == list(applied)
    assert await empty_pool.fetchval("SELECT max(applied_at) FROM schema_migrations") == START


async def test_migrating_again_applies_nothing(empty_pool: Pool) -> None:
    await migrate(empty_pool, CLOCK)
    assert await migrate(empty_pool, CLOCK) == ()


async def test_only_what_was_added_since_is_applied(empty_pool: Pool, tmp_path: Path) -> None:
    # Arrange
    await migrate(empty_pool, CLOCK, write(tmp_path, n0001_one="CREATE TABLE one ()"))
    write(tmp_path, n0002_two="CREATE TABLE two ()")

    # Act
    pending = await pending_migrations(empty_pool, tmp_path)
    applied = await migrate(empty_pool, CLOCK, tmp_path)

    # Assert
    assert pending == applied == ("0002_two.sql",)


async def test_asking_what_is_pending_changes_nothing(empty_pool: Pool) -> None:
    pending = await pending_migrations(empty_pool)
    assert pending == tuple(each.name for each in read_migrations(MIGRATIONS))
    assert await tables(empty_pool) == set()


async def test_an_edited_migration_is_refused_by_name_with_the_next_step(empty_pool: Pool, tmp_path: Path) -> None:
    # Arrange
    await migrate(empty_pool, CLOCK, write(tmp_path, n0001_one="CREATE TABLE one ()"))
    write(tmp_path, n0001_one="CREATE TABLE one (a int)", n0002_two="CREATE TABLE two ()")

    # Act
    with pytest.raises(SchemaMismatch, match=r"0001_one\.sql was edited after it ran.*new migration"):
        await migrate(empty_pool, CLOCK, tmp_path)

    # Assert
    assert "two" not in await tables(empty_pool)


async def test_a_checkout_with_windows_line_ends_is_the_same_migration(empty_pool: Pool, tmp_path: Path) -> None:
    await migrate(empty_pool, CLOCK, write(tmp_path, n0001_one="CREATE TABLE\none ()"))
    (tmp_path / "0001_one.sql").write_bytes(b"CREATE TABLE\r\none ()")
    assert await migrate(empty_pool, CLOCK, tmp_path) == ()


async def test_a_database_newer_than_the_code_is_refused(empty_pool: Pool, tmp_path: Path) -> None:
    # Arrange
    await migrate(empty_pool, CLOCK, write(tmp_path, n0001_one="SELECT 1", n0002_two="SELECT 2"))
    (tmp_path / "0002_two.sql").unlink()

    # Act, assert
    with pytest.raises(SchemaMismatch, match=r"newer than this code: it has migration 0002_two\.sql"):
        await migrate(empty_pool, CLOCK, tmp_path)
    with pytest.raises(SchemaMismatch, match="newer than this code"):
        await pending_migrations(empty_pool, tmp_path)


async def test_a_database_of_another_program_line_is_refused(empty_pool: Pool, tmp_path: Path) -> None:
    await migrate(empty_pool, CLOCK, write(tmp_path, n0001_one="SELECT 1"))
    (tmp_path / "0001_one.sql").rename(tmp_path / "0001_other.sql")
    with pytest.raises(SchemaMismatch, match=r"applied 0001_one\.sql where this code has 0001_other\.sql"):
        await migrate(empty_pool, CLOCK, tmp_path)


async def test_a_migration_that_fails_leaves_nothing_of_itself_and_keeps_those_before_it(
    empty_pool: Pool, tmp_path: Path
) -> None:
    # Arrange
    broken = "CREATE TABLE half (); CREATE TABLE one ();"
    directory = write(tmp_path, n0001_one="CREATE TABLE one ()", n0002_two=broken)

    # Act
    with pytest.raises(SchemaMismatch, match=r"0002_two\.sql failed.*already exists"):
        await migrate(empty_pool, CLOCK, directory)

    # Assert
    assert await names(empty_pool) == ["0001_one.sql"]
    assert "half" not in await tables(empty_pool)


async def test_two_daemons_that_start_at_once_apply_each_migration_once(empty_pool: Pool, tmp_path: Path) -> None:
    # Arrange: without the lock both would find it pending, and one would fail on the table of the other
    directory = write(tmp_path, n0001_one="SELECT pg_sleep(0.05); CREATE TABLE one ()", n0002_two="CREATE TABLE two ()")

    # Act
    both = await asyncio.gather(*(migrate(empty_pool, CLOCK, directory) for _ in range(2)))

    # Assert
    assert sorted(both) == [(), ("0001_one.sql", "0002_two.sql")]


async def test_the_lock_is_free_again_after_a_failure(empty_pool: Pool, tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch):
        await migrate(empty_pool, CLOCK, write(tmp_path, n0001_one="nonsense"))
    held = await empty_pool.fetchval(HELD)
    assert held == 0


@pytest.mark.parametrize(
    "files",
    [{"n0002_two": ""}, {"n0001_one": "", "n0003_three": ""}, {"n0001_one": "", "n0001_two": ""}, {"n1_one": ""}, {}],
    ids=["first missing", "hole", "number twice", "wrong name", "none"],
)
def test_files_must_be_numbered_from_one_without_a_hole(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(SchemaMismatch):
        read_migrations(write(tmp_path, **files))


async def test_figures_of_what_was_there_before_them_are_filled_in(empty_pool: Pool, tmp_path: Path) -> None:
    """Rows of a version before 0014: its reports and those of today tell the same."""
    # Arrange
    for each in sorted(MIGRATIONS.glob("*.sql"))[:13]:
        shutil.copy(each, tmp_path)
    await migrate(empty_pool, CLOCK, tmp_path)
    drawn = weeks(signals=120, trades=40, snapshots=0)
    expected, found = MemoryStores(), PostgresStores(empty_pool)
    for stores in (expected, found):
        await fill_weeks(stores, drawn)

    # Act
    await migrate(empty_pool, CLOCK)

    # Assert
    assert len(drawn.trades) == await found.orders.closed_count() == 40
    assert await found.signals.counts() == await expected.signals.counts()
    for by in (TradeGroup.ALL, TradeGroup.ANALYST, TradeGroup.HOUR):
        told, wanted = await found.reports.trade_figures(ALL, by), await expected.reports.trade_figures(ALL, by)
        assert [(each.name, each.net) for each in told] == [(each.name, each.net) for each in wanted]
        assert [each.fall_r for each in told] == pytest.approx([each.fall_r for each in wanted])
    verdicts = await found.reports.verdicts(SignalFilter())
    wanted_verdicts = await expected.reports.verdicts(SignalFilter())
    assert [(each.status, each.stopped_by, each.signals, each.decided) for each in verdicts] == [
        (each.status, each.stopped_by, each.signals, each.decided) for each in wanted_verdicts
    ]
    assert [each.r_sum for each in verdicts] == pytest.approx([each.r_sum for each in wanted_verdicts])
