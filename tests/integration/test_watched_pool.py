"""What the simulator needs of a real server: to be told between two statements, and to end a process's sessions."""

import asyncpg
import pytest

from bot.clock import SystemClock
from bot.database.watched import end_sessions, sessions, watched_pool, writers
from bot.database.writer import WriterLock
from tests.postgres import Databases

WRITE = "INSERT INTO fill_cursors (broker_id, cursor) VALUES ('binance', '7')"
READ = "SELECT cursor FROM fill_cursors"


async def test_answers_are_told_inside_a_transaction_and_nowhere_else(databases: Databases) -> None:
    told = list[str]()

    async def tell() -> None:
        told.append("answer")

    async with databases.fresh() as dsn, await watched_pool(dsn, tell) as pool:
        await pool.execute(WRITE)
        await pool.fetchval(READ)
        assert told == []

        async with pool.acquire() as connection, connection.transaction():
            await connection.fetchrow(READ)
            await connection.fetch(READ)

        assert told == ["answer"] * 3  # BEGIN and two statements; after COMMIT nothing can be undone


async def test_an_ended_session_has_stored_nothing_of_its_open_transaction(databases: Databases) -> None:
    async with databases.fresh() as dsn, await watched_pool(dsn) as ours:
        before = await sessions(ours)
        theirs = await watched_pool(dsn)
        async with theirs.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(WRITE)

            await end_sessions(ours, await sessions(ours) - before)

            with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                await connection.fetchval(READ)
        theirs.terminate()
        assert await ours.fetchval(READ) is None


async def test_a_database_is_dropped_whoever_is_in_it(databases: Databases) -> None:
    async with databases.fresh() as dsn:
        # As an autovacuum worker is: not a session of ours, and not for us to end
        stranger = await asyncpg.connect(dsn.replace("user=bot", "user=postgres"))

        await databases.server.drop_database(dsn.partition("///")[2].partition("?")[0])

        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await stranger.execute("SELECT 1")
        stranger.terminate()


async def test_the_lock_of_an_ended_session_is_free(databases: Databases) -> None:
    async with databases.fresh() as dsn, await watched_pool(dsn) as pool, WriterLock(dsn, SystemClock()).held():
        held = await writers(pool)
        assert len(held) == 1

        await end_sessions(pool, held)

        assert await writers(pool) == frozenset()
        async with WriterLock(dsn, SystemClock()).held() as successor:
            assert successor.is_held
