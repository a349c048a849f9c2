"""What is read every few seconds for the gauges: memory often, the database and the disk seldom."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Final

from bot.alerts import Alert
from bot.analyst_calls import SpendWindow
from bot.config import Settings
from bot.database.postgres import PostgresStores
from bot.differences import DifferenceKind
from bot.interfaces import Clock
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.feed_ages import FeedAge, feed_ages
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.layer2_intelligence.analyst.budget import caps_of
from bot.layer4_risk.session_day import session_day_of
from bot.layer4_risk.stakes import all_stakes
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.job_ages import JobAges
from bot.layer5_monitoring.metrics import Metrics
from bot.layer5_monitoring.metrics_sampler import Probe
from bot.layer5_monitoring.outbox import OutboxState, outbox_state
from bot.models import JobHealth, OrderState, strongest
from bot.supervisor import Supervisor
from bot.wiring.core import TradingCore

_OFTEN_S: Final = 2.0
_SELDOM_S: Final = 15.0
_RARELY_S: Final = 60.0
_WITHIN_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchedParts:
    """What of the daemon is looked at, by gauges and by the deep check. `market_clock` is the market's, `clock` runs in
    real seconds, `speed` is the one by the other; `ready` says why it is not, or nothing; `has_ways`: alerts reach
    somebody."""

    settings: Settings
    data: Path
    clock: Clock
    market_clock: Clock
    speed: float
    stores: PostgresStores
    supervisor: Supervisor
    core: TradingCore
    router: BrokerRouter
    feed: CandleFeed
    jobs: Callable[[], Sequence[JobHealth]]
    ages: JobAges
    events: JournalEvents
    alerts: Callable[[], Sequence[Alert]]
    has_ways: bool
    ready: Callable[[], str]
    watchers: Callable[[], int]

    def feeds(self) -> list[FeedAge]:
        """How old the candles are."""
        return feed_ages(self.feed.newest(), self.router.registry, self.market_clock.now())

    def outbox(self) -> OutboxState:
        """What of the alerts has reached nobody."""
        return outbox_state(self.alerts(), self.clock.now(), has_ways=self.has_ways)


class Probes:
    """Sets the gauges of a running daemon."""

    def __init__(self, parts: WatchedParts, metrics: Metrics) -> None:
        self._parts = parts
        self._metrics = metrics
        self._brokers = [each.broker_id for each in parts.router]
        self._alerts_seen = {each.id: frozenset(each.deliveries) for each in parts.alerts()}
        risk = parts.settings.risk
        metrics.trading.drawdown_limit.set(float(risk.max_drawdown_ratio))
        caps = caps_of(parts.settings.analyst)
        for window in SpendWindow:
            metrics.analyst.budget.labels(window.value).set(float(caps.of(window)))

    def all(self) -> Sequence[Probe]:
        """Each with its pace."""
        return [
            _probe("progress", self.progress, _OFTEN_S),
            _probe("stakes", self.stakes, _OFTEN_S),
            _probe("orders", self.orders, _OFTEN_S),
            _probe("venues", self.venues, _OFTEN_S),
            _probe("alerts", self.alerts, _OFTEN_S),
            _probe("feeds", self.feeds, _SELDOM_S),
            _probe("database", self.database, _SELDOM_S),
            _probe("money", self.money, _SELDOM_S),
            _probe("analyst", self.analyst, _SELDOM_S),
            _probe("disk", self.disk, _RARELY_S),
        ]

    async def progress(self) -> None:
        """Jobs, heartbeat, readiness, watchers."""
        parts, machine = self._parts, self._metrics.machine
        ages = parts.ages.look()
        machine.show_jobs(parts.jobs(), ages, speed=parts.speed)
        machine.heartbeat.set(parts.clock.now().timestamp() - parts.ages.progress_age_s())
        machine.ready.set(not parts.ready())
        machine.watchers.set(parts.watchers())
        machine.follow(machine.events_dropped, parts.events.dropped)
        faults = parts.supervisor.health()["faults"]
        machine.follow(machine.faults, sum(faults.values()) if isinstance(faults, dict) else 0)

    async def stakes(self) -> None:
        """Accounts, positions, the kill switch, protection."""
        parts, trading = self._parts, self._metrics.trading
        for broker, account in parts.supervisor.accounts().items():
            trading.equity.labels(broker, account.currency).set(float(account.equity))
            trading.balance.labels(broker, account.currency).set(float(account.balance))
            trading.margin_used.labels(broker, account.currency).set(float(account.margin_used))
        positions, latches = parts.core.book.positions(), parts.core.kill.latches()
        stakes = all_stakes(positions, parts.core.book.orders(), foreign=parts.core.reconciler.foreign.all())
        for broker in self._brokers:
            ours = [each for each in positions if each.broker_id == broker and each.is_open]
            at_risk = sum((each.risk_open for each in stakes if each.broker_id == broker), Decimal(0))
            trading.open_positions.labels(broker).set(len(ours))
            trading.unrealized.labels(broker).set(float(sum((each.open_result for each in ours), Decimal(0))))
            trading.open_risk.labels(broker).set(float(at_risk))
            trading.kill_level.labels(broker).set(strongest(latches, broker).level.severity)
            trading.entries_blocked.labels(broker).set(bool(parts.supervisor.entries_blocked(broker)))
        unprotected = parts.core.guard.unprotected
        trading.unprotected_now.set(unprotected.longest_now_s)
        trading.unprotected_worst.set(unprotected.worst_s)
        self._metrics.machine.follow(trading.unprotected, unprotected.total_s)

    async def orders(self) -> None:
        """What works, and what nobody knows the fate of."""
        trading, now = self._metrics.trading, self._parts.market_clock.now()
        orders = self._parts.core.book.orders()
        for broker in self._brokers:
            ours = [each for each in orders if each.broker_id == broker and not each.state.is_terminal]
            unknown = [each for each in ours if each.state is OrderState.UNKNOWN]
            since = min((each.updated_at for each in unknown), default=now)
            trading.working_orders.labels(broker).set(len(ours))
            trading.unknown_orders.labels(broker).set(len(unknown))
            trading.unknown_order_age.labels(broker).set((now - since).total_seconds())

    async def venues(self) -> None:
        """Rate budgets, and how far our record agrees with each venue."""
        venues, now = self._metrics.venues, self._parts.market_clock.now()
        for broker in self._parts.router:
            budget = broker.rate_budget
            if budget is not None and budget.allowed:
                venues.budget_used.labels(broker.broker_id).set(budget.used / budget.allowed)
        for each in self._parts.supervisor.reconciliations():
            venues.reconcile_complete.labels(each.broker_id).set(each.complete)
            if each.compared_at is not None:
                venues.reconciled_ago.labels(each.broker_id).set((now - each.compared_at).total_seconds())
            found = [difference.kind for difference in each.differences if difference.is_open]
            for kind in DifferenceKind:
                venues.differences.labels(each.broker_id, kind.value).set(found.count(kind))

    async def alerts(self) -> None:
        """Alerts raised and delivered, and what waits for somebody."""
        machine, alerts, state = self._metrics.machine, self._parts.alerts(), self._parts.outbox()
        for each in alerts:
            if each.id not in self._alerts_seen:
                machine.alerts.labels(each.severity.value).inc()
            for delivery in frozenset(each.deliveries) - self._alerts_seen.get(each.id, frozenset()):
                machine.deliveries.labels(delivery.channel.value, delivery.state.value).inc()
        self._alerts_seen = {each.id: frozenset(each.deliveries) for each in alerts}
        machine.unacknowledged.set(state.unacknowledged)
        machine.outbox_waiting.set(state.waiting)
        machine.outbox_age.set(state.oldest_s)

    async def feeds(self) -> None:
        """How old the newest candles are."""
        venues = self._metrics.venues
        for each in self._parts.feeds():
            labels = (each.broker_id, each.timeframe.value)
            venues.feed_stale.labels(*labels).set(len(each.stale))
            if each.age_s is not None:
                venues.feed_age.labels(*labels).set(each.age_s)

    async def database(self) -> None:
        """Whether it answers, how fast, and how full the pool is."""
        parts, machine = self._parts, self._metrics.machine
        use, begun_s = parts.stores.pool_use(), parts.clock.monotonic()
        machine.connections.labels("used").set(use.used)
        machine.connections.labels("idle").set(use.idle)
        machine.most_connections.set(use.most)
        machine.database_up.set(0)
        await parts.stores.check()
        machine.database_up.set(1)
        machine.database_seconds.set(parts.clock.monotonic() - begun_s)

    async def money(self) -> None:
        """What the session day brought, and the drawdown."""
        parts, trading = self._parts, self._metrics.trading
        day = session_day_of(parts.settings.risk).began(parts.market_clock.now())
        for broker in self._brokers:
            trading.realized.labels(broker).set(float(await parts.stores.orders.realised_since(broker, day)))
        snapshot = await parts.stores.snapshots.latest()
        if snapshot is not None:
            trading.drawdown.set(float(snapshot.drawdown))

    async def analyst(self) -> None:
        """What its budget has counted, and how many questions are under way."""
        parts, analyst = self._parts, self._metrics.analyst
        for window, spent in (await parts.stores.analyst_calls.spent(parts.clock.now())).items():
            analyst.spent.labels(window.value).set(float(spent))
        state = parts.supervisor.health()["analyst"]
        analyst.waiting.set(state.get("waiting", 0) if isinstance(state, Mapping) else 0)

    async def disk(self) -> None:
        """What is free where the data directory is."""
        usage = await asyncio.to_thread(shutil.disk_usage, self._parts.data)
        self._metrics.machine.disk_free.set(usage.free)


def _probe(name: str, refresh: Callable[[], Awaitable[None]], every_s: float) -> Probe:
    return Probe(name=name, refresh=refresh, every_s=every_s, within_s=_WITHIN_S)
