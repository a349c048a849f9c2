from dataclasses import replace
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer5_monitoring.outcome_tracker import followed, outcome_of
from bot.models import Direction, Outcome, OutcomeVerdict
from tests.builders import series, signal

Row = tuple[float, float, float, float]


def outcome(direction: Direction = Direction.LONG) -> Outcome:
    """Entry 100, stop 98, target 104 (or mirrored); known from the first candle on."""
    sign = direction.sign
    idea = signal(
        direction,
        entry=Decimal(100),
        stop_loss=Decimal(100 - 2 * sign),
        targets=(Decimal(100 + 4 * sign),),
    )
    made = outcome_of(idea, accepted=True, paid=Decimal(100))
    assert made is not None
    return made


def follow(rows: list[Row], of: Outcome | None = None, *, horizon: int = 50, half_spread: float = 0.0) -> Outcome:
    return followed(of or outcome(), series(rows), horizon_candles=horizon, half_spread=half_spread)


def test_the_target_reached_first_is_a_target_hit_of_two_r() -> None:
    after = follow([(100, 101, 99, 100), (100, 104, 100, 103)])
    assert (after.verdict, after.r) == (OutcomeVerdict.TARGET_HIT, 2.0)


def test_stop_and_target_in_one_candle_count_as_the_stop() -> None:
    after = follow([(100, 105, 97, 103)])
    assert (after.verdict, after.r) == (OutcomeVerdict.STOP_HIT, -1.0)


def test_a_long_is_closed_at_the_bid_so_a_high_just_at_the_target_is_not_enough() -> None:
    assert follow([(100, 104, 100, 103)], half_spread=0.01).verdict is OutcomeVerdict.OPEN


def test_checkpoints_are_the_closes_one_four_and_twenty_four_hours_later() -> None:
    rows: list[Row] = [(100, 101, 99, 100 + each / 100) for each in range(30)]
    after = follow(rows)
    assert after.checkpoints == {"1h": Decimal("100.0"), "4h": Decimal("100.03"), "24h": Decimal("100.23")}


def test_an_outcome_ends_as_neither_when_its_candles_are_over() -> None:
    after = follow([(100, 101, 99, 100)] * 60, horizon=50)
    assert (after.verdict, after.done, after.candles) == (OutcomeVerdict.NEITHER, True, 50)


def test_a_signal_without_a_direction_has_nothing_to_follow() -> None:
    assert outcome_of(signal(None), accepted=False, paid=Decimal(100)) is None


def test_a_stop_on_the_wrong_side_has_nothing_to_measure_in() -> None:
    assert outcome_of(replace(signal(), stop_loss=Decimal(2)), accepted=False, paid=Decimal("1.1")) is None


price = st.integers(min_value=9_500, max_value=10_600).map(lambda each: each / 100)
candle = st.tuples(price, price, price, price).map(lambda p: (p[0], max(p), min(p), p[3]))


@settings(deadline=None)
@given(rows=st.lists(candle, min_size=2, max_size=40), cuts=st.sets(st.integers(min_value=1, max_value=39)))
def test_how_often_it_is_updated_changes_nothing(rows: list[Row], cuts: set[int]) -> None:
    at_once = follow(rows, horizon=30)
    by_parts = outcome()
    for cut in sorted(each for each in cuts if each < len(rows)):
        if not by_parts.done:
            by_parts = follow(rows[:cut], by_parts, horizon=30)
    if not by_parts.done:
        by_parts = follow(rows, by_parts, horizon=30)
    if by_parts.done and not at_once.done:
        raise AssertionError("ended early")
    assert (by_parts.verdict, by_parts.r) == (at_once.verdict, at_once.r)
    assert (by_parts.mfe_r, by_parts.mae_r) == (at_once.mfe_r, at_once.mae_r)
    assert by_parts.checkpoints == at_once.checkpoints


@settings(deadline=None)
@given(rows=st.lists(candle, min_size=1, max_size=40))
def test_a_short_is_the_mirror_of_a_long(rows: list[Row]) -> None:
    mirrored = [(200 - o, 200 - low, 200 - h, 200 - c) for o, h, low, c in rows]
    long, short = follow(rows), follow(mirrored, outcome(Direction.SHORT))
    assert (long.verdict, long.candles) == (short.verdict, short.candles)
    assert abs(long.mfe_r - short.mfe_r) < 1e-9
