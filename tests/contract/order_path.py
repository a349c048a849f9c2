"""Our own order path over the adapter of a venue: what it asks of its surroundings."""

from typing import Any

from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.differences import Answer, AnswerKind, Difference
from bot.instruments import Instrument, InstrumentRegistry, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface
from bot.models import CandleSeries, JournalEntry, Timeframe
from bot.wiring.core import TradingCore, trading_core
from tests.builders import series


class OrderPath:
    """Stores and a journal that outlive each process."""

    def __init__(self) -> None:
        self.stores = MemoryStores()
        self.journal: list[JournalEntry] = []

    async def begun(self, broker: BrokerInterface, instrument: Instrument, clock: Clock) -> TradingCore:
        """A new process that knows what is stored."""
        core = trading_core(
            settings=Settings(),
            registry=InstrumentRegistry([instrument]),
            clock=clock,
            stores=self.stores,
            journal=self,
            candles=self,
            broker_of=lambda _: broker,
            quote_of=lambda symbol: broker.quote(symbol),
            entries_blocked=lambda *_: "",
            strategies=["divergence"],
            environment="p",
        )
        await core.tracker.load()
        await core.answers.load()
        return core

    async def record(self, written: JournalEntry) -> None:
        """The journal."""
        self.journal.append(written)

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """No candles: outcomes are not what is tested here."""
        return series([], symbol=symbol, timeframe=timeframe)

    async def answer(self, found: Difference, kind: AnswerKind, clock: Clock) -> None:
        """Give that answer as the command line does, without carrying it out."""
        await self.stores.answers.give(
            Answer(
                broker_id=found.broker_id,
                difference_id=found.id,
                fingerprint=found.fingerprint,
                kind=kind,
                about=found.kind,
                subject=found.subject,
                says=found.theirs,
                by="ada",
                at=clock.now(),
            )
        )

    def incidents(self) -> list[Any]:
        """What the incidents were about."""
        return [each.data["what"] for each in self.journal if each.kind == "incident"]
