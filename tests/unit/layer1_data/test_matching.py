"""The simulated venue's matching: what fills, at which price, and what becomes of the money."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, OrderFateUnknown, StorageError
from bot.instruments import BINANCE, AssetClass, BrokerId, Currency, Instrument, Spread, Symbol
from bot.interfaces import VenueStateStore
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.entries import BookOrder
from bot.layer1_data.brokers.simulated.ledger import FILLS_KEPT, Ledger
from bot.layer1_data.brokers.simulated.matching import Book
from bot.layer1_data.brokers.simulated.memory import VenueMemory
from bot.layer1_data.brokers.simulated.state import FileVenueState, MemoryVenueState
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.layer1_data.brokers.simulated.venue import ORDERS_KEPT
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Direction,
    ExitPlan,
    Fill,
    OrderKind,
    OrderRole,
    OrderState,
    PositionId,
    ReduceOrder,
    Side,
    SignalId,
    StrategyName,
    TaskId,
)

D = Decimal
START: Final = datetime(2024, 3, 4, tzinfo=UTC)
USD: Final = Currency("USD")
BALANCE: Final = D("10000")


def instrument(
    symbol: str = "ABC_USD", *, commission: str = "0", slippage: str = "0", leverage: str = "100", tick: str = "0.0001"
) -> Instrument:
    base, quote = symbol.split("_")
    return Instrument(
        symbol=Symbol(symbol),
        broker_id=BINANCE,
        asset_class=AssetClass.FOREX,
        venue_symbol=symbol,
        tick=D(tick),
        pip=D(tick),
        quantity_step=D("1"),
        min_quantity=D("1"),
        base_currency=Currency(base),
        quote_currency=Currency(quote),
        typical_spread=Spread(),
        commission_ratio=D(commission),
        slippage_ratio=D(slippage),
        max_leverage=D(leverage),
    )


PLAIN: Final = instrument()


class Market:
    """A venue with one instrument in focus, and short words for driving it."""

    def __init__(
        self,
        *instruments: Instrument,
        currency: Currency = USD,
        balance: Decimal = BALANCE,
        state: VenueStateStore | None = None,
        liquidity: Decimal | None = None,
    ) -> None:
        self.instruments = instruments or (PLAIN,)
        self.symbol = self.instruments[0].symbol
        self.clock = ManualClock(START)
        self.broker = SimulatedBroker(
            broker_id=BrokerId("venue"),
            instruments=self.instruments,
            clock=self.clock,
            currency=currency,
            balance=balance,
            state=state,
            traits=VenueTraits(liquidity=liquidity),
        )

    def at(self, bid: str, ask: str | None = None, *, gap: bool = True) -> bool:
        return self.broker.observe(self.symbol, bid=D(bid), ask=D(ask or bid), at=self.clock.now(), gap=gap)

    def range(self, low: str, high: str) -> bool:
        return self.broker.observe_range(
            self.symbol, bid_low=D(low), bid_high=D(high), ask_low=D(low), ask_high=D(high), at=self.clock.now()
        )

    async def enter(
        self,
        name: str = "e",
        *,
        side: Side = Side.BUY,
        stop: str = "98",
        quantity: str = "10",
        kind: OrderKind = OrderKind.MARKET,
        price: str | None = None,
        decided: str = "100",
        bound: str | None = None,
    ) -> OrderState:
        order = entry(
            self.instruments[0],
            name,
            side=side,
            stop=stop,
            quantity=quantity,
            kind=kind,
            price=price,
            decided=decided,
            bound=bound,
        )
        return (await self.broker.place(order)).state

    async def reduce(
        self,
        name: str,
        quantity: str,
        *,
        entry_id: str = "e",
        price: str | None = None,
        side: Side = Side.SELL,
    ) -> OrderState:
        return (await self.broker.place(reduction(self.symbol, name, quantity, entry_id, price, side))).state

    async def amend(self, stop: str, entry_id: str = "e") -> OrderState:
        return (await self.broker.amend_stop(ClientOrderId(entry_id), D(stop))).state

    async def fills(self) -> Sequence[Fill]:
        return (await self.broker.fills_since(""))[0]

    async def prices(self) -> list[tuple[str, Decimal, Decimal]]:
        return [(str(each.client_order_id), each.quantity, each.price) for each in await self.fills()]

    async def state_of(self, name: str) -> OrderState | None:
        found = await self.broker.find_order(ClientOrderId(name))
        return None if found is None else found.state


def entry(
    traded: Instrument,
    name: str = "e",
    *,
    side: Side = Side.BUY,
    stop: str = "98",
    quantity: str = "10",
    kind: OrderKind = OrderKind.MARKET,
    price: str | None = None,
    decided: str = "100",
    bound: str | None = None,
) -> ApprovedOrder:
    """Without a `bound` it takes any price: what bounds do has tests of its own."""
    any_price = "1000000" if side is Side.BUY else str(traded.tick)
    return ApprovedOrder(
        client_order_id=ClientOrderId(name),
        stop_order_id=ClientOrderId(f"{name}-stop"),
        position_id=PositionId(name),
        signal_id=SignalId(name),
        task_id=TaskId("task"),
        strategy=StrategyName("test"),
        broker_id=traded.broker_id,
        symbol=traded.symbol,
        side=side,
        kind=kind,
        quantity=D(quantity),
        limit_price=None if price is None else D(price),
        decided_price=D(decided),
        price_bound=D(bound or (price if kind is OrderKind.LIMIT and price else any_price)),
        plan=ExitPlan(
            direction=Direction.LONG if side is Side.BUY else Direction.SHORT,
            stop=D(stop),
            targets=(),
            tick=traded.tick,
            quantity_step=traded.quantity_step,
            min_quantity=traded.min_quantity,
        ),
        risk_amount=D(20),
        value_per_point=D(1),
        valid_until=START + timedelta(hours=1),
    )


def reduction(
    symbol: Symbol, name: str, quantity: str, entry_id: str = "e", price: str | None = None, side: Side = Side.SELL
) -> ReduceOrder:
    return ReduceOrder(
        client_order_id=ClientOrderId(name),
        position_id=PositionId(entry_id),
        entry_order_id=ClientOrderId(entry_id),
        broker_id=BINANCE,
        symbol=symbol,
        side=side,
        kind=OrderKind.MARKET if price is None else OrderKind.LIMIT,
        quantity=D(quantity),
        limit_price=None if price is None else D(price),
        reason="TEST",
    )


# -------------------------------------------------------------------------------------- golden exits (SPEC 18, 15-16)


async def test_golden_15_a_long_on_quotes_sells_half_at_the_target_and_the_rest_at_the_trailed_stop() -> None:
    market = Market(instrument(tick="0.001"))
    market.at("100")
    await market.enter()
    await market.reduce("t1", "5", price="104")
    await market.reduce("t2", "5", price="108")

    for bid, stop in (("103", None), ("104", "102"), ("106", "104.75"), ("107", "106.125"), ("106.2", None)):
        market.at(bid)
        if stop is not None:
            await market.amend(stop)
    market.at("106.1")

    assert await market.prices() == [("e", D(10), D(100)), ("t1", D(5), D(104)), ("e-stop", D(5), D("106.1"))]
    assert (await market.broker.account()).balance == BALANCE + D("50.5")


async def test_golden_15_mirrored_short_makes_the_same_profit() -> None:
    market = Market(instrument(tick="0.001"))
    market.at("100")
    await market.enter(side=Side.SELL, stop="102")
    await market.reduce("t1", "5", price="96", side=Side.BUY)

    for ask, stop in (("97", None), ("96", "98"), ("94", "95.25"), ("93", "93.875"), ("93.8", None)):
        market.at(ask)
        if stop is not None:
            await market.amend(stop)
    market.at("93.9")

    assert await market.prices() == [("e", D(10), D(100)), ("t1", D(5), D(96)), ("e-stop", D(5), D("93.9"))]
    assert (await market.broker.account()).balance == BALANCE + D("50.5")


async def test_golden_16_a_stop_moved_inside_a_candle_that_closes_beyond_it_fills_at_the_stop() -> None:
    market = Market()
    market.at("100")
    await market.enter()
    market.at("100")
    market.range("99", "104.5")
    await market.reduce("t1", "5", price="104")  # the bot's own target, sent after it saw the range
    await market.amend("102.6875")
    assert len(await market.fills()) == 2

    market.at("101.5", gap=False)

    assert (await market.prices())[1:] == [("t1", D(5), D(104)), ("e-stop", D(5), D("102.6875"))]


@pytest.mark.parametrize(
    ("candle", "expected"),
    [
        (("100", "105", "97", "103"), ("e-stop", "98")),
        (("97", "105", "96", "103"), ("e-stop", "97")),
        (("105", "106", "97", "103"), ("t", "104")),
    ],
    ids=["stop before target", "gap through the stop at the open", "target passed at the open"],
)
async def test_golden_16_one_target_on_a_candle(candle: tuple[str, str, str, str], expected: tuple[str, str]) -> None:
    market = Market()
    market.at("100")
    await market.enter()
    await market.reduce("t", "10", price="104")
    market.broker.pause(market.symbol)

    market.at(candle[0])
    market.range(candle[2], candle[1])
    market.at(candle[3], gap=False)

    assert (await market.prices())[1:] == [(expected[0], D(10), D(expected[1]))]
    assert await market.broker.positions() == ()


# ------------------------------------------------------------------------------------------------------ prices of fills


async def test_a_market_buy_pays_the_ask_and_a_market_sale_gets_the_bid() -> None:
    market = Market()
    market.at("100", "100.2")

    await market.enter()
    await market.reduce("x", "10")

    assert await market.prices() == [("e", D(10), D("100.2")), ("x", D(10), D(100))]


async def test_slippage_goes_against_us_to_the_tick_on_markets_and_stops_but_not_on_limits() -> None:
    market = Market(instrument(slippage="0.00011", tick="0.01"))
    market.at("100.00", "100.10")
    await market.enter()  # 100.10 * 1.00011 = 100.111011, up to 100.12
    await market.reduce("t", "5", price="101.00")
    market.at("101.00", gap=False)
    market.at("97.00", "97.10", gap=False)  # stop 98 * 0.99989 = 97.98922, down to 97.98

    assert await market.prices() == [("e", D(10), D("100.12")), ("t", D(5), D(101)), ("e-stop", D(5), D("97.98"))]


async def test_a_stop_passed_by_a_jump_fills_at_the_jump_and_one_passed_continuously_at_the_stop() -> None:
    jumped, moved = Market(), Market()
    for market in (jumped, moved):
        market.at("100")
        await market.enter()

    jumped.at("95", gap=True)
    moved.at("95", gap=False)

    assert (await jumped.prices())[-1] == ("e-stop", D(10), D(95))
    assert (await moved.prices())[-1] == ("e-stop", D(10), D(98))


async def test_a_short_stop_looks_at_the_ask() -> None:
    market = Market()
    market.at("99.9", "100")
    await market.enter(side=Side.SELL, stop="102")

    assert not market.at("101.8", "101.9", gap=False)
    assert market.at("101.9", "102", gap=False)
    assert (await market.prices())[-1] == ("e-stop", D(10), D(102))


async def test_a_limit_fills_at_its_price_and_never_better() -> None:
    market = Market()
    market.at("100")
    await market.enter(kind=OrderKind.LIMIT, price="99", stop="95")

    market.at("97")

    assert await market.prices() == [("e", D(10), D(99))]


async def test_a_stop_moved_beyond_a_price_reached_by_a_jump_fills_at_that_price() -> None:
    market = Market()
    market.at("100")
    await market.enter()
    market.at("101.5", gap=True)

    assert await market.amend("102") is OrderState.FILLED
    assert (await market.prices())[-1] == ("e-stop", D(10), D("101.5"))


async def test_a_stop_moved_beyond_everything_seen_is_not_filled_better_than_the_best_seen() -> None:
    market = Market()
    market.at("100")
    await market.enter()
    market.at("101", gap=False)
    market.at("100.5", gap=False)

    await market.amend("150")

    assert (await market.prices())[-1] == ("e-stop", D(10), D(101))


async def test_a_market_order_between_candles_rests_and_fills_at_the_next_open() -> None:
    market = Market()
    market.at("100")
    market.broker.pause(market.symbol)

    assert await market.enter() is OrderState.WORKING
    assert not market.broker.is_flat
    assert market.at("101")
    assert await market.prices() == [("e", D(10), D(101))]


async def test_between_candles_an_old_price_does_not_reject_an_order_decided_at_a_newer_one() -> None:
    market = Market()
    market.at("100")
    market.broker.pause(market.symbol)

    assert await market.enter(side=Side.SELL, stop="52", decided="50") is OrderState.WORKING
    assert await market.enter("far", side=Side.SELL, stop="49", decided="50") is OrderState.REJECTED


async def test_an_open_that_jumps_beyond_the_stop_closes_the_new_position_at_the_open() -> None:
    market = Market()
    market.at("100")
    market.broker.pause(market.symbol)
    await market.enter(stop="98")

    market.at("97", "97.1")

    assert await market.prices() == [("e", D(10), D("97.1")), ("e-stop", D(10), D(97))]


async def test_a_market_order_between_the_range_and_the_close_waits_for_the_close() -> None:
    market = Market()
    market.at("100")
    await market.enter()
    market.range("99", "103")

    assert await market.reduce("x", "10") is OrderState.WORKING
    market.at("101", gap=False)
    assert (await market.prices())[-1] == ("x", D(10), D(101))


async def test_a_limit_entry_filled_inside_a_range_meets_its_stop_there_but_not_its_target() -> None:
    stopped, kept = Market(), Market()
    for market in (stopped, kept):
        market.at("100")
        await market.enter(kind=OrderKind.LIMIT, price="99", stop="98")
        market.at("100")

    stopped.range("97", "105")
    kept.range("98.5", "105")
    await kept.reduce("t", "10", price="104")

    assert await stopped.prices() == [("e", D(10), D(99)), ("e-stop", D(10), D(98))]
    assert await kept.prices() == [("e", D(10), D(99))]


async def test_an_entry_limit_sent_after_a_range_does_not_fill_in_that_range() -> None:
    market = Market()
    market.at("100")
    market.range("95", "105")

    assert await market.enter(kind=OrderKind.LIMIT, price="96", stop="90") is OrderState.WORKING
    market.at("97", gap=False)
    assert await market.fills() == []


async def test_a_stop_entry_triggers_at_its_price_when_moved_through_and_at_the_jump_otherwise() -> None:
    moved, jumped = Market(), Market()
    for market in (moved, jumped):
        market.at("100")
        await market.enter(kind=OrderKind.STOP, price="102", stop="99")

    moved.at("103", gap=False)
    jumped.at("103", gap=True)

    assert (await moved.prices(), await jumped.prices()) == ([("e", D(10), D(102))], [("e", D(10), D(103))])
    assert (await moved.fills())[0].cause == "stop"


async def test_a_stop_entry_sent_when_its_trigger_was_already_passed_pays_the_next_price() -> None:
    market = Market()
    market.at("100")
    market.range("99", "105")
    await market.enter(kind=OrderKind.STOP, price="102", stop="99")

    market.at("104", gap=False)

    assert await market.prices() == [("e", D(10), D(104))]


# -------------------------------------------------------------------------------------------- stops, targets, parts


async def test_the_attached_stop_covers_exactly_what_is_left() -> None:
    market = Market()
    market.at("100")
    await market.enter()
    await market.reduce("x", "4")

    (stop,) = await market.broker.protective_orders()
    assert (stop.client_order_id, stop.quantity, stop.price, stop.reduces_only) == ("e-stop", D(6), D(98), True)


async def test_a_stop_ends_the_targets_and_a_last_target_ends_the_stop() -> None:
    stopped, won = Market(), Market()
    for market in (stopped, won):
        market.at("100")
        await market.enter()
        await market.reduce("t", "10", price="104")

    stopped.at("97")
    won.at("104")

    assert (await stopped.state_of("t"), await stopped.state_of("e-stop")) == (OrderState.CANCELED, OrderState.FILLED)
    assert (await won.state_of("t"), await won.state_of("e-stop")) == (OrderState.FILLED, OrderState.CANCELED)
    assert stopped.broker.is_flat
    assert won.broker.is_flat


async def test_resting_targets_shrink_to_what_is_left_and_can_never_flip_the_position() -> None:
    market = Market()
    market.at("100")
    await market.enter()
    await market.reduce("t1", "5", price="104")
    await market.reduce("t2", "5", price="108")
    await market.reduce("x", "7")

    market.at("110")

    assert sum((each.quantity for each in await market.fills() if each.side is Side.SELL), D(0)) == D(10)
    assert (await market.state_of("t1"), await market.state_of("t2")) == (OrderState.FILLED, OrderState.CANCELED)
    assert await market.broker.positions() == ()


async def test_liquidity_fills_in_parts_and_the_stop_protects_the_filled_part() -> None:
    market = Market(liquidity=D(4))
    market.at("100")
    await market.enter()

    (position,) = await market.broker.positions()
    (stop,) = await market.broker.protective_orders()
    assert (position.quantity, stop.quantity, await market.state_of("e")) == (D(4), D(4), OrderState.PARTIAL)

    market.at("102", gap=False)
    market.at("103", gap=False)
    (position,) = await market.broker.positions()
    assert (position.quantity, position.average_price) == (D(10), D("101.4"))  # 4 at 100, 4 at 102, 2 at 103


async def test_a_triggered_stop_goes_on_at_the_market_until_everything_is_closed() -> None:
    market = Market(liquidity=D(6))
    market.at("100")
    await market.enter()
    market.at("100")  # the second part of the entry

    market.at("97")
    market.at("99")

    assert (await market.prices())[-2:] == [("e-stop", D(6), D(97)), ("e-stop", D(4), D(99))]
    assert market.broker.is_flat


async def test_an_entry_whose_position_was_stopped_out_does_not_fill_on() -> None:
    market = Market(liquidity=D(4))
    market.at("100")
    await market.enter(kind=OrderKind.LIMIT, price="100")

    market.at("97")
    market.at("97")

    assert await market.state_of("e") is OrderState.CANCELED
    assert await market.prices() == [("e", D(4), D(100)), ("e-stop", D(4), D(97))]


async def test_two_entries_in_one_instrument_are_separate_positions() -> None:
    market = Market()
    market.at("100")
    await market.enter("a", stop="99")
    await market.enter("b", side=Side.SELL, stop="103")

    market.at("98.5")

    (left,) = await market.broker.positions()
    assert (left.entry_order_id, left.direction) == ("b", Direction.SHORT)


# --------------------------------------------------------------------------------------------------------------- money


async def test_equity_marks_open_positions_on_the_side_they_would_close_at() -> None:
    market = Market(instrument(leverage="20"))
    market.at("100", "100.2")
    await market.enter()
    market.at("101", "101.2")

    account = await market.broker.account()
    assert (account.balance, account.equity, account.margin_used) == (BALANCE, BALANCE + 8, D("50.1"))


async def test_commission_is_paid_on_both_sides_in_account_currency() -> None:
    market = Market(instrument(commission="0.001"))
    market.at("100")
    await market.enter()
    market.at("104")
    await market.reduce("x", "10")

    assert [each.fee for each in await market.fills()] == [D(1), D("1.04")]
    assert (await market.broker.account()).balance == BALANCE + 40 - 1 - D("1.04")


async def test_a_pair_that_starts_with_the_account_currency_converts_itself() -> None:
    market = Market(instrument("USD_JPY", tick="0.01"))
    market.at("150")
    await market.enter(stop="149", decided="150")
    market.at("160")
    await market.reduce("x", "10")

    assert (await market.broker.account()).balance == BALANCE + D(100) * (1 / D(160))


async def test_a_cross_converts_through_another_pair_and_is_rejected_until_that_has_a_price() -> None:
    cross, pair = instrument("EUR_GBP"), instrument("GBP_USD")
    market = Market(cross, pair)
    market.at("0.9")
    first = await market.broker.place(entry(cross, "a", stop="0.8", decided="0.9"))
    market.broker.observe(pair.symbol, bid=D("1.25"), ask=D("1.25"), at=START, gap=True)
    second = await market.broker.place(entry(cross, "b", stop="0.8", decided="0.9"))
    market.at("1.0")
    await market.reduce("x", "10", entry_id="b")

    assert (first.state, first.reason) == (OrderState.REJECTED, "NO_CONVERSION_RATE")
    assert second.state is OrderState.FILLED
    assert (await market.broker.account()).balance == BALANCE + D("1.25")


async def test_a_dollar_stablecoin_counts_as_dollars() -> None:
    market = Market(replace(PLAIN, quote_currency=Currency("USDT")))
    market.at("100")

    assert await market.enter() is OrderState.FILLED


# ------------------------------------------------------------------------------------------------- memory over a crash


async def test_a_venue_remembers_orders_positions_stops_money_and_fills_over_a_crash(tmp_path: Path) -> None:
    store = FileVenueState(tmp_path / "folder" / "venue.json")
    market = Market(instrument(commission="0.001"), state=store)
    market.at("100")
    await market.enter()
    await market.reduce("t1", "4", price="101")
    market.at("101", gap=False)
    await market.amend("99")
    await market.reduce("t2", "6", price="104")

    again = Market(instrument(commission="0.001"), state=FileVenueState(tmp_path / "folder" / "venue.json"))

    assert await again.broker.positions() == await market.broker.positions()
    assert await again.broker.open_orders() == await market.broker.open_orders()
    assert await again.broker.protective_orders() == await market.broker.protective_orders()
    assert await again.broker.fills_since("") == await market.broker.fills_since("")
    assert (await again.broker.account()).balance == (await market.broker.account()).balance
    again.at("98.5", gap=False)
    assert (await again.prices())[-1] == ("e-stop", D(6), D(99))
    assert [each.venue_fill_id for each in await again.fills()] == ["venue-f-1", "venue-f-2", "venue-f-3"]
    assert await again.enter() is OrderState.FILLED  # the old order's answer: an id is never used twice
    assert len(await again.fills()) == 3


async def test_a_restarted_venue_makes_market_orders_wait_until_it_sees_a_price() -> None:
    store = MemoryVenueState()
    market = Market(state=store)
    market.at("100")
    await market.enter()

    again = Market(state=store)

    assert await again.reduce("x", "10") is OrderState.WORKING
    again.at("101")
    assert (await again.prices())[-1] == ("x", D(10), D(101))


async def test_every_change_is_saved_before_the_answer_and_an_idle_price_is_not_saved() -> None:
    store = MemoryVenueState()
    market = Market(state=store)
    market.at("100")
    saved = [store.saves]
    await market.enter()
    saved.append(store.saves)
    market.at("99")
    saved.append(store.saves)
    await market.amend("98.5")
    saved.append(store.saves)
    market.at("97")
    saved.append(store.saves)

    assert saved == [0, 1, 1, 2, 3]


def test_the_saved_list_of_fills_is_bounded_like_the_one_in_memory() -> None:
    store, orders = MemoryVenueState(), dict[ClientOrderId, BookOrder]()
    book = Book(PLAIN, orders, VenueTraits())
    book.observe(D(100), D(100), START, gap=True)
    order = BookOrder(
        client_order_id=ClientOrderId("e"),
        venue_order_id="o-1",
        symbol=PLAIN.symbol,
        side=Side.BUY,
        role=OrderRole.ENTRY,
        kind=OrderKind.MARKET,
        quantity=D(10),
        price=D(0),
        entry_order_id=ClientOrderId("e"),
    )
    (execution,) = book.accept(order, START)
    ledger = Ledger(BrokerId("venue"), USD, BALANCE, (book,))
    memory = VenueMemory(store, orders=orders, books={PLAIN.symbol: book}, ledger=ledger)

    for _ in range(3):
        for _ in range(FILLS_KEPT // 2 + 600):
            ledger.book(execution)
        memory.save(order_count=1)

    state = store.load()
    assert state is not None
    assert [each["id"] for each in state["fills"]] == [each.venue_fill_id for each in ledger.fills]  # type: ignore[attr-defined]
    assert len(ledger.fills) < ledger.fill_count


@pytest.mark.parametrize(("bound", "state"), [("100.02", OrderState.FILLED), ("100.01", OrderState.REJECTED)])
async def test_the_typical_slippage_counts_against_the_bound(bound: str, state: OrderState) -> None:
    market = Market(replace(PLAIN, slippage_ratio=D("0.0002")))
    market.at("100")

    assert await market.enter(bound=bound) is state
    assert len(await market.fills()) == (state is OrderState.FILLED)


async def test_a_bad_venue_fills_beyond_the_bound_all_the_same() -> None:
    market = Market()
    market.at("100")

    with market.broker.worse_by(D("0.02")):
        assert await market.enter(bound="100.5") is OrderState.FILLED

    assert await market.prices() == [("e", D(10), D(102))]


async def test_an_entry_decided_between_candles_ends_unfilled_where_the_next_price_is_beyond_its_bound() -> None:
    market = Market()
    market.at("100")
    market.broker.pause(market.symbol)
    assert await market.enter(bound="100.5") is OrderState.WORKING

    market.at("101")
    market.at("100")

    found = await market.broker.find_order(ClientOrderId("e"))
    assert found is not None
    assert (found.state, found.filled_quantity, await market.broker.open_orders()) == (OrderState.EXPIRED, D(0), ())
    assert (await market.broker.account()).margin_used == 0


async def test_an_entry_that_ended_by_itself_has_ended_for_a_venue_that_was_started_again_too() -> None:
    store = MemoryVenueState()
    market = Market(state=store, liquidity=D(4))
    market.at("100")
    await market.enter(bound="100.5")
    market.at("101")

    again = Market(state=store, liquidity=D(4))
    again.at("100")

    assert await again.state_of("e") is OrderState.EXPIRED
    assert [each.quantity for each in await again.broker.positions()] == [D(4)]


async def test_what_still_works_of_an_entry_keeps_its_bound_when_the_venue_is_started_again() -> None:
    store = MemoryVenueState()
    market = Market(state=store, liquidity=D(4))
    market.at("100")
    await market.enter(bound="100.5")

    again = Market(state=store, liquidity=D(4))
    again.at("101")

    assert await again.state_of("e") is OrderState.EXPIRED


async def test_a_stop_entry_that_a_jump_carries_beyond_its_bound_ends() -> None:
    market = Market()
    market.at("100")
    await market.enter(kind=OrderKind.STOP, price="102", stop="99", bound="102.5")

    market.at("104")

    assert (await market.state_of("e"), await market.prices()) == (OrderState.EXPIRED, [])


class FullDisk(MemoryVenueState):
    """A store that refuses to save while `full`."""

    full = False

    def save(self, state: object) -> None:
        if self.full:
            raise StorageError("venue state x: cannot write (no space); free space")
        super().save(state)  # type: ignore[arg-type]


async def test_an_order_that_could_not_be_saved_has_an_unknown_fate_and_is_saved_with_the_next_change() -> None:
    store = FullDisk()
    market = Market(state=store)
    market.at("100")
    store.full = True
    with pytest.raises(OrderFateUnknown, match=r"not saved.*reconcile"):
        await market.enter()

    store.full = False
    await market.broker.cancel(ClientOrderId("e"))

    assert len(await Market(state=store).broker.positions()) == 1


def test_a_damaged_state_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "venue.json"
    path.write_text("{")

    with pytest.raises(StorageError, match=r"venue\.json.*move it away"):
        Market(state=FileVenueState(path))


def test_a_state_that_cannot_be_written_names_the_path_and_keeps_the_old_one(tmp_path: Path) -> None:
    store = FileVenueState(tmp_path / "venue.json")
    store.save({"version": 1})
    (tmp_path / "venue.json.new").mkdir()

    with pytest.raises(StorageError, match=r"venue\.json: cannot write"):
        store.save({"version": 2})
    assert store.load() == {"version": 1}


def test_a_state_of_an_instrument_that_is_no_longer_here_refuses_to_start() -> None:
    store = MemoryVenueState()
    store.save({"version": 99})

    with pytest.raises(StorageError, match="version 99"):
        Market(state=store)


async def test_fills_and_finished_orders_are_kept_up_to_a_bound_and_cursors_go_on() -> None:
    market = Market(balance=D(10**9))
    market.at("100")
    await market.enter("held")
    rounds = FILLS_KEPT // 2 + 1_000
    for number in range(rounds):
        await market.enter(f"e{number}")
        await market.reduce(f"x{number}", "10", entry_id=f"e{number}")

    fills, cursor = await market.broker.fills_since("")
    assert FILLS_KEPT <= len(fills) < FILLS_KEPT + 1_001
    assert cursor == str(2 * rounds + 1)
    assert fills[-1].venue_fill_id == f"venue-f-{cursor}"
    assert [each.venue_fill_id for each in (await market.broker.fills_since(str(2 * rounds)))[0]] == [
        f"venue-f-{2 * rounds + 1}"
    ]
    assert await market.state_of("e0") is None
    assert await market.state_of(f"e{rounds - ORDERS_KEPT // 4}") is OrderState.FILLED
    assert await market.amend("99", "held") is OrderState.WORKING  # the entry of an open position is never forgotten


async def test_a_cursor_of_another_venue_is_refused_with_the_way_out() -> None:
    with pytest.raises(BrokerUnavailable, match="empty cursor"):
        await Market().broker.fills_since("abc")


# ---------------------------------------------------------------------------------------------------------- properties

STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("price"), st.integers(90, 110), st.booleans()),
        st.tuples(st.just("range"), st.integers(90, 110), st.integers(0, 6)),
        st.tuples(st.just("pause"), st.just(0), st.just(0)),
        st.tuples(st.just("enter"), st.integers(1, 12), st.sampled_from(["buy", "sell"])),
        st.tuples(st.just("limit"), st.integers(90, 110), st.sampled_from(["buy", "sell"])),
        st.tuples(st.just("trigger"), st.integers(90, 110), st.sampled_from(["buy", "sell"])),
        st.tuples(st.just("reduce"), st.integers(1, 15), st.integers(0, 5)),
        st.tuples(st.just("target"), st.integers(90, 110), st.integers(0, 5)),
        st.tuples(st.just("amend"), st.integers(90, 110), st.integers(0, 5)),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.just(0)),
    ),
    min_size=5,
    max_size=40,
)
Step = tuple[str, int, int | str | bool]


async def play(market: Market, steps: Sequence[Step]) -> None:
    """Random orders and prices; names of orders are the numbers of their steps."""
    market.at("100", "101")
    entries: list[tuple[str, Side]] = []
    for number, (what, value, more) in enumerate(steps):
        name = f"{number}"
        closing = entries[int(more) % len(entries)] if entries and isinstance(more, int) else ("none", Side.BUY)
        other = Side.SELL if closing[1] is Side.BUY else Side.BUY
        if what == "price":
            market.at(str(value), str(value + 1), gap=bool(more))
        elif what == "range":
            market.range(str(value), str(value + int(more)))
        elif what == "pause":
            market.broker.pause(market.symbol)
        elif what in ("enter", "limit", "trigger"):
            side = Side(str(more))
            kind = {"enter": OrderKind.MARKET, "limit": OrderKind.LIMIT, "trigger": OrderKind.STOP}[what]
            around = 100 if what == "enter" else value
            stop = str(around - 3 * side.sign)
            price = None if what == "enter" else str(value)
            await market.enter(name, side=side, stop=stop, quantity=str(1 + value % 12), kind=kind, price=price)
            entries.append((name, side))
        elif what == "reduce":
            await market.reduce(name, str(value), entry_id=closing[0], side=other)
        elif what == "target":
            await market.reduce(name, "3", entry_id=closing[0], price=str(value), side=other)
        elif what == "amend":
            await market.amend(str(value), closing[0])
        elif what == "cancel":
            await market.broker.cancel(ClientOrderId(f"{value}"))


PROPERTY_INSTRUMENT: Final = instrument(commission="0.001", slippage="0.0005", tick="0.01")
LIQUIDITY: Final = st.sampled_from([None, D(3), D(7)])


@settings(deadline=None, max_examples=150)
@given(steps=STEPS, liquidity=LIQUIDITY)
async def test_no_quantity_is_ever_negative_and_stops_cover_exactly_the_position(
    steps: Sequence[Step], liquidity: Decimal | None
) -> None:
    market = Market(PROPERTY_INSTRUMENT, liquidity=liquidity)
    await play(market, steps)

    for position in await market.broker.positions():
        assert position.quantity > 0
    stops = {each.client_order_id: each for each in await market.broker.protective_orders()}
    for position in await market.broker.positions():
        if position.stop_order_id is not None:
            stop = stops.pop(position.stop_order_id)
            assert stop.quantity - stop.filled_quantity == position.quantity
    assert stops == {}
    for order in await market.broker.open_orders():
        assert 0 <= order.filled_quantity < order.quantity


@settings(deadline=None, max_examples=150)
@given(steps=STEPS, liquidity=LIQUIDITY)
async def test_closes_sum_to_their_entry_and_the_balance_changes_by_results_minus_fees(
    steps: Sequence[Step], liquidity: Decimal | None
) -> None:
    market = Market(PROPERTY_INSTRUMENT, liquidity=liquidity)
    await play(market, steps)
    market.broker.pause(market.symbol)
    for order in await market.broker.open_orders():
        assert order.client_order_id is not None
        await market.broker.cancel(order.client_order_id)
    for number, position in enumerate(await market.broker.positions()):
        await market.reduce(
            f"end-{number}", "100", entry_id=position.entry_order_id, side=Side.closing(position.direction)
        )
    for _ in range(100):
        market.at("100", "101")

    assert await market.broker.positions() == ()
    fills = await market.fills()
    bought = sum((each.quantity for each in fills if each.side is Side.BUY), D(0))
    sold = sum((each.quantity for each in fills if each.side is Side.SELL), D(0))
    cash = sum((-each.side.sign * each.quantity * each.price - each.fee for each in fills), D(0))
    account = await market.broker.account()
    assert bought == sold
    assert abs(account.balance - BALANCE - cash) < D("1e-15")
    assert (account.equity, account.margin_used) == (account.balance, D(0))


@settings(deadline=None, max_examples=100)
@given(steps=STEPS, cut=st.integers(0, 40), liquidity=LIQUIDITY)
async def test_a_state_that_is_saved_and_loaded_is_the_same_state(
    steps: Sequence[Step], cut: int, liquidity: Decimal | None
) -> None:
    store = MemoryVenueState()
    market = Market(PROPERTY_INSTRUMENT, state=store, liquidity=liquidity)
    await play(market, steps[:cut])

    again = Market(PROPERTY_INSTRUMENT, state=store, liquidity=liquidity)

    assert await again.broker.positions() == await market.broker.positions()
    assert await again.broker.open_orders() == await market.broker.open_orders()
    assert await again.broker.protective_orders() == await market.broker.protective_orders()
    assert await again.fills() == await market.fills()
    assert (await again.broker.account()).balance == (await market.broker.account()).balance
