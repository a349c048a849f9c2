"""`botctl candles | quote | orders | positions | account`: what the venues themselves say, asked now.

A daemon that runs here is asked, because it has the connections (and in dev mode the venues). Without one the venues of
the settings are asked directly.
"""

import asyncio
import csv
import io
import json
import os
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import urlencode

import orjson
from cyclopts import Parameter

from bot.commands.output import check_writable, write_json, write_whole
from bot.commands.status import NoDaemon, ask, find_daemon, settings_of_daemon
from bot.config import Loaded, find_env_file, load_settings
from bot.errors import BrokerUnavailable, UsageError
from bot.instruments import default_registry, to_cents
from bot.models import Timeframe

if TYPE_CHECKING:
    from bot.layer1_data.venue_desk import DeskAnswer, VenueDesk

_ANSWER_WITHIN_S: Final = 30.0
_INSTANT: Final = re.compile(r"\d{4}-\d\d-\d\dT.*\+00:00")
_FRACTION: Final = re.compile(r"-?\d+\.\d+")
_MONEY: Final = ("balance", "equity", "margin_used")
_CANDLE_COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")

Broker = Annotated[str | None, Parameter(help="Ask this venue only: binance, oanda or ig.")]
AsJson = Annotated[bool, Parameter(name="--json", negative="", help='Print {"rows": [...], "errors": {...}}.')]
Data = Annotated[str | None, Parameter(help="Data directory of the daemon; default: DATA_DIRECTORY.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    """One question in both its forms: to the daemon (`path`), and to the venues themselves."""

    path: str
    direct: "Callable[[VenueDesk], Awaitable[DeskAnswer]]"


def candles(
    symbol: str,
    timeframe: str,
    *,
    last: Annotated[int, Parameter(help="How many closed candles, newest last.")] = 500,
    broker: Broker = None,
    out: Annotated[Path | None, Parameter(help="Write them to this .csv or .json file.")] = None,
    as_json: AsJson = False,
    data: Data = None,
) -> int:
    """Fetch closed candles from the venue of a symbol."""
    name, length = default_registry().get(symbol).symbol, Timeframe.parse(timeframe)
    if not 1 <= last <= 5_000:
        raise UsageError(f"--last {last} must be from 1 to 5,000")
    check_writable(out)
    if out is not None and out.suffix not in (".csv", ".json"):
        raise UsageError(f"--out {out}: the name must end in .csv or .json")
    query = {"symbol": name, "timeframe": length.value, "last": last, **_only(broker)}
    question = _Question(
        path=f"/api/venues/candles?{urlencode(query)}",
        direct=lambda desk: desk.candles(name, length.value, last, broker),
    )
    answer = _answer(question, data)
    rows = [_candle(each) for each in answer["rows"]]
    if out is not None and not answer["errors"]:
        _write_candles(out, rows)
        print(f"{len(rows):,} candles of {name} {length.value} written to {out}")
        return 0
    return _shown({"rows": rows, "errors": answer["errors"]}, as_json, "no candle")


def quote(*symbols: str, broker: Broker = None, as_json: AsJson = False, data: Data = None) -> int:
    """Show the best bid and ask of symbols, now."""
    if not symbols:
        raise UsageError("name at least one symbol, such as: ./botctl quote EUR_USD BTC/USDT")
    names = [default_registry().get(each).symbol for each in symbols]
    query = [*(("symbol", each) for each in names), *_only(broker).items()]
    question = _Question(path=f"/api/venues/quote?{urlencode(query)}", direct=lambda desk: desk.quotes(names, broker))
    return _shown(_answer(question, data), as_json, "no quote")


def orders(*, broker: Broker = None, as_json: AsJson = False, data: Data = None) -> int:
    """Show working orders and protective stops as the venues have them."""
    question = _Question(path=_path("orders", broker), direct=lambda desk: desk.orders(broker))
    return _shown(_answer(question, data), as_json, "no order rests at the venues")


def positions(*, broker: Broker = None, as_json: AsJson = False, data: Data = None) -> int:
    """Show open positions as the venues have them, with the stop that rests for each."""
    question = _Question(path=_path("positions", broker), direct=lambda desk: desk.positions(broker))
    return _shown(_answer(question, data), as_json, "no position is open at the venues")


def account(*, broker: Broker = None, as_json: AsJson = False, data: Data = None) -> int:
    """Show balance and equity of each account as the venues have them."""
    question = _Question(path=_path("account", broker), direct=lambda desk: desk.accounts(broker))
    return _shown(_answer(question, data), as_json, "no account")


# ----------------------------------------------------------------------------------------------------------- answering


def _answer(question: _Question, data: str | None) -> Mapping[str, Any]:
    command_line = {} if data is None else {"DATA_DIRECTORY": data}
    loaded = load_settings(os.environ, find_env_file(Path.cwd()), command_line=command_line)
    if loaded.settings.run.mode == "dev":  # whose venues live in a daemon; another mode's are asked directly
        loaded = settings_of_daemon(data)
    try:
        daemon = find_daemon(loaded.data_directory)
    except NoDaemon as error:
        if loaded.settings.run.mode == "dev":
            raise NoDaemon(
                f"{error}; the venues of dev mode live in the daemon. Or set MODE=paper to ask the real ones"
            ) from None
        return asyncio.run(_directly(loaded, question))
    return ask(daemon, question.path, timeout_s=_ANSWER_WITHIN_S)


async def _directly(loaded: Loaded, question: _Question) -> Mapping[str, Any]:
    from bot.clock import SystemClock
    from bot.layer1_data.venue_desk import VenueDesk
    from bot.wiring.venues import connected

    async with connected(loaded, default_registry(), SystemClock()) as router:
        answer = await question.direct(VenueDesk(router))
    plain: Mapping[str, Any] = orjson.loads(orjson.dumps(answer, default=_plain))
    return plain


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} has no JSON form")


def _path(what: str, broker: str | None) -> str:
    return f"/api/venues/{what}?{urlencode(_only(broker))}"


def _only(broker: str | None) -> dict[str, str]:
    return {} if broker is None else {"broker": broker}


# ------------------------------------------------------------------------------------------------------------- showing


def _candle(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"time": row["opened_at"], **{name: row[name] for name in _CANDLE_COLUMNS[1:]}}


def _write_candles(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    if out.suffix == ".json":
        write_json(out, rows)
        return
    text = io.StringIO()
    writer = csv.DictWriter(text, _CANDLE_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        at = datetime.fromisoformat(row["time"])
        writer.writerow({**row, "time": at.strftime("%Y-%m-%dT%H:%M:%SZ")})
    write_whole(out, text.getvalue().encode())


def _shown(answer: Mapping[str, Any], as_json: bool, nothing: str) -> int:
    """Print what was answered. Raises BrokerUnavailable, once that is done, if a venue was silent."""
    if as_json:
        print(json.dumps(answer, indent=2))
    else:
        _print_rows(answer["rows"], nothing, is_answered=not answer["errors"])
    if answer["errors"]:
        raise BrokerUnavailable("; ".join(f"{name}: {words}" for name, words in answer["errors"].items()))
    return 0


def _print_rows(rows: Sequence[Mapping[str, Any]], nothing: str, *, is_answered: bool) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not rows:
        if is_answered:
            print(nothing)
        return
    names = list(rows[0])
    table = Table(*(each.replace("_", " ") for each in names))
    for row in rows:
        table.add_row(*(Text(_cell(each, row[each])) for each in names))
    Console(width=None if os.isatty(1) else 200).print(table)


def _cell(name: str, value: object) -> str:
    """Money to the cent, as everywhere; the venue's own digits are in --json."""
    return f"{to_cents(Decimal(str(value))):,.2f}" if name in _MONEY and value is not None else _told(value)


def _told(value: object) -> str:
    """As a person reads it: no zeros behind a number, no microseconds behind an instant."""
    text = "-" if value is None else str(value)
    if _INSTANT.fullmatch(text):
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"
    return text.rstrip("0").rstrip(".") if _FRACTION.fullmatch(text) else text
