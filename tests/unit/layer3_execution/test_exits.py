from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer1_data.feeds.recorded import load, recordings
from bot.layer3_execution.exits import (
    Close,
    ExitAction,
    ExitState,
    MoveStop,
    on_candle,
    on_poll,
    on_quote,
    on_target_fill,
    target_quantity,
)
from bot.models import Direction, ExitPlan, Target, Trail, TrailKind
from tests.builders import START, plan, position, series
from tests.unit.layer3_execution.naive_exits import NaivePosition, Row


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


# ------------------------------------------------------------------------------------------------------ word by word


def two_targets(first: str, second: str, *, fractions: tuple[str, str] = ("0.5", "0.5")) -> tuple[Target, ...]:
    pairs = zip((first, second), fractions, strict=True)
    return tuple(Target(price=Decimal(price), fraction=Decimal(fraction)) for price, fraction in pairs)


def test_a_quote_at_the_stop_closes_and_one_beyond_it_fills_worse_than_the_stop() -> None:
    long = plan()
    assert closes(play_quotes(long, state_of(long), ["98"])[1]) == [("10", "98", "STOP")]
    assert closes(play_quotes(long, state_of(long), ["97.5"])[1]) == [("10", "97.5", "STOP")]


def test_one_quote_beyond_both_targets_closes_each_part_at_its_own_target() -> None:
    long = plan()
    _, actions = play_quotes(long, state_of(long), ["120"])
    assert closes(actions) == [("5", "104", "TARGET_1"), ("5", "108", "TARGET_2")]


def test_a_target_comes_before_the_deadline_and_the_deadline_closes_the_rest() -> None:
    timed = plan(deadline=START)
    _, actions = play_quotes(timed, state_of(timed), ["104"])
    assert closes(actions) == [("5", "104", "TARGET_1"), ("5", "None", "TIMEOUT")]


def test_the_end_of_a_session_gives_its_own_reason() -> None:
    timed = plan(deadline=START, deadline_reason="SESSION_END")
    assert closes(play_quotes(timed, state_of(timed), ["101"])[1]) == [("10", "None", "SESSION_END")]


def test_a_candle_that_ends_at_the_deadline_closes_at_its_close_and_one_that_ends_before_does_not() -> None:
    long = plan(deadline=START)
    _, actions = play_candle(long, state_of(long), ("100", "102", "99", "101"))
    assert closes(actions) == [("10", "101", "TIMEOUT")]
    later = plan(deadline=START + timedelta(seconds=1))
    assert play_candle(later, state_of(later), ("100", "102", "99", "101"))[1] == []


def test_a_target_passed_at_the_open_moves_the_stop_at_once_so_that_the_same_candle_can_hit_it() -> None:
    long = plan()
    _, actions = play_candle(long, state_of(long), ("105", "106", "101", "105"))
    # At the open: half at 104, p = 0.25, stop 105 - 2 * 0.8125 = 103.375; the low passes it.
    assert closes(actions) == [("5", "104", "TARGET_1"), ("5", "103.375", "TRAIL")]


def test_a_stop_moved_at_the_open_does_not_close_by_the_rule_for_stops_moved_at_the_high() -> None:
    long = plan(trail=None)
    state, actions = play_candle(long, state_of(long), ("104", "104", "100.5", "100.5"))
    assert closes(actions) == [("5", "104", "TARGET_1")]
    assert (state.stop, state.stop_reason) == (Decimal(100), "BREAKEVEN")


def test_a_stop_moved_at_the_high_works_from_the_next_candle_on_if_the_close_stays_beyond_it() -> None:
    long = plan(trail=None)
    state, actions = play_candle(long, state_of(long), ("101", "104", "99", "100.5"))
    assert closes(actions) == [("5", "104", "TARGET_1")]
    assert closes(play_candle(long, state, ("100.2", "101", "99", "100"))[1]) == [("5", "100", "BREAKEVEN")]


def test_fractions_below_one_leave_a_rest_that_only_stop_trail_and_time_end() -> None:
    long = plan(targets=two_targets("104", "108", fractions=("0.3", "0.3")))
    state, actions = play_quotes(long, state_of(long), ["130"])
    assert closes(actions) == [("3", "104", "TARGET_1"), ("3", "108", "TARGET_2")]
    assert (state.quantity, state.stop) == (Decimal(4), Decimal("129.5"))  # a quarter R behind, beyond target 2


def test_both_targets_at_one_price_and_a_rest_trail_a_quarter_r_behind() -> None:
    long = plan(targets=two_targets("104", "104", fractions=("0.3", "0.3")))
    state, actions = play_quotes(long, state_of(long), ["104", "105"])
    assert closes(actions) == [("3", "104", "TARGET_1"), ("3", "104", "TARGET_2")]
    assert state.stop == Decimal("104.5")


def test_one_target_that_closes_a_part_lets_the_rest_trail() -> None:
    long = plan(targets=(Target(price=Decimal(104), fraction=Decimal("0.5")),))
    _, actions = play_quotes(long, state_of(long), ["104", "103.5"])
    assert closes(actions) == [("5", "104", "TARGET_1"), ("5", "103.5", "TRAIL")]


def test_rounding_down_to_the_step_does_not_compound_over_targets() -> None:
    long = plan(targets=two_targets("104", "108", fractions=("0.35", "0.35")))
    _, actions = play_quotes(long, state_of(long), ["108"])
    assert closes(actions) == [("3", "104", "TARGET_1"), ("4", "108", "TARGET_2")]  # floor(3.5), floor(7.0) - 3


def test_a_piece_below_the_minimum_closes_everything_at_its_target() -> None:
    long = plan(min_quantity=Decimal(3), targets=two_targets("104", "108", fractions=("0.2", "0.8")))
    assert closes(play_quotes(long, state_of(long), ["104"])[1]) == [("10", "104", "TARGET_1")]


def test_a_rest_of_exactly_the_minimum_is_kept() -> None:
    long = plan(min_quantity=Decimal(5))
    assert closes(play_quotes(long, state_of(long), ["104"])[1]) == [("5", "104", "TARGET_1")]


def test_a_piece_that_is_worth_too_little_at_its_target_closes_everything_there() -> None:
    long = plan(min_notional=Decimal(209), targets=two_targets("104", "108", fractions=("0.2", "0.8")))
    worth_208 = play_quotes(long, state_of(long), ["104"])[1]
    worth_enough = play_quotes(replace(long, min_notional=Decimal(208)), state_of(long), ["104"])[1]
    assert closes(worth_208) == [("10", "104", "TARGET_1")]
    assert closes(worth_enough) == [("2", "104", "TARGET_1")]


def test_a_rest_that_is_worth_too_little_at_its_stop_is_not_left() -> None:
    """5 of 10 stay, behind a stop at 98: its order would be worth 490."""
    long = plan(min_notional=Decimal(490))
    assert closes(play_quotes(long, state_of(long), ["104"])[1]) == [("5", "104", "TARGET_1")]
    long = plan(min_notional=Decimal("490.001"))
    assert closes(play_quotes(long, state_of(long), ["104"])[1]) == [("10", "104", "TARGET_1")]


def test_a_rest_of_a_short_must_be_worth_enough_at_its_last_target_which_is_lower_than_its_stop() -> None:
    short = plan(Direction.SHORT, min_notional=Decimal(460))  # 5 at 92
    assert closes(play_quotes(short, state_of(short), ["96"])[1]) == [("5", "96", "TARGET_1")]
    short = plan(Direction.SHORT, min_notional=Decimal("460.001"))
    assert closes(play_quotes(short, state_of(short), ["96"])[1]) == [("10", "96", "TARGET_1")]


def test_a_rest_is_worth_its_whole_steps_because_no_more_can_be_sold() -> None:
    """Of 9.6 the first target closes 5 for 520; of the 4.6 left 4 can be sold, worth 392 at 98 (all 4.6: 450.80)."""
    shares = two_targets("104", "108", fractions=("0.6", "0.4"))
    fits, misses = (plan(min_notional=Decimal(each), targets=shares) for each in (392, 393))
    assert target_quantity(fits, state_of(fits, quantity="9.6"), 1) == 5
    assert target_quantity(misses, state_of(misses, quantity="9.6"), 1) == Decimal("9.6")


@pytest.mark.parametrize("stop", ["0", "-505"])
def test_a_stop_that_is_no_price_is_no_order_and_splits_as_if_there_were_none(stop: str) -> None:
    long = plan(stop=Decimal(stop), min_notional=Decimal(540))  # 5 at 108
    assert target_quantity(long, state_of(long), 1) == 10  # the piece is worth 520
    assert target_quantity(replace(long, min_notional=Decimal(520)), state_of(long), 1) == 5
    assert target_quantity(replace(long, min_notional=Decimal(0)), state_of(long), 1) == 5


def test_a_resting_target_filled_in_part_counts_as_hit_and_the_stop_is_for_what_is_left() -> None:
    long = plan()
    state, actions = on_target_fill(long, state_of(long), 1, Decimal(1))
    assert (state.targets_hit, state.quantity) == (1, Decimal(9))
    assert actions == (MoveStop(Decimal(102), "TRAIL"),)
    state, actions = on_quote(long, state, Decimal("104.5"), START)
    assert not [each for each in actions if isinstance(each, Close)]  # its rest stays at its price, at the venue
    assert closes(play_quotes(long, state, ["101"])[1]) == [("9", "101", "TRAIL")]


def test_a_second_partial_fill_takes_off_more_and_hits_nothing_anew() -> None:
    long = plan()
    state, _ = on_target_fill(long, state_of(long), 1, Decimal(1))
    state, actions = on_target_fill(long, state, 1, Decimal(4))
    assert (state.targets_hit, state.quantity, actions) == (1, Decimal(5), ())
    state, _ = on_target_fill(long, state, 2, Decimal(5))
    assert (state.targets_hit, state.quantity) == (2, Decimal(0))


def trailing_then_even(direction: Direction = Direction.LONG) -> ExitPlan:
    """A percent trail that starts behind the entry, and break-even half of the way."""
    far = Decimal(100 + 20 * direction.sign)
    return plan(
        direction,
        targets=(Target(price=far, fraction=Decimal(1)),),
        break_even_target=None,
        break_even_fraction=Decimal("0.1"),
        trail=Trail(kind=TrailKind.PERCENT, distance_ratio=Decimal("0.03")),
        stop=Decimal(100 - 10 * direction.sign),
    )


def test_a_stop_that_break_even_moved_after_the_trail_is_called_break_even_and_after_it_trail_again() -> None:
    long = trailing_then_even()
    state, actions = play_quotes(long, state_of(long), ["101", "102"])
    assert [each.reason for each in actions if isinstance(each, MoveStop)] == ["TRAIL", "BREAKEVEN"]
    assert closes(play_quotes(long, state, ["100"])[1]) == [("10", "100", "BREAKEVEN")]
    assert closes(play_quotes(long, state, ["110", "106"])[1]) == [("10", "106", "TRAIL")]


@pytest.mark.parametrize(("prices", "reason"), [(["101"], "TRAIL"), (["101", "102"], "BREAKEVEN"), (["110"], "TRAIL")])
def test_a_position_that_was_stored_and_read_back_names_its_stop_as_before(prices: list[str], reason: str) -> None:
    long = trailing_then_even()
    state, _ = play_quotes(long, state_of(long), prices)
    stored = position(
        plan=long, stop_price=state.stop, best_price=state.best, break_even=state.break_even, trailing=state.trailing
    )
    assert ExitState.of(stored) == state
    assert ExitState.of(stored).stop_reason == reason


def test_break_even_that_comes_too_late_to_improve_the_stop_leaves_the_trail_its_name() -> None:
    long = plan(
        targets=(Target(price=Decimal(110), fraction=Decimal(1)),),
        break_even_target=None,
        break_even_fraction=Decimal("0.5"),
        trail=Trail(kind=TrailKind.PERCENT, distance_ratio=Decimal("0.01")),
    )
    state, _ = play_quotes(long, state_of(long), ["104"])
    state, actions = play_quotes(long, state, ["105", "103.95"])
    assert closes(actions) == [("10", "103.95", "TRAIL")]


def test_basket_plans_name_their_target_and_their_stop() -> None:
    basket = plan(
        targets=(Target(price=Decimal(104), fraction=Decimal(1)),),
        break_even_target=None,
        trail=None,
        stop_reason="DRAWDOWN",
        target_reason="BASKET_TP",
    )
    assert closes(
        play_quotes(basket, ExitState.opened(basket, entry=Decimal(100), quantity=Decimal(2)), ["105"])[1]
    ) == [("2", "104", "BASKET_TP")]
    stored = ExitState.of(position(plan=basket))
    assert closes(play_quotes(basket, stored, ["97"])[1]) == [("10", "97", "DRAWDOWN")]


@pytest.mark.parametrize(("direction", "stop", "moved"), [("long", "98.01", "101.95"), ("short", "101.99", "98.05")])
def test_stops_go_to_the_tick_away_from_the_price_the_first_one_too(direction: str, stop: str, moved: str) -> None:
    sign = Direction(direction).sign
    coarse = plan(Direction(direction), tick=Decimal("0.05"), stop=Decimal(stop))
    state = ExitState.opened(coarse, entry=Decimal(100), quantity=Decimal(10))
    assert state.stop == 100 - 2 * sign
    # R0 = 2.0; at 104.03 the way is 0.0075 gone: 104.03 - 2 * 0.994375 = 102.04125, down to 102.00
    state, _ = on_quote(coarse, state, 100 + sign * Decimal("4.03"), START)
    assert state.stop == Decimal(100) + sign * 2
    assert (state.stop - Decimal(moved)) * sign > 0


def test_the_progressive_trail_moves_by_a_tenth_of_r_at_least_and_its_first_move_always() -> None:
    long = plan()
    state, first = play_quotes(long, state_of(long), ["104"])
    assert stops(first) == [Decimal(102)]
    state, close_by = play_quotes(long, state, ["104.1"])  # candidate 102.1375, better by 0.1375 < 0.2
    assert stops(close_by) == []
    _, enough = play_quotes(long, state, ["104.15"])  # 102.20625
    assert stops(enough) == [Decimal("102.206")]


def test_the_progressive_trail_never_stands_below_the_entry() -> None:
    wide = plan(stop=Decimal(90), break_even_target=None)
    state, actions = play_quotes(wide, state_of(wide), ["104"])
    assert (stops(actions), state.stop_reason) == ([Decimal(100)], "TRAIL")


def test_a_percent_trail_waits_for_its_activation_and_then_stays_active() -> None:
    long = plan(
        targets=(),
        break_even_target=None,
        trail=Trail(kind=TrailKind.PERCENT, distance_ratio=Decimal("0.05"), activation_ratio=Decimal("0.04")),
        stop=Decimal(90),
    )
    state, early = play_quotes(long, state_of(long), ["103.999"])
    assert stops(early) == []
    _, actions = play_quotes(long, state, ["104", "99", "98.8"])
    assert stops(actions) == [Decimal("98.8")]
    assert closes(actions) == [("10", "98.8", "TRAIL")]


def test_a_percent_trail_without_activation_follows_from_the_entry_even_while_the_price_is_below_it() -> None:
    long = plan(targets=(), trail=Trail(kind=TrailKind.PERCENT, distance_ratio=Decimal("0.01")), break_even_target=None)
    assert stops(play_quotes(long, state_of(long), ["99.5"])[1]) == [Decimal(99)]


def test_a_poll_plays_the_candles_since_the_last_one_before_the_quote() -> None:
    long = plan()
    rows = series([(100, 104.5, 99, 103), (103, 103, 101, 102.5)])
    candles = [rows.candle(0), rows.candle(1)]
    state, actions = on_poll(long, state_of(long), candles, Decimal(110), START)
    assert closes(list(actions)) == [("5", "104", "TARGET_1"), ("5", "102.687", "TRAIL")]
    assert state.quantity == 0
    state, actions = on_poll(long, state_of(long), candles[:1], Decimal(108), START)
    assert closes(list(actions)) == [("5", "104", "TARGET_1"), ("5", "108", "TARGET_2")]


# ------------------------------------------------------------------------------------------------------------ for any

ratios = st.integers(min_value=1, max_value=100).map(lambda each: Decimal(each) / 100)
ROOM = timedelta(minutes=30)


@st.composite
def plans(draw: st.DrawFn, *, exactly_mirrored: bool = False) -> ExitPlan:
    """Any plan around an entry of 100: what works in percent of the price has no exact mirror image (SPEC, law L5)."""
    sign = 1 if draw(st.booleans()) else -1
    away = sorted(draw(st.lists(st.integers(min_value=1, max_value=900), max_size=3)))
    weights = draw(st.lists(st.integers(min_value=1, max_value=40), min_size=len(away), max_size=len(away)))
    whole = draw(st.booleans())
    total = max(100, sum(weights))
    fractions = [Decimal(each) / total for each in weights]
    if whole and fractions:
        fractions[-1] = 1 - sum(fractions[:-1], Decimal(0))
    targets = tuple(
        Target(price=100 + sign * Decimal(distance) / 100, fraction=fraction)
        for distance, fraction in zip(away, fractions, strict=True)
    )
    percent = st.builds(
        Trail,
        kind=st.just(TrailKind.PERCENT),
        distance_ratio=ratios.map(lambda each: each / 10),
        activation_ratio=st.one_of(st.just(Decimal(0)), ratios.map(lambda each: each / 20)),
    )
    progressive = st.builds(
        Trail, kind=st.just(TrailKind.PROGRESSIVE), step_r=st.sampled_from([Decimal(0), Decimal("0.1"), Decimal("0.5")])
    )
    trails = [st.none()] + ([progressive] if targets else []) + ([] if exactly_mirrored else [percent])
    by_target = draw(st.booleans())
    return ExitPlan(
        direction=Direction.LONG if sign > 0 else Direction.SHORT,
        stop=100 - sign * Decimal(draw(st.integers(min_value=1, max_value=400))) / 100,
        targets=targets,
        tick=draw(st.sampled_from([Decimal("0.01"), Decimal("0.001"), Decimal("0.05")])),
        quantity_step=draw(st.sampled_from([Decimal(1), Decimal("0.3"), Decimal("0.01")])),
        min_quantity=draw(st.sampled_from([Decimal(0), Decimal(1), Decimal(4)])),
        min_notional=Decimal(0)
        if exactly_mirrored
        else draw(st.sampled_from([Decimal(0), Decimal(100), Decimal(400)])),
        break_even_target=1 if targets and by_target else None,
        break_even_fraction=draw(st.one_of(st.none(), ratios)) if targets and not by_target else None,
        trail=draw(st.one_of(*trails)),
        deadline=draw(st.one_of(st.none(), st.just(START + ROOM))),
    )


near = st.integers(min_value=9_600, max_value=10_800).map(lambda each: Decimal(each) / 100)
Quad = tuple[Decimal, Decimal, Decimal, Decimal]
quads = st.tuples(near, near, near, near).map(lambda each: (each[0], max(each), min(each), each[3]))
times = st.integers(min_value=0, max_value=40)


def opened(plan_: ExitPlan, quantity: str = "10") -> ExitState:
    return ExitState.opened(plan_, entry=Decimal(100), quantity=Decimal(quantity))


def by_candle(plan_: ExitPlan, state: ExitState, quad: Quad, at: datetime) -> tuple[ExitState, list[Row]]:
    after, actions = on_candle(plan_, state, open_=quad[0], high=quad[1], low=quad[2], close=quad[3], closed_at=at)
    return after, rows_of(actions, quad[3])


def rows_of(actions: Iterable[ExitAction], market: Decimal) -> list[Row]:
    return [
        (each.reason, market if each.price is None else each.price, each.quantity)
        for each in actions
        if isinstance(each, Close)
    ]


@settings(deadline=None, max_examples=400)
@given(plan_=plans(), before=st.lists(near, max_size=4), quad=quads, minute=times)
def test_the_four_quotes_of_a_candle_give_its_state_or_close_at_prices_that_are_not_better(
    plan_: ExitPlan, before: list[Decimal], quad: Quad, minute: int
) -> None:
    state, sign = opened(plan_), plan_.direction.sign
    for price in before:  # any state a candle may find
        state, _ = on_quote(plan_, state, price, START)
        if not state.quantity:
            return
    end = START + timedelta(minutes=minute)
    candle_state, candle_closes = by_candle(plan_, state, quad, end)
    worst, best = (quad[2], quad[1]) if sign > 0 else (quad[1], quad[2])
    quote_closes: list[Row] = []
    for price, at in ((quad[0], START), (worst, START), (best, START), (quad[3], end)):
        if state.quantity:
            state, actions = on_quote(plan_, state, price, at)
            quote_closes += rows_of(actions, price)
    assert [(reason, quantity) for reason, _, quantity in quote_closes] == [
        (reason, quantity) for reason, _, quantity in candle_closes
    ]
    for (_, quoted, _), (_, filled, _) in zip(quote_closes, candle_closes, strict=True):
        assert sign * (filled - quoted) >= 0
    if state.quantity:
        assert candle_state == state


@settings(deadline=None, max_examples=400)
@given(
    plan_=plans(),
    prices=st.lists(near, min_size=1, max_size=8),
    first=st.decimals(min_value=1, max_value=20, places=2),
)
def test_no_piece_and_no_rest_that_a_plan_asks_for_is_below_either_minimum(
    plan_: ExitPlan, prices: list[Decimal], first: Decimal
) -> None:
    """Each order for it is valued at its own price: the piece at its target, the rest at its stop and later targets."""
    state = ExitState.opened(plan_, entry=Decimal(100), quantity=first)
    for price in prices:
        before = state
        state, actions = on_quote(plan_, state, price, START)
        left, hit = before.quantity, before.targets_hit
        for close in (each for each in actions if isinstance(each, Close) and each.reason.startswith("TARGET")):
            left, hit = left - close.quantity, hit + 1
            if not left:
                break
            target = plan_.targets[hit - 1]
            sellable = left // plan_.quantity_step * plan_.quantity_step
            assert 0 < close.quantity >= plan_.min_quantity <= left
            assert close.quantity * target.price >= plan_.min_notional
            assert all(
                sellable * each >= plan_.min_notional
                for each in (before.stop, *(later.price for later in plan_.targets[hit:]))
            )
        if not state.quantity:
            return


@settings(deadline=None, max_examples=400)
@given(plan_=plans(), candles=st.lists(quads, max_size=12), quantity=st.sampled_from(["10", "1", "0.9", "7.77"]))
def test_a_second_implementation_from_the_text_agrees_on_candles_and_quotes(
    plan_: ExitPlan, candles: list[Quad], quantity: str
) -> None:
    for as_candles in (True, False):
        naive, state = NaivePosition(plan_, Decimal(100), Decimal(quantity)), opened(plan_, quantity)
        done: list[Row] = []
        for number, quad in enumerate(candles):
            at = START + 5 * number * timedelta(minutes=1)
            for price in (None,) if as_candles else quad:
                if not state.quantity:
                    break
                if price is None:
                    state, closed = by_candle(plan_, state, quad, at)
                    naive.candle(quad, at)
                else:
                    state, actions = on_quote(plan_, state, price, at)
                    closed = rows_of(actions, price)
                    naive.quote(price, at)
                done += closed
                assert (state.quantity, state.targets_hit) == (naive.q, naive.hit)
                if state.quantity:
                    sign = plan_.direction.sign
                    assert (state.stop, state.stop_reason) == (sign * naive.stop, naive.reason)
        assert done == naive.closes
        assert sum(row[2] for row in done) + state.quantity == Decimal(quantity)


@pytest.mark.parametrize("recording", ["EUR_USD", "BTC/USDT", "AAPL"])
def test_a_second_implementation_from_the_text_agrees_on_recorded_candles(recording: str) -> None:
    candles = next(load(each) for each in recordings() if each.symbol == recording)
    tick = Decimal("0.00001") if recording == "EUR_USD" else Decimal("0.01")
    closed_at_all = 0
    for start, sign, r in ((0, 1, "0.004"), (150, -1, "0.01"), (400, 1, "0.02"), (700, -1, "0.005"), (900, 1, "0.03")):
        entry, distance = candles.candle(start).open, candles.candle(start).open * Decimal(r)
        shares = two_targets(str(entry + sign * 2 * distance), str(entry + sign * 5 * distance))
        plan_ = plan(
            Direction.LONG if sign > 0 else Direction.SHORT, stop=entry - sign * distance, targets=shares, tick=tick
        )
        state = ExitState.opened(plan_, entry=entry, quantity=Decimal(10))
        naive = NaivePosition(plan_, entry, Decimal(10))
        done: list[Row] = []
        for index in range(start, min(len(candles), start + 600)):
            if not state.quantity:
                break
            each = candles.candle(index)
            quad = (each.open, each.high, each.low, each.close)
            state, closed = by_candle(plan_, state, quad, each.closed_at)
            naive.candle(quad, each.closed_at)
            done += closed
            assert state.stop == sign * naive.stop
        assert done == naive.closes
        closed_at_all += len(done)
    assert closed_at_all >= 3


@settings(deadline=None, max_examples=200)
@given(plan_=plans(exactly_mirrored=True), candles=st.lists(quads, max_size=8))
def test_a_plan_and_its_mirror_image_do_the_same(plan_: ExitPlan, candles: list[Quad]) -> None:
    mirrored = replace(
        plan_,
        direction=plan_.direction.opposite,
        stop=200 - plan_.stop,
        targets=tuple(replace(each, price=200 - each.price) for each in plan_.targets),
    )
    state, image = opened(plan_), opened(mirrored)
    for o, h, low, c in candles:
        if not state.quantity:
            break
        state, closed = by_candle(plan_, state, (o, h, low, c), START)
        image, reflected = by_candle(mirrored, image, (200 - o, 200 - low, 200 - h, 200 - c), START)
        assert [(reason, 200 - price, quantity) for reason, price, quantity in closed] == reflected
        assert (state.quantity, state.stop_reason, state.best) == (image.quantity, image.stop_reason, 200 - image.best)


@settings(deadline=None, max_examples=200)
@given(plan_=plans(), candles=st.lists(quads, max_size=12))
def test_nothing_is_closed_twice_and_no_stop_moves_back(plan_: ExitPlan, candles: list[Quad]) -> None:
    state = opened(plan_)
    closed, sign = Decimal(0), plan_.direction.sign
    for quad in candles:
        if not state.quantity:
            break
        stop = state.stop
        state, rows = by_candle(plan_, state, quad, START)
        closed += sum((row[2] for row in rows), Decimal(0))
        assert state.quantity >= 0
        assert all(quantity > 0 for _, _, quantity in rows)
        assert sign * (state.stop - stop) >= 0
    assert closed + state.quantity == 10
