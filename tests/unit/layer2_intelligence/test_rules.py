"""Rules 0 to 14 and the gate: each fails alone, and passes just on the other side of its boundary."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest

from bot.instruments import IG, OANDA, AssetClass
from bot.models import DivergenceKind, Endorsed, FindingStatus, Timeframe, Vetoed
from tests.unit.layer2_intelligence.judged_scene import Scene

Change = Callable[[Scene], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """A rule's boundary: a change that it just allows, and one that it just does not."""

    code: str
    inside: Change
    outside: Change
    build: Callable[[], Scene] = Scene
    also: frozenset[str] = frozenset()  # rules that cannot but fail with it


def stop_at(price: str) -> Change:
    return lambda scene: setattr(scene, "stop_loss", Decimal(price))


def confidence_of(value: float) -> Change:
    return lambda scene: setattr(scene, "confidence", value)


def at_k(name: str, value: float) -> Change:
    return lambda scene: scene.columns[name].__setitem__(scene.k, value)


def at_p2(name: str, value: float) -> Change:
    return lambda scene: scene.columns[name].__setitem__(scene.p2, value)


def entry_at_the_stop(stop: str) -> Change:
    def change(scene: Scene) -> None:
        scene.entry, scene.stop_loss = Decimal("101"), Decimal(stop)

    return change


def nearest_target_at(price: str) -> Change:
    return lambda scene: setattr(scene, "targets", (Decimal(price), Decimal("112")))


def far_targets_and_stop(stop: str) -> Change:
    def change(scene: Scene) -> None:
        scene.targets, scene.stop_loss = (Decimal("131"), Decimal("140")), Decimal(stop)

    return change


def confirmed_by(*oscillators: str) -> Change:
    def change(scene: Scene) -> None:
        scene.oscillators = oscillators
        scene.limit(min_divergence_score=1)

    return change


def volume_of(value: float) -> Change:
    return lambda scene: scene.volume.__setitem__(scene.k, value)


def traded_candles(count: int) -> Change:
    return lambda scene: scene.volume.__setitem__(slice(scene.k - 19, scene.k + 1 - count), 0.0)


def low_volume_of(value: float) -> Change:
    def change(scene: Scene) -> None:
        scene.limit(volume_low_threshold=0.5)
        scene.volume[scene.k] = value

    return change


def pattern_wanted(*, hammer: bool) -> Change:
    def change(scene: Scene) -> None:
        scene.limit(require_candle_pattern=True)
        if hammer:  # 102.25..102.5 is the body, 101 the low
            scene.open[scene.k], scene.close[scene.k] = 102.25, 102.5

    return change


def gate_at(extra: float) -> Change:
    return lambda scene: scene.limit(min_divergence_score=Scene().verdict().score + extra)


def nothing(_: Scene) -> None:
    """The scene as it is."""


EDGES = (
    Edge(code="1", inside=confidence_of(0.70), outside=confidence_of(0.6999)),
    Edge(code="1", inside=confidence_of(1.0), outside=confidence_of(1.0001)),
    Edge(code="3", inside=entry_at_the_stop("100.99"), outside=entry_at_the_stop("101.00")),
    Edge(code="4", inside=nearest_target_at("107.75"), outside=nearest_target_at("107.74")),
    Edge(code="4", inside=nearest_target_at("107.759"), outside=nearest_target_at("107.749")),
    Edge(code="5", inside=at_k("rsi", 69.99), outside=at_k("rsi", 70.0)),
    Edge(code="6", inside=stop_at("101.25"), outside=stop_at("101.26")),
    Edge(code="6", inside=far_targets_and_stop("88.25"), outside=far_targets_and_stop("88.24")),
    Edge(code="7", inside=at_k("adx", 20.0), outside=at_k("adx", 19.99)),
    Edge(code="8", inside=at_k("bandwidth", 0.025), outside=at_k("bandwidth", 0.0249)),
    Edge(code="9", inside=confirmed_by("rsi", "macd_hist"), outside=confirmed_by("rsi", "cci")),
    Edge(
        code="10", build=lambda: Scene(p1=288), inside=nothing, outside=lambda scene: scene.limit(min_swing_bars_1h=8)
    ),
    Edge(
        code="10",
        build=lambda: Scene(p1=285, timeframe=Timeframe.H4),
        inside=nothing,
        outside=lambda scene: scene.limit(min_swing_bars_4h=11),
    ),
    Edge(code="11", inside=at_p2("rsi", 31.0), outside=at_p2("rsi", 30.99)),
    Edge(code="12", inside=volume_of(1.01), outside=volume_of(1.0)),
    Edge(code="12", inside=traded_candles(10), outside=traded_candles(9)),
    Edge(code="13", inside=low_volume_of(50.0), outside=low_volume_of(49.99)),
    Edge(code="14", inside=pattern_wanted(hammer=True), outside=pattern_wanted(hammer=False)),
    Edge(code="S", inside=gate_at(0.0), outside=gate_at(1e-9)),
)


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: edge.code)
@pytest.mark.parametrize("mirrored", [False, True], ids=["long", "short"])
def test_a_signal_beyond_one_boundary_is_vetoed_by_that_rule_alone(edge: Edge, mirrored: bool) -> None:
    # Arrange
    scene = edge.build()
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
def test_a_signal_on_the_boundary_is_endorsed(edge: Edge, mirrored: bool) -> None:
    # Arrange
    scene = edge.build()
    edge.inside(scene)
    if mirrored:
        scene.mirror()

    # Act
    verdict = scene.verdict()

    # Assert
    assert isinstance(verdict, Endorsed), scene.failing()


def test_without_direction_every_rule_that_needs_one_fails_and_rule_0_names_the_veto() -> None:
    # Arrange
    scene = Scene()
    scene.direction = None

    # Act
    verdict = scene.verdict()

    # Assert
    assert isinstance(verdict, Vetoed)
    assert verdict.rejected_by == "0"
    assert scene.failing() >= {"0", "3", "4", "5", "6", "9", "10", "11"}
    assert not scene.failing() & {"1", "2", "7", "8", "12", "E1", "E2"}


@pytest.mark.parametrize("stop", [None, Decimal(0), Decimal("-1"), Decimal("NaN"), Decimal("Infinity")])
def test_without_a_usable_stop_rule_2_fails_and_takes_3_4_and_6_with_it(stop: Decimal | None) -> None:
    # Arrange
    scene = Scene()
    scene.limit(min_divergence_score=1)  # reward is not known any more
    scene.stop_loss = stop

    # Act
    failing = scene.failing()

    # Assert
    assert failing - {"E1"} == {"2", "3", "4", "6"}
    assert scene.finding("2").measured == "stop_loss"


def test_a_price_that_ran_away_fails_on_the_price_paid_although_the_entry_was_sound() -> None:
    # Arrange
    scene = Scene()
    scene.ask = Decimal("99.5")

    # Act
    failing = scene.failing()

    # Assert
    assert failing >= {"3", "4", "6"}
    assert scene.finding("3").measured == 0.0
    assert math.isnan(float(scene.finding("4").measured))


def test_without_a_target_reward_is_unknown_and_rule_4_fails() -> None:
    # Arrange
    scene = Scene()
    scene.targets = ()

    # Act
    finding = scene.finding("4")

    # Assert
    assert finding.status is FindingStatus.FAIL
    assert math.isnan(float(finding.measured))


@pytest.mark.parametrize(("counted", "reward"), [("first", "6.0"), ("second", "9.75"), ("weighted", "7.875")])
def test_rule_4_counts_the_target_that_the_setting_names(counted: str, reward: str) -> None:
    # Arrange
    scene = Scene()
    scene.limit(rr_target=counted)

    # Act
    measured = scene.finding("4").measured

    # Assert
    assert measured == float(Decimal(reward) / Decimal("2.75"))


def test_the_stop_is_rounded_away_from_the_entry_before_it_is_measured() -> None:
    # Arrange
    scene = Scene()
    scene.stop_loss = Decimal("99.509")  # 99.50 on the tick of a cent

    # Act and assert
    assert scene.finding("3").measured == 2.5
    scene.mirror()
    assert scene.finding("3").measured == 2.5


def test_a_broker_of_its_own_confidence_is_held_to_it() -> None:
    # Arrange
    scene = Scene()
    scene.limit(min_confidence_binance=0.81, min_confidence_oanda=0.5)

    # Act and assert
    assert scene.failing() == {"1"}
    scene.instrument = replace(scene.instrument, broker_id=OANDA)
    assert not scene.failing()
    scene.instrument = replace(scene.instrument, broker_id=IG)
    assert not scene.failing()


def test_rule_7_does_not_apply_outside_crypto_but_measures() -> None:
    # Arrange
    scene = Scene()
    scene.instrument = replace(scene.instrument, asset_class=AssetClass.FOREX)
    scene.columns["adx"][scene.k] = 5.0

    # Act
    finding = scene.finding("7")

    # Assert
    assert (finding.status, finding.measured) == (FindingStatus.NOT_APPLICABLE, 5.0)
    assert not scene.failing()


@pytest.mark.parametrize("width", [0.0, math.nan])
def test_closed_or_unknown_bands_fail_rule_8(width: float) -> None:
    # Arrange
    scene = Scene()
    scene.columns["bandwidth"][scene.k] = width

    # Act and assert
    assert scene.failing() == {"8"}


def test_rule_9_counts_oscillators_where_the_setting_says_so() -> None:
    # Arrange
    scene = Scene()
    scene.oscillators = ("rsi", "cci")
    scene.limit(min_divergence_score=1, confirm_by="oscillators")

    # Act and assert
    assert isinstance(scene.verdict(), Endorsed)
    assert scene.finding("9").measured == 2.0


def test_rule_11_does_not_apply_when_only_claimed_rsi_counts_and_it_is_not_claimed() -> None:
    # Arrange
    scene = Scene()
    scene.limit(rsi_magnitude_when="claimed", min_divergence_score=1)
    scene.columns["rsi"][scene.p2] = 20.0
    scene.oscillators = ("macd_hist", "stoch_k")

    # Act
    finding = scene.finding("11")

    # Assert
    assert (finding.status, finding.measured) == (FindingStatus.NOT_APPLICABLE, -8.0)
    assert not scene.failing()


def test_rule_11_of_a_hidden_divergence_wants_rsi_to_fall() -> None:
    # Arrange
    scene = Scene()
    scene.kind = DivergenceKind.HIDDEN
    scene.columns["rsi"][scene.p1], scene.columns["rsi"][scene.p2] = 33.0, 30.0

    # Act
    finding = scene.finding("11")

    # Assert
    assert (finding.status, finding.measured) == (FindingStatus.PASS, 3.0)


@pytest.mark.parametrize("code", ["12", "13"])
def test_volume_rules_do_not_apply_where_the_registry_says_there_is_none(code: str) -> None:
    # Arrange
    scene = Scene()
    scene.limit(volume_low_threshold=0.5)
    scene.instrument = replace(scene.instrument, has_volume=False)
    scene.volume[:] = 0.0
    scene.columns["volume_mean"][:] = 0.0

    # Act and assert
    assert scene.finding(code).status is FindingStatus.NOT_APPLICABLE
    assert not scene.failing()


def test_zero_volume_on_an_instrument_that_should_have_it_fails() -> None:
    # Arrange
    scene = Scene()
    scene.volume[:] = 0.0
    scene.columns["volume_mean"][:] = 0.0

    # Act and assert
    assert "12" in scene.failing()


@pytest.mark.parametrize("code", ["13", "14"])
def test_a_switched_off_rule_is_off_whatever_it_measures(code: str) -> None:
    assert Scene().finding(code).status is FindingStatus.OFF


def _engulfing(scene: Scene) -> None:
    scene.open[scene.k - 1], scene.close[scene.k - 1] = 101.75, 101.5
    scene.open[scene.k], scene.close[scene.k] = 101.5, 102.0


def _star(scene: Scene) -> None:
    scene.open[scene.k - 2], scene.close[scene.k - 2] = 102.0, 101.0
    scene.open[scene.k], scene.close[scene.k] = 101.25, 102.0


@pytest.mark.parametrize(("name", "draw"), [("engulfing", _engulfing), ("star", _star)])
@pytest.mark.parametrize("mirrored", [False, True], ids=["long", "short"])
def test_rule_14_names_the_patterns_it_found(name: str, draw: Change, mirrored: bool) -> None:
    # Arrange
    scene = Scene()
    draw(scene)
    if mirrored:
        scene.mirror()

    # Act and assert
    assert scene.finding("14").measured == name
