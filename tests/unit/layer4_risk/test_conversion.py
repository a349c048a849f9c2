"""Rates carry their instant: what is old, unsound or missing converts nothing, and says so."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.instruments import Currency, InstrumentRegistry, Symbol, default_registry
from bot.layer4_risk.conversion import conversion
from bot.models import Quote
from tests.builders import START, instrument, quote
from tests.unit.layer4_risk.rates import rate_of, rate_with

FRESH, OLD = START - timedelta(minutes=10), START - timedelta(minutes=16)


def priced(symbol: str, mid: str, *, minutes_ago: int = 0) -> Quote:
    return quote(mid, mid, symbol=symbol, at=START - timedelta(minutes=minutes_ago))


@pytest.mark.parametrize(
    ("symbol", "price", "account", "known", "rate"),
    [
        ("EUR_USD", "1.1", "USD", {}, Decimal(1)),
        ("BTC/USDT", "60000", "USD", {}, Decimal(1)),
        ("USD_JPY", "150", "USD", {}, 1 / Decimal(150)),
        ("UK100_GBP", "7500", "USD", {"GBP_USD": "1.25"}, Decimal("1.25")),
        ("EUR_JPY", "165", "USD", {"USD_JPY": "150"}, 1 / Decimal(150)),
        ("AAPL", "200", "EUR", {"EUR_USD": "1.25"}, Decimal("0.8")),
        ("ETH/BTC", "0.05", "USD", {"BTC/USDT": "60000"}, Decimal(60_000)),
        ("USD_CAD", "1.35", "EUR", {"EUR_CAD": "1.5"}, 1 / Decimal("1.5")),
        ("AUD_JPY", "98", "CAD", {"USD_JPY": "150", "USD_CAD": "1.35"}, Decimal("1.35") / 150),
    ],
)
async def test_the_nearest_path_gives_the_rate(
    symbol: str, price: str, account: str, known: dict[str, str], rate: Decimal
) -> None:
    assert round(await rate_of(symbol, price, account, **known), 20) == round(rate, 20)


async def test_a_cross_is_as_old_as_the_older_of_its_legs() -> None:
    legs = {"USD_JPY": priced("USD_JPY", "150", minutes_ago=10), "USD_CAD": priced("USD_CAD", "1.35")}
    assert (await rate_with("AUD_JPY", "98", "CAD", legs)).at == FRESH


@pytest.mark.parametrize("old", ["USD_JPY", "USD_CAD"])
async def test_one_old_leg_is_enough_to_convert_nothing(old: str) -> None:
    legs = {"USD_JPY": priced("USD_JPY", "150"), "USD_CAD": priced("USD_CAD", "1.35")}
    legs[old] = priced(old, "1", minutes_ago=16)
    assert (await rate_with("AUD_JPY", "98", "CAD", legs)).rate is None


@pytest.mark.parametrize(
    ("of_pound", "says"),
    [
        (priced("GBP_USD", "1.25", minutes_ago=16), "the price of GBP_USD is 960 s old, limit 900 s"),
        (quote("1.26", "1.25", symbol="GBP_USD"), "the price of GBP_USD is not one: bid 1.26, ask 1.25"),
        (quote("0", "1.25", symbol="GBP_USD"), "the price of GBP_USD is not one"),
        (quote("NaN", "1.25", symbol="GBP_USD"), "the price of GBP_USD is not one"),
        (None, "no price of GBP_USD"),
    ],
)
async def test_what_cannot_be_used_is_named_with_value_bound_and_next_step(of_pound: Quote | None, says: str) -> None:
    only = InstrumentRegistry([instrument("UK100_GBP"), instrument("GBP_USD")])

    async def quote_of(_: Symbol) -> Quote | None:
        return of_pound

    index, age = quote("7499", "7501", symbol="UK100_GBP"), timedelta(minutes=15)
    found = await conversion(index, Currency("USD"), only, quote_of, now=START, max_age=age)
    assert found.rate is None
    assert found.says.startswith("GBP to USD: ")
    assert says in found.says
    assert found.says.endswith("wait for a newer price")


async def test_a_currency_that_no_pair_reaches_is_said_so() -> None:
    found = await rate_with("EUR_USD", "1.1", "SEK", {})
    assert found.rate is None
    assert found.says == "no pair leads from USD to SEK; register one, or trade in SEK"


async def test_a_pair_whose_own_price_is_old_is_converted_by_another_path_or_not_at_all() -> None:
    own = priced("USD_JPY", "150", minutes_ago=16)
    assert (await rate_with("USD_JPY", "150", "USD", {"USD_JPY": own})).rate is None
    over = {"USD_JPY": own, "EUR_JPY": priced("EUR_JPY", "165"), "EUR_USD": priced("EUR_USD", "1.1")}
    assert (await rate_with("USD_JPY", "150", "USD", over)).rate == 1 / Decimal(165) * Decimal("1.1")


async def test_no_more_pairs_are_asked_for_than_the_nearest_path_needs() -> None:
    asked: list[Symbol] = []

    async def quote_of(name: Symbol) -> Quote | None:
        asked.append(name)
        return priced(name, "1.25")

    index, age = quote("7499", "7501", symbol="UK100_GBP"), timedelta(minutes=15)
    await conversion(index, Currency("USD"), default_registry(), quote_of, now=START, max_age=age)
    assert asked == ["GBP_USD"]


@settings(deadline=None)
@given(
    dollar=st.decimals(min_value="0.0001", max_value="1000", places=4),
    yen=st.decimals(min_value="0.01", max_value="1000", places=3),
    ages=st.tuples(st.integers(0, 30), st.integers(0, 30)),
)
async def test_a_cross_is_the_product_of_its_legs_and_is_given_only_if_both_are_young_enough(
    dollar: Decimal, yen: Decimal, ages: tuple[int, int]
) -> None:
    legs = {
        "USD_JPY": priced("USD_JPY", str(yen), minutes_ago=ages[0]),
        "USD_CAD": priced("USD_CAD", str(dollar), minutes_ago=ages[1]),
    }
    found = await rate_with("AUD_JPY", "98", "CAD", legs)
    assert (found.rate is None) == (max(ages) > 15)
    if found.rate is not None:
        assert abs(found.rate * yen / dollar - 1) < Decimal("1e-20")
        assert found.at == START - timedelta(minutes=max(ages))
