"""The database of a simulation: what it stores for a process that has lost the writer lock, or is told to stop."""

import asyncio
from collections.abc import Coroutine
from contextlib import closing
from typing import Any

import pytest

from bot.errors import NotTheWriter
from bot.models import OrderState
from bot.simulation.clock import LoopClock
from bot.simulation.loop import SimulatedLoop
from bot.simulation.ports import Boundaries, Database
from bot.simulation.tape import Tape

DAEMON = 1


class World:
    """One process over one database."""

    def __init__(self, **rates: float) -> None:
        self.loop = SimulatedLoop(seed=1)
        self.database = Database(self.loop, Tape(1, rates), Boundaries(self.loop))
        self.database.writer = DAEMON
        self.stored: list[str] = []

    async def write(self, method: str, **named: Any) -> None:
        async def store(*_: object, **__: object) -> None:
            self.stored.append(method)

        await self.database.write(method, store, (), named)

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        """As the daemon."""
        with closing(self.loop):
            self.loop.run_until_complete(self.loop.create_task(work, context=self.loop.context_of(DAEMON)))


@pytest.mark.parametrize("state", [OrderState.SENDING, OrderState.CANCEL_PENDING])
def test_who_knows_that_the_writer_lock_is_lost_prepares_no_request(state: OrderState) -> None:
    world = World()
    world.database.lose_lock(known_after_s=0.0, back_after_s=5.0)

    async def asked() -> None:
        for method, named in (("record_intent", {}), ("transition", {"state": state})):
            with pytest.raises(NotTheWriter):
                await world.write(method, **named)
        with pytest.raises(NotTheWriter):
            world.database.check_writer()

    world.run(asked())

    assert world.stored == []


def test_what_has_happened_is_stored_while_the_writer_lock_is_lost() -> None:
    world = World()
    world.database.lose_lock(known_after_s=0.0, back_after_s=5.0)

    async def told() -> None:
        await world.write("record_fill")
        await world.write("transition", state=OrderState.WORKING)

    world.run(told())

    assert world.stored == ["record_fill", "transition"]


@pytest.mark.parametrize("after_s", [0.5, 5.5], ids=["not noticed yet", "back again"])
def test_before_it_is_known_and_when_it_is_back_the_lock_stops_nobody(after_s: float) -> None:
    world = World()
    world.database.lose_lock(known_after_s=1.0, back_after_s=5.0)

    async def asked() -> None:
        await LoopClock(world.loop).sleep(after_s)
        await world.write("record_intent")

    world.run(asked())

    assert world.stored == ["record_intent"]


def test_a_job_that_is_cancelled_inside_a_transaction_has_stored_all_of_it_or_nothing() -> None:
    world = World(D12=0.5)
    told_to_stop: list[float] = []
    world.database.on_hang = lambda: told_to_stop.append(world.loop.time())

    async def cut() -> None:
        for _ in range(100):
            job = asyncio.ensure_future(world.write("record_fill"))
            await asyncio.wait((job,), timeout=1.0)
            job.cancel()
            await asyncio.wait((job,))

    world.run(cut())

    assert 0 < len(told_to_stop) == world.database.cut
    assert 100 - world.database.cut < len(world.stored) < 100  # of those that were cut, some had been stored
