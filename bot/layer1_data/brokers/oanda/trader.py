"""Orders of one account: each is sent once, and what became of it is told as surely as it is known."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final
from weakref import WeakValueDictionary

from loguru import logger

from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.joined_reading import JoinedReading
from bot.layer1_data.broker_interface import (
    FOREIGN,
    WOULD_TRIGGER,
    LastWord,
    VenueOrder,
    beyond_bound,
    foreign_name,
    nothing_against,
)
from bot.layer1_data.brokers.limiter import Priority
from bot.layer1_data.brokers.oanda import from_oanda, to_oanda
from bot.layer1_data.brokers.oanda.closes import comment_of
from bot.layer1_data.brokers.oanda.desk import Desk
from bot.layer1_data.brokers.oanda.errors import (
    BEYOND_THE_STOP,
    Failure,
    Verdict,
    code_in,
    is_refused,
    unanswered,
    verdict_of,
    verdict_of_code,
    words_in,
)
from bot.layer1_data.brokers.oanda.lookup import find_order
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    OrderAck,
    OrderKind,
    OrderState,
    ReduceOrder,
    Side,
    VenuePosition,
    leg_of,
)
from bot.patience import within

Json = Mapping[str, Any]

_BEYOND_BOUND: Final = "BOUNDS_VIOLATION"
_BY_AGE: Final = "LIMIT_NOT_POSSIBLE: what rests reduces the oldest trade; watch the price and close at market"


class Trader:
    """Sends."""

    def __init__(self, desk: Desk, names: from_oanda.Names, joined_s: float) -> None:
        self._desk = desk
        self._names = names
        self._joined_s = joined_s
        self._closing: WeakValueDictionary[ClientOrderId, asyncio.Lock] = WeakValueDictionary()
        self._seen: dict[ClientOrderId, from_oanda.Trade] = {}
        self._to_close = JoinedReading(lambda: self.trades(Priority.EXIT))  # by all who close at the same time

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord) -> OrderAck:
        """An entry or a reduction."""
        instrument = self._names.venue_symbol(order.symbol)
        if instrument is None:
            return _rejected(order.client_order_id, "UNKNOWN_SYMBOL")
        if isinstance(order, ReduceOrder):
            return await self._reduce(order, last_word)
        if order.stop_order_id == order.client_order_id:
            return _rejected(order.client_order_id, "DUPLICATE_STOP_ID")
        ack = await self._send(to_oanda.entry(order, instrument), order.client_order_id, Priority.ORDER, last_word)
        return _as_entry(ack, order)

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """A stop for a trade without one."""
        return _as_stop(
            await self._send(to_oanda.new_stop(position, stop_order_id, stop), stop_order_id, Priority.PROTECTION)
        )

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """The stop of one trade at another price; the venue replaces the order, which keeps our name."""
        trade = next((each for each in await self.trades(Priority.PROTECTION) if _is_of(each, entry_order_id)), None)
        if trade is None:
            return _rejected(entry_order_id, "POSITION_NOT_FOUND")
        held = trade.position.stop_order_id
        name = leg_of(entry_order_id, "S0") if held is None or held.startswith(FOREIGN) else held
        return _as_stop(await self._send(to_oanda.moved_stop(trade.number, name, stop), name, Priority.PROTECTION))

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        """Cancel, or tell in which state it was found."""
        try:
            answer = await self._desk.send(to_oanda.cancel(f"@{client_order_id}"), Priority.PROTECTION)
        except Failure as failure:
            if verdict_of(failure) is not Verdict.REJECTED:
                raise _raised(failure, client_order_id) from failure
            return await self._found(client_order_id, failure, none_means=OrderState.REJECTED)
        try:
            number = from_oanda.readable(lambda: str(int(answer["orderCancelTransaction"]["orderID"])))
        except ValueError as error:
            raise _raised(Failure(f"its answer cannot be read: {error}", sent=True), client_order_id) from error
        return _ack(client_order_id, OrderState.CANCELED, number)

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        """By its number: an order that was made elsewhere has no name, or one that is not ours."""
        name = foreign_name(order)
        try:
            await self._desk.send(to_oanda.cancel(order.venue_order_id), Priority.PROTECTION)
        except Failure as failure:
            if verdict_of(failure) is not Verdict.REJECTED:
                raise _raised(failure, name) from failure
            return _rejected(name, words_in(failure.body or {}) or str(failure), order.venue_order_id)
        return _ack(name, OrderState.CANCELED, order.venue_order_id)

    async def _reduce(self, order: ReduceOrder, last_word: LastWord) -> OrderAck:
        """By its trade, never by its instrument: what arrives late meets no other. Closes of one trade go one after the
        other: the second asks what the first has left, and bears its name when that of the first is known."""
        if order.kind is not OrderKind.MARKET:
            return _rejected(order.client_order_id, _BY_AGE)
        async with self._closing.setdefault(order.entry_order_id, asyncio.Lock()):
            trade = await self._trade_of(order)
            if trade is None:
                return _rejected(order.client_order_id, "POSITION_NOT_FOUND")
            quantity = min(order.quantity, trade.position.quantity)
            return await self._close(trade, quantity, order.client_order_id, last_word)

    async def _trade_of(self, order: ReduceOrder) -> from_oanda.Trade | None:
        """As it was seen last: its number stays, its quantity never grows, and of more than is left the venue closes
        nothing. One look is good for one close; without it the venue is asked."""
        found = self._seen.get(order.entry_order_id)
        if found is None or not _is_closed_by(found, order):
            found = next((each for each in await self._open_trades() if _is_closed_by(each, order)), None)
        self._seen.pop(order.entry_order_id, None)
        return found

    async def _close(
        self, trade: from_oanda.Trade, quantity: Decimal, name: ClientOrderId, last_word: LastWord
    ) -> OrderAck:
        """The trade bears the name first: by that the close is known as ours, whatever becomes of its answer. A comment
        that the venue refuses holds no exit up: the close then goes by its answer alone."""
        comment = comment_of(name, self._desk.newest)
        try:
            await self._desk.send(to_oanda.commented(trade.number, trade.extensions, comment), Priority.EXIT, last_word)
        except Failure as failure:
            if not is_refused(failure):
                raise unanswered(f"{name} was not sent: its trade took no comment", failure) from failure
            logger.warning("oanda: {} is sent though its trade took no comment: {}", name, failure)
        ack = await self._send(to_oanda.trade_close(trade.number, quantity), name, Priority.EXIT, last_word)
        if ack.venue_order_id is not None:
            self._desk.closes[ack.venue_order_id] = name
        return ack

    async def _send(
        self, call: to_oanda.Call, name: ClientOrderId, priority: Priority, last_word: LastWord = nothing_against
    ) -> OrderAck:
        try:
            answer = await self._desk.send(call, priority, last_word)
        except Failure as failure:
            verdict = verdict_of(failure)
            if verdict is Verdict.REJECTED:
                return _rejected(name, words_in(failure.body or {}))
            if verdict is Verdict.EXISTS:
                return await self._found(name, failure, none_means=None)
            raise _raised(failure, name) from failure
        try:
            state, number, reason = from_oanda.readable(lambda: _outcome(answer))
        except ValueError as error:
            raise _raised(Failure(f"its answer cannot be read: {error}", sent=True), name) from error
        if not reason:
            return _ack(name, state, number)
        verdict, told = verdict_of_code(reason), Failure(reason, sent=True)
        if verdict is Verdict.REJECTED:
            return _rejected(name, reason, number)
        if verdict is Verdict.EXISTS:
            return await self._found(name, told, none_means=None)
        raise _raised(told, name)

    async def _found(self, name: ClientOrderId, failure: Failure, *, none_means: OrderState | None) -> OrderAck:
        """What the venue has under that name; it was just told that there is something, or nothing any more."""
        try:
            found = await find_order(self._desk, self._names, name)
        except BrokerUnavailable as error:
            raise OrderFateUnknown(f"oanda: {name}: {failure}, and looking it up failed: {error}") from error
        if found is not None:
            return _ack(name, found.state, found.venue_order_id, str(failure))
        if none_means is None:
            raise OrderFateUnknown(f"oanda: {name}: {failure}, but no order of that name is found; look again")
        return _ack(name, none_means, None, words_in(failure.body or {}) or str(failure))

    async def _open_trades(self) -> Sequence[from_oanda.Trade]:
        """As others ask at the same time; by itself where their answer hangs."""
        try:
            return await within(self._joined_s, self._to_close.next())
        except TimeoutError:
            return await self.trades(Priority.EXIT)

    async def trades(self, priority: Priority) -> Sequence[from_oanda.Trade]:
        """All that are open; the next closes go by them."""
        told = await self._desk.read(
            to_oanda.EVERYTHING, priority, lambda answer: from_oanda.trades(answer["account"], self._names)
        )
        self._seen = {each.position.entry_order_id: each for each in told}
        return told


def _outcome(answer: Json) -> tuple[OrderState, str, str]:
    """State, number and reason: a 2xx may hold a fill, an order that waits, or one that ended in the same breath."""
    created = answer.get("orderCreateTransaction") or answer["stopLossOrderTransaction"]
    number = str(int(created["id"]))
    if answer.get("orderFillTransaction") or answer.get("stopLossOrderFillTransaction"):
        return OrderState.FILLED, number, ""
    if cancelled := answer.get("orderCancelTransaction") or answer.get("stopLossOrderCreatedCancelTransaction"):
        return OrderState.CANCELED, number, str(cancelled["reason"])
    return OrderState.WORKING, number, code_in(answer)


def _is_of(trade: from_oanda.Trade, entry_order_id: ClientOrderId) -> bool:
    return trade.position.entry_order_id == entry_order_id


def _is_closed_by(trade: from_oanda.Trade, order: ReduceOrder) -> bool:
    closes = trade.position.symbol == order.symbol and Side.closing(trade.position.direction) is order.side
    return closes and _is_of(trade, order.entry_order_id)


def _raised(failure: Failure, name: ClientOrderId) -> BrokerUnavailable | OrderFateUnknown:
    if verdict_of(failure) in (Verdict.NOT_SENT, Verdict.KEY_REFUSED):
        return unanswered(f"{name} was not sent, or not let in", failure)
    return OrderFateUnknown(f"oanda: {name}: {failure}; look it up before anything is sent again")


def _as_entry(ack: OrderAck, order: ApprovedOrder) -> OrderAck:
    if ack.reason != _BEYOND_BOUND:
        return ack
    return replace(ack, reason=beyond_bound(ack.reason, order.side, order.price_bound))


def _as_stop(ack: OrderAck) -> OrderAck:
    beyond = ack.state is OrderState.REJECTED and ack.reason.split(":")[0] in BEYOND_THE_STOP
    return _rejected(ack.client_order_id, WOULD_TRIGGER) if beyond else ack


def _rejected(name: ClientOrderId, reason: str, number: str | None = None) -> OrderAck:
    return _ack(name, OrderState.REJECTED, number, reason)


def _ack(name: ClientOrderId, state: OrderState, number: str | None, reason: str = "") -> OrderAck:
    return OrderAck(client_order_id=name, state=state, venue_order_id=number, reason=reason)
