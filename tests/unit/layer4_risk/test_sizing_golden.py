"""Sizes computed by hand, one for each kind of market. 1 % of 10,000 USD is at risk: 100 USD."""

from decimal import Decimal

import pytest

from bot.layer4_risk.sizing import Size, position_size
from tests.builders import instrument
from tests.unit.layer4_risk.rates import rate_of


async def sized(symbol: str, paid: str, stop: str, *, free_margin: str = "10000") -> Size:
    of = instrument(symbol)
    return position_size(
        instrument=of,
        paid=Decimal(paid),
        stop=Decimal(stop),
        equity=Decimal(10_000),
        free_margin=Decimal(free_margin),
        risk_ratio=Decimal("0.01"),
        conversion=await rate_of(symbol, paid, GBP_USD="1.25"),
    )


async def test_a_yen_pair_is_sized_in_dollars_through_its_own_price() -> None:
    size = await sized("USD_JPY", "150.000", "149.500")
    # 0.5 to the stop, slippage 0.00002 * 299.5 = 0.00599: 0.50599 JPY = 0.00337327 USD a unit; 100 / that = 29,644.855
    assert size.quantity == 29_644
    assert round(size.risk_amount, 6) == Decimal("99.997117")  # 29,644 * 0.50599 / 150


async def test_gold_is_sized_in_whole_ounces() -> None:
    size = await sized("XAU_USD", "2000.00", "1990.00")
    # 10 to the stop, slippage 0.00005 * 3990 = 0.1995: 10.1995 USD an ounce; 9.8044 ounces
    assert (size.quantity, size.risk_amount) == (Decimal(9), Decimal("91.795500"))


async def test_an_index_in_pounds_is_sized_in_tenths_of_a_contract_through_the_pound() -> None:
    size = await sized("UK100_GBP", "7500.0", "7450.0")
    # 50 to the stop, slippage 0.00005 * 14950 = 0.7475: 50.7475 GBP = 63.434375 USD a contract; 1.5764 contracts
    assert (size.quantity, size.risk_amount) == (Decimal("1.5"), Decimal("95.1515625"))


async def test_bitcoin_is_sized_with_both_commissions_in_the_risk() -> None:
    size = await sized("BTC/USDT", "60000.00", "58800.00")
    # 1200 to the stop, slippage 0.0002 and commission 0.001 of 118,800: 1200 + 23.76 + 118.8 = 1342.56 USD a coin
    assert (size.quantity, size.risk_amount) == (Decimal("0.07448"), Decimal("99.9938688"))


async def test_bitcoin_behind_a_near_stop_is_bounded_by_what_the_account_can_pay() -> None:
    size = await sized("BTC/USDT", "60000.00", "59900.00")
    # By risk 100 / (100 + 0.0012 * 119,900 = 243.88) = 0.41; but 10,000 / (60,000 * 1.005) = 0.165837
    assert size.quantity == Decimal("0.16583")


async def test_a_stock_is_sized_in_whole_shares() -> None:
    size = await sized("AAPL", "200.00", "196.00")
    # 4 to the stop, slippage 0.0001 and commission 0.0002 of 396: 4 + 0.0396 + 0.0792 = 4.1188 USD; 24.279 shares
    assert (size.quantity, size.risk_amount) == (Decimal(24), Decimal("98.8512"))


@pytest.mark.parametrize(("free_margin", "quantity"), [("400", 9), ("0", 0), ("-50", 0)])
async def test_leverage_ends_where_the_free_margin_does(free_margin: str, quantity: int) -> None:
    # 400 * 5 / (200 * 1.005) = 9.95 shares
    size = await sized("AAPL", "200.00", "196.00", free_margin=free_margin)
    assert size.quantity == quantity


async def test_a_short_is_sized_by_the_same_distance() -> None:
    size = await sized("USD_JPY", "150.000", "150.500")
    assert size.quantity == 29_643  # its slippage is counted on 300.5: 0.00601 a unit
