"""The invariants, each a small function of the world and one event: a sentence if it is broken, else None.

They look at what really happened (venues, stores, ticks), never at what the bot believes, except where the claim is
that the two agree. The first violation ends the seed. Numbers are those of docs/simulation.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

from bot.database.memory_orders import MemoryOrders
from bot.instruments import BrokerId
from bot.layer3_execution.order_state import TRANSITIONS
from bot.layer3_execution.order_tracker import is_unresolved
from bot.models import (
    ORDER_ID_PREFIX,
    ApprovedOrder,
    ClientOrderId,
    Direction,
    Fill,
    KillLevel,
    KillState,
    Order,
    OrderRole,
    OrderState,
    Position,
    PositionId,
    Quote,
    ReduceOrder,
    Side,
    leg_of,
)
from bot.simulation.loop import PROCESS
from bot.simulation.ports import at_once

if TYPE_CHECKING:
    from bot.simulation.world import World

UNPROTECTED_S: Final = 60.0  # 30 s of trying, and a close that takes its time-outs
SURPLUS_S: Final = 60.0
NOTICED_S: Final = 60.0
REPLACED_S: Final = 3.0  # a send that was stored before another daemon took over
ABSENT_ANSWERS: Final = 3
ABSENT_S: Final = 120.0
CENT: Final = Decimal("0.000001")
_MOVES: Final = frozenset((before, after) for (before, _), after in TRANSITIONS.items())
_STOP_REASONS: Final = ("STOP", "BREAKEVEN")


@dataclass(frozen=True, slots=True)
class Violation:
    """What broke, when, in virtual seconds."""

    invariant: str
    says: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_s:.1f} s: {self.says}"


@dataclass(frozen=True, slots=True)
class Sent:
    """A request leaves for a venue. `request` is None for a stop that is rested later."""

    broker_id: BrokerId
    name: ClientOrderId
    request: ApprovedOrder | ReduceOrder | None


class Checks:
    """All invariants over one world, with how often each was looked at."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.violation: Violation | None = None
        self.checked: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()
        self.failures: list[str] = []
        self.sent: dict[ClientOrderId, float] = {}
        self.entered: set[str] = set()
        self.absent: dict[ClientOrderId, list[float]] = {}
        self.bad_quotes: list[Quote] = []
        self.brokers: dict[ClientOrderId, BrokerId] = {}
        self.unprotected: dict[ClientOrderId, float] = {}
        self.surplus: dict[ClientOrderId, float] = {}
        self.latches: list[KillState] = []
        self.waited_for_absence = False
        self.overfilled: set[ClientOrderId] = set()  # by the venue's mistake (B7)
        self.told_beyond: set[ClientOrderId] = set()  # the venue said that the price is beyond its stop (B2)
        self.doubled: set[ClientOrderId] = set()  # delivered twice to a venue that took both (N4)
        self.touched: dict[BrokerId, float] = {}  # where somebody else has changed a position, and since when
        self.changed: set[ClientOrderId] = set()  # entries of which somebody else has changed what is open
        self.averages: dict[PositionId, list[Decimal]] = {}  # entry prices of each position, fill by fill
        self.unnoticed: dict[ClientOrderId, float] = {}
        self.foreign: dict[ClientOrderId, BrokerId] = {}
        world.database.before_write = self._before_write
        world.database.after_write = self._after_write
        for line in world.lines.values():
            line.watch.sending = self._sending
            line.watch.not_sent = self._not_sent
            line.watch.told_beyond = self.told_beyond.add
            line.watch.doubled = self.doubled.add
            line.watch.moving_stop = self._moving_stop
            line.watch.cancelling = self._cancelling
            line.watch.told_absent = self._told_absent
            line.watch.told_bad_quote = self.bad_quotes.append

    @property
    def orders(self) -> MemoryOrders:
        """The orders as they are really stored."""
        return cast(MemoryOrders, self.world.stores.orders)

    def order(self, name: ClientOrderId) -> Order | None:
        """One stored order."""
        return self.orders._orders.get(name)

    def violate(self, invariant: str, says: str) -> None:
        """The first one counts; the seed ends."""
        if self.violation is None:
            self.violation = Violation(invariant, says, self.world.loop.time())
            self.world.end()

    def note_failure(self, what: str, error: Exception) -> None:
        """Something of the product failed in a way nobody foresaw."""
        self.violate("P5", f"{what}: {type(error).__name__}: {error}")

    def touch(self, broker_id: BrokerId, entry: ClientOrderId | None = None) -> None:
        """Somebody else has changed what is open there, of `entry` if given: only a person can say what that means."""
        self.seen["touched by others"] += 1
        self.touched.setdefault(broker_id, self.world.loop.time())
        if entry is not None:
            self.changed.add(entry)

    def needs_a_person(self, broker_id: BrokerId) -> bool:
        """Somebody else's orders or positions are there: entries stay blocked until a person has answered."""
        return broker_id in self.touched or broker_id in self.foreign.values()

    def note_press(self, state: KillState) -> None:
        """A person pressed the kill switch."""
        self.seen["kill presses"] += 1
        self.latches.append(state)

    def note_resume(self) -> None:
        """A person lifted what persons pressed."""
        self.latches.clear()

    def on_tick(self) -> None:
        """After each tick of the market."""
        for invariant, check in ON_TICK:
            self._hold(invariant, check(self))

    def at_end(self) -> None:
        """When all agrees again."""
        for invariant, check in AT_END:
            self._hold(invariant, check(self))
        if self.world.crashes:
            self.checked["I17"] += 1

    def disagreement(self) -> str | None:
        """Why record, book and venues do not agree now."""
        self.checked["I8"] += 1
        return disagreement(self)

    def waits_for_absence(self) -> bool:
        """Some order may never have arrived: only patience ends that."""
        return self.waited_for_absence

    # ------------------------------------------------------------------------------------------------------ listening

    def _hold(self, invariant: str, says: str | None) -> None:
        self.checked[invariant] += 1
        if says is not None:
            self.violate(invariant, says)

    def _sending(self, broker_id: BrokerId, name: ClientOrderId, request: Any) -> None:
        event = Sent(broker_id, name, request)
        for invariant, check in ON_SEND:
            self._hold(invariant, check(self, event))
        self.sent[name] = self.world.loop.time()
        self.brokers[name] = broker_id
        if isinstance(request, ApprovedOrder):
            self.seen["entries sent"] += 1
            self.entered.add(logical(request))
        else:
            self.seen["reductions sent" if request is not None else "stops sent"] += 1

    def _not_sent(self, name: ClientOrderId) -> None:
        """The line has told the sender that no byte has left: nothing was sent under that name."""
        self.sent.pop(name, None)

    def _moving_stop(self, broker_id: BrokerId, entry: ClientOrderId, stop: Decimal) -> None:
        self.seen["stops moved"] += 1
        self._hold("I15", stop_beyond_the_market(self, entry, stop))

    def _cancelling(self, broker_id: BrokerId, name: ClientOrderId) -> None:
        self.seen["cancels sent"] += 1
        self._hold("I16", None if name.startswith(ORDER_ID_PREFIX) else f"foreign order {name} is cancelled")

    def _told_absent(self, name: ClientOrderId) -> None:
        self.absent.setdefault(name, []).append(self.world.loop.time())

    def _before_write(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> None:
        if name == "transition":
            self._hold("I10", illegal_move(self, values[0], named["expected"], named["state"]))
            self._hold("I4", ended_without_evidence(self, values[0], named["expected"], named["state"]))
        elif name == "set":
            self._hold("I12", latch_lifted_by_nobody(values[0]))

    def _after_write(self, name: str, values: tuple[Any, ...], named: dict[str, Any], answer: Any) -> None:
        if name == "record_fill" and answer:
            self.seen["fills"] += 1
            self.averages.setdefault(named["position"].id, []).append(named["position"].entry_price)
            self._hold("I9", position_is_not_its_fills(self, named["position"]))
            self._hold("I2", overfilled(self, values[0], named["order"]))


def logical(request: ApprovedOrder) -> str:
    """The event behind a signal: task and candle, whatever the signal's counter."""
    return request.signal_id.rpartition("/")[0]


# --------------------------------------------------------------------------------------------- when something is sent


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
        alike = other.role is OrderRole.EXIT and other.reason == sent.request.reason
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
    if reason in _STOP_REASONS and not was_at(checks, position, wanted, better=False):
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

    What was paid on average counts too, also before the last parts had filled: a step may have been decided then.
    """
    long = position.direction is Direction.LONG
    since = checks.sent.get(position.entry_order_id, 0.0) - 2 * checks.world.scenario.tick_s
    prices = [bid if long else ask for at, bid, ask in checks.world.ticks[position.symbol] if at >= since]
    prices += checks.averages.get(position.id, ())
    sign = position.direction.sign if better else -position.direction.sign
    return any(sign * (each - price) >= 0 for each in prices)


# --------------------------------------------------------------------------------------------- when something is stored


def illegal_move(checks: Checks, name: ClientOrderId, before: OrderState, after: OrderState) -> str | None:
    """I10: only moves of the state table."""
    if before is after or (before, after) in _MOVES:
        return None
    return f"{name} goes from {before.value} to {after.value}"


def ended_without_evidence(checks: Checks, name: ClientOrderId, before: OrderState, after: OrderState) -> str | None:
    """I4: absence is presumed only after three clean answers over two minutes, counted since this process began; where
    the venue throws away old requests, after two of which the last came when the request was too old."""
    row = checks.order(name)
    if after is not OrderState.NOT_PLACED or row is None:
        return None
    if row.role is OrderRole.STOP and name.endswith("S00"):
        return None  # it shares the fate of its entry
    answers = [at for at in checks.absent.get(name, ()) if at >= checks.world.started_at]
    expires_s = checks.world.lines[row.broker_id].capabilities.request_expires_after_s
    if expires_s is not None and len(answers) > 1 and answers[-1] - answers[0] >= expires_s:
        return None
    if len(answers) >= ABSENT_ANSWERS and answers[-1] - answers[0] >= ABSENT_S - 1.0:
        return None
    over = answers[-1] - answers[0] if answers else 0.0
    return f"{name} ends NOT_PLACED after {len(answers)} clean answers over {over:.0f} s"


def position_is_not_its_fills(checks: Checks, position: Position) -> str | None:
    """I9: quantity, fees and fills agree, each fill counted once."""
    opened = closed = fees = Decimal(0)
    for fill in checks.orders._fills.values():
        order = checks.orders._orders[fill.client_order_id]
        if order.position_id == position.id:
            fees += fill.fee
            if order.role is OrderRole.ENTRY:
                opened += fill.quantity
            else:
                closed += fill.quantity
    stored = checks.orders._positions[position.id]
    if (stored.first_quantity, stored.closed_quantity, stored.fees) != (opened, closed, fees):
        said = f"{stored.first_quantity} opened, {stored.closed_quantity} closed, fees {stored.fees}"
        return f"position {position.id} says {said}; its fills say {opened}, {closed}, {fees}"
    if stored.quantity != max(opened - closed, Decimal(0)):
        return f"position {position.id} has {stored.quantity} left of {opened} - {closed}"
    return None


def overfilled(checks: Checks, fill: Fill, order: Order) -> str | None:
    """I2: no more than was ordered, but by the venue's mistake or by an order that reached it twice."""
    if order.client_order_id in checks.overfilled | checks.doubled:
        return None
    if order.role is OrderRole.STOP or order.filled_quantity <= order.quantity:
        return None
    return f"{order.client_order_id}: {order.filled_quantity} filled of {order.quantity}"


def latch_lifted_by_nobody(state: KillState) -> str | None:
    """I12: only what ends by itself is lifted by the daemon."""
    if state.level is KillLevel.NONE and state.by == "daemon" and not state.cause.ends_by_itself:
        return f"the daemon lifts the kill switch of {state.cause.value}"
    return None


# ------------------------------------------------------------------------------------------------------- on each tick


def protected_in_time(checks: Checks) -> str | None:
    """I6: a position without a stop is closed, while process, line and database are there to do it."""
    for broker_id, line in checks.world.lines.items():
        for position in () if line.venue.is_flat else at_once(line.venue.positions()):
            name = position.entry_order_id
            if position.stop_price is not None or name in checks.foreign or _is_quarantined(checks, name):
                checks.unprotected.pop(name, None)
                continue
            checks.seen["ticks without a stop"] += 1
            if not _is_closing(checks, name):
                waited = _waited(checks, checks.unprotected, name, broker_id)
                if waited > UNPROTECTED_S:
                    return f"{name} had no stop for {waited:.0f} s and nothing closes it"
    return None


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
        and not world.loop.is_suspended(world.process)
        and world.lines[broker_id].is_open
        and not world.database.is_down
    ):
        since[name] = since.get(name, 0.0) + world.scenario.tick_s
    return since.get(name, 0.0)


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
    allowed_s = 0.0 if checks.world.scenario.kind.stop_follows_position else SURPLUS_S
    for broker_id in checks.world.lines:
        surplus = surplus_stops(checks, broker_id)
        for name, quantity in surplus.items():
            checks.seen["ticks with surplus stops"] += 1
            if checks.world.lines[broker_id].hides(name) or _is_quarantined(checks, name):
                continue  # the venue shows neither what was closed nor the smaller stop: nobody could know
            if _waited(checks, checks.surplus, name, broker_id) > allowed_s:
                return f"stops for {quantity} too much rest for {name}"
        gone = [each for each in checks.surplus if checks.brokers.get(each) == broker_id and each not in surplus]
        for name in gone:
            del checks.surplus[name]
    return None


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


# -------------------------------------------------------------------------------------------------------- at the end


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
        if (blocked := bot.gate.blocked(broker_id)) and not checks.needs_a_person(broker_id):
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
            if position.stop_price is None:
                return f"{name} has no stop"
            if abs(position.stop_price - ours[name].stop_price) >= ours[name].plan.tick:
                return f"{name}: stop at {position.stop_price}, recorded at {ours[name].stop_price}"
        if surplus := surplus_stops(checks, broker_id):
            return f"{broker_id}: stops for more than is open: {surplus}"
        told = {fill.venue_fill_id for fill in at_once(line.venue.fills_since(""))[0]}
        known = {fill_id for broker, fill_id in checks.orders._fills if broker == broker_id}
        if told != known:
            return f"{broker_id} filled {len(told)} times, we know {len(known)}"
    return None


def cash_is_conserved(checks: Checks) -> str | None:
    """I9: results of all positions are what the accounts have won or lost."""
    for broker_id, line in checks.world.lines.items():
        if broker_id in checks.touched:
            continue
        venue = {each.entry_order_id: each for each in at_once(line.venue.positions())}
        start = checks.world.balance
        expected = at_once(line.venue.account()).equity - start
        total = Decimal(0)
        for position in checks.orders._positions.values():
            if position.broker_id == broker_id:
                total += position.net
                if position.entry_order_id in venue:
                    _, bid, ask = checks.world.ticks[position.symbol][-1]
                    mark = bid if position.direction is Direction.LONG else ask
                    total += (mark - position.entry_price) * position.direction.sign * position.quantity
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
    """I10: a target counts as hit only with a fill of its order."""
    for position in checks.orders._positions.values():
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
    told = [each for each in checks.world.journal if each.data.get("what") == "fill of an unknown order"]
    if told and not checks.touched:
        return f"{len(told)} fills of unknown orders, and nobody else trades here"
    return None


def foreign_is_noticed(checks: Checks) -> str | None:
    """I16: what somebody else changed is told as a difference, until a person has answered or it is gone."""
    bot = checks.world.bot
    for broker_id in checks.touched:
        report = None if bot is None else bot.gate.reports.get(broker_id)
        if report is None or not report.complete or report.differences or not _positions_differ(checks, broker_id):
            checks.unnoticed.pop(ClientOrderId(broker_id), None)
        elif _waited(checks, checks.unnoticed, ClientOrderId(broker_id), broker_id) > NOTICED_S:
            return f"{broker_id} was changed by somebody else, and no difference is told"
    return None


def _positions_differ(checks: Checks, broker_id: BrokerId) -> bool:
    theirs = {each.entry_order_id: each.quantity for each in at_once(checks.world.lines[broker_id].venue.positions())}
    ours = checks.orders._open.values()
    return theirs != {
        each.entry_order_id: each.quantity for each in ours if each.broker_id == broker_id and each.is_open
    }


OnSend = Callable[[Checks, Sent], str | None]
Look = Callable[[Checks], str | None]

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
    ("I15", exit_has_a_reason),
)
ON_TICK: Final[tuple[tuple[str, Look], ...]] = (
    ("I6", protected_in_time),
    ("I7", not_over_protected),
    ("I12", latches_hold),
    ("I16", foreign_is_noticed),
)
AT_END: Final[tuple[tuple[str, Look], ...]] = (
    ("I9", cash_is_conserved),
    ("I10", events_tell_the_state),
    ("I10", flags_have_fills),
    ("I16", foreign_is_left_alone),
)
