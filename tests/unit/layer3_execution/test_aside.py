"""Work beside other work, and what is asked again because its answer may have been lost."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.layer3_execution.aside import insisted


class Asked:
    """Each call does what its turn says; the last one for all that follow."""

    def __init__(self, *turns: Callable[[], Awaitable[str]]) -> None:
        self._turns = turns
        self.times = 0
        self.given_up = 0

    async def __call__(self) -> str:
        turn = self._turns[min(self.times, len(self._turns) - 1)]
        self.times += 1
        try:
            return await turn()
        except asyncio.CancelledError:
            self.given_up += 1
            raise


async def never() -> str:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


async def answered() -> str:
    return "canceled"


async def not_sent() -> str:
    raise BrokerUnavailable("nothing was sent")


async def given_up_after_three_turns() -> str:
    for _ in range(3):
        await asyncio.wait((asyncio.ensure_future(answered()),))
    raise OrderFateUnknown("no usable answer")


async def test_a_lost_request_is_asked_again_and_the_second_answer_counts() -> None:
    ask = Asked(never, answered)

    assert await insisted(ask, again_after_s=0.0) == "canceled"

    await asyncio.wait((asyncio.ensure_future(answered()),))
    assert (ask.times, ask.given_up) == (2, 1)


async def test_what_is_answered_is_asked_once() -> None:
    ask = Asked(answered)

    assert await insisted(ask) == "canceled"

    assert ask.times == 1


async def test_what_the_first_one_met_is_raised_and_no_more_than_three_are_sent() -> None:
    ask = Asked(given_up_after_three_turns, never)

    with pytest.raises(OrderFateUnknown):
        await insisted(ask, again_after_s=0.0)

    assert ask.times <= 3


async def test_a_second_request_that_fails_ends_nothing_while_the_first_one_waits() -> None:
    ask = Asked(given_up_after_three_turns, not_sent)

    with pytest.raises(OrderFateUnknown):
        await insisted(ask, again_after_s=0.0)


async def test_who_asks_and_is_cancelled_leaves_no_request_behind() -> None:
    ask = Asked(never)
    asking = asyncio.ensure_future(insisted(ask))
    await asyncio.wait((asyncio.ensure_future(answered()),))

    asking.cancel()
    await asyncio.wait((asking,))
    await asyncio.wait((asyncio.ensure_future(answered()),))

    assert (ask.times, ask.given_up) == (1, 1)
