"""Many ask at once, one reading answers; never one that began before the question."""

import asyncio

import pytest

from bot.clock import ManualClock
from bot.errors import DatabaseUnavailable
from bot.joined_reading import JoinedReading


class Slow:
    """Answers with the number of the reading, when the test lets it."""

    def __init__(self) -> None:
        self.begun = 0
        self.answers: list[asyncio.Future[None]] = []

    async def read(self) -> int:
        self.begun += 1
        number = self.begun
        self.answers.append(asyncio.get_running_loop().create_future())
        await self.answers[-1]
        return number


async def turns() -> None:
    """Let everybody run who can."""
    await ManualClock().run_for(0)


async def test_those_who_ask_while_a_reading_is_on_its_way_share_the_next_one() -> None:
    slow = Slow()
    reading = JoinedReading(slow.read)

    first = asyncio.ensure_future(reading.next())
    await turns()
    others = [asyncio.ensure_future(reading.next()) for _ in range(5)]
    await turns()
    slow.answers[0].set_result(None)
    await turns()
    slow.answers[1].set_result(None)

    assert await asyncio.gather(first, *others) == [1, 2, 2, 2, 2, 2]
    assert slow.begun == 2


async def test_who_asks_after_an_answer_gets_a_new_one() -> None:
    slow = Slow()
    reading = JoinedReading(slow.read)
    for number in (1, 2):
        asked = asyncio.ensure_future(reading.next())
        await turns()
        slow.answers[-1].set_result(None)
        assert await asked == number


async def test_an_error_is_shared_and_the_next_question_is_asked_anew() -> None:
    slow = Slow()
    reading = JoinedReading(slow.read)
    asked = [asyncio.ensure_future(reading.next()) for _ in range(3)]
    await turns()
    slow.answers[0].set_exception(DatabaseUnavailable("down"))
    await turns()
    slow.answers[1].set_exception(DatabaseUnavailable("still down"))

    ends = await asyncio.gather(*asked, return_exceptions=True)
    again = asyncio.ensure_future(reading.next())
    await turns()
    slow.answers[-1].set_result(None)

    assert [str(each) for each in ends] == ["down", "still down", "still down"]
    assert await again == 3


async def test_a_reader_that_is_cancelled_leaves_the_question_to_the_next_one() -> None:
    slow = Slow()
    reading = JoinedReading(slow.read)
    first, second = (asyncio.ensure_future(reading.next()) for _ in range(2))
    await turns()

    first.cancel()
    await turns()
    slow.answers[-1].set_result(None)

    assert await second == 2
    with pytest.raises(asyncio.CancelledError):
        await first
