"""The OANDA adapter as a stand of the broker contract: against the fake venue, which runs on a thread of its own."""

import asyncio
from concurrent.futures import Future
from datetime import datetime
from threading import Thread
from typing import Any, Final

from bot.clock import ManualClock, SystemClock
from bot.instruments import Symbol, default_registry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.brokers.oanda.access import Access, Environment, TimeOuts
from bot.layer1_data.brokers.oanda.adapter import OandaBroker
from bot.models import ClientOrderId
from tests.contract.our_names import OurNames
from tests.contract.stands import START
from tests.fakes.oanda.book import ACCOUNT
from tests.fakes.oanda.desk import create_order
from tests.fakes.oanda.server import PRICE_S, TOKEN, FakeOanda
from tests.fakes.venue_market import FakeMarket

_PATIENCE_S: Final = 10


class _AlwaysOpen(FakeMarket):
    """The contract's candles reach back into a weekend."""

    def is_open(self, symbol: Symbol, at: datetime) -> bool:
        """Unless it was halted."""
        return symbol not in self._halted


class OandaStand:
    """An account that may hold both directions. Nothing but `price` moves its market."""

    hedging = True

    def __init__(self) -> None:
        self._market = _AlwaysOpen(default_registry())
        self._market.halt("EUR_GBP")  # the contract's instrument without a price
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="fake oanda", daemon=True)
        self._clock = ManualClock(START)
        self._venue = FakeOanda(self._market, self._clock, hedging=self.hedging)
        self._names: dict[ClientOrderId, ClientOrderId] = {}
        self._made: list[BrokerInterface] = []
        self._url = ""
        self.broker: BrokerInterface

    async def open(self) -> None:
        self._thread.start()
        self._url = str(self._there(self._venue.start(by_itself=False)))
        self.crash()

    def price(self, bid: str, ask: str) -> None:
        """The market jumps there and fills what it reaches."""
        self._market.pin("EUR_USD", bid, ask)
        self._there(self._match())

    def thin(self, quantity: str) -> bool:
        """Fill or kill."""
        return False

    def rest_by_hand(self) -> None:
        """An order without extensions."""
        asked = {"type": "LIMIT", "instrument": "EUR_USD", "units": "1000", "price": "1.09000", "timeInForce": "GTC"}
        self._there(self._made_by_hand(asked))

    def crash(self) -> None:
        """A new adapter for the same account."""
        made = self._adapter()
        self._made.append(made)
        self.broker = OurNames(made, self._names)

    async def close(self) -> None:
        """Nothing is left behind."""
        for each in self._made:
            await each.close()
        self._there(self._venue.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    async def _made_by_hand(self, asked: dict[str, str]) -> None:
        status, told = create_order(self._venue.book, asked)
        assert status == 201, told

    async def _match(self) -> None:
        self._venue.book.match()
        self._clock.advance(PRICE_S)  # streams look again

    def _adapter(self) -> OandaBroker:
        registry = default_registry()
        return OandaBroker(
            Access(token=TOKEN, account=ACCOUNT, environment=Environment.PRACTICE, url=self._url),
            instruments=(registry.get("EUR_USD"), registry.get("EUR_GBP")),
            clock=SystemClock(),
            time_outs=TimeOuts(silence_s=5, whole_s=8, stream_s=8),
        )

    def _there(self, work: Any) -> Any:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(work, self._loop)
        return done.result(_PATIENCE_S)


class OandaNettingStand(OandaStand):
    """An account that holds one direction of an instrument at a time."""

    hedging = False
