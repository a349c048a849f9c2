"""`botctl exits` meets prices that cannot be, and prices that only may be: it does with them what the daemon does."""

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cli import main
from bot.instruments import Instrument, InstrumentRegistry
from bot.layer1_data.feeds.tick_files import TickSeries
from bot.layer1_data.quality import QuoteScreen
from bot.models import Quote, decimal_of
from bot.replay.doubtful_prices import believed
from tests.builders import START, instrument
from tests.replay.commands import settle_in

PLAN = {"side": "long", "entry": 100, "quantity": 10, "stop": 98, "targets": [[104, 0.5], [108, 0.5]]}
STEPS = {"tick": 0.001, "step": 1}
Exits = Callable[..., tuple[int, str, str]]


@pytest.fixture
def exits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Exits:
    """The command over rows of a file: exit code, answer and what was said beside it."""
    settle_in(tmp_path, monkeypatch)

    def asked(kind: str, *rows: str, entry: float | None = 100.0, symbol: str = "") -> tuple[int, str, str]:
        header = "time,open,high,low,close,volume" if kind == "candles" else "time,bid,ask"
        (tmp_path / "prices.csv").write_text("\n".join((header, *rows, "")))
        (tmp_path / "PLAN.json").write_text(json.dumps({**PLAN, "entry": entry, **({} if symbol else STEPS)}))
        code = main(
            ["exits", "--plan", "PLAN.json", f"--{kind}", "prices.csv", *(("--symbol", symbol) if symbol else ())]
        )
        told = capsys.readouterr()
        return code, told.out, told.err

    return asked


def candle(hour: int, prices: str) -> str:
    return f"2024-01-01T0{hour}:00:00Z,{prices},1"


def quote(second: int, prices: str) -> str:
    return f"2024-01-01T00:00:0{second}Z,{prices}"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (candle(1, "100,99,101,100"), "line 3: high 99.0 is below open 100.0; correct or remove the line"),
        (candle(1, "100,101,99,105"), "line 3: high 101.0 is below close 105.0"),
        (candle(1, "100,101,99,98"), "line 3: low 99.0 is above close 98.0"),
        (candle(1, "0,101,0,100"), "line 3: open 0.0 is not above 0"),
        (candle(1, "100,101,-5,100"), "line 3: low -5.0 is not above 0"),
        (candle(1, "nan,101,99,100"), "line 3: open nan is not a finite number"),
        (candle(1, "100,inf,99,100"), "line 3: high inf is not a finite number"),
        (candle(0, "100,101,99,100"), "line 3: time 2024-01-01T00:00:00Z is already in line 2; remove one of them"),
        ("2023-12-31T23:00:00Z,100,101,99,100,1", "sort the file by time, oldest first"),
    ],
)
def test_a_candle_that_the_feed_quarantines_is_refused_with_its_place_and_value(
    exits: Exits, row: str, says: str
) -> None:
    calm = "100,101,99,100"

    code, out, err = exits("candles", candle(0, calm), row, candle(2, calm), candle(3, calm))

    assert (code, out) == (5, "")
    assert f"prices.csv: {says}" in err or ("prices.csv: line 3" in err and says in err)


def test_a_candle_that_jumps_is_played_as_the_feed_takes_it_and_told(exits: Exits) -> None:
    calm = "100,101,99,100"

    code, out, err = exits("candles", candle(0, calm), candle(1, "10000,10100,9900,10000"), candle(2, calm))

    assert code == 0
    assert "closed: TARGET_2" in out
    assert "note: 2 candles jump: candle 1 (2024-01-01T01:00:00Z) from 100 to 10000; the daemon's feed takes" in err


def test_a_file_that_does_not_belong_to_the_entry_is_told(exits: Exits) -> None:
    low = "1.1,1.2,1.0,1.1"

    _, _, err = exits("candles", candle(0, low), candle(1, low))

    assert "note: 1 candle jumps: candle 0 (2024-01-01T00:00:00Z) from 100 to 1.1;" in err


def test_calm_candles_are_played_without_a_remark(exits: Exits) -> None:
    _, _, err = exits("candles", *(candle(hour, "100,101,99,100") for hour in range(4)))

    assert "jump" not in err


@pytest.mark.parametrize("wild", ["10000,10001", "1,1.1"])
def test_a_lone_quote_that_jumps_closes_nothing_and_is_told(exits: Exits, wild: str) -> None:
    code, out, err = exits("ticks", quote(0, "100,100.1"), quote(1, wild), quote(2, "100,100.1"))

    assert code == 0
    assert "10 is still open" in out
    assert "note: 1 quote is left out, as by the daemon: row 1 (2024-01-01T00:00:01Z) jumps from 100.05 to" in err


def test_a_jump_that_a_second_quote_shows_is_believed_from_that_one_on(exits: Exits) -> None:
    quotes = (quote(0, "100,100.1"), quote(1, "50,50.1"), quote(2, "49.9,50"), quote(3, "50,50.1"))

    _, out, err = exits("ticks", *quotes)

    assert "closed: STOP" in out
    assert "49.9" in out
    assert "1 quote is left out" in err


def test_a_spread_that_is_absurd_for_the_instrument_is_left_out_and_told(exits: Exits) -> None:
    quotes = (quote(0, "100,100.01"), quote(1, "97,103"), quote(2, "100,100.01"))

    _, out, err = exits("ticks", *quotes, symbol="AAPL")

    assert "10 is still open" in out
    assert "spread 6.0 is absurd" in err


def test_quotes_of_which_the_daemon_would_believe_none_are_refused(exits: Exits) -> None:
    code, _, err = exits("ticks", quote(0, "1.1,1.2"))

    assert code == 5
    assert (
        "prices.csv: the daemon would act on none of its quotes: row 0 (2024-01-01T00:00:00Z) jumps from 100.0 " in err
    )


def screened_one_by_one(ticks: TickSeries, of: Instrument, known: Decimal | None) -> list[int]:
    """Rows that the daemon's own screen believes, asked about each."""
    screen = QuoteScreen(InstrumentRegistry([of]), max_age=timedelta(days=1))
    found, row = [], -1
    for index in range(len(ticks)):
        at, bid, ask = ticks.at(index), decimal_of(ticks.bid[index]), decimal_of(ticks.ask[index])
        if ticks.rows[index] > row + 1 >= 1:  # the file has a crossed quote here
            screen.fault(Quote(symbol=of.symbol, bid=ask + 1, ask=bid, at=at), now=at, known=known)
        row = int(ticks.rows[index])
        if not screen.fault(Quote(symbol=of.symbol, bid=bid, ask=ask, at=at), now=at, known=known):
            found.append(row)
    return found


steps = st.sampled_from([1.0, 1.0, 1.0, 1.05, 0.95, 1.19, 1.2, 1.2001, 0.8, 0.79, 100.0, 0.01])


@settings(deadline=None, max_examples=300)
@given(
    moves=st.lists(st.tuples(steps, st.booleans(), st.booleans(), st.sampled_from([0.01, 0.5, 2.0])), min_size=1),
    known=st.sampled_from([None, Decimal(100), Decimal(10)]),
)
def test_looking_only_where_a_price_moves_far_finds_what_asking_about_each_quote_finds(
    moves: list[tuple[float, bool, bool, float]], known: Decimal | None
) -> None:
    # Arrange: (how far from 100 or from the one before, whether from 100, whether later, its spread)
    bids, at, rows = [100.0], 0, [0]
    times = [0]
    for step, is_back, is_later, _ in moves:
        bids.append(round((100.0 if is_back else bids[-1]) * step, 2) or 0.01)
        at += is_later
        times.append(at)
        rows.append(rows[-1] + 1 + (step == 0.95))
    bid = np.array(bids)
    ask = bid + np.array([0.01, *(each[3] for each in moves)])
    at_us = int(START.timestamp()) * 1_000_000 + np.array(times, dtype=np.int64) * 1_000_000
    ticks, apple = TickSeries(at_us, bid, ask, np.array(rows, dtype=np.int64), 0), instrument("AAPL")

    # Act
    kept, doubts = believed(ticks, apple, known)

    # Assert
    assert kept.rows.tolist() == screened_one_by_one(ticks, apple, known)
    assert len(kept) + len(doubts) == len(ticks)
