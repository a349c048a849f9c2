"""Invariants looked at when something leaves for a venue: functions of the world and what is sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bot.instruments import BrokerId
from bot.models import (
    ApprovedOrder,
    ClientOrderId,
    Direction,
    KillLevel,
    OrderRole,
    OrderState,
    Position,
    ReduceOrder,
    Side,
    VenuePosition,
)
from bot.simulation.loop import PROCESS
from bot.simulation.ports import at_once

if TYPE_CHECKING:
    from bot.simulation.checks import Checks

REPLACED_S: Final = 3.0  # a send that was stored before another daemon took over
LOST_LOCK_S: Final = 1.0  # until a process knows that it has lost the writer lock
_STOP_REASONS: Final = ("STOP", "BREAKEVEN")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request leaves for a venue. `request` is the position that it claims, for a stop that is rested later."""

    broker_id: BrokerId
    name: ClientOrderId
    request: ApprovedOrder | ReduceOrder | VenuePosition


def logical(request: ApprovedOrder) -> str:
    """The event behind a signal: task and candle, whatever the signal's counter."""
    return request.signal_id.rpartition("/")[0]


def worst_price(request: ApprovedOrder) -> Decimal:
    """What it may fill at, computed anew: a quarter of the way to its stop beyond what was decided."""
    return request.decided_price + (request.decided_price - request.plan.stop) / 4


def intent_is_durable(checks: Checks, sent: Sent) -> str | None:
    """I1: its row is committed, in SENDING, before the first byte leaves."""
    row = checks.order(sent.name)
    if row is None:
        return f"{sent.name} is sent without a stored intent"
    return None if row.state is OrderState.SENDING else f"{sent.name} is sent while its row says {row.state.value}"


def sent_once(checks: Checks, sent: Sent) -> str | None:
    """I2: no name leaves twice."""
    return f"{sent.name} is sent a second time" if sent.name in checks.sent else None


def one_exit_at_a_time(checks: Checks, sent: Sent) -> str | None:
    """I2: one living order for each thing that a position wants; a close may follow one that a clean look-up lacks."""
    if not isinstance(sent.request, ReduceOrder):
        return None
    for name in checks.orders._of_position.get(sent.request.position_id, ()):
        other = checks.orders._orders[name]
        closes = not sent.request.reason.startswith("TARGET_") and not other.reason.startswith("TARGET_")
        alike = other.role is OrderRole.EXIT and (closes or other.reason == sent.request.reason)
        if name in checks.absent and not other.reason.startswith("TARGET_"):
            continue
        if name != sent.name and alike and name in checks.sent and not other.state.is_terminal:
            return f"{sent.name} ({sent.request.reason}) is sent while {name} is {other.state.value}"
    return None


def one_entry_per_signal(checks: Checks, sent: Sent) -> str | None:
    """I3: the same candle of the same task opens once."""
    if isinstance(sent.request, ApprovedOrder) and logical(sent.request) in checks.entered:
        return f"{sent.name}: {logical(sent.request)} has opened before"
    return None


def within_the_limit(checks: Checks, sent: Sent) -> str | None:
    """I5: what is open and what may be, at most the limit of the broker."""
    if not isinstance(sent.request, ApprovedOrder):
        return None
    used = sum(1 for each in checks.orders._open.values() if each.broker_id == sent.broker_id)
    most = checks.world.scenario.max_positions
    return f"{sent.name} would be number {used} of at most {most} at {sent.broker_id}" if used > most else None


def not_killed(checks: Checks, sent: Sent) -> str | None:
    """I11: no entry begins after a kill row was committed."""
    if not isinstance(sent.request, ApprovedOrder):
        return None
    state = at_once(checks.world.stores.kills.current(sent.broker_id))
    return None if state.level is KillLevel.NONE else f"{sent.name} is sent although {state.says}"


def sent_by_the_living(checks: Checks, sent: Sent) -> str | None:
    """I13: one process sends; one that was replaced may end the send that it had begun."""
    process, world = PROCESS.get(), checks.world
    if process == world.process or world.loop.time() - world.taken_over_at <= REPLACED_S:
        return None
    return f"{sent.name} is sent by process {process}"


def lock_is_held(checks: Checks, name: ClientOrderId) -> str | None:
    """I13: a second after a process has lost the writer lock nothing leaves it, of whatever kind, until it is back. A
    process that stood still meanwhile may end the send that it had begun."""
    world, lost = checks.world, checks.world.database.lost_lock
    now = world.loop.time()
    if lost is None or lost.process != PROCESS.get() or world.awake_since > lost.lost_at:
        return None
    if not lost.lost_at + LOST_LOCK_S < now < lost.back_at:
        return None
    return f"a request about {name} leaves {now - lost.lost_at:.1f} s after the writer lock was lost"


def reconciled_before(checks: Checks, sent: Sent) -> str | None:
    """I14: this process has compared this venue completely before its first entry there."""
    bot = checks.world.bot
    if not isinstance(sent.request, ApprovedOrder) or bot is None:
        return None
    return None if sent.broker_id in bot.reports.completed else f"{sent.name} before {sent.broker_id} was reconciled"


def decided_on_a_good_quote(checks: Checks, sent: Sent) -> str | None:
    """I15: no entry at a price that nobody quoted, or that was long gone."""
    if not isinstance(sent.request, ApprovedOrder):
        return None
    price, buys = sent.request.decided_price, sent.request.side is Side.BUY
    if any(price == (each.ask if buys else each.bid) for each in checks.bad_quotes):
        return f"{sent.name} was decided on a bad quote, {price}"
    recent = [each for each in checks.world.ticks[sent.request.symbol] if checks.world.loop.time() - each[0] <= 120.0]
    if not any(price == (ask if buys else bid) for _, bid, ask in recent):
        return f"{sent.name} was decided at {price}, which was no price of the last 120 s"
    return None


def counted_alike(checks: Checks, sent: Sent) -> str | None:
    """I15: nothing is opened in what its venue counts otherwise than we do: each start asks it, and waits for it."""
    symbol, odd = sent.request.symbol, checks.world.lines[sent.broker_id].described.odd
    if not isinstance(sent.request, ApprovedOrder) or symbol not in odd or PROCESS.get() != checks.world.process:
        return None
    return f"{sent.name} opens {symbol}, which {sent.broker_id} counts otherwise than we do"


def in_whole_steps(checks: Checks, sent: Sent) -> str | None:
    """I15: what is asked for can be traded: whole steps, whatever fees have left of a purchase."""
    step = checks.world.instruments[sent.request.symbol].quantity_step
    if sent.request.quantity % step:
        return f"{sent.name} is for {sent.request.quantity}, which is not in steps of {step}"
    return None


def waits_for_a_person(checks: Checks, sent: Sent) -> str | None:
    """I16: what somebody else has changed, and our record has closed, is not traded before a person has answered."""
    if not isinstance(sent.request, ReduceOrder) or sent.request.entry_order_id not in checks.changed:
        return None
    bot = checks.world.bot
    if bot is None or bot.book.position(sent.request.position_id) is not None:
        return None  # open in our record, or closed there by a commit whose answer this process still waits for
    return f"{sent.name} trades {sent.request.entry_order_id}, which our record has closed"


def exit_has_a_reason(checks: Checks, sent: Sent) -> str | None:
    """I15: a target or a stop is acted on only if the market was really there while the position was open."""
    if not isinstance(sent.request, ReduceOrder):
        return None
    position = checks.orders._positions.get(sent.request.position_id)
    if position is None:
        return None
    reason = sent.request.reason
    if reason.startswith("TARGET_"):
        wanted = position.plan.targets[int(reason.removeprefix("TARGET_")) - 1].price
        return None if was_at(checks, position, wanted, better=True) else f"{sent.name}: never at target {wanted}"
    # A stop that was to go to the entry and could not is a close at the entry: that is where the market must have been.
    wanted = position.entry_price if reason == "BREAKEVEN" else position.stop_price
    if position.entry_order_id in checks.told_beyond:
        return None  # the venue's word for it counts, whether true or not
    # One that was moved rests where the venue took it, also where the answer died with its process.
    possible = {wanted, *checks.resized_to.get(position.entry_order_id, ())}
    if reason in _STOP_REASONS and not any(was_at(checks, position, each, better=False) for each in possible):
        return f"{sent.name}: closed for {reason} at {wanted}, where the market never was"
    return None


def stop_beyond_the_market(checks: Checks, entry: ClientOrderId, stop: Decimal) -> str | None:
    """I15: a stop follows prices that were there."""
    order = checks.order(entry)
    position = checks.orders._positions.get(order.position_id) if order is not None else None
    if position is None or was_at(checks, position, stop, better=True):
        return None
    return f"stop of {entry} goes to {stop}, which the market never reached"


def was_at(checks: Checks, position: Position, price: Decimal, *, better: bool) -> bool:
    """The exit side of the market was at `price` or beyond since the entry left.

    What was paid on average counts as itself, also before the last parts had filled: a stop may go there.
    """
    long = position.direction is Direction.LONG
    since = checks.sent.get(position.entry_order_id, 0.0) - 2 * checks.world.scenario.tick_s
    prices = [bid if long else ask for at, bid, ask in checks.world.ticks[position.symbol] if at >= since]
    sign = position.direction.sign if better else -position.direction.sign
    paid = checks.averages.get(position.id, ())
    return any(sign * (each - price) >= 0 for each in prices) or any(
        abs(each - price) < position.plan.tick for each in paid
    )


OnSend = Callable[["Checks", Sent], str | None]

ON_SEND: Final[tuple[tuple[str, OnSend], ...]] = (
    ("I1", intent_is_durable),
    ("I2", sent_once),
    ("I2", one_exit_at_a_time),
    ("I3", one_entry_per_signal),
    ("I5", within_the_limit),
    ("I11", not_killed),
    ("I13", sent_by_the_living),
    ("I14", reconciled_before),
    ("I15", decided_on_a_good_quote),
    ("I15", counted_alike),
    ("I15", in_whole_steps),
    ("I15", exit_has_a_reason),
    ("I16", waits_for_a_person),
)
