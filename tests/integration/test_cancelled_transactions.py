"""A task that is cancelled inside a transaction (RELIABILITY D12): at each of its awaits, with the real server.

Cancelled when it has asked, the server may have done it or not; cancelled when the answer is there, it has. Either way
all of it is stored or nothing, the connection is fit for use again, and no lock is left.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Literal

import pytest

from bot.clock import SystemClock
from bot.database.access import Database
from bot.database.pool import Pool, open_pool
from bot.database.postgres import PostgresStores
from bot.database.writer import WriterLock
from bot.instruments import BrokerId
from bot.interfaces import Stores
from bot.models import KillCause, KillLevel, KillState, OrderState, PositionId
from tests.contract.store_builders import at, fill, filled, order, pending, position, stop_order
from tests.postgres import Databases

Moment = Literal["asked", "answered"]
MOST_AWAITS = 60
ENOUGH_S = 20.0

# Waits for whoever holds any lock on them: granted only when no other transaction is under way.
LOCK_ALL = "LOCK TABLE orders, order_events, fills, positions, kill_events, writer IN ACCESS EXCLUSIVE MODE"
ROWS = """
    SELECT (SELECT count(*) FROM orders) + (SELECT count(*) FROM order_events) + (SELECT count(*) FROM fills)
        + (SELECT count(*) FROM kill_events) + (SELECT coalesce(sum(quantity), 0) + count(*) FROM positions)
        + (SELECT count(*) FROM orders WHERE state <> 'INTENT')
"""


class Cut:
    """Awaits `work`, and cancels the task that does so at its await number `at`."""

    def __init__(self, work: Coroutine[Any, Any, object], *, at: int, moment: Moment) -> None:
        self._work = work
        self._at = at
        self._moment = moment
        self.was_cut = False

    def __await__(self) -> Generator[Any, None, None]:
        resume: Callable[[], Any] = partial(self._work.send, None)
        for number in count(1):
            try:
                waits_for = resume()
            except StopIteration:
                return
            if number == self._at:
                self._cut(waits_for)
            try:
                yield waits_for
            except BaseException as error:
                resume = partial(self._work.throw, error)
            else:
                resume = partial(self._work.send, None)

    def _cut(self, waits_for: "asyncio.Future[object] | None") -> None:
        task = asyncio.current_task()
        assert task is not None
        self.was_cut = True
        if self._moment == "answered" and waits_for is not None:
            waits_for.add_done_callback(lambda _: task.cancel())  # it runs before the task hears of the answer
        else:
            task.cancel()


@dataclass(frozen=True)
class Case:
    """A transaction of a store, and what must be there before it. Each is done under another number."""

    prepare: Callable[[Stores, int], Awaitable[object]]
    act: Callable[[Stores, int], Coroutine[Any, Any, object]]


async def nothing(stores: Stores, number: int) -> None:
    """Nothing needs to be there."""


async def intent(stores: Stores, number: int) -> None:
    """An entry with its stop and its position."""
    name = f"o{number}"
    orders = (order(name, signal=None, position_id=f"p{number}"), stop_order(f"{name}s", signal=None))
    made = pending(f"p{number}", entry=name, signal_id=f"s{number}")
    assert await stores.orders.record_intent(orders, signal_id=None, position=made)


async def sending(stores: Stores, number: int) -> None:
    """What comes before the first byte."""
    name = order(f"o{number}").client_order_id
    await stores.orders.transition(name, expected=OrderState.INTENT, state=OrderState.SENDING, cause="test", at=at(1))


async def fills(stores: Stores, number: int) -> None:
    """A fill with its order and its position."""
    name = f"o{number}"
    after = filled(order(name, signal=None, position_id=PositionId(f"p{number}")))
    held = position(f"p{number}", entry=name, signal_id=f"s{number}")
    assert await stores.orders.record_fill(fill(f"f{number}", order_name=name), order=after, position=held)


async def presses(stores: Stores, number: int) -> None:
    """A press of the kill switch, under the lock of its table."""
    state = KillState(
        level=KillLevel.FLATTEN,
        by="test",
        cause=KillCause.COMMAND,
        reason="",
        at=at(1),
        broker_id=BrokerId(f"b{number}"),
    )
    assert await stores.kills.set(state)


CASES = {
    "intent": Case(nothing, intent),
    "sending": Case(intent, sending),
    "fill": Case(intent, fills),
    "kill switch": Case(nothing, presses),
}


@asynccontextmanager
async def one_connection(dsn: str) -> AsyncIterator[Pool]:
    """A pool that has no other connection to fall back to."""
    pool = await open_pool(dsn, most=1)
    try:
        yield pool
    finally:
        await Database(pool).close()


async def rows_of(pool: Pool) -> int:
    return int(await pool.fetchval(ROWS))


async def whole_of(case: Case, stores: Stores, observer: Pool) -> int:
    """How much there is more after an act that nobody cuts."""
    await case.prepare(stores, 0)
    before = await rows_of(observer)
    await case.act(stores, 0)
    return await rows_of(observer) - before


@pytest.mark.parametrize("moment", ["asked", "answered"])
@pytest.mark.parametrize("name", CASES)
async def test_a_cancelled_transaction_is_done_or_undone_and_its_connection_is_fit_for_the_next(
    databases: Databases, name: str, moment: Moment
) -> None:
    case = CASES[name]
    async with (
        databases.fresh() as dsn,
        WriterLock(dsn, SystemClock()).held() as lock,
        one_connection(dsn) as ours,
        one_connection(dsn) as observer,
        asyncio.timeout(ENOUGH_S),
    ):
        stores = PostgresStores(ours, lock.epoch)
        whole, outcomes = await whole_of(case, stores, observer), set[bool]()
        for number in range(1, MOST_AWAITS):
            # Arrange
            await case.prepare(stores, number)
            before = await rows_of(observer)
            cut = Cut(case.act(stores, number), at=number, moment=moment)

            # Act
            (ended,) = await asyncio.gather(asyncio.ensure_future(cut), return_exceptions=True)
            if not cut.was_cut:
                assert ended is None
                break

            # Assert
            async with observer.acquire() as connection, connection.transaction():
                await connection.execute(LOCK_ALL)
            stored = await rows_of(observer) - before
            if not stored:
                await case.act(stores, number)  # on the one connection that there is
            assert stored in (0, whole), f"await {number}: {stored} of {whole} is stored"
            assert await rows_of(observer) - before == whole
            async with ours.acquire():
                pass  # what was cut may still be giving it back
            assert not stores.pool_use().used
            assert lock.is_held
            outcomes.add(stored > 0)
    assert number > 5, "a transaction waits more often than that"
    assert False in outcomes, "some cut undoes it"
