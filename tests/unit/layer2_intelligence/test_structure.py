"""Swings, BOS and CHoCH: the hand-made examples, the laws, and a naive second implementation event by event."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.structure import StructureSettings, StructureStream, structure
from bot.layer2_intelligence.structure_events import BreakEvent, StructureEvent, SwingEvent, SwingSide, structure_json
from bot.models import CandleSeries, Direction
from tests.unit.layer2_intelligence import made_series
from tests.unit.layer2_intelligence import naive_structure as naive

NEAREST = StructureSettings(swing_length=1)
GOLDEN_HIGHS = (10.0, 12, 11, 10, 11, 13, 12, 11, 9, 10, 11, 12)

SHAPES = {
    "walk": made_series.walk(41, 3_000),
    "range": made_series.walk(42, 3_000, pull=0.05),
    "ties": made_series.walk(43, 3_000, grid=0.5),
    "flats and holes": made_series.walk(44, 3_000, grid=0.25, flat_share=0.4, holes=30),
}


def series_of_highs(highs: tuple[float, ...]) -> CandleSeries:
    """Candles one point high that close in their middle."""
    high = np.array(highs)
    return made_series.series_of(high, high - 1, high - 0.5)


def streamed(series: CandleSeries, settings: StructureSettings | None = None) -> list[StructureEvent]:
    """Events candle by candle; each candle is shown without those after it."""
    stream = StructureStream(settings)
    return [event for k in range(len(series)) for event in stream.at(series.slice(0, k + 1), k)]


def breaks(events: list[StructureEvent]) -> list[tuple[int, str, Direction, float]]:
    return [
        (each.known_at, each.kind.value, each.direction, each.level) for each in events if isinstance(each, BreakEvent)
    ]


def swings(events: list[StructureEvent]) -> list[tuple[int, str, float, str | None, bool]]:
    return [
        (each.at, each.side.value, each.level, each.label.value if each.label else None, each.replaces)
        for each in events
        if isinstance(each, SwingEvent)
    ]


def reflected(event: StructureEvent, top: float) -> StructureEvent:
    """The event as the other side sees it."""
    level = top - event.level
    if isinstance(event, BreakEvent):
        return replace(event, direction=event.direction.opposite, level=level)
    side = SwingSide.LOW if event.side is SwingSide.HIGH else SwingSide.HIGH
    mirror = {"HH": "LL", "LL": "HH", "LH": "HL", "HL": "LH", "EQH": "EQL", "EQL": "EQH"}
    label = type(event.label)(mirror[event.label.value]) if event.label else None
    return replace(event, side=side, level=level, label=label)


def without_doji(series: CandleSeries) -> CandleSeries:
    """Every candle with a range has a colour: the order of two pivots on one candle depends on it."""
    opposite_end = np.where(series.close > series.low, series.low, series.high)
    opens = np.where(series.open == series.close, opposite_end, series.open)
    columns = (series.high, series.low, series.close, series.volume, series.segment)
    return CandleSeries(series.symbol, series.timeframe, series.opened_at_s, opens, *columns)


def test_the_golden_example_breaks_up_and_then_changes_character() -> None:
    events = structure(series_of_highs(GOLDEN_HIGHS[:10]), NEAREST)

    assert breaks(events) == [(5, "BOS", Direction.LONG, 12.0), (8, "CHoCH", Direction.SHORT, 9.0)]


def test_swings_of_the_golden_example_are_labelled_against_the_one_before_on_their_side() -> None:
    events = structure(series_of_highs(GOLDEN_HIGHS), NEAREST)

    assert swings(events) == [
        (1, "high", 12.0, None, False),
        (3, "low", 9.0, None, False),
        (5, "high", 13.0, "HH", False),
        (8, "low", 8.0, "LL", False),
    ]


def test_a_more_extreme_pivot_of_the_same_side_replaces_the_last_and_keeps_its_reference() -> None:
    # Highs at 12, 11, then 12.5 without a low pivot between the last two: the low of the pause is cut off by wicks.
    high = np.array([10.0, 12, 11, 10, 11, 10.5, 12.5, 11, 10])
    low = np.array([9.0, 10, 9, 8, 9, 9.2, 9.1, 9.0, 8.5])
    events = structure(made_series.series_of(high, low, low + 0.1), NEAREST)

    assert swings(events) == [
        (1, "high", 12.0, None, False),
        (3, "low", 8.0, None, False),
        (4, "high", 11.0, "LH", False),
        (6, "high", 12.5, "HH", True),
    ]


def test_a_swing_is_broken_once_and_only_by_a_close_beyond_it() -> None:
    high = np.array([10.0, 12, 11, 12.5, 13, 14, 15])
    low = high - 3
    close = np.array([9.5, 11, 10, 12, 12.5, 13, 14])  # 12 at index 3 touches the level

    events = structure(made_series.series_of(high, low, close), NEAREST)

    assert [each for each in breaks(events) if each[2] is Direction.LONG] == [(4, "BOS", Direction.LONG, 12.0)]


def test_in_wick_mode_the_side_of_the_colour_wins() -> None:
    # An outside candle goes beyond both swings; falling, its last word is the low.
    high = np.array([10.0, 12, 11, 10, 11, 13])
    low = np.array([9.0, 11, 10, 9, 10, 8])
    rising = made_series.series_of(high, low, np.array([9.5, 11.5, 10.5, 9.5, 10.5, 12]))
    falling = made_series.series_of(high, low, np.array([9.5, 11.5, 10.5, 9.5, 10.5, 9.2]))
    wick = StructureSettings(swing_length=1, wick_breaks=True)

    assert [each[1:3] for each in breaks(structure(rising, wick))] == [
        ("BOS", Direction.SHORT), ("CHoCH", Direction.LONG)
    ]  # fmt: skip
    assert [each[1:3] for each in breaks(structure(falling, wick))] == [
        ("BOS", Direction.LONG), ("CHoCH", Direction.SHORT)
    ]  # fmt: skip
    assert breaks(structure(falling, NEAREST)) == []


def test_a_pivot_window_over_a_hole_makes_no_swing() -> None:
    whole = series_of_highs(GOLDEN_HIGHS)
    cut = replace(whole, segment=(np.arange(len(whole)) >= 2).astype(np.int64))

    assert swings(structure(whole, NEAREST))[0][0] == 1
    assert swings(structure(cut, NEAREST))[0][0] == 3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wick", [False, True])
@pytest.mark.parametrize("length", [1, 2, 5])
def test_events_are_those_of_the_text(shape: str, wick: bool, length: int) -> None:
    series = SHAPES[shape]

    events = structure(series, StructureSettings(swing_length=length, wick_breaks=wick))

    assert len(events) > 100
    assert [structure_json(each) for each in events] == naive.structure(series, length, wick=wick)


def test_every_kind_of_event_occurs_in_the_compared_series() -> None:
    kinds = {
        str(each.get("label")) + str(each["ev"])
        for series in SHAPES.values()
        for each in map(structure_json, structure(series, NEAREST))
    }

    labels = ("HH", "LH", "EQH", "HL", "LL", "EQL")
    assert {"NoneBOS", "NoneCHoCH", "Noneswing"} <= kinds
    assert {f"{label}swing" for label in labels} <= kinds
    assert {f"{label}swing_replace" for label in labels} <= kinds


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("wick", [False, True])
def test_candle_by_candle_the_same_events_in_the_same_order(shape: str, wick: bool) -> None:
    settings = StructureSettings(swing_length=2, wick_breaks=wick)

    assert streamed(SHAPES[shape], settings) == structure(SHAPES[shape], settings)


made = st.builds(
    made_series.walk,
    st.integers(0, 10_000),
    st.integers(0, 250),
    grid=st.sampled_from([2.0**-10, 0.25, 1.0]),
    flat_share=st.sampled_from([0.0, 0.4]),
    holes=st.sampled_from([0, 4]),
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(series=made, cut=st.integers(0, 250), length=st.integers(1, 3), wick=st.booleans())
def test_a_shorter_series_has_the_events_known_by_its_end(
    series: CandleSeries, cut: int, length: int, wick: bool
) -> None:
    settings = StructureSettings(swing_length=length, wick_breaks=wick)
    whole = structure(series, settings)

    assert structure(series.slice(0, cut), settings) == [each for each in whole if each.known_at < cut]
    assert streamed(series, settings) == whole


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made, power=st.integers(-30, 30), wick=st.booleans())
def test_a_change_of_scale_scales_the_levels_and_nothing_else(series: CandleSeries, power: int, wick: bool) -> None:
    settings = StructureSettings(swing_length=1, wick_breaks=wick)
    factor = 2.0**power

    scaled = structure(made_series.scaled(series, factor), settings)

    assert scaled == [replace(each, level=each.level * factor) for each in structure(series, settings)]


@hypothesis_settings(max_examples=60, deadline=None)
@given(series=made, wick=st.booleans())
def test_a_mirrored_series_has_the_mirrored_events(series: CandleSeries, wick: bool) -> None:
    series = without_doji(series)
    settings = StructureSettings(swing_length=1, wick_breaks=wick)

    seen = structure(made_series.mirrored(series, 4_096.0), settings)

    assert seen == [reflected(each, 4_096.0) for each in structure(series, settings)]


def test_a_swing_without_neighbours_is_refused() -> None:
    with pytest.raises(ConfigError, match="swing_length 0 is below 1"):
        StructureSettings(swing_length=0)
