"""The users page: who may come in, as what; for admins."""

from typing import Final

from aiohttp import web

from bot.access import Role, Scope
from bot.dashboard.audit import audit
from bot.dashboard.forms import posted
from bot.dashboard.parts import PARTS
from bot.dashboard.people import PEOPLE
from bot.dashboard.routes import get, post
from bot.dashboard.sessions import SESSION
from bot.dashboard.views.page import render
from bot.errors import NotFound, UsageError

_TOKENS: Final = 100
_ACTS: Final = ("add", "role", "disable", "enable", "reset", "second-factor", "sessions")


async def users(request: web.Request) -> web.Response:
    """Everybody, and every token."""
    return await _page(request)


async def change(request: web.Request) -> web.StreamResponse:
    """Carry one act out. 200 with a password to hand over, 303 back to the page, 400 with the reason."""
    act, form = request.match_info["act"], await posted(request)
    name, role = str(form.get("name", "")), str(form.get("role", ""))
    if act not in _ACTS:
        raise web.HTTPNotFound
    audit(request, f"user {act}", f"{name} {role}".strip())
    try:
        made = await _done(request, act, name, role)
    except (UsageError, NotFound) as error:
        return await _page(request, error=str(error), status=400)
    if made:
        return await _page(request, made=made, made_for=name.strip().lower())
    raise web.HTTPSeeOther("/users")


async def _done(request: web.Request, act: str, name: str, role: str) -> str:
    """A password for the first login, if one was made."""
    people = request.app[PEOPLE]
    match act:
        case "add":
            return (await people.add(name, _role(role)))[1]
        case "reset":
            return await people.reset(name)
        case "role":
            await people.set_role(name, _role(role))
        case "disable" | "enable":
            await people.set_enabled(name, act == "enable")
        case "second-factor":
            await people.remove_second_factor(name)
        case "sessions":
            await people.end_sessions((await people.get(name)).name)
    return ""


async def _page(
    request: web.Request, *, error: str = "", made: str = "", made_for: str = "", status: int = 200
) -> web.Response:
    parts = request.app[PARTS]
    now = parts.clock.now()
    context = {
        "people": await parts.stores.users.all(),
        "tokens": await parts.stores.tokens.recent(_TOKENS),
        "roles": list(Role),
        "now": now,
        "elevated": request[SESSION].is_elevated(now),
        "error": error,
        "made": made,
        "made_for": made_for,
    }
    return render(request, "users.html", context, status=status)


def _role(word: str) -> Role:
    try:
        return Role(word)
    except ValueError:
        raise UsageError(f"{word[:20]!r} is no role; choose among {', '.join(Role)}") from None


USERS_ROUTES: Final = (
    get("/users", users, needs=Scope.ADMIN, name="users"),
    post("/users/{act}", change, needs=Scope.ADMIN, steps_up=True),
)
