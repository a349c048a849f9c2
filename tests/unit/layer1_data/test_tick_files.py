"""Reading files of quotes: whole and exact, or one error that names the place."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import DataError, UsageError
from bot.layer1_data.feeds.tick_files import TickSeries, read_ticks

NOW = datetime(2030, 1, 1, tzinfo=UTC)
HEADER = "time,bid,ask"
GOOD_LINES = (
    "2024-03-01T00:00:00.250Z,1.1,1.2",
    "2024-03-01T00:00:00.250Z,1.15,1.2",
    "2024-03-01T00:00:01.5Z,1.1,1.1",
)


def written(folder: Path, *lines: str, name: str = "ticks.csv", end: str = "\n") -> Path:
    path = folder / name
    data = "".join(f"{line}{end}" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def with_line(number: int, text: str) -> tuple[str, ...]:
    """The good file with one line, counted from 1, replaced."""
    lines = [HEADER, *GOOD_LINES]
    lines[number - 1] = text
    return tuple(lines)


def rows(ticks: TickSeries) -> list[tuple[datetime, float, float]]:
    return [(ticks.at(index), ticks.bid[index], ticks.ask[index]) for index in range(len(ticks))]


START = datetime(2024, 3, 1, tzinfo=UTC)
QUARTER = timedelta(milliseconds=250)
EXPECTED = [(START + QUARTER, 1.1, 1.2), (START + QUARTER, 1.15, 1.2), (START + 6 * QUARTER, 1.1, 1.1)]


@pytest.mark.parametrize("name", ["ticks.csv", "ticks.csv.gz"])
def test_quotes_are_read_in_file_order_to_the_millisecond_and_may_share_a_time(tmp_path: Path, name: str) -> None:
    assert rows(read_ticks(written(tmp_path, HEADER, *GOOD_LINES, name=name), now=NOW)) == EXPECTED


@pytest.mark.parametrize(
    "lines",
    [
        ("ask,time,note,bid", *(f"{b},{t},x,{a}" for t, a, b in (each.split(",") for each in GOOD_LINES))),
        (HEADER, *(each.replace("T", " ").replace("Z", "+00:00") for each in GOOD_LINES)),
        (HEADER, *(each.replace("T00", "T02").replace("Z", "+02:00") for each in GOOD_LINES)),
        (HEADER, *(each.replace("Z", "") for each in GOOD_LINES)),
        (HEADER, GOOD_LINES[0], "", GOOD_LINES[1], '"2024-03-01T00:00:01.5Z","1.1",1.1'),
        (HEADER, "1709251200250,1.1,1.2", "1709251200250,1.15,1.2", "1709251201500,1.1,1.1"),
    ],
    ids=["other order", "spaces", "offset", "no zone", "quoted and blank", "milliseconds"],
)
def test_other_ways_to_write_the_same_quotes_are_read_alike(tmp_path: Path, lines: tuple[str, ...]) -> None:
    assert rows(read_ticks(written(tmp_path, *lines), now=NOW)) == EXPECTED


def test_lines_may_end_as_other_systems_end_them_and_the_last_without_one(tmp_path: Path) -> None:
    path = tmp_path / "ticks.csv"
    path.write_bytes("﻿".encode() + "\r\n".join((HEADER, *GOOD_LINES)).encode())
    assert rows(read_ticks(path, now=NOW)) == EXPECTED


@settings(deadline=None, max_examples=100)
@given(
    steps=st.lists(st.integers(min_value=0, max_value=10**10), min_size=1, max_size=20),
    digits=st.sampled_from([0, 3, 6]),
)
def test_the_quick_and_the_careful_way_read_the_same_times(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], digits: int
) -> None:
    scale = 10 ** (6 - digits)
    instants: list[datetime] = []
    for step in steps:
        instants.append((instants[-1] if instants else START) + timedelta(microseconds=step // scale * scale))
    spec = {0: "seconds", 3: "milliseconds", 6: "microseconds"}[digits]
    texts = [each.isoformat(timespec=spec).replace("+00:00", "Z") for each in instants]
    folder = tmp_path_factory.mktemp("ticks")
    plain = written(folder, HEADER, *(f"{text},1,2" for text in texts))
    odd = written(folder, HEADER, *(f'"{text}",1,2' for text in texts), name="odd.csv")
    quick, careful = read_ticks(plain, now=NOW), read_ticks(odd, now=NOW)
    assert quick.at_us.tolist() == careful.at_us.tolist()
    assert quick.at(len(quick) - 1) == instants[-1]


def test_crossed_quotes_are_quarantined_and_the_others_keep_their_places(tmp_path: Path) -> None:
    ticks = read_ticks(written(tmp_path, *with_line(3, "2024-03-01T00:00:00.250Z,1.3,1.2")), now=NOW)
    assert (ticks.rows.tolist(), ticks.crossed) == ([0, 2], 1)
    assert ticks.part(1, None).rows.tolist() == [1]
    assert ticks.part(0, 2).rows.tolist() == [0]


def test_the_first_quote_at_an_instant_is_found_by_time(tmp_path: Path) -> None:
    ticks = read_ticks(written(tmp_path, HEADER, *GOOD_LINES), now=NOW)
    found = [ticks.first_at(START + each * QUARTER) for each in (0, 1, 2, 6, 7)]
    assert found == [0, 0, 2, 2, 3]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((), "is empty; it needs a first line time,bid,ask"),
        ((HEADER,), "has a header and no quotes"),
        (GOOD_LINES, "line 1 is '2024-03-01T00:00:00.250Z,1.1,1.2', not a header"),
        (("time,bid", "2024-03-01T00:00:00Z,1"), "column ask is missing"),
        (("time,open,high,low,close,volume", "x"), "it seems to hold candles: give it as --candles"),
        (("time,bid,ask,bid", "x"), "column bid is named twice"),
        (with_line(3, "2024-03-01T00:00:00Z,1.1"), "line 3: has 2 cells where the header names 3"),
        (with_line(3, "yesterday,1.1,1.2"), "line 3: time is 'yesterday', neither ISO-8601"),
        (with_line(3, "2024-13-01T00:00:00Z,1.1,1.2"), "line 3: time is '2024-13-01T00:00:00Z'"),
        (with_line(3, ",1.1,1.2"), "line 3: time is ''"),
        (with_line(3, "2024-03-01T00:00:01Z,one,1.2"), "line 3: bid is 'one', not a number"),
        (with_line(3, "2024-03-01T00:00:01Z,1.1,"), "line 3: ask is '', not a number"),
        (with_line(3, "2024-03-01T00:00:01Z,1.1,1_2"), "line 3: ask is '1_2', not a number"),
        (with_line(3, "2024-03-01T00:00:01Z,nan,1.2"), "line 3: bid is nan, not a price above 0"),
        (with_line(3, "2024-03-01T00:00:01Z,1.1,inf"), "line 3: ask is inf, not a price above 0"),
        (with_line(3, "2024-03-01T00:00:01Z,0,1.2"), "line 3: bid is 0, not a price above 0"),
        (with_line(3, "2024-02-29T00:00:01Z,1,1.2"), "line 3: time 2024-02-29T00:00:01.000000Z is before"),
        (with_line(4, "2031-02-28T00:00:01Z,1,1.2"), "line 4: time 2031-02-28T00:00:01.000000Z lies in the future"),
        ((HEADER, "2024-03-01T00:00:01Z,2,1"), "the bid stands above the ask in every row"),
        ((HEADER, '"2024-03-01T00:00:01Z,2,1'), "line 2: "),
    ],
)
def test_each_fault_is_named_with_its_place(tmp_path: Path, lines: tuple[str, ...], says: str) -> None:
    path = written(tmp_path, *lines)
    with pytest.raises(DataError) as caught:
        read_ticks(path, now=NOW)
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)


def test_a_file_that_is_not_what_its_name_says_is_a_data_error(tmp_path: Path) -> None:
    torn = written(tmp_path, HEADER, *GOOD_LINES, name="torn.csv.gz")
    torn.write_bytes(torn.read_bytes()[:-9])
    plain = tmp_path / "plain.csv.gz"
    plain.write_bytes(b"time,bid,ask\n")
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"time,bid,ask\n\xff\xfe")
    for path, says in ((torn, "not a whole gzip file"), (plain, "not a whole gzip file"), (binary, "not UTF-8")):
        with pytest.raises(DataError, match=says):
            read_ticks(path, now=NOW)


def test_a_path_that_names_no_file_of_quotes_is_a_usage_error(tmp_path: Path) -> None:
    written(tmp_path, HEADER, *GOOD_LINES)
    for path, says in (
        (tmp_path / "tick.csv", "no such file; did you mean ticks.csv?"),
        (tmp_path / "ticks.parquet", "the name ends in none of .csv, .csv.gz"),
        (tmp_path, "is a folder"),
    ):
        with pytest.raises(UsageError) as caught:
            read_ticks(path, now=NOW)
        assert says in str(caught.value)
