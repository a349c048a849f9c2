"""Wiring of the database: trading has connections of its own, so that no page that reads long makes an exit wait."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from bot.database.pool import Pool, open_pool
from bot.database.postgres import PostgresStores

_FOR_PAGES: Final = 4  # connections


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """The same stores twice: for trading, and for whoever looks."""

    trading: PostgresStores
    pages: PostgresStores


@asynccontextmanager
async def open_shares(dsn: str, pool: Pool, epoch: Callable[[], int | None]) -> AsyncIterator[Shares]:
    """Over `pool`, which is trading's from here on, and a smaller one. Raises DatabaseUnavailable."""
    trading = PostgresStores(pool, epoch)
    try:
        pages = PostgresStores(await open_pool(dsn, most=_FOR_PAGES), epoch)
        try:
            yield Shares(trading=trading, pages=pages)
        finally:
            await pages.close()
    finally:
        await trading.close()
