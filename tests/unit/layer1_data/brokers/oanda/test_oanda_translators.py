"""OANDA's words and ours, one by one."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.errors import ConfigError
from bot.instruments import OANDA, Symbol, default_registry
from bot.layer1_data.brokers.oanda import from_oanda, to_oanda
from bot.layer1_data.brokers.oanda.access import Access, Environment
from bot.models import ClientOrderId, Direction, OrderKind, OrderState, Side, Timeframe
from tests.contract.test_broker_contract import entry

D = Decimal
NAMES = from_oanda.Names(OANDA, {each.symbol: each for each in default_registry().of_broker(OANDA)}, "TB")
FILL: dict[str, Any] = {
    "id": "12",
    "type": "ORDER_FILL",
    "orderID": "11",
    "clientOrderID": "TBout",
    "instrument": "EUR_USD",
    "units": "-150",
    "time": "2026-11-20T09:00:02.123456789Z",
    "reason": "MARKET_ORDER",
    "fullVWAP": "1.10000",
    "commission": "0.3000",
    "financing": "-0.1000",
}


def order_of(call: to_oanda.Call) -> dict[str, Any]:
    body: dict[str, Any] = call.arguments["data"]["order"]
    return body


def test_an_entry_names_order_trade_and_stop_and_never_reduces() -> None:
    body = order_of(to_oanda.entry(entry("TBx"), "EUR_USD"))

    assert body == {
        "type": "MARKET",
        "instrument": "EUR_USD",
        "units": "1000",
        "timeInForce": "FOK",
        "priceBound": "1.10137",
        "positionFill": "OPEN_ONLY",
        "clientExtensions": {"id": "TBx"},
        "tradeClientExtensions": {"id": "TBx"},
        "stopLossOnFill": {"price": "1.09500", "timeInForce": "GTC", "clientExtensions": {"id": "TBx-s"}},
    }


def test_a_short_limit_entry_waits_with_negative_units() -> None:
    order = entry("TBx", side=Side.SELL, stop="1.10500", kind=OrderKind.LIMIT, limit_price=D("1.10200"))

    body = order_of(to_oanda.entry(order, "EUR_USD"))

    assert (body["type"], body["units"], body["price"], body["timeInForce"]) == ("LIMIT", "-1000", "1.10200", "GTC")
    assert "priceBound" not in body


def test_a_close_names_its_trade_and_says_how_much_of_it_as_text() -> None:
    call = to_oanda.trade_close(6411, D("300"))

    assert (call.group, call.name, dict(call.arguments)) == (
        "trades",
        "TradeClose",
        {"tradeID": "6411", "data": {"units": "300"}},
    )


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_a_number_goes_out_without_exponent_and_comes_back_as_it_was(number: Decimal) -> None:
    assert "E" not in to_oanda.plain(number)
    assert from_oanda.number(to_oanda.plain(number)) == number


@pytest.mark.parametrize("wrong", [1.1, 1, None, "NaN", "Infinity"])
def test_a_number_that_is_not_a_finite_string_is_refused(wrong: object) -> None:
    with pytest.raises(ValueError, match="number"):
        from_oanda.number(wrong)


@pytest.mark.parametrize("wrong", ["", "abc", "1,1"])
def test_text_that_is_no_number_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="not as documented"):
        from_oanda.readable(lambda: from_oanda.number(wrong))


def test_nine_digits_of_a_second_are_read() -> None:
    assert from_oanda.instant(FILL["time"]) == datetime(2026, 11, 20, 9, 0, 2, 123456, tzinfo=UTC)


@pytest.mark.parametrize(
    ("opened_at", "hours"),
    [
        (datetime(2024, 3, 8, 22, tzinfo=UTC), 24),
        (datetime(2024, 3, 9, 22, tzinfo=UTC), 23),
        (datetime(2024, 11, 2, 21, tzinfo=UTC), 25),
    ],
)
def test_a_trading_day_ends_at_17_new_york_also_when_clocks_change(opened_at: datetime, hours: int) -> None:
    assert from_oanda.closes_at(opened_at, Timeframe.D1) - opened_at == timedelta(hours=hours)


def test_a_forming_candle_is_left_out() -> None:
    mid = {"o": "1.1", "h": "1.2", "l": "1.0", "c": "1.15"}
    raw = [
        {"complete": complete, "volume": 3, "time": f"2026-11-20T0{hour}:00:00.000000000Z", "mid": mid}
        for hour, complete in ((8, True), (9, False))
    ]

    (candle,) = from_oanda.candles({"candles": raw}, Timeframe.H1)

    assert (candle.closed_at.hour, candle.high, candle.volume) == (9, D("1.2"), D(3))


def test_a_price_without_one_side_is_no_quote() -> None:
    raw = {"instrument": "EUR_USD", "time": FILL["time"], "bids": [{"price": "1.1", "liquidity": 1}], "asks": []}

    assert from_oanda.quote(raw, NAMES) is None


def test_one_fill_per_trade_with_its_own_price_and_the_commission_once() -> None:
    parts = {
        "tradesClosed": [{"tradeID": "3", "units": "-100", "price": "1.10001", "financing": "-0.1000"}],
        "tradeReduced": {"tradeID": "5", "units": "-50", "price": "1.10002", "financing": "0.0000"},
    }

    closed, reduced = from_oanda.fills(FILL | parts, NAMES, {})

    assert (closed.venue_fill_id, closed.quantity, closed.price) == ("12/3", D(100), D("1.10001"))
    assert (reduced.venue_fill_id, reduced.quantity, reduced.price) == ("12/5", D(50), D("1.10002"))
    assert (closed.fee, reduced.fee) == (D("0.4000"), D(0))
    assert (closed.side, closed.client_order_id) == (Side.SELL, "TBout")


def test_a_fill_of_the_old_form_takes_the_price_of_the_whole() -> None:
    (fill,) = from_oanda.fills(FILL | {"tradeReduced": {"tradeID": "5", "units": "-150"}}, NAMES, {})

    assert fill.price == D("1.10000")


@pytest.mark.parametrize(("known", "name"), [({}, "foreign:11/5"), ({"11": ClientOrderId("TBc")}, "TBc")])
def test_a_fill_without_our_id_is_foreign_unless_we_know_its_order(known: dict[str, ClientOrderId], name: str) -> None:
    raw = FILL | {"clientOrderID": "somebody", "tradeReduced": {"tradeID": "5", "units": "-150"}}

    (fill,) = from_oanda.fills(raw, NAMES, known)

    assert fill.client_order_id == name


def test_what_one_foreign_order_closes_of_several_trades_has_a_name_for_each() -> None:
    parts = {
        "clientOrderID": "",
        "reason": "MARKET_ORDER_MARGIN_CLOSEOUT",
        "tradesClosed": [{"tradeID": each, "units": "-75", "price": "1.10001"} for each in ("3", "5")],
    }

    told = list(from_oanda.fills(FILL | parts, NAMES, {}))

    assert [each.client_order_id for each in told] == ["foreign:11/3", "foreign:11/5"]
    assert [each.cause for each in told] == ["margin closeout", "margin closeout"]


def test_a_trailing_stop_protects_at_the_value_it_has_reached() -> None:
    trade = {"id": "5", "instrument": "EUR_USD", "currentUnits": "-100", "price": "1.10000"}
    stop = {
        "id": "9",
        "type": "TRAILING_STOP_LOSS",
        "tradeID": "5",
        "trailingStopValue": "1.10700",
        "distance": "0.007",
    }

    (found,) = from_oanda.trades({"trades": [trade], "orders": [stop]}, NAMES)

    assert found.position.direction is Direction.SHORT
    assert (found.position.entry_order_id, found.position.stop_order_id) == ("foreign:5", "foreign:9")
    assert found.position.stop_price == D("1.10700")


def test_an_order_of_a_trade_closes_what_the_trade_holds() -> None:
    raw = {
        "id": "9",
        "type": "STOP_LOSS",
        "tradeID": "5",
        "price": "1.1",
        "state": "PENDING",
        "clientExtensions": {"id": "TBs"},
    }
    trade = {"id": "5", "instrument": "EUR_USD", "currentUnits": "60", "initialUnits": "100"}

    told = from_oanda.order(raw, NAMES, trade=trade)

    assert (told.side, told.quantity, told.state, told.reduces_only) == (Side.SELL, D(60), OrderState.WORKING, True)


def test_a_symbol_that_is_not_registered_keeps_the_venues_word() -> None:
    assert NAMES.symbol("SOYBN_USD") == Symbol("SOYBN_USD")


@pytest.mark.parametrize("url", ["https://api-fxtrade.oanda.com", "http://10.0.0.1:80", "ftp:"])
def test_a_url_beyond_this_machine_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="not on this machine"):
        Access(token="t", account="a", environment=Environment.PRACTICE, url=url)


def test_credentials_are_in_no_repr_and_not_in_what_is_shown() -> None:
    access = Access(token="secret-token", account="101-004-1435156-001", environment=Environment.LIVE)

    assert "secret" not in repr(access)
    assert "1435156-001" not in repr(access)
    assert "101-004" not in access.shown
