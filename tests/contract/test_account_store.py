"""Which account a database belongs to: one suite over PostgreSQL and memory."""

from collections.abc import AsyncIterator, Iterator

import pytest

from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.instruments import BINANCE, OANDA
from bot.interfaces import AccountStore
from tests.contract.store_builders import at
from tests.postgres import Databases, shared_databases


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def accounts(request: pytest.FixtureRequest) -> AsyncIterator[AccountStore]:
    if request.param == "memory":
        yield MemoryStores().accounts
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool).accounts


async def test_the_first_account_of_a_venue_stays_the_one_it_is_bound_to(accounts: AccountStore) -> None:
    first = await accounts.bind(OANDA, fingerprint="aaa", account="…001", at=at(0))

    second = await accounts.bind(OANDA, fingerprint="bbb", account="…002", at=at(1))

    assert first == second == ("aaa", "…001")


async def test_each_venue_is_bound_by_itself(accounts: AccountStore) -> None:
    await accounts.bind(OANDA, fingerprint="aaa", account="…001", at=at(0))

    bound = await accounts.bind(BINANCE, fingerprint="ccc", account="…003", at=at(1))

    assert bound == ("ccc", "…003")
