"""The text of `.env.example`, made from the sections, so that it cannot lag behind them."""

from collections.abc import Iterator
from itertools import groupby
from textwrap import wrap
from typing import Final

from bot.config.setting import Setting, all_settings, sections

_HEAD: Final = """\
# Every setting, with its default. Copy this file to `.env` and take the "# " off the lines you change.
# The environment wins over `.env`; an empty value means the default. `./botctl check-config` shows what is in force.
# Made from bot/config/sections.py by `./botctl check-config --example > .env.example`: change it there.
"""
_WIDTH: Final = 120


def example_text() -> str:
    """All sections with their settings commented out: meaning, what is accepted, `NAME=default`."""
    parts = [_HEAD]
    for section, members in groupby(all_settings(), key=lambda each: each.section):
        parts.append(f"\n# {'-' * 20} {section}: {sections()[section].__doc__}\n")
        parts.extend("\n" + "\n".join(_lines(each)) + "\n" for each in members)
    return "".join(parts)


def _lines(setting: Setting) -> Iterator[str]:
    yield from (f"# {line}" for line in wrap(f"{setting.meaning} ({setting.accepts})", _WIDTH - 2))
    yield f"# {setting.name}={setting.default}"
