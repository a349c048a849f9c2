"""Which entries may leave, as far as truth and access at their venue are known."""

from dataclasses import dataclass, field

from bot.instruments import BrokerId, Symbol
from bot.layer1_data.key_watch import RefusedKeys
from bot.layer1_data.venue_terms import VenueDescriptions
from bot.layer3_execution.reconcile_report import ReconcileReport


@dataclass(slots=True)
class EntryGate:
    """Which entries may leave: none at a broker before its first clean reconciliation (invariant I14), none while it
    does not answer or refuses our key, and afterwards none of a symbol about which our record and the venue differ, or
    that the venue counts otherwise than we do. None anywhere while the writer lock is away, and then none until a
    comparison that began when it was back."""

    reports: dict[BrokerId, ReconcileReport] = field(default_factory=dict)
    opened: set[BrokerId] = field(default_factory=set)
    keys: RefusedKeys = field(default_factory=RefusedKeys)
    descriptions: VenueDescriptions = field(default_factory=VenueDescriptions)
    begun_s: dict[BrokerId, float] = field(default_factory=dict)
    is_writer: bool = True
    writer_since_s: float = 0.0

    def note(self, report: ReconcileReport, begun_s: float = 0.0) -> None:
        """The newest comparison of one broker, and when it began."""
        self.reports[report.broker_id] = report
        self.begun_s[report.broker_id] = begun_s
        if report.clean:
            self.opened.add(report.broker_id)

    def is_overtaken(self, broker_id: BrokerId) -> bool:
        """The writer lock was away since its last comparison began."""
        return self.begun_s.get(broker_id, 0.0) < self.writer_since_s

    def blocked(self, broker_id: BrokerId, symbol: Symbol | None = None) -> str:
        """Why entries of `symbol` (None: of any) are blocked at a broker; empty if they are not."""
        if not self.is_writer:
            return f"{broker_id}: the writer lock is away, nothing is sent"
        if refusal := self.keys.refusal(broker_id):
            return f"{broker_id} refuses our key: {refusal.why}"
        return self._unreconciled(broker_id, symbol) or self.descriptions.blocked(broker_id, symbol)

    def _unreconciled(self, broker_id: BrokerId, symbol: Symbol | None) -> str:
        report = self.reports.get(broker_id)
        if report is None or self.is_overtaken(broker_id):
            return f"{broker_id} is not reconciled yet"
        if report.clean:
            return ""
        if not report.complete:
            return f"{broker_id} did not answer: {report.error}"
        found = [each for each in report.differences if each.is_open]
        if broker_id in self.opened:
            found = [each for each in found if each.counts and symbol in (None, each.symbol)]
        named = ", ".join(f"{each.id} {each.kind.value} {each.symbol}" for each in found)
        return f"{broker_id}: {named}; see ./botctl reconcile" if found else ""
