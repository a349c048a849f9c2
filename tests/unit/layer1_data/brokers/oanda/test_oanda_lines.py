"""Who goes next when every line is busy."""

import asyncio
from collections.abc import Callable
from typing import Any

from bot.clock import ManualClock
from bot.layer1_data.brokers.limiter import Priority
from bot.layer1_data.brokers.oanda.lines import Lines
from bot.layer1_data.brokers.oanda.to_oanda import SUMMARY, Call


class Held:
    """Requests that left, in order; each is answered when its number is released."""

    def __init__(self) -> None:
        self.left: list[asyncio.Future[dict[str, Any]]] = []

    async def ask(self, call: Call, ended: Callable[[object], None], *, fresh: bool) -> dict[str, Any]:
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        answer.add_done_callback(ended)
        self.left.append(answer)
        return await asyncio.shield(answer)

    async def close(self) -> None:
        """Nothing is open."""

    def answer(self, number: int) -> None:
        self.left[number].set_result({"number": number})


def three(held: Held) -> Lines:
    return Lines(lambda: held, lines=3, spare=1, clock=ManualClock())


async def asked(lines: Lines, *priorities: Priority) -> list[asyncio.Task[Any]]:
    """One request of each priority, in that order; those that wait for their turn are waiting when it returns."""
    tasks = [asyncio.create_task(lines.ask(SUMMARY, each)) for each in priorities]
    await turns()
    return tasks


async def turns() -> None:
    for _ in range(5):
        await ManualClock().sleep(0)


async def test_reads_leave_one_line_free_for_what_changes_something() -> None:
    held = Held()
    lines = three(held)
    reads = await asked(lines, *[Priority.READ] * 4)
    assert len(held.left) == 2
    (exiting,) = await asked(lines, Priority.EXIT)
    assert len(held.left) == 3
    for number in range(3):
        held.answer(number)
        await turns()
    assert exiting.result() == {"number": 2}
    assert len(held.left) == 5
    held.answer(3)
    held.answer(4)
    await asyncio.gather(*reads)


async def test_what_waits_goes_by_priority_and_then_by_turn() -> None:
    held = Held()
    lines = three(held)
    busy = await asked(lines, *[Priority.EXIT] * 3)
    waiting = await asked(lines, Priority.READ, Priority.ORDER, Priority.EXIT, Priority.PROTECTION, Priority.EXIT)
    order = []
    for number in range(8):
        held.answer(number)
        await turns()
        order += [index for index, each in enumerate(waiting) if each.done() and index not in order]
    await asyncio.gather(*busy)
    assert order == [2, 4, 3, 1, 0]


async def test_who_stops_waiting_keeps_no_line() -> None:
    held = Held()
    lines = three(held)
    await asked(lines, *[Priority.EXIT] * 3)
    (leaving,) = await asked(lines, Priority.EXIT)
    held.answer(0)
    leaving.cancel()  # with the line that has just become his
    await asyncio.wait((leaving,))
    (next_one,) = await asked(lines, Priority.EXIT)
    held.answer(len(held.left) - 1)
    assert await next_one == {"number": len(held.left) - 1}
