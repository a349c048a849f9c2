"""What a case stands on: one account at one venue. Here the simulated venue in every kind; real adapters over loopback
fakes have a module each."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar, Final, Protocol

import numpy as np

from bot.clock import ManualClock
from bot.instruments import OANDA, Currency, Symbol, default_registry
from bot.layer1_data.broker_interface import BrokerInterface, DuplicateIds
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.state import MemoryVenueState
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import CandleSeries, ClientOrderId, Side, Timeframe

D = Decimal
START: Final = datetime(2024, 3, 4, tzinfo=UTC)
EUR_USD: Final = default_registry().get("EUR_USD")
BALANCE: Final = D(10_000)


class Stand(Protocol):
    """One venue to test against: the adapter under test and the means to move that venue's market.

    Its account is in USD and holds BALANCE. It trades EUR_USD, whatever it trades elsewhere, at all hours and without a
    commission, so that every case means the same everywhere; EUR_GBP is known there and has no price.
    """

    broker: BrokerInterface

    async def open(self) -> None:
        """Begin; `broker` is connected from here on."""

    async def close(self) -> None:
        """Leave nothing behind."""

    def price(self, bid: str, ask: str) -> None:
        """The venue's market jumps there."""

    def thin(self, quantity: str) -> bool:
        """From the next price on the market has so much each time. False: entries are filled whole or not at all."""

    def rest_by_hand(self) -> None:
        """A person buys 1000 EUR_USD at 1.09 or lower in the venue's own app; it rests."""

    def crash(self) -> None:
        """Our process dies and a new adapter talks to the same venue; `broker` is the new one."""


class OneHistory:
    """Ten candles of one hour; the last one closes at START + 1 h, so it is not closed yet."""

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        opened = int(START.timestamp()) + 3_600 * np.arange(-9, 1, dtype=np.int64)
        price = 1.1 + np.arange(10) / 1_000
        none = np.zeros(10, dtype=np.int64)
        return CandleSeries(symbol, timeframe, opened, price, price + 0.001, price - 0.001, price, price * 0, none)


class SimulatedStand:
    """The simulated venue."""

    def __init__(self) -> None:
        self._state = MemoryVenueState()
        self._clock = ManualClock(START)
        self._liquidity: Decimal | None = None
        self._venue = self._made()
        self.broker: BrokerInterface = self._venue

    async def open(self) -> None:
        """It is in this process."""

    async def close(self) -> None:
        await self.broker.close()

    def price(self, bid: str, ask: str) -> None:
        self._venue.observe(EUR_USD.symbol, bid=D(bid), ask=D(ask), at=self._clock.now(), gap=True)

    def thin(self, quantity: str) -> bool:
        self._liquidity = D(quantity)
        self.crash()
        return True

    def rest_by_hand(self) -> None:
        self._venue.open_by_other(ClientOrderId("foreign:1"), EUR_USD.symbol, Side.BUY, D(1_000), D("1.09"))

    def crash(self) -> None:
        self.broker = self._venue = self._made()

    traits: ClassVar[VenueTraits] = VenueTraits()

    def _made(self) -> SimulatedBroker:
        return SimulatedBroker(
            broker_id=OANDA,
            instruments=(EUR_USD, default_registry().get("EUR_GBP")),
            clock=self._clock,
            currency=Currency("USD"),
            balance=BALANCE,
            state=self._state,
            history=OneHistory(),
            traits=replace(self.traits, liquidity=self._liquidity),
        )


class OandaLike(SimulatedStand):
    """Attaches the stop, which follows; an id may come again once its order has ended. Closes at the market only."""

    traits = VenueTraits(duplicate_ids=DuplicateIds.OPEN_ONLY, limit_exits=False)


class IgLike(SimulatedStand):
    """Attaches the stop, which follows; knows no ids, and closes at the market only. MT5 is alike."""

    traits = VenueTraits(duplicate_ids=DuplicateIds.NONE, limit_exits=False)


class FuturesLike(SimulatedStand):
    """Stops are reduce-only orders of their own, changed at will; they lock nothing. Exits outlive their position."""

    traits = VenueTraits(
        attached_stop=False,
        stop_follows_position=False,
        duplicate_ids=DuplicateIds.OPEN_ONLY,
        exits_end_with_position=False,
    )


class CoinbaseLike(SimulatedStand):
    """Attaches a bracket as large as the entry's fills; it never shrinks and is not changed. Tells totals of fills."""

    traits = VenueTraits(stop_follows_position=False, amends_stop=False, cumulative_fills=True)


class TradierLike(SimulatedStand):
    """Stops are orders of their own, not changed; a tag is no id."""

    traits = VenueTraits(
        attached_stop=False, stop_follows_position=False, amends_stop=False, duplicate_ids=DuplicateIds.NONE
    )


class SpotLike(TradierLike):
    """As before; a resting stop locks what it would sell, and what is not held cannot be sold."""

    traits = replace(TradierLike.traits, stop_reserves=True, duplicate_ids=DuplicateIds.OPEN_ONLY, allows_short=False)
