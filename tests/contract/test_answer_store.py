"""Answers to differences as rows: one suite over PostgreSQL and memory."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.differences import Answer, AnswerKind, AnswerState, DifferenceKind
from bot.instruments import OANDA
from bot.interfaces import AnswerStore
from tests.contract.store_builders import at
from tests.postgres import Databases, shared_databases


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def answers(request: pytest.FixtureRequest) -> AsyncIterator[AnswerStore]:
    if request.param == "memory":
        yield MemoryStores().answers
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool).answers


def answer(kind: AnswerKind = AnswerKind.ADOPT, minutes: float = 0, **changes: Any) -> Answer:
    standard = Answer(
        broker_id=OANDA,
        difference_id="k3xq7n",
        fingerprint="f" * 32,
        kind=kind,
        about=DifferenceKind.FOREIGN_POSITION,
        subject="foreign:4711",
        says="foreign position, EUR_USD at oanda: ours nothing, at the venue long 10 at 1.1",
        by="ada",
        at=at(minutes),
    )
    return replace(standard, **changes)


async def carried_out(answers: AnswerStore, given: Answer, *, done: bool = True, minutes: float = 5) -> Answer:
    stored = await answers.give(given)
    assert await answers.begin(stored.number)
    await answers.end(stored.number, done=done, outcome="closed", at=at(minutes))
    return stored


async def test_an_answer_comes_back_as_it_was_given_with_a_number(answers: AnswerStore) -> None:
    stored = await answers.give(answer())
    assert stored.number > 0
    assert list(await answers.unfinished()) == [stored]
    assert replace(stored, number=0) == answer()


async def test_answers_are_read_in_the_order_given(answers: AnswerStore) -> None:
    first = await answers.give(answer())
    second = await answers.give(answer(fingerprint="e" * 32))
    assert list(await answers.unfinished()) == [first, second]
    assert list(await answers.recent(1)) == [second]


async def test_a_later_answer_to_the_same_takes_the_place_of_one_that_waits(answers: AnswerStore) -> None:
    first = await answers.give(answer())
    second = await answers.give(answer(AnswerKind.FLATTEN, minutes=1))
    assert list(await answers.unfinished()) == [second]
    (_, before) = await answers.recent(2)
    assert (before.number, before.state, before.outcome, before.ended_at) == (
        first.number,
        AnswerState.REFUSED,
        "superseded",
        at(1),
    )


async def test_what_is_being_carried_out_takes_no_second_answer(answers: AnswerStore) -> None:
    first = await answers.give(answer())
    assert await answers.begin(first.number)
    assert (await answers.give(answer(AnswerKind.IGNORE, minutes=1))).number == 0
    assert [each.state for each in await answers.unfinished()] == [AnswerState.BEGUN]


async def test_an_answer_is_begun_once(answers: AnswerStore) -> None:
    stored = await answers.give(answer())
    assert await answers.begin(stored.number)
    assert not await answers.begin(stored.number)


async def test_an_answer_that_has_ended_stays_as_it_is(answers: AnswerStore) -> None:
    stored = await carried_out(answers, answer())
    await answers.end(stored.number, done=False, outcome="too late", at=at(9))
    (ended,) = await answers.recent(5)
    assert (ended.state, ended.outcome, ended.ended_at) == (AnswerState.DONE, "closed", at(5))
    assert list(await answers.unfinished()) == []


async def test_what_is_ignored_is_told_by_its_newest_answer(answers: AnswerStore) -> None:
    ignored = await carried_out(answers, answer(AnswerKind.IGNORE))
    assert [each.number for each in await answers.ignored()] == [ignored.number]
    await carried_out(answers, answer(AnswerKind.FLATTEN, minutes=6), minutes=7)
    assert list(await answers.ignored()) == []


async def test_a_refused_answer_ignores_nothing(answers: AnswerStore) -> None:
    await carried_out(answers, answer(AnswerKind.IGNORE), done=False)
    assert list(await answers.ignored()) == []


async def test_a_venues_words_come_back_without_what_a_database_cannot_hold(answers: AnswerStore) -> None:
    stored = await answers.give(answer(says="order \N{EM DASH} ordre"))
    assert (await answers.unfinished())[0].says == stored.says
