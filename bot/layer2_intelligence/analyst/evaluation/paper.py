"""The exam paper: which questions are asked, in an order in which a run that is cut short has asked some of each."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import zip_longest
from typing import Final

import numpy as np

from bot.config import DivergenceSettings, ValidationSettings
from bot.errors import DataError
from bot.instruments import Instrument, InstrumentRegistry
from bot.layer2_intelligence.analyst.evaluation.charts import ExamChart, Rung, mirrored, repeated, rescaled
from bot.layer2_intelligence.analyst.evaluation.marks import Question
from bot.layer2_intelligence.analyst.evaluation.planted import MadeMarket
from bot.layer2_intelligence.features import BatchFeatures
from bot.models import CandleSeries, FeatureColumns, FeatureSet, Timeframe

LEAST_HISTORY: Final = 250  # rule E11 refuses every signal on an earlier candle
_MARKETS: Final = (("EUR_USD", 1.1), ("BTC/USDT", 40_000.0))
_FACTOR: Final = 4
_SEEDS_APART: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperSize:
    """How many questions of each kind. `again` is how often the first `repeated` planted and absent charts return."""

    planted: int = 40
    absent: int = 40
    null: int = 100
    changed: int = 40
    repeated: int = 20
    again: int = 2
    recorded: int = 200

    def __post_init__(self) -> None:
        """Raises DataError for a negative number."""
        for each in fields(self):
            if getattr(self, each.name) < 0:
                raise DataError(f"exam: {each.name} {getattr(self, each.name)} must be 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExamItem:
    """A chart, and what is asked about it."""

    chart: ExamChart
    question: Question


class PaperMaker:
    """Makes the questions under one set of detector settings. The seed is the paper: the same one, always."""

    def __init__(
        self,
        registry: InstrumentRegistry,
        divergence: DivergenceSettings,
        validation: ValidationSettings,
        *,
        size: PaperSize,
        seed: int,
    ) -> None:
        self._registry = registry
        self._divergence = divergence
        self._lookback = validation.bandwidth_lookback
        self._size = size
        self._seed = seed

    def made(self) -> list[ExamItem]:
        """Questions on made charts."""
        size = self._size
        planted, absent = self._of_markets(Rung.PLANTED, size.planted), self._of_markets(Rung.ABSENT, size.absent)
        both = [each for pair in zip_longest(planted, absent) for each in pair if each is not None]
        rungs: list[Sequence[ExamChart]] = [
            planted,
            absent,
            self._of_markets(Rung.NULL, size.null),
            [mirrored(each) for each in both[: size.changed]],
            [rescaled(each, _FACTOR) for each in both[: size.changed]],
            [repeated(each, number) for each in both[: size.repeated] for number in range(2, 2 + size.again)],
        ]
        rounds = zip_longest(*rungs)
        return [self._item(each) for one_round in rounds for each in one_round if each is not None]

    def recorded(self, series: CandleSeries, instrument: Instrument, most: int) -> list[ExamItem]:
        """Questions on real candles: half of them where the detector has a candidate, as far as there are so many.

        The last questions leave room behind them only by chance; what cannot be followed to its end is not counted.
        """
        whole = BatchFeatures(series, self._divergence, self._lookback)
        dice = np.random.default_rng([self._seed, len(series)])
        candidates = whole.setup_indices[whole.setup_indices >= LEAST_HISTORY]
        others = np.setdiff1d(np.arange(LEAST_HISTORY, len(series)), candidates)
        asked = [
            *dice.permutation(candidates)[: most // 2].tolist(),
            *dice.permutation(others)[: most - most // 2].tolist(),
        ]
        return [recorded_item(whole, instrument, k) for k in sorted(asked)]

    def _of_markets(self, rung: Rung, wanted: int) -> list[ExamChart]:
        """Charts of all markets in turn."""
        charts = [list(self._of_market(rung, number, wanted)) for number in range(len(_MARKETS))]
        return [each for one_round in zip(*charts, strict=True) for each in one_round][:wanted]

    def _of_market(self, rung: Rung, number: int, wanted: int) -> Iterator[ExamChart]:
        name, level = _MARKETS[number]
        market = MadeMarket(
            instrument=self._registry.get(name),
            level=level,
            timeframe=Timeframe.H1,
            divergence=self._divergence,
            bandwidth_lookback=self._lookback,
        )
        share = -(-wanted // len(_MARKETS))
        makers = {Rung.PLANTED: market.planted, Rung.ABSENT: market.absent, Rung.NULL: market.null}
        charts = makers[rung](share, (self._seed * len(_MARKETS) + number) * _SEEDS_APART)
        if len(charts) < share:
            raise DataError(
                f"exam: only {len(charts)} of {share} {rung.value} charts of {name} could be made; the detector's "
                "settings find other things than those of the specification: use those"
            )
        yield from charts

    def _item(self, chart: ExamChart) -> ExamItem:
        features = BatchFeatures(chart.shown, self._divergence, self._lookback).at(chart.k)
        return ExamItem(chart=chart, question=Question(name=chart.name, features=features, instrument=chart.instrument))


def recorded_item(whole: BatchFeatures, instrument: Instrument, k: int) -> ExamItem:
    """The question on candle `k` of real candles."""
    series = whole.series
    name = f"{series.symbol} {series.timeframe.value} {series.closed_at(k):%Y-%m-%d %H:%M}"
    chart = ExamChart(name=name, rung=Rung.RECORDED, series=series, k=k, instrument=instrument)
    return ExamItem(chart=chart, question=Question(name=name, features=until(whole.at(k)), instrument=instrument))


def until(features: FeatureSet) -> FeatureSet:
    """The same without any candle beyond k: whoever would look ahead finds nothing."""
    stop = features.k + 1
    columns = FeatureColumns(
        **{each.name: getattr(features.columns, each.name)[:stop] for each in fields(FeatureColumns)}
    )
    return FeatureSet(features.series.slice(0, stop), columns, features.k, features.setups)
