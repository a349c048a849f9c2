"""What the simulated line makes of prices: a lie is one bad tick, never two that a screen has to believe."""

from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.instruments import BrokerId
from bot.models import Quote
from bot.simulation.clock import LoopClock
from bot.simulation.loop import SimulatedLoop
from bot.simulation.tape import Tape, parse_faults
from bot.simulation.told_prices import ToldPrices
from bot.simulation.watch import Watch
from tests.builders import EUR_USD, quote


@pytest.mark.parametrize("listens", [True, False], ids=["it is read", "nobody reads it"])
def test_no_second_lie_is_told_before_the_truth_was_heard_after_the_first(listens: bool) -> None:
    loop, watch = SimulatedLoop(seed=1), Watch()
    clock, lies = LoopClock(loop), list[Quote]()
    watch.told_bad_quote = lies.append
    prices = ToldPrices(BrokerId("oanda"), loop=loop, tape=Tape.drawn(1, parse_faults("M1")), watch=watch)
    reader = prices.read([EUR_USD])

    async def told_for(seconds: int) -> None:
        for second in range(seconds):
            prices.publish(_at(second), dark_until=0.0)
            if listens:
                await anext(reader)
            await clock.sleep(1)

    with closing(loop):
        loop.run_until_complete(told_for(600))

    assert (len(lies) > 1) is listens
    assert len(lies) >= 1


def _at(second: int) -> Quote:
    true = quote()
    return replace(true, at=true.at + timedelta(seconds=second))
