"""The venues of the settings, connected: an adapter where there is a key, simulated fills on real prices elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from bot.config import Loaded, Settings, VenueSettings
from bot.instruments import BINANCE, DEFAULT_UNIVERSE, IG, OANDA, BrokerId, Currency, Instrument, InstrumentRegistry
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.brokers.paper import PaperBroker, PriceSource
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.state import FileVenueState
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.wiring.doctor import Check, VenueCheckup, half_set, unused

_KEYS: Final[Mapping[BrokerId, tuple[str, ...]]] = {
    BINANCE: ("binance_api_key", "binance_api_secret"),
    OANDA: ("oanda_token", "oanda_account_id"),
    IG: ("ig_api_key", "ig_username", "ig_password"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Venue:
    """One connected venue, and in words where its prices and fills come from."""

    broker: BrokerInterface
    says: str


def open_venues(loaded: Loaded, registry: InstrumentRegistry, clock: Clock) -> list[Venue]:
    """Every venue of BROKERS. Nothing is asked yet."""
    desk = _VenueDesk(loaded, registry, clock)
    return [desk.open(BrokerId(each)) for each in loaded.settings.venues.broker_names]


@asynccontextmanager
async def connected(loaded: Loaded, registry: InstrumentRegistry, clock: Clock) -> AsyncIterator[BrokerRouter]:
    """A router over the venues, closed in the end."""
    venues = await asyncio.to_thread(open_venues, loaded, registry, clock)
    router = BrokerRouter([each.broker for each in venues], registry)
    try:
        yield router
    finally:
        await router.close()


async def venue_checks(loaded: Loaded, registry: InstrumentRegistry, clock: Clock) -> list[Check]:
    """What `doctor` finds at each venue that has a key; outside dev mode also at those that give prices only."""
    settings = loaded.settings
    names = [BrokerId(each) for each in settings.venues.broker_names]
    asked = [each for each in names if settings.run.mode != "dev" or not missing_keys(settings.venues, each)]
    found = [_without_key(settings, each) for each in names if missing_keys(settings.venues, each)]
    async with connected(loaded, registry, clock) as router:
        checkups = (
            VenueCheckup(
                router.broker(each),
                _universe(registry, each),
                key_settings=[name.upper() for name in _KEYS[each]],
                settings=settings,
                clock=clock,
            ).run()
            for each in asked
        )
        for checks in await asyncio.gather(*checkups):
            found += checks
    return found


def _without_key(settings: Settings, broker_id: BrokerId) -> Check:
    missing = missing_keys(settings.venues, broker_id)
    is_half_set = len(missing) < len(_KEYS[broker_id]) and settings.run.mode != "dev"
    told = half_set if is_half_set else unused
    return told(broker_id, [field.upper() for field in missing], _instead(settings, broker_id))


def missing_keys(venues: VenueSettings, broker_id: BrokerId) -> tuple[str, ...]:
    """The settings that a key of this venue still lacks; none if it is complete."""
    return tuple(each for each in _KEYS[broker_id] if not getattr(venues, each))


def _instead(settings: Settings, broker_id: BrokerId) -> str:
    if settings.run.mode == "dev":
        return "dev mode simulates it"
    return f"real prices of {'Binance' if broker_id == BINANCE else 'Yahoo'}, fills by ourselves"


def _universe(registry: InstrumentRegistry, broker_id: BrokerId) -> list[Instrument]:
    return [registry.get(each.symbol) for each in DEFAULT_UNIVERSE if each.broker_id == broker_id]


class _VenueDesk:
    """Makes one venue at a time. The heavy libraries are imported here, each with the first venue that needs it."""

    def __init__(self, loaded: Loaded, registry: InstrumentRegistry, clock: Clock) -> None:
        self._settings = loaded.settings
        self._venues = loaded.settings.venues
        self._data: Path = loaded.data_directory
        self._registry = registry
        self._clock = clock

    def open(self, broker_id: BrokerId) -> Venue:
        """The venue with its key, or simulated fills on public prices."""
        keyed: Mapping[BrokerId, Callable[[], Venue]] = {BINANCE: self._binance, OANDA: self._oanda, IG: self._ig}
        if not missing_keys(self._venues, broker_id):
            return keyed[broker_id]()
        if broker_id == BINANCE:
            return self._paper(self._binance_prices(), broker_id, "Binance")
        return self._paper(self._yahoo(broker_id), broker_id, "Yahoo, delayed")

    def _binance(self) -> Venue:
        environment = self._venues.binance_environment
        return Venue(broker=self._binance_prices(), says=f"Binance {environment}: prices and orders")

    def _binance_prices(self) -> BrokerInterface:
        from bot.layer1_data.brokers.binance.adapter import BinanceBroker
        from bot.layer1_data.brokers.binance.wire import Access

        access = Access(
            environment=self._venues.binance_environment,
            key=self._venues.binance_api_key,
            secret=self._venues.binance_api_secret,
            url=self._venues.binance_url,
        )
        return BinanceBroker(access=access, instruments=self._instruments(BINANCE), clock=self._clock)

    def _oanda(self) -> Venue:
        from bot.layer1_data.brokers.oanda.access import Access, Environment
        from bot.layer1_data.brokers.oanda.adapter import OandaBroker

        access = Access(
            token=self._venues.oanda_token,
            account=self._venues.oanda_account_id,
            environment=Environment(self._venues.oanda_environment),
            url=self._venues.oanda_url or None,
        )
        broker = OandaBroker(access, instruments=self._instruments(OANDA), clock=self._clock)
        return Venue(broker=broker, says=f"OANDA {self._venues.oanda_environment}: prices and orders")

    def _ig(self) -> Venue:
        from bot.layer1_data.brokers.ig.access import Access
        from bot.layer1_data.brokers.ig.stocks import IGStockBroker

        access = Access(
            environment=self._venues.ig_environment,
            key=self._venues.ig_api_key,
            username=self._venues.ig_username,
            password=self._venues.ig_password,
            account=self._venues.ig_account_id,
            url=self._venues.ig_url,
        )
        instruments = self._instruments(IG)
        broker = IGStockBroker(access=access, instruments=instruments, clock=self._clock, shares=self._yahoo(IG))
        return Venue(broker=broker, says=f"IG {self._venues.ig_environment}: orders and quotes, candles of Yahoo")

    def _yahoo(self, broker_id: BrokerId) -> PriceSource:
        from bot.layer1_data.feeds.yahoo import YahooSource

        return YahooSource(
            instruments=self._instruments(broker_id),
            clock=self._clock,
            cache_directory=self._data / "yahoo",
            url=self._venues.yahoo_url,
        )

    def _paper(self, source: PriceSource, broker_id: BrokerId, prices: str) -> Venue:
        venue = SimulatedBroker(
            broker_id=broker_id,
            instruments=self._instruments(broker_id),
            clock=self._clock,
            currency=Currency(self._settings.risk.account_currency),
            balance=self._settings.risk.starting_balance,
            state=FileVenueState(self._data / "paper" / f"venue-{broker_id}.json"),
            traits=VenueTraits(allows_short=broker_id != BINANCE),  # as with a key: spot
        )
        broker = PaperBroker(
            source,
            venue,
            registry=self._registry,
            clock=self._clock,
            max_quote_age=timedelta(seconds=self._settings.risk.max_quote_age_s),
        )
        return Venue(broker=broker, says=f"prices of {prices}; fills by ourselves")

    def _instruments(self, broker_id: BrokerId) -> list[Instrument]:
        return _universe(self._registry, broker_id)
