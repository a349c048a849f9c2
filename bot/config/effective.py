"""The settings in force, as they may be shown to anybody who may log in: what is secret is hidden here, not later."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.config.environment import Loaded
from bot.config.sections import Settings
from bot.config.setting import Setting, all_settings, sections, value_text


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingInForce:
    """One setting with its value of now, masked. `origin` says who gave it, `about` what its section is for."""

    section: str
    about: str
    name: str
    value: str
    default: str
    origin: str
    accepts: str
    meaning: str
    is_secret: bool

    @property
    def is_default(self) -> bool:
        """Nobody has set it."""
        return self.origin == "default"


def settings_in_force(loaded: Loaded, in_force: Settings | None = None) -> Sequence[SettingInForce]:
    """All of them, in the order of the sections. `in_force`: as the mode has changed them, if it did."""
    settings = loaded.settings if in_force is None else in_force
    return tuple(_shown(each, loaded, settings) for each in all_settings())


def _shown(setting: Setting, loaded: Loaded, in_force: Settings) -> SettingInForce:
    value, written = setting.value(in_force), setting.value(loaded.settings)
    origin = loaded.origins[setting.name]
    if value != written:
        origin = f"MODE={in_force.run.mode}, instead of {setting.masked(value_text(written))} ({origin})"
    return SettingInForce(
        section=setting.section,
        about=sections()[setting.section].__doc__ or "",
        name=setting.name,
        value=setting.masked(value_text(value)),
        default=setting.masked(setting.default),
        origin=origin,
        accepts=setting.accepts,
        meaning=setting.meaning,
        is_secret=setting.secrecy is not None,
    )
