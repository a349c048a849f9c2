"""`botctl replay`: the pipeline over a file of candles, summed up."""

import asyncio
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.commands.output import ProgressBar, check_writable, write_json
from bot.errors import UsageError
from bot.layer5_monitoring.journal import FileJournal, NoJournal


def replay(
    *,
    candles: Annotated[Path, Parameter(help="CSV, CSV.GZ or Parquet with time, open, high, low, close, volume")],
    symbol: Annotated[str, Parameter(help="a registered symbol, such as EUR_USD, BTC/USDT or AAPL")],
    timeframe: Annotated[str, Parameter(help="length of the candles: 1m 5m 15m 30m 1h 4h 1d")],
    strategy: Annotated[str, Parameter(help="name of the strategy")] = "divergence",
    json: Annotated[Path | None, Parameter(help="write the summary to this file")] = None,
    journal: Annotated[Path | None, Parameter(help="write one JSON line per decision to this file")] = None,
    balance: Annotated[Decimal | None, Parameter(help="starting balance, in the instrument's quote currency")] = None,
) -> None:
    """Run a strategy over recorded candles through the same pipeline as live trading, with simulated fills."""
    from bot.config import find_env_file, load_settings
    from bot.layer2_intelligence.strategies.catalogue import strategy_named
    from bot.wiring.replay import read_candles_of, replay_candles

    settings = load_settings(os.environ, find_env_file(Path.cwd())).settings
    strategy_named(strategy, settings)
    if balance is not None and balance <= 0:
        raise UsageError(f"--balance {balance} must be above 0")
    for path in (json, journal):
        check_writable(path)
    series = read_candles_of(candles, symbol, timeframe)
    with _journal(journal) as entries, ProgressBar("replay", "candles", len(series)) as bar:
        figures = asyncio.run(
            replay_candles(
                settings=settings,
                series=series,
                strategy=strategy,
                balance=balance or settings.risk.starting_balance,
                journal=entries,
                progress=bar.done,
            )
        )
    if json is not None:
        write_json(json, figures)
    _show(figures)


def _journal(path: Path | None) -> AbstractContextManager[FileJournal | NoJournal]:
    return nullcontext(NoJournal()) if path is None else FileJournal(path)


def _show(figures: dict[str, Any]) -> None:
    """The main figures as a table for a person."""
    console = Console(file=sys.stdout)
    table = Table(title=f"{figures['symbol']} {figures['timeframe']}: {figures['candles']:,} candles", box=None)
    table.add_column("figure")
    table.add_column("value", justify="right")
    drawdown, currency = f"{figures['max_drawdown']:.2%}", figures["currency"]
    rows: tuple[tuple[str, object], ...] = (
        ("signals", f"{figures['signals']:,}"),
        ("accepted / rejected by rules", f"{figures['accepted']:,} / {figures['rejected']:,}"),
        ("first failing rule", _counts(figures["rejected_by"])),
        ("refused by risk", _counts(figures["refused_by"]) or "0"),
        ("orders / fills", f"{figures['orders']:,} / {figures['fills']:,}"),
        ("positions (still open)", f"{figures['positions']:,} ({figures['open_positions']})"),
        ("exits", _counts(figures["exits"])),
        ("outcomes followed", f"{figures['outcomes']:,}"),
        (f"result after costs, {currency}", f"{figures['pnl']:,.2f} of {figures['starting_balance']:,.2f}"),
        ("mean R-multiple", figures["r_multiples"].get("mean", "no closed position")),
        ("deepest drawdown", drawdown),
        ("kill switch", figures["kill_switch"] or "not latched"),
    )
    for name, value in rows:
        table.add_row(name, str(value))
    console.print(table)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items(), key=lambda each: -each[1]))
