"""The newest lines of the log. They are kept in memory without secrets; all of them go to the daemon's output."""

from typing import Final

from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts
from bot.dashboard.views.asked import chosen, with_choice
from bot.layer5_monitoring.recent_log import LEVELS

_PATH: Final = "/log"
_SHOWN: Final = 200
_LONGEST_SEARCH: Final = 100
_STANDARD: Final = "INFO"


async def lines(parts: DashboardParts, query: Query) -> Context:
    """Newest first, as bad as asked for, with the text asked for."""
    asked, before = await asked_for(parts, query), chosen(query, "before", int)
    found = parts.log.newest(_SHOWN + 1, least=str(asked["level"]), holds=str(asked["text"]), before=before)
    rows = found[:_SHOWN]
    return {
        "rows": rows,
        "most": _SHOWN,
        "older": with_choice(query, before=str(rows[-1].number)) if len(found) > len(rows) else "",
        "newest": f"{_PATH}?{with_choice(query)}" if before is not None else "",
        **asked,
    }


async def asked_for(parts: DashboardParts, query: Query) -> Context:
    """The filter; a level that does not exist is the standard one."""
    level = query.get("level", _STANDARD).upper()
    return {
        "levels": LEVELS,
        "level": level if level in LEVELS else _STANDARD,
        "text": query.get("text", "")[:_LONGEST_SEARCH],
    }


LOG: Final = Page(
    name="log",
    path=_PATH,
    title="Log",
    sections=(Section(name="log_lines", load=lines, quickest_s=1.0, slowest_s=2.0),),
    query=("level", "text", "before"),
    load=asked_for,
)
