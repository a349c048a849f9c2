"""What both backends say in the same words, and how latches follow from rows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from bot.errors import IllegalTransition, NotFound, NotTheWriter
from bot.models import (
    ClientOrderId,
    Fill,
    KillLevel,
    KillState,
    Order,
    OrderState,
    PositionId,
    SignalId,
    TaskId,
    strongest,
)

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


def unknown_user(name: str) -> NotFound:
    """For a person who was never added."""
    return NotFound(f"there is no user {name!r}; ./botctl users lists all")


def unknown_alert(alert_id: str) -> NotFound:
    """For an alert that was never saved."""
    return NotFound(f"there is no alert {alert_id!r}; ./botctl alerts lists the newest")


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


def fenced(mine: int, found: int | None) -> NotTheWriter:
    """For a writer whose epoch is no longer the one of the database."""
    return NotTheWriter(
        f"this process writes in epoch {mine}, the database is in epoch {found}: another daemon has taken over; "
        "stop this one, nothing was sent"
    )


def cause_of_intent(order: Order) -> str:
    """What the first event row of an order says."""
    return order.reason or "intent"


def cause_of_fill(fill: Fill) -> str:
    """What an event row says about the fill that caused it."""
    return f"fill {fill.venue_fill_id}" + (f" ({fill.cause})" if fill.cause else "")


def changes_latches(active: Sequence[KillState], state: KillState) -> bool:
    """A press that does not hold yet, or a release of something that does."""
    alike = [each for each in active if (each.cause, each.broker_id) == (state.cause, state.broker_id)]
    return bool(alike) if state.level is KillLevel.NONE else all(each.level is not state.level for each in alike)


def latches_after(active: Sequence[KillState], state: KillState) -> list[KillState]:
    """What holds after one more row. A press is added; a release ends all of its cause and broker."""
    if state.level is not KillLevel.NONE:
        return [*active, state]
    return [each for each in active if (each.cause, each.broker_id) != (state.cause, state.broker_id)]


def resumable(active: Sequence[KillState], up_to: KillLevel) -> list[KillState]:
    """What a person may release, where nothing stronger than `up_to` holds."""
    if strongest(active).level > up_to:
        return []
    return [each for each in active if not each.cause.ends_by_itself]


def releases_of(latches: Sequence[KillState], *, by: str, reason: str, at: datetime) -> list[KillState]:
    """The rows that end `latches`: one for each cause and broker."""
    kinds = dict.fromkeys((each.cause, each.broker_id) for each in latches)
    row = KillState(level=KillLevel.NONE, by=by, cause=latches[0].cause, reason=reason, at=at) if latches else None
    return [] if row is None else [replace(row, cause=cause, broker_id=broker_id) for cause, broker_id in kinds]
