"""Every setting in force. Nothing is changed here: settings are read once, when the daemon starts."""

from itertools import groupby
from typing import Final

from bot.config import SettingInForce
from bot.dashboard.pages import Context, Page, Query, Section
from bot.dashboard.parts import DashboardParts

_LONGEST_SEARCH: Final = 100
_DOES_NOT_MOVE_S: Final = 3_600.0


async def settings(parts: DashboardParts, query: Query) -> Context:
    """Those asked for, by section."""
    asked = await asked_for(parts, query)
    found = [each for each in parts.configuration if _is_asked(each, str(asked["text"]), bool(asked["changed"]))]
    groups = [(name, list(members)) for name, members in groupby(found, key=lambda each: each.section)]
    return {"groups": groups, "found": len(found), "total": len(parts.configuration), **asked}


async def asked_for(parts: DashboardParts, query: Query) -> Context:
    """The filter."""
    return {"text": query.get("text", "")[:_LONGEST_SEARCH], "changed": query.get("changed") == "1"}


def _is_asked(setting: SettingInForce, text: str, changed: bool) -> bool:
    """Secrets are searched by name and meaning only: a search must not tell what stands behind the stars."""
    words = (setting.section, setting.name, setting.value, setting.meaning, setting.origin)
    return _plain(text) in _plain(" ".join(words)) and not (changed and setting.is_default)


def _plain(text: str) -> str:
    """A name is found as it is spoken, too: "quiet hours"."""
    return text.casefold().replace("_", " ")


CONFIG: Final = Page(
    name="config",
    path="/config",
    title="Config",
    sections=(Section(name="config_settings", load=settings, quickest_s=_DOES_NOT_MOVE_S, slowest_s=_DOES_NOT_MOVE_S),),
    query=("text", "changed"),
    load=asked_for,
)
