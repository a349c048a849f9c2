"""Evidence rules E1 to E11: each fails alone, and passes just on the other side of its boundary."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bot.layer2_intelligence.evidence import ModelFault, model_fault
from bot.layer2_intelligence.evidence_geometry import anchor, rounded, sight_is_clear
from bot.layer2_intelligence.indicators.divergence import ROUNDING_DECIMALS
from bot.models import DivergenceKind, Endorsed, Vetoed
from tests.unit.layer2_intelligence.judged_scene import Scene

Change = Callable[[Scene], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A rule's boundary: a change that it just allows, and one that it just does not."""

    code: str
    inside: Change
    outside: Change
    build: Callable[[], Scene] = Scene
    build_outside: Callable[[], Scene] | None = None


def nothing(_: Scene) -> None:
    """The scene as it is."""


def claims(*oscillators: str) -> Change:
    return lambda scene: setattr(scene, "oscillators", oscillators)


def p1_price(price: str) -> Change:
    return lambda scene: setattr(scene, "p1_price", Decimal(price))


def p2_price(price: str) -> Change:
    return lambda scene: setattr(scene, "p2_price", Decimal(price))


def entry(price: str) -> Change:
    return lambda scene: setattr(scene, "entry", Decimal(price))


def p2_claimed_at(index: int) -> Change:
    return lambda scene: setattr(scene, "p2_at", scene.time(index))


def low(index: int, value: float) -> Change:
    return lambda scene: scene.low.__setitem__(index, value)


def first_pivot_low(value: float) -> Change:
    def change(scene: Scene) -> None:
        scene.low[scene.p1] = value
        scene.p1_price = Decimal(str(value))

    return change


def macd_only(second: float) -> Change:
    def change(scene: Scene) -> None:
        scene.oscillators = ("macd_hist",)
        scene.columns["macd_hist"][scene.p2] = second
        scene.limit(min_confirming_indicators=0, min_divergence_score=0)

    return change


def rsi_between(value: float) -> Change:
    return lambda scene: scene.columns["rsi"].__setitem__(288, value)


def highest_between(value: float) -> Change:
    def change(scene: Scene) -> None:
        between = slice(scene.p1 + 1, scene.p2)
        scene.low[between], scene.high[between] = 101.5, value
        scene.open[between] = scene.close[between] = 102.0

    return change


def close_at(value: float) -> Change:
    def change(scene: Scene) -> None:
        scene.close[scene.k], scene.high[scene.k] = value, 105.0
        scene.bid = scene.entry = Decimal("104")
        scene.ask = Decimal("104.25")
        scene.targets = (Decimal("116"), Decimal("120"))

    return change


def hole_before(index: int) -> Change:
    return lambda scene: scene.segment.__setitem__(slice(index, None), 1)


def silent_candles(count: int) -> Change:
    def change(scene: Scene) -> None:
        scene.oscillators = ("rsi", "macd_hist", "mfi")
        scene.volume[scene.p1 - 14 : scene.p1 - 14 + count] = 0.0

    return change


SIX = ("rsi", "macd_hist", "stoch_k", "willr", "cci", "mfi")
EDGES = (
    Edge(code="E1", inside=claims(*SIX), outside=claims(*SIX, "rsi")),
    Edge(code="E1", inside=claims("rsi", "macd_hist"), outside=claims("rsi", "macd_hist", "obv")),
    Edge(code="E2", build=lambda: Scene(p2=297), inside=nothing, outside=p2_claimed_at(298)),
    Edge(code="E3", inside=p1_price("100.6"), outside=p1_price("100.61")),
    Edge(code="E3", inside=p2_price("100.1"), outside=p2_price("100.11")),
    Edge(code="E3", inside=entry("101"), outside=entry("100.99")),
    Edge(code="E4", inside=low(278, 100.75), outside=low(278, 100.5)),
    Edge(code="E4", inside=low(286, 100.5), outside=low(286, 100.49)),
    Edge(code="E5", inside=lambda scene: scene.detect(min_sep=14), outside=lambda scene: scene.detect(min_sep=15)),
    Edge(code="E5", build=lambda: Scene(p1=235), build_outside=lambda: Scene(p1=234), inside=nothing, outside=nothing),
    Edge(code="E6", inside=first_pivot_low(100.25), outside=first_pivot_low(100.2)),
    Edge(code="E7", inside=macd_only(-1.89), outside=macd_only(-1.9)),
    Edge(code="E8", inside=low(288, 100.25), outside=low(288, 100.24)),
    Edge(code="E8", inside=rsi_between(31.5), outside=rsi_between(31.49)),
    Edge(code="E9", inside=highest_between(102.5), outside=highest_between(102.49)),
    Edge(code="E10", build=lambda: Scene(p2=294), build_outside=lambda: Scene(p2=293), inside=nothing, outside=nothing),
    Edge(code="E10", inside=low(298, 100.0), outside=low(298, 99.99)),
    Edge(code="E10", inside=close_at(104.0), outside=close_at(104.01)),
    Edge(
        code="E11",
        build=lambda: Scene(candles=251, p1=232, p2=246),
        build_outside=lambda: Scene(candles=250, p1=231, p2=245),
        inside=nothing,
        outside=nothing,
    ),
    Edge(code="E11", inside=hole_before(276), outside=hole_before(287)),
    Edge(
        code="E11",
        inside=nothing,
        outside=lambda scene: scene.columns["stoch_k"].__setitem__(scene.k, math.nan),
    ),
    Edge(code="E11", inside=silent_candles(2), outside=silent_candles(3)),
)


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.code)
@pytest.mark.parametrize("mirrored", [False, True], ids=["long", "short"])
def test_a_claim_beyond_one_boundary_is_vetoed_by_that_rule_alone(edge: Edge, mirrored: bool) -> None:
    # Arrange
    scene = (edge.build_outside or edge.build)()
    edge.outside(scene)
    if mirrored:
        scene.mirror()

    # Act
    verdict = scene.verdict()

    # Assert
    assert isinstance(verdict, Vetoed)
    assert scene.failing() == {edge.code}
    assert verdict.rejected_by == edge.code


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.code)
@pytest.mark.parametrize("mirrored", [False, True], ids=["long", "short"])
def test_a_claim_on_the_boundary_is_endorsed(edge: Edge, mirrored: bool) -> None:
    # Arrange
    scene = edge.build()
    edge.inside(scene)
    if mirrored:
        scene.mirror()

    # Act
    verdict = scene.verdict()

    # Assert
    assert isinstance(verdict, Endorsed), scene.failing()


@pytest.mark.parametrize("offset", [-1, 1])
def test_a_claim_one_candle_off_is_judged_by_the_true_pivot(offset: int) -> None:
    # Arrange
    scene = Scene()
    scene.p1_at = scene.time(scene.p1 + offset)

    # Act and assert
    assert isinstance(scene.verdict(), Endorsed)
    assert scene.finding("10").measured == 14.0


def test_a_claim_two_candles_off_is_a_fabrication() -> None:
    # Arrange
    scene = Scene()
    scene.p1_at = scene.time(scene.p1 + 2)

    # Act
    verdict = scene.verdict()

    # Assert
    assert {"E3", "E4"} <= scene.failing()
    assert model_fault(verdict) is ModelFault.FABRICATION


@pytest.mark.parametrize("index", [-5, 300, 10_000])
def test_a_time_outside_the_snapshot_fails_e2_and_names_it(index: int) -> None:
    # Arrange
    scene = Scene()
    scene.p1_at = scene.time(index)

    # Act and assert
    assert {"10", "11", "E2", "E4", "E11"} <= scene.failing()
    assert scene.finding("E2").measured == "p1_time"
    assert math.isnan(float(scene.finding("10").measured))


def test_a_pivot_window_over_a_hole_is_no_pivot() -> None:
    # Arrange
    scene = Scene()
    scene.segment[scene.p1 - 2 :] = 1

    # Act and assert
    assert scene.finding("E4").measured == "p1"


def test_times_after_a_weekend_are_found_by_their_own_stamp() -> None:
    # Arrange: what a market with scheduled closures looks like
    scene = Scene()
    features = scene.features()
    features.series.opened_at_s[290:] += 48 * 3_600
    scene.features = lambda: features  # type: ignore[method-assign]
    scene.p2_at = features.series.opened_at(scene.p2)

    # Act and assert
    assert isinstance(scene.verdict(), Endorsed)


def test_oscillators_that_do_not_do_as_claimed_are_struck_out() -> None:
    # Arrange
    scene = Scene()
    scene.oscillators = SIX
    scene.columns["willr"][scene.p2] = -85.0  # 5 points: not more than the least difference
    scene.columns["cci"][scene.p1] = math.nan

    # Act
    verdict = scene.verdict()

    # Assert
    assert verdict.oscillators_left == ("rsi", "macd_hist", "stoch_k", "mfi")
    assert scene.finding("9").measured == 4.0


def test_an_oscillator_that_does_not_turn_has_no_anchor() -> None:
    # Arrange
    scene = Scene()
    scene.columns["stoch_k"][scene.p2 + 1] = 17.0
    scene.columns["stoch_k"][scene.p2 + 2] = 16.0

    # Act and assert
    assert "stoch_k" not in scene.verdict().oscillators_left
    scene.detect(osc_turn=False)
    assert "stoch_k" in scene.verdict().oscillators_left


def test_saturated_oscillators_tie_after_rounding() -> None:
    # Arrange: a least difference of 10 is not exceeded by rounding noise
    scene = Scene()
    scene.detect(min_osc_stoch_k=10)
    scene.columns["stoch_k"][scene.p1], scene.columns["stoch_k"][scene.p2] = 1e-9, 10.0 + 2e-9

    # Act and assert
    assert "stoch_k" not in scene.verdict().oscillators_left


@pytest.mark.parametrize("mirrored", [False, True], ids=["long", "short"])
def test_a_hidden_divergence_is_judged_the_other_way_round(mirrored: bool) -> None:
    # Arrange
    scene = Scene()
    scene.kind = DivergenceKind.HIDDEN
    scene.low[scene.p1] = 99.5
    scene.p1_price = Decimal("99.5")
    for column in scene.columns.values():
        column[scene.p1], column[scene.p2] = column[scene.p2], column[scene.p1]
    if mirrored:
        scene.mirror()

    # Act and assert
    assert isinstance(scene.verdict(), Endorsed), scene.failing()


def test_a_regular_claim_on_a_hidden_divergence_is_a_misreading() -> None:
    # Arrange
    scene = Scene()
    scene.kind = DivergenceKind.HIDDEN

    # Act
    verdict = scene.verdict()

    # Assert
    assert {"11", "E6", "E7"} <= scene.failing()
    assert model_fault(verdict) is ModelFault.MISREADING


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (claims("rsi", "rsi", "macd_hist"), ModelFault.MALFORMED),
        (p1_price("100.9"), ModelFault.FABRICATION),
        (low(288, 100.1), ModelFault.MISREADING),
        (hole_before(287), ModelFault.UNTRADABLE),
        (lambda scene: setattr(scene, "confidence", 0.1), None),
    ],
)
def test_a_failing_claim_is_classed_by_its_first_failing_evidence_rule(spoil: Change, fault: ModelFault | None) -> None:
    # Arrange
    scene = Scene()
    spoil(scene)

    # Act and assert
    assert model_fault(scene.verdict()) is fault


def test_candles_beyond_k_are_never_read() -> None:
    # Arrange: the same snapshot twice, once with a future that would change everything
    scene = Scene()
    future = Scene(candles=330)
    future.k = scene.k
    for column in (future.low, future.high, future.open, future.close, future.volume, *future.columns.values()):
        column[scene.k + 1 :] = math.nan
    future.high[scene.k], future.close[scene.k] = 102.5, 102.0

    # Act and assert
    assert future.verdict().findings == scene.verdict().findings


# ------------------------------------------------------------------- rounding: only asked for where it makes a tie

# Millionths and halves of them around 0 and around saturation, so that ties and near ties are frequent.
NEAR_TIES = st.builds(
    lambda whole, millionths: whole + millionths * 5e-7, st.sampled_from([0.0, 33.3, 100.0, -100.0]), st.integers(-6, 6)
)
OSCILLATOR = NEAR_TIES | st.floats(-700.0, 700.0)


@settings(deadline=None)
@given(value=OSCILLATOR)
@example(value=2.5e-6)
@example(value=-1.5e-6)
def test_one_value_is_rounded_as_the_detector_rounds_a_column(value: float) -> None:
    assert rounded(value) == np.array([value]).round(ROUNDING_DECIMALS).item()
    assert math.isnan(rounded(math.nan))


@settings(deadline=None, max_examples=300)
@given(
    values=st.lists(NEAR_TIES | st.just(math.nan), min_size=1, max_size=9),
    p=st.integers(0, 8),
    window=st.integers(0, 3),
    turn=st.booleans(),
)
def test_an_anchor_among_values_is_the_one_among_the_rounded_values(
    values: list[float], p: int, window: int, turn: bool
) -> None:
    # Arrange
    p = min(p, len(values) - 1)

    # Act
    found = anchor(values, p, window, turn, rounded)

    # Assert: the definition, without a shortcut
    eager = [rounded(each) for each in values]
    around = range(p - window, p + window + 1)
    expected = None
    if around[0] >= 0 and around[-1] < len(values) and not any(math.isnan(eager[q]) for q in around):
        expected = min(around, key=lambda q: (eager[q], abs(q - p), q))
        beside = (expected - 1, expected + 1)
        if turn and not all(0 <= q < len(values) and eager[expected] <= eager[q] for q in beside):
            expected = None
    assert found == expected


@settings(deadline=None, max_examples=300)
@given(between=st.lists(OSCILLATOR | st.just(math.nan), max_size=9), first=OSCILLATOR, last=OSCILLATOR)
def test_the_sight_over_values_is_the_one_over_the_rounded_values(
    between: list[float], first: float, last: float
) -> None:
    # Arrange
    first, last, length = rounded(first), rounded(last), len(between) + 1

    # Act
    clear = sight_is_clear(between, first, last, rounded)

    # Assert: the definition, without a shortcut
    slack = 1e-9 * max(abs(first), abs(last)) * length
    above = [
        (rounded(value) - first) * length >= (last - first) * step - slack
        for step, value in enumerate(between, start=1)
    ]
    assert clear == all(above)
