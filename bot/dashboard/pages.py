"""Pages made of sections: the same code fills the first answer and the live updates.

A page is one template (`templates/pages/NAME.html`) and its sections (`templates/sections/SECTION.html` each).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

import aiohttp_jinja2
from aiohttp import web
from markupsafe import Markup

from bot.access import Scope
from bot.dashboard.parts import PARTS, DashboardParts
from bot.dashboard.routes import Handler, Route, get
from bot.dashboard.views.page import render
from bot.dashboard.views.state import state_of

Query = Mapping[str, str]  # what the address asks for, of the names in `Page.query`
Context = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One part of a page: `name` is its element and its template.

    While someone watches, it is read again `quickest_s` after the last time if something happened, and after
    `slowest_s` in any case.
    """

    name: str
    load: Callable[[DashboardParts, Query], Awaitable[Context]]
    quickest_s: float = 1.0
    slowest_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One address. `query` names the parameters of the address that its sections read.

    `load` adds what does not move: it is read once for each answer, before the sections. A page with `in_menu` false is
    reached from another one.
    """

    name: str
    path: str
    title: str
    sections: Sequence[Section]
    needs: Scope = Scope.READ
    query: Sequence[str] = ()
    in_menu: bool = True
    load: Callable[[DashboardParts, Query], Awaitable[Context]] | None = None

    def asked(self, request: web.Request) -> Query:
        """The parameters of this page that the address has."""
        return {name: request.query[name] for name in self.query if name in request.query}

    @property
    def moving(self) -> Sequence[Section]:
        """What its stream brings: its sections, and the state at the top of every page."""
        return (STATE, *self.sections)

    def route(self) -> Route:
        """Its place in the table of routes."""
        return get(self.path, _shows(self), needs=self.needs, name=self.name)


def _shows(page: Page) -> Handler:
    async def show(request: web.Request) -> web.Response:
        """The page with all its sections as they are now. 404 and 400 as its sections raise them."""
        parts, query = request.app[PARTS], page.asked(request)
        more = await page.load(parts, query) if page.load else {}
        filled = {each.name: Markup(await fill(request.app, each, query)) for each in page.sections}  # noqa: S704 - from templates that escape
        stream = f"/events?{urlencode({'page': page.name, **query})}"
        context = {
            "page": page,
            "query": query,
            "stream": stream,
            "sections": filled,
            "status": await parts.status(),
            **more,
        }
        return render(request, f"pages/{page.name}.html", context)

    return show


async def fill(app: web.Application, section: Section, query: Query) -> str:
    """HTML of one section as it is now."""
    context = await section.load(app[PARTS], query)
    template = app[aiohttp_jinja2.APP_KEY].get_template(f"sections/{section.name}.html")
    return template.render({"query": query, **context})


async def _state(parts: DashboardParts, query: Query) -> Context:
    return state_of(parts)


STATE: Final = Section(name="state", load=_state, quickest_s=0.5, slowest_s=1.0)
PAGES: Final = web.AppKey("pages", Mapping[str, Page])
