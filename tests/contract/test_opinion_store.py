"""Opinions of analysts and the gates of models as rows: one suite over PostgreSQL and memory."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from bot.analyst_calls import Usage
from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.instruments import Symbol
from bot.interfaces import OpinionStore
from bot.models import Direction, TaskId, Timeframe
from bot.opinions import AnalystGate, LadderRung, LadderStep, OpinionEffect, OpinionRecord
from tests.contract.store_builders import at
from tests.postgres import Databases, shared_databases

TASK = TaskId("divergence:EUR_USD:1h")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def opinions(request: pytest.FixtureRequest) -> AsyncIterator[OpinionStore]:
    if request.param == "memory":
        yield MemoryStores().opinions
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool).opinions


def opinion(minutes: float = 0, **changes: Any) -> OpinionRecord:
    """A confirmed claim about the candle that closed `minutes` after the start."""
    standard = OpinionRecord(
        task_id=TASK,
        candle_closed_at=at(minutes),
        symbol=Symbol("EUR_USD"),
        timeframe=Timeframe.H1,
        at=at(minutes + 1),
        rung=LadderRung.FALLBACK,
        effect=OpinionEffect.CONFIRMED,
        why="claude:model-b sees the same",
        model="model-b",
        sent="chart 1: EUR_USD\n1,2,3\n",
        said={"divergence": {"first_bar": 12, "oscillators": [{"oscillator": "rsi", "first": 281}]}, "confidence": 80},
        direction=Direction.LONG,
        confidence=0.8,
        fault="",
        untrue=("rule E7 oscillator slope: nothing",),
        struck_out=("cci",),
        steps=(LadderStep(model="model-a", reason="overloaded", says="HTTP 529: Overloaded"),),
        usage=Usage(input_tokens=3_100, cache_read_tokens=1_700, output_tokens=90, cost=Decimal("0.00031")),
        latency_s=1.25,
        request_key="a" * 64,
        origin="live",
    )
    return replace(standard, **changes)


def gate(model: str = "model-a", *, may_decide: bool = True, minutes: float = 0) -> AnalystGate:
    return AnalystGate(
        model=model, may_decide=may_decide, confidence_counts=False, by="ada", says="Brier 0.18 of 240", at=at(minutes)
    )


async def test_an_opinion_comes_back_as_it_was_stored(opinions: OpinionStore) -> None:
    assert await opinions.record(opinion())
    assert await opinions.of_candle(TASK, at(0)) == opinion()


async def test_an_opinion_without_an_answer_comes_back_too(opinions: OpinionStore) -> None:
    nothing = OpinionRecord(
        task_id=TASK,
        candle_closed_at=at(0),
        symbol=Symbol("EUR_USD"),
        timeframe=Timeframe.M15,
        at=at(0),
        rung=LadderRung.NO_ENTRIES,
        effect=OpinionEffect.NO_ENTRY,
        why="no entry without the analyst",
    )
    await opinions.record(nothing)
    assert await opinions.of_candle(TASK, at(0)) == nothing


async def test_a_candle_has_one_opinion_which_stays(opinions: OpinionStore) -> None:
    await opinions.record(opinion())
    assert not await opinions.record(opinion(effect=OpinionEffect.DECLINED))
    assert await opinions.of_candle(TASK, at(0)) == opinion()


async def test_a_candle_that_nobody_was_asked_about_has_none(opinions: OpinionStore) -> None:
    await opinions.record(opinion())
    assert await opinions.of_candle(TASK, at(5)) is None
    assert await opinions.of_candle(TaskId("other"), at(0)) is None


async def test_the_newest_come_first(opinions: OpinionStore) -> None:
    for minutes in (0, 30, 10):
        await opinions.record(opinion(minutes))
    assert [each.candle_closed_at for each in await opinions.recent(2)] == [at(30), at(10)]


async def test_only_opinions_that_let_an_entry_go_on_are_counted(opinions: OpinionStore) -> None:
    for minutes, effect in enumerate(OpinionEffect):
        await opinions.record(opinion(minutes, effect=effect))
    await opinions.record(opinion(-100))
    assert await opinions.entered_since(at(0)) == 2
    assert await opinions.entered_since(at(-99)) == 3


async def test_hostile_text_is_kept_as_text(opinions: OpinionStore) -> None:
    hostile = "'; DROP TABLE analyst_opinions; --\x00\ud800<script>"
    await opinions.record(opinion(why=hostile, untrue=(hostile,), said={hostile: [hostile]}))
    assert await opinions.of_candle(TASK, at(0)) is not None


async def test_a_model_without_a_gate_has_none(opinions: OpinionStore) -> None:
    await opinions.set_gate(gate("model-b"))
    assert await opinions.gate("model-a") is None


async def test_the_newest_gate_of_a_model_holds(opinions: OpinionStore) -> None:
    await opinions.set_gate(gate())
    await opinions.set_gate(gate("model-b", may_decide=False))
    assert await opinions.gate("model-a") == gate()
    await opinions.set_gate(gate(may_decide=False, minutes=3))
    assert await opinions.gate("model-a") == gate(may_decide=False, minutes=3)
