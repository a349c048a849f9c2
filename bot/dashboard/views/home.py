"""The first page."""

import aiohttp_jinja2
from aiohttp import web
from markupsafe import Markup

from bot.dashboard.parts import PARTS
from bot.dashboard.views.page import render
from bot.dashboard.views.sections import SECTIONS, Section


async def home(request: web.Request) -> web.Response:
    """Everything at a glance; complete without scripts."""
    filled = {section.name: Markup(await fill(request.app, section)) for section in SECTIONS}  # noqa: S704 - from templates that escape
    status = await request.app[PARTS].status()
    return render(request, "home.html", {"sections": filled, "status": status})


async def fill(app: web.Application, section: Section) -> str:
    """HTML of one section as it is now."""
    context = await section.load(app[PARTS])
    return app[aiohttp_jinja2.APP_KEY].get_template(f"sections/{section.name}.html").render(context)
