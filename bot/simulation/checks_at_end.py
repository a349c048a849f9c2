"""Invariants looked at when faults have ended and all agrees again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from bot.instruments import BrokerId
from bot.layer3_execution.order_tracker import is_unresolved
from bot.models import (
    ClientOrderId,
    Direction,
    Order,
    OrderState,
    Position,
)
from bot.simulation.checks_at_tick import is_dust, surplus_stops
from bot.simulation.disturbances import STRANGER
from bot.simulation.ports import at_once

if TYPE_CHECKING:
    from bot.entry_gate import EntryGate
    from bot.simulation.checks import Checks

CENT: Final = Decimal("0.000001")


def disagreement(checks: Checks) -> str | None:
    """I8: the first difference between record, book and venues; None if there is none."""
    world, bot = checks.world, checks.world.bot
    unresolved = [each for each in checks.orders._unfinished.values() if is_unresolved(each)]
    for each in unresolved:
        if at_once(world.lines[each.broker_id].venue.find_order(each.client_order_id)) is None:
            checks.waited_for_absence = True
    if bot is None:
        return "no process is running"
    for broker_id in world.lines:
        if (blocked := _entries_blocked(checks, bot.gate, broker_id)) and not checks.needs_a_person(broker_id):
            return f"entries are blocked: {blocked}"
    stored = {each.id: _essence(each) for each in checks.orders._open.values()}
    if stored != {each.id: _essence(each) for each in bot.book.positions()}:
        known = [_essence(each) for each in bot.book.positions()]
        return f"positions stored {sorted(stored.items())}, in the book {known}"
    rows = {each.client_order_id: each.state for each in checks.orders._unfinished.values()}
    if rows != {each.client_order_id: each.state for each in bot.book.orders()}:
        return f"orders stored {rows}, in the book {[(each.client_order_id, each.state) for each in bot.book.orders()]}"
    odd = {
        each.client_order_id: each.state
        for each in checks.orders._unfinished.values()
        if each.state not in (OrderState.WORKING, OrderState.PARTIAL) and each.broker_id not in checks.touched
    }
    return f"orders hang: {odd}" if odd else latch_is_known(checks) or surplus_is_gone(checks) or _venues_differ(checks)


def _entries_blocked(checks: Checks, gate: EntryGate, broker_id: BrokerId) -> str:
    """Why entries still wait there. What its venue counts otherwise than we do (M5) waits for a person, and only that;
    what has another least quantity by now (B14) for a start."""
    line, report = checks.world.lines[broker_id], gate.reports.get(broker_id)
    alike = [
        each.symbol
        for each in checks.world.registry.of_broker(broker_id)
        if each.symbol not in line.described.odd and line.venue.least_quantity(each.symbol) == each.min_quantity
    ]
    if report is None or not report.clean:
        return gate.blocked(broker_id)
    return next(filter(None, (gate.blocked(broker_id, each) for each in alike)), "")


def odd_is_kept_out(checks: Checks) -> str | None:
    """I15: what a venue counts otherwise than we do stays blocked, also when all else is well."""
    bot = checks.world.bot
    odd = [(broker_id, each) for broker_id, line in checks.world.lines.items() for each in line.described.odd]
    opened = [f"{symbol} of {name}" for name, symbol in odd if bot is not None and not bot.gate.blocked(name, symbol)]
    return f"counted otherwise by the venue, and may be opened: {', '.join(sorted(opened))}" if opened else None


def _essence(position: Position) -> tuple[object, ...]:
    return (position.quantity, position.stop_price, position.targets_hit, position.break_even, position.closed_quantity)


def _venues_differ(checks: Checks) -> str | None:
    for broker_id, line in checks.world.lines.items():
        if broker_id in checks.touched:
            continue  # quarantined: see I16
        ours = {each.entry_order_id: each for each in checks.orders._open.values() if each.broker_id == broker_id}
        theirs = {each.entry_order_id: each for each in at_once(line.venue.positions())}
        held = {name: each.quantity for name, each in ours.items() if each.is_open}
        if held != {name: each.quantity for name, each in theirs.items()}:
            return f"{broker_id} has {[(n, p.quantity) for n, p in theirs.items()]}, we have {held}"
        for name, position in theirs.items():
            if position.stop_price is None and is_dust(checks, position):
                continue
            if position.stop_price is None:
                return f"{name} has no stop"
            if abs(position.stop_price - ours[name].stop_price) >= ours[name].plan.tick:
                return f"{name}: stop at {position.stop_price}, recorded at {ours[name].stop_price}"
        if surplus := surplus_stops(checks, broker_id):
            return f"{broker_id}: stops for more than is open: {surplus}"
        if renamed := _under_an_old_id(checks, broker_id):
            return renamed
        told = {fill.venue_fill_id for fill in at_once(line.venue.fills_since(""))[0]}
        known = {fill_id for broker, fill_id in checks.orders._fills if broker == broker_id}
        if told != known:
            return f"{broker_id} filled {len(told)} times, we know {len(known)}"
    return None


def _under_an_old_id(checks: Checks, broker_id: BrokerId) -> str | None:
    """A stop that we keep ourselves is recorded under the id that the venue has for it now (B9), or has for one of two
    that were delivered (N4) and together cover no more than is open."""
    line = checks.world.lines[broker_id]
    ids: dict[ClientOrderId, list[str]] = {}
    for stop in () if line.capabilities.stop_follows_position else at_once(line.venue.protective_orders()):
        if stop.client_order_id is not None:
            ids.setdefault(stop.client_order_id, []).append(stop.venue_order_id)
    for name, resting in ids.items():
        row = checks.order(name)
        if row is not None and row.venue_order_id not in resting:
            return f"{name} rests as {', '.join(resting)}, recorded as {row.venue_order_id}"
    return None


def cash_is_conserved(checks: Checks) -> str | None:
    """I9: results of all positions are what the accounts have won or lost."""
    for broker_id, line in checks.world.lines.items():
        if broker_id in checks.touched:
            continue
        start = checks.world.balance
        expected = at_once(line.venue.account()).equity - start
        total = Decimal(0)
        for position in checks.orders._positions.values():
            if position.broker_id == broker_id:
                total += position.net
                _, bid, ask = checks.world.ticks[position.symbol][-1]
                mark = bid if position.direction is Direction.LONG else ask
                left = position.first_quantity - position.closed_quantity  # what fees have left below one step, too
                total += (mark - position.entry_price) * position.direction.sign * left
        if abs(total - expected) > CENT:
            return f"{broker_id}: positions say {total}, the account says {expected}"
    return None


def events_tell_the_state(checks: Checks) -> str | None:
    """I10: the events of each order are one chain, and it ends where the order is."""
    for name, events in checks.orders._events.items():
        state = ""
        for _, before, after, _ in events:
            if before != state:
                return f"{name}: an event begins at {before!r}, the one before ended at {state!r}"
            state = after
        if state != checks.orders._orders[name].state.value:
            return f"{name}: its events end at {state}, it is {checks.orders._orders[name].state.value}"
    return None


def surplus_is_gone(checks: Checks) -> str | None:
    """I8: of an entry that reached its venue twice no more is open in the end than was ordered."""
    for broker_id, line in checks.world.lines.items():
        for position in () if broker_id in checks.touched else at_once(line.venue.positions()):
            order = checks.order(position.entry_order_id)
            doubled = position.entry_order_id in checks.doubled - checks.overfilled
            if order is None or not doubled:
                continue
            too_much = position.quantity - order.quantity
            if too_much > 0 and too_much >= line.venue.least_quantity(order.symbol):
                return f"{order.client_order_id}: {position.quantity} open of {order.quantity} ordered"
    return None


def flags_have_fills(checks: Checks) -> str | None:
    """I10: a target counts as hit only with a fill of its order, and a stop goes to the entry only after its target."""
    for position in checks.orders._positions.values():
        if position.break_even and position.targets_hit < (position.plan.break_even_target or 0):
            return f"{position.id}: its stop is at the entry, and only {position.targets_hit} targets were hit"
        for number in range(1, position.targets_hit + 1):
            if not _has_fill(checks, position, number):
                return f"{position.id}: target {number} counts as hit, and no order for it was filled"
    return None


def _has_fill(checks: Checks, position: Position, number: int) -> bool:
    """A later target that filled proves the earlier ones: all were due at one price."""
    rows: Sequence[Order] = [checks.orders._orders[each] for each in checks.orders._of_position.get(position.id, ())]
    return any(
        each.filled_quantity and each.reason.startswith("TARGET_") and int(each.reason[7:]) >= number for each in rows
    )


def latch_is_known(checks: Checks) -> str | None:
    """I8: the process knows what is latched."""
    bot = checks.world.bot
    stored = at_once(checks.world.stores.kills.current())
    if bot is None or bot.kill.known().level is stored.level:
        return None
    return f"stored {stored.says}, known {bot.kill.known().says}"


def foreign_is_left_alone(checks: Checks) -> str | None:
    """I16: an order that somebody else rested still rests, and fills of unknown orders come only from others."""
    for name, broker_id in checks.foreign.items():
        found = at_once(checks.world.lines[broker_id].venue.find_order(name))
        if found is not None and found.state is OrderState.CANCELED:
            return f"{name} of somebody else was cancelled"
    for entry in checks.world.journal:
        stranger = str(entry.data.get("order"))
        if entry.data.get("what") == "fill of an unknown order" and not stranger.startswith(STRANGER):
            return f"a fill of {stranger} counts as one of an unknown order"
    return None


Look = Callable[["Checks"], str | None]

AT_END: Final[tuple[tuple[str, Look], ...]] = (
    ("I9", cash_is_conserved),
    ("I10", events_tell_the_state),
    ("I10", flags_have_fills),
    ("I15", odd_is_kept_out),
    ("I16", foreign_is_left_alone),
)
