"""The market of paper mode: real candles and quotes; orders at sandboxes, or filled by ourselves without a key."""

import asyncio
from collections.abc import Sequence
from typing import Final

from loguru import logger

from bot.clock import SystemClock
from bot.config import Settings
from bot.errors import BrokerError, BrokerUnavailable
from bot.instruments import DEFAULT_UNIVERSE, Instrument, InstrumentRegistry
from bot.layer1_data.broker_interface import BrokerInterface, VenueTerms
from bot.layer1_data.venue_terms import VenueDescriptions, differences, refreshed
from bot.layer2_intelligence.strategies.divergence import DIVERGENCE
from bot.models import StrategyTask, Timeframe
from bot.wiring.venues import Venue

DESCRIBED_WITHIN_S: Final = 20.0
_ASK_AGAIN_S: Final = 30.0


class PaperMarket:
    """Connected venues and what can be traded there, described as the venues describe it now."""

    def __init__(
        self,
        venues: Sequence[Venue],
        registry: InstrumentRegistry,
        notes: Sequence[str],
        descriptions: VenueDescriptions,
    ) -> None:
        self.registry = registry
        self.speed = 1.0
        self.least_interval_s = 0.0
        self.clock = SystemClock()
        self.brokers: list[BrokerInterface] = [each.broker for each in venues]
        self._venues = venues
        self.notes = notes
        self.descriptions = descriptions

    def tasks(self, settings: Settings) -> list[StrategyTask]:
        """One divergence task per instrument of the default universe and timeframe of TIMEFRAMES."""
        lengths = [Timeframe.parse(each) for each in settings.tasks.timeframe_names]
        return [StrategyTask.of(DIVERGENCE, each, length) for each in self.registry for length in lengths]

    async def run(self, stop: asyncio.Event) -> None:
        """The world plays it; a venue that has not described its instruments yet is asked again meanwhile."""
        asking = asyncio.create_task(self._ask_on(), name="descriptions")
        try:
            await stop.wait()
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    async def ask_silent(self) -> None:
        """Once more, of those venues that have described nothing yet. What must be taken over waits for a start."""
        for broker in self.brokers:
            name = broker.broker_id
            if name not in self.descriptions.silent:
                continue
            ours = self.registry.of_broker(name)
            terms = await _described(broker, ours)
            if isinstance(terms, BrokerError):
                logger.debug("instruments of {}: {}", name, terms)  # told at the start; a weekend has many of these
                continue
            self.descriptions.note_late(name, ours, terms)
            logger.info("instruments of {}: described now; {}", name, self.descriptions.blocked(name) or "all fit")

    async def _ask_on(self) -> None:
        while self.descriptions.silent:
            await self.clock.sleep(_ASK_AGAIN_S)
            await self.ask_silent()

    def save(self) -> None:
        """Every venue remembers by itself."""

    def note(self) -> str:
        """What these prices and fills are, in one sentence."""
        return "; ".join(f"{each.broker.broker_id}: {each.says}" for each in self._venues)


async def open_paper_market(venues: Sequence[Venue]) -> PaperMarket:
    """Ask each venue what it trades; of one that does not answer our own description is kept, and nothing opened."""
    known = {each.broker.broker_id for each in venues}
    universe = InstrumentRegistry(each for each in DEFAULT_UNIVERSE if each.broker_id in known)
    answers = await asyncio.gather(
        *(_described(each.broker, universe.of_broker(each.broker.broker_id)) for each in venues)
    )
    descriptions, kept, notes = VenueDescriptions(), list[Instrument](), list[str]()
    for venue, terms in zip(venues, answers, strict=True):
        broker_id, ours = venue.broker.broker_id, universe.of_broker(venue.broker.broker_id)
        if isinstance(terms, BrokerError):
            logger.opt(exception=terms.__cause__).warning(
                "instruments of {}: {}; our own description is used, nothing is opened until it answers; it is asked "
                "again every {:g} s",
                broker_id,
                terms,
                _ASK_AGAIN_S,
            )
            descriptions.expect(broker_id)
            kept += ours
            continue
        descriptions.note(broker_id, ours, terms)
        told = {each.symbol: each for each in terms}
        for instrument in ours:
            if instrument.symbol in told:
                notes += differences(instrument, told[instrument.symbol])
                kept.append(refreshed(instrument, told[instrument.symbol]))
            else:
                notes.append(f"{instrument.symbol} is not traded: {broker_id} ({venue.says}) does not offer it")
    for each in notes:
        logger.warning("instruments: {}", each)
    return PaperMarket(venues, InstrumentRegistry(kept), notes, descriptions)


async def _described(broker: BrokerInterface, ours: Sequence[Instrument]) -> Sequence[VenueTerms] | BrokerError:
    """What it says of them, or why it says nothing."""
    try:
        async with asyncio.timeout(DESCRIBED_WITHIN_S):
            return await broker.terms([each.symbol for each in ours])
    except BrokerError as error:
        return error
    except TimeoutError:
        return BrokerUnavailable(f"{broker.broker_id}: no answer within {DESCRIBED_WITHIN_S:g} s")
    except Exception as error:  # of one venue: the others are described, and this one is asked again
        unreadable = BrokerUnavailable(f"{broker.broker_id}: its description cannot be read: {type(error).__name__}")
        unreadable.__cause__ = error
        return unreadable
