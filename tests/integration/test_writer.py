"""One daemon sends on a database: the lock, the epoch, and how soon a lost one is noticed."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bot.clock import SystemClock
from bot.database.pool import Pool, open_pool
from bot.database.postgres import PostgresStores
from bot.database.writer import WriterLock
from bot.errors import NotTheWriter
from bot.interfaces import Stores
from bot.models import ClientOrderId, OrderState
from tests.contract.store_builders import at, order
from tests.integration.daemons import PROJECT
from tests.postgres import Databases

# A server is shared by tests that run at the same time: only what is held in this database is ours.
HELD = """
    SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""
CUT = """
    SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database
    WHERE locktype = 'advisory' AND granted AND datname = current_database()
"""


async def send(stores: Stores, name: str) -> None:
    """What comes before the first byte of an order."""
    first = order(name, signal=None)
    await stores.orders.record_intent((first,), signal_id=None)
    await stores.orders.transition(
        first.client_order_id, expected=OrderState.INTENT, state=OrderState.SENDING, cause="test", at=at(1)
    )


async def test_a_second_daemon_on_the_same_database_is_refused_by_name(databases: Databases) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held() as first:
        with pytest.raises(NotTheWriter, match="another daemon trades on this database"):
            async with WriterLock(dsn, SystemClock()).held():
                pass
        assert first.is_held


async def test_a_lock_that_was_given_back_can_be_taken_again_with_a_later_epoch(databases: Databases) -> None:
    async with databases.fresh() as dsn:
        async with WriterLock(dsn, SystemClock()).held() as first:
            before = first.epoch()
        assert first.refusal() == "given back"
        async with WriterLock(dsn, SystemClock()).held() as second:
            assert second.epoch() == before + 1


async def test_the_writer_stores_intents_and_sends(databases: Databases) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held() as lock:
        pool = await open_pool(dsn)
        stores = PostgresStores(pool, lock.epoch)
        await send(stores, "o1")
        assert (await stores.orders.order(ClientOrderId("o1"))).state is OrderState.SENDING
        await stores.close()


async def test_a_lost_lock_connection_stops_sending_within_a_second(databases: Databases) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held() as lock:
        pool = await open_pool(dsn)
        stores = PostgresStores(pool, lock.epoch)
        await cut(pool)
        began = SystemClock().monotonic()
        while lock.is_held:
            await SystemClock().sleep(0.01)
        assert SystemClock().monotonic() - began < 1
        with pytest.raises(NotTheWriter):
            await send(stores, "o1")
        assert await stores.orders.unfinished_orders() == []
        await stores.close()


async def test_a_writer_that_has_not_noticed_its_loss_is_fenced_by_the_epoch_of_the_next(databases: Databases) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held() as first:
        pool = await open_pool(dsn)
        epoch = first.epoch()
        unaware = PostgresStores(pool, lambda: epoch)
        await unaware.orders.record_intent((order("o1", signal=None),), signal_id=None)
        await cut(pool)
        async with WriterLock(dsn, SystemClock()).held():
            with pytest.raises(NotTheWriter, match="another daemon has taken over"):
                await unaware.orders.record_intent((order("o2", signal=None),), signal_id=None)
            with pytest.raises(NotTheWriter):
                await unaware.orders.transition(
                    ClientOrderId("o1"), expected=OrderState.INTENT, state=OrderState.SENDING, cause="test", at=at(1)
                )
            assert (await unaware.orders.order(ClientOrderId("o1"))).state is OrderState.INTENT
        await unaware.close()


async def cut(pool: Pool) -> None:
    """End the connection that holds the lock, and wait until the server has let go of it."""
    await pool.execute(CUT)
    while await pool.fetchval(HELD):
        await SystemClock().sleep(0.01)


async def test_a_second_daemon_process_refuses_to_start_and_says_why(databases: Databases, tmp_path: Path) -> None:
    async with databases.fresh() as dsn, WriterLock(dsn, SystemClock()).held():
        command = [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(tmp_path / "data"), "--port", "0"]
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "DATABASE_URL": dsn}
        second = await asyncio.create_subprocess_exec(
            *command, env=environment, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        _, said = await second.communicate()
        assert (second.returncode, b"another daemon trades on this database" in said) == (NotTheWriter.exit_code, True)
