"""`botctl detect`: every event that the detectors find in a file of candles, as a table, a file or a chart."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.commands.output import check_writable, write_json, write_whole
from bot.replay.detection import Detection, detect, detection_json, parse_what
from bot.replay.detection_words import counts, newest_lines

_NEWEST: Final = 15


def detect_command(
    *,
    candles: Annotated[Path, Parameter(help="CSV, CSV.GZ or Parquet with time, open, high, low, close, volume")],
    timeframe: Annotated[str, Parameter(help="length of the candles: 1m 5m 15m 30m 1h 4h 1d")],
    symbol: Annotated[
        str | None, Parameter(help="registered symbol: its market says which holes are scheduled; default: none counts")
    ] = None,
    first: Annotated[int, Parameter(name="--from", help="first candle to look at, counted from 0")] = 0,
    rows: Annotated[int | None, Parameter(help="how many candles to look at; default: all that follow")] = None,
    what: Annotated[
        str,
        Parameter(help="comma-separated: pivots, divergences, setups, fvgs, structure, sweeps, confluence; or all"),
    ] = "all",
    json: Annotated[Path | None, Parameter(help="write every event to this file")] = None,
    chart: Annotated[Path | None, Parameter(help="draw at most 400 candles with their events into this PNG")] = None,
) -> None:
    """Find pivots, divergences, setups, gaps, structure, sweeps and confluence; indices count from --from."""
    from bot.config import find_env_file, load_settings
    from bot.wiring.candle_files import read_any_candles, rows_of

    names = parse_what(what)
    for path in (json, chart):
        check_writable(path)
    settings = load_settings(os.environ, find_env_file(Path.cwd())).settings
    series = rows_of(read_any_candles(candles, timeframe, symbol), first, rows)
    if chart is not None:
        from bot.replay.chart import check_drawable

        check_drawable(series, chart)
    found = detect(series, settings.divergence, bandwidth_lookback=settings.validation.bandwidth_lookback)
    if json is not None:
        write_json(json, detection_json(found, names), indented=False)
    if chart is not None:
        from bot.replay.chart import draw

        title = f"{symbol or candles.name}, {timeframe}, candles {first} to {first + len(series) - 1}"
        write_whole(chart, draw(found, names, title))
    if json is None:
        _show(found, names)
    for path in (json, chart):
        if path is not None:
            print(f"written: {path}", file=sys.stderr)


def _show(found: Detection, names: Sequence[str]) -> None:
    console, series = Console(file=sys.stdout), found.series
    outer = f"{series.opened_at(0):%Y-%m-%d %H:%M} to {series.opened_at(len(series) - 1):%Y-%m-%d %H:%M} UTC"
    totals = Table(title=f"{len(series):,} candles of {series.timeframe}, {outer}", box=None, title_justify="left")
    totals.add_column("detector")
    totals.add_column("events")
    for name, text in counts(found, names).items():
        totals.add_row(name, text)
    console.print(totals)
    lines = newest_lines(found, names, _NEWEST)
    if not lines:
        console.print("No event in these candles.")
        return
    newest = Table(title="newest events, by the candle at whose close they were known", box=None, title_justify="left")
    for heading in ("candle", "closed (UTC)", "detector", "event"):
        newest.add_column(heading)
    for line in lines:
        closed = f"{series.closed_at(line.known_at):%Y-%m-%d %H:%M}"
        newest.add_row(str(line.known_at), closed, line.what, line.text)
    console.print(newest)
