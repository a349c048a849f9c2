"""The account page: one's own password, second factor, sessions and tokens."""

from collections.abc import Mapping
from typing import Final

from aiohttp import web

from bot.access import Scope
from bot.dashboard.audit import audit
from bot.dashboard.cookies import cookie
from bot.dashboard.factors import FACTORS, NewFactor
from bot.dashboard.forms import posted
from bot.dashboard.parts import PARTS
from bot.dashboard.people import PEOPLE
from bot.dashboard.routes import PRINCIPAL, get, post
from bot.dashboard.second_factor import address_of, picture_of
from bot.dashboard.sessions import SESSION, digest
from bot.dashboard.tokens import DEFAULT_DAYS, LONGEST_LABEL, MOST_DAYS, TOKEN_DESK
from bot.dashboard.views.login import raise_session
from bot.dashboard.views.page import render
from bot.errors import DataError, UsageError

_TOKENS: Final = 50
_OLD_FORM: Final = "That form is too old or not ours. Set up the second factor again."


async def account(request: web.Request) -> web.Response:
    """Everything about oneself."""
    return await _page(request)


async def change_password(request: web.Request) -> web.StreamResponse:
    """A new password; every other session ends, this one goes on under a new token. 303, or 400 with the reason."""
    form = await posted(request)
    audit(request, "password changed")
    if str(form.get("new", "")) != str(form.get("again", "")):
        return await _page(request, error="The two passwords are not the same. Nothing was changed.", status=400)
    token = cookie(request, "session")
    try:
        await request.app[PEOPLE].set_password(request[SESSION].user, str(form.get("new", "")), keeps=digest(token))
    except UsageError as error:
        return await _page(request, error=str(error), status=400)
    response = web.Response(status=303, headers={"Location": "/account"})
    await raise_session(request, response)
    return response


async def begin_second_factor(request: web.Request) -> web.Response:
    """Show a new seed. Nothing is kept until its first code comes back."""
    audit(request, "second factor begun")
    return _factor_page(request, request.app[FACTORS].begin(request[SESSION].user))


async def finish_second_factor(request: web.Request) -> web.StreamResponse:
    """Keep it if the code is right, and show the recovery codes once. 400 for a wrong code."""
    form, user = await posted(request), request[SESSION].user
    audit(request, "second factor set up")
    try:
        factor = request.app[FACTORS].again(user, str(form.get("sealed", "")))
    except DataError:
        return await _page(request, error=_OLD_FORM, status=400)
    codes = await request.app[FACTORS].finish(user, factor, str(form.get("code", "")))
    if not codes:
        error = (
            "That is not the code of this moment. Look that the clock of your phone is right, then try the next one."
        )
        return _factor_page(request, factor, error=error, status=400)
    response = render(request, "recovery_codes.html", {"codes": codes})
    await raise_session(request, response)
    return response


async def remove_second_factor(request: web.Request) -> web.StreamResponse:
    """From now on the password alone is asked for."""
    audit(request, "second factor removed")
    await request.app[PEOPLE].remove_second_factor(request[SESSION].user)
    raise web.HTTPSeeOther("/account")


async def end_sessions(request: web.Request) -> web.StreamResponse:
    """End one of one's sessions, or all but this one."""
    session_id = str((await posted(request)).get("session", ""))
    audit(request, "sessions ended", session_id or "all others")
    keeps = None if session_id else digest(cookie(request, "session"))
    await request.app[PEOPLE].end_sessions(request[SESSION].user, keeps=keeps, only_id=session_id)
    raise web.HTTPSeeOther("/account")


async def create_token(request: web.Request) -> web.StreamResponse:
    """Make a token and show it, once. 400 with the reason."""
    form = await posted(request)
    label, words = str(form.get("label", "")).strip(), [str(each) for each in form.getall("scope", [])]
    audit(request, "token created", f"{label} {' '.join(words)}")
    try:
        owner = await request.app[PEOPLE].get(request[SESSION].user)
        days = _whole(str(form.get("days", DEFAULT_DAYS)))
        _, text = await request.app[TOKEN_DESK].create(
            owner, label=label, scopes=[_scope(each) for each in words], days=days
        )
    except UsageError as error:
        return await _page(request, error=str(error), status=400)
    return await _page(request, new_token=text)


async def revoke_token(request: web.Request) -> web.StreamResponse:
    """End a token of one's own; an admin any. 404 for one that is not there for this person."""
    form, parts = await posted(request), request.app[PARTS]
    token_id = str(form.get("token", ""))
    audit(request, "token revoked", token_id)
    token = await parts.stores.tokens.get(token_id)
    is_own = token is not None and token.user == request[SESSION].user
    if not is_own and not request[PRINCIPAL].may(Scope.ADMIN):
        raise web.HTTPNotFound
    await parts.stores.tokens.revoke(token_id, parts.clock.now())
    raise web.HTTPSeeOther("/account" if is_own else "/users")


async def _page(request: web.Request, *, error: str = "", new_token: str = "", status: int = 200) -> web.Response:
    parts, session = request.app[PARTS], request[SESSION]
    context: Mapping[str, object] = {
        "person": await request.app[PEOPLE].get(session.user),
        "codes_left": await parts.stores.users.recovery_codes_left(session.user),
        "sessions": await parts.stores.sessions.of(session.user),
        "tokens": await parts.stores.tokens.recent(_TOKENS, user=session.user),
        "now": parts.clock.now(),
        "elevated": session.is_elevated(parts.clock.now()),
        "scopes": [each for each in Scope if each in session.role.scopes],
        "days": DEFAULT_DAYS,
        "most_days": MOST_DAYS,
        "longest_label": LONGEST_LABEL,
        "error": error,
        "new_token": new_token,
    }
    return render(request, "account.html", context, status=status)


def _factor_page(request: web.Request, factor: NewFactor, *, error: str = "", status: int = 200) -> web.Response:
    name = request[SESSION].user
    context = {
        "picture": picture_of(factor.seed, name),
        "address": address_of(factor.seed, name),
        "seed": " ".join(factor.seed[at : at + 4] for at in range(0, len(factor.seed), 4)),
        "sealed": factor.sealed,
        "error": error,
    }
    return render(request, "second_factor.html", context, status=status)


def _scope(word: str) -> Scope:
    try:
        return Scope(word)
    except ValueError:
        raise UsageError(f"{word[:20]!r} is no scope; choose among {', '.join(Scope)}") from None


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5):
        raise UsageError(f"{text[:20]!r} is no number of days; choose 1 to {MOST_DAYS}")
    return int(text)


ACCOUNT_ROUTES: Final = (
    get("/account", account, name="account"),
    post("/account/password", change_password, needs=Scope.READ, steps_up=True),
    post("/account/second-factor/begin", begin_second_factor, needs=Scope.READ, steps_up=True),
    post("/account/second-factor/finish", finish_second_factor, needs=Scope.READ, steps_up=True),
    post("/account/second-factor/remove", remove_second_factor, needs=Scope.READ, steps_up=True),
    post("/account/sessions/end", end_sessions, needs=Scope.READ),
    post("/account/tokens/create", create_token, needs=Scope.READ, steps_up=True),
    post("/account/tokens/revoke", revoke_token, needs=Scope.READ),
)
