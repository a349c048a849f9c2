"""Sizes of the products that count in lots or follow a written rule: golden examples 18, 19 and 21, and the budget."""

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer4_risk.lot_sizing import (
    LOT_UNITS,
    SWING_RISK_RATIO,
    LotRules,
    SessionResult,
    SwingSize,
    grid_lots,
    pip_value,
    session_lots,
    session_result,
    swing_fill,
    swing_result,
    swing_size,
    swing_target,
)
from bot.models import Direction
from tests.unit.layer4_risk.rates import rate_of

TEN_THOUSAND = Decimal(10_000)
ONE = Decimal(1)
YEN = ONE / 150  # a dollar account: the pair converts itself, test_conversion.py


# ----------------------------------------------------------------------------------------------------- session trades


def euro(exit_price: str, *, at_target: bool, on_quotes: bool) -> SessionResult:
    return session_result(
        direction=Direction.LONG,
        entry=Decimal("1.10000"),
        exit_price=Decimal(exit_price),
        lots=Decimal("0.70"),
        pip=Decimal("0.0001"),
        conversion=ONE,
        at_target=at_target,
        spread_pips=Decimal("0.8"),
        on_quotes=on_quotes,
    )


def yen(exit_price: str, *, at_target: bool) -> SessionResult:
    return session_result(
        direction=Direction.SHORT,
        entry=Decimal("150.000"),
        exit_price=Decimal(exit_price),
        lots=Decimal("0.77"),
        pip=Decimal("0.01"),
        conversion=YEN,
        at_target=at_target,
        spread_pips=ONE,
        on_quotes=False,
    )


def test_golden_example_19_euro_is_0_70_lots() -> None:
    lots = session_lots(balance=TEN_THOUSAND, entry=Decimal("1.10000"), stop=Decimal("1.09780"), conversion=ONE)
    assert lots == Decimal("0.70")


def test_golden_example_19_euro_at_its_target_on_quotes() -> None:
    made = euro("1.10330", at_target=True, on_quotes=True)
    assert (made.gross, made.commission, made.slippage, made.net) == (
        Decimal("231.00"),
        Decimal("4.90"),
        Decimal("1.40"),
        Decimal("224.70"),
    )
    assert made.spread == Decimal("5.60")  # reported; it is in the fills


def test_golden_example_19_euro_at_its_stop_on_candles() -> None:
    made = euro("1.09780", at_target=False, on_quotes=False)
    assert (made.gross, made.slippage, made.spread) == (Decimal("-154.00"), Decimal("2.80"), Decimal("5.60"))
    assert made.net == Decimal("-167.30")


def test_golden_example_19_yen_is_0_77_lots_and_its_pip_is_worth_6_67() -> None:
    lots = session_lots(balance=TEN_THOUSAND, entry=Decimal(150), stop=Decimal("150.300"), conversion=YEN)
    assert lots == Decimal("0.77")
    assert round(pip_value(pip=Decimal("0.01"), conversion=YEN), 6) == Decimal("6.666667")


def test_golden_example_19_yen_at_its_stop_and_at_its_target_on_candles() -> None:
    stopped, won = yen("150.300", at_target=False), yen("149.550", at_target=True)
    figures = [round(each, 6) for each in (stopped.gross, stopped.commission, stopped.slippage, stopped.spread)]
    assert figures == [Decimal("-154"), Decimal("5.39"), Decimal("2.053333"), Decimal("5.133333")]
    assert round(stopped.net, 6) == Decimal("-166.576667")
    assert (round(won.slippage, 6), round(won.net, 6)) == (Decimal("1.026667"), Decimal("219.45"))


async def test_a_cross_pair_is_sized_through_the_other_pair_that_is_known() -> None:
    rate = await rate_of("EUR_JPY", "165", USD_JPY="150")
    assert rate == ONE / 150
    lots = session_lots(balance=TEN_THOUSAND, entry=Decimal(165), stop=Decimal("164.67"), conversion=rate)
    assert lots == Decimal("0.70")  # 155 USD over 33 pips of 6.67 USD: 0.7045 lots


@pytest.mark.parametrize(
    ("balance", "stop", "lots"),
    [
        ("10000", "1.0984", "0.96"),  # 0.96875, down
        ("1000000", "1.0990", "10"),  # 155 lots, capped
        ("100", "1.0000", "0"),  # 0.000155 lots: below the minimum is nothing
        ("10000", "1.1000", "0"),  # no distance, no size
        ("0", "1.0990", "0"),
        ("-5", "1.0990", "0"),
    ],
)
def test_lots_are_rounded_down_capped_and_never_rounded_up(balance: str, stop: str, lots: str) -> None:
    sized = session_lots(balance=Decimal(balance), entry=Decimal("1.1000"), stop=Decimal(stop), conversion=ONE)
    assert sized == Decimal(lots)


@settings(deadline=None, max_examples=300)
@given(
    balance=st.decimals(min_value="1", max_value="1e7", places=2),
    entry_pips=st.integers(min_value=5_000, max_value=30_000),
    ticks=st.integers(min_value=1, max_value=20_000),
    long=st.booleans(),
    conversion=st.decimals(min_value="0.005", max_value="2", places=6),
)
def test_the_gross_loss_at_the_stop_never_exceeds_the_budget_and_one_more_step_would(
    balance: Decimal, entry_pips: int, ticks: int, long: bool, conversion: Decimal
) -> None:
    rules = LotRules()
    entry = Decimal(entry_pips) / 10_000
    stop = entry + Decimal(-ticks if long else ticks) / 100_000
    lots = session_lots(balance=balance, entry=entry, stop=stop, conversion=conversion, rules=rules)
    per_lot = abs(entry - stop) * LOT_UNITS * conversion
    assert lots * per_lot <= balance * rules.risk_ratio
    assert lots == rules.max_lot or (lots + rules.lot_step) * per_lot > balance * rules.risk_ratio
    assert lots % rules.lot_step == 0


# -------------------------------------------------------------------------------------------------------------- grids


def levels(**changes: object) -> list[Decimal]:
    given_: dict[str, object] = {
        "lot_size": Decimal("0.1"),
        "lot_multiplier": ONE,
        "progression_factor": None,
        "lot_step": Decimal("0.01"),
        "min_lot": Decimal("0.01"),
    }
    return [grid_lots(level, **{**given_, **changes}) for level in range(5)]  # type: ignore[arg-type]


def test_golden_example_18_progressive_lots_are_rounded_down_without_compounding() -> None:
    expected = [Decimal(each) for each in ("0.1", "0.15", "0.22", "0.33", "0.50")]
    assert levels(progression_factor=Decimal("1.5")) == expected


def test_the_multiplier_applies_to_every_level_after_the_first() -> None:
    assert levels(lot_multiplier=Decimal(2)) == [Decimal("0.1"), *[Decimal("0.2")] * 4]


def test_a_shrinking_grid_never_falls_below_the_minimum_lot() -> None:
    assert levels(progression_factor=Decimal("0.1"))[-1] == Decimal("0.01")


# ------------------------------------------------------------------------------------------------- swing paper trader

MARKET, STOP = Decimal(60_000), Decimal("59580.6")
LONG, SHORT = Direction.LONG, Direction.SHORT


def golden_size() -> SwingSize:
    return swing_size(balance=Decimal(100), market=MARKET, stop=STOP)


def test_golden_example_21_size_fill_target_and_entry_fee() -> None:
    size, fill = golden_size(), swing_fill(MARKET, buys=True)
    assert (size.size, size.position_value) == (Decimal("0.00238435"), Decimal("143.061"))
    assert size.leverage == Decimal("1.43061")
    assert (fill, swing_target(direction=LONG, fill=fill, stop=STOP)) == (Decimal(60_030), Decimal("60928.8"))


@pytest.mark.parametrize(
    ("exit_market", "exit_price", "pnl", "outcome"),
    [
        ("60928.8", "60898.3356", "0.34083230893284", "WIN"),
        ("59580.6", "59550.8097", "-2.85286323045417", "LOSS"),
        ("60030", "59999.985", "-1.7882980506585", "LOSS"),
    ],
)
def test_golden_example_21_at_its_target_its_stop_and_break_even(
    exit_market: str, exit_price: str, pnl: str, outcome: str
) -> None:
    made = swing_result(direction=LONG, size=golden_size(), fill=Decimal(60_030), exit_market=Decimal(exit_market))
    assert (made.exit_price, made.pnl, made.outcome) == (Decimal(exit_price), Decimal(pnl), outcome)
    assert made.entry_fee == Decimal("0.858366")


def test_golden_example_21_exit_fee_at_the_target() -> None:
    made = swing_result(direction=LONG, size=golden_size(), fill=Decimal(60_030), exit_market=Decimal("60928.8"))
    assert made.exit_fee == Decimal("0.8712176789271600")


def test_a_short_swing_sells_lower_and_buys_back_higher_than_the_market() -> None:
    size = swing_size(balance=Decimal(1_000), market=Decimal(1_000), stop=Decimal(1_010))
    made = swing_result(
        direction=SHORT, size=size, fill=swing_fill(Decimal(1_000), buys=False), exit_market=Decimal(970)
    )
    # 1 unit: sold at 999.5, bought at 970.485; fees 6 and 5.82291
    assert (made.exit_price, made.pnl) == (Decimal("970.485"), Decimal("17.19209"))


def test_a_result_below_half_a_cent_is_break_even() -> None:
    nothing = SwingSize(size=Decimal(0), position_value=Decimal(0), leverage=Decimal(0))
    made = swing_result(direction=LONG, size=nothing, fill=Decimal(1), exit_market=Decimal(2))
    assert made.outcome == "BREAKEVEN"


def test_an_own_target_of_exactly_two_to_one_is_taken_and_a_nearer_one_is_not() -> None:
    def own(price: str) -> Decimal | None:
        return swing_target(direction=SHORT, fill=Decimal(100), stop=Decimal(101), own=Decimal(price))

    assert own("98") == Decimal(98)
    assert own("98.01") is None
    assert own("103") is None  # on the wrong side


def test_no_distance_or_no_balance_gives_no_size() -> None:
    assert swing_size(balance=Decimal(100), market=MARKET, stop=MARKET).size == 0
    assert swing_size(balance=Decimal(0), market=MARKET, stop=STOP).size == 0


@settings(deadline=None, max_examples=300)
@given(
    balance=st.decimals(min_value="1", max_value="1000000", places=2),
    market=st.decimals(min_value="0.01", max_value="100000", places=2),
    percent=st.decimals(min_value="0.5", max_value="3", places=3),
    long=st.booleans(),
)
def test_a_swing_stop_risks_one_percent_before_costs_and_loses_more_after_them_as_the_rule_says(
    balance: Decimal, market: Decimal, percent: Decimal, long: bool
) -> None:
    direction = LONG if long else SHORT
    stop = market * (1 - direction.sign * percent / 100)
    size = swing_size(balance=balance, market=market, stop=stop)
    before_costs = size.size * abs(market - stop)
    assert before_costs <= balance * SWING_RISK_RATIO
    assert size.size % Decimal("1E-8") == 0
    made = swing_result(direction=direction, size=size, fill=swing_fill(market, buys=long), exit_market=stop)
    assert size.size == 0 or -made.pnl > before_costs
    assert size.size == 0 or made.pnl < 0
