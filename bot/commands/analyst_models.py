"""`botctl analyst models`: which models are set and known, whether the key reaches them, and until when."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bot.config import AnalystSettings
from bot.errors import AnalystUnavailable
from bot.layer2_intelligence.analyst.capabilities import CHECKED_ON
from bot.layer2_intelligence.analyst.model_report import ModelLine, model_lines

_ANSWER_WITHIN_S: Final = 20.0


def models() -> None:
    """Show each model: its role, price, what it refuses, whether the key reaches it, and when it retires."""
    from bot.clock import SystemClock
    from bot.config import find_env_file, load_settings

    settings = load_settings(os.environ, find_env_file(Path.cwd())).settings.analyst
    served = asyncio.run(served_models(settings)) if settings.anthropic_api_key else None
    show(model_lines(settings, SystemClock().now().date(), served), Console(file=sys.stdout))


async def served_models(settings: AnalystSettings) -> Sequence[Mapping[str, Any]]:
    """The models that the server lists for the key. Raises AnalystUnavailable."""
    from bot.layer2_intelligence.analyst.claude_client import ClaudeClient, Failed

    client = ClaudeClient(key=settings.anthropic_api_key, url=settings.anthropic_url)
    try:
        answer = await client.models(timeout_s=_ANSWER_WITHIN_S)
    finally:
        await client.close()
    if isinstance(answer, Failed):
        raise AnalystUnavailable(
            f"the list of models was not given ({answer.says}); check ANTHROPIC_API_KEY, try again"
        )
    rows = answer.body.get("data") if isinstance(answer.body, Mapping) else None
    if not isinstance(rows, list):
        raise AnalystUnavailable("the list of models has an unknown form; try again, or look for a newer version")
    return [each for each in rows if isinstance(each, Mapping)]


def show(lines: Sequence[ModelLine], console: Console) -> None:
    """One row for each model, then the warnings."""
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "role", "$/M in", "$/M out", "reachable", "retires", "refuses"):
        table.add_column(heading, no_wrap=heading != "refuses")
    for each in lines:
        table.add_row(each.model, each.role or "-", *_prices(each), _reachable(each), _retires(each), _refuses(each))
    console.print(table)
    if all(each.reachable is None for each in lines):
        console.print("No ANTHROPIC_API_KEY is set, so the server was not asked.", style="dim")
    console.print(f"Prices and what is refused: as published on {CHECKED_ON}.", style="dim")
    for warning in (said for each in lines for said in each.warnings):
        console.print(f"warning: {warning}", style="bold", markup=False, soft_wrap=True)


def _prices(line: ModelLine) -> tuple[str, str]:
    if line.traits is None:
        return "?", "?"
    return f"{line.traits.price.input:f}", f"{line.traits.price.output:f}"


def _reachable(line: ModelLine) -> str:
    return {None: "not asked", True: "yes", False: "no"}[line.reachable]


def _retires(line: ModelLine) -> str:
    if line.retires_on is not None:
        return line.retires_on.isoformat()
    if line.traits is not None and line.traits.retires_not_before is not None:
        return f"any day after {line.traits.retires_not_before}"
    return "no date"


def _refuses(line: ModelLine) -> str:
    return ", ".join(line.traits.refuses) if line.traits else "?"
