"""`botctl replay`: the pipeline over a file of candles, summed up."""

import asyncio
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bot.errors import StorageError, UsageError
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
        _check_writable(path)
    series = read_candles_of(candles, symbol, timeframe)
    with _journal(journal) as entries, _progress(len(series)) as bar:
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
        _write(json, orjson.dumps(figures, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    _show(figures)


class _Bar:
    """Tells a progress bar how many candles are done."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("candles", total=total)

    def done(self, count: int) -> None:
        """`count` candles are done."""
        self._progress.update(self._task, completed=count)

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def _progress(total: int) -> _Bar:
    """A bar with the time left on a terminal, nothing elsewhere."""
    columns = (
        TextColumn("replay"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} candles"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    return _Bar(Progress(*columns, console=console, transient=True, disable=not console.is_terminal), total)


def _journal(path: Path | None) -> AbstractContextManager[FileJournal | NoJournal]:
    return nullcontext(NoJournal()) if path is None else FileJournal(path)


def _check_writable(path: Path | None) -> None:
    if path is None:
        return
    if path.is_dir():
        raise UsageError(f"{path} is a directory; name a file in it")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: the directory {path.absolute().parent} does not exist; make it first")


def _write(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written ({error.strerror}); free some space or name another") from error


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
