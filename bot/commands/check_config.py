"""`botctl check-config`: every setting, its value and where it comes from; or what is wrong with them."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bot.config import Loaded, example_text, find_env_file, load_settings, misspelt_names, settings_in_force


def check_config(
    *,
    example: Annotated[bool, Parameter(negative="", help="Print the text of .env.example instead.")] = False,
) -> None:
    """Show every setting and where it comes from, secrets masked; or every fault, with exit code 3. Names in the
    environment that look misspelt are warnings."""
    if example:
        print(example_text(), end="")
        return
    env_file = find_env_file(Path.cwd())
    loaded = load_settings(os.environ, env_file)
    console = Console()
    console.print(_table(loaded))
    console.print(Text(f"All settings are valid. .env: {env_file or 'none'}; data: {loaded.data_directory}"))
    for each in misspelt_names(os.environ):
        print(f"warning: environment: {each}", file=sys.stderr)


def _table(loaded: Loaded) -> Table:
    table = Table("section", "name", "value", "origin", title="Settings")
    section = ""
    for setting in settings_in_force(loaded):
        if setting.section != section and section:
            table.add_section()
        shown = setting.section if setting.section != section else ""
        section = setting.section
        # Text, not str: a value in square brackets is not markup
        origin = Text(setting.origin, style="" if setting.is_default else "bold")
        table.add_row(shown, setting.name, Text(setting.value), origin)
    return table
