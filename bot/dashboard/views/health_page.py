"""Is everything well that the daemon depends on: the answers of the deep check in words, with the next step."""

from datetime import datetime
from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts

_RANK: Final = {"fail": 0, "warn": 1, "ok": 2}
_DOES_NOT_MOVE_S: Final = 3_600.0


async def checks(parts: DashboardParts, query: Query) -> Context:
    """What is not well first. The check is that of /health/deep, and asked at most every few seconds."""
    report = await parts.checkup.look()
    rows = sorted(report.checks, key=lambda each: _RANK[each.status])
    return {
        "rows": rows,
        "looked_at": report.looked_at,
        "status": report.status,
        "unwell": sum(each.status != "ok" for each in rows),
    }


async def brokers(parts: DashboardParts, query: Query) -> Context:
    """Each venue as it was compared last."""
    return {"rows": parts.reconciliations(), "now": (await parts.status()).now}


async def analyst(parts: DashboardParts, query: Query) -> Context:
    """Who answered last, and why nobody better did."""
    known = parts.health().get("analyst")
    facts = known if isinstance(known, dict) else {}
    at = facts.get("at")
    return {
        "rung": facts.get("rung", "not known yet"),
        "says": facts.get("says", ""),
        "waiting": facts.get("waiting", 0),
        "at": datetime.fromisoformat(at) if isinstance(at, str) else None,
    }


async def versions(parts: DashboardParts, query: Query) -> Context:
    """What is installed, and since when it runs."""
    return {"rows": parts.versions, "started_at": (await parts.status()).started_at}


HEALTH: Final = Page(
    name="health",
    path="/checkup",
    title="Health",
    sections=(
        Section(name="health_checks", load=checks, quickest_s=5.0, slowest_s=5.0),
        Section(name="health_brokers", load=brokers, quickest_s=1.0, slowest_s=5.0),
        Section(name="health_analyst", load=analyst, quickest_s=1.0, slowest_s=5.0),
        Section(name="health_versions", load=versions, quickest_s=_DOES_NOT_MOVE_S, slowest_s=_DOES_NOT_MOVE_S),
    ),
)
