"""What every broker must do, one numbered case each. A real adapter joins by adding a stand to `STANDS`.

Cases ask only through the contract. Where venues differ the case asks `capabilities`, never for a name, and is skipped
with the reason. `python -m tests.contract.conformance_table` prints every case against every broker.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

import pytest

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, EntryRefused
from bot.instruments import Instrument, Symbol
from bot.layer1_data.broker_interface import WOULD_TRIGGER, DuplicateIds
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Direction,
    ExitPlan,
    OrderKind,
    OrderState,
    PositionId,
    Quote,
    ReduceOrder,
    Side,
    SignalId,
    StrategyName,
    TaskId,
    Timeframe,
    VenuePosition,
)
from tests.builders import bound_of
from tests.contract.stands import (
    BALANCE,
    EUR_USD,
    START,
    CoinbaseLike,
    FuturesLike,
    IgLike,
    OandaLike,
    SimulatedStand,
    SpotLike,
    Stand,
    TradierLike,
)
from tests.contract.stands_binance import BinanceStand
from tests.contract.stands_ig import IgSharesStand, IgStand
from tests.contract.stands_oanda import OandaNettingStand, OandaStand

D = Decimal
SPOT_ONLY: Final = "this venue sells only what is held"
STANDS: Final[tuple[Callable[[], Stand], ...]] = (
    SimulatedStand,
    OandaLike,
    IgLike,
    FuturesLike,
    CoinbaseLike,
    TradierLike,
    SpotLike,
    BinanceStand,
    OandaStand,
    OandaNettingStand,
    IgStand,
    IgSharesStand,
)


@pytest.fixture(params=STANDS, ids=lambda each: each.__name__)
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    made: Stand = request.param()
    await made.open()
    made.price("1.10000", "1.10010")
    yield made
    await made.close()


def entry(name: str = "entry-1", /, **changes: object) -> ApprovedOrder:
    side = changes.get("side", Side.BUY)
    plan = ExitPlan(
        direction=Direction.LONG if side is Side.BUY else Direction.SHORT,
        stop=D(str(changes.pop("stop", "1.09500"))),
        targets=(),
        tick=EUR_USD.tick,
        quantity_step=EUR_USD.quantity_step,
        min_quantity=EUR_USD.min_quantity,
    )
    fields: dict[str, object] = {
        "client_order_id": ClientOrderId(name),
        "stop_order_id": ClientOrderId(f"{name}-s"),
        "position_id": PositionId(name),
        "signal_id": SignalId(name),
        "task_id": TaskId("task"),
        "strategy": StrategyName("contract"),
        "broker_id": EUR_USD.broker_id,
        "symbol": EUR_USD.symbol,
        "side": Side.BUY,
        "kind": OrderKind.MARKET,
        "quantity": D(1_000),
        "limit_price": None,
        "decided_price": D("1.10010"),
        "price_bound": D("1.10010"),
        "plan": plan,
        "risk_amount": D(5),
        "value_per_point": D(1),
        "valid_until": START + timedelta(hours=1),
    }
    made = ApprovedOrder(**(fields | changes))  # type: ignore[arg-type]
    return made if "price_bound" in changes else replace(made, price_bound=bound_of(made))


def reduction(name: str, quantity: str, *, price: str | None = None, of: str = "entry-1") -> ReduceOrder:
    return ReduceOrder(
        client_order_id=ClientOrderId(name),
        position_id=PositionId(of),
        entry_order_id=ClientOrderId(of),
        broker_id=EUR_USD.broker_id,
        symbol=EUR_USD.symbol,
        side=Side.SELL,
        kind=OrderKind.MARKET if price is None else OrderKind.LIMIT,
        quantity=D(quantity),
        limit_price=None if price is None else D(price),
        reason="CONTRACT",
    )


async def only_position(stand: Stand) -> VenuePosition:
    (position,) = await stand.broker.positions()
    return position


async def protected(stand: Stand, **changes: object) -> VenuePosition:
    """An open position with a stop for all of it, whoever has to place that."""
    await stand.broker.place(entry(**changes))
    position = await only_position(stand)
    if not stand.broker.capabilities.attached_stop:
        await stand.broker.place_stop(position, ClientOrderId("entry-1-s"), D("1.09500"))
    return await only_position(stand)


async def fill_names(stand: Stand) -> list[ClientOrderId]:
    return [each.client_order_id for each in (await stand.broker.fills_since(""))[0]]


# --------------------------------------------------------------------------------------------------- 1x: market data


async def test_11_a_quote_is_what_the_market_shows_now(stand: Stand) -> None:
    quote = await stand.broker.quote(EUR_USD.symbol)

    assert (quote.bid, quote.ask) == (D("1.10000"), D("1.10010"))


async def test_12_a_quote_of_a_symbol_without_a_price_is_unavailable_not_invented(stand: Stand) -> None:
    with pytest.raises(BrokerUnavailable):
        await stand.broker.quote(Symbol("EUR_GBP"))


async def test_13_candles_are_closed_oldest_first_and_the_newest_when_no_start_is_given(stand: Stand) -> None:
    candles = await stand.broker.candles(EUR_USD.symbol, Timeframe.H1, since=None, limit=3)

    assert [each.closed_at for each in candles] == [START - timedelta(hours=back) for back in (2, 1, 0)]


async def test_14_candles_since_an_instant_begin_with_the_one_that_opens_there(stand: Stand) -> None:
    since = START - timedelta(hours=4)
    candles = await stand.broker.candles(EUR_USD.symbol, Timeframe.H1, since=since, limit=2)

    assert [each.opened_at for each in candles] == [since, since + timedelta(hours=1)]


async def test_15_streamed_quotes_arrive_as_they_change(stand: Stand) -> None:
    if not stand.broker.capabilities.streams_quotes:
        pytest.skip("this venue does not stream")
    stream = stand.broker.quotes([EUR_USD.symbol])
    waiting = asyncio.ensure_future(_next(stream))
    await ManualClock().sleep(0)  # the reader is there before the quote comes
    stand.price("1.20000", "1.20010")

    assert (await waiting).bid == D("1.20000")


async def _next(stream: AsyncIterator[Quote]) -> Quote:
    return await anext(stream)


# -------------------------------------------------------------------------------------------------------- 2x: entries


async def test_21_a_market_entry_is_filled_and_told_in_every_place(stand: Stand) -> None:
    ack = await stand.broker.place(entry())

    found = await stand.broker.find_order(ClientOrderId("entry-1"))
    position = await only_position(stand)
    assert ack.state in (OrderState.FILLED, OrderState.WORKING)  # a venue may tell the fill a moment later
    assert found is not None
    assert (found.state, found.filled_quantity, found.venue_order_id) == (
        OrderState.FILLED,
        D(1_000),
        ack.venue_order_id,
    )
    assert (position.entry_order_id, position.quantity, position.direction) == ("entry-1", D(1_000), Direction.LONG)
    assert await fill_names(stand) == ["entry-1"]


async def test_22_a_buy_never_pays_less_than_the_ask_and_a_sale_never_gets_more_than_the_bid(stand: Stand) -> None:
    await stand.broker.place(entry())
    await stand.broker.place(reduction("out", "1000"))

    fills, _ = await stand.broker.fills_since("")
    assert fills[0].price >= D("1.10010")
    assert fills[1].price <= D("1.10000")


async def test_22b_a_short_entry_is_filled_at_the_bid_or_lower_and_protected_from_above(stand: Stand) -> None:
    if not stand.broker.capabilities.allows_short:
        pytest.skip(SPOT_ONLY)
    await stand.broker.place(entry(side=Side.SELL, stop="1.10500"))

    fills, _ = await stand.broker.fills_since("")
    position = await only_position(stand)
    assert [each.price <= D("1.10000") for each in fills] == [True]
    assert (position.direction, position.quantity) == (Direction.SHORT, D(1_000))
    assert position.stop_price == (D("1.10500") if stand.broker.capabilities.attached_stop else None)


async def test_22c_where_nothing_can_be_sold_short_a_short_entry_is_refused_and_opens_nothing(stand: Stand) -> None:
    if stand.broker.capabilities.allows_short:
        pytest.skip("this venue sells short")
    ack = await stand.broker.place(entry(side=Side.SELL, stop="1.10500"))

    assert ack.state is OrderState.REJECTED
    assert await stand.broker.positions() == ()


async def test_23_an_attached_stop_rests_from_the_fill_on_for_the_whole_quantity(stand: Stand) -> None:
    if not stand.broker.capabilities.attached_stop:
        pytest.skip("this venue attaches no stop")
    await stand.broker.place(entry())

    (stop,) = await stand.broker.protective_orders()
    position = await only_position(stand)
    assert (stop.client_order_id, stop.side, stop.quantity, stop.reduces_only) == (
        "entry-1-s",
        Side.SELL,
        D(1_000),
        True,
    )
    assert (position.stop_price, position.stop_order_id) == (D("1.09500"), "entry-1-s")


async def test_23b_a_venue_that_attaches_no_stop_opens_a_bare_position_that_a_stop_can_be_rested_for(
    stand: Stand,
) -> None:
    if stand.broker.capabilities.attached_stop:
        pytest.skip("this venue attaches the stop")
    await stand.broker.place(entry())
    assert ((await only_position(stand)).stop_price, await stand.broker.protective_orders()) == (None, ())

    position = await protected_again(stand)

    assert (position.stop_price, position.stop_order_id) == (D("1.09500"), "entry-1-s")


async def protected_again(stand: Stand) -> VenuePosition:
    await stand.broker.place_stop(await only_position(stand), ClientOrderId("entry-1-s"), D("1.09500"))
    return await only_position(stand)


async def test_24_the_same_client_order_id_never_has_two_effects(stand: Stand) -> None:
    if stand.broker.capabilities.duplicate_ids is not DuplicateIds.PERMANENT:
        pytest.skip("this venue forgets ids: the engine asks before it sends again")
    first = await stand.broker.place(entry())
    again = await stand.broker.place(entry())

    assert (again.venue_order_id, again.state) == (first.venue_order_id, first.state)
    assert (await only_position(stand)).quantity == D(1_000)


async def test_24b_an_id_comes_again_exactly_as_often_as_the_venue_says(stand: Stand) -> None:
    known = stand.broker.capabilities.duplicate_ids
    resting = entry(kind=OrderKind.LIMIT, limit_price=D("1.09800"))
    await stand.broker.place(resting)
    await stand.broker.place(resting)
    assert len(await stand.broker.open_orders()) == (2 if known is DuplicateIds.NONE else 1)

    stand.price("1.09780", "1.09790")
    before = (await only_position(stand)).quantity
    await stand.broker.place(resting)

    # Where the stop of the first one still rests, that stop's id stands in the way.
    again = known is DuplicateIds.NONE or (
        known is DuplicateIds.OPEN_ONLY and not stand.broker.capabilities.attached_stop
    )
    assert (await only_position(stand)).quantity - before == (D(1_000) if again else 0)
    found = await stand.broker.find_order(ClientOrderId("entry-1"))
    assert found is not None
    assert found.client_order_id == "entry-1"
    assert set(await fill_names(stand)) == {"entry-1"}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"quantity": D(10_000_000)}, "INSUFFICIENT_MARGIN"),
        ({"symbol": Symbol("NO_SUCH")}, "UNKNOWN_SYMBOL"),
        ({"quantity": D("0.5")}, "BELOW_MINIMUM"),
        ({"quantity": D("10.5")}, "PRECISION"),
        ({"stop": "1.0950001"}, "PRECISION"),
        ({"kind": OrderKind.LIMIT, "limit_price": D("1.0980001")}, "PRECISION"),
        ({"kind": OrderKind.LIMIT}, "PRICE_MISSING"),
        ({"stop": "1.10500"}, "STOP_ON_WRONG_SIDE"),
        ({"stop": "1.10000"}, "STOP_ON_WRONG_SIDE"),
        ({"side": Side.SELL, "stop": "1.10010"}, "STOP_ON_WRONG_SIDE"),
        ({"symbol": Symbol("EUR_GBP")}, "NO_PRICE"),
        ({"stop_order_id": ClientOrderId("entry-1")}, "DUPLICATE_STOP_ID"),
    ],
)
async def test_25_a_no_is_an_answer_with_the_venues_reason_and_leaves_nothing(
    stand: Stand, changes: dict[str, object], word: str
) -> None:
    ack = await stand.broker.place(entry(**changes))

    if changes.get("side") is Side.SELL and not stand.broker.capabilities.allows_short:
        word = "NO_SHORT"
    assert ack.state is OrderState.REJECTED
    assert ack.reason == word if isinstance(stand, SimulatedStand) else ack.reason
    assert await stand.broker.positions() == ()
    assert await stand.broker.open_orders() == ()
    assert await fill_names(stand) == []


async def test_26_a_limit_entry_rests_and_fills_at_its_price_or_better(stand: Stand) -> None:
    ack = await stand.broker.place(entry(kind=OrderKind.LIMIT, limit_price=D("1.09800")))
    (resting,) = await stand.broker.open_orders()
    assert (ack.state, resting.state, resting.price) == (OrderState.WORKING, OrderState.WORKING, D("1.09800"))
    assert await stand.broker.positions() == ()

    stand.price("1.09780", "1.09790")

    fills, _ = await stand.broker.fills_since("")
    assert [each.price <= D("1.09800") for each in fills] == [True]
    assert await stand.broker.open_orders() == ()


async def test_27_an_order_nobody_placed_is_not_found(stand: Stand) -> None:
    assert await stand.broker.find_order(ClientOrderId("never")) is None


async def test_28_an_entry_whose_last_word_is_no_has_no_effect_and_its_name_is_still_free(stand: Stand) -> None:
    async def no() -> None:
        raise EntryRefused("the kill switch was pressed")

    with pytest.raises(EntryRefused, match="was pressed"):
        await stand.broker.place(entry(), no)

    nothing = (await stand.broker.positions(), await stand.broker.open_orders(), await stand.broker.fills_since(""))
    assert [len(each) for each in (*nothing[:2], nothing[2][0])] == [0, 0, 0]
    assert await stand.broker.find_order(ClientOrderId("entry-1")) is None
    assert (await stand.broker.place(entry())).state is OrderState.FILLED


async def test_28b_the_last_word_about_an_entry_is_asked_once(stand: Stand) -> None:
    asked = []

    async def yes() -> None:
        asked.append("")

    await stand.broker.place(entry(), yes)

    assert len(asked) == 1
    assert (await only_position(stand)).quantity == D(1_000)


async def test_28c_a_reduction_whose_last_word_is_no_closes_nothing(stand: Stand) -> None:
    async def no() -> None:
        raise BrokerUnavailable("another daemon is the writer")

    await stand.broker.place(entry())

    with pytest.raises(BrokerUnavailable, match="another daemon"):
        await stand.broker.place(reduction("exit-1", "400"), no)

    assert (await only_position(stand)).quantity == D(1_000)


async def test_29_an_entry_beyond_its_worst_price_does_not_fill_and_nothing_of_it_works_on(stand: Stand) -> None:
    ack = await stand.broker.place(entry(price_bound=D("1.10005")))
    stand.price("1.09990", "1.10000")

    assert ack.state is OrderState.REJECTED
    assert "bought at 1.10005 or less" in ack.reason
    assert await nothing_is_left(stand)


async def test_29b_a_sale_below_its_worst_price_does_not_fill_and_nothing_of_it_works_on(stand: Stand) -> None:
    if not stand.broker.capabilities.allows_short:
        pytest.skip(SPOT_ONLY)
    ack = await stand.broker.place(entry(side=Side.SELL, stop="1.10500", price_bound=D("1.10005")))
    stand.price("1.10020", "1.10030")

    assert ack.state is OrderState.REJECTED
    assert "sold at 1.10005 or more" in ack.reason
    assert await nothing_is_left(stand)


async def nothing_is_left(stand: Stand) -> bool:
    broker = stand.broker
    found = await broker.find_order(ClientOrderId("entry-1"))
    told = (*await broker.positions(), *await broker.open_orders(), *await broker.protective_orders())
    return not told and await fill_names(stand) == [] and (found is None or found.state.is_terminal)


async def test_29c_what_fills_in_part_within_its_worst_price_is_a_position_with_its_stop_and_the_rest_has_ended(
    stand: Stand,
) -> None:
    if not stand.thin("400"):
        pytest.skip("this venue fills an entry whole or not at all")
    stand.price("1.10000", "1.10010")

    ack = await stand.broker.place(entry())
    stand.price("1.10200", "1.10210")
    if not stand.broker.capabilities.attached_stop:
        await stand.broker.place_stop(await only_position(stand), ClientOrderId("entry-1-s"), D("1.09500"))
    stand.price("1.10000", "1.10010")

    found = await stand.broker.find_order(ClientOrderId("entry-1"))
    (stop,) = await stand.broker.protective_orders()
    position = await only_position(stand)
    assert found is not None
    assert ack.state in (OrderState.EXPIRED, OrderState.WORKING)
    assert (found.state, found.filled_quantity, await stand.broker.open_orders()) == (OrderState.EXPIRED, D(400), ())
    assert (position.quantity, position.stop_price, stop.quantity) == (D(400), D("1.09500"), D(400))


async def test_29d_a_worst_price_that_is_no_price_of_the_venue_is_refused_or_taken_for_the_next_better_one(
    stand: Stand,
) -> None:
    ack = await stand.broker.place(entry(price_bound=D("1.1000999")))

    assert ack.state is OrderState.REJECTED
    assert await nothing_is_left(stand)


# ----------------------------------------------------------------------------------------------------- 3x: reductions


async def test_31_a_reduction_closes_its_part_and_the_stop_follows(stand: Stand) -> None:
    await stand.broker.place(entry())
    await stand.broker.place(reduction("out", "400"))

    position = await only_position(stand)
    assert position.quantity == D(600)
    if stand.broker.capabilities.stop_follows_position:
        (stop,) = await stand.broker.protective_orders()
        assert stop.quantity - stop.filled_quantity == D(600)


async def test_32_a_reduction_of_more_than_is_left_closes_what_is_left_and_never_flips(stand: Stand) -> None:
    await stand.broker.place(entry())
    await stand.broker.place(reduction("out", "5000"))

    fills, _ = await stand.broker.fills_since("")
    assert fills[-1].quantity == D(1_000)
    assert await stand.broker.positions() == ()
    if stand.broker.capabilities.stop_follows_position:
        assert await stand.broker.protective_orders() == ()


@pytest.mark.parametrize(("quantity", "word"), [("0", "BELOW_MINIMUM"), ("0.5", "BELOW_MINIMUM"), ("1.5", "PRECISION")])
async def test_33_a_reduction_of_an_unusable_quantity_is_rejected(stand: Stand, quantity: str, word: str) -> None:
    await stand.broker.place(entry())
    ack = await stand.broker.place(reduction("out", quantity))

    assert ack.state is OrderState.REJECTED
    assert ack.reason == word if isinstance(stand, SimulatedStand) else ack.reason
    assert (await only_position(stand)).quantity == D(1_000)


async def test_34_a_reduction_of_nothing_is_rejected_and_opens_nothing(stand: Stand) -> None:
    ack = await stand.broker.place(reduction("out", "100"))

    assert (ack.state, ack.reason) == (OrderState.REJECTED, "POSITION_NOT_FOUND")
    assert await stand.broker.positions() == ()


async def test_35_a_reduction_on_the_opening_side_is_rejected(stand: Stand) -> None:
    if not stand.broker.capabilities.allows_short:
        pytest.skip(SPOT_ONLY)
    await stand.broker.place(entry("entry-1", side=Side.SELL, stop="1.10500"))
    ack = await stand.broker.place(reduction("out", "100"))

    assert ack.state is OrderState.REJECTED
    assert (await only_position(stand)).quantity == D(1_000)


async def test_36_a_resting_target_fills_when_reached_and_ends_when_the_stop_closes_the_position(stand: Stand) -> None:
    if stand.broker.capabilities.stop_reserves:
        pytest.skip("this venue rests no target beside a stop")
    if not stand.broker.capabilities.limit_exits:
        pytest.skip("this venue closes at the market only")
    await protected(stand)
    await stand.broker.place(reduction("t1", "400", price="1.10400"))
    await stand.broker.place(reduction("t2", "600", price="1.10900"))

    stand.price("1.10400", "1.10410")
    assert (await only_position(stand)).quantity == D(600)
    stand.price("1.09000", "1.09010")

    assert await fill_names(stand) == ["entry-1", "t1", "entry-1-s"]
    if not stand.broker.capabilities.exits_end_with_position:
        assert [each.client_order_id for each in await stand.broker.open_orders()] == ["t2"]
        assert (await stand.broker.cancel(ClientOrderId("t2"))).state is OrderState.CANCELED
    assert await stand.broker.open_orders() == ()
    ended = await stand.broker.find_order(ClientOrderId("t2"))
    assert ended is not None
    assert ended.state is OrderState.CANCELED


async def test_36b_where_every_exit_closes_at_the_market_one_with_a_price_is_refused_and_closes_nothing(
    stand: Stand,
) -> None:
    if stand.broker.capabilities.limit_exits:
        pytest.skip("this venue takes exits with a price")
    await protected(stand)
    ack = await stand.broker.place(reduction("t1", "400", price="1.10400"))

    assert ack.state is OrderState.REJECTED
    assert (await only_position(stand)).quantity == D(1_000)


# ------------------------------------------------------------------------------------------------------------ 4x: stops


async def test_41_a_stop_never_fills_better_than_its_price(stand: Stand) -> None:
    await protected(stand)
    stand.price("1.09400", "1.09410")

    fills, _ = await stand.broker.fills_since("")
    assert fills[-1].client_order_id == "entry-1-s"
    assert fills[-1].price <= D("1.09500")
    assert await stand.broker.positions() == ()


async def test_42_a_moved_stop_rests_at_its_new_price_under_the_same_id(stand: Stand) -> None:
    if not (stand.broker.capabilities.amends_stop and stand.broker.capabilities.stop_follows_position):
        pytest.skip("this venue moves no stop by its position")
    await stand.broker.place(entry())
    ack = await stand.broker.amend_stop(ClientOrderId("entry-1"), D("1.09900"))

    position = await only_position(stand)
    assert (ack.state, ack.client_order_id) == (OrderState.WORKING, "entry-1-s")
    assert (position.stop_price, position.stop_order_id) == (D("1.09900"), "entry-1-s")


@pytest.mark.parametrize(
    ("name", "stop", "word"),
    [("entry-1", "1.0990001", "PRECISION"), ("never", "1.09900", "POSITION_NOT_FOUND")],
)
async def test_43_a_stop_that_cannot_be_moved_stays_where_it_was(stand: Stand, name: str, stop: str, word: str) -> None:
    await protected(stand)
    ack = await stand.broker.amend_stop(ClientOrderId(name), D(stop))

    assert ack.state is OrderState.REJECTED
    moves = stand.broker.capabilities.amends_stop and stand.broker.capabilities.stop_follows_position
    assert ack.reason == word if isinstance(stand, SimulatedStand) and moves else ack.reason
    assert (await only_position(stand)).stop_price == D("1.09500")


async def test_44_a_bare_position_can_be_protected_again_once(stand: Stand) -> None:
    if not stand.broker.capabilities.stop_follows_position:
        pytest.skip("here stops may rest beside each other")
    await stand.broker.place(entry())
    await stand.broker.cancel(ClientOrderId("entry-1-s"))
    bare = await only_position(stand)
    assert (bare.stop_price, await stand.broker.protective_orders()) == (None, ())

    first = await stand.broker.place_stop(bare, ClientOrderId("again"), D("1.09600"))
    second = await stand.broker.place_stop(bare, ClientOrderId("surplus"), D("1.09700"))

    (stop,) = await stand.broker.protective_orders()
    assert (first.state, second.state) == (OrderState.WORKING, OrderState.REJECTED)
    assert (stop.client_order_id, stop.quantity, stop.price) == ("again", D(1_000), D("1.09600"))
    stand.price("1.09500", "1.09510")
    assert (await fill_names(stand))[-1] == "again"


async def test_44b_loose_stops_never_close_more_than_is_open_and_open_nothing(stand: Stand) -> None:
    able = stand.broker.capabilities
    if able.stop_follows_position or able.stop_reserves:
        pytest.skip("here one stop rests at most")
    position = await protected(stand)
    await stand.broker.place_stop(position, ClientOrderId("second"), D("1.09400"))
    assert len(await stand.broker.protective_orders()) == 2

    stand.price("1.09300", "1.09310")
    stand.price("1.09000", "1.09010")

    fills, _ = await stand.broker.fills_since("")
    assert sum((each.quantity for each in fills if each.side is Side.SELL), D(0)) == D(1_000)
    assert (await stand.broker.positions(), await stand.broker.protective_orders()) == ((), ())


async def test_44c_a_loose_stop_keeps_its_size_until_it_is_resized_or_cancelled(stand: Stand) -> None:
    able = stand.broker.capabilities
    if able.stop_follows_position or able.stop_reserves:
        pytest.skip("this venue's stop is not loose")
    await protected(stand)
    await stand.broker.place(reduction("out", "400"))
    (stop,) = await stand.broker.protective_orders()
    assert stop.quantity - stop.filled_quantity == D(1_000)

    if able.amends_stop:
        ack = await stand.broker.resize_stop(ClientOrderId("entry-1-s"), D(600), D("1.09600"))
        (stop,) = await stand.broker.protective_orders()
        assert (ack.state, stop.quantity, stop.price) == (OrderState.WORKING, D(600), D("1.09600"))
    else:
        assert (await stand.broker.cancel(ClientOrderId("entry-1-s"))).state is OrderState.CANCELED
        assert await stand.broker.protective_orders() == ()


async def test_44d_a_loose_stop_beyond_the_price_is_refused_with_the_contracts_word(stand: Stand) -> None:
    if stand.broker.capabilities.stop_follows_position:
        pytest.skip("this venue triggers it at once")
    await stand.broker.place(entry())
    ack = await stand.broker.place_stop(await only_position(stand), ClientOrderId("late"), D("1.10500"))

    assert (ack.state, ack.reason) == (OrderState.REJECTED, WOULD_TRIGGER)


async def test_44e_beside_a_stop_that_locks_what_it_protects_nothing_is_sold(stand: Stand) -> None:
    if not stand.broker.capabilities.stop_reserves:
        pytest.skip("this venue's stops lock nothing")
    await protected(stand)
    refused = await stand.broker.place(reduction("out", "400"))
    await stand.broker.cancel(ClientOrderId("entry-1-s"))
    taken = await stand.broker.place(reduction("again", "400"))

    assert (refused.state, taken.state) == (OrderState.REJECTED, OrderState.FILLED)


async def test_45_a_stop_for_a_position_that_is_gone_is_rejected(stand: Stand) -> None:
    await stand.broker.place(entry())
    position = await only_position(stand)
    await stand.broker.place(reduction("out", "1000"))

    ack = await stand.broker.place_stop(position, ClientOrderId("late"), D("1.09600"))

    assert ack.state is OrderState.REJECTED
    assert "late" not in {each.client_order_id for each in await stand.broker.protective_orders()}


# --------------------------------------------------------------------------------------------------------- 5x: cancels


async def test_51_a_cancelled_order_never_fills(stand: Stand) -> None:
    await stand.broker.place(entry(kind=OrderKind.LIMIT, limit_price=D("1.09800")))
    ack = await stand.broker.cancel(ClientOrderId("entry-1"))
    stand.price("1.09000", "1.09010")

    assert ack.state is OrderState.CANCELED
    assert await fill_names(stand) == []


async def test_52_a_cancel_that_comes_after_the_fill_says_so(stand: Stand) -> None:
    await stand.broker.place(entry())

    assert (await stand.broker.cancel(ClientOrderId("entry-1"))).state is OrderState.FILLED


async def test_53_a_cancel_of_nothing_is_rejected(stand: Stand) -> None:
    assert (await stand.broker.cancel(ClientOrderId("never"))).state is OrderState.REJECTED


async def test_54_an_order_that_somebody_else_made_is_shown_and_can_be_cancelled_by_its_number(stand: Stand) -> None:
    stand.rest_by_hand()
    (theirs,) = await stand.broker.open_orders()

    ack = await stand.broker.cancel_foreign(theirs)
    stand.price("1.08000", "1.08010")

    assert (theirs.symbol, theirs.side, theirs.quantity) == (EUR_USD.symbol, Side.BUY, D(1_000))
    assert ack.state is OrderState.CANCELED
    assert (await stand.broker.open_orders(), await stand.broker.positions()) == ((), ())


async def test_55_a_foreign_order_that_filled_meanwhile_is_not_cancelled(stand: Stand) -> None:
    stand.rest_by_hand()
    (theirs,) = await stand.broker.open_orders()
    stand.price("1.08000", "1.08010")

    ack = await stand.broker.cancel_foreign(theirs)

    assert ack.state is OrderState.REJECTED
    assert ack.reason


# ------------------------------------------------------------------------------------------------- 6x: truth, and crash


async def test_61_fills_are_read_once_in_order_by_their_cursor(stand: Stand) -> None:
    await stand.broker.place(entry())
    first, cursor = await stand.broker.fills_since("")
    await stand.broker.place(reduction("out", "1000"))
    second, end = await stand.broker.fills_since(cursor)
    third, _ = await stand.broker.fills_since(end)

    assert [each.client_order_id for each in (*first, *second, *third)] == ["entry-1", "out"]
    assert len({each.venue_fill_id for each in (*first, *second)}) == 2


async def test_62_the_balance_moves_by_results_and_fees_and_equity_by_open_results(stand: Stand) -> None:
    await stand.broker.place(entry())
    stand.price("1.10500", "1.10510")
    opened = await stand.broker.account()
    await stand.broker.place(reduction("out", "1000"))
    closed = await stand.broker.account()

    fills, _ = await stand.broker.fills_since("")
    fees = sum((each.fee for each in fills), D(0))
    assert opened.balance == BALANCE - fills[0].fee
    assert opened.equity - opened.balance == (D("1.10500") - fills[0].price) * 1_000
    assert opened.margin_used > 0
    assert closed.balance == closed.equity == BALANCE + (fills[1].price - fills[0].price) * 1_000 - fees
    assert closed.margin_used == 0


async def test_63_the_venue_remembers_everything_over_our_crash(stand: Stand) -> None:
    await stand.broker.place(entry())
    await stand.broker.place(reduction("t1", "400", price="1.10400"))
    before = (
        await stand.broker.positions(),
        await stand.broker.open_orders(),
        await stand.broker.protective_orders(),
        await stand.broker.fills_since(""),
        (await stand.broker.account()).balance,
    )

    stand.crash()

    after = (
        await stand.broker.positions(),
        await stand.broker.open_orders(),
        await stand.broker.protective_orders(),
        await stand.broker.fills_since(""),
        (await stand.broker.account()).balance,
    )
    assert after == before


async def test_64_connectivity_is_checked_and_closing_leaves_positions_as_they_are(stand: Stand) -> None:
    await stand.broker.place(entry())
    await stand.broker.check_connectivity()
    await stand.broker.close()

    stand.crash()
    assert (await only_position(stand)).quantity == D(1_000)


def test_65_the_adapter_names_the_broker_that_its_instruments_are_routed_to(stand: Stand) -> None:
    traded: Instrument = EUR_USD

    assert stand.broker.broker_id == traded.broker_id
