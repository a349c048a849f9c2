"""The matching engine of one instrument: pure, synchronous, no I/O. The adapter translates; the ledger counts money.

Laws (SPEC section 16): exits of a long look at the bid, of a short at the ask; a stop goes before a limit; a limit
fills at its price, never better; a stop that a jump passed fills at the jump's price, one that the price moved through
continuously fills at the stop. Market orders and stops then pay the instrument's slippage, to the tick, against us; an
entry that would pay more than its bound ends instead. What a bad venue adds to that (`extra_slippage_ratio`) minds no
bound.
"""

from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.instruments import Instrument, Rounding
from bot.layer1_data.broker_interface import beyond_bound
from bot.layer1_data.brokers.simulated.entries import ZERO, BookOrder, BookPosition, Execution, Sweep
from bot.layer1_data.brokers.simulated.traits import VenueTraits
from bot.models import ClientOrderId, Direction, OrderKind, OrderRole, OrderState, Side

_SMALLEST: Final = Decimal("1e-8")  # of what is withheld
_BEYOND_BOUND: Final = "BEYOND_BOUND"


class Book:
    """Orders, positions and the market of one instrument. `registry` is the venue's list of all orders by our id.

    `standing` says that the last observed point is a price one can trade at now: not before the first observation,
    not between candles (`pause`), not between a candle's range and its close. `loose` are the protective stops of a
    venue where they do not follow their position: reduce-only orders that stay as they are until they fill or end.
    `dust` is what a fee kept in what was bought has left of ended positions, less than a step of each, and `dust_cost`
    what it was bought for. `liquidity` and `extra_slippage_ratio` may change at any time. `has_expired`: entries have
    ended by themselves since somebody set it back.
    """

    def __init__(self, instrument: Instrument, registry: dict[ClientOrderId, BookOrder], traits: VenueTraits) -> None:
        self.instrument = instrument
        self.traits = traits
        self.dust = self.dust_cost = ZERO
        self.bid = ZERO
        self.ask = ZERO
        self.at: datetime | None = None
        self.standing = False
        self.orders: dict[ClientOrderId, BookOrder] = {}
        self.positions: dict[ClientOrderId, BookPosition] = {}
        self.loose: dict[ClientOrderId, BookOrder] = {}
        self.extra_slippage_ratio = ZERO
        self.has_expired = False
        self._registry = registry
        self.liquidity = None if traits.liquidity is None else instrument.round_quantity(traits.liquidity)
        self._budget = self.liquidity
        self._gap = True
        self._range: Sweep | None = None
        self._done: list[Execution] = []

    @property
    def is_idle(self) -> bool:
        """No order and no position here."""
        return not (self.orders or self.positions or self.loose)

    def stops_of(self, entry_order_id: ClientOrderId) -> list[BookOrder]:
        """What rests to protect one position."""
        position = self.positions.get(entry_order_id)
        if self.traits.stop_follows_position:
            return [position.stop] if position is not None and position.stop is not None else []
        return [each for each in self.loose.values() if each.entry_order_id == entry_order_id]

    @property
    def stops(self) -> list[BookOrder]:
        """All that rests to protect something."""
        if self.traits.stop_follows_position:
            return [each.stop for each in self.positions.values() if each.stop is not None]
        return list(self.loose.values())

    @property
    def mid(self) -> Decimal | None:
        """Mean of the last bid and ask; None before the first observation."""
        return None if self.at is None else (self.bid + self.ask) / 2

    # ------------------------------------------------------------------------------------------------- the market

    def observe(self, bid: Decimal, ask: Decimal, at: datetime, *, gap: bool) -> list[Execution]:
        """One price point: stops, limits, waiting market orders, then the stops of what just opened."""
        gap = gap or self.at is None
        self.bid, self.ask, self.at, self.standing, self._gap = bid, ask, at, True, gap
        self._budget = self.liquidity
        if gap:
            self._range = None
        if not (self.orders or self.positions or self.loose):
            return []
        return self._run(Sweep(bid, bid, ask, ask, at, gap, True))

    def observe_range(self, sweep: Sweep) -> list[Execution]:
        """The rest of a candle after its open, up to but without its close: stops first, then limits.

        A position that an order opened inside the range meets the range's worse end at once (a limit entry's stop lies
        behind its limit, so it was passed later; for a stop entry the order is unknown and the worse one is assumed),
        but not its better end.
        """
        self.standing, self._gap, self._range = False, False, sweep
        self._budget = self.liquidity
        if not (self.orders or self.positions or self.loose):
            return []
        for position in self.positions.values():
            position.in_range = True
        return self._run(sweep)

    def pause(self) -> None:
        """No price until the next observation."""
        self.standing, self._range = False, None

    def remember(self, bid: Decimal, ask: Decimal, at: datetime) -> None:
        """Take the last price of an earlier life as a mark that nothing can trade at."""
        self.bid, self.ask, self.at = bid, ask, at

    # ----------------------------------------------------------------------------------------------------- orders

    def accept(self, order: BookOrder, at: datetime) -> list[Execution]:
        """Take an admitted order: fill what fills now, rest the remainder.

        A limit fills now if the standing price has reached it, or, where it reduces a position that was open before
        the candle's range, if that range had.
        """
        if order.role is OrderRole.STOP:
            return self._accept_stop(order, at)
        self.orders[order.client_order_id] = order
        self._done = []
        order.armed = self.standing
        if self.standing:
            point = self._point(at, gap=True)
            self._fill_if_reached(order, point)
            if order.state is OrderState.EXPIRED:  # nothing of it has ever worked
                order.state = OrderState.REJECTED
            self._protect(point)
        if order.kind is OrderKind.LIMIT and self._range is not None and order.client_order_id in self.orders:
            position = self.positions.get(order.entry_order_id)
            if order.role is OrderRole.EXIT and position is not None and position.in_range:
                self._fill_if_reached(order, self._range, at)
        return self._done

    def _accept_stop(self, stop: BookOrder, at: datetime) -> list[Execution]:
        if self.traits.stop_follows_position:
            return self.move_stop(self.positions[stop.entry_order_id], stop, stop.price, at)
        self.rest_loose(stop)
        return []

    def move_stop(self, position: BookPosition, stop: BookOrder, price: Decimal, at: datetime) -> list[Execution]:
        """Rest `stop` at `price` for all of `position`.

        If the standing price is beyond it, it triggers at once: at that price if it was reached by a jump; inside a
        candle at the stop, because the price must have come back through it (SPEC 16, candles, step 5), but never
        better than anything seen since the jump or the entry. Without a standing price it waits for the next one.
        """
        stop.price, stop.quantity = price, stop.filled + position.quantity
        position.stop = stop
        self._done = []
        if self.standing:
            self._protect(self._point(at, gap=self._gap))
        return self._done

    def rest_loose(self, stop: BookOrder) -> None:
        """Rest a stop that minds nothing but its own quantity and price."""
        self.loose[stop.client_order_id] = stop

    def cancel(self, order: BookOrder, reason: str) -> None:
        """End a working order; a protective stop leaves its position bare."""
        order.state, order.reason = OrderState.CANCELED, reason
        self.orders.pop(order.client_order_id, None)
        self.loose.pop(order.client_order_id, None)
        if order.role is OrderRole.STOP:
            position = self.positions.get(order.entry_order_id)
            if position is not None and position.stop is order:
                position.stop = None
        elif order.role is OrderRole.ENTRY:
            self._drop_if_empty(order.entry_order_id)

    def _expire(self, order: BookOrder, bound: Decimal) -> None:
        """End what is left of an entry: the price has gone beyond what it takes."""
        self.cancel(order, beyond_bound(_BEYOND_BOUND, order.side, bound))
        order.state = OrderState.EXPIRED
        self.has_expired = True

    def overfill(self, order: BookOrder, quantity: Decimal, at: datetime) -> list[Execution]:
        """Exchange more than `order` asked for, at the standing price: a mistake of the venue."""
        self._done = []
        if self.standing and order.client_order_id in self.positions:
            order.quantity += quantity
            self._fill(
                order, self.ask if order.side is Side.BUY else self.bid, "overfill", self._point(at, gap=True), at
            )
            order.quantity -= quantity
        return self._done

    def can_touch_stops(self, entry_order_id: ClientOrderId) -> bool:
        """A stop rests for something that is open, and somebody is there to trade with."""
        position = self.positions.get(entry_order_id)
        rests = any(each.left > ZERO for each in self.stops_of(entry_order_id))
        return self.standing and rests and position is not None and position.quantity > ZERO and self._budget != ZERO

    def touch_stops(self, entry_order_id: ClientOrderId, at: datetime) -> list[Execution]:
        """The price is at the protective stops of one position, and gone again before anybody quotes it. Each fills at
        its own price; what finds no liquidity is triggered, and fills with the next observation."""
        self._done = []
        for stop in self.stops_of(entry_order_id):
            stop.triggered = True
            self._fill(stop, stop.price, "stop", self._point(at, gap=False), at)
        return self._done

    # -------------------------------------------------------------------------------------------------- the passes

    def _point(self, at: datetime, *, gap: bool) -> Sweep:
        return Sweep(self.bid, self.bid, self.ask, self.ask, at, gap, True)

    def _run(self, sweep: Sweep) -> list[Execution]:
        self._done = []
        self._protect(sweep)
        if self.orders:
            self._fill_orders(sweep, OrderKind.STOP)
            self._fill_orders(sweep, OrderKind.LIMIT)
            self._fill_orders(sweep, OrderKind.MARKET)
        if self._done:
            self._protect(sweep)
        self._stretch_reach(sweep)
        return self._done

    def _protect(self, sweep: Sweep) -> None:
        """Trigger the protective stops that `sweep` reached. Safe to run twice: what is closed is gone."""
        for position in tuple(self.positions.values()):
            stop = position.stop
            if stop is None:
                continue
            price = _stop_out_price(position, stop, sweep)
            if price is not None:
                stop.triggered = True
                self._fill(stop, price, "stop", sweep, sweep.at)
        if self.loose:
            self._trigger_loose(sweep)

    def _trigger_loose(self, sweep: Sweep) -> None:
        for stop in tuple(self.loose.values()):
            position = self.positions.get(stop.entry_order_id)
            if position is None:
                if is_beyond(stop.side, stop.price, sweep.bid_low, sweep.ask_high):
                    self.cancel(stop, "REDUCE_ONLY")  # nothing is left to reduce: it opens nothing
                continue
            price = _stop_out_price(position, stop, sweep)
            if price is not None:
                stop.triggered = True
                self._fill(stop, price, "stop", sweep, sweep.at)

    def _fill_orders(self, sweep: Sweep, kind: OrderKind) -> None:
        """One pass over the resting orders of `kind`; limits nearest first, so that target 1 goes before target 2."""
        found = [each for each in self.orders.values() if each.kind is kind]
        if kind is OrderKind.LIMIT and len(found) > 1:
            found.sort(key=lambda each: -each.side.sign * each.price)
        for order in found:
            if order.client_order_id in self.orders:  # a fill before it may have ended it
                self._fill_if_reached(order, sweep)
                order.armed = True

    def _fill_if_reached(self, order: BookOrder, sweep: Sweep, at: datetime | None = None) -> None:
        price = _fill_price(order, sweep)
        if price is None:
            return
        if order.bound is not None and _is_worse(order.side, self._slipped(price, order.side), order.bound):
            self._expire(order, order.bound)
            return
        order.triggered = order.kind is OrderKind.STOP
        self._fill(order, price, order.kind.value, sweep, at or sweep.at)

    def _stretch_reach(self, sweep: Sweep) -> None:
        """Remember the best exit price; one opened inside a range has not seen the range's better end for certain."""
        for position in self.positions.values():
            best = sweep.bid_high if position.direction is Direction.LONG else sweep.ask_low
            if sweep.gap:
                position.reach = best
            elif sweep.is_point or position.in_range:
                position.reach = _better(position.direction, position.reach, best)

    # -------------------------------------------------------------------------------------------------- the fills

    def _fill(self, order: BookOrder, raw: Decimal, cause: str, sweep: Sweep, at: datetime) -> None:
        """Exchange as much of `order` as its position and the liquidity left allow."""
        position = self.positions.get(order.entry_order_id)
        quantity = self._fillable(order, position)
        if quantity <= ZERO:
            return
        price = raw if order.kind is OrderKind.LIMIT else self._slipped(raw, order.side, self.extra_slippage_ratio)
        order.filled += quantity
        order.state = OrderState.FILLED if order.filled == order.quantity else OrderState.PARTIAL
        if order.state is OrderState.FILLED:
            self.orders.pop(order.client_order_id, None)
            self.loose.pop(order.client_order_id, None)
        profit, withheld = ZERO, self._withheld(order, quantity)
        if position is None:
            position = self._open(order, quantity - withheld, price, _first_reach(order, raw, sweep))
        elif order.role is OrderRole.ENTRY:
            before = position.quantity
            self._add(position, quantity - withheld, price)
            if order.attached_id in self.loose:
                self.loose[order.attached_id].quantity += position.quantity - before
        else:
            profit = self._leave(position, quantity, price)
        if order.state is OrderState.FILLED:
            self._drop_if_empty(order.entry_order_id)
        self._done.append(
            Execution(
                order=order,
                position=position,
                quantity=quantity,
                price=price,
                profit=profit,
                cause=cause,
                at=at,
                withheld=withheld,
            )
        )

    def _withheld(self, order: BookOrder, quantity: Decimal) -> Decimal:
        """What the venue keeps of a purchase, to its eighth place."""
        if not self.traits.withheld_ratio or order.role is not OrderRole.ENTRY or order.side is Side.SELL:
            return ZERO
        return (quantity * self.traits.withheld_ratio).quantize(_SMALLEST)

    def _fillable(self, order: BookOrder, position: BookPosition | None) -> Decimal:
        quantity = order.quantity - order.filled
        if order.role is not OrderRole.ENTRY:
            quantity = ZERO if position is None else min(quantity, position.quantity)
        if self._budget is not None:
            quantity = min(quantity, self._budget)
            self._budget -= quantity
        return quantity

    def _slipped(self, price: Decimal, side: Side, extra_ratio: Decimal = ZERO) -> Decimal:
        slip = price * (self.instrument.slippage_ratio + extra_ratio)
        if side is Side.BUY:
            return self.instrument.round_price(price + slip, Rounding.UP)
        return self.instrument.round_price(price - slip, Rounding.DOWN)

    def _open(self, order: BookOrder, grown: Decimal, price: Decimal, reach: Decimal) -> BookPosition:
        quantity = self.instrument.round_quantity(grown)
        position = BookPosition(
            entry_order_id=order.entry_order_id,
            symbol=order.symbol,
            direction=Direction.LONG if order.side is Side.BUY else Direction.SHORT,
            quantity=quantity,
            average_price=price,
            stop=None,
            reach=reach,
            dust=grown - quantity,
        )
        self.positions[order.entry_order_id] = position
        self._attach(order, position)
        return position

    def _attach(self, order: BookOrder, position: BookPosition) -> None:
        if order.attached_id is None:
            return
        stop = BookOrder(
            client_order_id=order.attached_id,
            venue_order_id=order.attached_venue_id,
            symbol=order.symbol,
            side=Side.closing(position.direction),
            role=OrderRole.STOP,
            kind=OrderKind.STOP,
            quantity=position.quantity,
            price=order.attached_stop,
            entry_order_id=order.entry_order_id,
        )
        self._registry[order.attached_id] = stop
        if self.traits.stop_follows_position:
            position.stop = stop
        else:
            self.rest_loose(stop)

    def _leave(self, position: BookPosition, quantity: Decimal, price: Decimal) -> Decimal:
        """Take `quantity` off a position by closing it. Returns the profit."""
        self.take_off(position, quantity)
        distance = position.direction.sign * (price - position.average_price)
        return distance * quantity * self.instrument.contract_size

    def take_off(self, position: BookPosition, quantity: Decimal) -> None:
        """So much less is open; what else rests for it shrinks or ends with it."""
        position.quantity -= quantity
        if position.stop is not None:
            position.stop.quantity = position.stop.filled + position.quantity
        for order in [each for each in self.orders.values() if each.entry_order_id == position.entry_order_id]:
            if position.quantity == ZERO:
                if self.traits.exits_end_with_position or order.role is not OrderRole.EXIT:
                    self.cancel(order, "POSITION_CLOSED")
            elif order.role is OrderRole.EXIT:
                order.quantity = min(order.quantity, order.filled + position.quantity)
        if position.quantity == ZERO:
            if position.stop is not None and position.stop.state is not OrderState.FILLED:
                self.cancel(position.stop, "POSITION_CLOSED")
            self._drop_if_empty(position.entry_order_id)

    def _add(self, position: BookPosition, grown: Decimal, price: Decimal) -> None:
        """One more fill of the same entry: average price, and the stop covers it too."""
        held = position.quantity + position.dust
        cost = position.average_price * held + price * grown
        quantity = self.instrument.round_quantity(held + grown)
        if position.stop is not None:
            position.stop.quantity += quantity - position.quantity
        position.quantity, position.dust = quantity, held + grown - quantity
        position.average_price = cost / (held + grown)

    def _drop_if_empty(self, entry_order_id: ClientOrderId) -> None:
        """Nothing of it can be sold, and nothing more comes: what is less than a step stays behind."""
        position = self.positions.get(entry_order_id)
        if position is None or position.quantity:
            return
        if not any(each.entry_order_id == entry_order_id for each in self.orders.values()):
            self.dust += position.dust
            self.dust_cost += position.dust * position.average_price
            del self.positions[entry_order_id]


def is_beyond(side: Side, trigger: Decimal, bid: Decimal, ask: Decimal) -> bool:
    """The prices have reached what triggers a stop that sells, or buys, there."""
    return bid <= trigger if side is Side.SELL else ask >= trigger


def _is_worse(side: Side, price: Decimal, bound: Decimal) -> bool:
    """To pay, or to get, `price` is worse than `bound`."""
    return price > bound if side is Side.BUY else price < bound


def _better(direction: Direction, one: Decimal, other: Decimal) -> Decimal:
    """The better exit price of the two."""
    return max(one, other) if direction is Direction.LONG else min(one, other)


def _first_reach(order: BookOrder, raw: Decimal, sweep: Sweep) -> Decimal:
    """Exit-side price at the instant of an entry: known at a point, inside a range taken as the entry's own price."""
    if not sweep.is_point:
        return raw
    return sweep.bid_low if order.side is Side.BUY else sweep.ask_high


def _stop_out_price(position: BookPosition, stop: BookOrder, sweep: Sweep) -> Decimal | None:
    """Price before slippage at which a protective stop fills in `sweep`; None if it was not reached.

    A stop that triggered before but found too little liquidity takes the worst price of the observation.
    """
    if position.direction is Direction.LONG:
        worst, reached, at_stop = sweep.bid_low, sweep.bid_low <= stop.price, min(stop.price, position.reach)
    else:
        worst, reached, at_stop = sweep.ask_high, sweep.ask_high >= stop.price, max(stop.price, position.reach)
    if stop.triggered:
        return worst
    if not reached:
        return None
    return worst if sweep.gap else at_stop


def _fill_price(order: BookOrder, sweep: Sweep) -> Decimal | None:
    """Price before slippage at which a resting order fills in `sweep`; None if it does not."""
    buys = order.side is Side.BUY
    worst = sweep.ask_high if buys else sweep.bid_low
    if order.kind is OrderKind.MARKET:
        return worst if sweep.is_point else None
    if order.kind is OrderKind.LIMIT:
        reached = sweep.ask_low <= order.price if buys else sweep.bid_high >= order.price
        return order.price if reached else None
    if order.triggered:
        return worst
    reached = worst >= order.price if buys else worst <= order.price
    if not reached:
        return None
    return order.price if order.armed and not sweep.gap else worst
