"""All stores over one PostgreSQL pool."""

from collections.abc import Callable

from bot.database.access import Database, PoolUse
from bot.database.durability import durability_faults
from bot.database.migrate import pending_migrations
from bot.database.pool import Pool
from bot.database.postgres_access import PostgresAudit, PostgresSessions, PostgresTokens
from bot.database.postgres_accounts import PostgresAccounts
from bot.database.postgres_acts import PostgresActs
from bot.database.postgres_alerts import PostgresAlerts
from bot.database.postgres_analyst_calls import PostgresAnalystCalls
from bot.database.postgres_answers import PostgresAnswers
from bot.database.postgres_journal import PostgresJournal
from bot.database.postgres_kills import PostgresKills
from bot.database.postgres_opinions import PostgresOpinions
from bot.database.postgres_orders import PostgresOrders
from bot.database.postgres_outcomes import PostgresOutcomes
from bot.database.postgres_reports import PostgresReports
from bot.database.postgres_setups import PostgresSetups
from bot.database.postgres_signals import PostgresSignals
from bot.database.postgres_snapshots import PostgresSnapshots
from bot.database.postgres_tasks import PostgresTasks
from bot.database.postgres_users import PostgresUsers
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


class PostgresStores:
    """`Stores` over a pool made by `open_pool`, on a database that `migrate` has brought up to date."""

    def __init__(self, pool: Pool, epoch: Callable[[], int | None] = lambda: None) -> None:
        """`epoch` is that of the one daemon that may send (`WriterLock.epoch`); a reader has none."""
        self._pool = pool
        self._database = Database(pool)
        self.signals: SignalStore = PostgresSignals(self._database)
        self.orders: OrderStore = PostgresOrders(self._database, epoch)
        self.outcomes: OutcomeStore = PostgresOutcomes(self._database)
        self.snapshots: SnapshotStore = PostgresSnapshots(self._database)
        self.kills: KillStore = PostgresKills(self._database)
        self.answers: AnswerStore = PostgresAnswers(self._database)
        self.accounts: AccountStore = PostgresAccounts(self._database)
        self.analyst_calls: AnalystCallStore = PostgresAnalystCalls(self._database)
        self.setups: SetupStore = PostgresSetups(self._database)
        self.tasks: TaskStore = PostgresTasks(self._database)
        self.opinions: OpinionStore = PostgresOpinions(self._database)
        self.journal: JournalStore = PostgresJournal(self._database)
        self.alerts: AlertStore = PostgresAlerts(self._database)
        self.users: UserStore = PostgresUsers(self._database)
        self.sessions: SessionStore = PostgresSessions(self._database)
        self.tokens: TokenStore = PostgresTokens(self._database)
        self.audit: AuditStore = PostgresAudit(self._database)
        self.reports: ReportStore = PostgresReports(self._database)
        self.acts: ActStore = PostgresActs(self._database)

    async def check(self) -> None:
        """Ask the database the cheapest question. Raises DatabaseUnavailable."""
        await self._database.value("SELECT 1")

    async def durability_faults(self) -> tuple[str, ...]:
        """Settings of the server under which a power cut can undo a commit. Raises DatabaseUnavailable."""
        return await durability_faults(self._pool)

    def pool_use(self) -> PoolUse:
        """How many connections there are now; nothing is asked."""
        return self._database.use()

    async def pending_migrations(self) -> tuple[str, ...]:
        """Files that the database lacks. Raises SchemaMismatch where it has others."""
        return await pending_migrations(self._pool)

    async def close(self) -> None:
        """Close the pool."""
        await self._database.close()
