"""Whether a strategy, its features or the rules look ahead: decisions must not change when the future is taken away.

Two tests. Every candle: what is decided from the whole file must be what is decided from columns that end there. At
random cuts: everything computed again from the candles before the cut must give the same decisions up to it. Half of
the cuts fall just behind a decision, because a leak that seldom acts would be missed anywhere else.
"""

import copy
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple

import numpy as np

from bot.config import Settings
from bot.instruments import Instrument
from bot.layer2_intelligence.features import BatchFeatures
from bot.layer2_intelligence.strategies.catalogue import Strategy
from bot.layer2_intelligence.validator import judge
from bot.models import CandleSeries, EntrySignal, FeatureColumns, FeatureSet, Finding, StrategyTask, Vetoed

_TOLD: Final = 200  # characters of a decision in a message
_COLUMN_NAMES: Final = tuple(each.name for each in fields(FeatureColumns))


class Decision(NamedTuple):
    """A signal and what the rules said about it."""

    signal: EntrySignal
    findings: tuple[Finding, ...]
    rejected_by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """The first difference a test found: at `candle`, with no candle from `cut` on."""

    test: str
    candle: int
    cut: int
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookaheadResult:
    """What was tested and found; no leak means proven for these candles."""

    candles: int
    decisions: int
    cuts: tuple[int, ...]
    leaks: tuple[Leak, ...]


class LookaheadChecker:
    """Tests one strategy object on one series. The strategy must answer the same whenever it is asked the same.

    At each cut a copy of it is asked that has not seen any candle yet, so that it cannot remember the future either.
    """

    def __init__(self, strategy: Strategy, series: CandleSeries, instrument: Instrument, settings: Settings) -> None:
        self._unused = copy.deepcopy(strategy)
        self._strategy = strategy
        self._series = series
        self._instrument = instrument
        self._settings = settings
        self._task = StrategyTask.of(strategy.name, instrument, series.timeframe)
        self._whole = self._features(series)

    def steps(self, cuts: int) -> int:
        """How many steps `run` reports in all."""
        return len(self._series) + cuts

    def run(self, *, cuts: int, seed: int, progress: Callable[[int], None]) -> LookaheadResult:
        """Both tests; `progress` is told how many steps are done. Stops each test at its first leak."""
        count = len(self._series)
        decided: list[str] = []
        leaks: list[Leak] = []
        for k in range(count):
            whole = self._decided(self._whole.at(k), self._strategy)
            decided.append(whole)
            if not leaks and (short := self._decided(_ending_at(self._whole.at(k)), self._strategy)) != whole:
                leaks.append(_leak("columns that end at the candle", k, k + 1, whole, short))
            if k % 1_000 == 0:
                progress(k)
        chosen = cut_points(decided, cuts, random.Random(seed))  # noqa: S311 a test, not a secret
        for number, cut in enumerate(chosen):
            leak = self._leak_at(cut, decided)
            if leak is not None:
                leaks.append(leak)
                break
            progress(count + number + 1)
        says = sum(bool(each) for each in decided)
        return LookaheadResult(candles=count, decisions=says, cuts=tuple(chosen), leaks=tuple(leaks))

    def _leak_at(self, cut: int, decided: Sequence[str]) -> Leak | None:
        """Compute everything again from the candles before `cut`."""
        prefix = self._features(self._series.slice(0, cut))
        for name in _COLUMN_NAMES:
            known, now = getattr(self._whole.columns, name)[:cut], getattr(prefix.columns, name)
            differs = np.flatnonzero(~((known == now) | (np.isnan(known) & np.isnan(now))))
            if len(differs):
                k = int(differs[0])
                return _leak(f"column {name}", k, cut, f"{known[k]!r}", f"{now[k]!r}")
        strategy = copy.deepcopy(self._unused)
        for k in range(cut):
            short = self._decided(prefix.at(k), strategy)
            if short != decided[k]:
                return _leak("everything computed again", k, cut, decided[k], short)
        return None

    def _features(self, series: CandleSeries) -> BatchFeatures:
        return BatchFeatures(series, self._settings.divergence, self._settings.validation.bandwidth_lookback)

    def _decided(self, features: FeatureSet, strategy: Strategy) -> str:
        """Signals and findings of one candle as text, so that NaN equals NaN; empty if there is no signal.

        A strategy that fails because the future is missing has tried to read it: its error is its answer.
        """
        try:
            signals = strategy.signals(self._task, features, self._instrument)
        except (IndexError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        return repr([self._judged(each, features) for each in signals]) if signals else ""

    def _judged(self, signal: EntrySignal, features: FeatureSet) -> Decision:
        settings = self._settings
        verdict = judge(signal, features, None, self._instrument, settings.validation, settings.divergence)
        return Decision(signal, verdict.findings, verdict.rejected_by if isinstance(verdict, Vetoed) else "")


def cut_points(decided: Sequence[str], cuts: int, generator: random.Random) -> list[int]:
    """Where to cut: `cuts` lengths of prefixes, ascending, half of them just behind a candle that decided something."""
    behind = [k + 1 for k, each in enumerate(decided) if each and k + 1 < len(decided)]
    chosen = set(generator.sample(behind, min(len(behind), cuts // 2)))
    others = [cut for cut in range(1, len(decided)) if cut not in chosen]
    chosen.update(generator.sample(others, min(len(others), cuts - len(chosen))))
    return sorted(chosen)


def _ending_at(features: FeatureSet) -> FeatureSet:
    """The same without anything behind candle k."""
    end = features.k + 1
    columns = FeatureColumns(*(getattr(features.columns, name)[:end] for name in _COLUMN_NAMES))
    return replace(features, series=features.series.slice(0, end), columns=columns)


def _leak(test: str, k: int, cut: int, whole: str, short: str) -> Leak:
    """Tells where the two texts part, with a little before it."""
    apart = next((at for at, (one, other) in enumerate(zip(whole, short, strict=False)) if one != other), 0)
    start = max(0, apart - _TOLD // 4)
    seen, left = (each[start : start + _TOLD] or "nothing" for each in (whole, short))
    return Leak(test=test, candle=k, cut=cut, says=f"with the future: {seen}; without: {left}")
