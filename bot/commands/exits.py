"""`botctl exits`: what an exit plan would have done with recorded candles or quotes."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from bot.commands.output import ProgressBar, check_writable, read_whole, write_json
from bot.errors import DataError, UsageError
from bot.instruments import Instrument
from bot.models import Direction
from bot.replay.doubtful_prices import Doubt, believed, jumps
from bot.replay.exit_plan_file import WrittenPlan, has_stop, parse_exit_plan
from bot.replay.exit_trial import CandlePrices, Prices, TickPrices, Trial, TrialClose, trial_json, try_plan, utc

_LINES: Final = 40
_UNGUARDED: Final = (
    "no stop can rest at the venue for this basket: the account's monitor alone guards it, and is not played here"
)
_PLAYED: Final = "the daemon's feed takes such candles, so they are played; if nothing explains it, correct the file"
_COMPARE: Final = "compare the file with the entry of the plan"


def exits(
    *,
    plan: Annotated[Path, Parameter(help="JSON with side, quantity, stop, targets and so on (docs/exits.md)")],
    candles: Annotated[
        Path | None, Parameter(help="candles of the exit side (bid for a long): CSV, CSV.GZ or Parquet")
    ] = None,
    timeframe: Annotated[
        str | None, Parameter(help="length of the candles: 1m 5m 15m 30m 1h 4h 1d; default: what their times tell")
    ] = None,
    ticks: Annotated[Path | None, Parameter(help="quotes instead: CSV or CSV.GZ with time, bid, ask")] = None,
    first: Annotated[int, Parameter(name="--from", help="first candle or quote, counted from 0: the entry")] = 0,
    rows: Annotated[int | None, Parameter(help="how many to look at; default: all that follow")] = None,
    symbol: Annotated[
        str | None,
        Parameter(help="registered symbol: candles are then mid prices, shifted by half its typical spread"),
    ] = None,
    json: Annotated[Path | None, Parameter(help="write the answer to this file")] = None,
) -> None:
    """Try an exit plan before trusting it: each close, each move of the stop, and what is left at the end."""
    from bot.instruments import default_registry

    check_writable(json)
    _check_source(candles, timeframe, ticks)
    instrument = default_registry().get(symbol) if symbol is not None else None
    written = parse_exit_plan(read_whole(plan), str(plan), instrument)
    if candles is not None:
        prices, notes = _candle_prices(written, candles, timeframe, first, rows, instrument)
    elif ticks is not None:
        prices, notes = _tick_prices(written, ticks, first, rows, instrument)
    else:
        raise AssertionError("one of the two sources is given")
    for each in (*notes, *(() if has_stop(written.plan) else (_UNGUARDED,))):
        print(f"note: {each}", file=sys.stderr)
    with ProgressBar("exits", "prices", len(prices)) as bar:
        trial = try_plan(written, prices, bar.done)
    if json is not None:
        write_json(json, trial_json(trial))
    else:
        _show(written, trial)


def _check_source(candles: Path | None, timeframe: str | None, ticks: Path | None) -> None:
    if (candles is None) == (ticks is None):
        raise UsageError("name either --candles FILE or --ticks FILE")
    if ticks is not None and timeframe is not None:
        raise UsageError("--timeframe goes with --candles; quotes have none: remove it")


def _candle_prices(
    written: WrittenPlan,
    path: Path,
    timeframe: str | None,
    first: int,
    rows: int | None,
    instrument: Instrument | None,
) -> tuple[Prices, Sequence[str]]:
    """The candles, in words what they are taken as, and which of them the daemon would doubt as quotes."""
    from bot.wiring.candle_files import read_any_candles, rows_of

    direction = written.plan.direction
    series = rows_of(read_any_candles(path, timeframe, None if instrument is None else instrument.symbol), first, rows)
    doubts, side = jumps(series, written.entry), _side(direction)
    read_as = "" if timeframe else f"read as {series.timeframe.value} candles, as their times tell; "
    told = f"{_count(doubts, 'candle jumps', 'candles jump')}: candle {_place(doubts[0])}; {_PLAYED}" if doubts else ""
    jumped = (told,) if told else ()
    if instrument is None:
        taken_as = f"{read_as}the candles are taken as {side} candles (docs/exits.md)"
        return CandlePrices(series, direction), (taken_as, *jumped)
    half = f"{instrument.typical_spread.at(CandlePrices(series, direction).first()) / 2:.6g}"
    shift = f"{read_as}the candles are taken as mid prices; the {side} lies half the typical spread ({half}) away"
    return CandlePrices(series, direction, instrument.typical_spread), (shift, *jumped)


def _tick_prices(
    written: WrittenPlan, path: Path, first: int, rows: int | None, instrument: Instrument | None
) -> tuple[Prices, Sequence[str]]:
    """The quotes that the daemon would act on, and in words what they are and which are left out. Raises DataError."""
    from bot.wiring.tick_files import read_any_ticks

    read = read_any_ticks(path, first, rows)
    quotes, doubts = believed(read, instrument, written.entry)
    if not len(quotes):
        raise DataError(f"{path}: the daemon would act on none of its quotes: row {_place(doubts[0])}; {_COMPARE}")
    crossed = f"; {quotes.crossed} with the bid above the ask are left out" if quotes.crossed else ""
    notes = [f"exits look at the {_side(written.plan.direction)} of {len(quotes):,} quotes{crossed}"]
    if doubts:
        left_out = _count(doubts, "quote is", "quotes are")
        notes.append(f"{left_out} left out, as by the daemon: row {_place(doubts[0])}")
    return TickPrices(quotes, written.plan.direction), notes


def _side(direction: Direction) -> str:
    return "bid" if direction is Direction.LONG else "ask"


def _count(doubts: Sequence[Doubt], one: str, many: str) -> str:
    return f"{len(doubts):,} {one if len(doubts) == 1 else many}"


def _place(doubt: Doubt) -> str:
    return f"{doubt.number} ({utc(doubt.at)}) {doubt.says}"


def _show(written: WrittenPlan, trial: Trial) -> None:
    console, state = Console(file=sys.stdout), trial.state
    side, stopped = written.plan.direction.value, has_stop(written.plan)
    stop = f"stop {written.plan.stop}" if stopped else "without a stop"
    table = Table(title=f"{side} {trial.quantity} at {trial.entry}, {stop}", box=None)
    for heading in ("price", "time (UTC)", "what", "at", "quantity"):
        table.add_column(heading)
    for each in trial.events[-_LINES:]:
        closed = isinstance(each, TrialClose)
        what = f"{'closed' if closed else 'stop moved'}: {each.reason}"
        quantity = str(each.quantity) if isinstance(each, TrialClose) else ""
        table.add_row(str(each.index), utc(each.at), what, str(each.price), quantity)
    if len(trial.events) > _LINES:
        console.print(f"{len(trial.events) - _LINES} earlier lines are left out; --json has them all")
    console.print(table)
    guarded = f"with its stop at {state.stop}" if stopped else "without a stop"
    left = f"{state.quantity} is still open {guarded}" if state.quantity else "nothing is left"
    multiple = "" if trial.r_multiple is None else f", {trial.r_multiple:.2f} R"
    console.print(f"result before costs {trial.pnl:.10g}{multiple}; {left}")
