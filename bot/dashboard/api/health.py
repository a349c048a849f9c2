"""Is it alive, and is it well."""

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from aiohttp import web

from bot.dashboard.api.encoding import as_json
from bot.dashboard.parts import PARTS, DashboardParts
from bot.errors import BotError
from bot.models import DaemonStatus, JobHealth

_DATABASE_TIMEOUT_S: Final = 5.0
_LATE_INTERVALS: Final = 3
_LATE_INTERVALS_DEV: Final = 100  # a fast market shrinks an interval to 0.1 real seconds; 10 s of silence are too many


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One answer of the deep check."""

    name: str
    good: bool
    says: str
    took_ms: float | None = None


async def health(request: web.Request) -> web.Response:
    """Alive: the event loop answers. No I/O."""
    return as_json(request.app[PARTS].health())


async def deep_health(request: web.Request) -> web.Response:
    """The database answers and every job runs. 200 if all is well, 503 if not."""
    parts = request.app[PARTS]
    checks = [await _database(parts)]
    if checks[0].good:
        checks += _jobs(await parts.status())
    good = all(each.good for each in checks)
    return as_json({"status": "ok" if good else "bad", "checks": checks}, status=200 if good else 503)


async def _database(parts: DashboardParts) -> Check:
    started_s = parts.clock.monotonic()
    try:
        async with asyncio.timeout(_DATABASE_TIMEOUT_S):
            await parts.stores.check()
        says, good = "answers", True
    except (BotError, TimeoutError):  # what it said is for the log of whoever owns the connection
        says, good = f"did not answer within {_DATABASE_TIMEOUT_S:.0f} s or refused", False
    return Check(name="database", good=good, says=says, took_ms=round((parts.clock.monotonic() - started_s) * 1000, 3))


def _jobs(status: DaemonStatus) -> list[Check]:
    intervals = _LATE_INTERVALS_DEV if status.mode == "dev" else _LATE_INTERVALS
    return [_job(each, status.now, status.started_at, intervals * each.interval_s) for each in status.jobs]


def _job(job: JobHealth, now: datetime, started_at: datetime, allowed_s: float) -> Check:
    age_s = (now - (job.last_run_at or started_at)).total_seconds()
    since = "last ran" if job.last_run_at else "has not run yet; started"
    says = f"{since} {age_s:.0f} s ago, at most {allowed_s:.0f}; missed {job.missed}, failed {job.failures}"
    return Check(name=f"job {job.name}", good=age_s <= allowed_s, says=says)
