"""Every boundary but the broker's: time, what is written down, who is told. Constructors take these."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from bot.access import Act, ApiToken, AuditEntry, Failures, Role, StoredSession, User
from bot.alerts import Alert, Delivery, DeskState
from bot.analyst_calls import AnalystCall, CallCosts, SpendCaps, SpendRefused, SpendWindow
from bot.differences import Answer
from bot.instruments import BrokerId, Symbol
from bot.models import (
    CandleSeries,
    ClientOrderId,
    Fill,
    JobHealth,
    JournalEntry,
    KillLevel,
    KillState,
    Order,
    OrderState,
    Outcome,
    PortfolioSnapshot,
    Position,
    PositionId,
    SignalId,
    SignalRecord,
    StrategyTask,
    TaskActivity,
    TaskId,
    TaskState,
    Timeframe,
    TradingSetup,
)
from bot.opinions import AnalystGate, OpinionRecord
from bot.reports import (
    Before,
    Bucket,
    EquityPoint,
    JournalLine,
    OrderFilter,
    SignalFilter,
    SignalLine,
    TradeFigures,
    TradeFilter,
    TradeGroup,
    VerdictFigures,
)


class Clock(Protocol):
    """The only door to time."""

    def now(self) -> datetime:
        """Aware UTC instant; market time where the market is simulated."""

    def monotonic(self) -> float:
        """Seconds that never go back, for measuring and deadlines."""

    async def sleep(self, seconds: float) -> None:
        """Wait `seconds` of this clock's time."""

    async def sleep_until(self, instant: datetime) -> None:
        """Wait until `now()` is at or after `instant`; return at once if it is."""


class CandleSource(Protocol):
    """Closed candles known so far, as shared columns."""

    def series(self, symbol: Symbol, timeframe: Timeframe) -> CandleSeries:
        """All candles of one instrument and timeframe, oldest first; empty if none. Never the forming one."""


class Journal(Protocol):
    """Every decision and fact, in order."""

    async def record(self, entry: JournalEntry) -> None:
        """Append one entry. Must not raise into the trading path."""


class EventStream(Protocol):
    """Live fan-out of journal entries to pages. A slow reader loses old entries, never delays the writer."""

    def publish(self, entry: JournalEntry) -> None:
        """Hand one entry to every reader."""

    def subscribe(self) -> AbstractAsyncContextManager[AsyncIterator[JournalEntry]]:
        """Entries from now on, while the context is open."""


class AlertStore(Protocol):
    """Alerts, and what the desk remembers over a restart."""

    async def save(self, alert: Alert) -> None:
        """Insert or replace by id; whoever took note first stays."""

    async def acknowledge(self, alert_id: str, *, by: str, at: datetime) -> bool:
        """Somebody took note; False if somebody had before. Raises NotFound."""

    async def acknowledged(self, ids: Collection[str]) -> Sequence[tuple[str, str, datetime]]:
        """(id, by, at) of those among `ids` that somebody took note of."""

    async def since(self, instant: datetime) -> Sequence[Alert]:
        """Those raised again at or after `instant`, and all that wait for somebody, oldest first."""

    async def recent(self, limit: int, *, older_than: str = "") -> Sequence[Alert]:
        """Newest first; of those raised before the alert of that id, if one is named: none if it is not known."""

    async def unsettled(self, limit: int) -> Sequence[Alert]:
        """All that last or wait for somebody, those that wait first, then newest first."""

    async def last_deliveries(self, instant: datetime) -> Sequence[Delivery]:
        """Of each channel the newest delivery of each state, among alerts raised again at or after `instant`."""

    async def forget(self, instant: datetime, limit: int) -> int:
        """Remove up to `limit` alerts that nothing happened to since `instant`, and that neither last nor wait for
        somebody; how many those were."""

    async def sms_since(self, instant: datetime) -> int:
        """How many text messages were, or may have been, sent at or after `instant`."""

    async def take_update(self, update: int) -> bool:
        """From now on this update of Telegram is acted on; False if it, or a later one, was before."""

    async def newest_update(self) -> int:
        """The newest update that was taken; 0 at first."""

    async def state(self) -> DeskState:
        """What the desk remembers."""

    async def save_state(self, state: DeskState) -> None:
        """Remember it."""


class SignalStore(Protocol):
    """Signals and what was decided about them; accepted and rejected."""

    async def record(self, record: SignalRecord) -> bool:
        """Store one judged signal; False if a signal of that id is already there (it is then left as it was)."""

    async def update_status(self, signal_id: SignalId, status: str, reason: str) -> None:
        """Say how far a stored signal got. Raises NotFound."""

    async def get(self, signal_id: SignalId) -> SignalRecord:
        """One signal. Raises NotFound."""

    async def recent(self, limit: int) -> Sequence[SignalRecord]:
        """Newest first."""

    async def counts(self) -> Mapping[str, int]:
        """How many signals there are by status."""


class OrderStore(Protocol):
    """Orders, their events and fills, and positions: one aggregate, so that a fill and what follows from it commit
    together. Every write is durable when the call returns."""

    async def check_writer(self) -> None:
        """Before each request that changes something at a venue.

        Raises NotTheWriter once this process knows that it has lost the writer lock. Asks nobody, because a database
        that is slow must not hold a stop up.
        """

    async def record_intent(
        self, orders: Sequence[Order], *, signal_id: SignalId | None, position: Position | None = None
    ) -> bool:
        """Store new orders in state INTENT, with their first event, in one transaction.

        With an entry comes its `position`, still pending (first quantity 0), so that the exit plan survives a crash.
        False, and nothing stored, if one of the ids or the entry of that signal exists already.
        """

    async def transition(
        self,
        client_order_id: ClientOrderId,
        *,
        expected: OrderState,
        state: OrderState,
        cause: str,
        at: datetime,
        venue_order_id: str | None = None,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> None:
        """Move an order and append the event row; `quantity` and `price` are new terms that the venue agreed to.

        Raises IllegalTransition if it is no longer in `expected`.
        """

    async def record_fill(self, fill: Fill, *, order: Order, position: Position) -> bool:
        """Apply one fill: fill row, order after it, event, position after it; all or nothing. False if known before."""

    async def save_position(self, position: Position) -> None:
        """Store a position's state that no fill changed (extremes, stop, flags)."""

    async def order(self, client_order_id: ClientOrderId) -> Order:
        """One order. Raises NotFound."""

    async def unfinished_orders(self) -> Sequence[Order]:
        """Every order that is not in a terminal state, oldest first."""

    async def not_placed_since(self, broker_id: BrokerId, since: datetime) -> Sequence[Order]:
        """Orders of one broker presumed never placed at or after `since`, oldest first: they may yet arrive."""

    async def orders_of(self, position_id: PositionId) -> Sequence[Order]:
        """All orders of one position, oldest first."""

    async def entry_of(self, signal_id: SignalId) -> Order | None:
        """The entry that followed from a signal, if any did."""

    async def recent_orders(self, limit: int) -> Sequence[Order]:
        """Newest first."""

    async def find_orders(self, chosen: OrderFilter, *, limit: int, before: Before | None = None) -> Sequence[Order]:
        """Newest first by creation, then by id."""

    async def fills_of(self, position_id: PositionId) -> Sequence[Fill]:
        """All fills of the orders of one position, oldest first."""

    async def order_counts(self) -> Mapping[str, int]:
        """How many orders there are by state."""

    async def order_events(self, client_order_id: ClientOrderId) -> Sequence[tuple[datetime, str, str, str]]:
        """(at, from state, to state, cause) of one order, oldest first."""

    async def position(self, position_id: PositionId) -> Position:
        """One position. Raises NotFound."""

    async def open_positions(self) -> Sequence[Position]:
        """Oldest first; with those whose entry has not been filled yet (`is_pending`)."""

    async def closed_positions(self, limit: int) -> Sequence[Position]:
        """Newest first by close; only what had been opened."""

    async def closed_count(self) -> int:
        """How many positions were opened and closed so far."""

    async def realised_since(self, broker_id: BrokerId, since: datetime) -> Decimal:
        """Net result of positions of one broker closed at or after `since`."""

    async def fill_cursor(self, broker_id: BrokerId) -> str:
        """Where reading that broker's fills stopped; empty at first."""

    async def save_fill_cursor(self, broker_id: BrokerId, cursor: str) -> None:
        """Remember where reading stopped."""


class OutcomeStore(Protocol):
    """What followed each signal."""

    async def save(self, *outcomes: Outcome) -> None:
        """Insert or replace by signal; all of them or none."""

    async def of_signal(self, signal_id: SignalId) -> Outcome | None:
        """What followed one signal, if it is or was followed."""

    async def unfinished(self) -> Sequence[Outcome]:
        """Those still followed, oldest first."""

    async def recent(self, limit: int) -> Sequence[Outcome]:
        """Newest first."""

    async def count(self) -> int:
        """How many are finished."""


class SnapshotStore(Protocol):
    """Equity over time; the peak that the drawdown is measured from, and the accounts that it counts."""

    async def append(self, snapshot: PortfolioSnapshot) -> None:
        """Add one."""

    async def latest(self) -> PortfolioSnapshot | None:
        """The newest, if any, with its accounts."""

    async def since(self, instant: datetime, limit: int) -> Sequence[PortfolioSnapshot]:
        """Those at or after `instant`, oldest first, thinned to at most `limit`; without their accounts."""


class KillStore(Protocol):
    """The kill switch: presses and releases as rows that are only ever added.

    A latch is a press (cause, broker and level) that no later release of its cause and broker has ended. Several hold
    at once, so that lifting one never lifts another.
    """

    async def active(self) -> Sequence[KillState]:
        """Every latch that holds, in the order pressed."""

    async def current(self, broker_id: BrokerId | None = None) -> KillState:
        """The strongest of them for one broker (None: for any); NOT_KILLED if none holds."""

    async def set(self, state: KillState) -> bool:
        """Press; or with level NONE release what `state.cause` holds for `state.broker_id`. Durable when it returns.

        False, and no row, if the same latch holds already, or if there is nothing to release.
        """

    async def resume(self, *, up_to: KillLevel, by: str, reason: str, at: datetime) -> Sequence[KillState]:
        """A person releases everything but what ends by itself, in one transaction; the latches that were released.

        Nothing at all if something stronger than `up_to` holds: it was pressed while the person looked.
        """

    async def history(self, limit: int) -> Sequence[KillState]:
        """Presses and releases, newest first."""


class KillNews(Protocol):
    """Tells at once that the kill switch was changed, also by another process."""

    async def listen(self, changed: Callable[[], None]) -> None:
        """Call `changed` now and after each change, until cancelled. Raises DatabaseUnavailable when that ends."""


class AnswerStore(Protocol):
    """What people answered to differences between our record and a venue; rows that are never removed."""

    async def give(self, answer: Answer) -> Answer:
        """Store a new answer, durably; with its number. One to the same fingerprint that still waits is superseded.

        Number 0, and nothing stored, if one is being carried out already.
        """

    async def unfinished(self) -> Sequence[Answer]:
        """Those that were given and not carried out yet, oldest first."""

    async def begin(self, number: int) -> bool:
        """From now on it is carried out, whatever a later comparison says; False if it is not waiting any more."""

    async def end(self, number: int, *, done: bool, outcome: str, at: datetime) -> None:
        """Say what came of it; one that has ended stays as it is."""

    async def ignored(self) -> Sequence[Answer]:
        """Of each fingerprint the newest answer that was carried out, where that is "ignore"."""

    async def recent(self, limit: int) -> Sequence[Answer]:
        """Newest first."""


class AccountStore(Protocol):
    """Which account at each venue the orders and positions of this database belong to."""

    async def bind(self, broker_id: BrokerId, *, fingerprint: str, account: str, at: datetime) -> tuple[str, str]:
        """Bind the venue to an account, unless it is bound; the fingerprint and name that it is bound to now."""


class AnalystCallStore(Protocol):
    """Requests to models: the budget's ledger, and the recordings that answers are replayed from."""

    async def reserve(self, call: AnalystCall, caps: SpendCaps) -> int | SpendRefused:
        """Store a call at the most it can cost, unless that passes a cap; its number, or the cap. Durable and atomic:
        whoever reserves at the same time, the sum never passes."""

    async def settle(self, call: AnalystCall) -> None:
        """Say what came of a reserved call, by its number; one that was settled stays as it is."""

    async def expire(self, before: datetime) -> int:
        """Mark those reserved before `before`, of which nobody ever heard again, as unknown; how many. They stay
        counted in full: nothing proves that they cost less."""

    async def add(self, call: AnalystCall) -> bool:
        """Store a recording from elsewhere, which costs nothing here; False if key and model have that answer."""

    async def answered(self, key: str, model: str, *, origin: str) -> AnalystCall | None:
        """The newest answer of a model to a question, among those of one origin."""

    async def about(self, signal_id: SignalId) -> Sequence[AnalystCall]:
        """The calls of one signal, oldest first."""

    async def recent(self, limit: int) -> Sequence[AnalystCall]:
        """Newest first."""

    async def spent(self, at: datetime) -> Mapping[SpendWindow, Decimal]:
        """Dollars counted in the hour, day and month of `at`."""

    async def costs(self, since: datetime) -> Sequence[CallCosts]:
        """What was counted from `since` on, by day (UTC), symbol and model, in that order."""


class SetupStore(Protocol):
    """4h setups that wait for a 1h confirmation; at most one live setup per symbol."""

    async def live(self, symbol: Symbol) -> TradingSetup | None:
        """The setup of `symbol` that has not ended (it may be past `expires_at`: the reader compares)."""

    async def put(self, setup: TradingSetup) -> None:
        """Store a new setup; the live one of the symbol ends as `superseded` at the new one's `created_at`."""

    async def end(self, signal_id: SignalId, ended_as: str, at: datetime) -> None:
        """End a live setup as consumed, invalidated or expired."""

    async def recent(self, limit: int) -> Sequence[TradingSetup]:
        """Newest first."""


class TaskStore(Protocol):
    """Strategy tasks."""

    async def ensure(self, tasks: Sequence[StrategyTask]) -> None:
        """Add those that are not stored yet; leave the others as they are."""

    async def all(self) -> Sequence[StrategyTask]:
        """Every task, by id."""

    async def get(self, task_id: TaskId) -> StrategyTask:
        """One task. Raises NotFound."""

    async def set_state(self, task_id: TaskId, state: TaskState) -> None:
        """Run it or not, from now on. Raises NotFound."""

    async def activity(self, since: datetime, now: datetime) -> Sequence[TaskActivity]:
        """Of each task, by id: its signals since an instant, its setups that wait now."""


class OpinionStore(Protocol):
    """What analysts made of candles, and which models have a say; rows that are only ever added."""

    async def record(self, opinion: OpinionRecord) -> bool:
        """Store one opinion; False if that candle of that task has one already (it is then left as it was)."""

    async def of_candle(self, task_id: TaskId, candle_closed_at: datetime) -> OpinionRecord | None:
        """The opinion on one candle, if there is one."""

    async def recent(self, limit: int) -> Sequence[OpinionRecord]:
        """Newest first."""

    async def entered_since(self, instant: datetime) -> int:
        """How many opinions from `instant` on let an entry go on."""

    async def gate(self, model: str) -> AnalystGate | None:
        """What that model may do, as it was set last; None if it never was."""

    async def set_gate(self, gate: AnalystGate) -> None:
        """Open or close the gate of a model."""


class JournalStore(Protocol):
    """The journal as rows."""

    async def append(self, entry: JournalEntry) -> None:
        """Add one."""

    async def recent(self, limit: int, *, before: int | None = None) -> Sequence[JournalLine]:
        """Newest first, in the order of appending; those older than number `before`."""

    async def about(
        self, position_id: PositionId, orders: Collection[ClientOrderId], limit: int
    ) -> Sequence[JournalEntry]:
        """Newest first: what names that position, or one of those orders."""


class ReportStore(Protocol):
    """Reads over signals, closed positions, outcomes and equity together. Lists go on with `before` (`bot/reports.py`).

    Figures in R come back as floats that may differ in the last digit from one backend to the other.
    """

    async def signals(self, chosen: SignalFilter, *, limit: int, before: Before | None = None) -> Sequence[SignalLine]:
        """Newest first by verdict, then by id."""

    async def stops(self) -> Sequence[str]:
        """The code of everything that ever stopped a signal, sorted."""

    async def verdicts(self, chosen: SignalFilter) -> Sequence[VerdictFigures]:
        """One row for each status and what stopped it, in that order."""

    async def trades(self, chosen: TradeFilter, *, limit: int, before: Before | None = None) -> Sequence[Position]:
        """Closed positions, newest first by close, then by id."""

    async def trade_figures(self, chosen: TradeFilter, by: TradeGroup) -> Sequence[TradeFigures]:
        """One row for each group that has a closed position, by name."""

    async def histogram(self, chosen: TradeFilter) -> Sequence[Bucket]:
        """How many closed positions gave how much, in R; lowest first, without empty buckets."""

    async def equity(self, *, since: datetime | None, until: datetime, points: int) -> Sequence[EquityPoint]:
        """Equity from `since` (None: the first that was noted) to before `until` in at most `points` slots of the same
        length, oldest first; a slot in which nothing was noted is left out."""


class UserStore(Protocol):
    """People and how they prove themselves. Each change is one statement, so that none undoes another one.

    Methods that change a person raise NotFound for a name that is not there.
    """

    async def add(self, user: User) -> bool:
        """Store a new person; False if the name is taken."""

    async def get(self, name: str) -> User | None:
        """One person."""

    async def all(self) -> Sequence[User]:
        """Everybody, by name; a thousand at most."""

    async def set_password(
        self, name: str, password_hash: str, *, at: datetime, must_change: bool, seeded_by: str
    ) -> None:
        """A new password, and whether it is only for the next login."""

    async def rehash(self, name: str, *, was: str, password_hash: str) -> None:
        """The same password hashed anew; nothing if it is another one by now."""

    async def set_role(self, name: str, role: Role) -> None:
        """What that person may do from now on."""

    async def set_disabled(self, name: str, at: datetime | None) -> None:
        """Shut out from `at` on; None lets in again."""

    async def set_second_factor(self, name: str, sealed_seed: bytes | None, codes: Collection[bytes]) -> None:
        """A new second factor with the digests of its recovery codes, or none; the old ones are void."""

    async def take_step(self, name: str, step: int) -> bool:
        """Use the code of one time step up; False if it, or a later one, was used. One of several at once wins."""

    async def take_recovery_code(self, name: str, digest: bytes, *, at: datetime) -> bool:
        """Use a recovery code up; False if it was used, or is none. One of several at once wins."""

    async def recovery_codes_left(self, name: str) -> int:
        """How many are not used up."""

    async def failures(self, keys: Collection[str]) -> Mapping[str, Failures]:
        """Wrong tries in a row, of those keys that have any."""

    async def fail(self, key: str, *, at: datetime, forget_before: datetime) -> None:
        """Count one more; what failed last before `forget_before`, of whatever key, is forgotten."""

    async def forgive(self, keys: Collection[str]) -> None:
        """Count from nothing again."""


class SessionStore(Protocol):
    """Who is logged in, by the digest of the session's token."""

    async def open(self, session: StoredSession, *, instead_of: bytes | None = None) -> None:
        """Store a new session, and end another one in the same moment. Raises NotFound for an unknown person."""

    async def get(self, digest: bytes) -> StoredSession | None:
        """One session, whether it still holds or not."""

    async def touch(self, digest: bytes, at: datetime) -> None:
        """It was used at `at`."""

    async def of(self, user: str) -> Sequence[StoredSession]:
        """All of one person, newest first; a hundred at most."""

    async def close(self, digest: bytes) -> bool:
        """End one; False if it is not there."""

    async def close_all(self, user: str, *, but: bytes | None = None, only_id: str = "") -> int:
        """End those of one person, or of these the one with that id; how many ended."""

    async def purge(self, *, opened_before: datetime, used_before: datetime) -> int:
        """Forget those that have run out; how many."""


class TokenStore(Protocol):
    """Programs' ways in."""

    async def add(self, token: ApiToken) -> None:
        """Store a new one. Raises NotFound for an unknown person."""

    async def get(self, token_id: str) -> ApiToken | None:
        """One token, whether it still holds or not."""

    async def recent(self, limit: int, *, user: str = "") -> Sequence[ApiToken]:
        """Newest first, of everybody or of one person."""

    async def revoke(self, token_id: str, at: datetime) -> bool:
        """End it; False if it had ended so before, or is not there."""

    async def touch(self, token_id: str, at: datetime) -> None:
        """It was used at `at`."""


class ActStore(Protocol):
    """Acts with a key of their asker's, so that the same one asked for again is not done again."""

    async def begin(self, act: Act, *, forget_before: datetime) -> Act | None:
        """Store an act that begins; the one that has its name already, if there is one. Older ones are forgotten."""

    async def end(self, act: Act, *, status: int, answer: str) -> None:
        """Say how it ended; one that has ended stays as it is."""

    async def forget(self, act: Act) -> None:
        """Nothing was done: the same may be asked for again."""


class AuditStore(Protocol):
    """What was done, by whom; rows that are never changed or removed."""

    async def append(self, entry: AuditEntry) -> None:
        """Add one."""

    async def page(
        self, limit: int, *, before: int | None = None, who: str = "", what: str = ""
    ) -> Sequence[AuditEntry]:
        """Newest first: those with a number below `before`, of one person, of one kind of act."""


class Stores(Protocol):
    """All stores over one backend: PostgreSQL, or memory."""

    signals: SignalStore
    orders: OrderStore
    outcomes: OutcomeStore
    snapshots: SnapshotStore
    kills: KillStore
    answers: AnswerStore
    accounts: AccountStore
    analyst_calls: AnalystCallStore
    setups: SetupStore
    tasks: TaskStore
    opinions: OpinionStore
    journal: JournalStore
    users: UserStore
    sessions: SessionStore
    tokens: TokenStore
    audit: AuditStore
    alerts: AlertStore
    reports: ReportStore
    acts: ActStore

    async def check(self) -> None:
        """Ask the backend the cheapest question. Raises DatabaseUnavailable."""

    async def close(self) -> None:
        """Release connections."""


class VenueStateStore(Protocol):
    """Where a simulated venue keeps what a real one would remember over our crash."""

    def load(self) -> Mapping[str, object] | None:
        """The last saved state, JSON types only; None if there is none."""

    def save(self, state: Mapping[str, object]) -> None:
        """Replace it, durably, before the venue answers. Raises StorageError."""


class Scheduler(Protocol):
    """Runs jobs at intervals, one at a time each, and counts what it missed."""

    def every(self, name: str, interval: timedelta, job: Callable[[], Awaitable[None]]) -> None:
        """Add a job, to be run each `interval` of the clock's time."""

    def health(self) -> Sequence[JobHealth]:
        """How each job is doing."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End; a running job is awaited for a while, then cancelled."""
