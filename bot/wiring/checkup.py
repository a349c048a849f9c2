"""What `/health/deep` asks: each thing that the daemon depends on, with the next step where it is not well."""

import asyncio
import shutil
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Final

from bot.database.durability import NEXT_STEP, durability_refusal
from bot.errors import SchemaMismatch
from bot.layer1_data.feed_ages import FeedAge
from bot.layer2_intelligence.analyst.budget import caps_of
from bot.layer4_risk.kill_words import said
from bot.layer5_monitoring.checkup import Checkup, Finding, Question, Status
from bot.layer5_monitoring.health import HealthState
from bot.layer5_monitoring.loop_lag import LoopLag
from bot.models import JobHealth
from bot.supervisor import Supervisor
from bot.wiring.checkup_venues import VenueCheckup
from bot.wiring.metrics_probes import WatchedParts

_SLOW_DATABASE_MS: Final = 1_000.0
_BUDGET_WARN_RATIO: Final = Decimal("0.8")
_WAITING_WARN_S: Final = 30.0
_WAITING_FAIL_S: Final = 300.0
_DISK_WARN_BYTES: Final = 1 << 30
_DISK_FAIL_BYTES: Final = 100 << 20
_LAG_WARN_S: Final = 0.25
_LAG_FAIL_S: Final = 5.0
_MOST_NAMED: Final = 5


def checkup_of(parts: WatchedParts, lag: LoopLag) -> Checkup:
    """The deep check of a running daemon."""
    inside = DaemonCheckup(parts, lag)
    venues = [question for broker in parts.router for question in VenueCheckup(broker, parts).questions()]
    down = "start the database, or look at its log; open positions keep their stops at the venue"
    return Checkup(
        [
            Question(name="database", ask=inside.database, within_s=5.0, next_step=down),
            Question(name="durability", ask=inside.durability, within_s=5.0, next_step=down),
            Question(name="migrations", ask=inside.migrations, within_s=5.0, next_step=down),
            *venues,
            _inside("feeds", inside.feeds),
            _inside("protection", inside.protection),
            _inside("kill switch", inside.kill_switch),
            Question(name="analyst", ask=inside.analyst, within_s=5.0, next_step=down),
            _inside("alerts", inside.alerts),
            Question(name="disk", ask=inside.disk, within_s=3.0, next_step="look at the disk: it does not answer"),
            _inside("event loop", inside.event_loop),
            _inside("jobs", inside.jobs),
        ],
        parts.clock,
    )


def _inside(name: str, look: Callable[[], Sequence[Finding]]) -> Question:
    """A question that memory answers at once."""

    async def ask() -> Sequence[Finding]:
        return look()

    return Question(name=name, ask=ask, within_s=2.0, next_step="this is our bug, see the log")


def why_not_ready(state: HealthState, supervisor: Supervisor) -> str:
    """Why the daemon cannot be relied on; empty if it can. A venue that is down is none of that: entries wait there."""
    if state.status != "ok":
        return f"{state.status}: {state.detail}" if state.detail else state.status
    missing = [each.broker_id for each in supervisor.reconciliations() if each.compared_at is None]
    return f"not compared with our record yet: {', '.join(missing)}" if missing else ""


class DaemonCheckup:
    """One method for each question."""

    def __init__(self, parts: WatchedParts, lag: LoopLag) -> None:
        self._parts = parts
        self._lag = lag

    async def database(self) -> Sequence[Finding]:
        """It answers, and soon."""
        begun_s = self._parts.clock.monotonic()
        await self._parts.stores.check()
        took_ms = round((self._parts.clock.monotonic() - begun_s) * 1000, 3)
        use = self._parts.stores.pool_use()
        says = f"answers in {took_ms:.1f} ms; {use.used} of {use.most} connections in use"
        if took_ms > _SLOW_DATABASE_MS:
            step = "look what else the server does; orders wait for their intents to be stored"
            return [Finding(name="database", status="warn", says=says, next_step=step, took_ms=took_ms)]
        return [Finding(name="database", status="ok", says=says, took_ms=took_ms)]

    async def durability(self) -> Sequence[Finding]:
        """What is committed stays so over a power cut (D8)."""
        faults = await self._parts.stores.durability_faults()
        if not faults:
            return [Finding(name="durability", status="ok", says="a commit survives a power cut")]
        status: Status = "fail" if durability_refusal(faults, self._parts.settings.run.mode) else "warn"
        return [Finding(name="durability", status=status, says="; ".join(faults), next_step=NEXT_STEP)]

    async def migrations(self) -> Sequence[Finding]:
        """All are applied, and none that this program does not know."""
        try:
            pending = await self._parts.stores.pending_migrations()
        except SchemaMismatch as error:
            return [Finding(name="migrations", status="fail", says=str(error), next_step="see docs/upgrade.md")]
        if pending:
            says = f"not applied: {', '.join(pending)}"
            return [
                Finding(name="migrations", status="fail", says=says, next_step="restart the daemon: it applies them")
            ]
        return [Finding(name="migrations", status="ok", says="all applied")]

    def feeds(self) -> Sequence[Finding]:
        """Candles come, where a market is open."""
        return [_feed(each) for each in self._parts.feeds()]

    def protection(self) -> Sequence[Finding]:
        """Every position has a stop for all of it."""
        unprotected = self._parts.core.guard.unprotected
        now_s, worst_s = unprotected.longest_now_s, unprotected.worst_s
        if now_s > 0:
            says = f"a position has had no stop for all of it for {now_s:.1f} s"
            step = "it is placed again or the position closed by itself; if this stays, close it at the venue by hand"
            return [Finding(name="protection", status="fail", says=says, next_step=step)]
        says = f"every position has its stop; longest gap since the start {worst_s:.1f} s"
        return [Finding(name="protection", status="ok", says=says)]

    def kill_switch(self) -> Sequence[Finding]:
        """Whether it is pressed: not a fault, but worth knowing."""
        latches = self._parts.core.kill.latches()
        if not latches:
            return [Finding(name="kill switch", status="ok", says=said(latches))]
        step = "./botctl resume ends it, when the reason is gone"
        return [Finding(name="kill switch", status="warn", says=said(latches), next_step=step)]

    async def analyst(self) -> Sequence[Finding]:
        """Who answers, and what of its budget is left."""
        parts = self._parts
        state = parts.supervisor.health()["analyst"]
        rung = state.get("rung") if isinstance(state, Mapping) else "unknown"
        spent, caps = await parts.stores.analyst_calls.spent(parts.clock.now()), caps_of(parts.settings.analyst)
        says = f"{rung}; " + ", ".join(
            f"{each.value} {used:.2f} of {caps.of(each):.2f} $" for each, used in spent.items()
        )
        full = [each.value for each, used in spent.items() if used >= caps.of(each) * _BUDGET_WARN_RATIO]
        if full and parts.settings.analyst.anthropic_api_key:
            step = f"the detector decides; wait, or raise ANALYST_BUDGET_{full[0].upper()}"
            return [Finding(name="analyst", status="warn", says=says, next_step=step)]
        return [Finding(name="analyst", status="ok", says=says)]

    def alerts(self) -> Sequence[Finding]:
        """What people should know reaches them."""
        state = self._parts.outbox()
        says = f"{state.unacknowledged} wait for an ack, {state.waiting} reached nobody yet"
        if not self._parts.has_ways:
            says += "; no way to anybody is set, they are listed only (docs/alerts.md)"
        if state.waiting and state.oldest_s > _WAITING_WARN_S:
            status: Status = "fail" if state.oldest_s > _WAITING_FAIL_S else "warn"
            step = "./botctl alerts shows them; ./botctl alerts test tries every way"
            says += f", the oldest for {state.oldest_s:.0f} s"
            return [Finding(name="alerts", status=status, says=says, next_step=step)]
        if state.failing:
            step = "./botctl alerts test tries every way; correct its settings"
            says += f"; the newest by {', '.join(state.failing)} failed"
            return [Finding(name="alerts", status="warn", says=says, next_step=step)]
        return [Finding(name="alerts", status="ok", says=says)]

    async def disk(self) -> Sequence[Finding]:
        """Room for the database and the state."""
        free = (await asyncio.to_thread(shutil.disk_usage, self._parts.data)).free
        says = f"{free / (1 << 30):,.1f} GiB free in the data directory"
        if free >= _DISK_WARN_BYTES:
            return [Finding(name="disk", status="ok", says=says)]
        status: Status = "warn" if free >= _DISK_FAIL_BYTES else "fail"
        return [Finding(name="disk", status=status, says=says, next_step="free at least 1 GiB, or move DATA_DIRECTORY")]

    def event_loop(self) -> Sequence[Finding]:
        """Nobody holds it up."""
        worst_s = self._lag.worst_s
        says = f"woke {worst_s * 1000:.0f} ms late at worst in the last minute"
        if worst_s <= _LAG_WARN_S:
            return [Finding(name="event loop", status="ok", says=says)]
        status: Status = "warn" if worst_s <= _LAG_FAIL_S else "fail"
        return [Finding(name="event loop", status=status, says=says, next_step="look what else this machine does")]

    def jobs(self) -> Sequence[Finding]:
        """Each runs in time, and goes well."""
        ages = self._parts.ages.look()
        return [self._job(each, ages[each.name]) for each in self._parts.jobs()]

    def _job(self, job: JobHealth, age_s: float) -> Finding:
        allowed_s = self._parts.ages.allowed_s(job)
        name = f"job {job.name}"
        says = f"last went well {age_s:.0f} s ago, at most {allowed_s:.0f}; missed {job.missed}, failed {job.failures}"
        step = "./botctl status shows the error, the log has all of it"
        if age_s > allowed_s:
            return Finding(name=name, status="fail", says=says, next_step=step)
        if job.failing:
            return Finding(name=name, status="warn", says=f"{says}; {job.failing} in a row", next_step=step)
        return Finding(name=name, status="ok", says=says)


def _feed(feed: FeedAge) -> Finding:
    name = f"feed {feed.broker_id} {feed.timeframe.value}"
    age = "no candle yet" if feed.age_s is None else f"newest candle closed {feed.age_s:,.0f} s ago"
    if not feed.stale:
        return Finding(name=name, status="ok", says=f"{age}, {feed.symbols} instruments")
    named = ", ".join(feed.stale[:_MOST_NAMED]) + (" and others" if len(feed.stale) > _MOST_NAMED else "")
    says = f"{age}; open market but no candle of {named} ({len(feed.stale)} of {feed.symbols})"
    step = "./botctl candles SYMBOL asks the venue itself; a holiday that we do not know looks the same"
    return Finding(name=name, status="warn", says=says, next_step=step)
