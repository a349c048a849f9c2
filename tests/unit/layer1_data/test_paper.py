"""Simulated fills on real quotes: never at a price nobody was shown, never on one absurd print."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable
from bot.instruments import OANDA, Currency, Symbol, default_registry
from bot.layer1_data.broker_interface import RateBudget, VenueTerms
from bot.layer1_data.brokers.paper import PaperBroker, PriceSource
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import Candle, ClientOrderId, OrderState, Quote, Timeframe
from tests.contract.stands import EUR_USD, START
from tests.contract.test_broker_contract import entry, reduction
from tests.unit.layer3_execution.venues import FUTURES

D = Decimal


class Prices:
    """A source whose quotes a test writes; `silent` until told otherwise it answers nothing."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.silent = False
        self.now = Quote(symbol=EUR_USD.symbol, bid=D("1.10000"), ask=D("1.10010"), at=clock.now())

    def show(self, bid: str, ask: str) -> None:
        self.now = Quote(symbol=EUR_USD.symbol, bid=D(bid), ask=D(ask), at=self.clock.now())

    @property
    def rate_budget(self) -> RateBudget | None:
        return None

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        return []

    async def server_time(self) -> datetime:
        return datetime(2024, 3, 4, tzinfo=UTC)

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        return []

    async def quote(self, symbol: Symbol) -> Quote:
        if self.silent:
            raise BrokerUnavailable("the source is silent")
        return replace(self.now, symbol=symbol)

    async def check_connectivity(self) -> None:
        await self.quote(EUR_USD.symbol)

    async def close(self) -> None:
        self.silent = True


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def prices(clock: ManualClock) -> Prices:
    return Prices(clock)


@pytest.fixture
def broker(prices: Prices, clock: ManualClock) -> PaperBroker:
    return paper(prices, clock)


def paper(prices: Prices, clock: ManualClock, traits: VenueTraits | None = None) -> PaperBroker:
    """Over a venue of that kind."""
    registry = default_registry()
    venue = SimulatedBroker(
        broker_id=OANDA, instruments=(EUR_USD,), clock=clock, currency=Currency("USD"), balance=D(10_000), traits=traits
    )
    return PaperBroker(prices, venue, registry=registry, clock=clock, max_quote_age=timedelta(seconds=30), poll_s=5)


async def test_an_entry_fills_at_the_quote_of_this_moment_not_at_one_seen_before(
    broker: PaperBroker, prices: Prices
) -> None:
    await broker.quote(EUR_USD.symbol)
    prices.show("1.10100", "1.10110")

    await broker.place(entry())

    ((fill,), _) = await broker.fills_since("")
    assert fill.price >= D("1.10110")


async def test_nothing_is_sent_when_the_source_is_silent(broker: PaperBroker, prices: Prices) -> None:
    prices.silent = True

    with pytest.raises(BrokerUnavailable, match="silent"):
        await broker.place(entry())

    assert not await broker.positions()


async def test_nothing_fills_at_a_quote_from_before_the_market_closed(broker: PaperBroker, clock: ManualClock) -> None:
    clock.advance(3_600)

    with pytest.raises(BrokerUnavailable, match=r"quote of EUR_USD is 3,600 s old, at most 30 s"):
        await broker.place(entry())


async def test_a_stop_is_filled_by_a_quote_beyond_it_but_not_by_one_absurd_print(
    broker: PaperBroker, prices: Prices, clock: ManualClock
) -> None:
    await broker.place(entry(stop="1.09500"))
    stream = broker.quotes([EUR_USD.symbol])
    clock.advance(1)
    prices.show("0.11000", "0.11001")
    await anext(stream)
    after_the_print = await broker.positions()
    clock.advance(1)
    prices.show("1.09400", "1.09410")

    await broker.quote(EUR_USD.symbol)

    assert len(after_the_print) == 1
    assert not await broker.positions()


async def test_only_what_is_open_is_asked_for_while_prices_stream(
    broker: PaperBroker, prices: Prices, clock: ManualClock
) -> None:
    await broker.place(entry())
    prices.show("1.10050", "1.10060")

    quote = await anext(broker.quotes([Symbol("EUR_GBP"), EUR_USD.symbol]))

    assert (quote.symbol, quote.bid) == (EUR_USD.symbol, D("1.10050"))


async def test_a_reduction_closes_at_the_newest_bid(broker: PaperBroker, prices: Prices) -> None:
    await broker.place(entry())
    prices.show("1.10200", "1.10210")

    ack = await broker.place(reduction("close-1", "1000"))

    fills, _ = await broker.fills_since("")
    assert ack.state is OrderState.FILLED
    assert fills[-1].price <= D("1.10200")
    assert not await broker.positions()


async def test_a_stop_that_is_ours_to_size_is_resized(prices: Prices, clock: ManualClock) -> None:
    broker = paper(prices, clock, FUTURES)
    await broker.place(entry())
    (position,) = await broker.positions()
    await broker.place_stop(position, ClientOrderId("entry-1-s"), D("1.09500"))

    ack = await broker.resize_stop(ClientOrderId("entry-1-s"), D(600), D("1.09600"))

    (stop,) = await broker.protective_orders()
    assert (ack.state, stop.quantity, stop.price) == (OrderState.WORKING, D(600), D("1.09600"))


async def test_a_source_that_gives_prices_only_leaves_the_description_to_the_registry(broker: PaperBroker) -> None:
    (terms,) = await broker.terms([EUR_USD.symbol])

    assert (terms.symbol, terms.tick) == (EUR_USD.symbol, EUR_USD.tick)


def test_nothing_that_a_source_can_answer_is_left_to_the_simulated_venue() -> None:
    answers = {name for name in vars(PriceSource) if not name.startswith("_")}

    assert answers <= set(vars(PaperBroker))
