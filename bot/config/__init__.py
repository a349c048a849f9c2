"""Settings: every one with its unit, bounds and meaning. The environment (or `.env`) is read once, here.

`sections` says what can be set, `setting` how one of them is described and masked, `environment` reads the values,
`example` writes `.env.example`.
"""

from bot.config.alerts import AlertSettings
from bot.config.analyst import AnalystSettings
from bot.config.dashboard import MIN_PASSWORD_LENGTH, DashboardSettings, SeededUser
from bot.config.effective import SettingInForce, settings_in_force
from bot.config.environment import Loaded, find_env_file, load_settings, misspelt_names, project_directory
from bot.config.example import example_text
from bot.config.section import Secrecy, Section
from bot.config.sections import (
    DevSettings,
    DivergenceSettings,
    ExitSettings,
    OutcomeSettings,
    RiskSettings,
    RunSettings,
    ScheduleSettings,
    Settings,
    TaskSettings,
    ValidationSettings,
)
from bot.config.setting import Setting, all_settings, mask_url_passwords, secret_values
from bot.config.venues import VENUES, VenueSettings

__all__ = [
    "MIN_PASSWORD_LENGTH",
    "VENUES",
    "AlertSettings",
    "AnalystSettings",
    "DashboardSettings",
    "DevSettings",
    "DivergenceSettings",
    "ExitSettings",
    "Loaded",
    "OutcomeSettings",
    "RiskSettings",
    "RunSettings",
    "ScheduleSettings",
    "Secrecy",
    "Section",
    "SeededUser",
    "Setting",
    "SettingInForce",
    "Settings",
    "TaskSettings",
    "ValidationSettings",
    "VenueSettings",
    "all_settings",
    "example_text",
    "find_env_file",
    "load_settings",
    "mask_url_passwords",
    "misspelt_names",
    "project_directory",
    "secret_values",
    "settings_in_force",
]
