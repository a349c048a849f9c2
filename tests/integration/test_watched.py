"""What gauges and the deep check say of a daemon whose venue, clock, database, disk or jobs are not well."""

import shutil
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from bot.alerts import Alert, Channel, Delivery, DeliveryState, Severity
from bot.clock import ManualClock
from bot.config import Settings
from bot.database.pool import Pool
from bot.database.postgres import PostgresStores
from bot.differences import DifferenceKind
from bot.entry_gate import EntryGate
from bot.instruments import OANDA, Currency, InstrumentRegistry, Symbol
from bot.kill_watch import KillWatch
from bot.layer1_data.broker_router import BrokerRouter
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.candle_cache import CandleCache
from bot.layer1_data.feeds.candle_feed import CandleFeed
from bot.layer2_intelligence.features import LiveFeatures
from bot.layer5_monitoring.checkup import CheckupReport, Finding
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.health import HealthState
from bot.layer5_monitoring.job_ages import JobAges
from bot.layer5_monitoring.journal import StoredJournal
from bot.layer5_monitoring.loop_lag import LoopLag
from bot.layer5_monitoring.metrics import MetricLabels, Metrics
from bot.models import JobHealth, KillCause, KillLevel, KillState, Quote, StrategyTask, Timeframe
from bot.supervisor import Supervisor, SupervisorParts
from bot.wiring.checkup import checkup_of, why_not_ready
from bot.wiring.core import trading_core
from bot.wiring.metrics_probes import Probes, WatchedParts
from tests.builders import EUR_USD, START, approved_order, frictionless
from tests.fakes.awkward_broker import AwkwardBroker, Fault

MONITOR = JobHealth(name="monitor", interval_s=120, runs=1)


class ByHand:
    """A scheduler that runs nothing, and tells of the jobs that a test names."""

    def __init__(self) -> None:
        self.jobs: Sequence[JobHealth] = (MONITOR,)

    def every(self, name: str, interval: timedelta, job: Callable[[], Awaitable[None]]) -> None:
        """Nothing runs."""

    def health(self) -> Sequence[JobHealth]:
        return self.jobs

    async def start(self) -> None:
        """Nothing begins."""

    async def stop(self) -> None:
        """Nothing ends."""


class LateClock(SimulatedBroker):
    """A venue whose clock is behind."""

    behind = timedelta()

    async def server_time(self) -> datetime:
        return await super().server_time() - self.behind


class House:
    """One venue and everything that is watched about it; times pass by hand."""

    def __init__(self, pool: Pool, data: Path) -> None:
        self.clock, self.pool, self.scheduler = ManualClock(START), pool, ByHand()
        self.venue = LateClock(
            broker_id=OANDA,
            instruments=[frictionless(tick="0.001")],
            clock=self.clock,
            currency=Currency("USD"),
            balance=Decimal(1_000_000),
        )
        self.venue.observe(EUR_USD, bid=Decimal(100), ask=Decimal(100), at=START, gap=True)
        self.broker = AwkwardBroker(self.venue, self.clock)
        self.stores, self.events, self.alerts = PostgresStores(pool), JournalEvents(), list[Alert]()
        registry, settings = InstrumentRegistry([frictionless(tick="0.001")]), Settings()
        router, cache, gate = BrokerRouter([self.broker], registry), CandleCache(registry), EntryGate()
        self.feed = CandleFeed(router, cache, self.clock)
        self.core = trading_core(
            settings=settings,
            registry=registry,
            clock=self.clock,
            stores=self.stores,
            journal=StoredJournal(self.stores.journal, self.events),
            candles=cache,
            broker_of=router.broker,
            quote_of=self._quote_of,
            entries_blocked=gate.blocked,
            strategies=["divergence"],
            environment="d",
        )
        self.supervisor = Supervisor(self._parts(settings, router, cache), gate)
        self.watched = WatchedParts(
            settings=settings,
            data=data,
            clock=self.clock,
            market_clock=self.clock,
            speed=1.0,
            stores=self.stores,
            supervisor=self.supervisor,
            core=self.core,
            router=router,
            feed=self.feed,
            jobs=self.scheduler.health,
            ages=JobAges(self.scheduler.health, self.clock, speed=1.0),
            events=self.events,
            alerts=lambda: self.alerts,
            has_ways=True,
            ready=str,
            watchers=lambda: 2,
        )
        self.lags: list[float] = []
        self.lag = LoopLag(self.clock, self.lags.append)
        self.metrics = _metrics()
        self.probes = Probes(self.watched, self.metrics)

    def _parts(self, settings: Settings, router: BrokerRouter, cache: CandleCache) -> SupervisorParts:
        core = self.core
        return SupervisorParts(
            settings=settings,
            registry=router.registry,
            clock=self.clock,
            stores=self.stores,
            scheduler=self.scheduler,
            router=router,
            feed=self.feed,
            cache=cache,
            book=core.book,
            tracker=core.tracker,
            guard=core.guard,
            reconciler=core.reconciler,
            answers=core.answers,
            kill=core.kill,
            kill_watch=KillWatch(
                switch=core.kill,
                flattener=core.flattener,
                news=None,
                settle=lambda broker_id: self.supervisor.settle(broker_id),
                clock=self.clock,
                record=core.pipeline.record,
                on_problem=lambda text: None,
            ),
            daily_loss=core.daily_loss,
            drawdown=core.drawdown,
            outcomes=core.outcomes,
            pipeline=core.pipeline,
            tasks=[StrategyTask.of("divergence", frictionless(), Timeframe.H1)],
            new_features=lambda: LiveFeatures(settings.divergence, settings.validation.bandwidth_lookback),
        )

    async def _quote_of(self, symbol: Symbol) -> Quote | None:
        return None

    async def look(self) -> CheckupReport:
        """A round of questions of its own."""
        return await checkup_of(self.watched, self.lag).look()

    async def finding(self, name: str) -> Finding:
        return next(each for each in (await self.look()).checks if each.name == name)

    async def sample(self) -> None:
        """Every probe once."""
        for each in self.probes.all():
            await each.refresh()

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


def _metrics() -> Metrics:
    return Metrics(
        MetricLabels(
            mode="paper",
            version="1",
            brokers=(OANDA,),
            feeds=[(OANDA, Timeframe.H1)],
            strategies=("divergence",),
            models=(),
            no_answers=(),
        )
    )


@pytest.fixture
async def house(pool: Pool, tmp_path: Path) -> House:
    """Compared with its venue, and well."""
    made = House(pool, tmp_path)
    await made.supervisor.settle(OANDA)
    return made


async def test_a_daemon_that_is_well_has_no_next_step(house: House) -> None:
    report = await house.look()

    assert report.status == "ok"
    assert not [each for each in report.checks if each.next_step]


@pytest.mark.parametrize(
    ("question", "check"), [("positions", "broker oanda"), ("server_time", "broker oanda: clock")], ids=str
)
async def test_a_venue_that_does_not_answer_fails_and_the_others_are_still_told(
    house: House, question: str, check: str
) -> None:
    house.broker.failing.add(question)
    await house.supervisor.settle(OANDA)

    report = await house.look()

    found = {each.name: each for each in report.checks}
    assert report.status == "fail"
    assert found[check].status == "fail"
    assert "status page" in found[check].next_step
    assert found["database"].status == found["job monitor"].status == "ok"


async def test_the_venues_clock_costs_one_request_a_minute_however_often_somebody_asks(house: House) -> None:
    checkup = checkup_of(house.watched, house.lag)
    for _ in range(12):
        await checkup.look()
        house.clock.advance(6)

    assert house.broker.asked.count("server_time") == 2


async def test_blocked_entries_warn_with_the_reason(pool: Pool, tmp_path: Path) -> None:
    house = House(pool, tmp_path)
    await house.venue.place(replace(approved_order(), broker_id=OANDA))  # nobody here knows of it
    await house.supervisor.settle(OANDA)
    await house.sample()

    found = await house.finding("broker oanda")

    assert found.status == "warn"
    assert "entries wait: oanda" in found.says
    assert house.value("bot_entries_blocked", broker="oanda") == 1
    assert house.value("bot_reconcile_complete", broker="oanda") == 1
    kinds = [house.value("bot_reconcile_differences", broker="oanda", kind=each.value) for each in DifferenceKind]
    assert sum(each or 0 for each in kinds) > 0


async def test_a_silent_venue_shows_in_its_gauges(house: House) -> None:
    house.broker.failing.add("positions")
    await house.supervisor.settle(OANDA)
    await house.sample()

    assert house.value("bot_entries_blocked", broker="oanda") == 1
    assert house.value("bot_reconcile_complete", broker="oanda") == 0


@pytest.mark.parametrize(("behind_s", "status"), [(0.5, "ok"), (0.9, "warn"), (2.0, "fail")])
async def test_a_clock_apart_from_the_venues_is_told(house: House, behind_s: float, status: str) -> None:
    house.venue.behind = timedelta(seconds=behind_s)

    found = await house.finding("broker oanda: clock")

    assert found.status == status
    assert f"{behind_s:.2f} s ahead" in found.says


async def test_a_position_without_its_stop_fails_and_its_seconds_are_summed(house: House) -> None:
    await house.core.engine.submit(replace(approved_order(), broker_id=OANDA))
    await house.core.tracker.collect(OANDA)
    (position,) = [each for each in house.core.book.positions() if each.is_open]
    house.core.guard.unprotected.begin(position)
    house.clock.advance(12)
    await house.sample()

    found = await house.finding("protection")

    assert found.status == "fail"
    assert "12.0 s" in found.says
    assert house.value("bot_unprotected_now_seconds") == 12
    house.core.guard.unprotected.end(position.entry_order_id)
    await house.sample()
    await house.sample()
    assert house.value("bot_unprotected_now_seconds") == 0
    assert house.value("bot_unprotected_seconds_total") == 12
    assert (await house.finding("protection")).status == "ok"


async def test_open_positions_and_what_they_risk_are_shown(house: House) -> None:
    await house.core.engine.submit(replace(approved_order(), broker_id=OANDA))
    await house.core.tracker.collect(OANDA)
    (position,) = [each for each in house.core.book.positions() if each.is_open]

    await house.sample()

    assert house.value("bot_open_positions", broker="oanda") == 1
    at_stop = abs(position.mark_price - position.stop_price) * position.quantity * position.value_per_point
    assert house.value("bot_open_risk", broker="oanda") == pytest.approx(float(at_stop))
    assert house.value("bot_page_watchers") == 2


async def test_an_order_of_unknown_fate_is_counted_with_its_age(house: House) -> None:
    house.broker.place_faults.append(Fault.REPLY_LOST)
    await house.core.engine.submit(replace(approved_order(), broker_id=OANDA))
    house.clock.advance(90)

    await house.sample()

    assert house.value("bot_unknown_orders", broker="oanda") == 2, "the entry, and the stop that goes with it"
    assert house.value("bot_unknown_order_age_seconds", broker="oanda") == 90


async def test_a_pressed_kill_switch_warns(house: House) -> None:
    press = KillState(level=KillLevel.HALT, by="ana", cause=KillCause.COMMAND, reason="odd prices", at=START)
    await house.core.kill.press(press)
    await house.sample()

    found = await house.finding("kill switch")

    assert found.status == "warn"
    assert "ana" in found.says
    assert house.value("bot_kill_level", broker="oanda") == 3


async def test_a_feed_without_candles_names_its_instruments(house: House) -> None:
    house.feed.subscribe(EUR_USD, Timeframe.H1)
    await house.sample()

    found = await house.finding("feed oanda 1h")

    assert (found.status, "EUR_USD" in found.says) == ("warn", True)
    assert house.value("bot_feed_stale", broker="oanda", timeframe="1h") == 1


@pytest.mark.parametrize(
    ("age_s", "failing", "status"), [(300, 0, "ok"), (300, 2, "warn"), (391, 0, "fail")], ids=["well", "fails", "late"]
)
async def test_a_job_that_fails_warns_and_one_that_is_late_fails(
    house: House, age_s: float, failing: int, status: str
) -> None:
    house.watched.ages.look()
    house.scheduler.jobs = (replace(MONITOR, failing=failing),)
    house.clock.advance(age_s)

    found = await house.finding("job monitor")

    assert found.status == status
    assert "at most 390" in found.says


@pytest.mark.parametrize(("free_gib", "status"), [(5.0, "ok"), (0.9, "warn"), (0.05, "fail")])
async def test_little_disk_space_warns_and_almost_none_fails(
    house: House, free_gib: float, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(house.watched.data)._replace(free=int(free_gib * (1 << 30)))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    await house.sample()

    assert (await house.finding("disk")).status == status
    assert house.value("bot_disk_free_bytes") == usage.free


async def test_a_database_that_is_gone_fails_and_its_gauge_falls(house: House) -> None:
    await house.sample()
    was_up = house.value("bot_database_up")
    await house.pool.close()
    for each in house.probes.all():
        if each.name == "database":
            with pytest.raises(Exception, match="did not answer"):
                await each.refresh()

    report = await house.look()

    assert (was_up, house.value("bot_database_up")) == (1, 0)
    failed = {each.name for each in report.checks if each.status == "fail"}
    assert {"database", "migrations", "analyst"} <= failed
    assert "broker oanda" not in failed


async def test_a_migration_that_this_program_does_not_know_fails(house: House) -> None:
    async with house.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO schema_migrations (number, name, checksum, applied_at) "
            "VALUES (9999, '9999_from_the_future.sql', 'x', now())"
        )

    found = await house.finding("migrations")

    assert found.status == "fail"
    assert "9999_from_the_future.sql" in found.says


async def test_a_loop_that_was_held_up_is_told(house: House) -> None:
    house.lag._recent.append(0.4)

    assert (await house.finding("event loop")).status == "warn"


@dataclass
class Told:
    """An alert of a while ago, and what became of it."""

    minutes_ago: float
    state: DeliveryState

    def alert(self, now: datetime) -> Alert:
        at = now - timedelta(minutes=self.minutes_ago)
        delivery = Delivery(channel=Channel.TELEGRAM, recipient="1", state=self.state, at=at)
        return Alert(
            id="abc123",
            key="k",
            severity=Severity.CRITICAL,
            title="t",
            body="",
            raised_at=at,
            last_at=at,
            deliveries=(delivery,),
        )


@pytest.mark.parametrize(
    ("told", "status"),
    [
        (Told(0.2, DeliveryState.UNKNOWN), "ok"),
        (Told(2, DeliveryState.UNKNOWN), "warn"),
        (Told(6, DeliveryState.UNKNOWN), "fail"),
        (Told(6, DeliveryState.SENT), "ok"),
        (Told(0.2, DeliveryState.FAILED), "warn"),
    ],
)
async def test_a_critical_alert_that_reaches_nobody_warns_and_then_fails(house: House, told: Told, status: str) -> None:
    house.alerts.append(told.alert(house.clock.now()))
    await house.sample()
    await house.sample()

    assert (await house.finding("alerts")).status == status
    assert house.value("bot_alerts_total", severity="critical") == 1
    assert house.value("bot_alert_deliveries_total", channel="telegram", outcome=told.state.value) == 1
    assert house.value("bot_alerts_unacknowledged") == 1


async def test_alerts_of_before_the_start_are_not_counted_again(house: House) -> None:
    house.alerts.append(Told(6, DeliveryState.SENT).alert(house.clock.now()))
    metrics = _metrics()
    probes = Probes(house.watched, metrics)

    await probes.alerts()

    assert metrics.registry.get_sample_value("bot_alerts_total", {"severity": "critical"}) == 0


def ready_of(house: House, status: str, detail: str = "") -> str:
    return why_not_ready(HealthState(status=status, detail=detail), house.supervisor)


async def test_it_is_ready_when_it_started_and_every_venue_was_compared_also_one_that_is_down(
    house: House, pool: Pool, tmp_path: Path
) -> None:
    assert ready_of(House(pool, tmp_path), "ok") == "not compared with our record yet: oanda"
    assert ready_of(house, "starting", "starting the market") == "starting: starting the market"
    assert ready_of(house, "stopping") == "stopping"
    assert ready_of(house, "ok") == ""
    house.broker.failing.add("positions")
    await house.supervisor.settle(OANDA)
    assert ready_of(house, "ok") == "", "a deploy that repairs it must not wait for it"
