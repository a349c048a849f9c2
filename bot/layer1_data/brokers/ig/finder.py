"""Finds orders at IG, which has no question for one: activity, positions, working orders and confirms are looked at."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from bot.errors import BrokerUnavailable
from bot.instruments import Symbol
from bot.layer1_data.broker_interface import FOREIGN, VenueOrder
from bot.layer1_data.brokers.ig import from_ig, to_ig
from bot.layer1_data.brokers.ig.errors import Fate, readable
from bot.layer1_data.brokers.ig.from_ig import OpenDeal, is_ours
from bot.layer1_data.brokers.ig.ledger import CLOSED, OPENED, RESTED, WITHDRAWN, Deal, Ledger
from bot.layer1_data.brokers.ig.market import number
from bot.layer1_data.brokers.ig.markets import Markets
from bot.layer1_data.brokers.ig.recent import Recent
from bot.layer1_data.brokers.ig.session import Session
from bot.layer1_data.brokers.limiter import Priority
from bot.models import ClientOrderId, Direction, OrderState, Side, entry_of, is_stop_leg


class Finder:
    """Answers about what is there. A question that was refused is no answer."""

    def __init__(self, session: Session, markets: Markets, ledger: Ledger, recent: Recent, *, shared_s: float) -> None:
        """`shared_s`: how long a list may answer other reads."""
        self._session = session
        self._markets = markets
        self._ledger = ledger
        self._deals = recent.shared(self._asked_deals, shared_s)
        self._resting = recent.shared(self._asked_resting, shared_s)

    async def find(self, name: ClientOrderId) -> VenueOrder | None:
        """In activity, among positions and working orders, at last by its confirm. A refused question is no answer."""
        await self._ledger.refresh(Priority.ORDER)
        if is_stop_leg(name) or name == self._ledger.stop_of(entry_of(name)):
            return await self._find_stop(name)
        if name != entry_of(name):
            return await self._find_close(name)
        return self.told(name) or await self._find_shown(name)

    async def deals_of(self, entry: ClientOrderId, priority: Priority) -> list[OpenDeal]:
        """What an entry has left, largest first: one deal, or two if a proxy delivered its request twice."""
        found = [each for each in await self.open_deals(priority) if entry in self._names_of(each)]
        return sorted(found, key=lambda each: -each.size)

    async def open_deal(self, entry: ClientOrderId, priority: Priority) -> OpenDeal | None:
        """The (larger) one of them."""
        return next(iter(await self.deals_of(entry, priority)), None)

    def entry(self, held: OpenDeal) -> ClientOrderId:
        """Whose position it is; what is not ours goes by its deal."""
        return self._ledger.name_of(held.deal_id, held.reference) or ClientOrderId(f"{FOREIGN}{held.deal_id}")

    async def open_deals(self, priority: Priority) -> list[OpenDeal]:
        """All positions. One that a resting order made may carry another reference: activity knows whose it is."""
        return await self._deals.get(priority)

    async def resting(self, priority: Priority) -> list[from_ig.Resting]:
        """All working orders."""
        return await self._resting.get(priority)

    async def _asked_deals(self, priority: Priority) -> list[OpenDeal]:
        data = await self._session.ask(to_ig.POSITIONS, priority)
        with readable("positions"):
            found = from_ig.open_deals(data)
        if any(self._ledger.name_of(each.deal_id, each.reference) is None for each in found):
            await self._ledger.refresh(priority)
        return found

    async def _asked_resting(self, priority: Priority) -> list[from_ig.Resting]:
        data = await self._session.ask(to_ig.WORKING_ORDERS, priority)
        with readable("working orders"):
            return from_ig.resting(data)

    def told(self, name: ClientOrderId) -> VenueOrder | None:
        """The entry as activity knows it, as of the last look."""
        made = [each for each in self._ledger.deals() if each.name == name and each.event.action == OPENED]
        if not made:
            return None
        return self.order(name, made[0].event.affected, made[0].event.epic, made[0].is_buy, made[0].event.size)

    async def _find_shown(self, name: ClientOrderId) -> VenueOrder | None:
        held = await self.open_deal(name, Priority.ORDER)
        if held is not None:
            return self.order(name, held.deal_id, held.epic, held.direction is Direction.LONG, held.size)
        for each in await self.resting(Priority.ORDER):
            if self._ledger.name_of(each.deal_id, "") == name:
                return self.resting_order(each)
        for action in WITHDRAWN:
            if (event := self._ledger.event_of(name, action)) is not None:
                return self.order(name, event.affected, event.epic, event.is_buy, event.size, OrderState.CANCELED)
        return await self._find_confirmed(name)

    async def _find_confirmed(self, name: ClientOrderId) -> VenueOrder | None:
        reply = await self._session.look(to_ig.confirm(name), Priority.ORDER)
        if reply.fate is Fate.NOT_FOUND and self._ledger.event_of(name, RESTED) is None:
            return None
        if reply.fate is Fate.ACK:
            with readable(f"the confirm of {name}"):
                data: Any = reply.data
                told = from_ig.confirm(data, name)
                if told.fate is Fate.REJECTED:
                    buy = data.get("direction") != "SELL"
                    return self.order(name, told.deal_id, str(data["epic"]), buy, Decimal(0), OrderState.REJECTED)
        raise BrokerUnavailable(f"ig: order {name} was taken and is not shown yet, or not told of: {reply.says}")

    async def _find_close(self, name: ClientOrderId) -> VenueOrder | None:
        made = self._made_by(name)
        if not made and (reference := self._ledger.reference_of(name)) is not None:
            return await self._find_taken_close(name, reference)
        if not made:
            self._ledger.claim(name)
            made = self._made_by(name)
        if not made:
            return None
        first, size = made[0].event, sum((each.event.size for each in made), Decimal(0))
        return self.order(name, first.key.partition(":")[0], first.epic, made[0].is_buy, size)

    async def _find_taken_close(self, name: ClientOrderId, reference: str) -> VenueOrder | None:
        """By its confirm, which may be there before activity shows it. None: neither knows it."""
        reply = await self._session.look(to_ig.confirm(reference), Priority.ORDER)
        if reply.fate is Fate.NOT_FOUND:
            return None
        if reply.fate is Fate.ACK:
            with readable(f"the confirm of {name}"):
                data: Any = reply.data
                told, epic = from_ig.confirm(data, reference), str(data["epic"])
                opened = self.told(entry_of(name))
                buys = opened is not None and opened.side is Side.SELL
                if told.fate is Fate.ACK:
                    return self.order(name, told.deal_id, epic, buys, number(data["size"]))
                if told.fate is Fate.REJECTED:
                    return self.order(name, told.deal_id, epic, buys, Decimal(0), OrderState.REJECTED)
        raise BrokerUnavailable(f"ig: close {name} was taken and is not told of yet: {reply.says}")

    def _made_by(self, name: ClientOrderId) -> list[Deal]:
        return [each for each in self._ledger.deals() if each.name == name]

    async def _find_stop(self, name: ClientOrderId) -> VenueOrder | None:
        """A stop has no order of its own: it is its position's, and gone with it."""
        entry = entry_of(name)
        held = await self.open_deal(entry, Priority.ORDER)
        if held is not None:
            return self.stop(held, name) if held.stop is not None and self._ledger.stop_of(entry) == name else None
        made = [each for each in self._ledger.deals() if each.name == name and each.event.action in CLOSED]
        if made:
            size = sum((each.event.size for each in made), Decimal(0))
            return self.order(name, made[-1].event.affected, made[-1].event.epic, made[-1].is_buy, size)
        opened = self.told(entry)
        if opened is None:
            return None
        ended = replace(opened, client_order_id=name, side=Side.SELL if opened.side is Side.BUY else Side.BUY)
        return replace(ended, state=OrderState.CANCELED, filled_quantity=Decimal(0), reduces_only=True)

    def resting_order(self, row: from_ig.Resting) -> VenueOrder:
        """A working order; whose it is activity or its confirm told."""
        name = self._ledger.name_of(row.deal_id, "")
        found = self.order(name, row.deal_id, row.epic, row.is_buy, row.size, OrderState.WORKING)
        return replace(found, price=self.price(row.epic, row.level))

    def stop(self, held: OpenDeal, name: ClientOrderId | None) -> VenueOrder:
        """The stop of a position, as large as that."""
        long = held.direction is Direction.LONG
        found = self.order(name, held.deal_id, held.epic, not long, held.size, OrderState.WORKING)
        return replace(found, reduces_only=True, price=None if held.stop is None else self.price(held.epic, held.stop))

    def order(
        self,
        name: ClientOrderId | None,
        deal_id: str,
        epic: str,
        is_buy: bool,
        size: Decimal,
        state: OrderState = OrderState.FILLED,
    ) -> VenueOrder:
        """In our words. What is not in the registry keeps the venue's units."""
        quantity = self.quantity(epic, size)
        return VenueOrder(
            client_order_id=name,
            venue_order_id=deal_id,
            symbol=self.symbol(epic),
            side=Side.BUY if is_buy else Side.SELL,
            state=state,
            quantity=quantity,
            filled_quantity=quantity if state is OrderState.FILLED else Decimal(0),
            price=None,
            reduces_only=name is not None and is_ours(name) and name != entry_of(name),
        )

    def symbol(self, epic: str) -> Symbol:
        """What is not in the registry goes by its epic."""
        known = self._markets.by_epic.get(epic)
        return Symbol(epic) if known is None else known.symbol

    def _names_of(self, held: OpenDeal) -> tuple[ClientOrderId, ClientOrderId]:
        """One that was adopted goes by two."""
        return self.entry(held), entry_of(self.entry(held))

    def price(self, epic: str, level: Decimal) -> Decimal:
        """A level of that epic as our price."""
        market = self._markets.known(self.symbol(epic))
        return level if market is None else market.price(level)

    def quantity(self, epic: str, size: Decimal) -> Decimal:
        """A size of that epic as our quantity."""
        market = self._markets.known(self.symbol(epic))
        return size if market is None else market.quantity(size)
