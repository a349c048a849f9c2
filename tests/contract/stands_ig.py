"""IG's stand for the broker contract: the real adapter over loopback to the fake.

Cases have to use names as `client_order_id` makes them: IG keeps
a reference, and only its prefix tells that it is ours.
"""

import asyncio
from collections.abc import Coroutine
from datetime import UTC, datetime
from threading import Thread
from typing import Any, Final, TypeVar

from bot.clock import ReplayClock
from bot.instruments import Instrument, InstrumentRegistry, Symbol, default_registry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.brokers.ig.access import Access
from bot.layer1_data.brokers.ig.adapter import IGBroker
from bot.layer1_data.brokers.ig.wire import Allowance
from tests.fakes.ig import FakeIg
from tests.fakes.venue_market import FakeMarket

Answer = TypeVar("Answer")

START: Final = datetime(2024, 3, 4, tzinfo=UTC)
_PATIENCE_S: Final = 10
PLENTY: Final = Allowance(reads=1_000_000, trades=1_000_000)


class AlwaysOpen(FakeMarket):
    """The cases look back over a weekend as if it were none."""

    def is_open(self, symbol: Symbol, at: datetime) -> bool:
        return symbol not in self._halted


class IgStand:
    """The account holds 10,000 USD. EUR_GBP is known to the venue and has no price.

    The venue has a thread of its own, so that a stand can be made and its market moved where nothing is awaited.
    """

    def __init__(self) -> None:
        registry = default_registry()
        self.instruments: tuple[Instrument, ...] = (registry.get("EUR_USD"), registry.get("EUR_GBP"))
        self.clock = ReplayClock(START)
        self.market = AlwaysOpen(InstrumentRegistry(self.instruments))
        self.venue = FakeIg(instruments=self.instruments, market=self.market, clock=self.clock)
        self.venue.book.status["EUR_GBP"] = "OFFLINE"
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="fake ig", daemon=True)
        self._thread.start()
        self._url = self._there(self.venue.start())
        self._gone: list[BrokerInterface] = []
        self.broker: BrokerInterface = self._made()

    async def close(self) -> None:
        """Leave nothing behind."""
        for each in (*self._gone, self.broker):
            await each.close()
        self._there(self.venue.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def price(self, bid: str, ask: str) -> None:
        """The venue's market jumps there, and what rests meets it."""
        self.market.pin("EUR_USD", bid, ask)
        self._there(self._match())

    def crash(self) -> None:
        """A new adapter talks to the same venue."""
        self._gone.append(self.broker)
        self.broker = self._made()

    async def _match(self) -> None:
        self.venue.book.match()

    def _there(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_PATIENCE_S)

    def _made(self) -> IGBroker:
        return IGBroker(
            access=Access(environment="demo", key="key", username="user", password="secret", url=self._url),
            instruments=self.instruments,
            clock=self.clock,
            allowance=PLENTY,
            quote_fresh_s=-1,
            broker_id=self.instruments[0].broker_id,
        )
