"""What each product hands over, against the table and the golden examples 15, 17, 18, 19 and 21."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from bot.config import ExitSettings
from bot.database.codec import plan_from_json, plan_to_json
from bot.errors import ConfigError
from bot.instruments import Symbol
from bot.layer3_execution.exit_plans import (
    Basket,
    BasketExits,
    ScalperExits,
    basket_plan,
    custom_plan,
    divergence_plan,
    drawdown_price,
    scalper_plan,
    session_plan,
    swing_paper_plan,
)
from bot.layer3_execution.exits import Close, ExitState, on_quote
from bot.models import Direction, ExitPlan, Target, Trail, TrailKind
from tests.builders import START, frictionless, instrument, plan

HUNDRED = Decimal(100)
STOCK = replace(frictionless(tick="0.001"), symbol=Symbol("MADE"))
GOLD = instrument("XAU_USD")
BOTH = (Direction.LONG, Direction.SHORT)


def prices(of: ExitPlan) -> list[Decimal]:
    return [each.price for each in of.targets]


def play(of: ExitPlan, quantity: str, bids: list[str]) -> tuple[ExitState, list[tuple[Decimal, Decimal | None, str]]]:
    """The state after quotes at the start, and what was closed (quantity, price, reason)."""
    state = ExitState.opened(of, entry=HUNDRED, quantity=Decimal(quantity))
    closed: list[tuple[Decimal, Decimal | None, str]] = []
    for bid in bids:
        state, actions = on_quote(of, state, Decimal(bid), START)
        closed += [(each.quantity, each.price, each.reason) for each in actions if isinstance(each, Close)]
    return state, closed


# --------------------------------------------------------------------------------------------------------- divergence


@pytest.mark.parametrize("direction", BOTH)
def test_the_divergence_plan_is_that_of_golden_example_15(direction: Direction) -> None:
    sign = direction.sign
    made = divergence_plan(
        instrument=STOCK,
        direction=direction,
        stop=HUNDRED - 2 * sign,
        targets=(HUNDRED + 4 * sign, HUNDRED + 8 * sign),
        settings=ExitSettings(),
    )
    assert made == plan(direction)


def test_a_divergence_with_one_target_closes_all_there() -> None:
    made = divergence_plan(
        instrument=STOCK, direction=Direction.LONG, stop=Decimal(98), targets=(Decimal(104),), settings=ExitSettings()
    )
    assert made.targets == (Target(price=Decimal(104), fraction=Decimal(1)),)
    assert (made.break_even_target, made.trail) == (None, None)


def test_a_divergence_that_closes_everything_at_target_one_has_no_second_target() -> None:
    made = divergence_plan(
        instrument=STOCK,
        direction=Direction.LONG,
        stop=Decimal(98),
        targets=(Decimal(104), Decimal(108)),
        settings=ExitSettings(tp1_close_pct=Decimal(1)),
    )
    assert prices(made) == [Decimal(104)]


# -------------------------------------------------------------------------------------------------- swing and session


def test_the_swing_plan_of_golden_example_21_goes_to_break_even_at_80_percent_and_ends_after_72_hours() -> None:
    made = swing_paper_plan(
        direction=Direction.LONG, stop=Decimal("59580.6"), target=Decimal("60928.8"), opened_at=START
    )
    state = ExitState.opened(made, entry=Decimal(60_030), quantity=Decimal("0.00238435"))
    below, _ = on_quote(made, state, Decimal("60749.03"), START)
    even, _ = on_quote(made, state, Decimal("60749.04"), START)
    assert (below.stop, even.stop) == (Decimal("59580.6"), Decimal(60_030))
    late, actions = on_quote(made, state, Decimal(60_000), START + timedelta(hours=72))
    assert late.quantity == 0
    assert actions == (Close(Decimal("0.00238435"), None, "TIMEOUT"),)


def test_the_swing_plan_rounds_no_price() -> None:
    made = swing_paper_plan(
        direction=Direction.SHORT, stop=Decimal("60480.9"), target=Decimal("58000.123"), opened_at=START
    )
    entry = Decimal("60000.37") * Decimal("0.9995")
    state, _ = on_quote(made, ExitState.opened(made, entry=entry, quantity=Decimal(1)), Decimal("58100"), START)
    assert (state.stop, state.stop_reason) == (entry, "BREAKEVEN")


def test_the_session_plans_of_golden_example_19() -> None:
    euro = session_plan(
        instrument=instrument("EUR_USD"),
        direction=Direction.LONG,
        entry=Decimal("1.10000"),
        target_ratio=Decimal("0.0030"),
        stop_ratio=Decimal("0.0020"),
        session_ends_at=START,
    )
    yen = session_plan(
        instrument=instrument("USD_JPY"),
        direction=Direction.SHORT,
        entry=Decimal("150.000"),
        target_ratio=Decimal("0.0030"),
        stop_ratio=Decimal("0.0020"),
        session_ends_at=START,
    )
    assert (prices(euro), euro.stop) == ([Decimal("1.10330")], Decimal("1.09780"))
    assert (prices(yen), yen.stop) == ([Decimal("149.550")], Decimal("150.300"))
    assert (euro.deadline, euro.deadline_reason, euro.trail, euro.break_even_target) == (START, "TIMEOUT", None, None)


@pytest.mark.parametrize(
    ("direction", "stop", "target"), [(Direction.LONG, "98.999", "101.000"), (Direction.SHORT, "101.002", "99.001")]
)
def test_session_targets_are_rounded_towards_the_entry_and_stops_away(
    direction: Direction, stop: str, target: str
) -> None:
    made = session_plan(
        instrument=STOCK,
        direction=direction,
        entry=Decimal("100.0009"),
        target_ratio=Decimal("0.01"),
        stop_ratio=Decimal("0.01001"),
        session_ends_at=START,
    )
    assert (made.stop, prices(made)) == (Decimal(stop), [Decimal(target)])


# ------------------------------------------------------------------------------------------------------------ baskets

TWO_LEGS = Basket(average=Decimal(1995), quantity=Decimal(20), balance=Decimal(10_000), conversion=Decimal(1))
IN_POINTS = BasketExits(take_profit_points=Decimal(200), take_profit_ratio=None, max_drawdown_ratio=Decimal("0.5"))


def test_the_basket_of_golden_example_18_closes_at_1997_and_is_forced_out_at_1745() -> None:
    made = basket_plan(instrument=GOLD, direction=Direction.LONG, basket=TWO_LEGS, exits=IN_POINTS)
    assert (prices(made), made.stop) == ([Decimal(1997)], Decimal(1745))
    assert (made.stop_reason, made.target_reason, made.deadline) == ("DRAWDOWN", "BASKET_TP", None)
    in_percent = replace(IN_POINTS, take_profit_points=None, take_profit_ratio=Decimal("0.01"))
    made = basket_plan(instrument=GOLD, direction=Direction.LONG, basket=TWO_LEGS, exits=in_percent)
    assert prices(made) == [Decimal("2014.95")]


def test_a_basket_of_sells_is_the_other_way_round() -> None:
    made = basket_plan(instrument=GOLD, direction=Direction.SHORT, basket=TWO_LEGS, exits=IN_POINTS)
    assert (prices(made), made.stop) == ([Decimal(1993)], Decimal(2245))


def test_a_basket_too_small_to_lose_its_share_has_no_resident_stop() -> None:
    small = replace(TWO_LEGS, quantity=Decimal(2))  # the balance's half is 2500 points away
    price = drawdown_price(instrument=GOLD, direction=Direction.LONG, basket=small, max_drawdown_ratio=Decimal("0.5"))
    assert price is None
    assert basket_plan(instrument=GOLD, direction=Direction.LONG, basket=small, exits=IN_POINTS).stop == 0


def test_a_basket_with_two_take_profits_is_refused_with_both() -> None:
    both = replace(IN_POINTS, take_profit_ratio=Decimal("0.01"))
    with pytest.raises(ConfigError, match=r"200 points and ratio 0\.01; give exactly one"):
        basket_plan(instrument=GOLD, direction=Direction.LONG, basket=TWO_LEGS, exits=both)


# ------------------------------------------------------------------------------------------------ custom, the scalper


def custom(**changes: object) -> ExitPlan:
    given: dict[str, object] = {
        "instrument": STOCK,
        "direction": Direction.LONG,
        "entry": HUNDRED,
        "stop": None,
        "atr": Decimal("1.5"),
        "risk_reward_ratio": Decimal(2),
        "forced_close": None,
    }
    return custom_plan(**{**given, **changes})  # type: ignore[arg-type]


def test_a_custom_plan_takes_its_own_stop_or_two_atr() -> None:
    assert (custom().stop, prices(custom())) == (Decimal(97), [Decimal(106)])
    own = custom(stop=Decimal(99))
    assert (own.stop, prices(own), own.stop_reason) == (Decimal(99), [Decimal(102)], "STOP")


def test_a_custom_plan_is_forced_out_where_the_drawdown_comes_before_its_stop() -> None:
    nearer, further = custom(forced_close=Decimal(98)), custom(forced_close=Decimal(96))
    assert (nearer.stop, nearer.stop_reason, prices(nearer)) == (Decimal(98), "DRAWDOWN", [Decimal(106)])
    assert (further.stop, further.stop_reason) == (Decimal(97), "STOP")


def scalper(exits: ScalperExits, *, session_minutes: float = 60, entry: Decimal = HUNDRED) -> ExitPlan:
    return scalper_plan(
        instrument=STOCK,
        direction=Direction.LONG,
        entry=entry,
        atr=Decimal(1),
        opened_at=START,
        session_ends_at=START + timedelta(minutes=session_minutes),
        exits=exits,
    )


def test_the_scalper_of_golden_example_17_sells_three_of_seven_then_trails() -> None:
    made = scalper(ScalperExits(trail_ratio=Decimal("0.01"), trail_activation_ratio=Decimal("0.01")))
    assert (made.stop, prices(made)) == (Decimal("98.5"), [Decimal("101.5"), Decimal(103)])
    state, closed = play(made, "7", ["101.5"])
    assert closed == [(Decimal(3), Decimal("101.5"), "TARGET_1")]
    assert (state.break_even, state.stop) == (True, Decimal("100.485"))


def test_the_scalper_without_a_trail_stands_at_break_even_after_target_one() -> None:
    made = scalper(ScalperExits())
    assert made.trail is None
    state, _ = play(made, "7", ["101.5"])
    assert (state.stop, state.stop_reason) == (HUNDRED, "BREAKEVEN")


@pytest.mark.parametrize(
    ("session_minutes", "minutes", "reason"),
    [(60, 30, "TIMEOUT"), (20, 20, "SESSION_END"), (30, 30, "SESSION_END")],
)
def test_the_scalper_is_flat_by_time_or_session_end_whichever_is_earlier(
    session_minutes: float, minutes: int, reason: str
) -> None:
    made = scalper(ScalperExits(), session_minutes=session_minutes)
    assert (made.deadline, made.deadline_reason) == (START + timedelta(minutes=minutes), reason)


def test_the_scalper_with_both_percentages_has_one_target_and_no_break_even() -> None:
    made = scalper(ScalperExits(stop_ratio=Decimal("0.01"), target_ratio=Decimal("0.02"), trail_ratio=Decimal("0.005")))
    assert (made.stop, made.targets) == (Decimal(99), (Target(price=Decimal(102), fraction=Decimal(1)),))
    assert made.break_even_target is None
    assert made.trail == Trail(kind=TrailKind.PERCENT, distance_ratio=Decimal("0.005"))


def test_the_scalper_with_only_one_percentage_keeps_its_atr_levels() -> None:
    assert scalper(ScalperExits(stop_ratio=Decimal("0.01"))).stop == Decimal("98.5")


# ------------------------------------------------------------------------------------------------------------- stored


def test_a_stored_plan_keeps_its_reasons_and_one_stored_before_there_were_any_has_the_usual_ones() -> None:
    made = basket_plan(instrument=GOLD, direction=Direction.LONG, basket=TWO_LEGS, exits=IN_POINTS)
    written = plan_to_json(made)
    assert plan_from_json(written) == made
    older = {key: value for key, value in written.items() if key not in ("stop_reason", "target_reason")}
    assert plan_from_json(older) == replace(made, stop_reason="STOP", target_reason="")


def test_a_plan_takes_the_least_notional_of_its_instrument_as_quantity_times_price() -> None:
    contracts = replace(GOLD, min_notional=Decimal(50), contract_size=Decimal(10))
    made = basket_plan(instrument=contracts, direction=Direction.LONG, basket=TWO_LEGS, exits=IN_POINTS)
    assert made.min_notional == 5


def test_a_stored_plan_keeps_its_least_notional_and_one_stored_before_there_was_any_has_none() -> None:
    made = replace(scalper(ScalperExits()), min_notional=Decimal(5))
    written = plan_to_json(made)
    assert plan_from_json(written) == made
    del written["min_notional"]
    assert plan_from_json(written) == replace(made, min_notional=Decimal(0))
