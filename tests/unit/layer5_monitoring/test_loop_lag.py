"""How late the loop wakes a sleeper."""

import asyncio

from bot.clock import ManualClock
from bot.layer5_monitoring.loop_lag import LoopLag


async def test_what_a_sleep_takes_longer_than_asked_is_told_and_the_worst_is_remembered() -> None:
    clock, heard = ManualClock(), list[float]()
    lag = LoopLag(clock, heard.append)
    running = asyncio.create_task(lag.run())

    await clock.run_for(0.35)
    clock.advance(0.45)  # somebody holds the loop up
    await clock.run_for(0.0)
    await clock.run_for(0.2)
    running.cancel()

    assert [round(each, 3) for each in heard] == [0.0, 0.0, 0.0, 0.4, 0.0, 0.0]
    assert round(lag.worst_s, 3) == 0.4


def test_before_the_first_measurement_there_is_no_lag() -> None:
    assert LoopLag(ManualClock(), print).worst_s == 0.0
