"""The fakes of the venues in one process: `python -m tests.fakes`, as `botctl run --mode paper --fakes` starts it.

One line of JSON on stdout says the settings that lead to them, and FAKES_URL, where what the venues know is told.
They end at SIGTERM, or with whoever holds their stdin.
"""

import argparse
import asyncio
import json
import math
import signal
import sys
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Final

from aiohttp import web

from bot.clock import SystemClock
from bot.instruments import IG, Instrument, InstrumentRegistry, Symbol, default_registry
from tests.fakes import binance
from tests.fakes.binance import FakeBinance
from tests.fakes.ig import FakeIg
from tests.fakes.oanda.book import ACCOUNT
from tests.fakes.oanda.server import TOKEN, FakeOanda
from tests.fakes.venue_market import Bar, FakeMarket
from tests.fakes.witness import Witness
from tests.fakes.yahoo import FakeYahoo

_SWINGS: Final = ((5.3, 0.002), (6.7, 0.001))  # minutes, ratio: two that drift apart make divergences
_UNREST: Final = 0.006  # ratio, anew every five seconds: keeps the close within a few ATR of the swing


class LivelyMarket(FakeMarket):
    """Markets that never close, with a divergence of 1m candles every ten seconds or so, over all instruments: what is
    tried with them must depend neither on the day of the week nor on patience."""

    def __init__(self, registry: InstrumentRegistry, seed: int = 1) -> None:
        super().__init__(registry, seed)
        self._bars: dict[tuple[Symbol, datetime, timedelta], Bar] = {}
        self._noises: dict[tuple[str, int], float] = {}

    def is_open(self, symbol: Symbol, at: datetime) -> bool:
        """Unless it was halted."""
        return symbol not in self._halted

    def bar(self, instrument: Instrument, opened_at: datetime, step: timedelta, now: datetime) -> Bar:
        """Worked out once: every daemon that starts asks for the whole history."""
        key = (instrument.symbol, opened_at, step)
        found = self._bars.get(key) or super().bar(instrument, opened_at, step, now)
        if found.is_complete:
            self._bars[key] = found
        return found

    def _noise(self, symbol: str, number: int) -> float:
        key = (symbol, number)
        if key not in self._noises:
            self._noises[key] = super()._noise(symbol, number)
        return self._noises[key]

    def _mid(self, instrument: Instrument, at: datetime) -> Decimal:
        minutes = at.timestamp() / 60
        swing = sum(
            size * math.sin((minutes / period + self._noise(instrument.symbol, int(10 * period))) * math.tau)
            for period, size in _SWINGS
        )
        unrest = _UNREST * (self._noise(f"{instrument.symbol}/unrest", int(minutes * 12)) - 0.5)
        return Decimal(repr(round(float(super()._mid(instrument, at)) * math.exp(swing + unrest), 8)))


def main() -> None:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the market")
    parser.add_argument("--lively", action="store_true", help="no weekend, no night, and swings of a few minutes")
    parser.add_argument("--hedging", action="store_true", help="the OANDA account keeps opposite trades side by side")
    given = parser.parse_args()
    kind = LivelyMarket if given.lively else FakeMarket
    asyncio.run(serve(kind(default_registry(), seed=given.seed), hedging=given.hedging))


async def serve(market: FakeMarket, *, hedging: bool) -> None:
    """All venues over one market."""
    clock, loop, stop = SystemClock(), asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches the whole group; our parent ends us
    leaving = asyncio.create_task(_stdin_closed(stop), name="stdin")
    oanda, spot = FakeOanda(market, clock, hedging=hedging), FakeBinance(market, clock)
    shares = market.registry.of_broker(IG)
    ig = FakeIg(instruments=shares, market=market, clock=clock)
    yahoo = FakeYahoo(symbols=[each.symbol for each in shares], market=market, clock=clock)
    witness = Witness(binance=spot, oanda=oanda, clock=clock)
    watching = asyncio.create_task(witness.watch(), name="witness")
    window = await _window(witness, spot)
    settings = {
        "FAKES_URL": f"http://127.0.0.1:{window.addresses[0][1]}",
        "BINANCE_URL": await spot.start(),
        "BINANCE_API_KEY": binance.KEY,
        "BINANCE_API_SECRET": binance.SECRET,
        "OANDA_URL": await oanda.start(),
        "OANDA_TOKEN": TOKEN,
        "OANDA_ACCOUNT_ID": ACCOUNT,
        "IG_URL": await ig.start(matching=True),
        "IG_API_KEY": ig.key,
        "IG_USERNAME": ig.username,
        "IG_PASSWORD": ig.password,
        "YAHOO_URL": await yahoo.start(),
    }
    sys.stdout.write(json.dumps(settings) + "\n")
    sys.stdout.flush()
    await stop.wait()
    leaving.cancel()
    watching.cancel()
    closing = (each.close() for each in (oanda, spot, ig, yahoo))
    await asyncio.gather(leaving, watching, *closing, window.cleanup(), return_exceptions=True)


async def _stdin_closed(stop: asyncio.Event) -> None:
    """Who started us holds the other end: when that is gone, however it ended, so are we."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(partial(asyncio.StreamReaderProtocol, reader), sys.stdin)
    while await reader.read(1_024):
        pass
    stop.set()


async def _window(witness: Witness, spot: FakeBinance) -> web.AppRunner:
    """What the venues know, for whoever asks; and whose account the key of Binance leads to, for whoever says it."""

    async def told(_: web.Request) -> web.Response:
        return web.json_response(witness.testimony(), dumps=partial(json.dumps, default=str))

    async def swapped(request: web.Request) -> web.Response:
        former, spot.uid = spot.uid, int(await request.text())
        return web.json_response(former)

    application = web.Application()
    application.router.add_get("/", told)
    application.router.add_put("/binance/uid", swapped)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


if __name__ == "__main__":
    main()
