"""The first page: what each of its sections reads."""

from datetime import UTC, timedelta
from decimal import Decimal
from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.dashboard.views.curve import HEIGHT, WIDTH, equity_curve
from bot.dashboard.views.rows import PositionRow, short_reason, verdict_of
from bot.layer4_risk.kill_words import effect, levels
from bot.models import DaemonStatus, JobHealth, KillLevel

_POSITIONS: Final = 8
_SIGNALS: Final = 8
_SETUPS: Final = 30
_CURVE_POINTS: Final = 240
_CURVE_SPAN: Final = timedelta(days=7)
_LEVELS: Final = (KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT)


async def overview(parts: DashboardParts, query: Query) -> Context:
    """Health, money, today, counts."""
    status = await parts.status()
    positions = await parts.stores.orders.open_positions()
    snapshot, report = await parts.stores.snapshots.latest(), await parts.risk()
    return {
        "status": status,
        "market_note": parts.market_note(),
        "open_result": sum((each.open_result for each in positions if each.is_open), Decimal(0)),
        "risk": report,
        "closed_today": await _closed_today(parts, status),
        "drawdown": snapshot.drawdown if snapshot else None,
        "peak": snapshot.peak if snapshot else None,
        "signals_total": sum(status.signals.values()),
        "signals": [(verdict_of(name), count) for name, count in sorted(status.signals.items())],
        "waiting_orders": sum(1 for each in positions if each.is_pending),
    }


async def kill(parts: DashboardParts, query: Query) -> Context:
    """What is stopped, by whom and why; and the buttons."""
    await parts.kill.state()
    held = parts.kill.latches()
    return {"latches": held, "held": levels(held), "effect": effect(held), "levels": _LEVELS}


async def reconcile(parts: DashboardParts, query: Query) -> Context:
    """Our book against the venues: what differs, and which venue does not answer."""
    compared = parts.reconciliations()
    return {
        "rows": [row for each in compared for row in each.differences],
        "silent": [each for each in compared if not each.complete],
        "matched": sum(each.matched for each in compared),
    }


async def equity(parts: DashboardParts, query: Query) -> Context:
    """The curve of the last days; the whole of it is on the page of performance."""
    latest = await parts.stores.snapshots.latest()
    points = await parts.stores.snapshots.since(latest.at - _CURVE_SPAN, _CURVE_POINTS) if latest else ()
    return {"curve": equity_curve(points), "width": WIDTH, "height": HEIGHT}


async def positions(parts: DashboardParts, query: Query) -> Context:
    """What is open, in short; the newest first."""
    found = await parts.stores.orders.open_positions()
    opened = [each for each in reversed(found) if not each.is_pending]
    return {
        "rows": [PositionRow.of(each) for each in opened[:_POSITIONS]],
        "left_out": max(len(opened) - _POSITIONS, 0),
        "pending": [each for each in found if each.is_pending],
    }


async def signals(parts: DashboardParts, query: Query) -> Context:
    """The newest signals, accepted and rejected."""
    found = await parts.stores.signals.recent(_SIGNALS)
    status = await parts.status()
    return {
        "rows": [(each, verdict_of(each.status), short_reason(each)) for each in found],
        "analysis": _job(status, "analysis"),
        "last_analysis": status.last_analysis,
    }


async def setups(parts: DashboardParts, query: Query) -> Context:
    """4h setups that wait for a confirmation now, soonest to expire first."""
    now = (await parts.status()).now
    found = await parts.stores.setups.recent(_SETUPS)
    live = [each for each in found if not each.ended_as and each.expires_at > now]
    rows = sorted(live, key=lambda each: each.expires_at)
    return {"rows": [(each, (each.expires_at - now).total_seconds()) for each in rows], "seen": len(found)}


HOME: Final = Page(
    name="home",
    path="/",
    title="Home",
    sections=(
        Section(name="overview", load=overview, slowest_s=1.0),
        Section(name="kill", load=kill, quickest_s=0.5, slowest_s=1.0),
        # Marks move without any journal entry.
        Section(name="positions", load=positions, quickest_s=0.5, slowest_s=0.5),
        Section(name="reconcile", load=reconcile, slowest_s=2.0),
        Section(name="equity", load=equity),
        Section(name="signals", load=signals),
        Section(name="setups", load=setups),
    ),
)


async def _closed_today(parts: DashboardParts, status: DaemonStatus) -> Decimal:
    midnight = status.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    brokers = sorted({each.broker_id for each in parts.registry})
    results = [await parts.stores.orders.realised_since(each, midnight) for each in brokers]
    return sum(results, Decimal(0))


def _job(status: DaemonStatus, word: str) -> JobHealth | None:
    return next((each for each in status.jobs if word in each.name.lower()), None)
