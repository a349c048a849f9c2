"""Numbers, units and rows between IG's words and ours."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from bot.errors import BrokerUnavailable
from bot.instruments import default_registry
from bot.layer1_data.brokers.ig import from_ig, to_ig
from bot.layer1_data.brokers.ig.errors import Fate, readable
from bot.layer1_data.brokers.ig.market import market_of, number, pip_of
from bot.models import Direction, Side

D = Decimal
EUR_USD = default_registry().get("EUR_USD")
AAPL = default_registry().get("AAPL")
NOW = datetime(2025, 3, 12, tzinfo=UTC)


def row(**changes: Any) -> dict[str, Any]:
    told = {
        "pip": "0.0001 USD/EUR",
        "scaling": 1,
        "decimals": 1,
        "contract": "100000",
        "bid": D("10847.0"),
        "offer": D("10848.2"),
    } | changes
    return {
        "instrument": {
            "epic": "X",
            "expiry": "-",
            "onePipMeans": told["pip"],
            "contractSize": told["contract"],
            "currencies": [{"code": "USD"}],
        },
        "dealingRules": {"minDealSize": {"unit": "POINTS", "value": D("0.5")}},
        "snapshot": {
            "marketStatus": "TRADEABLE",
            "bid": told["bid"],
            "offer": told["offer"],
            "decimalPlacesFactor": told["decimals"],
            "scalingFactor": told["scaling"],
            "delayTime": 0,
        },
    }


@pytest.mark.parametrize(
    "changes",
    [{}, {"scaling": 10_000, "decimals": 5, "bid": D("1.0847"), "offer": D("1.08482")}],
    ids=["in pips", "in prices"],
)
def test_a_price_is_the_same_whether_the_venue_scales_it_or_not(changes: dict[str, Any]) -> None:
    market = market_of(row(**changes), EUR_USD, NOW)

    assert (market.bid, market.ask, market.tick) == (D("1.0847"), D("1.08482"), D("0.00001"))
    assert market.price(market.level(D("1.0800"))) == D("1.0800")


def test_sizes_are_contracts_at_the_venue_and_units_with_us() -> None:
    market = market_of(row(), EUR_USD, NOW)

    assert (market.size(D(50_000)), market.quantity(D("0.5"))) == (D("0.5"), D(50_000))
    assert market.quantity(market.min_size) == D(50_000)


def test_a_share_in_cents_is_told_in_dollars() -> None:
    market = market_of(row(pip="1 Cents", contract="1", bid=D("27150.5"), offer=D(27_160)), AAPL, NOW)

    assert (market.bid, market.level(D("270.00")), market.size(D(3))) == (D("271.505"), D(27_000), D(3))


def test_a_delayed_price_is_as_old_as_the_venue_says() -> None:
    told = row()
    told["snapshot"]["delayTime"] = 15

    assert market_of(told, EUR_USD, NOW).at == datetime(2025, 3, 11, 23, 45, tzinfo=UTC)


@pytest.mark.parametrize(
    ("words", "pip"), [("0.0001 USD/EUR", "0.0001"), ("1 Index Point", "1"), (None, "1"), ("1 Cents", "0.01")]
)
def test_what_one_pip_is(words: str | None, pip: str) -> None:
    assert pip_of(words) == D(pip)


def test_a_pip_without_a_number_says_nothing() -> None:
    with pytest.raises(BrokerUnavailable, match="cannot be used"), readable("markets"):
        market_of(row(pip="one cent"), EUR_USD, NOW)


@pytest.mark.parametrize("value", ["1.0", True, None, 1.5])
def test_only_exact_numbers_are_numbers(value: object) -> None:
    with pytest.raises(TypeError):
        number(value)


def test_a_decimal_is_written_as_it_is_and_never_as_a_float_or_with_an_exponent() -> None:
    text = to_ig.text_of({"a": D("0.1000000000000000055"), "b": D("1E+3"), "c": None, "d": 'x"y', "e": True})

    assert text == '{"a":0.1000000000000000055,"b":1000,"c":null,"d":"x\\"y","e":true}'
    assert json.loads(text)["d"] == 'x"y'


def deal(**changes: Any) -> to_ig.Deal:
    return to_ig.Deal(
        **{
            "reference": "TBd0123456789ABCDEFE00",
            "epic": "UA.D.AAPL.CASH.IP",
            "expiry": "-",
            "currency": "USD",
            "side": Side.BUY,
            "size": D(1),
            "stop": D(19_500),
            **changes,
        }
    )


def test_an_entry_carries_its_stop_and_opens_a_position_of_its_own() -> None:
    call = to_ig.open_position(deal(), D(20_130))

    assert call.body is not None
    assert (call.method, call.path, call.version, call.trades) == ("POST", "/positions/otc", 2, True)
    assert (call.body["stopLevel"], call.body["forceOpen"]) == (D(19_500), True)
    assert (call.body["orderType"], call.body["level"], call.body["timeInForce"]) == (
        "LIMIT",
        D(20_130),
        "FILL_OR_KILL",
    )
    assert None not in call.body.values()


def test_a_close_is_a_post_that_stands_for_a_delete_and_names_its_deal() -> None:
    call = to_ig.close_position("DEAL", Direction.SHORT, D(2))

    assert call.body is not None
    assert (call.method, call.deletes, call.version) == ("POST", True, 1)
    assert (call.body["dealId"], call.body["direction"], call.body["size"]) == ("DEAL", "BUY", D(2))
    assert "epic" not in call.body


def test_a_moved_stop_says_the_limit_too() -> None:
    body = to_ig.set_stop("DEAL", D(5), D(9)).body

    assert body is not None
    assert (body["stopLevel"], body["limitLevel"]) == (D(5), D(9))


def test_passwords_are_not_in_what_a_call_shows() -> None:
    assert "secret" not in repr(to_ig.log_in("user", "secret", oauth=False))


def test_a_confirm_of_another_deal_or_with_a_new_reason_is_no_answer() -> None:
    told = {"dealReference": "a", "dealStatus": "REJECTED", "reason": "NEW_REASON", "dealId": "D"}

    assert from_ig.confirm(told, "a").fate is Fate.AMBIGUOUS
    with pytest.raises(ValueError, match="is for 'a'"):
        from_ig.confirm(told, "b")
    with pytest.raises(ValueError, match="dealStatus"):
        from_ig.confirm({**told, "dealStatus": "MAYBE"}, "a")
