"""Quotes in files: CSV and gzipped CSV with the columns time, bid, ask.

`time` is ISO-8601 (Z, an offset, or none for UTC) to the microsecond, or seconds or milliseconds since 1970. Several
quotes may share a time and keep their order.
"""

import gzip
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np

from bot.errors import DataError
from bot.layer1_data.feeds.candle_times import TIME_BYTES, instant_us
from bot.layer1_data.feeds.table_files import faults_named, header_of, layout_of, number_of, parsed_rows, suffix_of
from bot.models import Floats, Ints

_COLUMNS: Final = ("time", "bid", "ask")
_SUFFIXES: Final = (".csv", ".csv.gz")
_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_PLAIN_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d{1,6})?Z?")
_SEPARATORS: Final = ((4, b"-"), (7, b"-"), (13, b":"), (16, b":"))
_OLDEST_US: Final = -(1 << 62)  # NaT is below it


@dataclass(frozen=True, slots=True)
class TickSeries:
    """Quotes as columns of shape (n,), oldest first. `at_us` are microseconds since 1970 UTC, `rows` the places in the
    file (or in the part asked for) from 0: those of quotes whose bid stood above their ask, `crossed` of them in the
    whole file, are missing."""

    at_us: Ints
    bid: Floats
    ask: Floats
    rows: Ints
    crossed: int

    def __len__(self) -> int:
        return len(self.at_us)

    def at(self, index: int) -> datetime:
        """Instant of quote `index`."""
        return _EPOCH_START + int(self.at_us[index]) * _MICROSECOND

    def first_at(self, instant: datetime) -> int:
        """Index of the first quote at or after `instant`; n where there is none."""
        return int(np.searchsorted(self.at_us, (instant - _EPOCH_START) // _MICROSECOND))

    def part(self, first: int, rows: int | None) -> "TickSeries":
        """The quotes of `rows` rows of the file from row `first` on (all that follow, for None); rows count anew."""
        start = int(np.searchsorted(self.rows, first))
        stop = len(self) if rows is None else int(np.searchsorted(self.rows, first + rows))
        cut = slice(start, stop)
        return TickSeries(self.at_us[cut], self.bid[cut], self.ask[cut], self.rows[cut] - first, self.crossed)


@dataclass(frozen=True, slots=True)
class _Rows:
    """What a file says, all of shape (n,); `lines` are counted from 1, as an editor does."""

    at_us: Ints
    bid: Floats
    ask: Floats
    lines: Ints


def read_ticks(path: Path, *, now: datetime) -> TickSeries:
    """The whole file, or nothing: the first fault found ends the reading. Crossed quotes are quarantined: left out.

    Raises UsageError when the path is not a readable file of quotes, DataError naming file, line, column and value
    when its content is not usable.
    """
    with faults_named(path):
        rows = _parsed(_content(path, suffix_of(path, _SUFFIXES)))
        _check(rows, now)
    fit = rows.bid <= rows.ask
    if not fit.any():
        raise DataError(f"{path}: the bid stands above the ask in every row; swap the columns, or export it again")
    kept = np.flatnonzero(fit)
    return TickSeries(rows.at_us[kept], rows.bid[kept], rows.ask[kept], kept, len(fit) - len(kept))


def _content(path: Path, suffix: str) -> str:
    data = path.read_bytes()
    return (gzip.decompress(data) if suffix == ".csv.gz" else data).decode("utf-8-sig")


# ----------------------------------------------------------------------------------------------------------- parsing


def _parsed(text: str) -> _Rows:
    head, _, body = text.replace("\r\n", "\n").partition("\n")
    header = header_of(head)
    layout = layout_of(header, _COLUMNS, row="quote", advice=_advice(header))
    rows = _parsed_quickly(body, layout, len(header)) or _parsed_carefully(body, layout, len(header))
    if not len(rows.lines):
        raise DataError("has a header and no quotes; export it again")
    return rows


def _advice(header: Sequence[str]) -> str:
    """What to do about a missing column: the file may hold something else."""
    is_candles = {"open", "close"} <= {each.strip().lower() for each in header}
    return "it seems to hold candles: give it as --candles" if is_candles else "add or rename it"


def _parsed_quickly(body: str, layout: tuple[int, ...], width: int) -> _Rows | None:
    """The rows of a plain file; None if anything is unusual, which `_parsed_carefully` accepts or explains."""
    count = body.count("\n") + (not body.endswith("\n"))
    if not body.isascii() or '"' in body or "_" in body or body.count(",") != count * (width - 1):
        return None
    kinds = [("time", f"S{TIME_BYTES}"), ("bid", "f8"), ("ask", "f8")]
    try:
        table = np.loadtxt(io.StringIO(body), dtype=kinds, delimiter=",", comments=None, usecols=layout, ndmin=1)
    except ValueError:
        return None
    at_us = _plain_times(np.ascontiguousarray(table["time"])) if len(table) == count else None
    if at_us is None:
        return None
    lines = np.arange(2, 2 + count, dtype=np.int64)
    return _Rows(at_us, np.ascontiguousarray(table["bid"]), np.ascontiguousarray(table["ask"]), lines)


def _plain_times(cells: np.ndarray[tuple[int], np.dtype[np.bytes_]]) -> Ints | None:
    """ISO-8601 in UTC, all with or all without Z; None otherwise."""
    if not _PLAIN_TIME.fullmatch(cells[0]):
        return None
    codes = cells.view(np.uint8).reshape(len(cells), TIME_BYTES).copy()
    if any((codes[:, at] != sign[0]).any() for at, sign in _SEPARATORS):
        return None
    zulu = codes == ord("Z")
    if (zulu.sum(axis=1) != (cells[0][-1:] == b"Z")).any():
        return None
    codes[zulu] = 0
    try:
        at_us = codes.view(f"S{TIME_BYTES}").ravel().astype("datetime64[us]").astype(np.int64)
    except ValueError:  # month 13, hour 25, an offset
        return None
    return at_us if (at_us > _OLDEST_US).all() else None


def _parsed_carefully(body: str, layout: tuple[int, ...], width: int) -> _Rows:
    """The same cell by cell: quotes, blank lines and mixed times are understood, anything else is named."""
    time, bid, ask = layout

    def parsed(cells: Sequence[str]) -> tuple[int, float, float]:
        return instant_us(cells[time]), number_of("bid", cells[bid]), number_of("ask", cells[ask])

    rows = parsed_rows(body, parsed, width=width, first_line=2)
    kinds = [("line", "i8"), ("at_us", "i8"), ("bid", "f8"), ("ask", "f8")]
    table = np.fromiter(((line, *cells) for line, cells in rows), dtype=kinds)
    return _Rows(*(np.ascontiguousarray(table[name]) for name in ("at_us", "bid", "ask", "line")))


# ------------------------------------------------------------------------------------------------------------ checks


def _check(rows: _Rows, now: datetime) -> None:
    """Raises DataError for the first price that is none, and unless times never fall and end by `now`."""
    for name, prices in (("bid", rows.bid), ("ask", rows.ask)):
        fit = (prices > 0) & (prices < np.inf)  # NaN fits nowhere: every comparison with it is false
        if not fit.all():
            first = int(np.argmin(fit))
            value = float(prices[first])
            raise DataError(
                f"line {rows.lines[first]}: {name} is {value:g}, not a price above 0; correct or remove the line"
            )
    falls = np.diff(rows.at_us) < 0
    if falls.any():
        later = int(np.argmax(falls)) + 1
        raise DataError(
            f"line {rows.lines[later]}: time {_text(rows.at_us[later])} is before {_text(rows.at_us[later - 1])} of "
            f"line {rows.lines[later - 1]}; sort the file by time, oldest first"
        )
    now_us = (now - _EPOCH_START) // _MICROSECOND
    if rows.at_us[-1] > now_us:
        first = int(np.argmax(rows.at_us > now_us))
        raise DataError(
            f"line {rows.lines[first]}: time {_text(rows.at_us[first])} lies in the future (now is {_text(now_us)}); "
            "remove it, or check the time zone of the file"
        )


def _text(at_us: int | np.int64) -> str:
    return f"{np.datetime64(int(at_us), 'us')}Z"
