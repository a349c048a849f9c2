"""How long the judge takes: all 27 rules on one signal that passes and on one that fails.

The reference is what the numbers alone cost: the same comparisons as bare boolean expressions on ready floats, without
Decimal, without looking at a candle and without findings. It says how much of the time is evidence and book-keeping.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import numpy as np

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import default_registry
from bot.layer2_intelligence.validator import judge
from bot.models import (
    CandleSeries,
    Direction,
    DivergenceClaim,
    DivergenceKind,
    Endorsed,
    EntrySignal,
    FeatureColumns,
    FeatureSet,
    Floats,
    Quote,
    SignalId,
    StrategyName,
    TaskId,
    Timeframe,
)

CANDLES: Final = 500
P1, P2, K = 481, 495, CANDLES - 1
_START_S: Final = 1_704_067_200
_INSTRUMENT: Final = default_registry().get("SOL/USDT")


def run(repeats: int = 4_000) -> dict[str, float]:
    """Median and p99 in microseconds of judging a sound and an unsound signal, and of the reference."""
    features, quote = _features(), _quote()
    validation, divergence = ValidationSettings(), DivergenceSettings()
    sound, unsound = _signal(stop="99.5", second_low="100"), _signal(stop="101.9", second_low="99")

    def judged(signal: EntrySignal) -> Callable[[], object]:
        return lambda: judge(signal, features, quote, _INSTRUMENT, validation, divergence)

    if not isinstance(judged(sound)(), Endorsed) or isinstance(judged(unsound)(), Endorsed):
        raise SystemExit("bench_rules: the two signals are not judged as intended; correct the scene in this file")
    figures: dict[str, float] = {}
    for name, work in (("passing", judged(sound)), ("failing", judged(unsound)), ("reference", _bare_rules)):
        figures[f"{name}_median_us"], figures[f"{name}_p99_us"] = _timed(work, repeats)
    return figures


def _timed(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    for _ in range(200):  # warm caches and the interpreter's specialised code
        work()
    spent = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        work()
        spent.append(time.perf_counter_ns() - start)
    spent.sort()
    return spent[repeats // 2] / 1_000, spent[repeats * 99 // 100] / 1_000


def _features() -> FeatureSet:
    """One regular bullish divergence of three oscillators in quiet candles."""
    low = np.full(CANDLES, 104.0)
    low[P1], low[P2], low[P2 + 1 :] = 100.5, 100.0, 101.0
    high = low + 1.0
    high[P2 - 3], high[K] = 106.0, 102.5
    close = low + 0.5
    close[K] = 102.0

    def column(usual: float, first: float | None = None, second: float | None = None) -> Floats:
        values = np.full(CANDLES, usual)
        values[P1], values[P2] = usual if first is None else first, usual if second is None else second
        return values

    series = CandleSeries(
        _INSTRUMENT.symbol,
        Timeframe.H1,
        _START_S + np.arange(CANDLES, dtype=np.int64) * 3_600,
        low + 0.5,
        high,
        low,
        close,
        np.full(CANDLES, 120.0),
        np.zeros(CANDLES, dtype=np.int64),
    )
    columns = FeatureColumns(
        rsi=column(50.0, 28.0, 35.0),
        macd_hist=column(1.0, -2.0, -1.0),
        stoch_k=column(50.0, 10.0, 20.0),
        willr=column(-50.0),
        cci=column(0.0),
        mfi=column(50.0),
        atr=column(2.0),
        adx=column(25.0),
        bandwidth=column(0.05),
        bandwidth_median=column(0.05),
        volume_mean=column(100.0),
    )
    return FeatureSet(series, columns, K, ())


def _at(index: int) -> datetime:
    return datetime.fromtimestamp(_START_S + index * 3_600, tz=UTC)


def _quote() -> Quote:
    return Quote(symbol=_INSTRUMENT.symbol, bid=Decimal("102"), ask=Decimal("102.25"), at=_at(CANDLES))


def _signal(*, stop: str, second_low: str) -> EntrySignal:
    return EntrySignal(
        id=SignalId("bench"),
        task_id=TaskId("divergence:SOL/USDT:1h"),
        strategy=StrategyName("divergence"),
        broker_id=_INSTRUMENT.broker_id,
        symbol=_INSTRUMENT.symbol,
        timeframe=Timeframe.H1,
        candle_closed_at=_at(CANDLES),
        direction=Direction.LONG,
        entry=Decimal("102"),
        stop_loss=Decimal(stop),
        targets=(Decimal("108.25"), Decimal("112")),
        confidence=0.8,
        claim=DivergenceClaim(
            kind=DivergenceKind.REGULAR,
            oscillators=("rsi", "macd_hist", "stoch_k"),
            p1_at=_at(P1),
            p2_at=_at(P2),
            p1_price=Decimal("100.5"),
            p2_price=Decimal(second_low),
        ),
    )


def _bare_rules(
    confidence: float = 0.8,
    entry: float = 102.0,
    paid: float = 102.25,
    stop: float = 99.5,
    target: float = 108.25,
    atr: float = 2.0,
    rsi: float = 50.0,
    adx: float = 25.0,
    width: float = 1.0,
    families: int = 3,
    bars: int = 14,
    difference: float = 7.0,
    volume: float = 1.2,
    score: float = 5.8,
) -> list[bool]:
    """What the rules decide, when everything they need is already known and nobody asks why."""
    return [
        True,
        0.7 <= confidence <= 1.0,
        entry > 0.0 and stop > 0.0,
        entry > stop and paid > stop,
        target - paid >= 2.0 * (paid - stop),
        rsi < 70.0,
        0.5 * atr <= abs(paid - stop) <= 7.0 * atr,
        adx >= 20.0,
        width >= 0.5,
        families >= 2,
        bars >= 7,
        difference >= 3.0,
        volume > 0.01,
        True,
        True,
        5 <= bars <= 60,
        score >= 5.0,
    ]


if __name__ == "__main__":
    measured = run()
    print(f"{'judge() on a signal that':<28}{'median us':>12}{'p99 us':>12}")
    for label, name in (("passes", "passing"), ("fails", "failing"), ("(reference: bare numbers)", "reference")):
        print(f"{label:<28}{measured[f'{name}_median_us']:>12.2f}{measured[f'{name}_p99_us']:>12.2f}")
