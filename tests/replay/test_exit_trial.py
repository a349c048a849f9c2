"""`botctl exits`: the search for quiet prices changes nothing, the file is read strictly, the answer adds up."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cli import main
from bot.errors import DataError
from bot.instruments import Spread, default_registry
from bot.layer1_data.feeds.recorded import load, recordings
from bot.layer1_data.feeds.tick_files import TickSeries
from bot.layer3_execution.exit_plans import Basket, BasketExits, basket_plan
from bot.layer3_execution.exits import ExitState, MoveStop
from bot.models import CandleSeries, Direction, ExitPlan, Trail, TrailKind, decimal_of
from bot.replay.exit_plan_file import WrittenPlan, parse_exit_plan
from bot.replay.exit_trial import CandlePrices, Prices, TickPrices, quiet_band, trial_json, try_plan
from tests.builders import START, instrument, plan, series
from tests.replay.commands import as_file, settle_in
from tests.unit.layer3_execution.test_exits import plans

GOLDEN: Final[dict[str, Any]] = {
    "side": "long",
    "entry": 100,
    "quantity": 10,
    "stop": 98,
    "targets": [[104, 0.5], [108, 0.5]],
    "break_even": {"target": 1},
    "trail": {"kind": "progressive", "start_r": 1.0, "end_r": 0.25, "step_r": 0.1},
    "deadline": None,
    "deadline_reason": "TIMEOUT",
    "tick": 0.001,
    "step": 1,
    "min_qty": 1,
}
RISING = [103.0, 104.0, 106.0, 107.0, 106.2, 106.1]


def parsed(changes: dict[str, Any] | None = None, *, without: str = "") -> WrittenPlan:
    content = {key: value for key, value in {**GOLDEN, **(changes or {})}.items() if key != without}
    return parse_exit_plan(json.dumps(content).encode(), "PLAN.json")


def ticks_of(bids: list[float], spread: float = 0.5) -> TickSeries:
    bid = np.array(bids)
    at_us = int(START.timestamp()) * 1_000_000 + np.arange(len(bids), dtype=np.int64) * 500_000
    return TickSeries(at_us, bid, bid + spread, np.arange(len(bids), dtype=np.int64), 0)


# --------------------------------------------------------------------------------------------------------- the search


def every_price(written: WrittenPlan, prices: Prices) -> tuple[list[tuple[int, Decimal, Decimal | None]], ExitState]:
    """The same without any search: each event as (index, price, quantity; None for a stop), and the end."""
    state = ExitState.opened(written.plan, entry=written.entered(prices.first()), quantity=written.quantity)
    events: list[tuple[int, Decimal, Decimal | None]] = []
    for index in range(len(prices)):
        if not state.quantity:
            break
        state, actions, market = prices.play(written.plan, state, index)
        for each in actions:
            if isinstance(each, MoveStop):
                events.append((index, each.price, None))
            else:
                events.append((index, market if each.price is None else each.price, each.quantity))
    return events, state


def assert_search_changes_nothing(written: WrittenPlan, prices: Prices) -> int:
    """Returns how many events there were."""
    trial = try_plan(written, prices)
    events, state = every_price(written, prices)
    assert [(each.index, each.price, getattr(each, "quantity", None)) for each in trial.events] == events
    assert trial.state == state
    return len(events)


def walk(seed: int, count: int, scale: float) -> list[tuple[float, float, float, float]]:
    """Candles of a random walk around 100, to the cent."""
    chance = np.random.default_rng(seed)
    path = np.round(100 * np.exp(np.cumsum(chance.normal(0, scale, count * 4))), 2).reshape(count, 4)
    return [(row[0], max(row), min(row), row[3]) for row in path.tolist()]


@settings(deadline=None, max_examples=150)
@given(plan_=plans(), seed=st.integers(min_value=0, max_value=10**6), scale=st.sampled_from([1e-4, 5e-4, 2e-3]))
def test_skipping_quiet_candles_and_quotes_gives_what_looking_at_each_gives(
    plan_: ExitPlan, seed: int, scale: float
) -> None:
    candles = series(walk(seed, 300, scale))
    timed = replace(plan_, deadline=START + timedelta(hours=200)) if plan_.deadline else plan_
    written = WrittenPlan(plan=timed, entry=Decimal(100), quantity=Decimal(10), name="PLAN.json")
    assert_search_changes_nothing(written, CandlePrices(candles, timed.direction))
    half_cent = Spread(price=Decimal("0.005"))
    assert_search_changes_nothing(written, CandlePrices(candles, timed.direction, half_cent))
    assert_search_changes_nothing(written, TickPrices(ticks_of(candles.close.tolist(), 0.01), timed.direction))


@pytest.mark.parametrize("recording", ["EUR_USD", "BTC/USDT", "AAPL", "SPY", "NVDA"])
@pytest.mark.parametrize("direction", [Direction.LONG, Direction.SHORT])
@pytest.mark.parametrize("kind", [TrailKind.PROGRESSIVE, TrailKind.PERCENT])
def test_skipping_changes_nothing_on_recorded_candles(recording: str, direction: Direction, kind: TrailKind) -> None:
    candles = next(load(each) for each in recordings() if each.symbol == recording)
    of, sign, events = instrument(recording), direction.sign, 0
    for start in range(0, 1_000, 100):
        part = candles.slice(start, start + 1_000)
        entry = decimal_of(part.open[0])
        distance = entry * Decimal("0.005")
        shape = plan(
            direction,
            stop=entry - sign * distance,
            tick=of.tick,
            trail=Trail(kind=kind, distance_ratio=Decimal("0.004"), activation_ratio=Decimal("0.002")),
        )
        targets = tuple(
            replace(each, price=entry + sign * times * distance)
            for each, times in zip(shape.targets, (2, 6), strict=True)
        )
        written = WrittenPlan(plan=replace(shape, targets=targets), entry=entry, quantity=Decimal(10), name="")
        for spread in (Spread(), of.typical_spread):
            events += assert_search_changes_nothing(written, CandlePrices(part, direction, spread))
    assert events >= 20


def test_half_a_million_quiet_candles_are_skipped_and_not_looked_at() -> None:
    count = 500_000
    wave = 100 + np.sin(np.arange(count) / 50)
    candles = series([(100, 101, 99, 100)])
    long = replace(
        candles,
        opened_at_s=candles.opened_at_s[0] + np.arange(count, dtype=np.int64) * 3_600,
        open=wave,
        high=wave,
        low=wave,
        close=wave,
        volume=wave,
        segment=np.zeros(count, dtype=np.int64),
    )
    prices, played = CandlePrices(long, Direction.LONG), []

    class Counted(CandlePrices):
        """Counts the candles that are played."""

        def play(self, plan: ExitPlan, state: ExitState, index: int) -> Any:
            """One whole candle."""
            played.append(index)
            return prices.play(plan, state, index)

    trial = try_plan(parsed(), Counted(long, Direction.LONG))
    assert (trial.looked_at, trial.state.best, trial.closes) == (count, decimal_of(wave.max()), ())
    assert len(played) == 1


def test_a_break_even_that_came_too_late_does_not_keep_every_candle_busy() -> None:
    late = plan(
        break_even_target=None,
        break_even_fraction=Decimal("0.5"),
        targets=(replace(plan().targets[0], price=Decimal(110), fraction=Decimal(1)),),
        trail=Trail(kind=TrailKind.PERCENT, distance_ratio=Decimal("0.01")),
    )
    state = replace(
        ExitState.opened(late, entry=Decimal(100), quantity=Decimal(1)), best=Decimal(107), stop=Decimal("105.93")
    )
    assert quiet_band(late, state)[1] >= 107


# -------------------------------------------------------------------------------------------------- the golden figures


def test_golden_example_15_on_quotes_with_its_result() -> None:
    trial = try_plan(parsed(), TickPrices(ticks_of(RISING), Direction.LONG))
    assert [(each.index, each.price, each.quantity, each.reason) for each in trial.closes] == [
        (1, Decimal(104), Decimal(5), "TARGET_1"),
        (5, Decimal("106.1"), Decimal(5), "TRAIL"),
    ]
    assert [(each.index, each.price) for each in trial.stops] == [
        (1, Decimal(102)),
        (2, Decimal("104.75")),
        (3, Decimal("106.125")),
    ]
    assert (trial.pnl, trial.r_multiple) == (Decimal("50.5"), Decimal("2.525"))


def test_an_entry_that_is_left_open_pays_the_first_quote_and_mid_candles_half_the_spread() -> None:
    quotes = ticks_of([100.0, 101.0])
    assert try_plan(parsed({"entry": None}), TickPrices(quotes, Direction.LONG)).entry == Decimal("100.5")
    candles, spread = series([(100, 103, 99, 102)]), Spread(price=Decimal("0.4"))
    assert try_plan(parsed({"entry": None}), CandlePrices(candles, Direction.LONG)).entry == 100
    assert try_plan(parsed({"entry": None}), CandlePrices(candles, Direction.LONG, spread)).entry == Decimal("100.2")


def test_mid_candles_stop_a_long_half_a_spread_earlier() -> None:
    candles = series([(100, 101, 98.15, 100)])
    assert not try_plan(parsed(), CandlePrices(candles, Direction.LONG)).closes
    shifted = try_plan(parsed(), CandlePrices(candles, Direction.LONG, Spread(price=Decimal("0.4"))))
    assert [(each.price, each.reason) for each in shifted.closes] == [(Decimal(98), "STOP")]


def test_an_open_entry_on_the_wrong_side_of_the_stop_is_refused_when_the_price_is_known() -> None:
    with pytest.raises(DataError, match=r"stop 98 of a long is not below its entry 97.5 \(the first price\)"):
        try_plan(parsed({"entry": None}), TickPrices(ticks_of([97.0]), Direction.LONG))


# ------------------------------------------------------------------------------------------------ a basket without stop

BASKET: Final[dict[str, Any]] = {
    "side": "long",
    "entry": 1995,
    "quantity": 20,
    "stop": None,
    "targets": [[1997, 1]],
    "stop_reason": "DRAWDOWN",
    "target_reason": "BASKET_TP",
    "tick": 0.01,
    "step": 1,
}


def basket(**changes: Any) -> WrittenPlan:
    """The basket of golden example 18 with so much balance that no price loses its share: X is -505."""
    return parse_exit_plan(json.dumps({**BASKET, **changes}).encode(), "PLAN.json")


def basket_closes(*candles: tuple[float, float, float, float]) -> list[tuple[int, Decimal, Decimal, str]]:
    trial = try_plan(basket(), CandlePrices(series(list(candles)), Direction.LONG))
    return [(each.index, each.price, each.quantity, each.reason) for each in trial.closes]


def test_a_written_basket_without_a_stop_is_the_plan_that_is_traded_live() -> None:
    gold = instrument("XAU_USD")
    rich = Basket(average=Decimal(1995), quantity=Decimal(20), balance=Decimal(100_000), conversion=Decimal(1))
    exits = BasketExits(take_profit_points=Decimal(200), take_profit_ratio=None, max_drawdown_ratio=Decimal("0.5"))
    live = basket_plan(instrument=gold, direction=Direction.LONG, basket=rich, exits=exits)
    content = {key: value for key, value in BASKET.items() if key not in ("tick", "step")}
    assert parse_exit_plan(json.dumps(content).encode(), "PLAN.json", gold).plan == live


def test_no_fall_closes_a_basket_without_a_stop_and_its_target_closes_all_of_it_bar_by_bar() -> None:
    fall = (1995.0, 1996.99, 0.01, 0.02)  # far beyond 1745, where half of 10 000 would be lost
    assert basket_closes(fall, fall) == []
    assert basket_closes(fall, (5.0, 1996.99, 1.0, 1990.0), (1990.0, 1997.0, 1.0, 1.0)) == [
        (2, Decimal(1997), Decimal(20), "BASKET_TP")  # touched is reached, however low the candle was
    ]
    assert basket_closes(fall, (1999.0, 2001.0, 1990.0, 1995.0)) == [
        (1, Decimal(1997), Decimal(20), "BASKET_TP")  # an open beyond it fills no better
    ]


def test_a_deadline_closes_a_basket_without_a_stop_at_the_close_of_its_candle() -> None:
    written = basket(deadline=(START + timedelta(hours=2)).isoformat())
    trial = try_plan(written, CandlePrices(series([(1995, 1996, 3, 4), (4, 5, 2, 3), (3, 1999, 3, 4)]), Direction.LONG))
    assert [(each.index, each.price, each.reason) for each in trial.closes] == [(1, Decimal(3), "TIMEOUT")]


def test_quotes_close_a_basket_without_a_stop_at_its_target_only() -> None:
    trial = try_plan(basket(), TickPrices(ticks_of([1995.0, 0.01, 1996.99, 1997.5]), Direction.LONG))
    assert [(each.index, each.price, each.reason) for each in trial.closes] == [(3, Decimal(1997), "BASKET_TP")]


def test_without_a_stop_there_is_no_r_and_the_answer_has_null_for_both() -> None:
    trial = try_plan(basket(), TickPrices(ticks_of([1995.0, 1997.5]), Direction.LONG))
    told = trial_json(trial)
    assert (trial.pnl, trial.r_multiple) == (Decimal(40), None)
    assert (told["stop"], told["r_multiple"], told["pnl"]) == (None, None, 40.0)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target_reason": None}, "stop is null, which only a basket may have: one with target_reason BASKET_TP and a"),
        ({"targets": []}, "stop is null, which only a basket may have"),
        ({"side": "short", "targets": [[1993, 1]]}, "stop is null, and the drawdown price of a short basket is always"),
        ({"break_even": {"target": 1}}, "break_even is given, and a basket without a stop has none; write null"),
        ({"trail": {"kind": "percent", "distance": 0.01}}, "trail is given, and a basket without a stop has none"),
        ({"trail": {"kind": "progressive"}}, "trail is given, and a basket without a stop has none"),
        ({"stop": 0}, "stop is 0; it must be above 0"),
        ({"stop": False}, "stop is false, not a number"),
    ],
)
def test_no_stop_is_for_long_baskets_only_and_says_so(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as caught:
        basket(**changes)
    assert str(caught.value).startswith("PLAN.json: ")
    assert says in str(caught.value)


def test_an_absent_stop_is_not_the_same_as_null() -> None:
    content = {key: value for key, value in BASKET.items() if key != "stop"}
    with pytest.raises(DataError, match="key stop is missing; add it"):
        parse_exit_plan(json.dumps(content).encode(), "PLAN.json")


# ---------------------------------------------------------------------------------------------------- the written plan


def test_numbers_are_read_as_they_are_written_and_missing_parts_mean_none() -> None:
    written = parsed({"stop": 98.1, "trail": None, "break_even": {"fraction": 0.8}}, without="deadline")
    assert written.plan.stop == Decimal("98.1")
    assert (written.plan.trail, written.plan.deadline, written.plan.break_even_fraction) == (None, None, Decimal("0.8"))


def test_direction_is_another_name_for_side_and_an_instrument_gives_the_steps() -> None:
    content = {"direction": "short", "quantity": 10, "stop": 1.2, "entry": 1.1}
    euro = instrument("EUR_USD")
    written = parse_exit_plan(json.dumps(content).encode(), "PLAN.json", euro)
    assert (written.plan.direction, written.plan.tick, written.plan.min_quantity) == (
        Direction.SHORT,
        euro.tick,
        euro.min_quantity,
    )


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"stop": 101}, "stop 101 of a long is not below its entry 100; a long needs its stop below"),
        ({"stop": 100}, "stop 100 of a long is not below its entry 100"),
        ({"side": "short"}, "targets[1] price 108 of a short is nearer than targets[0] price 104"),
        ({"side": "up"}, "side is the text 'up'; use long or short"),
        ({"direction": "long"}, "has side and direction; keep one"),
        ({"targets": [[104, 0.6], [108, 0.5]]}, "the fractions of targets sum to 1.1, above 1"),
        ({"targets": [[108, 0.5], [104, 0.5]]}, "targets[1] price 104 of a long is nearer than targets[0] price 108"),
        ({"targets": [[99, 1]]}, "targets[0] price 99 of a long is not above its entry 100"),
        ({"targets": [[97, 1]]}, "targets[0] price 97 of a long is not above its stop 98"),
        ({"targets": [[104, 0]]}, "targets[0] fraction is 0; it must be above 0"),
        ({"targets": [[104]]}, "targets[0] is a list; write [price, fraction]"),
        ({"targets": {"104": 1}}, "targets is an object; write a list"),
        ({"tick": 0}, "tick is 0; it must be above 0"),
        ({"tick": -0.01}, "tick is -0.01; it must be above 0"),
        ({"tick": 1000}, "tick 1000 is larger than the stop 98"),
        ({"tick": "0.01"}, "tick is the text '0.01', not a number; write a number without quotes"),
        ({"step": None}, "step is null, not a number"),
        ({"quantity": 0}, "quantity is 0; it must be above 0"),
        ({"quantity": True}, "quantity is true, not a number"),
        ({"quantity": 1e300}, "it must be at most 1000000000000"),
        ({"min_qty": -1}, "min_qty is -1; it must be at least 0"),
        ({"stop": float("nan")}, "stop is NaN, not a finite number"),
        ({"entry": float("inf")}, "entry is Infinity, not a finite number"),
        ({"stopp": 97}, "key stopp is not known; did you mean stop?"),
        ({"trail": {"kind": "percent", "distnce": 0.01}}, "key trail.distnce is not known; did you mean distance?"),
        ({"trail": {"kind": "percent"}}, "key trail.distance is missing"),
        ({"trail": {"kind": "percent", "distance": 1}}, "trail.distance is 1; it must be below 1"),
        ({"trail": {"kind": "chandelier"}}, 'with "kind": "percent" or "progressive"'),
        ({"trail": 0.01}, 'with "kind": "percent" or "progressive"'),
        ({"trail": {"kind": "progressive", "end_r": 2}}, "trail.end_r 2 is above trail.start_r 1.0"),
        ({"targets": [], "break_even": None}, "trail of kind progressive starts at target 1, and targets is empty"),
        ({"targets": [], "trail": None}, "break_even needs a target, and targets is empty"),
        ({"break_even": {"target": 3}}, "break_even.target is 3; it must be at most 2"),
        ({"break_even": {"target": 1.5}}, "break_even.target is 1.5; write the number of a target"),
        ({"break_even": {"fraction": 0}}, "break_even.fraction is 0; it must be above 0"),
        ({"break_even": {"fraction": 0.8, "target": 1}}, "break_even is not understood"),
        ({"deadline": "soon"}, "deadline is the text 'soon'; write null or an ISO-8601 time"),
        ({"deadline": 1709251200}, "deadline is 1709251200; write null or an ISO-8601 time"),
        ({"deadline": "0001-01-01T00:00:00+05:00"}, "outside the years 1 to 9999"),
        ({"deadline_reason": "BORED"}, "deadline_reason is the text 'BORED'; use TIMEOUT or SESSION_END"),
    ],
)
def test_each_fault_of_a_plan_is_told_with_key_value_and_bound(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError) as caught:
        parsed(changes)
    assert str(caught.value).startswith("PLAN.json: ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        ("side", "key side is missing; add long or short"),
        ("stop", "key stop is missing; add it"),
        ("tick", "key tick is missing; add it, or name the instrument with --symbol"),
    ],
)
def test_a_key_that_is_needed_and_missing_is_named(key: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parsed(without=key)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "is not readable JSON"),
        (b"[1]", "holds a list, not an object"),
        (b"\xff", "is not readable JSON"),
        (b'{"stop": 1, "stop": 2}', "key 'stop' stands twice"),
        (b'{"stop": 1e99999999999999999999}', "is not readable JSON"),
        (b"[" * 100_000, "is not readable JSON"),
        (b"9" * 1_000_000, "holds 9"),
    ],
)
def test_what_is_no_json_object_is_refused(text: bytes, says: str) -> None:
    with pytest.raises(DataError, match=says):
        parse_exit_plan(text, "PLAN.json")


junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["kind", "target", "fraction", "distance", "x"]), inner, max_size=3),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(key=st.sampled_from([*GOLDEN, "side", "stop_reason", "x"]), value=junk, open_entry=st.booleans())
def test_whatever_one_key_holds_the_plan_is_played_to_its_end_or_refused(
    key: str, value: object, open_entry: bool
) -> None:
    trial = None
    with suppress(DataError):  # anything else would fail the test
        written = parsed({**({"entry": None} if open_entry else {}), key: value})
        trial = try_plan(written, TickPrices(ticks_of(RISING), written.plan.direction))
    if trial is not None:
        assert sum((each.quantity for each in trial.closes), trial.state.quantity) == trial.quantity


# --------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, Any]]]:
    settle_in(tmp_path, monkeypatch)

    def answer(*words: str, changes: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        plan_file, out = tmp_path / "PLAN.json", tmp_path / "out.json"
        plan_file.write_text(json.dumps({**GOLDEN, **(changes or {})}))
        code = main(["exits", "--plan", str(plan_file), *words, "--json", str(out)])
        return code, json.loads(out.read_text()) if out.exists() else {}

    return answer


CANDLES = [(100.0, 101.0, 99.0, 100.0), (100.0, 104.5, 99.0, 101.5)]


def candle_file(tmp_path: Path, candles: CandleSeries | None = None) -> str:
    return str(as_file(candles or series(CANDLES), tmp_path / "candles.csv"))


def test_the_command_answers_golden_example_16_on_candles(
    run: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    words = ("--candles", candle_file(tmp_path), "--timeframe", "1h")
    code, found = run(*words, changes={"tick": 0.0001})
    assert code == 0
    assert found == {
        "entry": 100.0,
        "closes": [
            {"index": 1, "time": "2024-01-02T01:00:00Z", "price": 104.0, "quantity": 5.0, "reason": "TARGET_1"},
            {"index": 1, "time": "2024-01-02T01:00:00Z", "price": 102.6875, "quantity": 5.0, "reason": "TRAIL"},
        ],
        "stops": [{"index": 1, "time": "2024-01-02T01:00:00Z", "price": 102.6875, "reason": "TRAIL"}],
        "remaining": 0.0,
        "stop": 102.6875,
        "targets_hit": 1,
        "best": 104.5,
        "pnl": 33.4375,
        "r_multiple": 1.671875,
        "looked_at": 2,
    }


def test_indices_count_from_the_first_candle_asked_for(
    run: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    words = ("--candles", candle_file(tmp_path), "--timeframe", "1h", "--from", "1", "--rows", "1")
    assert [each["index"] for each in run(*words)[1]["closes"]] == [0, 0]


def test_quotes_from_a_file_are_counted_by_their_rows(
    run: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path
) -> None:
    path = tmp_path / "ticks.csv"
    lines = [f"2024-03-01T00:00:0{second}.5Z,{bid},{bid + 0.5}" for second, bid in enumerate(RISING)]
    path.write_text("\n".join(["time,bid,ask", *lines[:2], "2024-03-01T00:00:01.5Z,200,100", *lines[2:]]))
    code, found = run("--ticks", str(path))
    assert code == 0
    assert [(each["index"], each["time"], each["price"]) for each in found["closes"]] == [
        (1, "2024-03-01T00:00:01.500000Z", 104.0),
        (6, "2024-03-01T00:00:05.500000Z", 106.1),
    ]
    assert found["pnl"] == 50.5
    assert run("--ticks", str(path), "--from", "1")[1]["closes"][0]["index"] == 0


def test_a_registered_symbol_shifts_mid_candles_and_says_so(
    run: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("--candles", candle_file(tmp_path), "--timeframe", "1h", "--symbol", "AAPL")
    _, found = run(*words, changes={"entry": None})
    assert found["entry"] == 100.015
    assert "taken as mid prices; the bid lies half the typical spread" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        ((), "name either --candles FILE or --ticks FILE", 2),
        (("--candles", "a.csv", "--ticks", "b.csv"), "name either", 2),
        (("--candles", "a.csv"), "a.csv: no such file", 2),
        (("--ticks", "b.csv", "--timeframe", "1h"), "remove it", 2),
        (("--ticks", "b.csv"), "b.csv: no such file", 2),
        (("--ticks", "b.csv", "--symbol", "EURO"), "symbol 'EURO' is not in the registry", 2),
        (("--candles", "a.csv", "--timeframe", "7h"), "timeframe '7h' is not known", 2),
    ],
)
def test_a_wrong_call_ends_with_one_line(
    run: Callable[..., tuple[int, dict[str, Any]]],
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    says: str,
    code: int,
) -> None:
    assert run(*words)[0] == code
    assert says in capsys.readouterr().err


def test_the_length_of_the_candles_is_taken_from_their_file_and_said(
    run: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = candle_file(tmp_path, series([*CANDLES, *CANDLES]))
    part = ("--candles", path, "--from", "1", "--rows", "1")
    code, found = run(*part)
    assert (code, found["looked_at"]) == (0, 1)
    assert "read as 1h candles, as their times tell" in capsys.readouterr().err
    assert run(*part, "--timeframe", "1h") == (0, found)
    assert "as their times tell" not in capsys.readouterr().err


def test_a_timeframe_that_the_rows_contradict_is_refused_and_so_are_rows_that_tell_none(
    run: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = candle_file(tmp_path, series(CANDLES * 5))
    assert run("--candles", path, "--timeframe", "4h")[0] != 0
    assert "candles.csv: was asked for as 4h, but 9 of its 9 steps are 3600 s" in capsys.readouterr().err
    one = candle_file(tmp_path, series(CANDLES[1:]))
    assert run("--candles", one)[0] != 0
    told = capsys.readouterr().err
    assert "candles.csv: has one candle, and that does not tell its timeframe; name it with --timeframe" in told
    assert run("--candles", one, "--timeframe", "1h")[0] == 0


@pytest.mark.parametrize(("first", "rows"), [("2", None), ("-1", None), ("0", "0")])
def test_a_part_that_is_not_there_is_refused(
    run: Callable[..., tuple[int, dict[str, Any]]], tmp_path: Path, first: str, rows: str | None
) -> None:
    path = tmp_path / "ticks.csv"
    path.write_text("time,bid,ask\n2024-03-01T00:00:00Z,1,2\n2024-03-01T00:00:01Z,1,2\n")
    words = ("--from", first, *(("--rows", rows) if rows else ()))
    assert run("--ticks", str(path), *words)[0] == 2
    assert run("--candles", candle_file(tmp_path), "--timeframe", "1h", *words)[0] == 2


def test_without_json_a_person_gets_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settle_in(tmp_path, monkeypatch)
    (tmp_path / "PLAN.json").write_text(json.dumps(GOLDEN))
    assert main(["exits", "--plan", "PLAN.json", "--candles", candle_file(tmp_path), "--timeframe", "1h"]) == 0
    told = capsys.readouterr().out
    assert "closed: TARGET_1" in told
    assert "1.67 R; nothing is left" in told


def test_a_person_is_told_that_nothing_rests_for_a_basket_without_a_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settle_in(tmp_path, monkeypatch)
    (tmp_path / "PLAN.json").write_text(json.dumps(BASKET))
    path = candle_file(tmp_path, series([(1995, 1996, 3, 4), (4, 5, 2, 3)]))
    assert main(["exits", "--plan", "PLAN.json", "--candles", path]) == 0
    told = capsys.readouterr()
    assert "no stop can rest at the venue" in told.err
    assert "long 20 at 1995, without a stop" in told.out
    assert "result before costs 0; 20 is still open without a stop" in told.out


def test_every_registered_instrument_can_give_a_plan_its_steps() -> None:
    for each in default_registry():
        content = {"side": "long", "quantity": 1, "stop": 1}
        assert parse_exit_plan(json.dumps(content).encode(), "PLAN.json", each).plan.tick == each.tick
