"""Orders of IG: each sent once, then its confirm is asked for, since the first answer says nothing about the deal."""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any, Final

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import (
    WOULD_TRIGGER,
    LastWord,
    VenueOrder,
    beyond_bound,
    foreign_name,
    nothing_against,
)
from bot.layer1_data.brokers.ig import from_ig, to_ig
from bot.layer1_data.brokers.ig.admission import off_grid, on_grid, unusable_close, unusable_entry
from bot.layer1_data.brokers.ig.errors import BEYOND_THE_LEVEL, BEYOND_THE_STOP, Fate, Reply, unanswered
from bot.layer1_data.brokers.ig.finder import Finder
from bot.layer1_data.brokers.ig.from_ig import Confirm, OpenDeal, rejection
from bot.layer1_data.brokers.ig.ledger import Ledger
from bot.layer1_data.brokers.ig.markets import Markets
from bot.layer1_data.brokers.ig.recent import Recent
from bot.layer1_data.brokers.ig.session import Session
from bot.layer1_data.brokers.limiter import Priority
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Direction,
    OrderAck,
    OrderKind,
    OrderState,
    ReduceOrder,
    VenuePosition,
    entry_of,
    is_stop_leg,
)

POSITION_NOT_FOUND: Final = "POSITION_NOT_FOUND"
_NOTHING_DONE: Final = (Fate.NOT_SENT, Fate.BUSY, Fate.LOCKED_OUT, Fate.HISTORY_SPENT)


class Orders:
    """Places, changes and cancels."""

    def __init__(
        self,
        session: Session,
        markets: Markets,
        ledger: Ledger,
        finder: Finder,
        recent: Recent,
        clock: Clock,
        *,
        confirm_tries: int,
        confirm_wait_s: float,
    ) -> None:
        self._session = session
        self._markets = markets
        self._ledger = ledger
        self._finder = finder
        self._recent = recent
        self._clock = clock
        self._tries = confirm_tries
        self._wait_s = confirm_wait_s

    async def enter(self, order: ApprovedOrder, last_word: LastWord) -> OrderAck:
        """At market, within its bound, or resting at a limit; with its stop."""
        name, priority = order.client_order_id, Priority.ORDER
        market = await self._markets.market(order.symbol, priority)
        if market is None:
            return rejection(name, f"UNKNOWN_SYMBOL: IG does not know {order.symbol}")
        if unusable := unusable_entry(order, market):
            return rejection(name, unusable)
        deal = to_ig.Deal(
            reference=name,
            epic=market.instrument.venue_symbol,
            expiry=market.expiry,
            currency=market.currency,
            side=order.side,
            size=market.size(order.quantity),
            stop=market.level(order.plan.stop),
        )
        rests = order.kind is OrderKind.LIMIT
        if rests and order.limit_price is not None:
            call = to_ig.rest_limit(deal, market.level(order.limit_price))
        else:
            call = to_ig.open_position(deal, market.level(order.price_bound))
        self._ledger.note_stop(entry_of(name), order.stop_order_id)
        confirmed = await self._dealt(call, name, priority, last_word=last_word)
        if confirmed is None or confirmed.fate is Fate.EXISTS:
            return await self._looked_up(name, confirmed)
        if confirmed.fate is not Fate.ACK:
            gone = not rests and confirmed.reason in BEYOND_THE_LEVEL
            reason = confirmed.reason
            return rejection(name, beyond_bound(reason, order.side, order.price_bound) if gone else reason)
        self._ledger.note_deal(name, confirmed.deal_id)
        state = OrderState.WORKING if rests else OrderState.FILLED
        return OrderAck(client_order_id=name, state=state, venue_order_id=confirmed.deal_id)

    async def reduce(self, order: ReduceOrder, last_word: LastWord) -> OrderAck:
        """Close no more than is open, of the position that the order names: a close by its deal cannot open one."""
        name = order.client_order_id
        market = await self._markets.market(order.symbol, Priority.EXIT)
        if market is None:
            return rejection(name, f"UNKNOWN_SYMBOL: IG does not know {order.symbol}")
        held = await self._finder.open_deal(order.entry_order_id, Priority.EXIT)
        if held is None:
            return rejection(name, POSITION_NOT_FOUND)
        if unusable := unusable_close(order, held.direction, market):
            return rejection(name, unusable)
        size = min(market.size(order.quantity), held.size)
        self._ledger.note_sent(name, held.deal_id, size)
        call = to_ig.close_position(held.deal_id, held.direction, size)
        try:
            told = partial(self._ledger.note_close, name)
            confirmed = await self._dealt(call, name, Priority.EXIT, told, last_word)
        except BrokerUnavailable:
            self._ledger.note_close(name, None)
            raise
        if confirmed is None or confirmed.fate is Fate.EXISTS:
            raise OrderFateUnknown(f"ig: close {name} of deal {held.deal_id} was taken, but not confirmed; reconcile")
        if confirmed.fate is not Fate.ACK:
            self._ledger.note_close(name, None)
            return rejection(name, confirmed.reason)
        return OrderAck(client_order_id=name, state=OrderState.FILLED, venue_order_id=confirmed.deal_id)

    async def protect(self, position: VenuePosition, name: ClientOrderId, stop: Decimal) -> OrderAck:
        """Give a bare position its stop."""
        deals = await self._finder.deals_of(position.entry_order_id, Priority.PROTECTION)
        if not deals:
            return rejection(name, POSITION_NOT_FOUND)
        held = next((each for each in deals if each.stop is None), None)
        if held is None:
            return rejection(name, f"STOP_EXISTS: deal {deals[0].deal_id} has its one stop already; move that")
        answer = await self._move(held, name, stop, position.symbol)
        if answer.state is OrderState.WORKING:
            self._ledger.note_stop(position.entry_order_id, name)
        return answer

    async def amend(self, entry: ClientOrderId, stop: Decimal) -> OrderAck:
        """Move the stop of a position, or give it one."""
        name = self._ledger.stop_of(entry)
        deals = await self._finder.deals_of(entry, Priority.PROTECTION)
        if not deals:
            return rejection(name, POSITION_NOT_FOUND)
        symbol = self._finder.symbol(deals[0].epic)
        market = await self._markets.market(symbol, Priority.PROTECTION)
        level = None if market is None else market.level(stop)
        held = next((each for each in deals if each.stop != level), deals[0])
        return await self._move(held, name, stop, symbol)

    async def cancel(self, name: ClientOrderId) -> OrderAck:
        """Take a resting entry back, or a stop off its position."""
        if is_stop_leg(name) or name == self._ledger.stop_of(entry_of(name)):
            return await self._unprotect(name)
        found = await self._finder.find(name)
        if found is None:
            return rejection(name, "ORDER_NOT_FOUND")
        if found.state.is_terminal:
            return OrderAck(client_order_id=name, state=found.state, venue_order_id=found.venue_order_id)
        confirmed = await self._dealt(to_ig.cancel_working(found.venue_order_id), name, Priority.PROTECTION)
        if confirmed is not None and confirmed.fate is Fate.ACK:
            return OrderAck(client_order_id=name, state=OrderState.CANCELED, venue_order_id=found.venue_order_id)
        after = await self._found_or_unknown(name)
        if after.state.is_terminal:  # the fill came first
            return OrderAck(client_order_id=name, state=after.state, venue_order_id=after.venue_order_id)
        raise OrderFateUnknown(f"ig: the cancel of {name} was not confirmed; reconcile")

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        """Take a resting order back that somebody else has made. Whether its confirm came or not, the list tells."""
        name = foreign_name(order)
        confirmed = await self._dealt(to_ig.cancel_working(order.venue_order_id), name, Priority.PROTECTION)
        if confirmed is None:
            raise OrderFateUnknown(f"ig: the cancel of {name} was not confirmed; look again")
        if confirmed.fate is not Fate.ACK:
            return rejection(name, confirmed.reason)
        return OrderAck(client_order_id=name, state=OrderState.CANCELED, venue_order_id=order.venue_order_id)

    # -------------------------------------------------------------------------------------------------------- inside

    async def _dealt(
        self,
        call: to_ig.Call,
        name: ClientOrderId,
        priority: Priority,
        told: Callable[[str], None] | None = None,
        last_word: LastWord = nothing_against,
    ) -> Confirm | None:
        """Send once, then ask what became of it. None: it was taken, and the venue does not say what became of it."""
        self._recent.forget()
        try:
            return await self._sent(call, name, priority, told, last_word)
        finally:
            self._recent.forget()

    async def _sent(
        self,
        call: to_ig.Call,
        name: ClientOrderId,
        priority: Priority,
        told: Callable[[str], None] | None,
        last_word: LastWord,
    ) -> Confirm | None:
        reply = await self._session.send(call, priority, last_word)
        if reply.fate in _NOTHING_DONE:
            raise unanswered(f"{call.method} for order {name} had no effect", reply)
        if reply.fate in (Fate.REJECTED, Fate.NOT_FOUND):
            return Confirm(fate=Fate.REJECTED, reason=reply.says, deal_id="")
        reference = _reference_in(reply)
        if reference is None:
            raise OrderFateUnknown(f"ig: no usable answer to {call.method} for order {name}: {reply.says}; reconcile")
        if told is not None:
            told(reference)
        return await self._confirmed(reference, name, priority)

    async def _confirmed(self, reference: str, name: ClientOrderId, priority: Priority) -> Confirm | None:
        for attempt in range(self._tries):
            if attempt:
                await self._clock.sleep(self._wait_s)
            try:
                reply = await self._session.look(to_ig.confirm(reference), priority)
            except BrokerUnavailable:
                continue  # the order was taken: what cannot be asked now is looked for elsewhere
            if reply.fate is not Fate.ACK:
                continue
            try:
                data: Any = reply.data
                found = from_ig.confirm(data, reference)
            except (ValueError, KeyError, TypeError) as error:
                raise OrderFateUnknown(f"ig: the confirm of {name} cannot be read: {error}; reconcile") from error
            if found.fate is Fate.AMBIGUOUS:
                raise OrderFateUnknown(f"ig: order {name} was answered {found.reason}; reconcile")
            return found
        return None

    async def _looked_up(self, name: ClientOrderId, confirmed: Confirm | None) -> OrderAck:
        found = await self._found_or_unknown(name, "" if confirmed is None else confirmed.reason)
        state = found.state if found.state.is_terminal else OrderState.WORKING
        return OrderAck(client_order_id=name, state=state, venue_order_id=found.venue_order_id)

    async def _found_or_unknown(self, name: ClientOrderId, says: str = "") -> VenueOrder:
        try:
            await self._ledger.refresh(Priority.ORDER)
            found = self._finder.told(name)
            if found is None and (held := await self._finder.open_deal(name, Priority.ORDER)) is not None:
                found = self._finder.order(name, held.deal_id, held.epic, held.direction is Direction.LONG, held.size)
        except BrokerUnavailable as error:
            raise OrderFateUnknown(f"ig: order {name} was not confirmed: {says} {error}; reconcile") from error
        if found is None:
            raise OrderFateUnknown(f"ig: order {name} was taken, but not confirmed and is not shown {says}; reconcile")
        return found

    async def _move(self, held: OpenDeal, name: ClientOrderId, stop: Decimal, symbol: Symbol) -> OrderAck:
        market = await self._markets.market(symbol, Priority.PROTECTION)
        if market is None:
            return rejection(name, f"UNKNOWN_SYMBOL: {held.epic} is not in the registry")
        if not on_grid(stop, market.instrument.tick):
            return rejection(name, off_grid("stop", stop, market.instrument.tick))
        call = to_ig.set_stop(held.deal_id, market.level(stop), held.limit)
        confirmed = await self._dealt(call, name, Priority.PROTECTION)
        if confirmed is None or confirmed.fate is Fate.EXISTS:
            after = await self._after_move(held.deal_id, name)
            if after.stop != market.level(stop):
                raise OrderFateUnknown(f"ig: the move of stop {name} was not confirmed; reconcile")
        elif confirmed.fate is not Fate.ACK:
            beyond = confirmed.reason == BEYOND_THE_STOP and await self._is_beyond(held.direction, stop, symbol)
            return rejection(name, WOULD_TRIGGER if beyond else confirmed.reason)
        return OrderAck(client_order_id=name, state=OrderState.WORKING, venue_order_id=held.deal_id)

    async def _after_move(self, deal_id: str, name: ClientOrderId) -> OpenDeal:
        try:
            found = await self._finder.open_deals(Priority.PROTECTION)
        except BrokerUnavailable as error:
            raise OrderFateUnknown(f"ig: the change of stop {name} was not confirmed: {error}; reconcile") from error
        for each in found:
            if each.deal_id == deal_id:
                return each
        raise OrderFateUnknown(f"ig: the change of stop {name} was not confirmed and its position is gone; reconcile")

    async def _unprotect(self, name: ClientOrderId) -> OrderAck:
        deals = await self._finder.deals_of(entry_of(name), Priority.PROTECTION)
        held = next((each for each in deals if each.stop is not None), None)
        if held is None:
            found = await self._finder.find(name)
            if found is None or not found.state.is_terminal:
                return rejection(name, "ORDER_NOT_FOUND")
            return OrderAck(client_order_id=name, state=found.state, venue_order_id=found.venue_order_id)
        confirmed = await self._dealt(to_ig.set_stop(held.deal_id, None, held.limit), name, Priority.PROTECTION)
        if confirmed is None or confirmed.fate is Fate.EXISTS:
            if (await self._after_move(held.deal_id, name)).stop is not None:
                raise OrderFateUnknown(f"ig: the removal of stop {name} was not confirmed; reconcile")
        elif confirmed.fate is not Fate.ACK:
            return rejection(name, confirmed.reason)
        return OrderAck(client_order_id=name, state=OrderState.CANCELED, venue_order_id=held.deal_id)

    async def _is_beyond(self, direction: Direction, stop: Decimal, symbol: Symbol) -> bool:
        try:
            quote = await self._markets.quote(symbol)
        except BrokerUnavailable:
            return False
        return quote.bid <= stop if direction is Direction.LONG else quote.ask >= stop


def _reference_in(reply: Reply) -> str | None:
    data: Any = reply.data
    known = reply.fate is Fate.ACK and isinstance(data, dict) and isinstance(data.get("dealReference"), str)
    return str(data["dealReference"]) if known else None
