"""Replay: candles per CPU second through the whole pipeline, against walking the same candles with nothing to do.

The reference is a bare Python loop over the same columns that only compares highs and lows: what the interpreter
costs by itself. Series: the recorded EUR/USD 1h, and a seeded one of 50,000 candles.
"""

import asyncio
import resource
import time
from decimal import Decimal
from statistics import median

from bot.config import Settings
from bot.instruments import default_registry
from bot.layer1_data.feeds.recorded import load, recordings
from bot.layer1_data.feeds.seeded_market import SeededMarket
from bot.layer5_monitoring.journal import NoJournal
from bot.models import CandleSeries, Timeframe
from bot.wiring.replay import replay_candles

RUNS = 3
SEEDED_CANDLES = 50_000


def run() -> dict[str, float]:
    """Figures by name: candles per CPU second, and the ratio to the reference."""
    figures: dict[str, float] = {}
    for name, series in (("recorded", _recorded()), ("seeded", _seeded())):
        times, positions = [], 0
        for _ in range(RUNS):
            begun = time.process_time()
            positions = int(asyncio.run(_replay(series))["positions"])  # type: ignore[call-overload]
            times.append(time.process_time() - begun)
        reference = min(_bare_loop(series) for _ in range(RUNS))
        speed = len(series) / median(times)
        figures[f"{name}: candles"] = len(series)
        figures[f"{name}: positions"] = positions
        figures[f"{name}: candles per CPU second"] = round(speed)
        figures[f"{name}: times slower than a bare loop"] = round(median(times) / reference, 1)
    figures["peak memory, MB"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    return figures


async def _replay(series: CandleSeries) -> dict[str, object]:
    settings = Settings()
    # Without these two limits a losing strategy is stopped early, and the rest of the run would cost next to nothing.
    free = {"max_drawdown_ratio": Decimal(1), "daily_loss_limit_ratio": Decimal(1)}
    settings = settings.model_copy(update={"risk": settings.risk.model_copy(update=free)})
    return await replay_candles(
        settings=settings,
        series=series,
        strategy="divergence",
        balance=Decimal(100_000),
        journal=NoJournal(),
        progress=lambda _: None,
    )


def _recorded() -> CandleSeries:
    return next(load(each) for each in recordings() if (each.symbol, each.timeframe) == ("EUR_USD", Timeframe.H1))


def _seeded() -> CandleSeries:
    import numpy as np

    recorded = _recorded()
    market = SeededMarket(
        seed=7,
        instrument=default_registry().get("EUR_USD"),
        timeframe=Timeframe.H1,
        anchor_price=1.1,
        volatility=0.001,
        start=recorded.opened_at(0),
    )
    blocks, anchor, number = [], 1.1, 0
    while sum(map(len, blocks)) < SEEDED_CANDLES:
        blocks.append(market.block(number, anchor))
        anchor, number = float(blocks[-1].close[-1]), number + 1
    joined = [np.concatenate([getattr(block, name) for block in blocks]) for name in ("open", "high", "low", "close")]
    count = len(joined[0])
    opened = int(recorded.opened_at_s[0]) + np.arange(count, dtype=np.int64) * Timeframe.H1.seconds
    volume = np.concatenate([block.volume for block in blocks])
    zeros = np.zeros(count, dtype=np.int64)
    series = CandleSeries(recorded.symbol, Timeframe.H1, opened, *joined, volume, zeros)
    return series.slice(0, SEEDED_CANDLES)


def _bare_loop(series: CandleSeries) -> float:
    lows, highs = series.low.tolist(), series.high.tolist()
    begun, crossed = time.process_time(), 0
    for low, high in zip(lows, highs, strict=True):
        if low < 1.0 < high:
            crossed += 1
    return time.process_time() - begun


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name:<48}{value:>14,}")
