"""The stores in memory: the twins of the PostgreSQL ones, for replay, sweeps and tests.

Same answers, no files. The models are frozen, so that they are kept and handed out as they are. What only the database
checks is the range of single values (a quantity above zero); ids, one entry for each signal and "must exist first"
hold here too. No method awaits anything, so none can be interrupted half-way.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from heapq import nlargest
from itertools import islice
from operator import attrgetter
from sys import maxsize
from typing import Final

from bot.database.contract import (
    SUPERSEDED,
    changes_latches,
    latches_after,
    releases_of,
    resumable,
    unknown_setup,
    unknown_signal,
    unknown_task,
)
from bot.database.memory_access import MemoryAudit, MemorySessions, MemoryTokens, MemoryUsers
from bot.database.memory_acts import MemoryActs
from bot.database.memory_alerts import MemoryAlerts
from bot.database.memory_analyst_calls import MemoryAnalystCalls
from bot.database.memory_answers import MemoryAnswers
from bot.database.memory_opinions import MemoryOpinions
from bot.database.memory_orders import MemoryOrders
from bot.database.memory_reports import MemoryReports
from bot.instruments import BrokerId, Symbol
from bot.interfaces import (
    AccountStore,
    ActStore,
    AlertStore,
    AnalystCallStore,
    AnswerStore,
    AuditStore,
    JournalStore,
    KillStore,
    OpinionStore,
    OrderStore,
    OutcomeStore,
    ReportStore,
    SessionStore,
    SetupStore,
    SignalStore,
    SnapshotStore,
    TaskStore,
    TokenStore,
    UserStore,
)
from bot.models import (
    ClientOrderId,
    JournalEntry,
    KillLevel,
    KillState,
    Outcome,
    PortfolioSnapshot,
    PositionId,
    SignalId,
    SignalRecord,
    StrategyTask,
    TaskActivity,
    TaskId,
    TaskState,
    TradingSetup,
    strongest,
)
from bot.reports import JournalLine

_DECIDED: Final = attrgetter("decided_at", "signal.id")
_STARTED: Final = attrgetter("started_at", "signal_id")
_CREATED: Final = attrgetter("created_at", "signal_id")
_AT: Final = attrgetter("at")


class MemorySignals:
    """`SignalStore` in memory."""

    def __init__(self) -> None:
        self._records: dict[SignalId, SignalRecord] = {}

    async def record(self, record: SignalRecord) -> bool:
        """Store one judged signal; False if its id is known (it is then left as it was)."""
        return self._records.setdefault(record.signal.id, record) is record

    async def update_status(self, signal_id: SignalId, status: str, reason: str) -> None:
        """Say how far a stored signal got. Raises NotFound."""
        self._records[signal_id] = replace(await self.get(signal_id), status=status, reason=reason)

    async def get(self, signal_id: SignalId) -> SignalRecord:
        """One signal. Raises NotFound."""
        record = self._records.get(signal_id)
        if record is None:
            raise unknown_signal(signal_id)
        return record

    async def recent(self, limit: int) -> Sequence[SignalRecord]:
        """Newest first."""
        return nlargest(limit, self._records.values(), key=_DECIDED)

    async def counts(self) -> Mapping[str, int]:
        """How many signals there are by status."""
        return Counter(each.status for each in self._records.values())


class MemoryOutcomes:
    """`OutcomeStore` in memory."""

    def __init__(self) -> None:
        self._outcomes: dict[SignalId, Outcome] = {}
        self._unfinished: dict[SignalId, Outcome] = {}

    async def save(self, *outcomes: Outcome) -> None:
        """Insert or replace by signal."""
        for outcome in outcomes:
            self._outcomes[outcome.signal_id] = outcome
            if outcome.done:
                self._unfinished.pop(outcome.signal_id, None)
            else:
                self._unfinished[outcome.signal_id] = outcome

    async def of_signal(self, signal_id: SignalId) -> Outcome | None:
        """What followed one signal, if it is or was followed."""
        return self._outcomes.get(signal_id)

    async def unfinished(self) -> Sequence[Outcome]:
        """Those still followed, oldest first."""
        return sorted(self._unfinished.values(), key=_STARTED)

    async def recent(self, limit: int) -> Sequence[Outcome]:
        """Newest first."""
        return nlargest(limit, self._outcomes.values(), key=_STARTED)

    async def count(self) -> int:
        """How many are finished."""
        return len(self._outcomes) - len(self._unfinished)


class MemorySnapshots:
    """`SnapshotStore` in memory."""

    def __init__(self) -> None:
        self._snapshots: list[PortfolioSnapshot] = []  # by instant, then in the order of appending

    async def append(self, snapshot: PortfolioSnapshot) -> None:
        """Add one."""
        if not self._snapshots or self._snapshots[-1].at <= snapshot.at:
            self._snapshots.append(snapshot)
        else:
            insort(self._snapshots, snapshot, key=_AT)

    async def latest(self) -> PortfolioSnapshot | None:
        """The newest, if any, with its accounts."""
        return self._snapshots[-1] if self._snapshots else None

    async def since(self, instant: datetime, limit: int) -> Sequence[PortfolioSnapshot]:
        """Those at or after `instant`, oldest first, thinned to `limit` at most, the newest kept; without accounts."""
        found = self._snapshots[bisect_left(self._snapshots, instant, key=_AT) :]
        number = len(found)
        if number > limit:  # The last of each of `limit` equal groups: the rule of the SQL twin.
            found = [found[-(-rank * number // limit) - 1] for rank in range(1, limit + 1)]
        return [replace(each, accounts=()) if each.accounts else each for each in found]


class MemoryKills:
    """`KillStore` in memory."""

    def __init__(self) -> None:
        self._rows: list[KillState] = []
        self._active: list[KillState] = []

    async def active(self) -> Sequence[KillState]:
        """Every latch that holds, in the order pressed."""
        return tuple(self._active)

    async def current(self, broker_id: BrokerId | None = None) -> KillState:
        """The strongest latch for one broker."""
        return strongest(self._active, broker_id)

    async def set(self, state: KillState) -> bool:
        """Press or release; False if that changes nothing."""
        if not changes_latches(self._active, state):
            return False
        self._rows.append(state)
        self._active = latches_after(self._active, state)
        return True

    async def resume(self, *, up_to: KillLevel, by: str, reason: str, at: datetime) -> Sequence[KillState]:
        """Release everything but what ends by itself, unless something stronger than `up_to` holds."""
        released = resumable(self._active, up_to)
        for row in releases_of(released, by=by, reason=reason, at=at):
            await self.set(row)
        return released

    async def history(self, limit: int) -> Sequence[KillState]:
        """Newest first."""
        return self._rows[: -limit - 1 : -1]


class MemorySetups:
    """`SetupStore` in memory."""

    def __init__(self) -> None:
        self._setups: dict[SignalId, TradingSetup] = {}
        self._live: dict[Symbol, SignalId] = {}

    async def live(self, symbol: Symbol) -> TradingSetup | None:
        """The setup of `symbol` that has not ended."""
        signal_id = self._live.get(symbol)
        return None if signal_id is None else self._setups[signal_id]

    async def put(self, setup: TradingSetup) -> None:
        """Store a new setup and end the symbol's live one; a setup that is known already changes nothing."""
        if setup.signal_id in self._setups:
            return
        if (before := self._live.get(setup.symbol)) is not None:
            await self.end(before, SUPERSEDED, setup.created_at)
        self._setups[setup.signal_id] = setup
        if setup.ended_at is None:
            self._live[setup.symbol] = setup.signal_id

    async def end(self, signal_id: SignalId, ended_as: str, at: datetime) -> None:
        """End a live setup; one that has ended stays as it is. Raises NotFound."""
        setup = self._setups.get(signal_id)
        if setup is None:
            raise unknown_setup(signal_id)
        if setup.ended_at is None:
            self._setups[signal_id] = replace(setup, ended_as=ended_as, ended_at=at)
            del self._live[setup.symbol]

    async def recent(self, limit: int) -> Sequence[TradingSetup]:
        """Newest first."""
        return nlargest(limit, self._setups.values(), key=_CREATED)


class MemoryTasks:
    """`TaskStore` in memory."""

    def __init__(self, signals: SignalStore, setups: SetupStore) -> None:
        self._signals = signals
        self._setups = setups
        self._tasks: dict[TaskId, StrategyTask] = {}

    async def ensure(self, tasks: Sequence[StrategyTask]) -> None:
        """Add those that are not stored yet; leave the others as they are."""
        for task in tasks:
            self._tasks.setdefault(task.id, task)

    async def all(self) -> Sequence[StrategyTask]:
        """Every task, by id."""
        return [self._tasks[task_id] for task_id in sorted(self._tasks)]

    async def get(self, task_id: TaskId) -> StrategyTask:
        """One task. Raises NotFound."""
        if task_id not in self._tasks:
            raise unknown_task(task_id)
        return self._tasks[task_id]

    async def set_state(self, task_id: TaskId, state: TaskState) -> None:
        """Run it or not, from now on. Raises NotFound."""
        self._tasks[task_id] = replace(await self.get(task_id), state=state)

    async def activity(self, since: datetime, now: datetime) -> Sequence[TaskActivity]:
        """Of each task, by id: its signals since an instant, its setups that wait now."""
        signals = Counter(
            each.signal.task_id for each in await self._signals.recent(maxsize) if each.decided_at >= since
        )
        setups = [
            each for each in await self._setups.recent(maxsize) if each.ended_at is None and each.expires_at > now
        ]
        waiting = Counter(each.task_id for each in setups)
        return [
            TaskActivity(task_id=each, signals=signals[each], live_setups=waiting[each]) for each in sorted(self._tasks)
        ]


class MemoryJournal:
    """`JournalStore` in memory. Keeps every entry: a replay's journal is its result."""

    def __init__(self) -> None:
        self._entries: list[JournalEntry] = []

    async def append(self, entry: JournalEntry) -> None:
        """Add one."""
        self._entries.append(entry)

    async def recent(self, limit: int, *, before: int | None = None) -> Sequence[JournalLine]:
        """Newest first, in the order of appending whatever the entries' instants; those older than number `before`."""
        end = len(self._entries) if before is None else min(max(before - 1, 0), len(self._entries))
        numbers = range(end, max(end - limit, 0), -1)
        return [JournalLine(number=each, entry=self._entries[each - 1]) for each in numbers]

    async def about(
        self, position_id: PositionId, orders: Collection[ClientOrderId], limit: int
    ) -> Sequence[JournalEntry]:
        """Newest first: what names that position, or one of those orders."""
        found = (
            each
            for each in reversed(self._entries)
            if each.data.get("position") == position_id or each.data.get("order") in orders
        )
        return list(islice(found, limit))


class MemoryAccounts:
    """Accounts that this database belongs to."""

    def __init__(self) -> None:
        self._bound: dict[BrokerId, tuple[str, str]] = {}

    async def bind(self, broker_id: BrokerId, *, fingerprint: str, account: str, at: datetime) -> tuple[str, str]:
        """Bind if nobody did; the fingerprint and name of the account it is bound to."""
        return self._bound.setdefault(broker_id, (fingerprint, account))


class MemoryStores:
    """`Stores` in memory."""

    def __init__(self) -> None:
        self.signals: SignalStore = MemorySignals()
        self.orders: OrderStore = MemoryOrders()
        self.outcomes: OutcomeStore = MemoryOutcomes()
        self.snapshots: SnapshotStore = MemorySnapshots()
        self.kills: KillStore = MemoryKills()
        self.answers: AnswerStore = MemoryAnswers()
        self.accounts: AccountStore = MemoryAccounts()
        self.analyst_calls: AnalystCallStore = MemoryAnalystCalls()
        self.setups: SetupStore = MemorySetups()
        self.tasks: TaskStore = MemoryTasks(self.signals, self.setups)
        self.opinions: OpinionStore = MemoryOpinions()
        self.journal: JournalStore = MemoryJournal()
        self.alerts: AlertStore = MemoryAlerts()
        users = MemoryUsers()
        self.users: UserStore = users
        self.sessions: SessionStore = MemorySessions(users)
        self.tokens: TokenStore = MemoryTokens(users)
        self.audit: AuditStore = MemoryAudit()
        self.reports: ReportStore = MemoryReports(
            signals=self.signals, orders=self.orders, outcomes=self.outcomes, snapshots=self.snapshots
        )
        self.acts: ActStore = MemoryActs()

    async def check(self) -> None:
        """Always well."""

    async def close(self) -> None:
        """Nothing to release; what is stored stays readable."""
