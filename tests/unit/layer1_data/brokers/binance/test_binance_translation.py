"""Our words into Binance's and back."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from bot.errors import BrokerUnavailable
from bot.instruments import default_registry
from bot.layer1_data.brokers.binance import from_binance, to_binance
from bot.layer1_data.brokers.binance.fills import read_cursor, written_cursor
from bot.layer1_data.brokers.binance.from_binance import Trade, Unreadable
from bot.layer1_data.brokers.binance.ledger import Holding
from bot.models import ClientOrderId, OrderKind, OrderState, Side, Timeframe

D = Decimal
BTC = default_registry().get("BTC/USDT")
NAME = ClientOrderId("TBp0123456789ABCDEFE00")
AT = datetime(2026, 3, 4, tzinfo=UTC)

ANSWER: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "orderId": 28,
    "orderListId": -1,
    "clientOrderId": NAME,
    "transactTime": 1_772_582_400_047,
    "price": "0.00000000",
    "origQty": "0.01000000",
    "executedQty": "0.01000000",
    "cummulativeQuoteQty": "500.00000000",
    "status": "FILLED",
    "timeInForce": "GTC",
    "type": "MARKET",
    "side": "BUY",
    "fills": [
        {
            "price": "50000.00000000",
            "qty": "0.01000000",
            "commission": "0.00001000",
            "commissionAsset": "BTC",
            "tradeId": 56,
        }
    ],
}


@pytest.mark.parametrize(
    ("number", "text"),
    [("0.0100000000", "0.01"), ("1E+3", "1000"), ("1E-8", "0.00000001"), ("0", "0"), ("50010.00", "50010")],
)
def test_numbers_leave_exact_without_exponent_or_needless_zeros(number: str, text: str) -> None:
    assert to_binance.text(D(number)) == text


def test_a_market_order_carries_no_price_because_that_would_make_it_an_amount_of_money() -> None:
    asked = to_binance.order(BTC, NAME, Side.BUY, OrderKind.MARKET, D("0.01"), D(50_000))

    assert asked == {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "MARKET",
        "quantity": "0.01",
        "newClientOrderId": NAME,
        "newOrderRespType": "FULL",
    }


def test_a_limit_order_rests_until_it_is_cancelled() -> None:
    asked = to_binance.order(BTC, NAME, Side.SELL, OrderKind.LIMIT, D("0.01"), D("50000.10"))

    assert (asked["price"], asked["timeInForce"], asked["side"]) == ("50000.1", "GTC", "SELL")


def test_an_entry_takes_what_is_there_at_its_bound_or_better_and_nothing_else() -> None:
    asked = to_binance.entry(BTC, NAME, Side.BUY, D("0.01"), D("50000.129"))

    assert (asked["type"], asked["price"], asked["timeInForce"]) == ("LIMIT", "50000.12", "FOK")


@pytest.mark.parametrize(
    ("types", "sent"),
    [
        (frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"}), ("STOP_LOSS", None)),
        (frozenset(), ("STOP_LOSS", None)),
        (frozenset({"STOP_LOSS_LIMIT"}), ("STOP_LOSS_LIMIT", "46550.01")),
    ],
)
def test_a_stop_sells_at_market_or_with_a_limit_on_the_grid_far_below(
    types: frozenset[str], sent: tuple[str, str | None]
) -> None:
    asked = to_binance.stop(BTC, NAME, D("0.01"), D("49000.02"), types)

    assert (asked["type"], asked.get("price")) == sent
    assert (asked["side"], asked["stopPrice"]) == ("SELL", "49000.02")


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, OrderState.FILLED),
        ({"status": "NEW"}, OrderState.WORKING),
        ({"status": "PENDING_NEW"}, OrderState.WORKING),
        ({"status": "PARTIALLY_FILLED"}, OrderState.WORKING),
        ({"status": "EXPIRED", "executedQty": "0.001"}, OrderState.EXPIRED),
        ({"status": "EXPIRED", "executedQty": "0.00000000"}, OrderState.REJECTED),
        ({"status": "EXPIRED_IN_MATCH", "executedQty": "0.00000000"}, OrderState.REJECTED),
        ({"status": "REJECTED", "executedQty": "0.00000000"}, OrderState.REJECTED),
        ({"status": "CANCELED", "clientOrderId": "of the cancel", "origClientOrderId": NAME}, OrderState.CANCELED),
    ],
)
def test_an_answer_to_an_order_has_its_state(changes: dict[str, Any], state: OrderState) -> None:
    answered = from_binance.ack({**ANSWER, **changes}, NAME)

    assert (answered.state, answered.client_order_id, answered.venue_order_id) == (state, NAME, "28")


@pytest.mark.parametrize(
    "changes", [{"clientOrderId": "another"}, {"orderId": None}, {"status": None}, {"status": "NEW_IN_2027"}]
)
def test_an_answer_that_is_not_about_this_order_or_not_known_is_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(Unreadable):
        from_binance.ack({**ANSWER, **changes}, NAME)


def test_the_trades_of_an_answer_are_exact() -> None:
    (done,) = from_binance.trades_of_ack(ANSWER)

    assert (done.id, done.order_id, done.side, done.quantity, done.price) == (56, 28, Side.BUY, D("0.01"), D(50_000))
    assert (done.commission, done.commission_asset) == (D("0.00001"), "BTC")
    assert done.at == datetime.fromtimestamp(1_772_582_400, UTC) + timedelta(milliseconds=47)


def test_a_stop_is_told_at_its_trigger_and_an_order_of_others_without_a_name() -> None:
    row = {**ANSWER, "clientOrderId": "web_1", "type": "STOP_LOSS", "side": "SELL", "stopPrice": "49000.00000000"}
    told = from_binance.venue_order({**row, "status": "NEW", "executedQty": "0.00000000"}, BTC)

    assert (told.client_order_id, told.price, told.reduces_only) == (None, D(49_000), True)
    assert from_binance.is_stop(row)
    assert not from_binance.is_stop({**row, "side": "BUY"})


@pytest.mark.parametrize("value", [None, "", "NaN", "Infinity", "a", [], {}])
def test_what_is_not_a_number_is_unreadable(value: object) -> None:
    with pytest.raises(Unreadable):
        from_binance.number({"price": value}, "price")


def test_a_kline_closes_where_the_next_one_opens() -> None:
    opened_ms = from_binance.milliseconds(AT)
    row = [opened_ms, "1.1", "1.3", "1.0", "1.2", "7", opened_ms + 3_599_999, "8", 3, "0", "0", "0"]
    made = from_binance.candle(row, Timeframe.H1)

    assert (made.opened_at, made.closed_at) == (AT, AT + timedelta(hours=1))
    assert (made.open, made.high, made.low, made.close, made.volume) == (D("1.1"), D("1.3"), D(1), D("1.2"), D(7))


def test_terms_take_the_stricter_of_both_lot_filters_and_zero_means_none() -> None:
    row = {
        "symbol": "BTCUSDT",
        "status": "BREAK",
        "isSpotTradingAllowed": True,
        "quoteAsset": "USDT",
        "filters": [
            {"filterType": "PRICE_FILTER", "tickSize": "0.01000000"},
            {"filterType": "LOT_SIZE", "minQty": "0.00001000", "stepSize": "0.00001000"},
            {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00100000", "stepSize": "0.00000000"},
            {"filterType": "MIN_NOTIONAL", "minNotional": "10.0"},
        ],
    }
    told = from_binance.terms(row, BTC)

    assert (told.tick, told.quantity_step, told.min_quantity) == (D("0.01"), D("0.00001"), D("0.001"))
    assert (told.min_notional, told.is_open, told.says) == (D(10), False, "BREAK")


def trade(side: Side, quantity: str, price: str) -> Trade:
    return Trade(
        id=1,
        order_id=1,
        side=side,
        quantity=D(quantity),
        price=D(price),
        commission=D(0),
        commission_asset="",
        at=AT,
    )


def test_a_holding_keeps_its_average_over_a_sale_and_never_counts_what_was_withheld() -> None:
    bought = Holding().after(trade(Side.BUY, "2", "100"), D("0.5")).after(trade(Side.BUY, "0.5", "200"), D(0))
    sold = bought.after(trade(Side.SELL, "1", "300"), D(0))

    assert (bought.quantity, bought.average_price) == (D(2), D(125))
    assert (sold.quantity, sold.average_price) == (D(1), D(125))


def test_a_cursor_is_read_as_it_was_written() -> None:
    last = {"ETHUSDT": 7, "BTCUSDT": 12}

    assert read_cursor(written_cursor(last)) == last
    assert read_cursor("") == {}


@pytest.mark.parametrize("cursor", ["12", "BTCUSDT=a", "BTCUSDT=1=2", "{}"])
def test_a_cursor_that_is_not_of_this_venue_is_refused(cursor: str) -> None:
    with pytest.raises(BrokerUnavailable):
        read_cursor(cursor)
