"""Wiring of the commands that read what a daemon has stored, without disturbing it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.clock import SystemClock
from bot.config import Loaded
from bot.database.embedded import EmbeddedPostgres
from bot.database.pool import open_pool
from bot.database.postgres import PostgresStores
from bot.interfaces import Stores


@asynccontextmanager
async def stores_of_running_daemon(loaded: Loaded) -> AsyncIterator[Stores]:
    """The stores of DATABASE_URL, or of the embedded server that the daemon of this data directory keeps running.

    Call it only while that daemon runs, or the server would be started and left behind. It is never stopped here.
    Raises DatabaseUnavailable or StorageError.
    """
    dsn = loaded.settings.run.database_url
    if not dsn:
        dsn = await EmbeddedPostgres(loaded.data_directory / "postgres", sleep=SystemClock().sleep).start()
    stores = PostgresStores(await open_pool(dsn))
    try:
        yield stores
    finally:
        await stores.close()
