"""`botctl doctor`: is everything there that a start needs, and what to do where it is not."""

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

from bot.commands.status import NoDaemon, find_daemon
from bot.config import Loaded, find_env_file, load_settings, misspelt_names
from bot.instruments import default_registry

if TYPE_CHECKING:
    from bot.wiring.doctor import Check

EXIT_FINDING: Final = 4
_STYLES: Final = {"ok": "green", "warn": "yellow", "fail": "bold red"}


def doctor(
    *,
    as_json: Annotated[bool, Parameter(name="--json", negative="", help='Print {"checks": [...]}.')] = False,
    data: Annotated[str | None, Parameter(help="Data directory; default: DATA_DIRECTORY.")] = None,
    mode: Annotated[str | None, Parameter(help="Check for this mode instead of MODE: dev, paper or live.")] = None,
) -> int:
    """Check settings, disk, database, the ways to people, backups and every venue that has a key. Exit code 4 if
    something wants attention."""
    given = {name: value for name, value in (("DATA_DIRECTORY", data), ("MODE", mode)) if value is not None}
    loaded = load_settings(os.environ, find_env_file(Path.cwd()), command_line=given)
    checks = asyncio.run(_checks(loaded))
    if as_json:
        print(json.dumps({"checks": [asdict(each) for each in checks]}, indent=2))
    else:
        show_checks(checks)
    return EXIT_FINDING if any(each.status != "ok" for each in checks) else 0


async def _checks(loaded: Loaded) -> "Sequence[Check]":
    from bot.clock import SystemClock
    from bot.wiring.doctor import database_check, machine_checks
    from bot.wiring.doctor_people import people_checks
    from bot.wiring.venues import venue_checks

    clock = SystemClock()
    machine = [*_environment_checks(), *machine_checks(loaded), await database_check(loaded)]
    people = await people_checks(loaded, clock, daemon_runs=_daemon_runs(loaded))  # first: clocks are compared after it
    return [*machine, *people, *await venue_checks(loaded, default_registry(), clock)]


def _environment_checks() -> "Sequence[Check]":
    """One for each name in the environment that is nearly one of ours; none where there is none."""
    from bot.wiring.doctor import Check

    step, misspelt = "correct the name, or remove it; it changes nothing as it is", misspelt_names(os.environ)
    return [Check(name="environment", status="warn", detail=each, next_step=step) for each in misspelt]


def _daemon_runs(loaded: Loaded) -> bool:
    try:
        find_daemon(loaded.data_directory)
    except NoDaemon:
        return False
    return True


def show_checks(checks: "Sequence[Check]") -> None:
    """The findings as a table, and how many want attention."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("", "check", "what was found", "next step")
    for each in checks:
        cells = (each.name, each.detail, each.next_step)
        table.add_row(Text(each.status, style=_STYLES[each.status]), *(Text(cell) for cell in cells))
    console = Console(width=None if os.isatty(1) else 160)
    console.print(table)
    count = sum(each.status != "ok" for each in checks)
    console.print("Nothing wants attention." if not count else f"{count} of {len(checks)} checks want attention.")
