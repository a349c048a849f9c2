"""Reading and writing candle files: whole and exact, or one error that names the place."""

import gzip
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import BotError, DataError, StorageError, UsageError
from bot.instruments import AssetClass, Symbol
from bot.layer1_data.feeds.candle_files import read_candles, write_candles
from bot.models import CandleSeries, Timeframe

NOW = datetime(2030, 1, 1, tzinfo=UTC)
START_S = 1_709_251_200  # 2024-03-01T00:00:00Z
SYMBOL = Symbol("BTC/USDT")
HEADER = "time,open,high,low,close,volume"
GOOD_LINES = (
    "2024-03-01T00:00:00Z,100,103,99,102,5",
    "2024-03-01T01:00:00Z,102,104,101,103,6",
    "2024-03-01T02:00:00Z,103,105,102,104,7",
    "2024-03-01T03:00:00Z,104,106,103,105,8",
)
NAMES = ("candles.csv", "candles.csv.gz", "candles.parquet")


def read(path: Path, timeframe: Timeframe | None = Timeframe.H1, now: datetime = NOW) -> CandleSeries:
    return read_candles(path, SYMBOL, timeframe, asset_class=AssetClass.CRYPTO, now=now)


def written(folder: Path, *lines: str, name: str = "candles.csv") -> Path:
    path = folder / name
    data = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def with_line(number: int, text: str) -> tuple[str, ...]:
    """The good file with one line, counted from 1, replaced."""
    lines = [HEADER, *GOOD_LINES]
    lines[number - 1] = text
    return tuple(lines)


def parquet(path: Path, columns: Mapping[str, str], *, rows: int = 4) -> Path:
    """A parquet file with SQL expressions over the row index `i` as columns; an empty expression leaves one out."""
    plain = {"time": "1709251200 + i * 3600", "open": "1", "high": "1.0", "low": "1.0", "close": "1.0", "volume": "0"}
    picked = ", ".join(f"{expression} AS {name}" for name, expression in {**plain, **columns}.items() if expression)
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT {picked} FROM range({rows}) r(i)) TO ? (FORMAT parquet)", [str(path)])  # noqa: S608
    return path


def columns(series: CandleSeries) -> list[list[float]]:
    return [each.tolist() for each in (series.open, series.high, series.low, series.close, series.volume)]


# -------------------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("name", ["candles.csv", "CANDLES.CSV.GZ", "candles.csv.gz"])
def test_a_csv_file_becomes_columns_in_file_order(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    data = "\n".join((HEADER, *GOOD_LINES)).encode()
    path.write_bytes(gzip.compress(data) if name.lower().endswith("gz") else data)

    series = read(path)

    assert series.opened_at_s.tolist() == [START_S + 3_600 * index for index in range(4)]
    assert series.candle(1).closed_at == datetime(2024, 3, 1, 2, tzinfo=UTC)
    assert columns(series) == [
        [100, 102, 103, 104],
        [103, 104, 105, 106],
        [99, 101, 102, 103],
        [102, 103, 104, 105],
        [5, 6, 7, 8],
    ]
    assert series.segment.tolist() == [0, 0, 0, 0]


def test_columns_may_stand_in_any_order_with_others_between_them(tmp_path: Path) -> None:
    path = written(tmp_path, "Volume,note,LOW,open,close,High,time", "5,fine,99,100,102,103,2024-03-01T00:00:00Z")

    series = read(path)

    assert columns(series) == [[100], [103], [99], [102], [5]]
    assert series.opened_at(0) == datetime(2024, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        "2024-03-01T00:00:00Z",
        "2024-03-01T00:00:00+00:00",
        "2024-03-01T00:00:00",
        "2024-03-01 00:00:00",
        "2024-03-01T00:00",
        "2024-03-01",
        "2024-03-01T00:00:00.000Z",
        "2024-03-01T02:00:00+02:00",
        "1709251200",
        "1709251200.0",
        "1709251200000",
        '"2024-03-01T00:00:00Z"',
        "  2024-03-01T00:00:00Z ",
    ],
)
def test_every_understood_way_to_write_a_time_is_the_same_instant(tmp_path: Path, time: str) -> None:
    series = read(written(tmp_path, HEADER, f"{time},1,1,1,1,0"))

    assert series.opened_at_s.tolist() == [START_S]


def test_times_written_in_different_ways_may_be_mixed(tmp_path: Path) -> None:
    times = ("1709251200", "2024-03-01T01:00:00Z", "1709258400000", "2024-03-01 05:00:00+02:00")

    series = read(written(tmp_path, HEADER, *(f"{time},1,1,1,1,0" for time in times)))

    assert np.diff(series.opened_at_s).tolist() == [3_600, 3_600, 3_600]


def test_windows_line_ends_a_byte_order_mark_blank_lines_and_quotes_are_understood(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv"
    text = f"\ufeff{HEADER}\r\n" + GOOD_LINES[0].replace("100", '"100"') + "\r\n\r\n" + GOOD_LINES[1] + "\r\n\r\n"
    path.write_bytes(text.encode())

    series = read(path)

    assert series.open.tolist() == [100, 102]


def test_an_empty_volume_is_zero(tmp_path: Path) -> None:
    assert read(written(tmp_path, *with_line(3, "2024-03-01T01:00:00Z,102,104,101,103,"))).volume.tolist() == [
        5,
        0,
        7,
        8,
    ]


def test_a_hole_of_more_than_three_candles_starts_a_new_segment(tmp_path: Path) -> None:
    lines = [f"{START_S + 3_600 * hour},1,1,1,1,0" for hour in (0, 1, 2, 3, 7, 8, 13, 14)]

    series = read(written(tmp_path, HEADER, *lines))

    assert series.segment.tolist() == [0, 0, 0, 0, 0, 0, 1, 1]


def test_a_file_larger_than_one_block_is_read_whole_and_its_lines_are_counted_on(tmp_path: Path) -> None:
    lines = [
        f"{START_S + 60 * index},1.0000000000001,2.0000000000001,0.5000000000001,1.5000000000001,{index}"
        for index in range(70_000)
    ]
    path = written(tmp_path, HEADER, *lines)
    assert path.stat().st_size > 4 << 20

    series = read(path, Timeframe.M1)
    path.write_bytes(path.read_bytes()[:-2] + b"x\n")

    assert series.volume.tolist() == list(range(70_000))
    with pytest.raises(DataError, match=r"line 70001: volume is '6999x', not a number"):
        read(path, Timeframe.M1)


@pytest.mark.parametrize(
    "time",
    [
        "make_timestamptz(1709251200000000 + i * 3600000000)",
        "make_timestamp(1709251200000000 + i * 3600000000)",
        "make_timestamp_ns(1709251200000000000 + i * 3600000000000)",
        "1709251200 + i * 3600",
        "1709251200000 + i * 3600000",
        "(1709251200 + i * 3600)::DOUBLE",
        "strftime(make_timestamp(1709251200000000 + i * 3600000000), '%Y-%m-%dT%H:%M:%SZ')",
        "strftime(make_timestamp(1709251200000000 + i * 3600000000), '%Y-%m-%dT%H:%M:%S.000+00:00')",
        "strftime(make_timestamp(1709258400000000 + i * 3600000000), '%Y-%m-%dT%H:%M:%S+02:00')",
    ],
)
def test_parquet_times_may_be_timestamps_integers_or_text(tmp_path: Path, time: str) -> None:
    odd = {"high": "2.5", "low": "0.5::FLOAT", "volume": "NULL::BIGINT", "note": "'x'", "time": "", '"Time"': time}

    series = read(parquet(tmp_path / "odd [1] name*.parquet", odd, rows=3))

    assert series.opened_at_s.tolist() == [START_S, START_S + 3_600, START_S + 7_200]
    assert columns(series) == [[1] * 3, [2.5] * 3, [0.5] * 3, [1] * 3, [0] * 3]


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 1, 1, 2, 30]),
            st.lists(st.floats(min_value=1e-9, max_value=1e9), min_size=4, max_size=4).map(sorted),
            st.booleans(),
            st.floats(min_value=0, max_value=1e15),
        ),
        min_size=1,
        max_size=30,
    ),
    st.sampled_from(NAMES),
)
def test_what_was_written_is_read_back_number_for_number(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, list[float], bool, float]], name: str
) -> None:
    # Arrange: the steps before the last few are single, so that the timeframe is plain
    steps = [1] * (3 * len(rows)) + [step for step, _, _, _ in rows]
    made = rows * 4
    opened_at_s = START_S + 86_400 * np.cumsum(steps)
    low, first, second, high = (np.array([prices[at] for _, prices, _, _ in made]) for at in range(4))
    rising = np.array([each for _, _, each, _ in made])
    volume = np.array([each for _, _, _, each in made])
    series = CandleSeries(
        SYMBOL, Timeframe.D1, opened_at_s, np.where(rising, first, second), high, low, np.where(rising, second, first),
        volume, np.zeros(len(made), dtype=np.int64),
    )  # fmt: skip
    path = tmp_path_factory.mktemp("candles") / name

    # Act
    write_candles(path, series)
    back = read(path, Timeframe.D1, now=datetime(2300, 1, 1, tzinfo=UTC))

    # Assert
    assert back.opened_at_s.tolist() == opened_at_s.tolist()
    assert columns(back) == columns(series)


# ----------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("number", "text", "says"),
    [
        (3, "2024-03-01T01:00:00Z,102,104,1o1,103,6", "line 3: low is '1o1', not a number"),
        (3, "2024-03-01T01:00:00Z,,104,101,103,6", "line 3: open is '', not a number"),
        (3, "2024-03-01T01:00:00Z,1_02,104,101,103,6", "line 3: open is '1_02', not a number"),
        (3, '2024-03-01T01:00:00Z,"102,5",104,101,103,6', "line 3: open is '102,5', not a number"),
        (5, "2024-03-01T03:00:00Z,104,106,103,nan,8", "line 5: close nan is not a finite number"),
        (5, "2024-03-01T03:00:00Z,104,inf,103,105,8", "line 5: high inf is not a finite number"),
        (5, "2024-03-01T03:00:00Z,104,106,103,105,inf", "line 5: volume inf is not a finite number"),
        (2, "2024-03-01T00:00:00Z,100,103,0,102,5", "line 2: low 0.0 is not above 0"),
        (2, "2024-03-01T00:00:00Z,-100,103,99,102,5", "line 2: open -100.0 is not above 0"),
        (4, "2024-03-01T02:00:00Z,103,102.5,102,102.25,7", "line 4: high 102.5 is below open 103.0"),
        (4, "2024-03-01T02:00:00Z,103,105,102,105.5,7", "line 4: high 105.0 is below close 105.5"),
        (4, "2024-03-01T02:00:00Z,103,105,103.5,104,7", "line 4: low 103.5 is above open 103.0"),
        (4, "2024-03-01T02:00:00Z,103,101,102,101,7", "line 4: high 101.0 is below open 103.0"),
        (4, "2024-03-01T02:00:00Z,103,105,102,104,-7", "line 4: volume -7.0 is below 0"),
        (4, "2024-03-01T02:00:00Z,103,105,102,104", "line 4: has 5 cells where the header names 6"),
        (4, "2024-03-01T02:00:00Z,103,105,102,104,7,8", "line 4: has 7 cells where the header names 6"),
        (4, '2024-03-01T02:00:00Z,"103,105,102,104,7', "line 4: unexpected end of data; correct the line"),
        (4, "2024-13-01T02:00:00Z,103,105,102,104,7", "line 4: time is '2024-13-01T02:00:00Z', neither ISO-8601"),
        (4, "1 March 2024,103,105,102,104,7", "line 4: time is '1 March 2024', neither ISO-8601"),
        (4, "20240301,103,105,102,104,7", "line 4: time is '20240301', neither ISO-8601"),
        (4, ",103,105,102,104,7", "line 4: time is '', neither ISO-8601"),
        (4, "2024-03-01T02:00:00.500Z,103,105,102,104,7", "line 4: time is '2024-03-01T02:00:00.500Z', not a whole"),
        (4, "1709258400500,103,105,102,104,7", "line 4: time is '1709258400500', not a whole second"),
        (4, "2024-03-01T01:00:00Z,103,105,102,104,7", "line 4: time 2024-03-01T01:00:00Z is already in line 3"),
        (
            4,
            "2024-02-29T02:00:00Z,103,105,102,104,7",
            "line 4: time 2024-02-29T02:00:00Z is before 2024-03-01T01:00:00Z of line 3; sort",
        ),
        (
            5,
            "2031-03-01T03:00:00Z,104,106,103,105,8",
            "line 5: the candle of time 2031-03-01T03:00:00Z lies in the future (now is 2030-01-01T00:00:00Z)",
        ),
    ],
)
@pytest.mark.parametrize("name", ["candles.csv", "candles.csv.gz"])
def test_one_bad_line_refuses_the_file_and_is_named(
    tmp_path: Path, number: int, text: str, says: str, name: str
) -> None:
    path = written(tmp_path, *with_line(number, text), name=name)

    with pytest.raises(DataError) as refusal:
        read(path)

    assert str(refusal.value).startswith(f"{path}: {says}")
    assert ";" in str(refusal.value)  # what follows says what to do


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (("1709251200", "+170925480"), "line 3: time is '+170925480', neither ISO-8601"),
        (("1709251200000", "1709254800500"), "line 3: time is '1709254800500', not a whole second"),
        (("2024-03-01T00:00:00Z", "2024-03-01T01:00:00X"), "line 3: time is '2024-03-01T01:00:00X', neither ISO-8601"),
        (("2024-03-01T00:00:00Z", "2024/03/01T01:00:00Z"), "line 3: time is '2024/03/01T01:00:00Z', neither ISO-8601"),
        (("2024-03-01T00:00:00Z", "2024-03-01T01:00: 0Z"), "line 3: time is '2024-03-01T01:00: 0Z', neither ISO-8601"),
    ],
)
def test_a_time_that_only_resembles_those_before_it_is_named(tmp_path: Path, times: tuple[str, ...], says: str) -> None:
    with pytest.raises(DataError) as refusal:
        read(written(tmp_path, HEADER, *(f"{time},1,1,1,1,0" for time in times)))

    assert says in str(refusal.value)


def test_a_line_without_its_last_unused_cell_is_refused_also_before_a_blank_line(tmp_path: Path) -> None:
    path = written(tmp_path, f"{HEADER},note", GOOD_LINES[0], "")

    with pytest.raises(DataError, match="line 2: has 6 cells where the header names 7"):
        read(path)


def test_lines_are_counted_as_an_editor_does_also_after_blank_lines(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, "", GOOD_LINES[0], "", "", GOOD_LINES[1].replace("101", "-1"))

    with pytest.raises(DataError, match=r"line 6: low -1\.0 is not above 0"):
        read(path)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((), "is empty; it needs a first line time,open,high,low,close,volume"),
        ((HEADER,), "has a header and no candles"),
        ((HEADER, "", ""), "has a header and no candles"),
        (GOOD_LINES, "line 1 is '2024-03-01T00:00:00Z,100,103,99,102,5', not a header; add a first line time,open"),
        (("time,open,high,low,close", "2024-03-01,1,1,1,1"), "column volume is missing; the header names time, open"),
        (("date,open,high,low,close,volume", GOOD_LINES[0]), "column time is missing; the header names date, open"),
        (("time;open;high;low;close;volume", "2024-03-01;1;1;1;1;1"), "line 1 is 'time;open;high;low"),
        (("time,open,open,high,low,close,volume", "2024-03-01,1,1,1,1,1,1"), "column open is named twice"),
    ],
)
def test_a_file_without_its_header_or_candles_is_refused(tmp_path: Path, lines: tuple[str, ...], says: str) -> None:
    path = written(tmp_path, *lines)

    with pytest.raises(DataError) as refusal:
        read(path)

    assert str(refusal.value).startswith(f"{path}: {says}")


def test_a_candle_that_has_not_closed_by_now_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, *GOOD_LINES)
    closed = datetime(2024, 3, 1, 4, tzinfo=UTC)

    assert len(read(path, now=closed)) == 4
    with pytest.raises(DataError, match=r"line 5: the candle of time 2024-03-01T03:00:00Z has not closed yet"):
        read(path, now=closed - timedelta(seconds=1))


@pytest.mark.parametrize(
    ("step_s", "asked", "says"),
    [
        (3_600, Timeframe.H4, "was asked for as 4h, but 19 of its 19 steps are 3600 s; it seems to have 1h candles"),
        (3_600, Timeframe.M5, "it seems to have 1h candles: read it as 1h"),
        (86_400, Timeframe.H1, "it seems to have 1d candles: read it as 1d"),
        (7_200, Timeframe.H1, "it seems to have steps of 7200 s: export it again"),
        (1, Timeframe.M1, "it seems to have steps of 1 s: export it again"),
    ],
)
def test_a_file_of_another_timeframe_is_refused_with_the_one_it_seems_to_have(
    tmp_path: Path, step_s: int, asked: Timeframe, says: str
) -> None:
    path = written(tmp_path, HEADER, *(f"{START_S + step_s * index},1,1,1,1,0" for index in range(20)))

    with pytest.raises(DataError) as refusal:
        read(path, asked)

    assert says in str(refusal.value)


def test_daily_forex_candles_that_open_at_21_or_22_and_skip_weekends_are_read(tmp_path: Path) -> None:
    friday = datetime(2024, 3, 7, 22, tzinfo=UTC)
    opens = [friday, *(friday + timedelta(days=each, hours=-1) for each in (3, 4, 5, 6, 7, 10))]

    series = read(written(tmp_path, HEADER, *(f"{each.isoformat()},1,1,1,1,0" for each in opens)), Timeframe.D1)

    assert len(series) == 7


def test_a_session_of_two_candles_a_day_is_read_although_its_nights_are_more_frequent(tmp_path: Path) -> None:
    opens = [START_S + 86_400 * day + 14_400 * part for day in range(9) for part in (0, 1)][1:-1]

    series = read(written(tmp_path, HEADER, *(f"{each},1,1,1,1,0" for each in opens)), Timeframe.H4)

    assert len(series) == 16


def test_two_daily_candles_around_a_weekend_are_too_few_to_doubt_the_timeframe(tmp_path: Path) -> None:
    assert len(read(written(tmp_path, HEADER, "2024-03-01,1,1,1,1,0", "2024-03-04,1,1,1,1,0"), Timeframe.D1)) == 2


def opened(*steps_s: int) -> tuple[str, ...]:
    """Lines of candles that lie so many seconds apart."""
    instants = np.cumsum([START_S, *steps_s]).tolist()
    return (HEADER, *(f"{each},1,1,1,1,0" for each in instants))


@pytest.mark.parametrize("name", NAMES)
def test_a_file_whose_timeframe_nobody_names_is_read_as_what_its_rows_are(tmp_path: Path, name: str) -> None:
    series = read(written(tmp_path, HEADER, *GOOD_LINES))
    path = tmp_path / "out" / name
    path.parent.mkdir()
    write_candles(path, series)

    assert read(path, None).timeframe is Timeframe.H1


@pytest.mark.parametrize(
    ("steps_s", "timeframe"),
    [
        *(([each.seconds] * 3, each) for each in Timeframe),
        ([3_600], Timeframe.H1),
        ([86_400, 259_200] * 4 + [86_400], Timeframe.D1),  # weekends
        ([86_400] * 5 + [82_800, 90_000, 259_200], Timeframe.D1),  # clocks are changed
        ([60] * 4 + [120] * 3 + [180, 300, 600], Timeframe.M1),  # minutes without a trade
        ([14_400, 72_000] * 8, Timeframe.H4),  # a session of two candles
        ([72_000, 14_400] * 8 + [72_000], Timeframe.H4),
        ([300] * 6 + [60] * 4, Timeframe.M1),  # five minutes apart more often, and no 5m candle is followed so soon
    ],
)
def test_holes_sessions_and_changed_clocks_do_not_hide_the_timeframe(
    tmp_path: Path, steps_s: list[int], timeframe: Timeframe
) -> None:
    path = written(tmp_path, *opened(*steps_s))

    assert read(path, None).timeframe is timeframe
    assert read(path, timeframe).timeframe is timeframe  # what is worked out is never refused when it is named


@pytest.mark.parametrize(
    ("steps_s", "says"),
    [
        ([], "has one candle, and that does not tell its timeframe; name it with --timeframe"),
        ([7_200] * 9, "9 of its 9 steps are 7200 s, which is none of 1m, 5m, 15m, 30m, 1h, 4h, 1d; export it again as"),
        ([1] * 9, "9 of its 9 steps are 1 s, which is none of"),
        ([259_200], "1 of its 1 steps are 259200 s, which is none of 1m, 5m, 15m, 30m, 1h, 4h, 1d; name it with"),
    ],
)
def test_rows_that_do_not_tell_the_timeframe_are_refused_with_what_was_seen_and_what_to_do(
    tmp_path: Path, steps_s: list[int], says: str
) -> None:
    path = written(tmp_path, *opened(*steps_s))

    with pytest.raises(DataError) as refusal:
        read(path, None)

    assert str(refusal.value).startswith(f"{path}: ")
    assert says in str(refusal.value)


@given(
    steps_s=st.lists(st.sampled_from([60, 120, 300, 3_600, 7_200, 14_400, 72_000, 82_800, 86_400]), max_size=12),
)
def test_what_rows_tell_is_a_timeframe_under_which_they_are_read_too(
    tmp_path_factory: pytest.TempPathFactory, steps_s: list[int]
) -> None:
    path = written(tmp_path_factory.mktemp("rows"), *opened(*steps_s))
    try:
        told = read(path, None)
    except DataError:
        return
    assert columns(read(path, told.timeframe)) == columns(told)


@pytest.mark.parametrize("cut", [5, 40])
def test_a_cut_gzip_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path, HEADER, *GOOD_LINES, name="candles.csv.gz")
    path.write_bytes(path.read_bytes()[:-cut])

    with pytest.raises(DataError, match=r"candles\.csv\.gz: is not a whole gzip file"):
        read(path)


def test_plain_text_under_a_gzip_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "candles.csv.gz"
    path.write_text(HEADER)

    with pytest.raises(DataError, match="is not a whole gzip file"):
        read(path)


@pytest.mark.parametrize("text", [HEADER.encode("utf-16"), HEADER.encode() + b"\n2024-03-01,\xff,1,1,1,1\n"])
def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "candles.csv"
    path.write_bytes(text)

    with pytest.raises(DataError, match="is not UTF-8 text"):
        read(path)


@pytest.mark.parametrize(
    ("name", "expression", "says"),
    [
        ("close", "if(i = 2, -1.0, 1.0)", "row 3: close -1.0 is not above 0"),
        ("close", "if(i = 2, NULL, 1.0)", "row 3: close nan is not a finite number"),
        ("time", "if(i = 2, 'soon', '2024-03-01')", "row 3: time is 'soon', neither ISO-8601"),
        ("time", "if(i = 2, NULL, '2024-03-01')", "row 3: time is '', neither ISO-8601"),
        ("time", "if(i = 2, NULL, date '2024-03-01')", "row 3: time is empty or not a whole second"),
        ("time", "make_timestamp(1709251200000000 + i)", "row 2: time is empty or not a whole second"),
        ("time", "1709251200 - i * 3600", "row 2: time 2024-02-29T23:00:00Z is before 2024-03-01T00:00:00Z of row 1"),
        ("open", "'1'", "column open holds VARCHAR, not numbers"),
        ("volume", "", "column volume is missing; the header names time, open"),
    ],
)
def test_a_bad_parquet_row_or_column_is_named(tmp_path: Path, name: str, expression: str, says: str) -> None:
    path = parquet(tmp_path / "candles.parquet", {name: expression})

    with pytest.raises(DataError) as refusal:
        read(path)

    assert str(refusal.value).startswith(f"{path}: {says}")


def test_a_parquet_file_without_rows_or_without_parquet_is_refused(tmp_path: Path) -> None:
    empty, broken = parquet(tmp_path / "empty.parquet", {}, rows=0), tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 is not enough")

    with pytest.raises(DataError, match=r"empty\.parquet: has columns and no candles"):
        read(empty)
    with pytest.raises(DataError, match=r"broken\.parquet: is not a readable parquet file"):
        read(broken)


def test_a_wrong_path_is_a_usage_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    written(tmp_path, HEADER, name="candles.csv")

    with pytest.raises(UsageError, match=r"candels\.csv: no such file; did you mean candles\.csv\?"):
        read(tmp_path / "candels.csv")
    with pytest.raises(UsageError, match=r"no such file; check the path"):
        read(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(UsageError, match=r"cannot be read \(File name too long\); check the path and its rights"):
        read(tmp_path / f"{'x' * 300}.csv")
    with pytest.raises(UsageError, match=r"is a folder; name one file in it"):
        read(tmp_path / "folder.csv")
    with pytest.raises(UsageError, match=r"candles\.json: the name ends in none of \.csv, \.csv\.gz, \.parquet"):
        read(tmp_path / "candles.json")


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=200), st.integers(0, 200), st.sampled_from(["candles.csv", "candles.csv.gz"]))
def test_damaged_bytes_end_in_our_error_or_in_a_sound_series(
    tmp_path_factory: pytest.TempPathFactory, damage: bytes, at: int, name: str
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = written(folder, HEADER, *GOOD_LINES, name=name)
    data = path.read_bytes()
    path.write_bytes(data[:at] + damage + data[at + len(damage) :])

    try:
        series = read(path)
    except BotError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 a sound series is as good an answer
    else:
        assert len(series) > 0
        assert (np.diff(series.opened_at_s) > 0).all()
        assert ((series.low <= series.close) & (series.close <= series.high) & (series.low > 0)).all()


# ------------------------------------------------------------------------------------------------------------- writing


def series_of(tmp_path: Path) -> CandleSeries:
    return read(written(tmp_path, HEADER, *GOOD_LINES, name="source.csv"))


@pytest.mark.parametrize("name", NAMES)
def test_a_write_replaces_the_file_and_leaves_nothing_else_behind(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / name).write_text("old")

    write_candles(folder / name, series_of(tmp_path))

    assert [each.name for each in folder.iterdir()] == [name]
    assert read(folder / name).open.tolist() == [100, 102, 103, 104]


def test_a_gzip_file_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_candles(tmp_path / "a.csv.gz", series_of(tmp_path))
    write_candles(tmp_path / "b.csv.gz", series_of(tmp_path))

    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()


@pytest.mark.parametrize("name", NAMES)
def test_a_write_into_a_missing_folder_is_a_storage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        write_candles(tmp_path / "nowhere" / name, series_of(tmp_path))


@pytest.mark.parametrize("name", NAMES)
def test_a_write_that_fails_at_the_end_leaves_no_draft(tmp_path: Path, name: str) -> None:
    series = series_of(tmp_path)
    folder = tmp_path / "out"
    (folder / name).mkdir(parents=True)

    with pytest.raises(StorageError, match="cannot be written"):
        write_candles(folder / name, series)

    assert [each.name for each in folder.iterdir()] == [name]


def test_a_star_in_a_parquet_name_is_not_a_pattern(tmp_path: Path) -> None:
    parquet(tmp_path / "odd2.parquet", {}, rows=3)

    assert len(read(parquet(tmp_path / "odd*.parquet", {}, rows=7))) == 7


def test_nothing_is_written_that_could_not_be_read_back(tmp_path: Path) -> None:
    series = series_of(tmp_path)

    with pytest.raises(UsageError, match="holds no candles"):
        write_candles(tmp_path / "out.csv", series.slice(0, 0))
    with pytest.raises(UsageError, match="ends in none of"):
        write_candles(tmp_path / "out.txt", series)
    assert not list(tmp_path.glob("out*"))
