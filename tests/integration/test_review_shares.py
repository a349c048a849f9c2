"""Whatever is looked at, trading has its connections (RELIABILITY: nothing may delay an exit)."""

import asyncio

import asyncpg

from bot.database.pool import open_pool
from bot.wiring.shares import open_shares
from tests.postgres import Databases

_PAGES = 30
_MORE_THAN_ENOUGH_S = 10.0


async def test_pages_that_wait_for_the_database_leave_trading_its_connections(databases: Databases) -> None:
    async with databases.fresh() as dsn, open_shares(dsn, await open_pool(dsn), lambda: None) as shares:
        # Arrange: everybody who reads positions waits
        holder = await asyncpg.connect(dsn)
        await holder.execute("BEGIN; LOCK TABLE positions IN ACCESS EXCLUSIVE MODE")
        looking = [asyncio.create_task(shares.pages.orders.open_positions()) for _ in range(_PAGES)]
        while shares.pages.pool_use().used < shares.pages.pool_use().most:
            await asyncio.wait(looking, timeout=0.01)

        # Act
        async with asyncio.timeout(_MORE_THAN_ENOUGH_S):
            held = await shares.trading.kills.active()

        # Assert
        assert list(held) == []
        assert not any(each.done() for each in looking)
        await holder.execute("ROLLBACK")
        await asyncio.gather(*looking)
        await holder.close()
