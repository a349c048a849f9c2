"""Sizes: the budget holds whatever the market, the account and the contract."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.instruments import Instrument, default_registry
from bot.layer4_risk.sizing import Size, loss_at_stop, position_size
from tests.builders import instrument

UNIVERSE = list(default_registry())


def sized(of: Instrument, *, paid: str, stop: str, equity: str = "10000", conversion: str = "1") -> Decimal:
    return position_size(
        instrument=of,
        paid=Decimal(paid),
        stop=Decimal(stop),
        equity=Decimal(equity),
        free_margin=Decimal(equity),
        risk_ratio=Decimal("0.01"),
        conversion=Decimal(conversion),
    ).quantity


def test_forex_size_is_the_risk_divided_by_the_distance_and_its_costs() -> None:
    free = instrument(slippage_ratio=Decimal(0), commission_ratio=Decimal(0))
    assert sized(free, paid="1.1000", stop="1.0950") == 20_000  # 100 USD over 50 pips


def test_a_spot_account_never_buys_more_than_it_can_pay() -> None:
    bitcoin = instrument("BTC/USDT")
    quantity = sized(bitcoin, paid="60000", stop="59950")
    assert quantity * 60_000 <= 10_000


def test_a_spot_account_can_pay_for_all_of_it_also_at_the_worst_price_and_with_the_fee() -> None:
    bitcoin = instrument("BTC/USDT")
    size = position_size(
        instrument=bitcoin,
        paid=Decimal(60_000),
        price_bound=Decimal(61_200),
        stop=Decimal(55_200),
        equity=Decimal(10_000),
        free_margin=Decimal(500),
        risk_ratio=Decimal("0.01"),
        conversion=Decimal(1),
    )
    assert 499 < size.quantity * Decimal(61_200) * Decimal("1.001") <= 500


def bitcoin_for(risked: str, *, paid: str = "50000", stop: str = "49000", **more: Any) -> Size:
    """A size without slippage and with a commission of 0.1 %, of which the venue takes what is worth 5 USDT or more."""
    of = instrument("BTC/USDT", min_notional=Decimal(5), slippage_ratio=Decimal(0))
    equity = Decimal(100) * loss_at_stop(of, Decimal(paid), Decimal(stop)) * Decimal(risked)
    return position_size(
        instrument=of,
        paid=Decimal(paid),
        stop=Decimal(stop),
        equity=equity,
        free_margin=Decimal(10_000),
        risk_ratio=Decimal("0.01"),
        conversion=Decimal(1),
        **more,
    )


def test_a_size_that_is_worth_less_at_entry_than_the_venue_takes_is_nothing_and_says_so() -> None:
    size = bitcoin_for("0.00009")
    assert size.quantity == 0
    assert size.shortfall == "0.00009 at 50000 is worth 4.50 USDT, and the venue takes no order below 5 USDT"


def test_a_size_whose_stop_would_be_worth_less_than_the_venue_takes_is_nothing() -> None:
    """At entry it is worth 5; at the stop, which is an order like any other, 4.90."""
    size = bitcoin_for("0.0001")
    assert size.quantity == 0
    assert size.shortfall.endswith("and the venue takes no order below 5 USDT")


def test_what_the_fee_leaves_of_a_size_is_what_must_be_closed() -> None:
    """0.00011 is worth 5.39 at the stop. Less 0.1 % it is 0.00010 in whole steps, and 4.90."""
    size = bitcoin_for("0.00011")
    assert size.quantity == 0
    assert size.shortfall == (
        "0.00011 bought, 0.00010 after its fee, is worth 4.90 USDT at 49000, where it may have to be closed, "
        "and the venue takes no order below 5 USDT"
    )
    assert bitcoin_for("0.00012").quantity == Decimal("0.00012")


def test_a_short_must_be_worth_enough_at_its_last_target_which_is_lower_than_its_stop() -> None:
    near, far = (Decimal(49_000), Decimal(48_000)), (Decimal(49_000), Decimal(44_000))
    assert bitcoin_for("0.00012", stop="51000", targets=near).quantity == Decimal("0.00012")
    assert bitcoin_for("0.00012", stop="51000", targets=far).quantity == 0


def test_a_size_below_the_minimum_is_nothing_and_is_not_rounded_up() -> None:
    gold = instrument("XAU_USD")
    assert sized(gold, paid="2000", stop="1500") == 0


@settings(deadline=None, max_examples=300)
@given(
    of=st.sampled_from(UNIVERSE),
    contract_size=st.sampled_from(["1", "0.01", "10", "100"]),
    ticks=st.integers(min_value=1, max_value=5_000),
    price_ticks=st.integers(min_value=10_000, max_value=5_000_000),
    equity=st.decimals(min_value="0", max_value="10000000", places=2),
    used=st.decimals(min_value="0", max_value="1.2", places=2),
    risk=st.decimals(min_value="0.0001", max_value="0.05", places=4),
    conversion=st.decimals(min_value="0.0001", max_value="100", places=6),
    leverage=st.integers(min_value=1, max_value=100),
    long=st.booleans(),
    least=st.sampled_from(["0", "0", "5", "100"]),
)
def test_what_is_lost_at_the_stop_with_all_costs_never_exceeds_the_budget_nor_the_notional_the_leverage(
    of: Instrument,
    contract_size: str,
    ticks: int,
    price_ticks: int,
    equity: Decimal,
    used: Decimal,
    risk: Decimal,
    conversion: Decimal,
    leverage: int,
    long: bool,
    least: str,
) -> None:
    of = replace(of, contract_size=Decimal(contract_size), min_notional=Decimal(least))
    paid = price_ticks * of.tick
    stop = paid - ticks * of.tick if long else paid + ticks * of.tick
    size = position_size(
        instrument=of,
        paid=paid,
        stop=stop,
        equity=equity,
        free_margin=equity * (1 - used),
        risk_ratio=risk,
        conversion=conversion,
        leverage=Decimal(leverage),
    )
    slipped = abs(paid - stop) + of.slippage_ratio * (paid + stop)
    lost = size.quantity * of.contract_size * conversion * (slipped + of.commission_ratio * (paid + stop))
    assert lost <= equity * risk
    assert abs(size.risk_amount - lost) <= lost * Decimal("1e-20")
    assert size.quantity == of.round_quantity(size.quantity) <= size.wanted
    assert size.quantity == 0 or size.quantity >= of.min_quantity
    assert size.quantity == 0 or of.notional(size.quantity, min(paid, stop)) >= of.min_notional
    bound = max(equity * (1 - used), Decimal(0)) * min(Decimal(leverage), of.max_leverage)
    assert of.notional(size.quantity, paid) * conversion <= bound
    smaller_by_a_step = size.wanted - size.quantity
    assert size.quantity == 0 or smaller_by_a_step < of.quantity_step, "rounded down by less than one step"
