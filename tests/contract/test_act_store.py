"""Acts that are done once, as stored: one suite over PostgreSQL and memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from bot.access import Act
from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.interfaces import Stores
from tests.contract.store_builders import at
from tests.postgres import Databases, shared_databases

ACT = Act(who="ada", key="close-1", fingerprint="f1", at=at(0))


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield MemoryStores()
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool)


async def test_an_act_begins_once_and_is_then_known_with_how_it_ended(stores: Stores) -> None:
    later = replace(ACT, fingerprint="f2", at=at(5))
    assert await stores.acts.begin(ACT, forget_before=at(-60)) is None
    assert await stores.acts.begin(later, forget_before=at(-60)) == ACT
    await stores.acts.end(ACT, status=200, answer='{"é": 1}')
    await stores.acts.end(ACT, status=409, answer="too late")
    assert await stores.acts.begin(later, forget_before=at(-60)) == replace(ACT, status=200, answer='{"é": 1}')


async def test_keys_belong_to_whoever_gave_them(stores: Stores) -> None:
    assert await stores.acts.begin(ACT, forget_before=at(-60)) is None
    assert await stores.acts.begin(replace(ACT, who="otto"), forget_before=at(-60)) is None


async def test_what_was_not_done_or_is_old_may_begin_again(stores: Stores) -> None:
    await stores.acts.begin(ACT, forget_before=at(-60))
    await stores.acts.forget(ACT)
    assert await stores.acts.begin(ACT, forget_before=at(-60)) is None
    assert await stores.acts.begin(replace(ACT, at=at(5)), forget_before=at(1)) is None


async def test_of_the_same_act_asked_for_at_once_one_begins(stores: Stores) -> None:
    begun = await asyncio.gather(*(stores.acts.begin(replace(ACT, at=at(n)), forget_before=at(-60)) for n in range(8)))
    assert begun.count(None) == 1
