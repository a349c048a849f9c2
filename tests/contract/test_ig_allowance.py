"""What a start and a round of the monitor cost of IG's few questions a minute, and what is asked once for several."""

from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from typing import Final

import pytest

from bot.clock import ReplayClock
from bot.errors import BrokerUnavailable
from bot.instruments import IG, Symbol, default_registry
from bot.layer1_data.brokers.ig.access import Access
from bot.layer1_data.brokers.ig.adapter import DEMO_ALLOWANCE, IGBroker
from bot.models import OrderState
from tests.contract.stands import START
from tests.contract.stands_ig import AlwaysOpen
from tests.contract.test_ig_faults import entry, exit_of
from tests.fakes.ig import FakeIg

REGISTRY: Final = default_registry()
SHARES: Final = tuple(each for each in REGISTRY if each.broker_id == IG)
AAPL: Final = REGISTRY.get("AAPL")


class Stand:
    """The default universe at a demo account with its real allowance."""

    def __init__(self) -> None:
        self.clock = ReplayClock(START)
        self.market = AlwaysOpen(REGISTRY)
        self.market.pin("AAPL", "200.00", "200.10")
        self.venue = FakeIg(instruments=SHARES, market=self.market, clock=self.clock, balance="100000")
        self.broker: IGBroker

    async def start(self) -> None:
        url = await self.venue.start()
        self.broker = IGBroker(
            access=Access(environment="demo", key="key", username="user", password="secret", url=url),
            instruments=SHARES,
            clock=self.clock,
            patience_s=0.05,
        )

    def passes(self, seconds: float) -> None:
        self.clock.set_time(self.clock.now() + timedelta(seconds=seconds))

    def asked(self) -> list[str]:
        """What was asked since the last time."""
        lines = [each.line.partition("?")[0] for each in self.venue.requests]
        self.venue.requests.clear()
        return lines

    async def monitored(self) -> None:
        """The questions of one round with a position, in the order of `Supervisor.monitor` and the reconciler."""
        await self.broker.fills_since("")
        await self.broker.quote(AAPL.symbol)
        await self.broker.protective_orders()
        await self.broker.fills_since("")
        await self.broker.positions()
        await self.broker.open_orders()
        await self.broker.protective_orders()
        await self.broker.account()


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    await made.start()
    yield made
    await made.broker.close()
    await made.venue.close()


async def test_a_start_with_a_round_of_the_monitor_and_a_command_fits_into_a_minute_of_a_demo_account(
    stand: Stand,
) -> None:
    await stand.broker.identity()
    await stand.broker.terms([each.symbol for each in SHARES])
    await stand.monitored()
    start = stand.asked()
    stand.passes(2)
    await stand.broker.positions()
    command = stand.asked()

    assert start == [
        "POST /session",
        "GET /accounts",
        "GET /markets",
        "GET /history/activity",
        "GET /positions",
        "GET /workingorders",
    ]
    assert command == ["GET /positions"]
    assert len(start + command) <= DEMO_ALLOWANCE.reads - DEMO_ALLOWANCE.reads // 4  # the rest is for exits


async def test_a_round_of_the_monitor_costs_five_questions_and_one_right_after_it_none(stand: Stand) -> None:
    await stand.monitored()
    stand.asked()
    stand.passes(120)

    await stand.monitored()
    first = stand.asked()
    await stand.monitored()

    names = ("history/activity", "markets", "positions", "workingorders", "accounts")
    assert first == [f"GET /{name}" for name in names]
    assert stand.asked() == []


async def test_an_entry_costs_its_confirm_and_a_close_the_positions_too(stand: Stand) -> None:
    await stand.monitored()
    stand.asked()
    await stand.broker.place(entry())
    opened = stand.asked()
    await stand.broker.place(exit_of("10"))

    assert [each.rpartition("/")[0] or each for each in opened] == ["POST /positions", "GET /confirms"]
    assert [each.split()[0] for each in stand.asked()] == ["GET", "DELETE", "GET"]


async def test_lists_are_asked_for_again_after_a_second_and_the_balance_after_ten(stand: Stand) -> None:
    await stand.monitored()
    stand.passes(61)
    await stand.monitored()
    stand.asked()
    stand.passes(1.5)
    await stand.broker.positions()
    await stand.broker.account()
    lists = stand.asked()
    stand.passes(9)
    old = (await stand.broker.account()).at

    assert lists == ["GET /positions"]
    assert stand.asked() == ["GET /accounts"]
    assert old >= START


async def test_an_order_of_ours_makes_what_was_read_before_worthless(stand: Stand) -> None:
    before = await stand.broker.positions()
    ack = await stand.broker.place(entry())
    stand.passes(61)
    opened = await stand.broker.positions()
    await stand.broker.place(exit_of("10"))
    after = await stand.broker.positions()

    assert (before, ack.state) == ((), OrderState.FILLED)
    assert [each.quantity for each in opened] == [Decimal(10)]
    assert after == ()


async def test_a_fill_that_activity_shows_makes_older_lists_worthless(stand: Stand) -> None:
    await stand.broker.place(entry())
    stand.passes(61)
    _, cursor = await stand.broker.fills_since("")
    stand.passes(61)
    held = await stand.broker.positions()
    stand.market.pin("AAPL", "190.00", "190.10")
    stand.venue.book.match()

    (stopped,), _ = await stand.broker.fills_since(cursor)

    assert (len(held), stopped.cause) == (1, "stop")
    assert await stand.broker.positions() == ()


@pytest.mark.parametrize("unknown", [1, 6])
async def test_epics_that_the_venue_does_not_know_are_found_by_halves_a_few_questions_at_a_time_and_then_left_out(
    stand: Stand, unknown: int
) -> None:
    known = [each.symbol for each in SHARES[unknown:]]
    for each in SHARES[:unknown]:
        del stand.venue.book.terms[each.venue_symbol]
    costs: list[int] = []
    told: list[Symbol] = []
    while told != known and len(costs) < 5:
        with suppress(BrokerUnavailable):
            told = [each.symbol for each in await stand.broker.terms([each.symbol for each in SHARES])]
        costs.append(stand.asked().count("GET /markets"))
        stand.passes(61)

    await stand.broker.terms(known)

    assert told == known
    assert max(costs) <= DEMO_ALLOWANCE.reads - DEMO_ALLOWANCE.reads // 4
    assert stand.asked() == ["GET /markets"]
