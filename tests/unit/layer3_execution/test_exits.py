from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer3_execution.exits import Close, ExitAction, ExitState, MoveStop, on_candle, on_quote, target_quantity
from bot.models import Direction, ExitPlan, Target, Trail, TrailKind
from tests.builders import START, plan


def state_of(plan_: ExitPlan, quantity: str = "10", entry: str = "100") -> ExitState:
    return ExitState(
        entry=Decimal(entry),
        first_quantity=Decimal(quantity),
        quantity=Decimal(quantity),
        stop=plan_.stop,
        best=Decimal(entry),
    )


def play_quotes(plan_: ExitPlan, state: ExitState, prices: list[str]) -> tuple[ExitState, list[ExitAction]]:
    done: list[ExitAction] = []
    for price in prices:
        if not state.quantity:
            break
        state, actions = on_quote(plan_, state, Decimal(price), START)
        done.extend(actions)
    return state, done


def closes(actions: list[ExitAction]) -> list[tuple[str, str, str]]:
    return [(str(each.quantity), str(each.price), each.reason) for each in actions if isinstance(each, Close)]


def stops(actions: list[ExitAction]) -> list[Decimal]:
    return [each.price for each in actions if isinstance(each, MoveStop)]


def test_golden_example_15_half_leaves_at_target_one_and_the_rest_trails() -> None:
    long = plan()
    state, actions = play_quotes(long, state_of(long), ["103", "104", "106", "107", "106.2", "106.1"])
    assert closes(actions) == [("5", "104", "TARGET_1"), ("5", "106.1", "TRAIL")]
    assert stops(actions) == [Decimal("102"), Decimal("104.75"), Decimal("106.125")]
    assert state.quantity == 0


def test_golden_example_15_mirrored_short_earns_the_same() -> None:
    short = plan(Direction.SHORT)
    _, actions = play_quotes(short, state_of(short), ["97", "96", "94", "93", "93.8", "93.9"])
    assert closes(actions) == [("5", "96", "TARGET_1"), ("5", "93.9", "TRAIL")]
    result = sum((100 - each.price) * each.quantity for each in actions if isinstance(each, Close) and each.price)
    assert result == Decimal("50.5")


@pytest.mark.parametrize(
    ("candle", "expected"),
    [
        (("100", "104.5", "99", "101.5"), [("5", "104", "TARGET_1"), ("5", "102.6875", "TRAIL")]),
        (("100", "105", "97", "103"), [("10", "98", "STOP")]),
        (("97", "105", "96", "103"), [("10", "97", "STOP")]),
    ],
)
def test_golden_example_16_stop_before_target_inside_one_candle(
    candle: tuple[str, str, str, str], expected: list[tuple[str, str, str]]
) -> None:
    long = plan(tick=Decimal("0.0001"))
    _, actions = play_candle(long, state_of(long), candle)
    assert closes(actions) == expected


def test_golden_example_16_a_target_passed_at_the_open_is_filled_at_the_target() -> None:
    long = plan(tick=Decimal("0.0001"), targets=(Target(price=Decimal(104), fraction=Decimal(1)),))
    _, actions = play_candle(long, state_of(long), ("105", "106", "97", "103"))
    assert closes(actions) == [("10", "104", "TARGET_1")]


def test_golden_example_16_a_single_unit_is_not_split() -> None:
    long = plan()
    assert target_quantity(long, state_of(long, quantity="1"), 1) == 1


def test_golden_example_17_break_even_then_a_percent_trail() -> None:
    scalper = plan(
        stop=Decimal("98.5"),
        targets=(
            Target(price=Decimal("101.5"), fraction=Decimal("0.5")),
            Target(price=Decimal(103), fraction=Decimal("0.5")),
        ),
        trail=Trail(kind=TrailKind.PERCENT, distance_ratio=Decimal("0.01"), activation_ratio=Decimal("0.01")),
    )
    state, actions = play_quotes(scalper, state_of(scalper, quantity="7"), ["101.5"])
    assert closes(actions) == [("3", "101.5", "TARGET_1")]
    assert state.break_even
    assert state.stop == Decimal("100.485")


def test_break_even_by_fraction_of_the_way_moves_the_stop_to_the_entry() -> None:
    swing = plan(
        targets=(Target(price=Decimal(110), fraction=Decimal(1)),),
        break_even_target=None,
        break_even_fraction=Decimal("0.8"),
        trail=None,
    )
    state, actions = play_quotes(swing, state_of(swing), ["107.999", "108", "100"])
    assert stops(actions) == [Decimal(100)]
    assert closes(actions) == [("10", "100", "BREAKEVEN")]
    assert state.quantity == 0


def test_time_is_up_at_the_deadline_and_not_before() -> None:
    timed = plan(deadline=START + timedelta(hours=72))
    state = state_of(timed)
    _, before = on_quote(timed, state, Decimal(101), START + timedelta(hours=72, seconds=-1))
    _, after = on_quote(timed, state, Decimal(101), START + timedelta(hours=72))
    assert not [each for each in before if isinstance(each, Close)]
    assert after == (Close(Decimal(10), None, "TIMEOUT"),)


def test_a_remainder_below_the_minimum_closes_everything_at_the_target() -> None:
    coarse = plan(min_quantity=Decimal(6))
    assert target_quantity(coarse, state_of(coarse), 1) == 10


def play_candle(
    plan_: ExitPlan, state: ExitState, candle: tuple[str, str, str, str]
) -> tuple[ExitState, list[ExitAction]]:
    o, h, low, c = (Decimal(each) for each in candle)
    after, actions = on_candle(plan_, state, open_=o, high=h, low=low, close=c, closed_at=START)
    return after, list(actions)


cents = st.integers(min_value=8_000, max_value=12_500).map(lambda each: Decimal(each) / 100)


@settings(deadline=None)
@given(prices=st.lists(cents, min_size=1, max_size=40), long=st.booleans())
def test_closes_sum_to_the_quantity_and_the_stop_never_moves_back(prices: list[Decimal], long: bool) -> None:
    plan_ = plan(Direction.LONG if long else Direction.SHORT)
    state, sign = state_of(plan_), 1 if long else -1
    closed, stop = Decimal(0), state.stop
    for price in prices:
        if not state.quantity:
            break
        state, actions = on_quote(plan_, state, price, START)
        closed += sum(each.quantity for each in actions if isinstance(each, Close))
        assert sign * (state.stop - stop) >= 0
        assert state.quantity >= 0
        stop = state.stop
    assert closed + state.quantity == 10


@settings(deadline=None)
@given(prices=st.lists(cents, min_size=4, max_size=4), long=st.booleans())
def test_a_candle_never_ends_better_than_its_four_quotes_worst_first(prices: list[Decimal], long: bool) -> None:
    plan_ = plan(Direction.LONG if long else Direction.SHORT)
    o, c = prices[0], prices[3]
    high, low = max(prices), min(prices)
    worst, best = (low, high) if long else (high, low)
    by_quotes, sign = state_of(plan_), 1 if long else -1
    earned = Decimal(0)
    for price in (o, worst, best, c):
        if by_quotes.quantity:
            by_quotes, actions = on_quote(plan_, by_quotes, price, START)
            earned += sum(
                sign * (each.price - 100) * each.quantity for each in actions if isinstance(each, Close) and each.price
            )
    by_candle, candle_actions = on_candle(plan_, state_of(plan_), open_=o, high=high, low=low, close=c, closed_at=START)
    assert by_candle.quantity <= by_quotes.quantity or by_quotes.quantity == 0
    if by_candle.quantity:
        assert by_candle == by_quotes
    assert sum(each.quantity for each in candle_actions if isinstance(each, Close)) + by_candle.quantity == 10
