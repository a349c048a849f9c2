"""Each venue compared with our record: with the monitor, and at once where something waits for it."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from bot.attempts import Attempts
from bot.differences import Reconciliation
from bot.entry_gate import EntryGate
from bot.instruments import BrokerId
from bot.interfaces import Clock
from bot.layer1_data.key_watch import Refusal
from bot.layer3_execution.book import Book
from bot.layer3_execution.order_tracker import OrderTracker
from bot.layer3_execution.reconcile_report import ReconcileReport
from bot.models import TaskId

_LOCKED_OUT_PAUSE_S: Final = 10.0  # venues suspend who knocks again and again
_TRIED_AGAIN_AFTER_S: Final = 900.0  # where only orders are refused, nothing but an order shows that it is over
_ANSWERED_AFTER_S: Final = 10.0  # a comparison or a cancel that got no answer is tried again
_SETTLED_AFTER_S: Final = 30.0  # what it saw may be explained by then: a fill on its way, an order without an answer
_DOUBLED_AT_MOST: Final = 3  # where a person has to answer, and nothing changes: IG answers nine questions a minute


class Comparing(Protocol):
    """What of a `Reconciler` is asked for here."""

    async def run(self, broker_id: BrokerId) -> ReconcileReport:
        """Compare one venue with our record."""

    async def resolve(self, broker_id: BrokerId) -> bool:
        """Ask for orders of unknown fate; True if that of one is known by now."""


class VenueTruth:
    """Keeps the entry gate of each venue as the newest comparison says."""

    def __init__(
        self,
        *,
        gate: EntryGate,
        reconciler: Comparing,
        tracker: OrderTracker,
        book: Book,
        clock: Clock,
        record: Callable[[str, TaskId | None, Mapping[str, object]], Awaitable[None]],
        attempts: Attempts,
    ) -> None:
        self._gate = gate
        self._reconciler = reconciler
        self._tracker = tracker
        self._book = book
        self._clock = clock
        self._record = record
        self._attempts = attempts
        self._compared_s: dict[BrokerId, float] = {}
        self._unchanged: Counter[BrokerId] = Counter()  # comparisons in a row that saw what the one before had seen

    async def settle(self, broker_id: BrokerId) -> None:
        """Compare now, outside the monitor's turn. Never raises."""
        await self._attempts.attempt("reconciliation", self.compare, broker_id)

    async def compare(self, broker_id: BrokerId) -> None:
        """Compare, and let the gate know; a comparison that failed leaves it closed."""
        before, refusal = self._gate.reports.get(broker_id), self._gate.keys.refusal(broker_id)
        begun_s = self._clock.monotonic()
        report = ReconcileReport(broker_id, complete=False, error="reconciliation failed, see the log")
        try:
            await self._tracker.give_up_rests(broker_id)
            report = await self._reconciler.run(broker_id)
        finally:
            self._compared_s[broker_id] = self._clock.monotonic()
            self._unchanged[broker_id] = self._unchanged[broker_id] + 1 if _is_as_before(report, before) else 0
            self._gate.note(report, begun_s)
        if report.complete and refusal is not None:
            await self._let_in(broker_id, refusal)
        if not report.clean and (before is None or before.clean):
            self._attempts.note(f"reconciliation: {self._gate.blocked(broker_id)}")

    async def resolve(self, broker_id: BrokerId) -> None:
        """What became of orders that got no answer; what is known by that, or waits for it, is compared at once."""
        is_known = await self._reconciler.resolve(broker_id)
        if is_known or self._is_to_be_compared_again(broker_id):
            await self.compare(broker_id)

    def is_refused(self, broker_id: BrokerId) -> bool:
        """Our key is."""
        return self._gate.keys.refusal(broker_id) is not None

    async def is_let_in(self, broker_id: BrokerId) -> bool:
        """Whether it is looked after now. Where our key is refused that is tried seldom; truth is asked first, unless
        only orders are refused."""
        refusal = self._gate.keys.refusal(broker_id)
        if refusal is None:
            return True
        if self._clock.monotonic() - refusal.at_s < _LOCKED_OUT_PAUSE_S:
            return False
        if not refusal.of_order:
            await self.settle(broker_id)
        return refusal.of_order or not self.is_refused(broker_id)

    def pause_s(self, broker_id: BrokerId, usual_s: float) -> float:
        """How long to wait before a stream of it is opened again."""
        return _LOCKED_OUT_PAUSE_S if self.is_refused(broker_id) else usual_s

    @property
    def is_writer(self) -> bool:
        """The writer lock is ours, as far as we were told."""
        return self._gate.is_writer

    def note_writer(self, *, is_held: bool) -> None:
        """The writer lock is away, or it is back: then each venue is compared with the next turn of its resolver."""
        self._gate.is_writer = is_held
        if is_held:
            self._gate.writer_since_s = self._clock.monotonic()

    def shown(self, broker_id: BrokerId) -> Reconciliation:
        """The newest comparison, as people see it."""
        not_yet = ReconcileReport(broker_id, complete=False, error="not compared yet")
        report = self._gate.reports.get(broker_id, not_yet)
        return Reconciliation(
            broker_id=broker_id,
            compared_at=report.compared_at,
            complete=report.complete,
            error=report.error,
            matched=report.matched,
            classes=report.classes,
            blocked=self._gate.blocked(broker_id),
            differences=report.differences,
            key_refused=self.is_refused(broker_id),
        )

    def _is_to_be_compared_again(self, broker_id: BrokerId) -> bool:
        """The writer lock was away since the last comparison, or that was not answered, or saw what evidence or a
        person at the venue may have settled by now: all keep entries out. Or the rest of an entry is to be cancelled.
        The next one does not wait for the monitor.
        """
        report = self._gate.reports.get(broker_id)
        if report is None:
            return False
        if self._gate.is_overtaken(broker_id):
            return True
        since_s = self._clock.monotonic() - self._compared_s.get(broker_id, 0.0)
        if not report.complete or self._book.rests(broker_id):
            return since_s >= _ANSWERED_AFTER_S
        found = [each for each in report.differences if each.is_open]
        waits_for_a_person = all(each.answers for each in found)
        doubled = min(self._unchanged[broker_id], _DOUBLED_AT_MOST) if waits_for_a_person else 0
        return bool(found) and since_s >= _SETTLED_AFTER_S * 2**doubled

    async def _let_in(self, broker_id: BrokerId, refusal: Refusal) -> None:
        """A comparison was answered that began after a refusal: it is over, unless it was an order's and is young."""
        is_young = self._clock.monotonic() - refusal.at_s < _TRIED_AGAIN_AFTER_S
        if self._gate.keys.refusal(broker_id) is refusal and not (refusal.of_order and is_young):
            self._gate.keys.forget(broker_id)
            what = "an entry may try it again" if refusal.of_order else "accepted again"
            await self._record("key", None, {"broker": broker_id, "what": what})


def _is_as_before(report: ReconcileReport, before: ReconcileReport | None) -> bool:
    return before is not None and [each.id for each in report.differences] == [each.id for each in before.differences]
