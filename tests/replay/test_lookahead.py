"""`botctl lookahead`: a strategy that knows the future is caught, whatever way it takes; an honest one is not."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cli import main
from bot.commands.lookahead import EXIT_LEAK, tell
from bot.config import DivergenceSettings, Settings
from bot.instruments import Instrument, Rounding, default_registry
from bot.layer1_data.feeds.recorded import load, recordings
from bot.layer2_intelligence.strategies.catalogue import Strategy
from bot.layer2_intelligence.strategies.divergence import DivergenceStrategy
from bot.models import CandleSeries, EntrySignal, FeatureSet, StrategyName, StrategyTask, Timeframe
from bot.replay.lookahead import LookaheadChecker, LookaheadResult, cut_points
from tests.builders import series, signal
from tests.replay.commands import EURO, as_file, settle_in

ROWS: Final = 900


@pytest.fixture(scope="module")
def euro() -> CandleSeries:
    return next(load(each) for each in recordings() if each.symbol == "EUR_USD" and each.timeframe is Timeframe.H1)


class Says:
    """A strategy that speaks where `condition` holds."""

    name: Final = StrategyName("says")

    def __init__(self, condition: Callable[[FeatureSet], bool]) -> None:
        self._condition = condition

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        """One signal, or none."""
        return [signal(task_id=task.id)] if self._condition(features) else []


class LeakyDivergence:
    """The real strategy, but a signal that the next candle goes against is kept back: a leak that seldom acts."""

    name: Final = StrategyName("divergence")

    def __init__(self) -> None:
        self._honest = DivergenceStrategy(DivergenceSettings())

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        """What the honest one says, filtered by what it cannot know."""
        found = self._honest.signals(task, features, instrument)
        k, close = features.k, features.series.close
        if k + 1 == len(close):
            return found
        ahead = float(close[k + 1] - close[k])
        return [each for each in found if each.direction is not None and each.direction.sign * ahead > 0]


class BetterTargets(LeakyDivergence):
    """It speaks when the honest one does; only its first target knows the highest price to come."""

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        """The honest signals with a target that will be reached."""
        ahead = instrument.round_price(features.series.candle(len(features.series) - 1).high, Rounding.NEAREST)
        found = self._honest.signals(task, features, instrument)
        return [replace(each, targets=(ahead, *each.targets[1:])) for each in found]


def checked(strategy: Strategy, candles: CandleSeries, *, cuts: int = 6, seed: int = 1) -> LookaheadResult:
    checker = LookaheadChecker(strategy, candles, default_registry().get("EUR_USD"), Settings())
    return checker.run(cuts=cuts, seed=seed, progress=lambda _: None)


def next_close_is_higher(features: FeatureSet) -> bool:
    return bool(features.series.close[features.k + 1] > features.series.close[features.k])


def above_the_mean_of_all(features: FeatureSet) -> bool:
    return bool(features.series.close[features.k] > features.series.close.mean())


def next_rsi_is_oversold(features: FeatureSet) -> bool:
    return bool(features.columns.rsi[features.k + 1 : features.k + 2].sum() < 25)


def last_candle_of_all(features: FeatureSet) -> bool:
    return features.k == len(features.series) - 1 and features.k > 100


def test_the_divergence_strategy_does_not_look_ahead_on_real_candles(euro: CandleSeries) -> None:
    result = checked(DivergenceStrategy(DivergenceSettings()), euro.slice(0, 1_500), cuts=20)
    assert result.leaks == ()
    assert result.decisions > 50
    assert len(result.cuts) == 20


@pytest.mark.parametrize(
    "condition", [next_close_is_higher, above_the_mean_of_all, next_rsi_is_oversold, last_candle_of_all]
)
def test_a_planted_leak_is_caught(condition: Callable[[FeatureSet], bool], euro: CandleSeries) -> None:
    result = checked(Says(condition), euro.slice(0, ROWS))
    assert result.leaks != ()


@pytest.mark.parametrize("strategy", [LeakyDivergence(), BetterTargets()])
@pytest.mark.parametrize("seed", range(5))
def test_a_leak_that_seldom_acts_is_caught_with_every_seed(strategy: Strategy, seed: int, euro: CandleSeries) -> None:
    assert checked(strategy, euro.slice(0, ROWS), seed=seed).leaks != ()


class Remembers:
    """It keeps the longest series it was ever shown, and looks the future up there."""

    name: Final = StrategyName("remembers")

    def __init__(self) -> None:
        self._longest: list[float] = []

    def signals(self, task: StrategyTask, features: FeatureSet, instrument: Instrument) -> Sequence[EntrySignal]:
        """A signal before each rise of a close that was seen once."""
        close = features.series.close.tolist()
        self._longest = max(self._longest, close, key=len)
        ahead = self._longest[features.k : features.k + 2]
        return [signal(task_id=task.id)] if ahead[-1] > ahead[0] else []


def test_a_strategy_that_remembers_the_future_is_caught_at_a_cut(euro: CandleSeries) -> None:
    result = checked(Remembers(), euro.slice(0, 300))
    assert [each.test for each in result.leaks] == ["everything computed again"]


def test_a_strategy_that_does_not_answer_the_same_twice_is_caught(euro: CandleSeries) -> None:
    asked: list[int] = []

    def every_third_time(features: FeatureSet) -> bool:
        asked.append(features.k)
        return len(asked) % 3 == 0

    assert checked(Says(every_third_time), euro.slice(0, 200)).leaks != ()


def test_an_honest_strategy_that_speaks_at_every_candle_is_not_blamed(euro: CandleSeries) -> None:
    def rising(features: FeatureSet) -> bool:
        k, close = features.k, features.series.close
        return bool(k and close[k] > close[k - 1])

    result = checked(Says(rising), euro.slice(0, 400))
    assert result.leaks == ()
    assert result.decisions > 100


def test_the_same_seed_cuts_at_the_same_places_and_another_one_elsewhere(euro: CandleSeries) -> None:
    strategy = DivergenceStrategy(DivergenceSettings())
    runs = [checked(strategy, euro.slice(0, ROWS), seed=seed).cuts for seed in (3, 3, 4)]
    assert runs[0] == runs[1] != runs[2]


@settings(deadline=None)
@given(decided=st.lists(st.sampled_from(["", "x"]), min_size=2, max_size=60), cuts=st.integers(1, 80))
def test_cuts_are_prefixes_and_half_of_them_fall_behind_decisions(decided: list[str], cuts: int) -> None:
    chosen = cut_points(decided, cuts, random.Random(5))
    behind = [cut for cut in chosen if decided[cut - 1]]
    assert chosen == sorted(set(chosen))
    assert all(0 < cut < len(decided) for cut in chosen)
    assert len(chosen) == min(cuts, len(decided) - 1)
    assert len(behind) >= min(cuts // 2, sum(map(bool, decided[:-1])))


def test_a_finding_is_exit_code_4_and_says_where_and_what(
    euro: CandleSeries, capsys: pytest.CaptureFixture[str]
) -> None:
    result = checked(Says(next_close_is_higher), euro.slice(0, 200))
    assert tell(result, "says") == EXIT_LEAK == 4
    shown = capsys.readouterr().out
    assert f"LOOKS AHEAD at candle {result.leaks[0].candle}, cut at {result.leaks[0].cut}" in shown
    assert "with the future: " in shown


def test_the_command_prints_its_seed_first_and_exits_0_for_an_honest_strategy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, euro: CandleSeries, capsys: pytest.CaptureFixture[str]
) -> None:
    settle_in(tmp_path, monkeypatch)
    path = as_file(euro.slice(0, 600), tmp_path / "part.csv")
    words = ["--strategy", "divergence", "--candles", str(path), "--symbol", "EUR_USD", "--timeframe", "1h"]

    assert main(["lookahead", *words, "--cuts", "5", "--seed", "99"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("seed 99\n600 candles, ")
    assert "divergence does not look ahead on these candles." in shown


@pytest.mark.parametrize(
    ("changes", "code", "told"),
    [
        ({"--strategy": "divergenc"}, 2, "strategy 'divergenc' is not known; use one of: divergence"),
        ({"--cuts": "0"}, 2, "--cuts 0 must be at least 1"),
        ({"--symbol": "EURUSD"}, 2, "did you mean EUR_USD"),
        ({"--candles": "one.csv"}, 5, "1 candle has no future to cut off"),
    ],
)
def test_a_wrong_call_says_what_to_do(
    changes: dict[str, str],
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settle_in(tmp_path, monkeypatch)
    as_file(series([(100, 101, 99, 100)]), tmp_path / "one.csv")
    words = {"--strategy": "divergence", "--candles": str(EURO), "--symbol": "EUR_USD", "--timeframe": "1h", **changes}
    assert main(["lookahead", *(each for pair in words.items() for each in pair)]) == code
    assert told in capsys.readouterr().err


def test_a_strategy_that_said_nothing_is_not_praised(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(LookaheadResult(candles=9, decisions=0, cuts=(3,), leaks=()), "silent") == 0
    assert "It decided nothing here, so this says little" in capsys.readouterr().out
