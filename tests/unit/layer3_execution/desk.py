"""One instrument, one awkward venue, the real stores in memory and the real order path over them."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal

from bot.clock import ManualClock
from bot.config import Settings
from bot.database.memory import MemoryStores
from bot.instruments import Currency, InstrumentRegistry, Symbol
from bot.interfaces import OrderStore
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import (
    ApprovedOrder,
    CandleSeries,
    ClientOrderId,
    JournalEntry,
    Order,
    OrderRole,
    OrderState,
    Position,
    Quote,
    Timeframe,
    VenuePosition,
)
from bot.wiring.core import trading_core
from tests.builders import EUR_USD, START, approved_order, frictionless, series
from tests.fakes.awkward_broker import AwkwardBroker

NO_FRICTION = frictionless(tick="0.001")
BROKER = NO_FRICTION.broker_id


class Desk:
    """The order path at a price of 100. `restart` keeps what a crash leaves: the venue and the stores."""

    def __init__(
        self,
        *,
        orders: OrderStore | None = None,
        clock: ManualClock | None = None,
        liquidity: Decimal | None = None,
        venue: VenueTraits | None = None,
    ) -> None:
        """`venue` says what kind of venue it is."""
        self.clock = clock or ManualClock(START)
        self.venue = SimulatedBroker(
            broker_id=BROKER,
            instruments=[NO_FRICTION],
            clock=self.clock,
            currency=Currency("USD"),
            balance=Decimal(1_000_000),
            traits=replace(venue or VenueTraits(), liquidity=liquidity),
        )
        self.broker = AwkwardBroker(self.venue, self.clock)
        self.stores = MemoryStores()
        if orders is not None:
            self.stores.orders = orders
        self.journal: list[JournalEntry] = []
        self.broken_journal = False
        self.build()
        self.observe(100)

    def build(self) -> None:
        """Make the parts anew, knowing nothing."""
        core = trading_core(
            settings=Settings(),
            registry=InstrumentRegistry([NO_FRICTION]),
            clock=self.clock,
            stores=self.stores,
            journal=self,
            candles=self,
            broker_of=lambda _: self.broker,
            quote_of=self.quote_of,
            entries_blocked=lambda *_: "",
            strategies=["divergence"],
            environment="d",
        )
        self.book, self.tracker, self.engine = core.book, core.tracker, core.engine
        self.guard, self.reconciler, self.pipeline = core.guard, core.reconciler, core.pipeline
        self.answers = core.answers

    async def restart(self) -> None:
        """A crash, then a new process over the same stores and venue."""
        self.build()
        await self.tracker.load()

    def observe(self, price: float | str | Decimal) -> None:
        """The market moves to `price`; nobody on our side has looked yet."""
        exact = Decimal(str(price))
        self.venue.observe(EUR_USD, bid=exact, ask=exact, at=self.clock.now(), gap=True)

    async def look(self, price: float | str) -> None:
        """The guard sees `price`, whatever the venue does."""
        exact = Decimal(str(price))
        await self.guard.on_price(EUR_USD, bid=exact, ask=exact)

    async def price(self, price: float | str) -> None:
        """One round: the market moves, fills are read, the guard looks."""
        self.observe(price)
        await self.tracker.collect(BROKER)
        await self.look(price)

    async def bought(self, **changes: object) -> ApprovedOrder:
        """Buy 10 at 100 and answer the approval."""
        approved = approved_order(**changes)
        await self.engine.submit(approved)
        return approved

    async def order(self, client_order_id: ClientOrderId) -> Order:
        """The order as the store has it."""
        return await self.stores.orders.order(client_order_id)

    async def position(self) -> Position:
        """The position of `approved_order` as the store has it."""
        return await self.stores.orders.position(approved_order().position_id)

    async def at_venue(self) -> VenuePosition | None:
        """What the venue really has open."""
        return next(iter(await self.venue.positions()), None)

    async def exits(self) -> list[Order]:
        """Exit orders of the position, oldest first."""
        rows = await self.stores.orders.orders_of(approved_order().position_id)
        return [each for each in rows if each.role is OrderRole.EXIT]

    async def states(self) -> Mapping[str, OrderState]:
        """State of each order by the role it plays."""
        rows = await self.stores.orders.orders_of(approved_order().position_id)
        return {each.role.value: each.state for each in rows}

    def incidents(self) -> list[str]:
        """What the incidents were about."""
        return [str(each.data["what"]) for each in self.journal if each.kind == "incident"]

    # what the parts ask of the desk itself

    async def record(self, entry: JournalEntry) -> None:
        """The journal."""
        if self.broken_journal:
            raise RuntimeError("the journal is broken")
        self.journal.append(entry)

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """No candles: outcomes are not what is tested here."""
        return series([], symbol=symbol, timeframe=timeframe)

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        """The venue's price."""
        return await self.broker.quote(symbol)
