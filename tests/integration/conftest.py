"""What integration tests share: a PostgreSQL for the run, a fresh database for each test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from bot.database.pool import Pool
from tests.integration.daemons import Start, started_on
from tests.postgres import Databases, shared_databases


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Makes fresh databases."""
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture
async def pool(databases: Databases) -> AsyncIterator[Pool]:
    """A pool on a fresh, migrated database."""
    async with databases.pool() as opened:
        yield opened


@pytest.fixture
async def empty_pool(databases: Databases) -> AsyncIterator[Pool]:
    """A pool on a fresh database without any table."""
    async with databases.pool(template="template1") as opened:
        yield opened


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data directory of the test's own, for daemons."""
    return tmp_path / "data"


@pytest.fixture
def start(data: Path) -> Iterator[Start]:
    """Starts daemons on it."""
    yield from started_on(data)
