"""What every page shares: the frame, and the page of an error."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import aiohttp_jinja2
from aiohttp import web

from bot.access import Scope
from bot.dashboard.parts import PARTS
from bot.dashboard.routes import PRINCIPAL
from bot.dashboard.sessions import SESSION
from bot.dashboard.views.state import state_of

_WORDS: Final = {
    400: "The address or the form is not right. Go back and try again.",
    401: "Log in first.",
    403: "Your role does not allow this, or the request did not come from our own page, or its form is too old. Go "
    "back, reload and try again.",
    404: "There is nothing at this address. It may be too old to be kept.",
    405: "This address does not take that kind of request.",
    409: "That cannot be done any more, or has changed meanwhile. Go back and look at what holds now.",
    413: "That is more than this page takes.",
    429: "Too many tries. Wait a little.",
    503: "The database does not answer, so this page cannot be shown. Stops rest at the venue and stay there; the "
    "daemon opens nothing new until it is back. Reload in a few seconds.",
}
_THEMES: Final = ("light", "dark")
_OTHERWISE: Final = "Something went wrong on our side. It is written in the log. Trading does not depend on this page."


@dataclass(frozen=True, slots=True, kw_only=True)
class MenuEntry:
    """One page of the menu."""

    path: str
    title: str
    needs: Scope


MENU: Final = web.AppKey("menu", Sequence[MenuEntry])


def render(request: web.Request, template: str, context: Mapping[str, object], *, status: int = 200) -> web.Response:
    """A page for whoever is logged in, if anyone is."""
    reader = request.get(PRINCIPAL)
    frame = {
        "session": request.get(SESSION),
        "reader": reader,
        "may": " ".join(sorted(reader.scopes)) if reader else "",
        "path": request.path,
        "menu": _menu(request),
        "theme": theme if (theme := request.cookies.get("theme")) in _THEMES else "",
        **state_of(request.app[PARTS]),
    }
    return aiohttp_jinja2.render_template(template, request, {**frame, **context}, status=status)


def _menu(request: web.Request) -> list[MenuEntry]:
    """The pages that this reader may open."""
    reader = request.get(PRINCIPAL)
    return [each for each in request.app[MENU] if reader and reader.may(each.needs)]


def error_page(request: web.Request, status: int) -> web.Response:
    """A page that says what to do next, and nothing of what happened inside."""
    known = status in {each.value for each in HTTPStatus}
    title = HTTPStatus(status).phrase if known else "Error"
    words = _WORDS.get(status, _OTHERWISE)
    return render(request, "error.html", {"title": title, "status": status, "words": words}, status=status)


def step_up_page(request: web.Request) -> web.Response:
    """Asks for password and code first; what was sent has to be sent again."""
    return render(request, "step_up_first.html", {}, status=403)
