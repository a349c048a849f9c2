"""`botctl analyst replay`: recorded answers under other rules, or beside those of another model."""

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.commands.output import ProgressBar, check_writable, write_json
from bot.errors import UsageError

if TYPE_CHECKING:
    from bot.replay.analyst.recorded import Comparison, Decision
    from bot.replay.rules_report import Worth

_LINES: Final = 40


def replay_answers(
    *,
    recordings: Annotated[Path, Parameter(help="directory of recorded answers")],
    candles: Annotated[
        list[str],
        Parameter(
            help="the candles that were asked about, as SYMBOL:TIMEFRAME:FILE; may be repeated",
            negative="",
            consume_multiple=True,
        ),
    ],
    rules: Annotated[
        list[str] | None,
        Parameter(help="other limits as NAME=LIMIT, such as min_confidence=0.6", negative="", consume_multiple=True),
    ] = None,
    model: Annotated[str | None, Parameter(help="compare with the recorded answers of this model")] = None,
    of: Annotated[str | None, Parameter(help="whose answers; default: the model with the most recordings")] = None,
    always: Annotated[
        bool, Parameter(negative="", help="look at every candle, not only where the detector has a candidate")
    ] = False,
    json: Annotated[Path | None, Parameter(help="write the comparison to this file")] = None,
) -> None:
    """Decide recorded answers anew, under other rules or another model's: which decisions change, and by how much R."""
    from bot.config import find_env_file, load_settings
    from bot.replay.analyst.recorded import comparison_json
    from bot.wiring.analyst_exam import TrialOrder, candles_of, recordings_of, run_trial, trial_candles, with_rules

    check_writable(json)
    if rules is None and model is None:
        raise UsageError("nothing to compare: name other limits with --rules NAME=LIMIT, or another model with --model")
    settings = load_settings(os.environ, find_env_file(Path.cwd())).settings
    recorded = recordings_of(recordings)
    for each in (of, model):
        if each is not None and each not in recorded.models:
            raise UsageError(f"{recordings} has no recording of {each}; it has: {', '.join(recorded.models)}")
    first = of or next((each for each in recorded.models if each != model), recorded.models[0])
    order = TrialOrder(
        candles=[candles_of(each) for each in candles],
        model=first,
        other_model=model or first,
        other_settings=with_rules(settings, rules or ()),
        always=always,
    )
    found = trial_candles(settings, order)
    with ProgressBar("replay", "questions", sum(count for _, count in found)) as bar:
        features = [each for each, _ in found]
        comparison = asyncio.run(run_trial(settings, order, features, recorded.gateway, bar.done))
    if json is not None:
        write_json(json, comparison_json(comparison))
    names = (order.model, order.other_model if model else f"{first} with {', '.join(rules or ())}")
    show(comparison, names)


def show(found: "Comparison", names: tuple[str, str]) -> None:
    """The comparison as tables."""
    console = Console(file=sys.stdout)
    table = Table(title=f"{found.compared:,} recorded answers", title_justify="left", box=None, pad_edge=False)
    table.add_column("way", no_wrap=True)
    for heading in ("entries", "with R", "total R", "mean R", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, decisions, worth in zip(names, (found.before, found.after), found.worth, strict=True):
        table.add_row(name, f"{sum(each.enters is not None for each in decisions):,}", *_worth(worth))
    console.print(table)
    console.print(f"difference {found.difference_r:+.2f} R in {len(found.changes):,} changed decisions")
    if found.changes:
        console.print(_changes(found))
    if len(found.changes) > _LINES:
        console.print(f"{len(found.changes) - _LINES} more are left out; --json has them all")
    origins = ", ".join(f"{name} {count}" for name, count in found.origins.items()) or "none"
    console.print(
        f"answers by origin: {origins}; {found.not_answered:,} questions have no recorded answer", style="dim"
    )


def _changes(found: "Comparison") -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("candle closed (UTC)", "symbol", "before", "after"):
        table.add_column(heading, no_wrap=True)
    for each in found.changes[:_LINES]:
        table.add_row(f"{each.at:%Y-%m-%d %H:%M}", each.symbol, _decision(each.before), _decision(each.after))
    return table


def _decision(decision: "Decision") -> str:
    if decision.enters is None:
        return f"no entry ({decision.why})"
    return f"{decision.enters.value} {'open' if decision.r is None else f'{decision.r:+.2f} R'}"


def _worth(worth: "Worth") -> tuple[str, str, str, str]:
    if worth.mean is None:
        return "0", "-", "-", "-"
    interval = "-" if worth.low is None or worth.high is None else f"{worth.low:+.2f}..{worth.high:+.2f}"
    return f"{worth.n:,}", f"{worth.total:+.2f}", f"{worth.mean:+.3f}", interval
