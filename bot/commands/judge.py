"""`botctl judge`: a signal written by hand, held against candles by all 27 rules."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from bot.commands.output import check_writable, read_whole, write_json
from bot.commands.verdict_table import claim_table, rules_table
from bot.models import Verdict, Vetoed


def judge_command(
    *,
    signal: Annotated[Path, Parameter(help="JSON with signal, quote, instrument and settings (docs/signals.md)")],
    candles: Annotated[Path, Parameter(help="CSV, CSV.GZ or Parquet with time, open, high, low, close, volume")],
    timeframe: Annotated[str, Parameter(help="length of the candles: 1m 5m 15m 30m 1h 4h 1d")],
    until: Annotated[int, Parameter(help="newest candle of the snapshot, counted from 0")],
    rows: Annotated[int, Parameter(help="how many candles the snapshot has")] = 400,
    json: Annotated[Path | None, Parameter(help="write the answer to this file")] = None,
) -> None:
    """Judge a hand-written signal; whatever it holds, the answer is a verdict. Exit code 0 for yes and for no."""
    from bot.config import find_env_file, load_settings
    from bot.instruments import default_registry
    from bot.replay.judging import answer, parse_question, snapshot, true_prices, verdict_json
    from bot.wiring.candle_files import read_candles_as

    check_writable(json)
    settings = load_settings(os.environ, find_env_file(Path.cwd())).settings
    question = parse_question(read_whole(signal), str(signal), default_registry(), settings)
    instrument = question.instrument
    series = read_candles_as(candles, instrument.symbol, timeframe, instrument.asset_class)
    shown = snapshot(series, until, rows)
    if len(shown) < rows:
        print(f"note: only {len(shown)} candles end with candle {until}", file=sys.stderr)
    verdict = answer(question, shown)
    if json is not None:
        write_json(json, verdict_json(verdict))
    else:
        _show(verdict, true_prices(verdict.signal, shown))


def _show(verdict: Verdict, prices: str) -> None:
    console = Console(file=sys.stdout)
    rejected_by = verdict.rejected_by if isinstance(verdict, Vetoed) else ""
    console.print(f"rejected by rule {rejected_by}" if rejected_by else "accepted", style="bold")
    console.print(
        f"quality score {verdict.score:.2f}; oscillators left: {', '.join(verdict.oscillators_left) or 'none'}"
    )
    console.print(rules_table(verdict.findings, rejected_by))
    if verdict.signal.claim is not None:
        console.print(claim_table(verdict.signal.claim, verdict.findings, prices))
