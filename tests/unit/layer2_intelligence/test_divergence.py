"""Divergences and setups: the hand-made examples, the laws, and a naive second implementation event by event."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.config import DivergenceSettings
from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.columns import feature_columns
from bot.layer2_intelligence.indicators.divergence import OSCILLATORS, DivergenceStream, divergences
from bot.layer2_intelligence.indicators.setups import FAMILIES, setups
from bot.models import CandleSeries, Direction, Divergence, DivergenceKind, FeatureColumns, Floats
from tests.unit.layer2_intelligence import made_series
from tests.unit.layer2_intelligence import naive_divergence as naive

DEFAULT = DivergenceSettings()
GOLDEN = DivergenceSettings(left=2, right=2, confirm=1, min_sep=3, osc_win=0, osc_turn=False)
EAGER = DivergenceSettings(
    left=1, right=2, confirm=2, min_sep=2, max_sep=30, osc_win=1, osc_turn=False, min_price_atr=0, min_swing_atr=0.2
)
WIDE = DivergenceSettings(left=1, right=6, confirm=3, min_sep=2, max_sep=25, osc_win=2, min_swing_atr=0.5)

GOLDEN_LOWS = (12.0, 11, 10, 11, 12, 13, 12, 11, 9, 10, 11, 12)
GOLDEN_OSCILLATOR = (50.0, 40, 30, 40, 50, 60, 50, 45, 38, 46, 52, 58)

SHAPES = {
    "walk": made_series.walk(31, 2_500),
    "range": made_series.walk(32, 2_500, pull=0.05),
    "ties": made_series.walk(33, 2_500, grid=0.5),
    "flats, idle volume and holes": made_series.walk(34, 2_500, grid=0.25, flat_share=0.4, idle_share=0.3, holes=25),
}


def golden(sign: int = 1, **oscillator: float) -> list[Divergence]:
    """Events of golden example 4, with some values of the oscillator (`at5=33`) replaced; negated for sign -1."""
    column = np.array(GOLDEN_OSCILLATOR)
    for index, value in oscillator.items():
        column[int(index.removeprefix("at"))] = value
    low = np.array(GOLDEN_LOWS)
    series = made_series.series_of(low + 1, low, low + 0.5)
    if sign < 0:
        series = made_series.mirrored(series, 0.0)
    columns = made_series.columns_of(len(low), rsi=sign * column, atr=np.ones(len(low)))
    return divergences(series, columns, GOLDEN)


def events_of(series: CandleSeries, settings: DivergenceSettings = DEFAULT) -> list[Divergence]:
    return divergences(series, feature_columns(series, bandwidth_lookback=100), settings)


def place(event: Divergence) -> tuple[int, Direction, str, DivergenceKind, int, int, int, int]:
    return (
        event.known_at, event.direction, event.oscillator, event.kind, event.p1, event.p2, event.q1, event.q2
    )  # fmt: skip


def values(events: list[Divergence]) -> Floats:
    """Prices and oscillator values of events, shape (m, 4)."""
    return np.array([(each.price1, each.price2, each.osc1, each.osc2) for each in events]).reshape(-1, 4)


def test_the_golden_example_has_exactly_one_event() -> None:
    assert golden() == [
        Divergence(
            oscillator="rsi",
            kind=DivergenceKind.REGULAR,
            direction=Direction.LONG,
            p1=2,
            p2=8,
            q1=2,
            q2=8,
            price1=10.0,
            price2=9.0,
            osc1=30.0,
            osc2=38.0,
            known_at=9,
        )
    ]


def test_the_negated_golden_example_is_the_bearish_event_at_the_same_places() -> None:
    [bull], [bear] = golden(), golden(-1)

    assert bear == replace(bull, direction=Direction.SHORT, price1=-10.0, price2=-9.0, osc1=-30.0, osc2=-38.0)


def test_touching_the_sight_line_is_allowed_and_crossing_it_is_not() -> None:
    assert len(golden(at5=34)) == 1
    assert golden(at5=33) == []


def test_a_difference_equal_to_the_margin_is_not_enough() -> None:
    assert golden(at8=33) == []
    assert len(golden(at8=33.001)) == 1


def test_a_nan_between_the_anchors_blocks_the_line() -> None:
    assert golden(at5=np.nan) == []


def test_the_swing_between_the_pivots_may_equal_its_minimum() -> None:
    low = np.array(GOLDEN_LOWS)
    columns = made_series.columns_of(len(low), rsi=np.array(GOLDEN_OSCILLATOR), atr=np.ones(len(low)))
    series = made_series.series_of(low + 1, low, low + 0.5)

    counts = [
        len(divergences(series, columns, GOLDEN.model_copy(update={"min_swing_atr": least}))) for least in (4.0, 4.001)
    ]

    assert counts == [1, 0]  # 14 - 10 = 4 ATR


def test_no_event_spans_two_segments() -> None:
    low = np.array(GOLDEN_LOWS)
    columns = made_series.columns_of(len(low), rsi=np.array(GOLDEN_OSCILLATOR), atr=np.ones(len(low)))

    for cut in range(1, 12):
        segment = (np.arange(12) >= cut).astype(np.int64)
        series = made_series.series_of(low + 1, low, low + 0.5, segment=segment)
        assert len(divergences(series, columns, GOLDEN)) == (1 if cut > 9 else 0), f"hole before candle {cut}"


@pytest.mark.parametrize(
    "changed", [{"osc_win": 2}, {"confirm": 6}, {"min_sep": 61}], ids=["osc_win", "confirm", "min_sep"]
)
def test_settings_that_contradict_each_other_are_refused(changed: dict[str, int]) -> None:
    settings = DEFAULT.model_copy(update=changed)

    with pytest.raises(ConfigError, match=r"divergence: .*" + next(iter(changed))):
        divergences(SHAPES["walk"], made_series.columns_of(2_500), settings)
    with pytest.raises(ConfigError):
        DivergenceStream(settings)


def assert_same_as_naive(series: CandleSeries, settings: DivergenceSettings) -> None:
    """Both implementations from raw candles: columns, events and setups."""
    columns, by_hand = feature_columns(series, bandwidth_lookback=100), naive.columns(series)
    events = divergences(series, columns, settings)
    expected = naive.divergences(series, by_hand, settings)

    assert [place(each) for each in events] == [place(each) for each in expected]
    np.testing.assert_allclose(values(events), values(expected), rtol=1e-9, atol=2e-6)  # a step of the rounding
    found = [
        (each.known_at, each.direction, each.kind, each.p1, each.p2, each.families)
        for each in setups(events, columns.atr, settings)
    ]
    others = naive.setups(expected, by_hand["atr"], settings)
    assert found == [each[:-1] for each in others]
    scores = [each.score for each in setups(events, columns.atr, settings)]
    assert scores == pytest.approx([each[-1] for each in others], abs=1e-6)


@pytest.mark.parametrize("settings", [DEFAULT, EAGER, WIDE], ids=["default", "eager", "wide"])
@pytest.mark.parametrize("shape", SHAPES)
def test_events_and_setups_are_those_of_the_naive_implementation(shape: str, settings: DivergenceSettings) -> None:
    assert events_of(SHAPES[shape], settings)
    assert_same_as_naive(SHAPES[shape], settings)


@pytest.mark.skipif(not made_series.RECORDED.is_dir(), reason="no recorded candles beside the project")
@pytest.mark.parametrize(
    "name", ["gold_XAUUSD_1h_2014_2018", "crypto_BTCUSD_4h_2016_2021", "crypto_XRPETH_1m", "idx_SPX_1m_201911"]
)
def test_recorded_candles_give_the_events_of_the_naive_implementation(name: str) -> None:
    assert_same_as_naive(made_series.recorded(name, 3_000), DEFAULT)


made = st.builds(
    made_series.walk,
    st.integers(0, 10_000),
    st.integers(40, 400),
    grid=st.sampled_from([2.0**-10, 0.25, 0.5]),
    pull=st.sampled_from([0.0, 0.05]),
    flat_share=st.sampled_from([0.0, 0.3]),
    idle_share=st.sampled_from([0.0, 0.5, 1.0]),
    holes=st.integers(0, 4),
)
any_settings = st.sampled_from([DEFAULT, EAGER, WIDE])


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made, settings=any_settings, share=st.floats(0, 1))
def test_candles_to_come_change_nothing_that_was_known(
    series: CandleSeries, settings: DivergenceSettings, share: float
) -> None:
    k = int(share * (len(series) - 1))

    then = events_of(series.slice(0, k + 1), settings)

    assert then == [each for each in events_of(series, settings) if each.known_at <= k]


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made, settings=any_settings)
def test_candle_by_candle_gives_the_same_events_in_the_same_order(
    series: CandleSeries, settings: DivergenceSettings
) -> None:
    columns = feature_columns(series, bandwidth_lookback=100)
    stream = DivergenceStream(settings)

    streamed = [each for k in range(len(series)) for each in stream.at(series, columns, k)]

    assert streamed == divergences(series, columns, settings)


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made, settings=any_settings, share=st.floats(0, 1))
def test_a_stream_resumes_from_any_candle(series: CandleSeries, settings: DivergenceSettings, share: float) -> None:
    columns, k = feature_columns(series, bandwidth_lookback=100), int(share * len(series))
    stream = DivergenceStream(settings)
    stream.resume(series.slice(0, k))

    streamed = [each for later in range(k, len(series)) for each in stream.at(series, columns, later)]

    assert streamed == [each for each in divergences(series, columns, settings) if each.known_at >= k]


@hypothesis_settings(max_examples=40, deadline=None)
@given(series=made, settings=any_settings, exponent=st.integers(-30, 30))
def test_a_power_of_two_on_all_prices_changes_no_event(
    series: CandleSeries, settings: DivergenceSettings, exponent: int
) -> None:
    factor = 2.0**exponent
    events, larger = events_of(series, settings), events_of(made_series.scaled(series, factor), settings)

    assert larger == [
        replace(
            each,
            price1=each.price1 * factor,
            price2=each.price2 * factor,
            osc1=each.osc1 * (factor if each.oscillator == "macd_hist" else 1.0),
            osc2=each.osc2 * (factor if each.oscillator == "macd_hist" else 1.0),
        )
        for each in events
    ]


@hypothesis_settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), pull=st.sampled_from([0.0, 0.05]), settings=any_settings)
def test_the_mirrored_market_has_the_mirrored_events(seed: int, pull: float, settings: DivergenceSettings) -> None:
    series = made_series.walk(seed, 400, pull=pull)

    def places(market: CandleSeries, *, swapped: bool) -> list[tuple[object, ...]]:
        found = [
            (
                each.known_at, each.direction.opposite if swapped else each.direction, each.oscillator, each.kind,
                each.p1, each.p2, each.q1, each.q2,
            )
            for each in events_of(market, settings)
            if each.oscillator != "mfi"  # its weights are prices
        ]  # fmt: skip
        return sorted(found)

    assert places(made_series.mirrored(series, 256.0), swapped=True) == places(series, swapped=False)


@pytest.mark.parametrize("missing", OSCILLATORS)
def test_an_undefined_oscillator_has_no_events_and_disturbs_no_other(missing: str) -> None:
    series = SHAPES["walk"]
    columns = feature_columns(series, bandwidth_lookback=100)
    given_columns: dict[str, Floats] = {name: getattr(columns, name) for name in FeatureColumns.__slots__}
    given_columns[missing] = np.full(len(series), np.nan)

    without = divergences(series, FeatureColumns(**given_columns), DEFAULT)

    assert without == [each for each in divergences(series, columns, DEFAULT) if each.oscillator != missing]


def test_without_atr_there_is_nothing() -> None:
    series = SHAPES["walk"]
    columns = replace(feature_columns(series, bandwidth_lookback=100), atr=np.full(len(series), np.nan))

    assert divergences(series, columns, DEFAULT) == []


def test_events_are_sorted_bear_before_bull_then_by_oscillator_and_kind() -> None:
    events = events_of(SHAPES["range"], EAGER)
    order = [(e.known_at, e.direction is Direction.LONG, e.oscillator, e.kind.value) for e in events]

    assert order == sorted(order)
    assert len(set(order)) == len(order)
    assert {each.direction for each in events} == set(Direction)
    assert {each.oscillator for each in events} == set(FAMILIES)


def event(oscillator: str, kind: DivergenceKind, *, p1: int, osc2: float) -> Divergence:
    """A bullish event from 0 to `osc2` and from price 10 to 9, known at 30, second pivot at 28."""
    price1 = 10.0 if kind is DivergenceKind.REGULAR else 8.0
    return Divergence(
        oscillator=oscillator, kind=kind, direction=Direction.LONG, p1=p1, p2=28, q1=p1, q2=28,
        price1=price1, price2=9.0, osc1=0.0, osc2=osc2, known_at=30,
    )  # fmt: skip


def test_a_setup_is_the_majority_kind_from_its_most_frequent_first_pivot() -> None:
    regular, hidden = DivergenceKind.REGULAR, DivergenceKind.HIDDEN
    events = [
        event("cci", regular, p1=10, osc2=30.0),  # half of 4 x 15
        event("macd_hist", regular, p1=20, osc2=0.1),  # a quarter of 4 x 0.05 ATR
        event("mfi", hidden, p1=5, osc2=-50.0),
        event("rsi", regular, p1=10, osc2=12.0),  # all of 4 x 3
    ]

    [setup] = setups(events, np.full(40, 2.0), DEFAULT)

    assert (setup.known_at, setup.direction, setup.kind, setup.p1, setup.p2) == (30, Direction.LONG, regular, 10, 28)
    assert setup.oscillators == ("cci", "macd_hist", "rsi")
    assert setup.families == ("momentum", "trend")
    # 2 of 4 families, median of 0.5, 0.25 and 1, price difference of half an ATR
    assert setup.score == pytest.approx(0.5 * 2 / 4 + 0.3 * 0.5 + 0.2 * 0.5)


def test_equally_many_kinds_make_a_regular_setup_and_equally_frequent_pivots_the_later_one() -> None:
    regular, hidden = DivergenceKind.REGULAR, DivergenceKind.HIDDEN
    tied_kinds = [
        event("cci", hidden, p1=3, osc2=-30.0),
        event("mfi", regular, p1=10, osc2=30.0),
        event("rsi", hidden, p1=3, osc2=-30.0),
        event("willr", regular, p1=20, osc2=5.0),
    ]

    [setup] = setups(tied_kinds, np.full(40, 2.0), DEFAULT)

    assert (setup.kind, setup.p1, setup.families) == (regular, 20, ("range", "volume"))
    assert setup.score == pytest.approx(0.5 * 2 / 4 + 0.3 * (1 + 0.25) / 2 + 0.2 * 0.5)  # median of an even number
