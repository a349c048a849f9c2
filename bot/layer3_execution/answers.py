"""Answers to differences, carried out: each against the very difference it was given to, and through any crash.

Given: compared anew, and refused if the difference has gone or changed. Begun: carried to its end, whatever a later
comparison says, because its own first steps change what is compared. Every step may be done twice.
"""

from collections.abc import Callable
from typing import Final

from bot.differences import Answer, AnswerKind, AnswerState, Difference, DifferenceKind
from bot.errors import BrokerError
from bot.instruments import BrokerId
from bot.interfaces import AnswerStore, Clock
from bot.layer1_data.broker_interface import BrokerInterface, VenueOrder
from bot.layer3_execution.adoption import Adoption
from bot.layer3_execution.book import Book
from bot.layer3_execution.engine import ExecutionEngine
from bot.layer3_execution.order_tracker import OrderTracker, Recorder, never_failing
from bot.layer3_execution.reconcile_report import ReconcileReport
from bot.layer3_execution.reconciliation import Reconciler
from bot.models import ORDER_ID_PREFIX, OrderState, Position, VenuePosition

FLATTEN_REASON: Final = "ANSWERED_FLATTEN"
_ABOUT_ORDERS: Final = (DifferenceKind.FOREIGN_ORDER, DifferenceKind.ORPHAN_ORDER)
_NO_PRICE: Final = "no price of it is known now; it is tried again"


class AnswerDesk:
    """Reads what people have answered, and does it. Only the daemon has one: nobody else talks to a venue."""

    def __init__(
        self,
        *,
        answers: AnswerStore,
        reconciler: Reconciler,
        adoption: Adoption,
        book: Book,
        tracker: OrderTracker,
        engine: ExecutionEngine,
        broker_of: Callable[[BrokerId], BrokerInterface],
        clock: Clock,
        record: Recorder,
    ) -> None:
        self._answers = answers
        self._reconciler = reconciler
        self._adoption = adoption
        self._book = book
        self._tracker = tracker
        self._engine = engine
        self._broker_of = broker_of
        self._clock = clock
        self._record = never_failing(record)

    async def load(self) -> None:
        """What people want left alone. Call it before the first comparison."""
        self._reconciler.log.ignore(await self._answers.ignored())

    async def attend(self) -> tuple[BrokerId, ...]:
        """Carry on with every unfinished answer; the brokers concerned. Usually there is none.

        A venue that does not answer leaves its answers waiting; the others have their turn. Raises its BrokerError.
        """
        reports: dict[BrokerId, ReconcileReport] = {}
        concerned: dict[BrokerId, None] = {}
        failed: BrokerError | None = None
        for answer in await self._answers.unfinished():
            concerned[answer.broker_id] = None
            try:
                await self._attend(answer, reports)
            except BrokerError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return tuple(concerned)

    async def _attend(self, answer: Answer, reports: dict[BrokerId, ReconcileReport]) -> None:
        if answer.state is AnswerState.GIVEN:
            name = answer.broker_id
            report = reports.get(name) or await self._reconciler.run(name)
            reports[name] = report
            now = report.find(answer.difference_id)
            if not report.complete or _is_checked_again(answer, now):
                return  # the answer waits: nothing is known, or, after a restart, not often enough
            if refusal := _refusal(answer, now):
                await self._end(answer, done=False, outcome=refusal)
                return
            if answer.kind is AnswerKind.IGNORE:
                await self._end(answer, done=True, outcome="left alone, counted in exposure")
                await self.load()
                return
            if not await self._answers.begin(answer.number):
                return  # superseded meanwhile
            reports.pop(name)  # what follows changes it
        about_order = answer.about in _ABOUT_ORDERS
        await (self._settle_order(answer) if about_order else self._settle_position(answer))

    # ------------------------------------------------------------------------------------------------------ positions

    async def _settle_position(self, answer: Answer) -> None:
        await self._tracker.collect(answer.broker_id)
        theirs = await self._position_at_venue(answer)
        if theirs is None:
            gone = "closed" if answer.kind is AnswerKind.FLATTEN else "gone at the venue before it was adopted"
            await self._end(answer, done=answer.kind is AnswerKind.FLATTEN, outcome=gone)
            return
        ours = await self._adopted(answer.broker_id, theirs)
        if ours is None:
            await self._record("reconcile", None, {"what": _NO_PRICE, "answer": answer.number})
        elif answer.kind is AnswerKind.ADOPT:
            told = f"adopted with a stop at {ours.stop_price:f}"
            await self._end(answer, done=True, outcome=told)
        else:
            await self._close(answer, ours)

    async def _adopted(self, broker_id: BrokerId, theirs: VenuePosition) -> Position | None:
        """Ours, of the venue's quantity; as it is if it agrees already (a crash came after the adoption)."""
        for each in self._book.positions():
            if each.entry_order_id == theirs.entry_order_id and each.quantity == theirs.quantity:
                return each
        return await self._adoption.position(broker_id, theirs)

    async def _close(self, answer: Answer, position: Position) -> None:
        """Reduce-only, under the names of its legs: the same close decided twice is one order."""
        await self._engine.reduce(position, position.quantity, None, FLATTEN_REASON)
        left = self._book.position(position.id)
        if left is None or not left.is_open:
            await self._end(answer, done=True, outcome="closed")

    async def _position_at_venue(self, answer: Answer) -> VenuePosition | None:
        found = await self._broker_of(answer.broker_id).positions()
        return next((each for each in found if each.entry_order_id == answer.subject), None)

    # --------------------------------------------------------------------------------------------------------- orders

    async def _settle_order(self, answer: Answer) -> None:
        theirs = await self._order_at_venue(answer)
        if theirs is None:
            gone = answer.kind is AnswerKind.FLATTEN
            await self._end(answer, done=gone, outcome="not working at the venue any more")
        elif answer.kind is AnswerKind.FLATTEN:
            await self._cancel(answer, theirs)
        elif await self._adoption.order(answer.broker_id, theirs):
            ours = any(each.client_order_id == theirs.client_order_id for each in self._book.orders())
            outcome = "its row was rebuilt" if ours else "our record has ended it; answer flatten to cancel it"
            await self._end(answer, done=ours, outcome=outcome)

    async def _cancel(self, answer: Answer, theirs: VenueOrder) -> None:
        """What is foreign has no name that we could cancel it by. A no of the venue ends the answer: it is told."""
        broker, name = self._broker_of(answer.broker_id), theirs.client_order_id
        if name is None or answer.about is DifferenceKind.FOREIGN_ORDER:
            ack = await broker.cancel_foreign(theirs)
        else:
            ack = await broker.cancel(name)
        if ack.state is not OrderState.REJECTED:
            filled = "; what it has filled is a position" if ack.state is OrderState.FILLED else ""
            await self._end(answer, done=True, outcome=f"{ack.state.value} at the venue{filled}")
        elif await self._order_at_venue(answer) is not None:  # else the next turn says that it has ended
            step = "answer again later, or cancel it in the venue's own app"
            await self._end(answer, done=False, outcome=f"the venue does not cancel it: {ack.reason}; {step}")

    async def _order_at_venue(self, answer: Answer) -> VenueOrder | None:
        """By its name, or by the venue's number. What is foreign is never one of ours, whatever its number."""
        broker = self._broker_of(answer.broker_id)
        found = [*await broker.open_orders(), *await broker.protective_orders()]
        if answer.about is DifferenceKind.FOREIGN_ORDER:
            found = [each for each in found if not (each.client_order_id or "").startswith(ORDER_ID_PREFIX)]
        return next((each for each in found if answer.subject in (each.client_order_id, each.venue_order_id)), None)

    async def _end(self, answer: Answer, *, done: bool, outcome: str) -> None:
        await self._answers.end(answer.number, done=done, outcome=outcome, at=self._clock.now())
        facts = {
            "what": f"answer {answer.kind.value}: {'done' if done else 'refused'}",
            "difference": answer.difference_id,
            "broker": answer.broker_id,
            "subject": answer.subject,
            "was": answer.says,
            "by": answer.by,
            "outcome": outcome,
        }
        await self._record("answer", None, facts)


def _is_checked_again(answer: Answer, now: Difference | None) -> bool:
    return now is not None and now.fingerprint == answer.fingerprint and not now.counts


def _refusal(answer: Answer, now: Difference | None) -> str:
    """Why it is not carried out; empty if it is."""
    if now is None:
        return "the difference no longer exists"
    if now.fingerprint != answer.fingerprint:
        return f"it has changed since: ours {now.ours}, at the venue {now.theirs}; look again"
    if answer.kind not in now.answers:
        able = ", ".join(each.value for each in now.answers) or "nothing"
        return f"a {now.kind.value} is not answered with {answer.kind.value}; possible: {able}"
    return ""
