"""The market of paper mode: real candles and quotes; orders at sandboxes, or filled by ourselves without a key."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from loguru import logger

from bot.clock import SystemClock
from bot.config import Settings
from bot.errors import BrokerError
from bot.instruments import DEFAULT_UNIVERSE, Instrument, InstrumentRegistry
from bot.layer1_data.broker_interface import BrokerInterface, VenueTerms
from bot.layer2_intelligence.strategies.divergence import DIVERGENCE
from bot.models import StrategyTask, Timeframe
from bot.wiring.doctor import differences
from bot.wiring.venues import Venue

DESCRIBED_WITHIN_S = 20.0


class PaperMarket:
    """Connected venues and what can be traded there, described as the venues describe it now."""

    def __init__(self, venues: Sequence[Venue], registry: InstrumentRegistry, notes: Sequence[str]) -> None:
        self.registry = registry
        self.speed = 1.0
        self.least_interval_s = 0.0
        self.clock = SystemClock()
        self.brokers: list[BrokerInterface] = [each.broker for each in venues]
        self._venues = venues
        self.notes = notes

    def tasks(self, settings: Settings) -> list[StrategyTask]:
        """One divergence task per instrument of the default universe and timeframe of TIMEFRAMES."""
        lengths = [Timeframe.parse(each) for each in settings.tasks.timeframe_names]
        return [StrategyTask.of(DIVERGENCE, each, length) for each in self.registry for length in lengths]

    async def run(self, stop: asyncio.Event) -> None:
        """The world plays it."""
        await stop.wait()

    def save(self) -> None:
        """Every venue remembers by itself."""

    def note(self) -> str:
        """What these prices and fills are, in one sentence."""
        return "; ".join(f"{each.broker.broker_id}: {each.says}" for each in self._venues)


async def open_paper_market(venues: Sequence[Venue]) -> PaperMarket:
    """Ask each venue what it trades; one that does not answer keeps our own description."""
    universe = [each for each in DEFAULT_UNIVERSE if any(each.broker_id == venue.broker.broker_id for venue in venues)]
    terms = await asyncio.gather(*(_described(each.broker, universe) for each in venues))
    by_symbol = {each.symbol: each for of_venue in terms for each in of_venue or ()}
    silent = {venue.broker.broker_id for venue, of_venue in zip(venues, terms, strict=True) if of_venue is None}
    says = {each.broker.broker_id: f"{each.broker.broker_id} ({each.says})" for each in venues}
    kept, notes = [], []
    for instrument in universe:
        found = by_symbol.get(instrument.symbol)
        if found is None and instrument.broker_id not in silent:
            notes.append(f"{instrument.symbol} is not traded: {says[instrument.broker_id]} does not offer it")
        elif found is None:
            kept.append(instrument)
        else:
            notes += differences(instrument, found)
            kept.append(refreshed(instrument, found))
    for each in notes:
        logger.warning("instruments: {}", each)
    return PaperMarket(venues, InstrumentRegistry(kept), notes)


def refreshed(instrument: Instrument, terms: VenueTerms) -> Instrument:
    """`instrument` with the precision that its venue demands today."""
    return replace(
        instrument,
        tick=terms.tick,
        quantity_step=terms.quantity_step,
        min_quantity=terms.min_quantity,
        contract_size=terms.contract_size,
    )


async def _described(broker: BrokerInterface, universe: Sequence[Instrument]) -> Sequence[VenueTerms] | None:
    try:
        async with asyncio.timeout(DESCRIBED_WITHIN_S):
            return await broker.terms([each.symbol for each in universe if each.broker_id == broker.broker_id])
    except (BrokerError, TimeoutError) as error:
        words = str(error) or "no answer"
        logger.warning("instruments of {}: {}; our own description is used", broker.broker_id, words)
        return None
