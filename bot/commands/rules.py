"""`botctl rules report`: how often each rule rejects, and what its rejections saved or cost."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.commands.output import ProgressBar, check_writable, write_json
from bot.errors import UsageError
from bot.replay.rules_report import (
    FollowedSignal,
    RulesReport,
    SignalCollector,
    Worth,
    read_journal,
    report_json,
    rules_report,
)


def rules(
    action: Annotated[Literal["report"], Parameter(help="report: the only one so far")],
    /,
    *,
    candles: Annotated[Path | None, Parameter(help="replay these candles: CSV, CSV.GZ or Parquet")] = None,
    symbol: Annotated[str | None, Parameter(help="their registered symbol")] = None,
    timeframe: Annotated[str | None, Parameter(help="their length: 1m 5m 15m 30m 1h 4h 1d")] = None,
    strategy: Annotated[str, Parameter(help="whose signals are judged in the replay")] = "divergence",
    journal: Annotated[Path | None, Parameter(help="read a file of replay --journal instead of replaying")] = None,
    json: Annotated[Path | None, Parameter(help="write the report to this file")] = None,
) -> None:
    """Count what each rule rejects and, by switching it off alone, what that saved or cost in R."""
    check_writable(json)
    if (journal is None) == (candles is None):
        raise UsageError("rules report needs either --candles with --symbol and --timeframe, or --journal; name one")
    if journal is not None:
        signals = _of_journal(journal)
    elif candles is not None and symbol is not None and timeframe is not None:
        signals = _of_replay(candles, symbol, timeframe, strategy)
    else:
        raise UsageError("rules report --candles needs --symbol and --timeframe too")
    report = rules_report(signals)
    if json is not None:
        write_json(json, report_json(report))
    _show(report)


def _of_journal(path: Path) -> list[FollowedSignal]:
    try:
        with path.open("rb") as lines:
            return read_journal(lines, str(path))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror}); check the path and its rights") from error


def _of_replay(candles: Path, symbol: str, timeframe: str, strategy: str) -> list[FollowedSignal]:
    from bot.config import find_env_file, load_settings
    from bot.layer2_intelligence.strategies.catalogue import strategy_named
    from bot.wiring.replay import read_candles_of, replay_candles

    settings = load_settings(os.environ, find_env_file(Path.cwd())).settings
    strategy_named(strategy, settings)
    series, collector = read_candles_of(candles, symbol, timeframe), SignalCollector()
    with ProgressBar("replay", "candles", len(series)) as bar:
        asyncio.run(
            replay_candles(
                settings=settings,
                series=series,
                strategy=strategy,
                balance=settings.risk.starting_balance,
                journal=collector,
                progress=bar.done,
            )
        )
    return list(collector.signals.values())


def _show(report: RulesReport) -> None:
    console = Console(file=sys.stdout)
    title = f"{report.signals:,} signals, {report.accepted_count:,} accepted, {report.rejected_count:,} rejected"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("no", justify="right")
    table.add_column("rule", no_wrap=True)
    for heading in ("first", "any", "alone", "with R", "mean R", "95 % interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("it", no_wrap=True)
    for row in report.rules:
        counts = (f"{each:,}" for each in (row.first, row.any, row.alone))
        table.add_row(row.code, row.name, *counts, *_worth(row.worth), row.verdict)
    table.add_section()
    table.add_row("", "accepted", "", "", f"{report.accepted_count:,}", *_worth(report.accepted), "")
    table.add_row("", "rejected", "", "", f"{report.rejected_count:,}", *_worth(report.rejected), "")
    console.print(table)
    console.print(
        "first: it named the rejection; any: it failed at all; alone: every other rule passed, so these signals would "
        "be traded without it; with R: so many of them have been followed to their end. R: stop or nearest target, "
        "after the spread, before commission. saved, cost: the interval excludes 0; of 20 rules one does so by chance.",
        style="dim",
    )


def _worth(worth: Worth) -> tuple[str, str, str]:
    if worth.mean is None:
        return "0", "-", "-"
    interval = "-" if worth.low is None or worth.high is None else f"{worth.low:+.2f}..{worth.high:+.2f}"
    return f"{worth.n:,}", f"{worth.mean:+.3f}", interval
