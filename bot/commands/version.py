"""`botctl version`: what is installed here."""

import platform

from bot.config.version import program_version


def version() -> None:
    """Show the version of the program and of Python."""
    print(f"trading-bot {program_version()}, Python {platform.python_version()}")
