"""What our entries hold, from the venue's own trades: spot has balances, no positions.

One symbol costs 20 of the request weight per look (`myTrades` from the last known id on), 20 more when a trade's order
is not known yet (`allOrders`, for our ids). After a restart all is read again from the first trade.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from bot.errors import BrokerUnavailable
from bot.instruments import Instrument
from bot.layer1_data.brokers.binance import to_binance
from bot.layer1_data.brokers.binance.from_binance import ZERO, Maker, Trade, maker, mapping, rows, trade
from bot.layer1_data.brokers.binance.wire import Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import ClientOrderId, Side, entry_of

_PAGE: Final = 1_000
_MAKERS_KEPT: Final = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one entry has left, and what all of it was bought for."""

    bought: Decimal = ZERO
    cost: Decimal = ZERO
    quantity: Decimal = ZERO

    @property
    def average_price(self) -> Decimal:
        """Over all purchases, whatever was sold since."""
        return self.cost / self.bought if self.bought else ZERO

    def after(self, done: Trade, withheld: Decimal) -> "Holding":
        """With one more trade. What the venue kept of a purchase was never ours."""
        if done.side is Side.SELL:
            return Holding(bought=self.bought, cost=self.cost, quantity=self.quantity - done.quantity - withheld)
        grown = done.quantity - withheld
        return Holding(bought=self.bought + grown, cost=self.cost + grown * done.price, quantity=self.quantity + grown)


def withheld_of(done: Trade, instrument: Instrument) -> Decimal:
    """The part of the commission that was taken from the quantity itself."""
    return done.commission if done.commission_asset == instrument.base_currency else ZERO


class SymbolLedger:
    """Trades of one symbol, read once each, and the holdings that follow from them."""

    def __init__(self, instrument: Instrument, wire: Wire) -> None:
        self.instrument = instrument
        self._wire = wire
        self._read_to = -1
        self._makers: OrderedDict[int, Maker] = OrderedDict()
        self._entries: OrderedDict[ClientOrderId, None] = OrderedDict()
        self._holdings: dict[ClientOrderId, Holding] = {}
        self._sold: OrderedDict[int, Decimal] = OrderedDict()  # by the trades of each sale
        self._told_early: dict[int, Trade] = {}
        self._reading = asyncio.Lock()

    @property
    def holdings(self) -> Mapping[ClientOrderId, Holding]:
        """By entry; with what the answers to orders told before the list of trades shows it."""
        known = dict(self._holdings)
        for done in self._told_early.values():
            self._add(known, done)
        return known

    def note_maker(self, order_id: int, made_by: Maker) -> None:
        """An order's row was seen: its trades need not be asked about."""
        known = self._makers.get(order_id, made_by)
        self._makers[order_id] = replace(made_by, sold=max(made_by.sold, known.sold))
        self._makers.move_to_end(order_id)
        while len(self._makers) > _MAKERS_KEPT:
            self._makers.popitem(last=False)
        if made_by.client_order_id is not None:
            self.note_name(made_by.client_order_id)

    def note_name(self, name: ClientOrderId) -> None:
        """An order of that name is, or may be, one of this symbol."""
        self._entries[entry_of(name)] = None
        self._entries.move_to_end(entry_of(name))
        while len(self._entries) > _MAKERS_KEPT:
            self._entries.popitem(last=False)

    def knows(self, name: ClientOrderId) -> bool:
        """Whether an order of that name, or another one of its position, was sent here or seen here."""
        return entry_of(name) in self._entries

    def note_trades(self, done: list[Trade]) -> None:
        """Trades that the answer to an order told."""
        self._told_early |= {each.id: each for each in done if each.id > self._read_to}

    def untold(self, entry: ClientOrderId) -> Decimal:
        """What the orders of that entry say they have sold, and no trade tells yet: the list of trades may be behind
        the answer to a cancel, which comes from the matching engine."""
        sold = self._sold.copy()
        for done in self._told_early.values():
            sold[done.order_id] = sold.get(done.order_id, ZERO) + done.quantity
        ours = [
            (order_id, each.sold)
            for order_id, each in self._makers.items()
            if each.sold and each.client_order_id is not None and entry_of(each.client_order_id) == entry
        ]
        return sum((max(ZERO, said - sold.get(order_id, ZERO)) for order_id, said in ours), ZERO)

    async def refresh(self, priority: Priority) -> None:
        """Read what is new."""
        async with self._reading:
            await self._read(self._read_to, priority, lambda *_: None)

    async def trades_after(self, trade_id: int, priority: Priority = Priority.READ) -> list[tuple[Trade, Maker]]:
        """Every trade after `trade_id`, oldest first, with the order that made it."""
        found: list[tuple[Trade, Maker]] = []
        async with self._reading:
            if trade_id > self._read_to:
                await self._read(self._read_to, priority, lambda *_: None)
            await self._read(trade_id, priority, lambda done, made_by: found.append((done, made_by)))
        return found

    # -------------------------------------------------------------------------------------------------------- inside

    async def _read(self, after: int, priority: Priority, note: Callable[[Trade, Maker], None]) -> None:
        """Page by page; `fromId` includes the trade it names."""
        while True:
            asked = {"symbol": self.instrument.venue_symbol, "fromId": str(after + 1), "limit": str(_PAGE)}
            page = rows(await self._wire.ask(to_binance.TRADES, asked, priority=priority), "myTrades")
            done = sorted((trade(each) for each in page), key=lambda each: each.id)
            await self._name({each.order_id for each in done}, priority)
            for each in done:
                if each.id > after:
                    note(each, self._makers[each.order_id])
                    self._take(each)
            if len(page) < _PAGE:
                return
            after = done[-1].id

    def _take(self, done: Trade) -> None:
        self._told_early.pop(done.id, None)
        if done.id > self._read_to:
            self._read_to = done.id
            self._add(self._holdings, done)
            if done.side is Side.SELL:
                self._sold[done.order_id] = self._sold.get(done.order_id, ZERO) + done.quantity
            while len(self._sold) > _MAKERS_KEPT:
                self._sold.popitem(last=False)

    def _add(self, holdings: dict[ClientOrderId, Holding], done: Trade) -> None:
        made_by = self._makers.get(done.order_id)
        if made_by is None or made_by.client_order_id is None:
            return
        entry = entry_of(made_by.client_order_id)
        now = holdings.get(entry, Holding()).after(done, withheld_of(done, self.instrument))
        holdings[entry] = now
        if done.side is Side.SELL and now.bought and now.quantity < self.instrument.quantity_step:
            del holdings[entry]  # less than a step cannot be sold: it stays behind, and is not open

    async def _name(self, order_ids: set[int], priority: Priority) -> None:
        """Learn whose orders these are. A trade whose order is not shown yet is not counted as anybody's."""
        while unknown := sorted(order_ids - self._makers.keys()):
            asked = {"symbol": self.instrument.venue_symbol, "orderId": str(unknown[0]), "limit": str(_PAGE)}
            page = rows(await self._wire.ask(to_binance.ALL_ORDERS, asked, priority=priority), "allOrders")
            for row in page:
                if mapping(row, "an order")["orderId"] in order_ids:
                    self.note_maker(row["orderId"], maker(row))
            if unknown[0] not in self._makers:
                raise BrokerUnavailable(
                    f"binance: a trade of {self.instrument.symbol} belongs to order {unknown[0]}, which the venue does "
                    "not show yet; nothing is counted before it does"
                )
