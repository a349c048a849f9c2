"""The confluence chain: the hand-made example, each of its steps, the laws, and a naive second implementation."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from bot.errors import ConfigError
from bot.layer2_intelligence.indicators.confluence import (
    ConfluenceMachine,
    ConfluenceSettings,
    LongerSweeps,
    LongerView,
    MarketShapes,
    ShapeSettings,
    ShapeStream,
    market_shapes,
    swept_on_shorter,
)
from bot.layer2_intelligence.indicators.gaps import gap_events
from bot.layer2_intelligence.indicators.structure import StructureSettings
from bot.layer2_intelligence.indicators.sweeps import SweepSettings, SweepStream
from bot.layer2_intelligence.indicators.talib_bridge import average_true_range
from bot.layer2_intelligence.structure_events import (
    BreakEvent,
    BreakKind,
    ChainCause,
    ChainState,
    ConfluenceChange,
    FairValueGap,
    SweepEvent,
    SweepOutcome,
    SwingSide,
    confluence_json,
    gap_json,
    structure_json,
    sweep_json,
)
from bot.models import CandleSeries, Direction, Floats, Timeframe
from tests.unit.layer2_intelligence import made_series
from tests.unit.layer2_intelligence import naive_structure as naive

LONG, SHORT = Direction.LONG, Direction.SHORT
NEAREST = ShapeSettings(structure=StructureSettings(swing_length=1), sweeps=SweepSettings(swing_length=1))
HASTY = replace(NEAREST, confluence=ConfluenceSettings(sweep_ttl=8, choch_ttl=6, fvg_ttl=7, accept_bos=True))

SHAPES = {
    "walk": made_series.walk(71, 3_000),
    "range": made_series.walk(72, 3_000, pull=0.05),
    "ties": made_series.walk(73, 3_000, grid=0.25),
    "flats and holes": made_series.walk(74, 3_000, grid=0.125, flat_share=0.2, holes=30),
}


def atr_of(series: CandleSeries) -> Floats:
    if not len(series):
        return np.empty(0)
    return average_true_range(series.high, series.low, series.close, period=14)


def shapes_of(series: CandleSeries, settings: ShapeSettings | None = None) -> MarketShapes:
    return market_shapes(series, atr_of(series), settings)


def golden() -> CandleSeries:
    """Golden example 23."""
    falling = np.array([20.0, 19, 18, 19, 18, 17, 16, 17, 16, 15, 14, 15, 14, 13, 12, 13])
    turn = np.array(
        [
            (12.6, 12.7, 11.2, 12.2),
            (12.2, 14.2, 12.3, 14.0),
            (14.0, 15.4, 14.1, 15.2),
            (15.2, 15.25, 13.8, 14.6),
            (14.6, 16.0, 14.5, 15.8),
        ]
    ).T
    opens, close = np.append(falling, turn[0]), np.append(falling, turn[3])
    high, low = np.append(falling + 0.5, turn[1]), np.append(falling - 0.5, turn[2])
    return replace(made_series.series_of(high, low, close), open=opens)


def streamed(series: CandleSeries, settings: ShapeSettings | None = None) -> MarketShapes:
    """Everything candle by candle; each candle is shown without those after it. Gaps stay empty: they are facts."""
    stream, atr = ShapeStream(settings), atr_of(series)
    shown = [stream.at(series.slice(0, k + 1), atr[: k + 1], k) for k in range(len(series))]
    assert [fact for each in shown for fact in each.gaps] == gap_events(shapes_of(series, settings).gaps)
    return MarketShapes(
        gaps=[],
        structure=[event for each in shown for event in each.structure],
        sweeps=[event for each in shown for event in each.sweeps],
        confluence=[event for each in shown for event in each.confluence],
    )


def sweep(k: int, direction: Direction = LONG, extreme: float = 90.0) -> SweepEvent:
    side = SwingSide.LOW if direction is LONG else SwingSide.HIGH
    level = extreme + direction.sign
    return SweepEvent(known_at=k, outcome=SweepOutcome.SWEPT, side=side, level=level, pivot=0, start=k, extreme=extreme)


def choch(k: int, direction: Direction = LONG, level: float = 100.0) -> BreakEvent:
    return BreakEvent(known_at=k, kind=BreakKind.CHOCH, direction=direction, at=0, level=level)


def bos(k: int, direction: Direction = LONG, level: float = 105.0) -> BreakEvent:
    return replace(choch(k, direction, level), kind=BreakKind.BOS)


def zone(middle: int, direction: Direction = LONG, bottom: float = 98.0) -> FairValueGap:
    return FairValueGap(middle=middle, direction=direction, bottom=bottom, top=bottom + 1)


def states(found: list[ConfluenceChange]) -> list[str]:
    return [each.state.value for each in found]


def chain(state: ChainState, settings: ConfluenceSettings | None = None) -> ConfluenceMachine:
    """A long chain in this state: swept at 10 with anchor 90, CHoCH at 12, gap known at 11 and touched at 14."""
    machine = ConfluenceMachine(settings)
    machine.at(10, 95.0, swept=[sweep(10)])
    if state is not ChainState.SWEPT:
        machine.at(12, 101.0, breaks=[choch(12)])
    if state is ChainState.FVG:
        machine.at(14, 99.0, touched=[zone(10)])
    return machine


def test_the_golden_chain_goes_through_every_state() -> None:
    found = shapes_of(golden(), NEAREST).confluence

    assert [(each.k, each.state, each.why) for each in found] == [
        (16, ChainState.SWEPT, ChainCause.SWEEP),
        (17, ChainState.CHOCH, ChainCause.CHOCH),
        (19, ChainState.FVG, ChainCause.FVG),
        (20, ChainState.COMPLETE, ChainCause.BOS),
    ]
    assert confluence_json(found[-1]) == {
        "k": 20,
        "why": "BOS",
        "state": "COMPLETE",
        "dir": 1,
        "anchor": 11.2,
        "since": 16,
        "expires": 49,
        "choch_price": 13.5,
        "fvg_zone_low": 12.7,
        "fvg_zone_high": 14.1,
        "bos_price": 15.4,
    }
    assert streamed(golden(), NEAREST).confluence == found


def test_the_mirrored_golden_chain_is_bearish() -> None:
    series = golden()

    found = shapes_of(made_series.mirrored(series, 64.0), NEAREST).confluence

    assert states(found) == ["SWEPT", "CHOCH", "FVG", "COMPLETE"]
    assert {each.direction for each in found} == {SHORT}
    assert found[0].anchor == pytest.approx(64 - 11.2)


def test_the_anchor_is_the_most_extreme_of_the_sweeps_of_one_candle() -> None:
    [long] = ConfluenceMachine().at(5, 95.0, swept=[sweep(5, extreme=92.0), sweep(5, extreme=91.0)])
    [short] = ConfluenceMachine().at(5, 95.0, swept=[sweep(5, SHORT, 98.0), sweep(5, SHORT, 99.0)])

    assert (long.anchor, short.anchor) == (91.0, 99.0)
    assert (long.since, long.expires) == (5, 35)


def test_sweeps_in_both_directions_on_one_candle_are_ignored() -> None:
    assert ConfluenceMachine().at(5, 95.0, swept=[sweep(5), sweep(5, SHORT, 99.0)]) == []


def test_a_second_sweep_starts_a_new_row_only_before_the_change_of_character() -> None:
    waiting, changed = chain(ChainState.SWEPT), chain(ChainState.CHOCH)

    assert [(each.since, each.anchor) for each in waiting.at(13, 95.0, swept=[sweep(13, extreme=91.0)])] == [(13, 91.0)]
    assert changed.at(13, 95.0, swept=[sweep(13, extreme=91.0)]) == []


@pytest.mark.parametrize("state", [ChainState.SWEPT, ChainState.CHOCH, ChainState.FVG])
def test_a_sweep_in_the_other_direction_always_starts_a_new_row(state: ChainState) -> None:
    [change] = chain(state).at(15, 95.0, swept=[sweep(15, SHORT, 99.0)])

    assert (change.state, change.direction, change.since, change.choch_price) == (ChainState.SWEPT, SHORT, 15, None)


def test_a_change_of_character_on_the_candle_of_the_sweep_is_too_early() -> None:
    machine = ConfluenceMachine()

    assert states(machine.at(10, 95.0, swept=[sweep(10)], breaks=[choch(10)])) == ["SWEPT"]


def test_a_bos_is_taken_for_the_change_of_character_only_when_asked_for() -> None:
    strict, eager = chain(ChainState.SWEPT), chain(ChainState.SWEPT, ConfluenceSettings(accept_bos=True))

    assert strict.at(12, 101.0, breaks=[bos(12)]) == []
    [change] = eager.at(12, 101.0, breaks=[bos(12, level=100.0)])
    assert (change.state, change.why, change.choch_price) == (ChainState.CHOCH, ChainCause.BOS, 100.0)


def test_a_break_against_the_chain_moves_nothing() -> None:
    for state in (ChainState.SWEPT, ChainState.FVG):
        assert chain(state).at(15, 95.0, breaks=[choch(15, SHORT)]) == []


@pytest.mark.parametrize(
    ("gap", "close", "taken"),
    [
        (zone(10), 98.0, True),
        (zone(9), 98.0, True),
        (zone(8), 98.0, False),
        (zone(12), 98.0, True),
        (zone(13), 98.0, False),
        (zone(10), 97.9, False),
        (zone(10, SHORT), 98.0, False),
    ],
    ids=[
        "closes at the bottom", "known with the sweep", "older than the sweep", "known before the touch",
        "known at the touch", "closes below", "of the other direction",
    ],
)  # fmt: skip
def test_a_gap_of_the_move_must_hold_at_its_first_touch(gap: FairValueGap, close: float, taken: bool) -> None:
    found = chain(ChainState.CHOCH).at(14, close, touched=[gap])

    assert states(found) == (["FVG"] if taken else [])


def test_of_several_touched_gaps_the_newest_that_holds_is_the_zone() -> None:
    [change] = chain(ChainState.CHOCH).at(
        14, 98.5, touched=[zone(9, bottom=96), zone(11, bottom=98), zone(12, bottom=99)]
    )

    assert (change.zone_low, change.zone_high, change.expires) == (98.0, 99.0, 44)


def test_the_candle_of_one_step_makes_no_other() -> None:
    assert states(chain(ChainState.SWEPT).at(14, 99.0, breaks=[choch(14)], touched=[zone(10)])) == ["CHOCH"]
    assert states(chain(ChainState.CHOCH).at(14, 99.0, breaks=[bos(14)], touched=[zone(10)])) == ["FVG"]


@pytest.mark.parametrize("event", [bos(15), choch(15)], ids=["BOS", "CHoCH"])
def test_any_break_in_its_direction_completes_a_chain_that_held_its_gap(event: BreakEvent) -> None:
    machine = chain(ChainState.FVG)

    [change] = machine.at(15, 106.0, breaks=[event])

    assert (change.state, change.bos_price, change.why.value) == (
        ChainState.COMPLETE, event.level, event.kind.value.upper()
    )  # fmt: skip
    assert machine.idle
    assert states(machine.at(16, 80.0, swept=[sweep(16)])) == ["SWEPT"]


@pytest.mark.parametrize("state", [ChainState.SWEPT, ChainState.CHOCH, ChainState.FVG])
def test_a_close_beyond_the_anchor_ends_the_row_and_one_at_it_does_not(state: ChainState) -> None:
    machine = chain(state)

    assert machine.at(15, 90.0) == []
    [change] = machine.at(16, 89.99)
    assert (change.state, change.why, change.since, machine.idle) == (
        ChainState.IDLE, ChainCause.INVALIDATED, 10, True
    )  # fmt: skip


@pytest.mark.parametrize(("state", "last"), [(ChainState.SWEPT, 40), (ChainState.CHOCH, 42), (ChainState.FVG, 44)])
def test_a_row_expires_after_the_last_candle_of_its_time(state: ChainState, last: int) -> None:
    machine = chain(state)

    assert machine.at(last, 95.0) == []
    [change] = machine.at(last + 1, 95.0, breaks=[choch(last + 1)])
    assert (change.state, change.why) == (ChainState.IDLE, ChainCause.EXPIRED)


def test_a_row_can_end_and_another_start_on_one_candle() -> None:
    found = chain(ChainState.FVG).at(15, 89.0, swept=[sweep(15, extreme=88.0)])

    assert [(each.state, each.why, each.since) for each in found] == [
        (ChainState.IDLE, ChainCause.INVALIDATED, 10),
        (ChainState.SWEPT, ChainCause.SWEEP, 15),
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("settings", [NEAREST, HASTY], ids=["nearest", "hasty"])
def test_changes_are_those_of_the_text(shape: str, settings: ShapeSettings) -> None:
    series, chain_settings = SHAPES[shape], settings.confluence
    atr = atr_of(series).tolist()
    swept: dict[int, list[naive.Event]] = {}
    for event in naive.sweeps(series, atr, 1):
        swept.setdefault(event["known_at"], []).append(event)
    breaks = [each for each in naive.structure(series, 1) if each["ev"] in ("BOS", "CHoCH")]

    found = shapes_of(series, settings).confluence

    assert len(found) > 100
    assert [confluence_json(each) for each in found] == naive.confluence(
        series.close.tolist(),
        swept,
        breaks,
        naive.gaps(series, atr),
        ttl=(chain_settings.sweep_ttl, chain_settings.choch_ttl, chain_settings.fvg_ttl),
        accept_bos=chain_settings.accept_bos,
    )


def test_every_change_occurs_in_the_compared_series() -> None:
    found = [
        (each.state, each.why)
        for series in SHAPES.values()
        for settings in (NEAREST, HASTY)
        for each in shapes_of(series, settings).confluence
    ]

    assert {state for state, _ in found} == set(ChainState)
    assert {why for _, why in found} == set(ChainCause)


@pytest.mark.parametrize("shape", SHAPES)
def test_printed_events_are_those_of_the_text(shape: str) -> None:
    series = SHAPES[shape]
    atr = atr_of(series)

    shapes = market_shapes(series, atr)

    assert [structure_json(each) for each in shapes.structure] == naive.structure(series, 5)
    assert [gap_json(each) for each in shapes.gaps] == naive.gaps(series, atr.tolist())
    assert [sweep_json(each) for each in shapes.sweeps] == naive.sweeps(series, atr.tolist(), 5)


made = st.builds(
    made_series.walk,
    st.integers(0, 10_000),
    st.integers(0, 250),
    grid=st.sampled_from([2.0**-10, 0.125]),
    pull=st.sampled_from([0.0, 0.1]),
    holes=st.sampled_from([0, 3]),
)


@hypothesis_settings(max_examples=50, deadline=None)
@given(series=made, cut=st.integers(0, 250), settings=st.sampled_from([NEAREST, HASTY]))
def test_a_shorter_series_has_the_changes_known_by_its_end(
    series: CandleSeries, cut: int, settings: ShapeSettings
) -> None:
    whole = shapes_of(series, settings)

    assert shapes_of(series.slice(0, cut), settings).confluence == [each for each in whole.confluence if each.k < cut]
    assert streamed(series, settings) == replace(whole, gaps=[])


@hypothesis_settings(max_examples=30, deadline=None)
@given(series=made, power=st.integers(-30, 30))
def test_a_change_of_scale_changes_no_state(series: CandleSeries, power: int) -> None:
    scaled = shapes_of(made_series.scaled(series, 2.0**power), HASTY).confluence

    assert [(each.k, each.why, each.state, each.direction) for each in scaled] == [
        (each.k, each.why, each.state, each.direction) for each in shapes_of(series, HASTY).confluence
    ]


@hypothesis_settings(max_examples=30, deadline=None)
@given(series=made)
def test_a_mirrored_series_has_the_mirrored_changes(series: CandleSeries) -> None:
    opposite_end = np.where(series.close > series.low, series.low, series.high)
    coloured = replace(series, open=np.where(series.open == series.close, opposite_end, series.open))

    mirrored = shapes_of(made_series.mirrored(coloured, 4_096.0), HASTY).confluence

    assert [(each.k, each.why, each.state, each.direction.opposite, 4_096 - each.anchor) for each in mirrored] == [
        (each.k, each.why, each.state, each.direction, each.anchor) for each in shapes_of(coloured, HASTY).confluence
    ]


# ------------------------------------------------------------------------------------------------- two timeframes


def longer_of(shorter: CandleSeries, factor: int) -> CandleSeries:
    """Whole candles of `factor` shorter ones each."""
    count = len(shorter) // factor
    rows = [np.reshape(each[: count * factor], (count, factor)) for each in (shorter.high, shorter.low, shorter.close)]
    series = made_series.series_of(rows[0].max(axis=1), rows[1].min(axis=1), rows[2][:, -1], timeframe=Timeframe.H4)
    return replace(series, opened_at_s=shorter.opened_at_s[: count * factor : factor].copy())


def without(series: CandleSeries, dropped: slice) -> CandleSeries:
    """The series without some candles: a scheduled closure."""
    kept = np.ones(len(series), dtype=np.bool_)
    kept[dropped] = False
    names = ("opened_at_s", "open", "high", "low", "close", "volume", "segment")
    return replace(series, **{name: getattr(series, name)[kept] for name in names})


def test_a_sweep_of_a_longer_candle_counts_on_the_shorter_one_that_closes_with_it() -> None:
    shorter = made_series.walk(1, 40)
    longer = longer_of(shorter, 4)

    found = swept_on_shorter([sweep(2), sweep(5)], longer, shorter)

    assert sorted(found) == [11, 23]


def test_a_sweep_waits_for_the_next_shorter_candle_where_one_is_missing() -> None:
    shorter = made_series.walk(1, 40)
    longer = longer_of(shorter, 4)
    broken = replace(sweep(2), outcome=SweepOutcome.BROKEN)

    found = swept_on_shorter([broken, sweep(3), sweep(4), sweep(9)], longer, without(shorter, slice(14, 22)))

    assert {k: [each.known_at for each in events] for k, events in found.items()} == {14: [3, 4], 31: [9]}
    assert swept_on_shorter([sweep(9)], longer, shorter.slice(0, 39)) == {}


@pytest.mark.parametrize("seed", range(4))
def test_two_timeframes_candle_by_candle_make_the_same_chain(seed: int) -> None:
    whole = made_series.walk(80 + seed, 2_400)
    longer, shorter = longer_of(whole, 4), without(whole, slice(1_001, 1_100))
    view, atr = LongerView(longer, atr_of(longer)), atr_of(shorter)
    shapes = market_shapes(shorter, atr, NEAREST, longer=view)
    stream, long_stream, waiting = ShapeStream(NEAREST), SweepStream(NEAREST.sweeps), LongerSweeps()
    long_closes = (longer.opened_at_s + longer.timeframe.seconds).tolist()

    found: list[ConfluenceChange] = []
    long_sweeps: list[SweepEvent] = []
    for k in range(len(shorter)):
        closed_at_s = int(shorter.opened_at_s[k]) + shorter.timeframe.seconds
        while long_closes and long_closes[0] <= closed_at_s:
            events = long_stream.at(longer, view.atr, len(longer) - len(long_closes))
            long_sweeps += events
            waiting.add(events, closed_at_s=long_closes.pop(0))
        found += stream.at(shorter, atr, k, from_longer=waiting.due(closed_at_s=closed_at_s)).confluence

    assert len(found) > 50
    assert found == shapes.confluence
    assert long_sweeps == shapes.sweeps


@pytest.mark.parametrize("name", ["sweep_ttl", "choch_ttl", "fvg_ttl"])
def test_no_time_for_a_step_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} 0 is below 1"):
        ConfluenceSettings(**{name: 0})  # type: ignore[arg-type]  # none of the names is the switch
