"""The request budget: nothing leaves beyond it, and whoever closes or protects a position goes first."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable
from bot.layer1_data.brokers.limiter import Priority, RequestLimiter


def limiter(clock: ManualClock, *, allowed: int = 2, window_s: float = 10, reserved: int = 0) -> RequestLimiter:
    return RequestLimiter(clock, name="test", allowed=allowed, window_s=window_s, reserved=reserved)


class Desk:
    """Asks for permission and writes down when it was given."""

    def __init__(self, of: RequestLimiter, clock: ManualClock) -> None:
        self.limiter = of
        self.clock = clock
        self.left: list[tuple[str, float]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def ask(self, name: str, priority: Priority, weight: int = 1) -> asyncio.Task[None]:
        async def wait() -> None:
            await self.limiter.acquire(priority, weight)
            self.left.append((name, self.clock.monotonic()))

        self.tasks.append(asyncio.create_task(wait()))
        return self.tasks[-1]

    async def settle(self) -> None:
        for _ in range(20):
            await self.clock.sleep(0)

    async def end(self) -> None:
        await self.limiter.close()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def test_a_request_within_the_budget_leaves_at_once_and_the_next_one_when_the_window_has_passed() -> None:
    clock = ManualClock()
    desk = Desk(limiter(clock), clock)

    for name in ("a", "b", "c"):
        desk.ask(name, Priority.READ)
    await desk.settle()
    before = [name for name, _ in desk.left]
    await clock.run_for(11)
    await desk.settle()

    assert before == ["a", "b"]
    assert [name for name, _ in desk.left] == ["a", "b", "c"]
    assert desk.left[-1][1] > 10
    await desk.end()


async def test_an_exit_that_comes_last_leaves_before_history_that_came_first() -> None:
    clock = ManualClock()
    desk = Desk(limiter(clock, allowed=1), clock)

    desk.ask("first", Priority.READ)
    for name, priority in (("history", Priority.HISTORY), ("order", Priority.ORDER), ("exit", Priority.EXIT)):
        desk.ask(name, priority)
        await desk.settle()
    for _ in range(4):
        await clock.run_for(11)
        await desk.settle()

    assert [name for name, _ in desk.left] == ["first", "exit", "order", "history"]
    await desk.end()


async def test_the_reserve_is_for_exits_and_protection_only() -> None:
    clock = ManualClock()
    desk = Desk(limiter(clock, allowed=3, reserved=1), clock)

    for name in ("h1", "h2", "h3"):
        desk.ask(name, Priority.HISTORY)
    await desk.settle()
    desk.ask("stop", Priority.PROTECTION)
    await desk.settle()

    assert [name for name, _ in desk.left] == ["h1", "h2", "stop"]
    await desk.end()


async def test_a_hold_of_the_venue_keeps_back_everything_but_exits_and_protection() -> None:
    clock = ManualClock()
    desk = Desk(limiter(clock, allowed=10), clock)

    desk.limiter.hold(30)
    desk.ask("entry", Priority.ORDER)
    desk.ask("exit", Priority.EXIT)
    await desk.settle()
    during = [name for name, _ in desk.left]
    await clock.run_for(31)
    await desk.settle()

    assert during == ["exit"]
    assert [name for name, _ in desk.left] == ["exit", "entry"]
    await desk.end()


async def test_what_the_venue_counts_beyond_our_own_requests_is_believed() -> None:
    clock = ManualClock()
    budget = limiter(clock, allowed=10)

    budget.note_used(7)
    await budget.acquire(Priority.READ)
    budget.note_used(3)

    assert budget.budget.used == 8


async def test_a_waiter_that_gives_up_spends_nothing_and_blocks_nobody() -> None:
    clock = ManualClock()
    desk = Desk(limiter(clock, allowed=1), clock)

    desk.ask("first", Priority.READ)
    await desk.settle()
    given_up = desk.ask("given up", Priority.READ)
    desk.ask("patient", Priority.READ)
    await desk.settle()
    given_up.cancel()
    await clock.run_for(11)
    await desk.settle()

    assert [name for name, _ in desk.left] == ["first", "patient"]
    await desk.end()


async def test_who_waits_when_it_is_closed_is_told_that_nothing_was_sent() -> None:
    clock = ManualClock()
    desk = Desk(limiter(clock, allowed=1), clock)
    desk.ask("first", Priority.ORDER)
    waiting = desk.ask("second", Priority.ORDER)
    await desk.settle()

    await desk.limiter.close()

    with pytest.raises(BrokerUnavailable, match="nothing was sent"):
        await waiting


async def test_a_weight_that_can_never_fit_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"weight 5 never fits into 2"):
        await limiter(ManualClock(), allowed=3, reserved=1).acquire(Priority.READ, 5)


@given(
    requests=st.lists(st.tuples(st.sampled_from(Priority), st.integers(1, 3), st.floats(0, 5)), max_size=25),
    allowed=st.integers(4, 8),
)
def test_no_window_ever_holds_more_than_is_allowed(requests: list[tuple[Priority, int, float]], allowed: int) -> None:
    async def play() -> list[tuple[float, int]]:
        clock = ManualClock()
        desk = Desk(limiter(clock, allowed=allowed, reserved=1), clock)
        for number, (priority, weight, pause_s) in enumerate(requests):
            desk.ask(str(number), priority, weight)
            await desk.settle()
            await clock.run_for(pause_s)
        for _ in range(30):
            await clock.run_for(10.5)
            await desk.settle()
        await desk.end()
        return [(at, requests[int(name)][1]) for name, at in desk.left]

    left = asyncio.run(play())

    assert len(left) == len(requests)
    for at, _ in left:
        assert sum(weight for other, weight in left if at <= other <= at + 10) <= allowed
