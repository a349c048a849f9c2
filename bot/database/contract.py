"""What both backends say in the same words: refusals, and the texts that they write by themselves."""

from typing import Final

from bot.errors import IllegalTransition, NotFound
from bot.models import ClientOrderId, Fill, Order, OrderState, PositionId, SignalId, TaskId

NO_REASON: Final = "no reason given"  # for a latched stop: an empty reason would read as "not latched"
SUPERSEDED: Final = "superseded"


def unknown_signal(signal_id: SignalId) -> NotFound:
    """For a signal that was never recorded."""
    return NotFound(f"signal {signal_id} is not stored; record it first")


def unknown_order(client_order_id: ClientOrderId) -> NotFound:
    """For an order that was never recorded."""
    return NotFound(f"order {client_order_id} was never recorded; record its intent before sending it")


def unknown_position(position_id: PositionId) -> NotFound:
    """For a position that was never stored."""
    return NotFound(f"position {position_id} is not stored; it begins with the first fill of its entry")


def unknown_setup(signal_id: SignalId) -> NotFound:
    """For a setup that was never put."""
    return NotFound(f"setup {signal_id} is not stored; put it before it can end")


def unknown_task(task_id: TaskId) -> NotFound:
    """For a task that was never stored."""
    return NotFound(f"strategy task {task_id} is not stored; ensure it before it judges candles")


def refused_transition(
    client_order_id: ClientOrderId, found: str | None, expected: OrderState, state: OrderState
) -> IllegalTransition | NotFound:
    """For an order that is not where the caller thought; `found` is its state, None if there is no such order."""
    if found is None:
        return unknown_order(client_order_id)
    return IllegalTransition(
        f"order {client_order_id} is {found}, not {expected.value}, so it cannot go to {state.value}; "
        "read it again before deciding"
    )


def cause_of_intent(order: Order) -> str:
    """What the first event row of an order says."""
    return order.reason or "intent"


def cause_of_fill(fill: Fill) -> str:
    """What an event row says about the fill that caused it."""
    return f"fill {fill.venue_fill_id}" + (f" ({fill.cause})" if fill.cause else "")
