"""The feed: 400 candles of all default instruments on two timeframes, through the real adapters and their libraries,
with 200 ms of latency before each answer and the limits of each venue. Goal: 5 s; the reference is one by one.

The fakes of the venues run in a process of their own; a relay on this side holds back what they answer.

Then the analysis of all of them after a close: features, detector and the rules over its signals. Goal: 1 s of CPU.
Run with PYTHONPATH=. from the project's directory.
"""

import asyncio
import multiprocessing
import sys
import tempfile
import time
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

from bot.clock import SystemClock
from bot.config import Settings, load_settings
from bot.instruments import DEFAULT_UNIVERSE, Instrument, InstrumentRegistry, default_registry
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.layer1_data.feeds.seeded_market import SeededMarket
from bot.layer2_intelligence.features import LiveFeatures
from bot.layer2_intelligence.strategies.catalogue import strategy_named
from bot.layer2_intelligence.strategies.divergence import DIVERGENCE
from bot.layer2_intelligence.validator import judge
from bot.models import CandleSeries, StrategyTask, Timeframe
from bot.wiring.venues import connected

PROJECT = Path(__file__).resolve().parents[1]
LATENCY_S = 0.2
TIMEFRAMES = (Timeframe.H1, Timeframe.H4)
CLOSES = 100


def run() -> dict[str, float]:
    """Seconds by name."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    fakes = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, str(PROJECT)), daemon=True)
    fakes.start()
    try:
        return asyncio.run(_measured(ours.recv())) | _analysed()
    finally:
        ours.send("end")
        fakes.join(10)


async def _measured(settings: dict[str, str]) -> dict[str, float]:
    async with AsyncExitStack() as stack:
        for name in [each for each in settings if each.endswith("_URL")]:
            settings[name] = await _relayed(settings[name], stack)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-feed-"))
        loaded = load_settings({**settings, "MODE": "paper", "DATA_DIRECTORY": folder}, None)
        router = await stack.enter_async_context(connected(loaded, default_registry(), SystemClock()))
        await _polled(router)  # the fakes work their candles out once
        figures = {}
        for broker in router:
            seconds, count = await _polled(router, broker.broker_id)
            figures[f"{broker.broker_id}: {count} histories, s"] = round(seconds, 2)
        begun = time.process_time()
        seconds, count = await _polled(router)
        figures[f"all venues together: {count} histories, s"] = round(seconds, 2)
        figures["the same, CPU of this process, s"] = round(time.process_time() - begun, 2)
        figures["reference: one after the other, latency alone, s"] = round(count * LATENCY_S, 2)
        return figures


def _analysed() -> dict[str, float]:
    """CPU seconds of one close of every series: the mean of many closes, and the worst."""
    registry, settings = default_registry(), Settings()
    cache, strategy = CandleCache(registry), strategy_named(DIVERGENCE, settings)
    everything = [
        (each, _seeded(each, timeframe), LiveFeatures(settings.divergence, settings.validation.bandwidth_lookback))
        for each in DEFAULT_UNIVERSE
        for timeframe in TIMEFRAMES
    ]
    for _, blocks, features in everything:
        cache.load(blocks[0])
        cache.load(blocks[1])
        features.advance(cache.series(blocks[0].symbol, blocks[0].timeframe))
    spent_s, signals = [], 0
    for number in range(CLOSES):
        for _, blocks, _ in everything:
            cache.load(blocks[2].slice(number, number + 1))
        begun = time.process_time()
        for instrument, (first, *_), features in everything:
            known = features.advance(cache.series(first.symbol, first.timeframe))
            task = StrategyTask.of(DIVERGENCE, instrument, first.timeframe)
            for signal in strategy.signals(task, known, instrument):
                judge(signal, known, None, instrument, settings.validation, settings.divergence)
                signals += 1
        spent_s.append(time.process_time() - begun)
    return {
        f"analysis of {len(everything)} series after a close, CPU s, mean": round(sum(spent_s) / CLOSES, 4),
        "the same, worst": round(max(spent_s), 4),
        f"signals that were judged in {CLOSES} closes": signals,
    }


def _seeded(instrument: Instrument, timeframe: Timeframe) -> list[CandleSeries]:
    """Three blocks: two of history, and one to come."""
    market = SeededMarket(
        seed=7,
        instrument=instrument,
        timeframe=timeframe,
        anchor_price=100.0,
        volatility=0.004,
        start=datetime(2024, 3, 4, tzinfo=UTC),
    )
    blocks, anchor = [], market.anchor_price
    for number in range(3):
        blocks.append(market.block(number, anchor))
        anchor = float(blocks[-1].close[-1])
    return blocks


async def _polled(router: BrokerRouter, broker_id: str | None = None) -> tuple[float, int]:
    chosen = [each for each in DEFAULT_UNIVERSE if broker_id in (None, each.broker_id)]
    feed = CandleFeed(router, CandleCache(InstrumentRegistry(chosen)), SystemClock())
    for each in chosen:
        for timeframe in TIMEFRAMES:
            feed.subscribe(each.symbol, timeframe)
    begun = time.monotonic()
    report = await feed.poll()
    seconds = time.monotonic() - begun
    if report.errors:
        raise SystemExit(f"the fakes did not answer: {report.errors[0]}")
    return seconds, len(chosen) * len(TIMEFRAMES)


async def _relayed(url: str, stack: AsyncExitStack) -> str:
    """An address that leads to `url`, every answer LATENCY_S later."""
    target = urlsplit(url)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
        loop = asyncio.get_running_loop()
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                loop.call_later(delay_s, writer.write, data)
        loop.call_later(delay_s, writer.close)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(target.hostname, target.port)
        with suppress(asyncio.CancelledError):  # the end of the measurement
            await asyncio.gather(carry(reader, there_writer, 0.0), carry(there_reader, writer, LATENCY_S))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    stack.callback(server.close)
    return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _serve(pipe: Connection, project: str) -> None:
    """The fakes, until told to end."""
    sys.path.insert(0, project)
    from tests.fakes.street import Street

    async def serve() -> None:
        street = await Street(SystemClock()).open()
        pipe.send(dict(street.settings))
        await asyncio.to_thread(pipe.recv)
        await street.close()

    asyncio.run(serve())


if __name__ == "__main__":
    for figure, value in run().items():
        sys.stdout.write(f"{figure:60} {value:>10,}\n")
