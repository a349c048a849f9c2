"""The states of a position and every move between them (RELIABILITY 3.3), derived from what is stored.

Nothing decides by them: they are what a person is shown, and what tests hold the order path against.
"""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Final

from bot.layer3_execution.flatten import KILL_REASON
from bot.layer3_execution.last_resort import UNPROTECTED
from bot.models import Order, OrderRole, OrderState, Position


class PositionState(StrEnum):
    """Where a position is. QUARANTINED and FLATTENING stand in front of what it would be otherwise."""

    FLAT = "FLAT"
    OPENING = "OPENING"
    OPEN_UNPROTECTED = "OPEN_UNPROTECTED"
    OPEN_PROTECTED = "OPEN_PROTECTED"
    REDUCING = "REDUCING"
    CLOSING = "CLOSING"
    CLOSED = "CLOSED"
    QUARANTINED = "QUARANTINED"
    FLATTENING = "FLATTENING"


P = PositionState

_RESTING: Final = (OrderState.WORKING, OrderState.TRIGGERED, OrderState.PARTIAL)
_FLATTENS: Final = (KILL_REASON, UNPROTECTED)
_OPEN: Final = frozenset({P.OPEN_UNPROTECTED, P.OPEN_PROTECTED, P.REDUCING, P.CLOSING})
_ASIDE: Final = frozenset({P.QUARANTINED, P.FLATTENING})

MOVES: Final[Mapping[PositionState, frozenset[PositionState]]] = {
    P.FLAT: frozenset({P.OPENING, P.OPEN_UNPROTECTED}),  # an entry that was given up may fill after all
    P.OPENING: frozenset(
        {
            P.FLAT,  # its entry never filled
            P.OPEN_UNPROTECTED,
            P.OPEN_PROTECTED,  # the stop travelled with the entry
            P.CLOSED,  # its close was told first, or fees have left less than one step
            *_ASIDE,
        }
    ),
    **{
        state: (_OPEN | _ASIDE | {P.CLOSED}) - {state} for state in _OPEN
    },  # never back to OPENING: fills are not undone
    P.CLOSED: frozenset({P.OPEN_UNPROTECTED, P.OPEN_PROTECTED, *_ASIDE}),  # by a fill of its entry that is told late
    **{state: frozenset(P) - {state} for state in _ASIDE},  # back to what it was in front of
}


def is_legal(before: PositionState, after: PositionState) -> bool:
    """One commit may lead from the one to the other, or leave it as it is."""
    return before is after or after in MOVES[before]


def state_of(
    position: Position | None, orders: Iterable[Order], *, is_quarantined: bool = False, is_flattened: bool = False
) -> PositionState:
    """The state of a position with these orders.

    `is_quarantined`: a difference with the venue blocks its symbol. `is_flattened`: somebody wants it gone (kill
    switch, drawdown), also where no close is under way at this moment. Protected is what our record has a stop for: a
    stop that has vanished at the venue is missed with the next look.
    """
    if position is None or (position.closed_at is not None and not position.first_quantity):
        return P.FLAT
    if position.closed_at is not None or not (position.is_pending or position.is_open):
        return P.CLOSED
    rows = [each for each in orders if each.position_id == position.id]
    exits = [each for each in rows if each.role is OrderRole.EXIT and _may_fill(each)]
    if is_flattened or any(each.reason in _FLATTENS for each in exits):
        return P.FLATTENING
    if is_quarantined:
        return P.QUARANTINED
    return P.OPENING if position.is_pending else _open_state(position, rows, exits)


def _open_state(position: Position, rows: Sequence[Order], exits: Sequence[Order]) -> PositionState:
    stopped = _left([each for each in rows if each.role is OrderRole.STOP and each.state in _RESTING])
    sold = _left(exits)
    if sold >= position.quantity:
        return P.CLOSING
    if stopped < position.quantity - sold:  # where stops lock, a stop and a working close share the position
        return P.OPEN_UNPROTECTED
    return P.REDUCING if sold else P.OPEN_PROTECTED


def _may_fill(order: Order) -> bool:
    return order.state is not OrderState.INTENT and not order.state.is_terminal


def _left(orders: Iterable[Order]) -> Decimal:
    return sum((each.quantity - each.filled_quantity for each in orders), Decimal(0))
