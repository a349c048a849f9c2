"""Quotes in files: CSV and gzipped CSV with the columns time, bid, ask.

`time` is ISO-8601 (Z, an offset, or none for UTC) to the microsecond, or seconds or milliseconds since 1970. Several
quotes may share a time and keep their order.
"""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import numpy as np

from bot.errors import DataError, UsageError
from bot.layer1_data.feeds.candle_times import TIME_BYTES
from bot.models import Floats, Ints

_COLUMNS: Final = ("time", "bid", "ask")
_SUFFIXES: Final = (".csv", ".csv.gz")
_EPOCH_START: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_STAMP: Final = re.compile(r"(\d{9,13})")
_MILLISECONDS_FROM: Final = 100_000_000_000  # as seconds this would be the year 5138
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
    try:
        rows = _parsed(_content(path, _suffix(path)))
        _check(rows, now)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its rights"
        ) from error
    fit = rows.bid <= rows.ask
    if not fit.any():
        raise DataError(f"{path}: the bid stands above the ask in every row; swap the columns, or export it again")
    kept = np.flatnonzero(fit)
    return TickSeries(rows.at_us[kept], rows.bid[kept], rows.ask[kept], kept, len(fit) - len(kept))


def _suffix(path: Path) -> str:
    if path.is_dir():
        raise UsageError(f"{path}: is a folder; name one file in it")
    suffix = next((each for each in reversed(_SUFFIXES) if path.name.lower().endswith(each)), "")
    if not suffix:
        raise UsageError(f"{path}: the name ends in none of {', '.join(_SUFFIXES)}; rename or convert the file")
    if not path.exists():
        names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = get_close_matches(path.name, names, n=1)
        raise UsageError(f"{path}: no such file{f'; did you mean {near[0]}?' if near else '; check the path'}")
    return suffix


def _content(path: Path, suffix: str) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if suffix == ".csv.gz" else data).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"is not a whole gzip file ({error}); copy or download it again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"is not UTF-8 text (byte {error.start}); save it as CSV in UTF-8") from error


# ----------------------------------------------------------------------------------------------------------- parsing


def _parsed(text: str) -> _Rows:
    head, _, body = text.replace("\r\n", "\n").partition("\n")
    try:
        header = next(csv.reader([head]), [])
    except csv.Error as error:
        raise DataError(f"line 1: {error}; end lines with a line feed") from error
    layout = _layout(header)
    rows = _parsed_quickly(body, layout, len(header)) or _parsed_carefully(body, layout, len(header))
    if not len(rows.lines):
        raise DataError("has a header and no quotes; export it again")
    return rows


def _layout(header: Sequence[str]) -> tuple[int, ...]:
    """Where each of our columns stands. Raises DataError if the line is no header that names all of them once."""
    names = [each.strip().lower() for each in header]
    if not any(names):
        raise DataError(f"is empty; it needs a first line {','.join(_COLUMNS)}, then one line per quote")
    if not set(names) & set(_COLUMNS):
        raise DataError(f"line 1 is {','.join(header)!r}, not a header; add a first line {','.join(_COLUMNS)}")
    if missing := [each for each in _COLUMNS if each not in names]:
        candles = "; it seems to hold candles: give it as --candles" if {"open", "close"} <= set(names) else ""
        raise DataError(f"column {missing[0]} is missing; the header names {', '.join(header)}{candles}")
    if twice := [each for each in _COLUMNS if names.count(each) > 1]:
        raise DataError(f"column {twice[0]} is named twice in the header; rename or remove one")
    return tuple(names.index(each) for each in _COLUMNS)


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
    reader = csv.reader(io.StringIO(body), strict=True)
    times: list[int] = []
    bids: list[float] = []
    asks: list[float] = []
    lines: list[int] = []
    line = 2  # where the row begins that is read now
    try:
        for cells in reader:
            if len(cells) > 1 or "".join(cells).strip():
                if len(cells) != width:
                    raise ValueError(f"has {len(cells)} cells where the header names {width}; correct the line")
                times.append(_instant_us(cells[layout[0]]))
                bids.append(_number("bid", cells[layout[1]]))
                asks.append(_number("ask", cells[layout[2]]))
                lines.append(line)
            line = 2 + reader.line_num
    except csv.Error as error:
        raise DataError(f"line {line}: {error}; correct the line or its quotes") from error
    except ValueError as error:
        raise DataError(f"line {line}: {error}") from error
    return _Rows(np.array(times, dtype=np.int64), np.array(bids), np.array(asks), np.array(lines, dtype=np.int64))


def _instant_us(text: str) -> int:
    text = text.strip()
    if stamp := _STAMP.fullmatch(text):
        number = int(stamp[1])
        return number * (1_000 if number >= _MILLISECONDS_FROM else 1_000_000)
    try:
        instant = datetime.fromisoformat("" if text.isdigit() else text)
    except ValueError:
        raise ValueError(
            f"time is {text!r}, neither ISO-8601 (2024-05-01T13:00:00.250Z) nor seconds or milliseconds since 1970; "
            "correct or remove it"
        ) from None
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH_START) // _MICROSECOND


def _number(name: str, text: str) -> float:
    """One price. Raises ValueError for what only Python would read as a number, too (1_000)."""
    try:
        if "_" not in text and text.isascii():
            return float(text)
    except ValueError:
        pass
    raise ValueError(f"{name} is {text!r}, not a number; write digits with a decimal point, or remove the line")


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
