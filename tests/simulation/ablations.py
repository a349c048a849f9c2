"""Safeguards left out, one at a time: parts of the product with one thing missing, handed in through `Seams`."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, cast

from bot.database.memory import MemoryStores
from bot.database.memory_orders import MemoryOrders
from bot.errors import BrokerUnavailable, OrderFateUnknown
from bot.instruments import BrokerId
from bot.interfaces import Stores
from bot.layer1_data.fenced_broker import FencedBroker
from bot.layer1_data.quality import QuoteScreen
from bot.layer1_data.venue_terms import NEXT_STEP
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.legs import exit_request, exit_row
from bot.layer3_execution.order_state import OrderEvent
from bot.layer3_execution.order_tracker import OrderTracker
from bot.layer3_execution.protection import PositionGuard
from bot.layer3_execution.reconcile_report import ReconcileReport
from bot.layer3_execution.reconciliation import Reconciler
from bot.layer4_risk.kill_switch import KillSwitch
from bot.layer4_risk.limits import RiskView
from bot.layer4_risk.manager import RiskManager
from bot.models import (
    NOT_KILLED,
    ApprovedOrder,
    Endorsed,
    Fill,
    KillCause,
    KillState,
    Order,
    OrderRole,
    OrderState,
    Position,
    Quote,
    Refused,
    Side,
    leg_of,
)
from bot.wiring.core import Seams


class SendsBeforeTheIntent(ExecutionEngine):
    """The row is written after the call."""

    async def _submit(self, *values: Any) -> Order:
        approved: ApprovedOrder = values[-1]
        await self._broker_of(approved.broker_id).place(approved)
        return await super()._submit(*values)


class SendsBeforeItIsDurable(OrderTracker):
    """SENDING is remembered, not stored."""

    async def move(self, order: Order, event: OrderEvent, cause: str, **more: Any) -> Order:
        if event is OrderEvent.SEND:
            sending = replace(order, state=OrderState.SENDING)
            self._book.put_order(sending)
            return sending
        return await super().move(order, event, cause, **more)


class _Insisting:
    """A broker whose `place` tries again when nobody answers."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def place(self, order: Any, *last_word: Any) -> Any:
        try:
            return await self._inner.place(order, *last_word)
        except OrderFateUnknown:
            return await self._inner.place(order, *last_word)


class SendsAgainBlindly(ExecutionEngine):
    """Silence is taken for failure."""

    def __init__(self, **parts: Any) -> None:
        broker_of = parts.pop("broker_of")
        super().__init__(**parts, broker_of=lambda broker_id: cast(Any, _Insisting(broker_of(broker_id))))


class CountsFillsTwice(MemoryOrders):
    """A fill is not recognised by its id."""

    async def record_fill(self, fill: Fill, *, order: Order, position: Position) -> bool:
        self._fills.pop((fill.broker_id, fill.venue_fill_id), None)
        return await super().record_fill(fill, order=order, position=position)


class ReadsNoStopBack(PositionGuard):
    """A stop counts when it was acknowledged."""

    async def _look_at_all(self, broker_id: BrokerId) -> list[Any]:
        return []


class FlagsTargetsEarly(ExecutionEngine):
    """A target counts as hit when its order is decided."""

    async def reduce(self, position: Position, quantity: Decimal, limit_price: Decimal | None, reason: str) -> Order:
        if reason.startswith("TARGET_"):
            number = int(reason.removeprefix("TARGET_"))
            await self._tracker.change(position.id, lambda now: replace(now, targets_hit=number))
        return await super().reduce(position, quantity, limit_price, reason)


class BelievesTheFirstAbsence(Reconciler):
    """One clean answer without the order is enough."""

    def _absence_is_final(self, *_: Any) -> bool:
        return True


class CountsAbsenceByTheWallClock(Reconciler):
    """Two minutes by a clock that can be set."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(
            **parts,
        )
        clock = self._clock
        began: datetime = clock.now()

        class Wall:
            """The wall clock in place of the monotonic one."""

            def __getattr__(self, name: str) -> Any:
                return getattr(clock, name)

            def monotonic(self) -> float:
                return (clock.now() - began).total_seconds()

        self._clock = cast(Any, Wall())


class _NoLock:
    async def __aenter__(self) -> None: ...

    async def __aexit__(self, *_: object) -> None: ...


class WritesWithoutLock(OrderTracker):
    """Fills and flags overwrite each other."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._writing = cast(Any, _NoLock())


class NamesEachAttemptAnew(ExecutionEngine):
    """The same close decided twice has two names."""

    _count = 0

    async def reduce(self, position: Position, quantity: Decimal, limit_price: Decimal | None, reason: str) -> Order:
        NamesEachAttemptAnew._count += 1
        places = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
        leg = places[self._count // 10 % len(places)] + places[self._count // 320 % len(places)]
        name = leg_of(position.entry_order_id, leg, self._count)
        row = exit_row(position, name, quantity, limit_price, reason, self._clock.now())
        return await self._once(row, lambda broker, stored: broker.place(exit_request(stored, position)))


class EntersUnreconciled(RiskManager):
    """The gate is not asked."""

    def decide(self, endorsed: Endorsed, view: RiskView) -> ApprovedOrder | Refused:
        return super().decide(endorsed, replace(view, entries_blocked=""))


class OpensWhatIsCountedOtherwise(RiskManager):
    """What a venue says of its instruments keeps no entry out."""

    def decide(self, endorsed: Endorsed, view: RiskView) -> ApprovedOrder | Refused:
        is_odd = NEXT_STEP in view.entries_blocked
        return super().decide(endorsed, replace(view, entries_blocked="" if is_odd else view.entries_blocked))


class TakesAnyPrice(RiskManager):
    """An entry fills wherever the price is when it arrives."""

    def decide(self, endorsed: Endorsed, view: RiskView) -> ApprovedOrder | Refused:
        decision = super().decide(endorsed, view)
        if isinstance(decision, Refused):
            return decision
        any_price = decision.decided_price * 2 if decision.side is Side.BUY else decision.plan.tick
        return replace(decision, price_bound=any_price)


class CountsOnlyWhatIsOpen(RiskManager):
    """An entry whose fate is unknown takes no room."""

    def decide(self, endorsed: Endorsed, view: RiskView) -> ApprovedOrder | Refused:
        opened = tuple(each for each in view.positions if each.is_open)
        known = {each.id for each in opened}
        orders = tuple(each for each in view.orders if each.position_id in known)
        return super().decide(endorsed, replace(view, positions=opened, orders=orders))


class IsDeafToTheKillSwitch(KillSwitch):
    """Nobody reads it before a send."""

    async def state(self, broker_id: BrokerId | None = None) -> KillState:
        return NOT_KILLED

    def known_refusal(self, broker_id: BrokerId) -> str:
        return ""


class AsksForTheLastWordTooEarly(ExecutionEngine):
    """Before the entry waits for its turn, not after."""

    async def _send_entry(self, legs: Any, approved: ApprovedOrder) -> Order:
        if refusal := await self._entry_refusal(approved.broker_id):
            return await self._never_left(legs, refusal)
        return await super()._send_entry(legs, approved)

    async def _last_word(self, approved: ApprovedOrder) -> None:
        """It was asked."""


class EndsTheDayAtAnyTime(KillSwitch):
    """A daily loss is taken for one of the day before."""

    def latch(self, cause: KillCause, broker_id: BrokerId | None) -> KillState | None:
        held = super().latch(cause, broker_id)
        return replace(held, at=held.at - timedelta(days=1)) if held and cause is KillCause.DAILY_LOSS else held


class NeverEndsTheDay(KillSwitch):
    """A daily loss holds until a person resumes."""

    async def release(self, cause: KillCause, broker_id: BrokerId | None, *, reason: str) -> None: ...


class BelievesEveryQuote(QuoteScreen):
    """One bad tick is a price."""

    def fault(self, quote: Quote, *, now: datetime, known: Decimal | None = None) -> str:
        return ""


class MovesTheCursorFirst(OrderTracker):
    """Where reading stopped is stored before what was read."""

    async def _collect(self, broker_id: BrokerId, *more: Any) -> int:
        cursor = self._cursors.get(broker_id) or await self._store.fill_cursor(broker_id)
        _, following = await self._broker_of(broker_id).fills_since(cursor)
        await self._store.save_fill_cursor(broker_id, following)
        self._cursors[broker_id] = cursor
        return await super()._collect(broker_id, *more)


class TrustsTheBookAfterALostCommit(OrderTracker):
    """A write whose answer was lost is taken for one that failed."""

    def _doubting(self, *_: Any) -> Any:
        return nullcontext()


class ForgetsLostIntents(OrderTracker):
    """What the store has and the book lacks is never looked for."""

    async def recall(self, *_: Any) -> None:
        return None


class BelievesALostCommit(ExecutionEngine):
    """An intent whose commit was not confirmed is taken for not stored."""

    async def _intended(self, legs: Any, position: Position, approved: ApprovedOrder) -> bool:
        return await self._store.record_intent(legs, signal_id=approved.signal_id, position=position)


class LeavesItUnprotected(ExecutionEngine):
    """A position whose stop cannot be placed is not closed."""

    async def reduce(self, position: Position, quantity: Decimal, limit_price: Decimal | None, reason: str) -> Order:
        if reason == "UNPROTECTED":
            raise BrokerUnavailable("left out: nothing closes what has no stop")
        return await super().reduce(position, quantity, limit_price, reason)


class ForgetsNewIds(OrderTracker):
    """An order stays under the id that the venue first had for it."""

    async def follow(self, order: Order, venue_order_id: str | None) -> None:
        return None


class EndsWithTheOldId(PositionGuard):
    """An order that the venue has replaced is taken for the one before, which has ended."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self._stops._resting._was_replaced = lambda *_: False  # type: ignore[method-assign]


class ClosesBesideALivingClose(ExecutionEngine):
    """A close that may fill yet is taken for one that has ended."""

    async def _absent_closes(self, rows: Sequence[Order]) -> list[Order]:
        return [each for each in rows if each.role is OrderRole.EXIT and not each.state.is_terminal]


class TakesWhatIsNotShownForMeant(PositionGuard):
    """A surplus that the venue does not show yet is none."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        surplus_of = self._surplus._of

        async def shown_or_none(position: Position) -> Decimal:
            return await surplus_of(position) or Decimal(0)

        self._surplus._of = shown_or_none  # type: ignore[method-assign]


class IgnoresWhatOthersDid(Reconciler):
    """Differences are found and not told."""

    async def run(self, broker_id: BrokerId) -> ReconcileReport:
        report = await super().run(broker_id)
        report.differences = ()
        return report


class AsksForNoLock(FencedBroker):
    """What no commit comes before leaves also while the writer lock is lost."""

    async def _check(self) -> None:
        """It is held, as far as we know."""


def _stores_that_count_twice() -> Stores:
    stores = MemoryStores()
    stores.orders = CountsFillsTwice()
    return stores


@dataclass(frozen=True, slots=True)
class Ablation:
    """One safeguard less. `caught_by` are the invariants that may notice first; `faults` narrow the campaign where only
    some provoke it (None: the seed's own draw)."""

    safeguard: str
    seams: Seams
    caught_by: tuple[str, ...]
    faults: str | None = None
    stores: Callable[[], Stores] = MemoryStores


ABLATIONS: Final = (
    Ablation("intent before send", Seams(engine=SendsBeforeTheIntent), ("I1",)),
    Ablation("SENDING durable before the first byte", Seams(tracker=SendsBeforeItIsDurable), ("I1",)),
    Ablation("query first after silence", Seams(engine=SendsAgainBlindly), ("I2", "I1")),
    Ablation("fills by their id", Seams(), ("I9",), None, _stores_that_count_twice),
    Ablation("stops are read back and repaired", Seams(guard=ReadsNoStopBack), ("I6", "I8")),
    Ablation("targets are flagged by their fills", Seams(engine=FlagsTargetsEarly), ("I10", "I9")),
    Ablation("absence needs three answers", Seams(reconciler=BelievesTheFirstAbsence), ("I4",)),
    Ablation("absence by monotonic time", Seams(reconciler=CountsAbsenceByTheWallClock), ("I4",), "C1,N1"),
    Ablation(
        "one writer of a position at a time", Seams(tracker=WritesWithoutLock), ("I9", "I8", "I10", "P5"), "B4,D3"
    ),
    Ablation("a close decided twice has one name", Seams(engine=NamesEachAttemptAnew), ("I2", "I6")),
    Ablation("no entry before truth", Seams(risk=EntersUnreconciled), ("I14",), "N8,N9,P1,P2,P4"),
    Ablation("worst-case exposure", Seams(risk=CountsOnlyWhatIsOpen), ("I5", "I3"), "N1,N3"),
    Ablation("kill switch before each entry", Seams(kill=IsDeafToTheKillSwitch), ("I11",)),
    Ablation("the last word comes last", Seams(engine=AsksForTheLastWordTooEarly), ("I11",), "N13w,O1"),
    Ablation("quotes are screened", Seams(screen=BelievesEveryQuote), ("I15", "P5")),
    Ablation("fills before their cursor", Seams(tracker=MovesTheCursorFirst), ("I8",), "B4,P1,P2"),
    Ablation("a lost commit is read back", Seams(tracker=TrustsTheBookAfterALostCommit), ("I9", "I8"), "B4,D1"),
    Ablation("protect or flatten", Seams(engine=LeavesItUnprotected), ("I6",), "B3,B11"),
    Ablation("the chain of ids is recorded", Seams(tracker=ForgetsNewIds), ("I8",), "B9,B4"),
    Ablation("an old id ends nothing", Seams(guard=EndsWithTheOldId), ("I10",), "B9,B17,B4"),
    Ablation("one close lives at a time", Seams(engine=ClosesBesideALivingClose), ("I2",)),
    Ablation("a surplus is waited for", Seams(guard=TakesWhatIsNotShownForMeant), ("I7", "I8"), "N4,N14,B7,B18"),
    Ablation("what others did is told", Seams(reconciler=IgnoresWhatOthersDid), ("I16",), "B11c,B12,B22"),
    Ablation("what a venue counts otherwise is kept out", Seams(risk=OpensWhatIsCountedOtherwise), ("I15",), "M5"),
    Ablation("an entry is bounded", Seams(risk=TakesAnyPrice), ("I15",)),
    Ablation("a daily loss holds for its day", Seams(kill=EndsTheDayAtAnyTime), ("I12",), "C5,M6"),
    Ablation("a daily loss ends with its day", Seams(kill=NeverEndsTheDay), ("I12",), "C5,M6"),
    Ablation("the lock is held when something is changed", Seams(fence=AsksForNoLock), ("I13",), "D11,B4"),
    Ablation(
        "lost intents are found",
        Seams(engine=BelievesALostCommit, tracker=ForgetsLostIntents),
        ("I8", "I5", "I6"),
        "D1",
    ),
)
