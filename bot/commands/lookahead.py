"""`botctl lookahead`: proves on a file of candles that a strategy decides without knowing the future."""

import os
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter
from rich.console import Console

from bot.commands.output import ProgressBar
from bot.errors import DataError, UsageError
from bot.models import CandleSeries
from bot.replay.lookahead import LookaheadChecker, LookaheadResult

EXIT_LEAK: Final = 4
_DEFAULT_SEED: Final = 7
_LEAST_CANDLES: Final = 2


def lookahead(
    *,
    strategy: Annotated[str, Parameter(help="name of the strategy")],
    candles: Annotated[Path, Parameter(help="CSV, CSV.GZ or Parquet with time, open, high, low, close, volume")],
    symbol: Annotated[str, Parameter(help="a registered symbol, such as EUR_USD, BTC/USDT or AAPL")],
    timeframe: Annotated[str, Parameter(help="length of the candles: 1m 5m 15m 30m 1h 4h 1d")],
    cuts: Annotated[int, Parameter(help="at how many random places the future is cut off")] = 20,
    seed: Annotated[int, Parameter(help="seed of the places")] = _DEFAULT_SEED,
) -> int:
    """Prove that decisions on a prefix equal decisions on the whole. Exit code 4 if they do not."""
    from bot.config import find_env_file, load_settings
    from bot.instruments import default_registry
    from bot.layer2_intelligence.strategies.catalogue import strategy_named
    from bot.wiring.replay import read_candles_of

    if cuts < 1:
        raise UsageError(f"--cuts {cuts} must be at least 1")
    settings = load_settings(os.environ, find_env_file(Path.cwd())).settings
    chosen = strategy_named(strategy, settings)
    series = read_candles_of(candles, symbol, timeframe)
    _check_length(series, candles)
    print(f"seed {seed}", flush=True)
    checker = LookaheadChecker(chosen, series, default_registry().get(symbol), settings)
    with ProgressBar("lookahead", "steps", checker.steps(cuts)) as bar:
        result = checker.run(cuts=cuts, seed=seed, progress=bar.done)
    return tell(result, strategy)


def _check_length(series: CandleSeries, path: Path) -> None:
    if len(series) < _LEAST_CANDLES:
        raise DataError(f"{path}: {len(series)} candle has no future to cut off; at least {_LEAST_CANDLES} are needed")


def tell(result: LookaheadResult, strategy: str) -> int:
    """Print what was found; the exit code of the command."""
    console = Console(file=sys.stdout, soft_wrap=True, highlight=False)
    console.print(
        f"{result.candles:,} candles, {result.decisions:,} of them with decisions, {len(result.cuts)} cuts: "
        f"{', '.join(map(str, result.cuts))}"
    )
    if not result.leaks:
        silent = "" if result.decisions else " It decided nothing here, so this says little: take other candles."
        console.print(f"{strategy} does not look ahead on these candles.{silent}")
        return 0
    for leak in result.leaks:
        console.print(
            f"LOOKS AHEAD at candle {leak.candle}, cut at {leak.cut} ({leak.test}): {leak.says}", markup=False
        )
    return EXIT_LEAK
