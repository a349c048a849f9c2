"""Alerts: what waits for somebody, how people are told, and what they were told."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from aiohttp import web

from bot.alerts import Delivery, DeliveryState, Way
from bot.dashboard.audit import audit
from bot.dashboard.forms import posted
from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import PARTS, DashboardParts
from bot.dashboard.routes import PRINCIPAL
from bot.errors import UsageError

_SHOWN: Final = 50
_LOOK_BACK: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class WayRow:
    """One way to people: as it is set, and what came of it lately."""

    way: Way
    sent: Delivery | None
    trouble: Delivery | None

    @property
    def state(self) -> str:
        """In a word; what failed last decides, until something is sent again."""
        if not self.way.is_set:
            return "off"
        if self.trouble is not None and (self.sent is None or self.sent.at < self.trouble.at):
            return "failing"
        return "works" if self.sent is not None else "not used yet"

    @classmethod
    def of(cls, way: Way, newest: Sequence[Delivery]) -> "WayRow":
        """The row of `way`, among the newest deliveries of each state."""
        ours = [each for each in newest if way.channel is not None and each.channel is way.channel]
        troubles = [each for each in ours if each.state in (DeliveryState.FAILED, DeliveryState.UNKNOWN)]
        return cls(
            way=way,
            sent=next((each for each in ours if each.state is DeliveryState.SENT), None),
            trouble=max(troubles, key=lambda each: each.at, default=None),
        )


async def unsettled(parts: DashboardParts, query: Query) -> Context:
    """What lasts or waits; times are those of people, not of the market."""
    now = parts.clock.now()
    found = await parts.stores.alerts.unsettled(_SHOWN)
    return {
        "rows": [(each, (now - each.raised_at).total_seconds()) for each in found],
        "waiting": sum(each.waits for each in found),
        "most": _SHOWN,
    }


async def ways(parts: DashboardParts, query: Query) -> Context:
    """Who is told by which way, and until when that is held back."""
    now = parts.clock.now()
    newest = await parts.stores.alerts.last_deliveries(now - _LOOK_BACK)
    muted_until = (await parts.stores.alerts.state()).muted_until
    return {
        "rows": [WayRow.of(each, newest) for each in parts.ways],
        "muted_until": muted_until if muted_until is not None and muted_until > now else None,
        "days": _LOOK_BACK.days,
    }


async def history(parts: DashboardParts, query: Query) -> Context:
    """What was told, newest first, a page at a time."""
    after = query.get("older_than", "")
    found = await parts.stores.alerts.recent(_SHOWN + 1, older_than=after)
    shown = found[:_SHOWN]
    return {"rows": shown, "older": shown[-1].id if len(found) > _SHOWN else "", "is_first": not after}


async def acknowledge(request: web.Request) -> web.Response:
    """Take note of one alert, or of `all` that wait. 303 back; 400 without one, 403 a form not ours, 404 if unknown."""
    parts = request.app[PARTS]
    wanted = str((await posted(request)).get("alert", ""))
    audit(request, "alert taken note of", wanted)
    if not wanted:
        raise UsageError("which alert? the form names one, or all")
    chosen = [wanted]
    if wanted == "all":
        chosen = [each.id for each in await parts.stores.alerts.unsettled(_SHOWN) if each.waits]
    for each in chosen:
        await parts.stores.alerts.acknowledge(each, by=request[PRINCIPAL].name, at=parts.clock.now())
    raise web.HTTPSeeOther("/alerts")


ALERTS: Final = Page(
    name="alerts",
    path="/alerts",
    title="Alerts",
    sections=(
        Section(name="alerts_unsettled", load=unsettled, quickest_s=1.0, slowest_s=2.0),
        Section(name="alerts_ways", load=ways, quickest_s=5.0, slowest_s=10.0),
        Section(name="alerts_history", load=history, quickest_s=1.0, slowest_s=5.0),
    ),
    query=("older_than",),
)
