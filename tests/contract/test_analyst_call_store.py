"""Requests to models as rows: one suite over PostgreSQL and memory."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bot.analyst_calls import (
    ANSWERED,
    AnalystCall,
    CallState,
    SpendCaps,
    SpendRefused,
    SpendWindow,
    Usage,
)
from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.interfaces import AnalystCallStore
from bot.models import SignalId
from tests.postgres import Databases, shared_databases

NOON = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)
WIDE = SpendCaps(hour=Decimal(10), day=Decimal(10), month=Decimal(10))


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def calls(request: pytest.FixtureRequest) -> AsyncIterator[AnalystCallStore]:
    if request.param == "memory":
        yield MemoryStores().analyst_calls
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool).analyst_calls


def call(**changes: Any) -> AnalystCall:
    usual = AnalystCall(
        key="a" * 64,
        model="claude-haiku-5-5",
        at=NOON,
        reserved=Decimal("0.50"),
        request_body={"model": "claude-haiku-5-5", "messages": [{"role": "user", "content": "ä\u2028"}]},
        symbol="EUR_USD",
        signal_id="s1",
    )
    return replace(usual, **changes)


def settled(before: AnalystCall, cost: str = "0.10", **changes: Any) -> AnalystCall:
    usage = Usage(input_tokens=7, cache_write_tokens=5, cache_read_tokens=3, output_tokens=11, cost=Decimal(cost))
    usual: dict[str, Any] = {
        "state": CallState.SETTLED,
        "outcome": ANSWERED,
        "usage": usage,
        "reply_body": {"content": [1.5]},
    }
    return replace(before, **(usual | {"latency_s": 1.25, "request_id": "req_1"} | changes))


async def reserved(calls: AnalystCallStore, new: AnalystCall, caps: SpendCaps = WIDE) -> AnalystCall:
    number = await calls.reserve(new, caps)
    assert isinstance(number, int)
    return replace(new, number=number)


async def test_a_call_comes_back_as_it_was_settled(calls: AnalystCallStore) -> None:
    done = settled(await reserved(calls, call()))

    await calls.settle(done)

    assert list(await calls.recent(5)) == [done]
    assert list(await calls.about(SignalId("s1"))) == [done]
    assert await calls.answered(done.key, done.model, origin="live") == done


async def test_a_reservation_counts_in_full_until_it_is_settled(calls: AnalystCallStore) -> None:
    open_call = await reserved(calls, call())
    before = await calls.spent(NOON)
    await calls.settle(settled(open_call))
    after = await calls.spent(NOON)

    assert before == dict.fromkeys(SpendWindow, Decimal("0.50"))
    assert after == dict.fromkeys(SpendWindow, Decimal("0.10"))


async def test_a_call_without_word_of_its_cost_stays_counted_in_full(calls: AnalystCallStore) -> None:
    open_call = await reserved(calls, call())

    await calls.settle(replace(open_call, state=CallState.UNKNOWN, outcome="timeout"))

    assert (await calls.spent(NOON))[SpendWindow.HOUR] == Decimal("0.50")


async def test_what_was_settled_stays_as_it_is(calls: AnalystCallStore) -> None:
    done = settled(await reserved(calls, call()))
    await calls.settle(done)

    await calls.settle(replace(done, usage=Usage(cost=Decimal(9))))

    assert list(await calls.recent(5)) == [done]


@pytest.mark.parametrize("window", list(SpendWindow))
async def test_a_cap_may_be_reached_and_not_passed(calls: AnalystCallStore, window: SpendWindow) -> None:
    caps = replace(WIDE, **{window.value: Decimal("1.00")})
    await reserved(calls, call(), caps)
    await reserved(calls, call(), caps)

    refused = await calls.reserve(call(reserved=Decimal("0.000001")), caps)

    assert refused == SpendRefused(window=window, spent=Decimal("1.00"), asked=Decimal("0.000001"), cap=Decimal("1.00"))
    assert len(await calls.recent(5)) == 2


async def test_each_window_begins_anew(calls: AnalystCallStore) -> None:
    await reserved(calls, call())

    spent = [
        await calls.spent(NOON + later) for later in (timedelta(minutes=30), timedelta(hours=12), timedelta(days=17))
    ]

    assert [dict(each) for each in spent] == [
        {SpendWindow.HOUR: 0, SpendWindow.DAY: Decimal("0.50"), SpendWindow.MONTH: Decimal("0.50")},
        {SpendWindow.HOUR: 0, SpendWindow.DAY: 0, SpendWindow.MONTH: Decimal("0.50")},
        {SpendWindow.HOUR: 0, SpendWindow.DAY: 0, SpendWindow.MONTH: 0},
    ]


async def test_what_a_dead_process_left_is_marked_and_stays_counted(calls: AnalystCallStore) -> None:
    await reserved(calls, call())
    await reserved(calls, call(at=NOON + timedelta(hours=2)))
    await calls.settle(settled(await reserved(calls, call())))

    marked = await calls.expire(NOON + timedelta(hours=1))

    assert marked == 1
    assert [each.state for each in reversed(await calls.recent(5))] == [
        CallState.UNKNOWN,
        CallState.RESERVED,
        CallState.SETTLED,
    ]
    assert (await calls.spent(NOON))[SpendWindow.DAY] == Decimal("1.10")


async def test_word_that_comes_after_all_ends_the_doubt(calls: AnalystCallStore) -> None:
    open_call = await reserved(calls, call())
    await calls.expire(NOON + timedelta(hours=1))

    await calls.settle(settled(open_call))

    assert (await calls.spent(NOON))[SpendWindow.HOUR] == Decimal("0.10")


async def test_a_recording_from_elsewhere_costs_nothing_and_is_stored_once(calls: AnalystCallStore) -> None:
    foreign = settled(call(origin="hand", state=CallState.IMPORTED), state=CallState.IMPORTED)

    added = [await calls.add(foreign), await calls.add(foreign)]

    assert added == [True, False]
    assert (await calls.spent(NOON))[SpendWindow.MONTH] == 0
    assert await calls.answered(foreign.key, foreign.model, origin="live") is None
    found = await calls.answered(foreign.key, foreign.model, origin="hand")
    assert found == replace(foreign, number=found.number if found else 0)


async def test_the_newest_answer_of_the_asked_model_is_found(calls: AnalystCallStore) -> None:
    for text in ("first", "second"):
        await calls.settle(settled(await reserved(calls, call()), reply_body={"text": text}))
    await calls.settle(settled(await reserved(calls, call(model="claude-opus-5-5"))))
    await calls.settle(settled(await reserved(calls, call()), outcome="refusal"))

    found = await calls.answered("a" * 64, "claude-haiku-5-5", origin="live")

    assert found is not None
    assert found.reply_body == {"text": "second"}


async def test_costs_are_told_by_day_symbol_and_model(calls: AnalystCallStore) -> None:
    await calls.settle(settled(await reserved(calls, call())))
    await calls.settle(settled(await reserved(calls, call()), cost="0.20", outcome="refusal"))
    await reserved(calls, call(symbol="BTC/USDT", at=NOON + timedelta(days=1)))
    await reserved(calls, call(at=NOON - timedelta(days=9)))

    first, second = await calls.costs(NOON - timedelta(days=1))

    assert (first.day, first.symbol, first.model) == (date(2026, 3, 15), "EUR_USD", "claude-haiku-5-5")
    assert (first.requests, first.answered, first.without_word) == (2, 1, 0)
    assert first.usage == Usage(
        input_tokens=14, cache_write_tokens=10, cache_read_tokens=6, output_tokens=22, cost=Decimal("0.30")
    )
    assert (second.day, second.symbol, second.without_word) == (date(2026, 3, 16), "BTC/USDT", 1)
    assert second.usage.cost == Decimal("0.50")


async def test_text_that_no_database_holds_is_stored_all_the_same(calls: AnalystCallStore) -> None:
    open_call = await reserved(calls, call(request_body={"text": "a\x00b"}))

    await calls.settle(settled(open_call, reply_body={"text": "\ud800"}, says="x\x00"))

    assert len(await calls.recent(1)) == 1


async def test_of_many_at_once_that_each_fit_alone_one_is_taken(calls: AnalystCallStore) -> None:
    await asyncio.gather(*(calls.spent(NOON) for _ in range(12)))  # all connections are there, so that they do compete
    caps = replace(WIDE, hour=Decimal("1.00"))

    answers = await asyncio.gather(*(calls.reserve(call(reserved=Decimal("0.60")), caps) for _ in range(12)))

    assert sum(isinstance(each, int) for each in answers) == 1


@pytest.mark.parametrize("seed", range(3))
async def test_fifty_at_once_with_crashes_never_pass_a_cap_by_a_cent(calls: AnalystCallStore, seed: int) -> None:
    dice = random.Random(seed)
    caps = replace(WIDE, hour=Decimal("1.00"))
    paid: list[Decimal] = []
    await asyncio.gather(*(calls.spent(NOON) for _ in range(12)))  # all connections are there, so that they do compete

    async def ask(worst: Decimal, share: Decimal, crashes: bool) -> None:
        number = await calls.reserve(call(reserved=worst), caps)
        if isinstance(number, SpendRefused):
            return
        paid.append(worst * share)  # the server has answered, whatever becomes of us
        assert sum(paid) <= caps.hour
        if not crashes:
            await calls.settle(settled(call(number=number, reserved=worst), cost=str(worst * share)))

    tasks = []
    for _ in range(50):
        worst = Decimal(dice.randint(50, 200)) / 1_000
        tasks.append(ask(worst, Decimal(dice.randint(80, 100)) / 100, dice.random() < 0.3))
    await asyncio.gather(*tasks)

    assert len(paid) >= 5
    assert sum(paid) <= (await calls.spent(NOON))[SpendWindow.HOUR] <= caps.hour


async def test_the_sums_by_hour_are_those_of_the_calls(databases: Databases) -> None:
    async with databases.pool() as pool:
        calls = PostgresStores(pool).analyst_calls
        for minutes in (0, 20, 40, 61):
            made = await reserved(calls, call(at=NOON + timedelta(minutes=minutes)))
            if minutes != 20:
                await calls.settle(settled(made))
        await calls.expire(NOON + timedelta(days=1))
        await calls.add(settled(call(origin="hand")))

        kept = await pool.fetch("SELECT hour, counted FROM analyst_spending ORDER BY hour")
        summed = await pool.fetch(
            "SELECT date_trunc('hour', at, 'UTC'), sum(counted) FROM analyst_calls GROUP BY 1 ORDER BY 1"
        )

    assert [tuple(each) for each in kept] == [tuple(each) for each in summed]
    assert [each["counted"] for each in kept] == [Decimal("0.60"), Decimal("0.20")]
