"""The invariants, each a small function of the world and one event: a sentence if it is broken, else None.

They look at what really happened (venues, stores, ticks), never at what the bot believes, except where the claim is
that the two agree. The first violation ends the seed. Numbers are those of docs/simulation.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from bot.database.memory_orders import MemoryOrders
from bot.instruments import BrokerId
from bot.layer3_execution.reconcile_report import ReconcileReport
from bot.models import (
    ORDER_ID_PREFIX,
    ApprovedOrder,
    ClientOrderId,
    Fill,
    KillCause,
    KillLevel,
    KillState,
    Order,
    OrderRole,
    PositionId,
    Quote,
    ReduceOrder,
    leg_of,
)
from bot.simulation.checks_at_end import AT_END, disagreement
from bot.simulation.checks_at_send import (
    ON_SEND,
    Sent,
    lock_is_held,
    logical,
    stop_beyond_the_market,
    worst_price,
)
from bot.simulation.checks_at_tick import ON_TICK
from bot.simulation.checks_at_write import (
    ended_by_its_old_id,
    ended_without_evidence,
    filled_beyond_its_bound,
    illegal_move,
    latch_lifted_by_nobody,
    overfilled,
    position_is_not_its_fills,
    released_within_the_day,
)

if TYPE_CHECKING:
    from bot.simulation.world import World


@dataclass(frozen=True, slots=True)
class Violation:
    """What broke, when, in virtual seconds."""

    invariant: str
    says: str
    at_s: float

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_s:.1f} s: {self.says}"


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
        self.surplus_seen_by: dict[ClientOrderId, int] = {}  # the process that it is counted for
        self.lost: Counter[ClientOrderId] = Counter()  # requests about a stop, lost while too much rested
        self.latches: list[KillState] = []
        self.overdue: dict[ClientOrderId, float] = {}
        self.waited_for_absence = False
        self.overfilled: set[ClientOrderId] = set()  # by the venue's mistake (B7)
        self.told_beyond: set[ClientOrderId] = set()  # the venue said that the price is beyond its stop (B2)
        self.replaced: dict[ClientOrderId, str] = {}  # the old id that the newest look-up told of (B9)
        self.refused: dict[ClientOrderId, float] = {}  # when the venue last refused a stop for that entry (B3)
        self.bounds: dict[ClientOrderId, Decimal] = {}  # the worst price of each entry that was sent
        self.resized_to: dict[ClientOrderId, set[Decimal]] = {}  # where the venue let a stop of that entry rest
        self.worsened: set[str] = set()  # fills far from the price, by a bad venue (M6)
        self.doubled: set[ClientOrderId] = set()  # delivered twice to a venue that took both (N4)
        self.touched: dict[BrokerId, float] = {}  # where somebody else has changed a position, and since when
        self.changed: set[ClientOrderId] = set()  # entries of which somebody else has changed what is open
        self.averages: dict[PositionId, list[Decimal]] = {}  # entry prices of each position, fill by fill
        self.unnoticed: dict[ClientOrderId, float] = {}
        self.compared_before: dict[BrokerId, ReconcileReport] = {}  # the newest comparison when a change was made
        self.foreign: dict[ClientOrderId, BrokerId] = {}
        world.database.before_write = self._before_write
        world.database.after_write = self._after_write
        for line in world.lines.values():
            line.watch.sending = self._sending
            line.watch.not_sent = self._not_sent
            line.watch.lost = self._lost
            line.watch.told_beyond = self.told_beyond.add
            line.watch.refused_stop = self._refused_stop
            line.watch.worsened = self._worsened
            line.watch.doubled = self.doubled.add
            line.watch.moving_stop = self._moving_stop
            line.watch.resizing_stop = self._resizing_stop
            line.watch.resized_stop = self._resized_stop
            line.watch.cancelling = self._cancelling
            line.watch.told_absent = self._told_absent
            line.watch.told_bad_quote = self.bad_quotes.append
            line.watch.told_replaced = self._told_replaced

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
            self.surplus.pop(entry, None)

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
        if self.world.crashes or self.world.deployments:
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
        self._hold("I13", lock_is_held(self, name))
        event = Sent(broker_id, name, request)
        for invariant, check in ON_SEND:
            self._hold(invariant, check(self, event))
        self.sent[name] = self.world.loop.time()
        self.brokers[name] = broker_id
        if isinstance(request, ApprovedOrder):
            self.seen["entries sent"] += 1
            self.entered.add(logical(request))
            self.bounds[name] = worst_price(request)
        else:
            self.seen["reductions sent" if isinstance(request, ReduceOrder) else "stops sent"] += 1

    def _not_sent(self, name: ClientOrderId) -> None:
        """The line has told the sender that no byte has left: nothing was sent under that name."""
        self.sent.pop(name, None)

    def _refused_stop(self, entry: ClientOrderId) -> None:
        self.refused[entry] = self.world.loop.time()

    def _worsened(self, fills: Sequence[Fill]) -> None:
        self.worsened.update(each.venue_fill_id for each in fills)

    def _moving_stop(self, broker_id: BrokerId, entry: ClientOrderId, stop: Decimal) -> None:
        self.seen["stops moved"] += 1
        self._hold("I13", lock_is_held(self, entry))
        self._hold("I15", stop_beyond_the_market(self, entry, stop))

    def _resizing_stop(self, name: ClientOrderId, stop: Decimal) -> None:
        self.seen["stops resized"] += 1
        self._hold("I13", lock_is_held(self, name))
        self._hold("I15", stop_beyond_the_market(self, leg_of(name, "E0"), stop))

    def _resized_stop(self, name: ClientOrderId, stop: Decimal) -> None:
        self.resized_to.setdefault(leg_of(name, "E0"), set()).add(stop)

    def _cancelling(self, broker_id: BrokerId, name: ClientOrderId) -> None:
        self.seen["cancels sent"] += 1
        self._hold("I13", lock_is_held(self, name))
        self._hold("I16", None if name.startswith(ORDER_ID_PREFIX) else f"foreign order {name} is cancelled")

    def _lost(self, name: ClientOrderId) -> None:
        order = self.order(name)
        if order is not None and order.role is OrderRole.STOP:
            self.lost[leg_of(name, "E0")] += 1

    def _told_absent(self, name: ClientOrderId) -> None:
        self.absent.setdefault(name, []).append(self.world.loop.time())

    def _told_replaced(self, name: ClientOrderId, old: str | None) -> None:
        if old is None:
            self.replaced.pop(name, None)
        else:
            self.replaced[name] = old

    def _before_write(self, name: str, values: tuple[Any, ...], named: dict[str, Any]) -> None:
        if name == "transition":
            self._hold("I10", illegal_move(self, values[0], named["expected"], named["state"]))
            self._hold("I10", ended_by_its_old_id(self, values[0], named["state"], named["cause"]))
            self._hold("I4", ended_without_evidence(self, values[0], named["expected"], named["state"]))
        elif name == "set":
            self._hold("I12", latch_lifted_by_nobody(values[0]))
            self._hold("I12", released_within_the_day(self, values[0]))

    def _after_write(self, name: str, values: tuple[Any, ...], named: dict[str, Any], answer: Any) -> None:
        if name == "set" and values[0].cause is KillCause.DAILY_LOSS:
            self.seen["daily losses ended" if values[0].level is KillLevel.NONE else "daily losses"] += 1
        if name == "record_fill" and answer:
            self.seen["fills"] += 1
            self.averages.setdefault(named["position"].id, []).append(named["position"].entry_price)
            self._hold("I9", position_is_not_its_fills(self, named["position"]))
            self._hold("I2", overfilled(self, values[0], named["order"]))
            self._hold("I15", filled_beyond_its_bound(self, values[0]))
