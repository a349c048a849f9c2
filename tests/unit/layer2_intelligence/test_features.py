"""Features: live candle by candle, and of a whole series, must be the same."""

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.config import DivergenceSettings
from bot.errors import ConfigError, DataError, NotEnoughCandles
from bot.layer2_intelligence.features import BatchFeatures, LiveFeatures
from bot.models import CandleSeries, FeatureColumns, FeatureSet, Floats
from tests.unit.layer2_intelligence import made_series

DEFAULT = DivergenceSettings()
EAGER = DivergenceSettings(left=1, right=2, confirm=2, min_sep=2, osc_turn=False, min_price_atr=0, min_swing_atr=0.2)
NAMES = tuple(each.name for each in fields(FeatureColumns))


def assert_same(live: FeatureSet, batch: FeatureSet) -> None:
    """The same candle, setups and values up to it; values agree to the last bit, which is more than is promised."""
    assert (live.k, live.setups, live.closed_at) == (batch.k, batch.setups, batch.closed_at)
    for name in NAMES:
        ours, theirs = (getattr(each.columns, name)[: each.k + 1] for each in (live, batch))
        np.testing.assert_array_equal(ours, theirs, err_msg=f"{name} at {live.k}")


made = st.builds(
    made_series.walk,
    st.integers(0, 10_000),
    st.integers(1, 350),
    grid=st.sampled_from([2.0**-10, 0.25, 0.5]),
    pull=st.sampled_from([0.0, 0.05]),
    flat_share=st.sampled_from([0.0, 0.3, 0.95]),
    idle_share=st.sampled_from([0.0, 0.5, 1.0]),
    holes=st.integers(0, 4),
)


@settings(max_examples=30, deadline=None)
@given(
    series=made,
    divergence=st.sampled_from([DEFAULT, EAGER]),
    lookback=st.sampled_from([20, 35, 100]),
    cuts=st.lists(st.integers(1, 350), max_size=30),
    single_from=st.integers(0, 350),
)
def test_live_features_are_those_of_the_whole_series_at_whatever_cuts_candles_arrive(
    series: CandleSeries, divergence: DivergenceSettings, lookback: int, cuts: list[int], single_from: int
) -> None:
    batch, live = BatchFeatures(series, divergence, lookback), LiveFeatures(divergence, lookback)
    counts = sorted({*cuts, *range(max(1, single_from), len(series) + 1), len(series)})

    for count in counts:
        if count <= len(series):
            assert_same(live.advance(series.slice(0, count)), batch.at(count - 1))

    for k in range(len(series)):
        assert live.at(k).setups == batch.at(k).setups


def test_live_features_of_a_long_series_from_its_first_candle_on() -> None:
    series = made_series.walk(41, 1_500, idle_share=0.1, holes=3)
    batch, live = BatchFeatures(series, DEFAULT, 100), LiveFeatures(DEFAULT, 100)

    answers = [live.advance(series.slice(0, count)) for count in range(1, len(series) + 1)]

    assert_same(answers[-1], batch.at(len(series) - 1))
    assert [each.setups for each in answers] == [batch.at(k).setups for k in range(len(series))]
    assert sum(len(each.setups) for each in answers) > 50


def test_many_candles_at_once_are_caught_up_like_single_ones() -> None:
    series = made_series.walk(42, 2_000)
    batch, live = BatchFeatures(series, DEFAULT, 100), LiveFeatures(DEFAULT, 100)

    for count in (300, 301, 1_900, 1_901, 2_000):
        assert_same(live.advance(series.slice(0, count)), batch.at(count - 1))

    assert [live.at(k).setups for k in range(2_000)] == [batch.at(k).setups for k in range(2_000)]


def test_earlier_answers_stay_as_they_were_while_the_series_grows() -> None:
    series = made_series.walk(43, 900)
    live = LiveFeatures(DEFAULT, 100)
    early = live.advance(series.slice(0, 200))
    before = {name: getattr(early.columns, name).copy() for name in NAMES}

    for count in range(201, 901):
        live.advance(series.slice(0, count))

    for name in NAMES:
        np.testing.assert_array_equal(getattr(early.columns, name), before[name], err_msg=name)
    assert len(early.columns.rsi) == 200


@pytest.mark.parametrize("ripple", [0.0, 1e-13], ids=["constant", "rounding noise"])
def test_a_market_that_stands_still_is_the_same_live(ripple: float) -> None:
    prices: Floats = np.where(np.arange(200) % 2, 0.7 * (1 + ripple), 0.7).astype(np.float64)
    series = made_series.series_of(prices, prices.copy(), prices.copy())
    batch, live = BatchFeatures(series, DEFAULT, 100), LiveFeatures(DEFAULT, 100)

    for count in range(1, 201):
        assert_same(live.advance(series.slice(0, count)), batch.at(count - 1))

    assert (batch.columns.cci[19:] == 0).all()


def test_no_new_candle_gives_the_newest_answer_again() -> None:
    series = made_series.walk(44, 200)
    live = LiveFeatures(DEFAULT, 100)

    assert_same(live.advance(series), live.advance(series))


def test_live_features_refuse_a_series_that_shrank_and_one_without_candles() -> None:
    series = made_series.walk(45, 100)
    live = LiveFeatures(DEFAULT, 100)
    with pytest.raises(NotEnoughCandles, match="XAU_USD 1h: no candle yet"):
        live.advance(series.slice(0, 0))
    with pytest.raises(NotEnoughCandles, match="0 candles are known"):
        live.at(0)

    live.advance(series)

    with pytest.raises(DataError, match="99 candles, but 100 were known"):
        live.advance(series.slice(0, 99))
    with pytest.raises(NotEnoughCandles, match=r"candle 100 .* 100 candles are known"):
        live.at(100)


def test_setup_indices_name_exactly_the_candles_with_setups_in_order() -> None:
    batch = BatchFeatures(made_series.walk(46, 1_500), DEFAULT, 100)

    indices = batch.setup_indices.tolist()

    assert indices == sorted(set(indices))
    assert indices == [k for k in range(1_500) if batch.at(k).setups]
    assert all(setup.known_at == k for k in indices for setup in batch.at(k).setups)


def test_both_forms_refuse_settings_that_contradict_each_other() -> None:
    settings_without_order = DEFAULT.model_copy(update={"confirm": 1})

    with pytest.raises(ConfigError, match="osc_win 1 < confirm 1"):
        BatchFeatures(made_series.walk(47, 50), settings_without_order, 100)
    with pytest.raises(ConfigError, match="osc_win 1 < confirm 1"):
        LiveFeatures(settings_without_order, 100)
