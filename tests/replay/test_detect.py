"""`botctl detect`: the same events as the detectors, under the agreed names, counted from the first candle shown."""

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cli import main
from bot.config import DivergenceSettings
from bot.layer1_data.feeds.recorded import load, recordings
from bot.models import CandleSeries, Timeframe
from bot.replay.chart import MOST_CANDLES, draw
from bot.replay.detection import WHAT, detect, detection_json, parse_what, plain
from tests.builders import series
from tests.replay.commands import APPLE, EURO, as_file, settle_in

Row = tuple[float, float, float, float]
GAP: list[Row] = [
    (10, 10.8, 9.8, 10.5),
    (10.5, 12.4, 10.4, 12.2),
    (12.2, 13.2, 11.8, 13),
    (13, 13.4, 11.9, 12),
    (12, 12.6, 11.5, 11.6),
    (11.6, 11.9, 10.2, 10.4),
]
FIELDS = {
    "divergences": {
        *("osc", "kind", "dir", "p1", "p2", "q1", "q2", "price1", "price2", "osc1", "osc2", "known_at"),
    },
    "setups": {"known_at", "dir", "kind", "p1", "p2", "oscillators", "families", "score"},
    "fvgs": {"mid", "dir", "bottom", "top", "known_at", "touched", "half", "filled", "inverted"},
    "sweeps": {"ev", "side", "dir", "level", "pivot", "start", "known_at", "extreme"},
}


@pytest.fixture(autouse=True)
def quiet_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle_in(tmp_path, monkeypatch)


def events_of(candles: CandleSeries, *what: str) -> dict[str, Any]:
    return detection_json(detect(candles, DivergenceSettings(), bandwidth_lookback=100), what or WHAT)


def detected(out: Path, *words: str, candles: Path = EURO, timeframe: str = "1h") -> dict[str, Any]:
    """Events that the command writes."""
    code = main(["detect", "--candles", str(candles), "--timeframe", timeframe, "--json", str(out), *words])
    assert code == 0
    found: dict[str, Any] = orjson.loads(out.read_bytes())
    return found


@pytest.fixture(scope="module")
def euro() -> CandleSeries:
    return next(load(each) for each in recordings() if each.symbol == "EUR_USD" and each.timeframe is Timeframe.H1)


def test_a_gap_drawn_by_hand_has_the_facts_that_the_specification_gives_it() -> None:
    assert events_of(series(GAP), "fvgs") == {
        "fvgs": [
            {
                "mid": 1,
                "dir": 1,
                "bottom": 10.8,
                "top": 11.8,
                "known_at": 2,
                "touched": 4,
                "half": 5,
                "filled": 5,
                "inverted": 5,
            }
        ]
    }


def test_every_event_has_exactly_the_agreed_fields(tmp_path: Path) -> None:
    found = detected(tmp_path / "out.json")

    assert tuple(found) == WHAT
    assert set(found["pivots"]) == {"L", "R", "highs", "lows"}
    assert {tuple(map(type, each)) for each in found["pivots"]["highs"]} == {(int, int)}
    for name, fields in FIELDS.items():
        assert found[name]
        assert {frozenset(each) for each in found[name]} == {frozenset(fields)}
    for each in found["structure"]:
        assert {"ev", "known_at", "type", "idx", "level"} <= set(each)
    for each in found["confluence"]:
        assert {"k", "why", "state", "dir", "anchor", "since", "expires"} <= set(each)


def test_directions_are_words_for_divergences_and_signs_for_shapes(tmp_path: Path) -> None:
    found = detected(tmp_path / "out.json")
    assert {each["dir"] for name in ("divergences", "setups") for each in found[name]} == {"bull", "bear"}
    assert {each["dir"] for name in ("fvgs", "sweeps", "confluence") for each in found[name]} == {1, -1}


def test_indices_count_from_the_first_candle_shown_as_if_the_file_began_there(
    tmp_path: Path, euro: CandleSeries
) -> None:
    part = as_file(euro.slice(700, 1_300), tmp_path / "part.csv")
    assert detected(tmp_path / "a.json", "--from", "700", "--rows", "600") == detected(
        tmp_path / "b.json", candles=part
    )


def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    detected(tmp_path / "a.json", "--rows", "1000")
    detected(tmp_path / "b.json", "--rows", "1000")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@settings(deadline=None, max_examples=15)
@given(cut=st.integers(min_value=1, max_value=1_500))
def test_a_prefix_has_exactly_the_events_that_were_known_by_its_end(cut: int, euro: CandleSeries) -> None:
    whole, prefix = events_of(euro.slice(0, 1_500)), events_of(euro.slice(0, cut))
    for name in ("divergences", "setups", "structure", "sweeps"):
        assert prefix[name] == [each for each in whole[name] if each["known_at"] < cut]
    assert prefix["confluence"] == [each for each in whole["confluence"] if each["k"] < cut]
    assert prefix["pivots"]["highs"] == [each for each in whole["pivots"]["highs"] if each[1] < cut]


def test_only_the_named_detectors_are_written_in_their_fixed_order(tmp_path: Path) -> None:
    assert tuple(detected(tmp_path / "out.json", "--what", "sweeps, pivots")) == ("pivots", "sweeps")


def test_a_hole_ends_what_spans_it_only_where_a_symbol_says_that_it_was_not_scheduled(tmp_path: Path) -> None:
    times = series(GAP)
    moved = np.where(np.arange(6) >= 2, times.opened_at_s + 20 * 3_600, times.opened_at_s)
    holed = CandleSeries(
        times.symbol,
        times.timeframe,
        moved,
        times.open,
        times.high,
        times.low,
        times.close,
        times.volume,
        times.segment,
    )
    path = as_file(holed, tmp_path / "holed.csv")

    assert len(detected(tmp_path / "a.json", candles=path)["fvgs"]) == 1
    assert detected(tmp_path / "b.json", "--symbol", "BTC/USDT", candles=path)["fvgs"] == []


@pytest.mark.parametrize("count", [1, 2, 3, 15, 40])
def test_a_series_shorter_than_the_warm_up_has_no_divergence_and_no_error(count: int) -> None:
    found = events_of(series([(100, 101, 99, 100)] * count))
    assert found["divergences"] == found["setups"] == found["sweeps"] == []


def test_floats_have_twelve_significant_digits_and_what_json_lacks_is_null() -> None:
    cut = plain({"a": [1 / 3, float("nan"), float("inf"), 2, None]})
    assert cut == {"a": [0.333333333333, None, None, 2, None]}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--what", "pivot"], "--what 'pivot' is no detector; use all, or"),
        (["--what", ","], "is no detector"),
        (["--from", "4000"], "--from 4000: the file has the candles 0 to 3999"),
        (["--from", "-1"], "--from -1: the file has the candles"),
        (["--rows", "0"], "--rows 0 must be at least 1"),
        (["--symbol", "EURUSD"], "did you mean EUR_USD"),
        (["--chart", "big.png"], "a chart of 4,000 candles cannot be read, at most 400: name a part, such as --from"),
        (["--chart", "chart.jpg", "--rows", "9"], "let its name end in .png"),
        (["--json", "nowhere/out.json"], "does not exist; make it first"),
        (["--json", "."], "is a directory; name a file in it"),
    ],
)
def test_a_wrong_call_exits_2_says_what_to_do_and_writes_nothing(
    words: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["detect", "--candles", str(EURO), "--timeframe", "1h", *words]) == 2
    assert told in capsys.readouterr().err
    assert [each.name for each in tmp_path.iterdir()] == [".env"]


def test_without_a_file_to_write_a_person_sees_counts_and_the_newest_events(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["detect", "--candles", str(APPLE), "--timeframe", "1d", "--symbol", "AAPL"]) == 0
    shown = capsys.readouterr().out
    for name in WHAT:
        assert f" {name} " in shown
    assert "newest events" in shown


def test_candles_without_an_event_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flat = as_file(series([(100, 101, 99, 100)] * 30), tmp_path / "flat.csv")
    assert main(["detect", "--candles", str(flat), "--timeframe", "1h"]) == 0
    assert "No event in these candles." in capsys.readouterr().out


def test_a_chart_is_a_png_that_comes_out_the_same_twice(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        detected(tmp_path / "out.json", "--from", "300", "--rows", "300", "--chart", name)
    drawn = (tmp_path / "a.png").read_bytes()
    assert drawn.startswith(b"\x89PNG")
    assert drawn == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("count", [1, 30])
def test_flat_candles_can_be_drawn(count: int) -> None:
    found = detect(series([(100, 100, 100, 100)] * count), DivergenceSettings(), bandwidth_lookback=100)
    assert draw(found, WHAT, "flat").startswith(b"\x89PNG")


def test_each_detector_changes_the_chart_that_it_is_drawn_into(euro: CandleSeries) -> None:
    found = detect(euro.slice(300, 300 + MOST_CANDLES // 2), DivergenceSettings(), bandwidth_lookback=100)
    bare = draw(found, (), "euro")
    assert [name for name in WHAT if draw(found, (name,), "euro") == bare] == []


def test_all_names_every_detector() -> None:
    assert parse_what("all") == parse_what("pivots,ALL") == WHAT
