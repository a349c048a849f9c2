"""The divergence strategy: levels by hand, claims that are true by construction, and the catalogue."""

from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pytest

from bot.config import DivergenceSettings, Settings
from bot.errors import UsageError
from bot.instruments import Instrument, default_registry
from bot.layer2_intelligence.features import BatchFeatures
from bot.layer2_intelligence.strategies.catalogue import strategy_named
from bot.layer2_intelligence.strategies.divergence import DivergenceStrategy
from bot.models import (
    CandleSeries,
    Direction,
    Divergence,
    DivergenceKind,
    DivergenceSetup,
    EntrySignal,
    FeatureSet,
    StrategyTask,
    Timeframe,
    decimal_of,
)
from tests.unit.layer2_intelligence import made_series

GOLD = default_registry().get("XAU_USD")  # tick 0.01, typical spread 0.00025 of the price
TASK = StrategyTask.of("divergence", GOLD, Timeframe.H1)
STRATEGY = DivergenceStrategy(DivergenceSettings())


def setup_of(direction: Direction, *, p1: int = 10, p2: int = 27, known_at: int = 29) -> DivergenceSetup:
    """RSI and MFI diverge from `p1`, CCI from an earlier pivot."""

    def event(oscillator: str, first: int) -> Divergence:
        return Divergence(
            oscillator=oscillator, kind=DivergenceKind.REGULAR, direction=direction, p1=first, p2=p2, q1=first,
            q2=p2, price1=0.0, price2=0.0, osc1=30.0, osc2=40.0, known_at=known_at,
        )  # fmt: skip

    return DivergenceSetup(
        known_at=known_at,
        direction=direction,
        kind=DivergenceKind.REGULAR,
        p1=p1,
        p2=p2,
        divergences=(event("cci", 5), event("mfi", p1), event("rsi", p1)),
        families=("momentum", "volume"),
        score=0.6,
    )


def features_of(*setups: DivergenceSetup, low2: float = 1998.5, high2: float = 2003.5, atr: float = 4.0) -> FeatureSet:
    """30 candles closing at 2000 (lows 1999, highs 2003 but for candle 27), known at the last."""
    low, high = np.full(30, 1999.0), np.full(30, 2003.0)
    low[27], high[27] = low2, high2
    series = made_series.series_of(high, low, np.full(30, 2000.0))
    return FeatureSet(series, made_series.columns_of(30, atr=np.full(30, atr)), 29, setups)


def only(signals: object) -> EntrySignal:
    """The one signal there is."""
    assert isinstance(signals, list)
    [signal] = signals
    assert isinstance(signal, EntrySignal)
    return signal


def test_a_candle_without_setups_has_no_signals() -> None:
    assert STRATEGY.signals(TASK, features_of(), GOLD) == ()


def test_a_long_signal_has_its_stop_beyond_the_pivot_and_targets_in_multiples_of_the_paid_risk() -> None:
    signal = only(STRATEGY.signals(TASK, features_of(setup_of(Direction.LONG), low2=1995.123), GOLD))

    # Half of the spread of 0.5 makes the paid price 2000.25; the stop is 1995.123 - 0.25 * 4, rounded down.
    assert signal.entry == Decimal("2000.0")
    assert signal.stop_loss == Decimal("1994.12")
    # Risk 6.13: 2000.25 + 2.2 * 6.13 = 2013.736 and 2000.25 + 4 * 6.13 = 2024.77, rounded down.
    assert signal.targets == (Decimal("2013.73"), Decimal("2024.77"))
    assert signal.direction is Direction.LONG
    assert signal.confidence == pytest.approx(0.8)


def test_a_short_signal_is_rounded_the_other_way() -> None:
    signal = only(STRATEGY.signals(TASK, features_of(setup_of(Direction.SHORT), high2=2004.873), GOLD))

    # Paid 1999.75, stop 2004.873 + 1 rounded up, risk 6.13.
    assert signal.stop_loss == Decimal("2005.88")
    assert signal.targets == (Decimal("1986.27"), Decimal("1975.23"))
    assert signal.direction is Direction.SHORT


@pytest.mark.parametrize(
    ("direction", "stop"), [(Direction.LONG, "1997.85"), (Direction.SHORT, "2002.15")], ids=["long", "short"]
)
def test_a_pivot_too_near_does_not_make_the_stop_nearer_than_its_minimum(direction: Direction, stop: str) -> None:
    features = features_of(setup_of(direction), low2=1999.9, high2=2000.1)

    signal = only(STRATEGY.signals(TASK, features, GOLD))

    assert signal.stop_loss == Decimal(stop)  # 0.6 * 4 from the paid 2000.25 or 1999.75


def test_the_claim_names_only_oscillators_that_diverge_from_the_setups_own_pivot() -> None:
    signal = only(STRATEGY.signals(TASK, features_of(setup_of(Direction.LONG), low2=1995.123), GOLD))

    assert signal.claim is not None
    assert signal.claim.oscillators == ("mfi", "rsi")
    assert (signal.claim.p1_at, signal.claim.p2_at) == (
        datetime(2024, 1, 1, 10, tzinfo=UTC),
        datetime(2024, 1, 2, 3, tzinfo=UTC),
    )
    assert (signal.claim.p1_price, signal.claim.p2_price) == (Decimal("1999.0"), Decimal("1995.123"))


def test_ids_are_derived_from_task_candle_and_counter() -> None:
    features = features_of(setup_of(Direction.SHORT), setup_of(Direction.LONG))

    signals = STRATEGY.signals(TASK, features, GOLD)

    assert [each.id for each in signals] == [
        "divergence:XAU_USD:1h/2024-01-02T06:00/0",
        "divergence:XAU_USD:1h/2024-01-02T06:00/1",
    ]
    assert [each.direction for each in signals] == [Direction.SHORT, Direction.LONG]
    assert {each.candle_closed_at for each in signals} == {datetime(2024, 1, 2, 6, tzinfo=UTC)}


def all_signals(series: CandleSeries, instrument: Instrument) -> list[tuple[int, EntrySignal]]:
    batch = BatchFeatures(series, DivergenceSettings(), 100)
    return [
        (int(k), signal) for k in batch.setup_indices for signal in STRATEGY.signals(TASK, batch.at(int(k)), instrument)
    ]


@pytest.mark.parametrize("seed", [51, 52, 53])
def test_what_a_signal_claims_is_true_of_the_candles(seed: int) -> None:
    series = made_series.walk(seed, 2_000, pull=0.02)
    found = all_signals(series, GOLD)
    assert len(found) > 50

    for k, signal in found:
        claim, direction = signal.claim, signal.direction
        assert claim is not None
        assert direction is not None
        prices = series.low if direction is Direction.LONG else series.high
        at = [int((each.timestamp() - series.opened_at_s[0]) // 3_600) for each in (claim.p1_at, claim.p2_at)]
        assert 5 <= at[1] - at[0] <= 60  # E5
        assert at[1] <= k - 2  # E2
        assert [decimal_of(prices[each]) for each in at] == [claim.p1_price, claim.p2_price]  # E3
        assert signal.entry == decimal_of(series.close[k])
        lower = direction.sign * (claim.p2_price - claim.p1_price) < 0
        assert lower == (claim.kind is DivergenceKind.REGULAR)  # E6
        assert claim.oscillators  # E7


@pytest.mark.parametrize("seed", [54, 55])
def test_stops_and_targets_keep_their_distances_from_the_paid_price(seed: int) -> None:
    series = made_series.walk(seed, 2_000, pull=0.02)
    atr = BatchFeatures(series, DivergenceSettings(), 100).columns.atr

    for k, signal in all_signals(series, GOLD):
        assert signal.entry is not None
        assert signal.stop_loss is not None
        assert signal.direction is not None
        sign = signal.direction.sign
        paid = signal.entry + sign * GOLD.typical_spread.at(signal.entry) / 2
        risk = sign * (paid - signal.stop_loss)
        assert risk >= Decimal("0.6") * decimal_of(atr[k])
        reward = [sign * (each - paid) for each in signal.targets]
        assert 0 <= Decimal("2.2") * risk - reward[0] < GOLD.tick
        assert 0 <= Decimal("4") * risk - reward[1] < GOLD.tick
        assert all(each % GOLD.tick == 0 for each in (signal.stop_loss, *signal.targets))


def test_the_catalogue_knows_the_divergence_strategy_and_says_what_it_knows() -> None:
    assert strategy_named("divergence", Settings()).name == "divergence"
    with pytest.raises(UsageError, match="strategy 'divergnce' is not known; use one of: divergence"):
        strategy_named("divergnce", Settings())
