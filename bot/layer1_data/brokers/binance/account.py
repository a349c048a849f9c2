"""What the account holds: positions of our entries, what else lies there, and what all of it is worth."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from bot.errors import BrokerUnavailable
from bot.instruments import Instrument, Symbol
from bot.layer1_data.broker_interface import FOREIGN, VenueOrder
from bot.layer1_data.brokers.binance import from_binance, to_binance
from bot.layer1_data.brokers.binance.errors import readable
from bot.layer1_data.brokers.binance.from_binance import ZERO
from bot.layer1_data.brokers.binance.ledger import Holding, SymbolLedger
from bot.layer1_data.brokers.binance.wire import Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import ClientOrderId, Direction, VenuePosition, entry_of

_LOOKS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """Orders that rest, protective stops apart."""

    orders: tuple[VenueOrder, ...]
    stops: tuple[VenueOrder, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One consistent view: balances did not change while trades and orders were read."""

    balances: Mapping[str, Decimal]
    working: Working


class Account:
    """Reads the account. A look at N symbols costs 26 of the request weight for each and 40 for the balances."""

    def __init__(self, wire: Wire, ledgers: Mapping[Symbol, SymbolLedger]) -> None:
        self._wire = wire
        self._ledgers = ledgers

    async def facts(self, priority: Priority = Priority.READ) -> Mapping[str, Any]:
        """The answer about the account itself."""
        answer = await self._wire.ask(to_binance.ACCOUNT, {"omitZeroBalances": "true"}, priority=priority)
        with readable("the account"):
            return from_binance.mapping(answer, "account")

    async def snapshot(self) -> Snapshot:
        """Balances, then trades and orders, then balances again; repeated while they change."""
        before = await self._balances()
        for _ in range(_LOOKS):
            _, working = await asyncio.gather(self.refresh(Priority.READ), self.working())
            after = await self._balances()
            if after == before:
                return Snapshot(balances=after, working=working)
            before = after
        raise BrokerUnavailable(f"binance: balances changed during each of {_LOOKS} looks; ask again")

    async def refresh(self, priority: Priority) -> None:
        """Read what has traded since the last look."""
        with readable("trades"):
            await asyncio.gather(*(each.refresh(priority) for each in self._ledgers.values()))

    async def working(self, priority: Priority = Priority.READ, symbols: Iterable[Symbol] | None = None) -> Working:
        """Everything that rests at our symbols."""
        ledgers = [each for key, each in self._ledgers.items() if symbols is None or key in symbols]
        with readable("open orders"):
            found = await asyncio.gather(*(self._open(each, priority) for each in ledgers))
        rows = [(row, ledger.instrument) for ledger, page in zip(ledgers, found, strict=True) for row in page]
        with readable("an open order"):
            return Working(
                orders=tuple(from_binance.venue_order(row, at) for row, at in rows if not from_binance.is_stop(row)),
                stops=tuple(from_binance.venue_order(row, at) for row, at in rows if from_binance.is_stop(row)),
            )

    async def _open(self, ledger: SymbolLedger, priority: Priority) -> list[Any]:
        asked = {"symbol": ledger.instrument.venue_symbol}
        page = from_binance.rows(await self._wire.ask(to_binance.OPEN_ORDERS, asked, priority=priority), "openOrders")
        for row in page:
            ledger.note_maker(row["orderId"], from_binance.maker(row))
        return page

    async def _balances(self) -> dict[str, Decimal]:
        facts = await self.facts()
        with readable("balances"):
            return from_binance.balances(facts)


def positions_of(
    ledgers: Iterable[SymbolLedger], snapshot: Snapshot, prices: Mapping[Symbol, Decimal]
) -> tuple[VenuePosition, ...]:
    """What our entries hold, cut to what is there; what is there beyond them is foreign, at the price of now.

    `prices` are those of the symbols of which something foreign may lie there. Dust is among it: `Leftovers` knows.
    """
    found: list[VenuePosition] = []
    left = dict(snapshot.balances)
    by_asset: dict[str, Instrument] = {}
    for ledger in ledgers:
        instrument = ledger.instrument
        by_asset.setdefault(instrument.base_currency, instrument)
        for entry, holding in ledger.holdings.items():
            quantity = max(ZERO, min(holding.quantity, left.get(instrument.base_currency, ZERO)))
            left[instrument.base_currency] = left.get(instrument.base_currency, ZERO) - quantity
            if (whole := instrument.round_quantity(quantity)) > 0:
                found.append(_position(entry, instrument, holding, whole, snapshot.working.stops))
    for asset, instrument in by_asset.items():
        beyond = instrument.round_quantity(left.get(asset, ZERO))
        if beyond >= instrument.min_quantity:
            held = Holding(bought=beyond, cost=beyond * prices.get(instrument.symbol, ZERO), quantity=beyond)
            found.append(
                _position(ClientOrderId(f"{FOREIGN}{asset}"), instrument, held, beyond, snapshot.working.stops)
            )
    return tuple(found)


def _position(
    entry: ClientOrderId, instrument: Instrument, holding: Holding, quantity: Decimal, stops: Sequence[VenueOrder]
) -> VenuePosition:
    covering = _covering(entry, quantity, stops)
    return VenuePosition(
        entry_order_id=entry,
        symbol=instrument.symbol,
        direction=Direction.LONG,
        quantity=quantity,
        average_price=holding.average_price,
        stop_price=None if covering is None else covering.price,
        stop_order_id=None if covering is None else covering.client_order_id,
    )


def _covering(entry: ClientOrderId, quantity: Decimal, stops: Sequence[VenueOrder]) -> VenueOrder | None:
    """The stop that triggers last of those that are needed for all of it."""
    covered = ZERO
    for stop in sorted(orders_of(entry, stops), key=lambda each: -(each.price or ZERO)):
        covered += stop.quantity - stop.filled_quantity
        if covered >= quantity:
            return stop
    return None


def orders_of(entry: ClientOrderId, orders: Iterable[VenueOrder]) -> list[VenueOrder]:
    """Those that belong to one entry, by their names; an adopted one has its orders too."""
    stem = entry_of(entry)
    return [each for each in orders if each.client_order_id is not None and entry_of(each.client_order_id) == stem]
