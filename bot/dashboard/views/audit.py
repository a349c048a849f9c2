"""The audit page: who did what, newest first, a page at a time; for admins."""

from typing import Final

from aiohttp import web

from bot.access import Scope
from bot.dashboard.parts import PARTS
from bot.dashboard.routes import get
from bot.dashboard.views.page import render
from bot.errors import UsageError

_SHOWN: Final = 50
_LONGEST: Final = 100
_MOST_DIGITS: Final = 18


async def audit_page(request: web.Request) -> web.Response:
    """`?who=` one person, `?what=` one kind of act, `?before=` older than a number. 400 for a number that is none."""
    who, what = (request.query.get(name, "").strip()[:_LONGEST] for name in ("who", "what"))
    before = _number(request.query.get("before", ""))
    found = await request.app[PARTS].stores.audit.page(_SHOWN + 1, before=before, who=who, what=what)
    shown = found[:_SHOWN]
    context = {
        "rows": shown,
        "who": who,
        "what": what,
        "older": {"who": who, "what": what, "before": shown[-1].number} if len(found) > _SHOWN else None,
        "is_newest": before is None,
    }
    return render(request, "audit.html", context)


def _number(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise UsageError(f"before {text[:20]!r} must be a whole number")
    return int(text)


AUDIT_ROUTES: Final = (get("/audit", audit_page, needs=Scope.ADMIN, name="audit"),)
