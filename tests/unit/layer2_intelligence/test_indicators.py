"""Indicators against hand-made numbers, a second implementation and TA-Lib's own functions."""

from collections.abc import Callable

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer2_intelligence.indicators import columns as indicators
from bot.layer2_intelligence.indicators.columns import crosses, feature_columns
from bot.layer2_intelligence.indicators.talib_bridge import average_true_range, exponential_mean
from bot.layer2_intelligence.indicators.windows import mean_and_deviation, simple_mean, window_median
from bot.models import CandleSeries, FeatureColumns, Floats
from tests.unit.layer2_intelligence import made_series
from tests.unit.layer2_intelligence import naive_divergence as naive

COLUMNS = FeatureColumns.__slots__


def floats(*values: float) -> Floats:
    return np.array(values, dtype=np.float64)


def constant(count: int) -> CandleSeries:
    prices = np.full(count, 100.1)
    return made_series.series_of(prices, prices.copy(), prices.copy(), volume=np.full(count, 7.0))


def test_ema_starts_with_the_plain_mean_of_the_first_values_that_are_defined() -> None:
    assert exponential_mean(floats(1, 2, 3, 4, 5), period=3)[2:] == pytest.approx([2, 3, 4])
    with_gap = exponential_mean(floats(np.nan, 1, 2, 3, 4, 5), period=3)
    assert np.isnan(with_gap[:3]).all()
    assert with_gap[3:] == pytest.approx([2, 3, 4])


def test_rsi_of_the_golden_example() -> None:
    column = indicators.rsi(floats(10, 11, 10, 12, 12, 9), period=3)

    assert np.isnan(column[:3]).all()
    assert column[3:] == pytest.approx([75, 75, 1200 / 43])


def test_mfi_of_the_golden_example_drops_the_tie() -> None:
    typical = floats(10, 11, 11, 9)

    column = indicators.mfi(typical, typical, typical, floats(1, 2, 3, 4), period=3)

    assert np.isnan(column[:3]).all()
    assert column[3] == pytest.approx(37.931034, abs=1e-6)


def test_cci_of_the_golden_example() -> None:
    typical = floats(1, 2, 3, 4, 5)
    assert indicators.cci(typical, typical, typical, period=5)[4] == pytest.approx(111.111111, abs=1e-6)


def test_bandwidth_of_the_golden_example() -> None:
    assert indicators.bandwidth(floats(1, 2, 3, 4, 5), period=5)[4] == pytest.approx(1.885618, abs=1e-6)


def test_adx_of_the_golden_example_is_first_known_at_index_five() -> None:
    high = floats(2, 3, 4, 5, 6, 7, 8)

    column = indicators.adx(high, high - 1, period=3)

    assert np.isnan(column[:5]).all()
    assert column[5:] == pytest.approx([100, 100])


def test_adx_is_not_moved_by_candles_without_dx() -> None:
    high = np.concatenate((np.full(40, 10.0), 10.0 + np.arange(1, 6)))
    column = indicators.adx(high, high - 1)

    assert column[39] == 0.0
    assert column[40] == pytest.approx(100 / 14)  # the first DX there is


def test_z_scores_of_the_golden_example_follow_from_mean_and_deviation() -> None:
    mean, deviation = mean_and_deviation(floats(1, 2, 3, 4, 10), period=5)
    assert (10 - mean[4]) / deviation[4] == pytest.approx(1.897367, abs=1e-6)

    falls_at_last = np.concatenate((np.full(19, 100.0), [98.0]))
    mean, deviation = mean_and_deviation(falls_at_last, period=20)
    assert (98 - mean[19]) / deviation[19] == pytest.approx(-4.358899, abs=1e-6)


def test_crosses_of_the_golden_example_skip_ties() -> None:
    assert crosses(floats(1, 2, 2, 3, 1), np.full(5, 2.0)) == [(3, 1), (4, -1)]
    assert crosses(floats(np.nan, 3, np.nan, 1), np.full(4, 2.0)) == [(3, -1)]
    assert crosses(floats(), floats()) == []


def test_a_constant_market_has_the_neutral_value_of_every_indicator() -> None:
    columns = feature_columns(constant(300), bandwidth_lookback=100)

    neutral = {name: float(getattr(columns, name)[-1]) for name in COLUMNS}

    assert np.isnan(neutral.pop("mfi"))  # no money flowed
    assert neutral.pop("macd_hist") == pytest.approx(0, abs=1e-12)
    assert neutral == {
        "rsi": 50.0,
        "stoch_k": 50.0,
        "willr": -50.0,
        "cci": 0.0,
        "atr": 0.0,
        "adx": 0.0,
        "bandwidth": 0.0,
        "bandwidth_median": 0.0,
        "volume_mean": 7.0,
    }


def test_columns_begin_where_the_specification_says() -> None:
    columns = feature_columns(made_series.walk(1, 200), bandwidth_lookback=100)

    first = {name: int(np.flatnonzero(~np.isnan(getattr(columns, name)))[0]) for name in COLUMNS}

    assert first == {
        "rsi": 14,
        "macd_hist": 33,
        "stoch_k": 15,
        "willr": 13,
        "cci": 19,
        "mfi": 14,
        "atr": 14,
        "adx": 27,
        "bandwidth": 19,
        "bandwidth_median": 118,
        "volume_mean": 19,
    }


@pytest.mark.parametrize("count", [0, 1, 2, 13, 14, 15, 19, 20, 27, 28, 34, 119])
def test_a_short_series_gives_columns_of_its_length_and_the_same_values(count: int) -> None:
    series = made_series.walk(2, 130)

    short, whole = (feature_columns(each, bandwidth_lookback=100) for each in (series.slice(0, count), series))

    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(short, name), getattr(whole, name)[:count], err_msg=name)


@pytest.mark.parametrize("lookback", [20, 21, 100])
@pytest.mark.parametrize(
    "series",
    [
        made_series.walk(11, 900),
        made_series.walk(12, 900, grid=0.5),
        made_series.walk(13, 900, grid=0.25, flat_share=0.6, idle_share=0.4),
        made_series.scaled(made_series.walk(14, 900), 1e-9),
    ],
    ids=["walk", "ties", "flats", "tiny prices"],
)
def test_columns_agree_with_the_naive_implementation(series: CandleSeries, lookback: int) -> None:
    columns = feature_columns(series, bandwidth_lookback=lookback)

    for name, expected in naive.columns(series, lookback).items():
        size = np.nanmax(np.abs(expected))
        np.testing.assert_allclose(getattr(columns, name), expected, rtol=1e-9, atol=1e-10 * size, err_msg=name)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("rsi", lambda s: talib.RSI(s.close, 14)),
        ("adx", lambda s: talib.ADX(s.high, s.low, s.close, 14)),
        ("cci", lambda s: talib.CCI(s.high, s.low, s.close, 20)),
        ("mfi", lambda s: talib.MFI(s.high, s.low, s.close, s.volume, 14)),
        ("willr", lambda s: talib.WILLR(s.high, s.low, s.close, 14)),
        ("stoch_k", lambda s: talib.STOCHF(s.high, s.low, s.close, 14, 3)[1]),
        ("atr", lambda s: talib.ATR(s.high, s.low, s.close, 14)),
    ],
)
def test_columns_agree_with_talib_after_250_candles(name: str, theirs: Callable[[CandleSeries], Floats]) -> None:
    series = made_series.walk(21, 2_000)
    column: Floats = getattr(feature_columns(series, bandwidth_lookback=100), name)

    np.testing.assert_allclose(column[250:], theirs(series)[250:], rtol=1e-9, atol=1e-9)


def test_macd_agrees_with_talib_once_the_different_seeds_are_forgotten() -> None:
    series = made_series.walk(22, 2_000)
    np.testing.assert_allclose(
        indicators.macd_histogram(series.close)[400:], talib.MACD(series.close)[2][400:], rtol=1e-9, atol=1e-9
    )


def test_small_flows_and_rounding_ties_do_not_disturb_mfi() -> None:
    # TA-Lib answers 0 for flows below 1 in sum, and sees a rise where decimals tie but their floats do not.
    high, low, close = floats(0.3, 0.4, 0.2), floats(0.3, 0.2, 0.1), floats(0.3, 0.3, 0.2)
    assert (0.4 + 0.2 + 0.3) / 3 > (0.3 + 0.3 + 0.3) / 3

    column = indicators.mfi(high, low, close, np.full(3, 1e-6), period=2)
    mirrored = indicators.mfi(1 - low, 1 - high, 1 - close, np.full(3, 1e-6), period=2)

    assert (column[2], mirrored[2]) == (0.0, 100.0)


def test_a_market_without_volume_has_no_mfi_and_everything_else_is_unaffected() -> None:
    series = made_series.walk(23, 300)
    silent = made_series.walk(23, 300, idle_share=1.0)

    with_volume, without = (feature_columns(each, bandwidth_lookback=100) for each in (series, silent))

    assert np.isnan(without.mfi).all()
    assert (without.volume_mean[19:] == 0).all()
    for name in set(COLUMNS) - {"mfi", "volume_mean"}:
        np.testing.assert_array_equal(getattr(without, name), getattr(with_volume, name), err_msg=name)


def test_equal_closes_have_no_deviation_at_all_however_they_round() -> None:
    column = indicators.bandwidth(np.concatenate((floats(1.0, 2.0), np.full(40, 0.1))))

    assert (column[-20:] == 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), exponent=st.integers(-40, 40), grid=st.sampled_from([2.0**-10, 0.25]))
def test_a_power_of_two_on_all_prices_changes_no_bit_but_the_scale(seed: int, exponent: int, grid: float) -> None:
    series, factor = made_series.walk(seed, 150, grid=grid), 2.0**exponent

    ours, larger = (
        feature_columns(each, bandwidth_lookback=50) for each in (series, made_series.scaled(series, factor))
    )

    for name in COLUMNS:
        expected = getattr(ours, name) * (factor if name in {"macd_hist", "atr"} else 1.0)
        np.testing.assert_array_equal(getattr(larger, name), expected, err_msg=name)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 5.5, np.nan]), max_size=40), st.integers(1, 8))
def test_a_window_median_is_the_median_of_the_window(values: list[float], period: int) -> None:
    column = window_median(np.array(values), period=period)

    for index, value in enumerate(column.tolist()):
        window = values[index + 1 - period : index + 1] if index + 1 >= period else [np.nan]
        np.testing.assert_equal(value, np.median(window))


def test_a_nan_spoils_only_the_windows_that_hold_it() -> None:
    column = simple_mean(floats(1, 2, np.nan, 4, 5, 6), period=2)

    np.testing.assert_array_equal(column, [np.nan, 1.5, np.nan, np.nan, 4.5, 5.5])


def test_average_true_range_starts_after_its_period() -> None:
    high = floats(2, 3, 5)
    np.testing.assert_array_equal(average_true_range(high, high - 1, high - 1, period=2), [np.nan, np.nan, 2.5])
