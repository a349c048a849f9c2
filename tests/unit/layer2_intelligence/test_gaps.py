"""Fair value gaps: the hand-made example, the laws, and a naive second implementation event by event."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.first_reach import FirstReach
from bot.layer2_intelligence.indicators.gaps import GapSettings, GapStream, fair_value_gaps, gap_events
from bot.layer2_intelligence.indicators.talib_bridge import average_true_range
from bot.layer2_intelligence.structure_events import FairValueGap, GapEvent, gap_json
from bot.models import CandleSeries, Direction, Floats
from tests.unit.layer2_intelligence import made_series
from tests.unit.layer2_intelligence import naive_structure as naive

GOLDEN = (
    (10.0, 10.8, 9.8, 10.5),
    (10.5, 12.4, 10.4, 12.2),
    (12.2, 13.2, 11.8, 13.0),
    (13.0, 13.4, 11.9, 12.0),
    (12.0, 12.6, 11.5, 11.6),
    (11.6, 11.9, 10.2, 10.4),
)

SHAPES = {
    "walk": made_series.walk(51, 2_000),
    "range": made_series.walk(52, 2_000, pull=0.05),
    "ties": made_series.walk(53, 2_000, grid=0.25),
    "flats and holes": made_series.walk(54, 2_000, grid=0.125, flat_share=0.2, holes=60),
}


def series_of_rows(rows: tuple[tuple[float, float, float, float], ...]) -> CandleSeries:
    """Candles given as (open, high, low, close)."""
    opens, high, low, close = np.array(rows).T.copy()
    return replace(made_series.series_of(high, low, close), open=opens)


def atr_of(series: CandleSeries) -> Floats:
    if not len(series):
        return np.empty(0)
    return average_true_range(series.high, series.low, series.close, period=14)


def gaps_of(series: CandleSeries, settings: GapSettings | None = None) -> list[FairValueGap]:
    return fair_value_gaps(series, atr_of(series), settings)


def streamed(series: CandleSeries, settings: GapSettings | None = None) -> list[GapEvent]:
    """Facts candle by candle; each candle is shown without those after it."""
    stream, atr = GapStream(settings), atr_of(series)
    return [fact for k in range(len(series)) for fact in stream.at(series.slice(0, k + 1), atr[: k + 1], k)]


def test_the_golden_example_has_one_gap_with_all_its_facts() -> None:
    found = gaps_of(series_of_rows(GOLDEN))

    assert found == [
        FairValueGap(middle=1, direction=Direction.LONG, bottom=10.8, top=11.8, touched=4, half=5, filled=5, inverted=5)
    ]
    assert found[0].known_at == 2


def test_a_fact_that_has_not_happened_is_none() -> None:
    [gap] = gaps_of(series_of_rows(GOLDEN[:5]))

    assert (gap.touched, gap.half, gap.filled, gap.inverted) == (4, None, None, None)


def test_neighbours_that_touch_leave_no_gap_and_nor_does_a_doji() -> None:
    touching = (GOLDEN[0], GOLDEN[1], (12.2, 13.2, 10.8, 13.0))
    doji = (GOLDEN[0], (12.2, 12.4, 10.4, 12.2), GOLDEN[2])

    assert gaps_of(series_of_rows(touching)) == []
    assert gaps_of(series_of_rows(doji)) == []


def test_a_close_at_the_far_edge_fills_without_inverting() -> None:
    at_the_edge = (*GOLDEN[:5], (11.6, 11.9, 10.8, 10.8))
    [gap] = gaps_of(series_of_rows(at_the_edge))

    assert (gap.filled, gap.inverted) == (5, None)


def test_three_candles_of_two_segments_are_no_gap() -> None:
    series = series_of_rows(GOLDEN)
    for cut in (1, 2):
        segment = (np.arange(len(series)) >= cut).astype(np.int64)
        assert gaps_of(replace(series, segment=segment)) == []
        assert streamed(replace(series, segment=segment)) == []
    later = (np.arange(len(series)) >= 3).astype(np.int64)
    assert len(gaps_of(replace(series, segment=later))) == 1


def test_a_gap_as_large_as_the_minimum_stays_and_one_without_atr_goes() -> None:
    series = series_of_rows(((1.0, 2, 1, 2), (2.0, 4, 2, 4), (4.0, 5, 3, 5)))  # a gap of exactly 1

    kept = [
        len(fair_value_gaps(series, np.full(3, atr), GapSettings(min_atr=0.5))) for atr in (2.0, 2.01, float("nan"))
    ]

    assert kept == [1, 0, 0]
    assert len(fair_value_gaps(series, np.full(3, np.nan))) == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("min_atr", [0.0, 0.3])
def test_gaps_are_those_of_the_text(shape: str, min_atr: float) -> None:
    series = SHAPES[shape]
    settings = GapSettings(min_atr=min_atr)
    expected = naive.gaps(series, atr_of(series).tolist(), min_atr=min_atr)

    gaps = gaps_of(series, settings)

    assert len(gaps) > 20
    assert [gap_json(each) for each in gaps] == expected
    assert [(each.known_at, each.middle, each.fact.value) for each in gap_events(gaps)] == naive.gap_facts(expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("min_atr", [0.0, 0.3])
def test_candle_by_candle_the_same_facts_in_the_same_order(shape: str, min_atr: float) -> None:
    settings = GapSettings(min_atr=min_atr)

    assert streamed(SHAPES[shape], settings) == gap_events(gaps_of(SHAPES[shape], settings))


made = st.builds(
    made_series.walk,
    st.integers(0, 10_000),
    st.integers(0, 250),
    grid=st.sampled_from([2.0**-10, 0.125]),
    flat_share=st.sampled_from([0.0, 0.2]),
    holes=st.sampled_from([0, 6]),
)


@hypothesis_settings(max_examples=60, deadline=None)
@given(series=made, cut=st.integers(0, 250))
def test_a_shorter_series_has_the_facts_known_by_its_end(series: CandleSeries, cut: int) -> None:
    whole = gap_events(gaps_of(series))

    assert gap_events(gaps_of(series.slice(0, cut))) == [each for each in whole if each.known_at < cut]
    assert streamed(series) == whole


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made, power=st.integers(-30, 30))
def test_a_change_of_scale_scales_the_zones_and_nothing_else(series: CandleSeries, power: int) -> None:
    factor = 2.0**power

    scaled = gaps_of(made_series.scaled(series, factor))

    assert scaled == [replace(each, bottom=each.bottom * factor, top=each.top * factor) for each in gaps_of(series)]


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made)
def test_a_mirrored_series_has_the_mirrored_gaps(series: CandleSeries) -> None:
    seen = gaps_of(made_series.mirrored(series, 4_096.0))

    assert seen == [
        replace(each, direction=each.direction.opposite, bottom=4_096 - each.top, top=4_096 - each.bottom)
        for each in gaps_of(series)
    ]


numbers = st.lists(st.integers(0, 6), max_size=70)


@hypothesis_settings(max_examples=200, deadline=None)
@given(values=numbers, starts=st.lists(st.integers(0, 80), max_size=20), level=st.integers(-1, 7))
def test_the_first_value_at_or_below_a_level_is_found_or_the_end(
    values: list[int], starts: list[int], level: int
) -> None:
    column = np.array(values, dtype=np.float64)
    start = np.array(starts, dtype=np.int64)
    levels = np.full(len(starts), float(level))

    def expected(limit: float) -> list[int]:
        return [next((j for j in range(each, len(values)) if values[j] <= limit), len(values)) for each in starts]

    assert FirstReach(column).at_or_below(levels, start=start).tolist() == expected(level)
    assert FirstReach(column).below(levels, start=start).tolist() == expected(level - 1)


def test_a_negative_minimum_is_refused() -> None:
    with pytest.raises(ConfigError, match="min_atr -1"):
        GapSettings(min_atr=-1)
