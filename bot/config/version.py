"""Which version of the program this is."""

import tomllib
from importlib import metadata

from bot.config.environment import project_directory


def program_version() -> str:
    """Version of the checkout, or of the installed package."""
    project_file = project_directory() / "pyproject.toml"
    if not project_file.is_file():
        return metadata.version("trading-bot")
    return str(tomllib.loads(project_file.read_text(encoding="utf-8"))["project"]["version"])
