"""Invariants looked at after each tick of the market."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Final, cast

from bot.instruments import BrokerId
from bot.models import (
    ClientOrderId,
    OrderRole,
    VenuePosition,
    leg_of,
)
from bot.simulation.checks_at_write import daily_losses
from bot.simulation.ports import at_once

if TYPE_CHECKING:
    from bot.simulation.checks import Checks
    from bot.simulation.world import Bot

UNPROTECTED_S: Final = 60.0  # 30 s of trying, and a close that takes its time-outs
SURPLUS_S: Final = 60.0
BELIEVED_S: Final = 30.0  # that a venue shows less than our record, because somebody else has changed it
LOST_S: Final = 4.0  # what a request costs that did not arrive: it is asked again after 3 s, with the next look
COMPARED_S: Final = 10.0  # what a comparison takes; it is the monitor's turn that sees what others did
NOTICED_S: Final = 60.0  # as much again where no comparison has ended since: each lost request takes 10 s of it
ENDED_S: Final = 40.0  # after the monitor's turn, in which an account is read: some of what comes before gets no answer
REFUSED_S: Final = 25.0  # until another attempt, at the latest


def protected_in_time(checks: Checks) -> str | None:
    """I6: a position without a stop is closed, while process, line and database are there to do it."""
    for broker_id, line in checks.world.lines.items():
        for position in () if line.venue.is_flat else at_once(line.venue.positions()):
            name = position.entry_order_id
            is_left_alone = name in checks.foreign or _is_quarantined(checks, name) or is_dust(checks, position)
            if position.stop_price is not None or is_left_alone:
                checks.unprotected.pop(name, None)
                continue
            checks.seen["ticks without a stop"] += 1
            if not _is_closing(checks, name):
                waited = _waited(checks, checks.unprotected, name, broker_id)
                if waited > UNPROTECTED_S:
                    return f"{name} had no stop for {waited:.0f} s and nothing closes it"
    return None


def is_dust(checks: Checks, position: VenuePosition) -> bool:
    """Left of an order that was filled by more than it asked for (B7): the venue takes neither stop nor sale of it."""
    if position.entry_order_id not in checks.overfilled or not checks.world.scenario.kind.traits.stop_reserves:
        return False
    worth = position.quantity * position.average_price
    return worth < checks.world.instruments[position.symbol].min_notional


def _is_quarantined(checks: Checks, entry: ClientOrderId) -> bool:
    """Somebody else made more of it than our record knows, which has closed all that it knows: a person is asked."""
    order = checks.order(entry)
    if entry not in checks.changed or order is None:
        return False
    return not checks.orders._positions[order.position_id].is_open


def _waited(checks: Checks, since: dict[ClientOrderId, float], name: ClientOrderId, broker_id: BrokerId) -> float:
    """How long something has been so, in ticks in which process, line and database could have changed it."""
    world = checks.world
    able = world.bot is not None and broker_id in world.bot.gate.reports
    if (
        able
        and not _is_held_up(world.bot, broker_id)
        and not world.loop.is_suspended(world.process)
        and world.lines[broker_id].is_open
        and not world.database.is_down
    ):
        since[name] = since.get(name, 0.0) + world.scenario.tick_s
    return since.get(name, 0.0)


def _is_held_up(bot: Bot | None, broker_id: BrokerId) -> bool:
    """Both jobs that look after the positions of a venue come too late (C3)."""
    return bot is not None and all(bot.scheduler.is_late(f"{each} {broker_id}") for each in ("monitor", "protection"))


def _is_closing(checks: Checks, entry: ClientOrderId) -> bool:
    order = checks.order(entry)
    if order is None:
        return False
    rows = [checks.orders._orders[each] for each in checks.orders._of_position.get(order.position_id, ())]
    return any(
        each.role is OrderRole.EXIT and checks.sent.get(each.client_order_id, -1.0) > _ago(checks) for each in rows
    )


def _ago(checks: Checks) -> float:
    return checks.world.loop.time() - 25.0


def not_over_protected(checks: Checks) -> str | None:
    """I7: what rests for a position is not larger than it for long, and where stops follow positions, never."""
    follows = checks.world.scenario.kind.traits.stop_follows_position
    for broker_id in checks.world.lines:
        surplus = surplus_stops(checks, broker_id)
        for name, quantity in surplus.items():
            checks.seen["ticks with surplus stops"] += 1
            if checks.world.lines[broker_id].told.hides(name) or _is_quarantined(checks, name):
                continue  # the venue shows neither what was closed nor the smaller stop: nobody could know
            if _is_refused_a_smaller_one(checks, broker_id, name):
                continue  # the one that is too large protects, until the venue takes another
            if name in checks.changed and checks.surplus_seen_by.get(name) != checks.world.process:
                checks.surplus.pop(name, None)  # that a venue shows less is believed by who has seen it for 30 s
            checks.surplus_seen_by[name] = checks.world.process
            allowed_s = 0.0 if follows else SURPLUS_S + LOST_S * checks.lost[name]
            if name in checks.changed and not follows:
                allowed_s += BELIEVED_S
            if _waited(checks, checks.surplus, name, broker_id) > allowed_s:
                return f"stops for {quantity} too much rest for {name}"
        gone = [each for each in checks.surplus if checks.brokers.get(each) == broker_id and each not in surplus]
        for name in gone:
            del checks.surplus[name]
        for name in checks.lost.keys() - surplus.keys():
            if checks.brokers.get(name) == broker_id:
                del checks.lost[name]
    return None


def _is_refused_a_smaller_one(checks: Checks, broker_id: BrokerId, entry: ClientOrderId) -> bool:
    """The venue has refused a stop (B3) just now, and only one rests; the next attempt comes with the next look."""
    if checks.world.loop.time() - checks.refused.get(entry, -REFUSED_S) >= REFUSED_S:
        return False
    stops = at_once(checks.world.lines[broker_id].venue.protective_orders())
    return sum(leg_of(cast(ClientOrderId, each.client_order_id), "E0") == entry for each in stops) == 1


def surplus_stops(checks: Checks, broker_id: BrokerId) -> dict[ClientOrderId, Decimal]:
    """By entry: how much more rests as stops than is open."""
    venue = checks.world.lines[broker_id].venue
    if venue.is_flat:
        return {}
    left: dict[ClientOrderId, Decimal] = {}
    for stop in at_once(venue.protective_orders()):
        entry = leg_of(cast(ClientOrderId, stop.client_order_id), "E0")
        left[entry] = left.get(entry, Decimal(0)) + stop.quantity - stop.filled_quantity
    for position in at_once(venue.positions()):
        if position.entry_order_id in left:
            left[position.entry_order_id] -= position.quantity
    return {entry: quantity for entry, quantity in left.items() if quantity > 0}


def latches_hold(checks: Checks) -> str | None:
    """I12: what a person pressed is still stored."""
    stored = at_once(checks.world.stores.kills.active())
    lost = [each.says for each in checks.latches if each.level not in {row.level for row in stored}]
    return f"gone without a person: {lost[0]}" if lost else None


def a_new_day_begins(checks: Checks) -> str | None:
    """I12: when the session day has ended (C5), its loss keeps entries out no longer than the next account takes."""
    world, today = checks.world, checks.world.venue_clock.now().date()
    if today == world.scenario.starts_at.date():
        return None
    ended = [each.broker_id for each in daily_losses(checks) if each.broker_id and each.at.date() < today]
    for broker_id in world.lines:
        name = ClientOrderId(broker_id)
        if broker_id not in ended or world.clock.step:
            checks.overdue.pop(name, None)
        elif _waited(checks, checks.overdue, name, broker_id) > world.scenario.monitor_s + ENDED_S:
            return f"{broker_id}: the daily loss of the day before still keeps entries out"
    return None


def foreign_is_noticed(checks: Checks) -> str | None:
    """I16: what somebody else changed is told as a difference, until a person has answered or it is gone."""
    bot = checks.world.bot
    for broker_id in checks.touched:
        report = None if bot is None else bot.gate.reports.get(broker_id)
        name = ClientOrderId(broker_id)
        if report is None or not report.complete or report.differences or not _positions_differ(checks, broker_id):
            checks.unnoticed.pop(name, None)
            checks.compared_before.pop(broker_id, None)
            continue
        is_new = report is not checks.compared_before.setdefault(broker_id, report)
        within_s = max(NOTICED_S, checks.world.scenario.monitor_s + COMPARED_S)
        if _waited(checks, checks.unnoticed, name, broker_id) > (within_s if is_new else within_s + NOTICED_S):
            return f"{broker_id} was changed by somebody else, and no difference is told"
    return None


def _positions_differ(checks: Checks, broker_id: BrokerId) -> bool:
    theirs = {each.entry_order_id: each.quantity for each in at_once(checks.world.lines[broker_id].venue.positions())}
    ours = checks.orders._open.values()
    return theirs != {
        each.entry_order_id: each.quantity for each in ours if each.broker_id == broker_id and each.is_open
    }


Look = Callable[["Checks"], str | None]

ON_TICK: Final[tuple[tuple[str, Look], ...]] = (
    ("I6", protected_in_time),
    ("I7", not_over_protected),
    ("I12", latches_hold),
    ("I12", a_new_day_begins),
    ("I16", foreign_is_noticed),
)
