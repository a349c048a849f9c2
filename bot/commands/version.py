"""`botctl version`: what is installed here."""

import platform
import tomllib
from importlib import metadata

from bot.config import project_directory


def version() -> None:
    """Show the version of the program and of Python."""
    print(f"trading-bot {program_version()}, Python {platform.python_version()}")


def program_version() -> str:
    """Version of the checkout, or of the installed package."""
    project_file = project_directory() / "pyproject.toml"
    if not project_file.is_file():
        return metadata.version("trading-bot")
    return str(tomllib.loads(project_file.read_text(encoding="utf-8"))["project"]["version"])
