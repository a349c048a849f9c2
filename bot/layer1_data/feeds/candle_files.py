"""Candles in files: CSV, gzipped CSV and parquet, with the columns time, open, high, low, close, volume.

`time` is a candle's open: ISO-8601 (Z, an offset, or none for UTC), or seconds or milliseconds since 1970.
"""

import glob
import gzip
import io
import os
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bot.errors import DataError, StorageError, UsageError
from bot.instruments import AssetClass, Symbol
from bot.layer1_data.feeds.candle_times import TIME_BYTES, instant_s, plain_instants_s, utc_text
from bot.layer1_data.feeds.table_files import (
    faults_named,
    header_of,
    layout_of,
    number_of,
    parsed_rows,
    suffix_of,
)
from bot.layer1_data.quality import price_fault, segments
from bot.models import CandleSeries, Floats, Ints, Timeframe

_COLUMNS: Final = ("time", "open", "high", "low", "close", "volume")
_NUMBERS: Final = _COLUMNS[1:]
_SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")
_BLOCK_BYTES: Final = 4 << 20  # parsed at a time, so that a large file costs little more memory than its columns


@dataclass(frozen=True, slots=True)
class _Rows:
    """Columns of a file or of a part of it, all of shape (n,); `numbers` are the lines (or rows) a person counts."""

    opened_at_s: Ints
    values: tuple[Floats, ...]  # open, high, low, close, volume
    numbers: Ints


def read_candles(
    path: Path, symbol: Symbol, timeframe: Timeframe | None, *, asset_class: AssetClass, now: datetime
) -> CandleSeries:
    """The whole file as one series, or nothing: the first fault found ends the reading.

    `timeframe` is what the file is read as; None: what its rows tell. `asset_class` decides which holes are scheduled
    (segments); `now` is the instant that no candle may close after.
    Raises UsageError when the path is not a readable candle file, DataError naming file, line, column and value when
    its content is not usable.
    """
    with faults_named(path):
        suffix = suffix_of(path, _SUFFIXES)
        unit = "row" if suffix == ".parquet" else "line"
        rows = _read_parquet(path) if suffix == ".parquet" else _read_csv(path, zipped=suffix == ".csv.gz")
        _check_values(rows, unit)
        _check_order(rows, unit)
        timeframe = _timeframe_of(rows, timeframe)
        _check_closed(rows, unit, timeframe, now)
    open_, high, low, close, volume = rows.values
    segment = segments(rows.opened_at_s, timeframe, asset_class)
    return CandleSeries(symbol, timeframe, rows.opened_at_s, open_, high, low, close, volume, segment)


# --------------------------------------------------------------------------------------------------------------- csv


def _read_csv(path: Path, *, zipped: bool) -> _Rows:
    with gzip.open(path, "rb") if zipped else path.open("rb") as stream:
        return _joined(list(_parsed_blocks(stream)))


def _joined(parts: Sequence[_Rows]) -> _Rows:
    if not parts:
        raise DataError("has a header and no candles; export it again")
    values = tuple(np.concatenate([part.values[index] for part in parts]) for index in range(len(_NUMBERS)))
    opened_at_s = np.concatenate([part.opened_at_s for part in parts])
    return _Rows(opened_at_s, values, np.concatenate([part.numbers for part in parts]))


def _parsed_blocks(stream: gzip.GzipFile | io.BufferedReader) -> Iterator[_Rows]:
    header = header_of(stream.readline().decode("utf-8-sig"))
    layout = layout_of(header, _COLUMNS, row="candle")
    line = 2
    for block in _whole_lines(stream):
        rows = _parsed_quickly(block, layout, len(header), line)
        if rows is None:
            rows = _parsed_carefully(block.decode(), layout, len(header), line)
        line += block.count(b"\n")
        if len(rows.numbers):
            yield rows


def _whole_lines(stream: gzip.GzipFile | io.BufferedReader) -> Iterator[bytes]:
    """The rest of the stream in blocks that end with a line feed."""
    rest = b""
    while chunk := stream.read(_BLOCK_BYTES):
        text = rest + chunk
        cut = text.rfind(b"\n") + 1
        rest = text[cut:]
        if cut:
            yield text[:cut].replace(b"\r\n", b"\n")
    if rest:
        yield rest.replace(b"\r\n", b"\n") + b"\n"


def _parsed_quickly(block: bytes, layout: tuple[int, ...], width: int, line: int) -> _Rows | None:
    """The rows of a plain block; None if anything is unusual, which `_parsed_carefully` accepts or explains."""
    codes = np.frombuffer(block, dtype=np.uint8)
    marks = codes[(codes == ord(",")) | (codes == ord("\n"))]
    if b'"' in block or len(marks) % width:
        return None
    ends = marks.reshape(-1, width)
    if (ends[:, -1] != ord("\n")).any() or (ends[:, :-1] != ord(",")).any():
        return None
    kinds = [("time", f"S{TIME_BYTES}"), *((name, "f8") for name in _NUMBERS)]
    try:
        text = io.StringIO(block.decode("ascii"))
        table = np.loadtxt(text, dtype=kinds, delimiter=",", comments=None, usecols=layout, ndmin=1)
    except ValueError:
        return None
    opened_at_s = plain_instants_s(np.ascontiguousarray(table["time"]))
    if opened_at_s is None or len(table) != len(ends):
        return None
    values = tuple(np.ascontiguousarray(table[name]) for name in _NUMBERS)
    return _Rows(opened_at_s, values, np.arange(line, line + len(ends), dtype=np.int64))


def _parsed_carefully(text: str, layout: tuple[int, ...], width: int, line: int) -> _Rows:
    """The same cell by cell: quotes, blank lines and mixed times are understood, anything else is named."""

    def parsed(cells: Sequence[str]) -> tuple[int, list[float]]:
        numbers = zip(_NUMBERS, layout[1:], strict=True)
        return instant_s(cells[layout[0]]), [_number(name, cells[at]) for name, at in numbers]

    times, values, lines = array("q"), array("d"), array("q")
    for at_line, (opened_at_s, numbers) in parsed_rows(text, parsed, width=width, first_line=line):
        times.append(opened_at_s)
        values.extend(numbers)
        lines.append(at_line)
    columns = np.array(values, dtype=np.float64).reshape(-1, len(_NUMBERS)).T
    return _Rows(
        np.array(times, dtype=np.int64),
        tuple(np.ascontiguousarray(each) for each in columns),
        np.array(lines, dtype=np.int64),
    )


def _number(name: str, text: str) -> float:
    """One cell; an empty volume is 0. Raises ValueError."""
    return 0.0 if name == "volume" and not text.strip() else number_of(name, text)


# ------------------------------------------------------------------------------------------------------------ checks


def _check_values(rows: _Rows, unit: str) -> None:
    """Raises DataError for the first row with an unusable number."""
    open_, high, low, close, volume = rows.values
    fit = (low > 0) & (low <= open_) & (open_ <= high) & (low <= close) & (close <= high) & (high < np.inf)
    fit &= (volume >= 0) & (volume < np.inf)  # NaN fits nowhere: every comparison with it is false
    if fit.all():
        return
    first = int(np.argmin(fit))
    fault = price_fault(*(float(each[first]) for each in rows.values))
    raise DataError(f"{unit} {rows.numbers[first]}: {fault}; correct or remove the {unit}")


def _check_order(rows: _Rows, unit: str) -> None:
    """Raises DataError unless times rise."""
    opened_at_s, numbers = rows.opened_at_s, rows.numbers
    steps = np.diff(opened_at_s)
    if (steps <= 0).any():
        later = int(np.argmax(steps <= 0)) + 1
        here, before = utc_text(int(opened_at_s[later])), f"{unit} {numbers[later - 1]}"
        if steps[later - 1] == 0:
            raise DataError(f"{unit} {numbers[later]}: time {here} is already in {before}; remove one of them")
        raise DataError(
            f"{unit} {numbers[later]}: time {here} is before {utc_text(int(opened_at_s[later - 1]))} of {before}; "
            "sort the file by time, oldest first"
        )


def _check_closed(rows: _Rows, unit: str, timeframe: Timeframe, now: datetime) -> None:
    """Raises DataError unless every candle has closed by `now`."""
    opened_at_s, numbers = rows.opened_at_s, rows.numbers
    open_ = opened_at_s + timeframe.seconds > now.timestamp()
    if open_.any():
        first = int(np.argmax(open_))
        ahead = "lies in the future" if opened_at_s[first] > now.timestamp() else "has not closed yet"
        raise DataError(
            f"{unit} {numbers[first]}: the candle of time {utc_text(int(opened_at_s[first]))} {ahead} (now is "
            f"{utc_text(int(now.timestamp()))}); remove it, or check the time zone of the file"
        )


def _timeframe_of(rows: _Rows, asked: Timeframe | None) -> Timeframe:
    """The timeframe asked for, if the rows do not contradict it; None asks for the one that they tell.

    Raises DataError.
    """
    lengths, counts = np.unique(np.diff(rows.opened_at_s), return_counts=True)
    steps = _Steps(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))
    if asked is None:
        return _told_timeframe(steps)
    _check_timeframe(steps, asked)
    return asked


@dataclass(frozen=True, slots=True)
class _Steps:
    """How often each step from candle to candle occurs, by its seconds, shortest first."""

    counts: Mapping[int, int]

    @property
    def total(self) -> int:
        """How many there are: one fewer than candles."""
        return sum(self.counts.values())

    @property
    def usual_s(self) -> int:
        """The most frequent one; of several the shortest."""
        return max(self.counts, key=lambda each: self.counts[each])

    def agree_with(self, timeframe: Timeframe) -> bool:
        """Most are of its length.

        A market whose session holds only a few candles has many longer steps, so a quarter of the right length is
        enough.
        """
        wanted, usual_s = self.counts.get(timeframe.seconds, 0), self.usual_s
        return wanted == self.counts[usual_s] or (usual_s > timeframe.seconds and 4 * wanted >= self.total)

    @property
    def says(self) -> str:
        """What a person sees."""
        return f"{self.counts[self.usual_s]} of its {self.total} steps are {self.usual_s} s"

    @property
    def are_few(self) -> bool:
        """So few that they may all be holes of shorter candles: a few steps over a weekend say nothing."""
        return self.total < _STEPS_THAT_TELL


def _told_timeframe(steps: _Steps) -> Timeframe:
    """The shortest timeframe that the steps agree with: no candle opens before the one before it has ended.

    Raises DataError where there is none.
    """
    if not steps.counts:
        raise DataError("has one candle, and that does not tell its timeframe; name it with --timeframe")
    told = next((each for each in Timeframe if steps.agree_with(each)), None)
    if told is not None:
        return told
    known = ", ".join(each.value for each in Timeframe)
    may_be_holes = steps.are_few and steps.usual_s > min(each.seconds for each in Timeframe)
    what = "name it with --timeframe" if may_be_holes else "export it again as one of them"
    raise DataError(f"does not tell its timeframe: {steps.says}, which is none of {known}; {what}")


def _check_timeframe(steps: _Steps, timeframe: Timeframe) -> None:
    """Raises DataError if the usual step from candle to candle is not the timeframe asked for."""
    if not steps.counts or steps.agree_with(timeframe):
        return
    usual_s = steps.usual_s
    known = next((each for each in Timeframe if each.seconds == usual_s), None)
    if known is None and usual_s > timeframe.seconds and steps.are_few:
        return
    seems = f"{known.value} candles: read it as {known.value}" if known else f"steps of {usual_s} s: export it again"
    raise DataError(f"was asked for as {timeframe.value}, but {steps.says}; it seems to have {seems}")


_STEPS_THAT_TELL: Final = 5


# ----------------------------------------------------------------------------------------------------------- parquet

_OFFLINE: Final[dict[str, str | bool | int | float | list[str]]] = {
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "threads": "1",
}


def _read_parquet(path: Path) -> _Rows:
    """Prices must be numbers; times may be timestamps, integers or text. Raises DataError without the file's name."""
    import duckdb  # 65 ms that no other path should pay

    with path.open("rb"), duckdb.connect(config=_OFFLINE) as connection:  # opened first, for a plain OSError
        try:
            source = connection.read_parquet(glob.escape(str(path)))
            layout = layout_of(source.columns, _COLUMNS, row="candle")
            kinds = [str(source.types[at]) for at in layout]
            columns = zip(_COLUMNS, layout, kinds, strict=True)
            picked = (_picked(name, source.columns[at], kind) for name, at, kind in columns)
            table = source.project(", ".join(picked)).fetchnumpy()
        except duckdb.Error as error:
            raise DataError(f"is not a readable parquet file ({str(error).splitlines()[0]})") from error
    stamped = kinds[0].startswith(("TIMESTAMP", "DATE"))
    opened_at_s = _stamps_s(table["time"]) if stamped else _texts_s(table["time"].tolist())
    if len(opened_at_s) == 0:
        raise DataError("has columns and no candles; export it again")
    values = tuple(np.ma.filled(table[name], np.nan) for name in _NUMBERS)
    return _Rows(opened_at_s, values, np.arange(1, len(opened_at_s) + 1, dtype=np.int64))


def _picked(name: str, column: str, kind: str) -> str:
    """The SQL that yields one of our columns. Raises DataError for prices that are no numbers."""
    quoted = '"' + column.replace('"', '""') + '"'
    if name == "time":
        stamped = kind.startswith(("TIMESTAMP", "DATE"))
        return f"epoch_us({quoted}) AS time" if stamped else f"CAST({quoted} AS VARCHAR) AS time"
    if not kind.startswith(("DOUBLE", "FLOAT", "DECIMAL", "INT", "BIGINT", "UINTEGER", "UBIGINT")):
        raise DataError(f"column {name} holds {kind}, not numbers; export it as a floating-point column")
    number = f"CAST({quoted} AS DOUBLE)"
    return f"coalesce({number}, 0) AS volume" if name == "volume" else f"{number} AS {name}"


def _stamps_s(stamps_us: NDArray[np.int64]) -> Ints:
    wrong = np.ma.getmaskarray(stamps_us) | (np.ma.getdata(stamps_us) % 1_000_000 != 0)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataError(f"row {first + 1}: time is empty or not a whole second ({stamps_us[first]} µs since 1970)")
    return np.ma.getdata(stamps_us) // 1_000_000


def _texts_s(texts: Sequence[str | None]) -> Ints:
    if texts and max(len(each or "") for each in texts) <= TIME_BYTES:
        try:
            plain = plain_instants_s(np.array([each or "" for each in texts], dtype=f"S{TIME_BYTES}"))
        except UnicodeError:
            plain = None
        if plain is not None:
            return plain
    instants = []
    for row, text in enumerate(texts, start=1):
        try:
            instants.append(instant_s(text or ""))
        except ValueError as error:
            raise DataError(f"row {row}: {error}") from error
    return np.array(instants, dtype=np.int64)


# ----------------------------------------------------------------------------------------------------------- writing


def write_candles(path: Path, series: CandleSeries) -> None:
    """Write a series so that `read_candles` gives it back, number for number; the file is whole or as it was before.

    Raises UsageError for a name or an empty series that could not be read back, StorageError if the disk refuses.
    """
    suffix = next((each for each in _SUFFIXES if path.name.lower().endswith(each)), "")
    if not suffix or len(series) == 0:
        fault = "holds no candles" if suffix else f"the name ends in none of {', '.join(_SUFFIXES)}"
        raise UsageError(f"{path}: {fault}; nothing was written")
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        if suffix == ".parquet":
            _write_parquet(draft, series)
        else:
            text = _csv_text(series).encode()
            draft.write_bytes(gzip.compress(text, 6, mtime=0) if suffix == ".csv.gz" else text)
        with draft.open("rb") as written:
            os.fsync(written.fileno())  # or a crash could leave the new name on an empty file
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror or error}); check folder and space") from error
    finally:
        draft.unlink(missing_ok=True)


def _csv_text(series: CandleSeries) -> str:
    times = np.datetime_as_string(series.opened_at_s.astype("datetime64[s]")).tolist()
    numbers = (series.open, series.high, series.low, series.close, series.volume)
    rows = zip(times, *(each.tolist() for each in numbers), strict=True)
    lines = [
        f"{time}Z,{open_!r},{high!r},{low!r},{close!r},{volume!r}" for time, open_, high, low, close, volume in rows
    ]
    return "\n".join((",".join(_COLUMNS), *lines, ""))


_COPY: Final = """
    COPY (SELECT make_timestamptz(time * 1000000) AS time, open, high, low, close, volume FROM series)
    TO ? (FORMAT parquet, COMPRESSION zstd)
"""


def _write_parquet(path: Path, series: CandleSeries) -> None:
    import duckdb

    columns = {"time": series.opened_at_s, **{name: getattr(series, name) for name in _NUMBERS}}
    with duckdb.connect(config=_OFFLINE) as connection:
        connection.register("series", columns)
        try:
            connection.execute(_COPY, [str(path)])
        except duckdb.IOException as error:
            raise OSError(str(error).splitlines()[0]) from error
