"""Golden example 20: the stop of the swing trader, and which swing it may lie behind."""

from datetime import timedelta
from decimal import Decimal

import pytest

from bot.layer2_intelligence.structure_events import SwingSide
from bot.layer2_intelligence.swing_stop import SwingLevel, swing_stop
from bot.models import Direction, Timeframe
from tests.builders import START, at

LONG, SHORT = Direction.LONG, Direction.SHORT
MARKET = Decimal(60_000)


def swing(
    level: str,
    timeframe: Timeframe = Timeframe.M5,
    side: SwingSide = SwingSide.LOW,
    *,
    minutes: float = 0,
    broken_minutes: float | None = None,
) -> SwingLevel:
    broken = None if broken_minutes is None else at(broken_minutes)
    seen = at(minutes)
    return SwingLevel(
        timeframe=timeframe,
        side=side,
        level=Decimal(level),
        at=seen,
        known_at=seen + timedelta(minutes=5),
        broken_at=broken,
    )


def stop(*swings: SwingLevel, direction: Direction = LONG, market: Decimal = MARKET) -> Decimal | None:
    found = swing_stop(direction, market, swings, START + timedelta(hours=1))
    return None if found is None else found.price


def high(level: str, timeframe: Timeframe = Timeframe.M5) -> SwingLevel:
    return swing(level, timeframe, SwingSide.HIGH)


def test_the_five_minute_low_gives_the_stop() -> None:
    assert stop(swing("59700"), swing("58800", Timeframe.H4)) == Decimal("59580.6")


def test_a_five_minute_low_that_is_too_near_gives_way_to_the_four_hour_one() -> None:
    assert stop(swing("59950"), swing("58800", Timeframe.H4)) == Decimal("58682.4")


def test_a_four_hour_low_that_is_too_far_leaves_no_stop() -> None:
    assert stop(swing("59950"), swing("58200", Timeframe.H4)) is None


def test_a_short_stands_behind_a_high_and_exactly_half_a_percent_is_far_enough() -> None:
    assert stop(high("60300"), direction=SHORT) == Decimal("60480.9")
    assert stop(high("1005"), direction=SHORT, market=Decimal(1003)) == Decimal("1008.015")


def test_exactly_three_percent_is_near_enough() -> None:
    # low * 0.998 = 970 * 0.998 = 968.06; 968.06 / 0.97 = 998: exactly 3 %
    assert stop(swing("970"), market=Decimal(998)) == Decimal("968.06")
    assert stop(swing("969.99"), market=Decimal(998)) is None


def test_only_the_latest_swing_of_a_timeframe_is_tried() -> None:
    assert stop(swing("59700", minutes=0), swing("59950", minutes=10)) is None
    assert stop(swing("59950", minutes=0), swing("59700", minutes=10)) == Decimal("59580.6")


@pytest.mark.parametrize(
    "unfit",
    [
        swing("59800", minutes=30, broken_minutes=50),
        swing("59800", minutes=58),  # known five minutes later, after now
        swing("60100", minutes=30),  # above the market
        swing("59800", Timeframe.H1, minutes=30),
        swing("59800", side=SwingSide.HIGH, minutes=30),
    ],
    ids=["broken", "not known yet", "beyond the market", "another timeframe", "the other side"],
)
def test_a_swing_that_does_not_count_does_not_hide_an_earlier_one(unfit: SwingLevel) -> None:
    assert stop(swing("59700"), unfit) == Decimal("59580.6")


def test_a_swing_broken_only_later_still_stands() -> None:
    assert stop(swing("59700", broken_minutes=90)) == Decimal("59580.6")


def test_without_any_swing_there_is_no_stop() -> None:
    assert stop() is None
