"""All venues side by side on loopback ports, over one market, and the settings that lead to them."""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from bot.instruments import IG, Instrument, InstrumentRegistry, Symbol, default_registry
from bot.interfaces import Clock
from tests.fakes import binance
from tests.fakes.binance import FakeBinance
from tests.fakes.ig import FakeIg
from tests.fakes.oanda.book import ACCOUNT
from tests.fakes.oanda.server import TOKEN, FakeOanda
from tests.fakes.venue_market import Bar, FakeMarket
from tests.fakes.yahoo import FakeYahoo


class OpenMarket(FakeMarket):
    """Markets that never close: what is tried must not depend on the day of the week. Closed candles are kept."""

    def __init__(self, registry: InstrumentRegistry) -> None:
        super().__init__(registry)
        self._kept: dict[tuple[Symbol, datetime, timedelta], Bar] = {}

    def bar(self, instrument: Instrument, opened_at: datetime, step: timedelta, now: datetime) -> Bar:
        """Worked out once when it has closed."""
        key = (instrument.symbol, opened_at, step)
        found = self._kept.get(key) or super().bar(instrument, opened_at, step, now)
        if found.is_complete:
            self._kept[key] = found
        return found

    def is_open(self, symbol: Symbol, at: datetime) -> bool:
        """Unless it was halted."""
        return symbol not in self._halted


class Street:
    """One account at each venue, and Yahoo."""

    def __init__(self, clock: Clock) -> None:
        registry = default_registry()
        shares = registry.of_broker(IG)
        self.market = OpenMarket(registry)
        self.binance = FakeBinance(self.market, clock)
        self.oanda = FakeOanda(self.market, clock, hedging=True)
        self.ig = FakeIg(instruments=shares, market=self.market, clock=clock)
        self.yahoo = FakeYahoo(symbols=[each.symbol for each in registry], market=self.market, clock=clock)
        self.settings: Mapping[str, str] = {}

    async def open(self) -> "Street":
        """Serve all of them; afterwards `settings` leads there, by environment name."""
        self.settings = {
            "BINANCE_URL": await self.binance.start(matching=False),
            "BINANCE_API_KEY": binance.KEY,
            "BINANCE_API_SECRET": binance.SECRET,
            "OANDA_URL": await self.oanda.start(by_itself=False),
            "OANDA_TOKEN": TOKEN,
            "OANDA_ACCOUNT_ID": ACCOUNT,
            "IG_URL": await self.ig.start(),
            "IG_API_KEY": self.ig.key,
            "IG_USERNAME": self.ig.username,
            "IG_PASSWORD": self.ig.password,
            "YAHOO_URL": await self.yahoo.start(),
        }
        return self

    async def close(self) -> None:
        """Hang up on everybody."""
        await asyncio.gather(self.binance.close(), self.oanda.close(), self.ig.close(), self.yahoo.close())
