"""Exam charts are what they were built to be, and their changes change nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from bot.config import DivergenceSettings, ValidationSettings
from bot.errors import DataError
from bot.instruments import default_registry
from bot.layer2_intelligence.analyst.evaluation.charts import ExamChart, Rung, mirrored, rescaled
from bot.layer2_intelligence.analyst.evaluation.paper import PaperMaker, PaperSize, until
from bot.layer2_intelligence.analyst.evaluation.planted import FOLLOWED, MadeMarket
from bot.layer2_intelligence.features import BatchFeatures
from bot.models import Direction, Timeframe
from tests.unit.layer2_intelligence.made_series import walk

SIZE = PaperSize(planted=4, absent=4, null=4, changed=4, repeated=2, again=2)


def market(symbol: str = "EUR_USD", level: float = 1.1) -> MadeMarket:
    return MadeMarket(
        instrument=default_registry().get(symbol),
        level=level,
        timeframe=Timeframe.H1,
        divergence=DivergenceSettings(),
        bandwidth_lookback=100,
    )


def maker(**settings: float) -> PaperMaker:
    divergence = DivergenceSettings().model_copy(update=settings)
    return PaperMaker(default_registry(), divergence, ValidationSettings(), size=SIZE, seed=1)


def directions(chart: ExamChart) -> list[Direction]:
    return [each.direction for each in market().features(chart).setups]


def test_planted_charts_hold_one_divergence_at_their_newest_candle_in_both_directions() -> None:
    charts = market().planted(6, seed=0)

    assert [directions(each) for each in charts] == [[each.planted] for each in charts]
    assert {each.planted for each in charts} == {Direction.LONG, Direction.SHORT}


def test_absent_charts_make_a_lower_low_or_higher_high_without_divergence() -> None:
    charts = market().absent(6, seed=0)

    assert [directions(each) for each in charts] == [[]] * 6
    for each in charts:
        last, before = each.shown.slice(each.k - 10, each.k + 1), each.shown.slice(each.k - 30, each.k - 10)
        assert last.low.min() < before.low.min() or last.high.max() > before.high.max()


def test_a_seed_is_always_the_same_chart() -> None:
    once, again = market().planted(2, seed=5), market().planted(2, seed=5)

    assert [each.series.close.tolist() for each in once] == [each.series.close.tolist() for each in again]


@pytest.mark.parametrize(("symbol", "level"), [("EUR_USD", 1.1), ("BTC/USDT", 40_000.0)])
def test_made_candles_are_sound_and_lie_on_the_tick_grid(symbol: str, level: float) -> None:
    for chart in (*market(symbol, level).null(3, seed=0), *market(symbol, level).planted(2, seed=0)):
        series, tick = chart.series, float(chart.instrument.tick)

        assert (series.high >= np.maximum(series.open, series.close)).all()
        assert (series.low <= np.minimum(series.open, series.close)).all()
        assert (series.low > 0).all()
        assert np.allclose(series.close / tick, np.round(series.close / tick), atol=1e-6)


def test_an_analyst_is_shown_no_candle_of_what_follows() -> None:
    chart = market().planted(1, seed=0)[0]

    assert len(chart.shown) == len(chart.series) - FOLLOWED
    assert chart.shown.closed_at(len(chart.shown) - 1) == chart.series.closed_at(chart.k)


def test_mirrored_twice_is_the_same_chart_but_for_its_name() -> None:
    chart = market().planted(1, seed=0)[0]

    twice = mirrored(mirrored(chart))

    assert twice.planted is chart.planted
    for name in ("open", "high", "low", "close"):
        assert np.allclose(getattr(twice.series, name), getattr(chart.series, name), atol=1e-9)


def test_mirrored_chart_flips_what_the_detector_sees() -> None:
    for chart in market().planted(4, seed=3):
        assert directions(mirrored(chart)) == [each.opposite for each in directions(chart)]


def test_rescaled_chart_scales_prices_tick_and_spread_together() -> None:
    chart = market().planted(1, seed=0)[0]

    larger = rescaled(chart, 4)

    assert (larger.series.close == chart.series.close * 4).all()
    assert larger.instrument.tick == chart.instrument.tick * 4
    assert larger.instrument.typical_spread.price == chart.instrument.typical_spread.price * 4
    assert directions(larger) == directions(chart)


def test_every_changed_chart_of_a_paper_follows_the_one_it_was_made_from() -> None:
    seen: set[str] = set()

    for each in maker().made():
        assert not each.chart.twin or each.chart.twin in seen
        seen.add(each.chart.name)


def test_a_paper_asks_each_kind_as_often_as_it_says_and_no_name_twice() -> None:
    items = maker().made()

    counts = {rung: sum(each.chart.rung is rung for each in items) for rung in Rung}
    assert counts == {
        Rung.PLANTED: 4,
        Rung.ABSENT: 4,
        Rung.NULL: 4,
        Rung.MIRRORED: 4,
        Rung.RESCALED: 4,
        Rung.REPEATED: 4,
        Rung.RECORDED: 0,
    }
    assert len({each.chart.name for each in items}) == len(items)


def test_a_paper_that_cannot_be_made_says_so() -> None:
    with pytest.raises(DataError, match="only 0 of 2 planted charts of EUR_USD could be made"):
        maker(
            min_osc_rsi=1e9,
            min_osc_cci=1e9,
            min_osc_stoch_k=1e9,
            min_osc_willr=1e9,
            min_osc_mfi=1e9,
            min_osc_macd_hist=1e9,
        ).made()


def test_questions_on_real_candles_are_half_candidates_and_hold_no_later_candle() -> None:
    series = replace(walk(11, 1_200), symbol=default_registry().get("XAU_USD").symbol)

    items = maker().recorded(series, default_registry().get("XAU_USD"), 20)

    assert len(items) == 20
    assert sum(bool(each.question.features.setups) for each in items) == 10
    assert all(len(each.question.features.series) == each.chart.k + 1 for each in items)
    assert all(len(each.question.features.columns.rsi) == each.chart.k + 1 for each in items)


def test_features_cut_at_their_candle_are_the_same_features() -> None:
    whole = BatchFeatures(walk(2, 400), DivergenceSettings(), 100)

    cut = until(whole.at(350))

    assert cut.setups == whole.at(350).setups
    assert cut.columns.rsi.tolist()[-1] == whole.columns.rsi.tolist()[350]
    assert cut.closed_at == whole.at(350).closed_at
