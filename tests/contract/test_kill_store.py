"""The kill switch's rows: one suite over PostgreSQL and memory."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.instruments import BINANCE, OANDA, BrokerId
from bot.interfaces import KillStore
from bot.models import NOT_KILLED, KillCause, KillLevel, KillState
from tests.contract.store_builders import at
from tests.postgres import Databases, shared_databases

L, C = KillLevel, KillCause


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def kills(request: pytest.FixtureRequest) -> AsyncIterator[KillStore]:
    if request.param == "memory":
        yield MemoryStores().kills
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool).kills


def press(
    level: KillLevel, cause: KillCause = C.COMMAND, minutes: float = 0, broker_id: BrokerId | None = None
) -> KillState:
    return KillState(level=level, by="ada", cause=cause, reason="looks wrong", at=at(minutes), broker_id=broker_id)


def release(cause: KillCause, broker_id: BrokerId | None = None) -> KillState:
    return KillState(level=L.NONE, by="daemon", cause=cause, reason="new day", at=at(9), broker_id=broker_id)


async def resumed(kills: KillStore, up_to: KillLevel) -> list[KillState]:
    return list(await kills.resume(up_to=up_to, by="eve", reason="all is well", at=at(8)))


async def test_nothing_is_pressed_at_first(kills: KillStore) -> None:
    assert await kills.current() == NOT_KILLED
    assert list(await kills.active()) == []
    assert list(await kills.history(5)) == []


async def test_whatever_can_press_is_stored_with_what_pressed(kills: KillStore) -> None:
    causes = [each for each in KillCause if each is not KillCause.NOTHING]
    for each in causes:
        assert await kills.set(press(L.PAUSE, each))
    assert [each.cause for each in await kills.active()] == causes


async def test_a_press_comes_back_as_it_was_pressed(kills: KillStore) -> None:
    assert await kills.set(press(L.HALT))
    assert await kills.current() == press(L.HALT)
    assert list(await kills.history(5)) == [press(L.HALT)]


async def test_a_second_press_of_the_same_changes_nothing_and_adds_no_row(kills: KillStore) -> None:
    await kills.set(press(L.FLATTEN, minutes=1))
    assert not await kills.set(press(L.FLATTEN, minutes=2))
    assert await kills.current() == press(L.FLATTEN, minutes=1)
    assert len(await kills.history(5)) == 1


async def test_two_presses_at_the_same_moment_are_one_row(kills: KillStore) -> None:
    answers = await asyncio.gather(*(kills.set(press(L.PAUSE)) for _ in range(5)))
    assert sorted(answers) == [False, False, False, False, True]
    assert len(await kills.history(9)) == 1


async def test_the_strongest_of_several_holds_and_a_weaker_press_lowers_nothing(kills: KillStore) -> None:
    await kills.set(press(L.FLATTEN))
    assert await kills.set(press(L.PAUSE, minutes=1))
    assert (await kills.current()).level is L.FLATTEN
    await kills.set(press(L.HALT, C.PAGE, minutes=2))
    assert (await kills.current()).level is L.HALT
    assert [each.level for each in await kills.active()] == [L.FLATTEN, L.PAUSE, L.HALT]


async def test_of_equal_levels_the_first_press_is_named(kills: KillStore) -> None:
    await kills.set(press(L.PAUSE, C.DRAWDOWN, 1))
    await kills.set(press(L.PAUSE, C.PAGE, 2))
    assert (await kills.current()).cause is C.DRAWDOWN


async def test_a_latch_of_one_broker_holds_there_and_in_the_whole_but_not_elsewhere(kills: KillStore) -> None:
    await kills.set(press(L.PAUSE, C.DAILY_LOSS, broker_id=OANDA))
    assert (await kills.current(OANDA)).level is L.PAUSE
    assert (await kills.current(BINANCE)).level is L.NONE
    assert (await kills.current()).level is L.PAUSE


async def test_a_release_ends_its_own_cause_and_broker_only(kills: KillStore) -> None:
    await kills.set(press(L.PAUSE, C.DAILY_LOSS, broker_id=OANDA))
    await kills.set(press(L.PAUSE, C.DAILY_LOSS, broker_id=BINANCE))
    await kills.set(press(L.PAUSE, C.COMMAND))
    assert await kills.set(release(C.DAILY_LOSS, OANDA))
    assert [(each.cause, each.broker_id) for each in await kills.active()] == [
        (C.DAILY_LOSS, BINANCE),
        (C.COMMAND, None),
    ]
    assert not await kills.set(release(C.DAILY_LOSS, OANDA)), "there is nothing left to release"


async def test_what_was_released_can_be_pressed_again(kills: KillStore) -> None:
    await kills.set(press(L.PAUSE, minutes=1))
    await kills.set(release(C.COMMAND))
    assert await kills.set(press(L.PAUSE, minutes=3))
    assert await kills.current() == press(L.PAUSE, minutes=3)


async def test_resuming_releases_everything_but_the_daily_loss_and_says_what(kills: KillStore) -> None:
    held = [press(L.FLATTEN), press(L.PAUSE, minutes=1), press(L.PAUSE, C.DRAWDOWN, 2)]
    for each in (*held, press(L.PAUSE, C.DAILY_LOSS, 3, OANDA)):
        await kills.set(each)
    assert await resumed(kills, L.FLATTEN) == held
    assert [each.cause for each in await kills.active()] == [C.DAILY_LOSS]
    rows = await kills.history(9)
    assert [(each.level, each.cause, each.by, each.reason) for each in rows[:2]] == [
        (L.NONE, C.DRAWDOWN, "eve", "all is well"),
        (L.NONE, C.COMMAND, "eve", "all is well"),
    ], "one row for each cause"
    assert len(rows) == 6


async def test_resuming_does_nothing_at_all_where_something_stronger_holds(kills: KillStore) -> None:
    await kills.set(press(L.PAUSE))
    await kills.set(press(L.HALT, C.PAGE, 1))
    assert await resumed(kills, L.FLATTEN) == []
    assert len(await kills.active()) == 2
    assert len(await kills.history(9)) == 2


async def test_resuming_from_nothing_adds_no_row(kills: KillStore) -> None:
    assert await resumed(kills, L.HALT) == []
    assert list(await kills.history(9)) == []


async def test_history_is_newest_first_and_as_long_as_asked(kills: KillStore) -> None:
    for minutes, level in enumerate((L.PAUSE, L.FLATTEN, L.HALT)):
        await kills.set(press(level, minutes=-minutes))
    assert [each.level for each in await kills.history(2)] == [L.HALT, L.FLATTEN], "by the order pressed, not by `at`"


async def test_text_that_postgresql_cannot_keep_does_not_stop_a_press(kills: KillStore) -> None:
    hostile = KillState(level=L.HALT, by="a\x00b", cause=C.COMMAND, reason="\ud800", at=at(0))
    assert await kills.set(hostile)
    assert (await kills.current()).level is L.HALT


def test_levels_are_ordered_by_what_they_stop_and_not_by_their_letters() -> None:
    assert sorted([L.HALT, L.NONE, L.PAUSE, L.FLATTEN]) == [L.NONE, L.PAUSE, L.FLATTEN, L.HALT]
    assert L.PAUSE < L.FLATTEN < L.HALT
    assert L.HALT >= L.HALT > L.PAUSE
    assert L.NONE <= L.PAUSE
