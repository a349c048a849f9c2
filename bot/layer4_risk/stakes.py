"""What is at stake: each thing that is open or may become so, at full size. Pure.

In the worst case every order that can still open something (approved, being sent, of unknown fate, working, being
cancelled) fills whole, whatever became of its position, and no order of unknown fate has closed anything
(RELIABILITY I5).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.differences import ForeignStake
from bot.instruments import BrokerId, InstrumentRegistry, Symbol
from bot.models import ApprovedOrder, Direction, Order, OrderRole, Position, PositionId

ZERO: Final = Decimal(0)
FOREIGN: Final = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stake:
    """Signed notional in account currency (long positive) and the loss at the stop: now, and in the worst case."""

    broker_id: BrokerId
    symbol: Symbol
    direction: Direction
    strategy: str
    open: Decimal
    worst: Decimal
    risk_open: Decimal
    risk_worst: Decimal

    @property
    def pending(self) -> Decimal:
        """What its entry may still add, signed."""
        return self.worst - self.open

    def group(self, registry: InstrumentRegistry) -> str:
        """What it moves together with; an instrument that is not registered is alone."""
        known = self.symbol in registry
        return (registry.get(self.symbol).correlation_group if known else "") or self.symbol

    def currencies(self, registry: InstrumentRegistry) -> Mapping[str, int]:
        """Long a pair is long its base and short its quote; anything else long itself, short what it is paid in."""
        if self.symbol not in registry:
            return {self.symbol: 1}
        instrument = registry.get(self.symbol)
        return {instrument.base_currency: 1, instrument.quote_currency: -1}


@dataclass(frozen=True, slots=True, kw_only=True)
class PastEntry:
    """An entry that was approved, whatever became of it: `stake` is what it adds when all of `quantity` fills.

    Without a position it is only asked about.
    """

    at: datetime
    stake: Stake
    position_id: PositionId | None = None
    quantity: Decimal = ZERO

    def rest(self, quantity: Decimal) -> Stake:
        """What `quantity` of it may still add."""
        whole = self.stake
        worst, risk = (each * quantity / self.quantity for each in (whole.worst, whole.risk_worst))
        return replace(whole, worst=worst, risk_worst=risk)


def all_stakes(
    positions: Sequence[Position],
    orders: Iterable[Order],
    reserved: Sequence[ApprovedOrder] = (),
    foreign: Iterable[ForeignStake] = (),
    entries: Iterable[PastEntry] = (),
) -> tuple[Stake, ...]:
    """Every stake once: an approved order whose position is there already is counted as that. A rest whose position has
    ended is counted by what was approved of it, one of `entries`."""
    rests, there = _still_to_open(orders), {each.id for each in positions}
    alone = rests.keys() - there - {each.position_id for each in reserved}
    return (
        *(_of_position(each, rests.get(each.id, ZERO)) for each in positions),
        *(of_approved(each) for each in reserved if each.position_id not in there),
        *(each.rest(rests[each.position_id]) for each in entries if each.position_id in alone),
        *(_of_foreign(each) for each in foreign),
    )


def of_approved(order: ApprovedOrder) -> Stake:
    """What `order` adds when it fills whole."""
    direction = order.plan.direction
    return Stake(
        broker_id=order.broker_id,
        symbol=order.symbol,
        direction=direction,
        strategy=order.strategy,
        open=ZERO,
        worst=order.quantity * order.decided_price * order.value_per_point * direction.sign,
        risk_open=ZERO,
        risk_worst=order.risk_amount,
    )


def of_stored(order: Order, position: Position) -> Stake:
    """What an entry was to add that our record tells of."""
    return Stake(
        broker_id=position.broker_id,
        symbol=position.symbol,
        direction=position.direction,
        strategy=position.strategy,
        open=ZERO,
        worst=order.quantity * position.entry_price * position.value_per_point * position.direction.sign,
        risk_open=ZERO,
        risk_worst=position.risk_amount,
    )


def _still_to_open(orders: Iterable[Order]) -> Mapping[PositionId, Decimal]:
    """By position: what its unfinished entry may still add, at full size whatever is known of its fate."""
    rests: dict[PositionId, Decimal] = defaultdict(lambda: ZERO)
    for order in orders:
        if order.role is OrderRole.ENTRY and not order.state.is_terminal:
            rests[order.position_id] += max(order.quantity - order.filled_quantity, ZERO)
    return rests


def _of_position(position: Position, rest: Decimal) -> Stake:
    def notional(quantity: Decimal) -> Decimal:
        return quantity * position.mark_price * position.value_per_point * position.direction.sign

    def loss(quantity: Decimal) -> Decimal:
        distance = (position.mark_price - position.stop_price) * position.direction.sign
        return max(distance, ZERO) * quantity * position.value_per_point

    whole = position.quantity + rest
    return Stake(
        broker_id=position.broker_id,
        symbol=position.symbol,
        direction=position.direction,
        strategy=position.strategy,
        open=notional(position.quantity),
        worst=notional(whole),
        risk_open=loss(position.quantity),
        risk_worst=loss(whole),
    )


def _of_foreign(held: ForeignStake) -> Stake:
    """Its notional counts; its loss at a stop is not ours to know, and counts as nothing."""
    notional = held.quantity * held.price * held.value_per_point * held.direction.sign
    return Stake(
        broker_id=held.broker_id,
        symbol=held.symbol,
        direction=held.direction,
        strategy=FOREIGN,
        open=ZERO if held.is_order else notional,
        worst=notional,
        risk_open=ZERO,
        risk_worst=ZERO,
    )
