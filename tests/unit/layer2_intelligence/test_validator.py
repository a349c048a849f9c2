"""The judge as a whole: golden examples 12 and 26, completeness, the mirror, and garbage."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import default_registry
from bot.layer2_intelligence.features import BatchFeatures
from bot.layer2_intelligence.strategies.divergence import DivergenceStrategy
from bot.layer2_intelligence.validator import RULES, judge
from bot.models import (
    Direction,
    DivergenceClaim,
    DivergenceKind,
    Endorsed,
    EntrySignal,
    FindingStatus,
    Quote,
    StrategyTask,
    Timeframe,
    Vetoed,
)
from tests.unit.layer2_intelligence import made_series
from tests.unit.layer2_intelligence.judged_scene import CODES, Scene

SCENE = Scene()
FEATURES, SIGNAL, QUOTE = SCENE.features(), SCENE.signal(), SCENE.quote()


def test_every_rule_answers_on_every_signal_in_the_fixed_order() -> None:
    # Arrange
    spoiled = Scene()
    spoiled.direction = None
    spoiled.has_claim = False

    # Act
    good, bad = Scene().verdict(), spoiled.verdict()

    # Assert
    assert len(RULES) == 27
    assert tuple(each.code for each in good.findings) == CODES
    assert tuple(each.code for each in bad.findings) == CODES


def test_the_first_failing_rule_names_the_veto_and_later_ones_are_kept() -> None:
    # Arrange
    scene = Scene()
    scene.confidence = 0.1
    scene.columns["adx"][:] = 1.0

    # Act
    verdict = scene.verdict()

    # Assert
    assert isinstance(verdict, Vetoed)
    assert verdict.rejected_by == "1"
    assert scene.failing() == {"1", "7"}
    assert verdict.reason == "rule 1 confidence: 0.1, needs 0.7 to 1 (fail)"


def test_the_score_and_the_oscillators_left_come_with_the_verdict() -> None:
    # Arrange
    instrument_without_volume = replace(SCENE.instrument, has_volume=False)

    # Act
    verdict = SCENE.verdict()
    without_volume = judge(SIGNAL, FEATURES, QUOTE, instrument_without_volume, SCENE.validation, SCENE.divergence)

    # Assert: 3 families; 7/12, 1, 1/2 (median 7/12); 14 of 21 bars; 0.25 ATR; 24/11 of 4; 0.6
    parts = 2.0 + 2 * 7 / 12 + 1.5 * 14 / 21 + 0.25 + 1.5 * (6 / 2.75) / 4
    assert verdict.score == pytest.approx(parts + 0.6)
    assert verdict.score == verdict.findings[-1].measured
    assert without_volume.score == pytest.approx(parts / 9 * 10)
    assert verdict.oscillators_left == ("rsi", "macd_hist", "stoch_k")


def test_without_a_quote_half_the_typical_spread_is_paid_on_the_close() -> None:
    # Arrange: 0.02 % of 102 is 0.0204, half of it 0.0102
    def risk(direction: Direction, stop: str) -> float:
        signal = replace(SIGNAL, direction=direction, stop_loss=Decimal(stop), entry=Decimal("103"))
        verdict = judge(signal, FEATURES, None, SCENE.instrument, SCENE.validation, SCENE.divergence)
        return float(verdict.findings[6].measured) * 2

    # Act and assert
    assert risk(Direction.LONG, "100") == pytest.approx(2.0102, abs=1e-12)
    assert risk(Direction.SHORT, "104") == pytest.approx(2.0102, abs=1e-12)


# ------------------------------------------------------------------------------------------------- golden examples


def golden_12(*, bid: str = "99.9", ask: str = "100.1", stop: str = "98.1", target: str = "104.1") -> Scene:
    """300 candles that stand still between 98 and 102."""
    scene = Scene()
    scene.open[:] = scene.close[:] = 100.0
    scene.high[:], scene.low[:] = 102.0, 98.0
    for name, value in {"atr": 4.0, "rsi": 50.0, "adx": 0.0, "bandwidth": 0.0, "bandwidth_median": 0.0}.items():
        scene.columns[name][:] = value
    scene.bid, scene.ask, scene.entry = Decimal(bid), Decimal(ask), Decimal("100")
    scene.stop_loss, scene.targets = Decimal(stop), (Decimal(target),)
    return scene


def money_rules(scene: Scene) -> dict[str, tuple[FindingStatus, float]]:
    return {code: (found.status, float(found.measured)) for code in "346" for found in [scene.finding(code)]}


PASS, FAIL = FindingStatus.PASS, FindingStatus.FAIL


def test_golden_example_12_reward_is_exactly_twice_the_risk_and_the_stop_half_an_atr_away() -> None:
    assert money_rules(golden_12()) == {"3": (PASS, 1.9), "4": (PASS, 2.0), "6": (PASS, 0.5)}


def test_golden_example_12_a_tenth_more_to_pay_is_too_much() -> None:
    # Act
    found = money_rules(golden_12(ask="100.2"))

    # Assert
    assert found["4"][0] is FAIL
    assert found["4"][1] == pytest.approx(1.857143, abs=1e-6)
    assert found["6"] == (PASS, 0.525)


@pytest.mark.parametrize(
    ("stop", "rule_4", "rule_6"), [("98.11", PASS, FAIL), ("72.1", FAIL, PASS), ("72.09", FAIL, FAIL)]
)
def test_golden_example_12_stop_distances(stop: str, rule_4: FindingStatus, rule_6: FindingStatus) -> None:
    # Act
    found = money_rules(golden_12(stop=stop))

    # Assert
    assert (found["4"][0], found["6"][0]) == (rule_4, rule_6)


def test_golden_example_12_a_price_at_the_stop_fails_rules_3_and_4() -> None:
    # Act
    found = money_rules(golden_12(ask="98.1"))

    # Assert
    assert found["3"] == (FAIL, 0.0)
    assert found["4"][0] is FAIL
    assert math.isnan(found["4"][1])


def test_golden_example_12_mirrored() -> None:
    # Arrange
    scene = golden_12(stop="101.9", target="95.9")
    scene.direction = Direction.SHORT

    # Act and assert
    assert money_rules(scene) == {"3": (PASS, 1.9), "4": (PASS, 2.0), "6": (PASS, 0.5)}


def test_golden_example_12_market_rules() -> None:
    # Arrange
    crypto, forex = golden_12(), golden_12()
    forex.instrument = replace(default_registry().get("EUR_USD"), tick=Decimal("0.01"))

    # Act and assert
    assert (crypto.finding("5").status, crypto.finding("5").measured) == (PASS, 50.0)
    assert crypto.finding("7").status is FAIL
    assert forex.finding("7").status is FindingStatus.NOT_APPLICABLE
    assert crypto.finding("8").status is FAIL


def test_golden_example_12_without_direction() -> None:
    # Arrange
    scene = golden_12()
    scene.direction = None

    # Act
    verdict = scene.verdict()

    # Assert
    assert isinstance(verdict, Vetoed)
    assert verdict.rejected_by == "0"
    assert {"0", "3", "4", "5", "6", "9", "10", "11"} <= scene.failing()


@pytest.mark.parametrize(("price", "status"), [("100.1", PASS), ("100.11", FAIL)])
def test_golden_example_26_claimed_prices(price: str, status: FindingStatus) -> None:
    # Arrange: the second pivot is 100, ATR 2
    scene = Scene()
    scene.p2_price = Decimal(price)

    # Act and assert
    assert scene.finding("E3").status is status


@pytest.mark.parametrize(
    ("oscillators", "confirm_by", "status"),
    [
        (("rsi", "cci"), "families", FAIL),
        (("rsi", "cci"), "oscillators", PASS),
        (("rsi", "macd_hist"), "families", PASS),
    ],
)
def test_golden_example_26_confirmation(oscillators: tuple[str, ...], confirm_by: str, status: FindingStatus) -> None:
    # Arrange
    scene = Scene()
    scene.oscillators = oscillators
    scene.limit(confirm_by=confirm_by)

    # Act and assert
    assert scene.finding("9").status is status


@pytest.mark.parametrize(
    ("kind", "first", "second", "status"),
    [
        (DivergenceKind.REGULAR, 30.0, 33.0, PASS),
        (DivergenceKind.REGULAR, 30.0, 32.99, FAIL),
        (DivergenceKind.HIDDEN, 33.0, 30.0, PASS),
    ],
)
def test_golden_example_26_rsi_magnitude(
    kind: DivergenceKind, first: float, second: float, status: FindingStatus
) -> None:
    # Arrange
    scene = Scene()
    scene.kind = kind
    scene.columns["rsi"][scene.p1], scene.columns["rsi"][scene.p2] = first, second

    # Act and assert
    assert scene.finding("11").status is status


# ------------------------------------------------------------------------------------------------------- properties


quarters = st.integers(-8, 8).map(lambda number: number / 4)


@settings(deadline=None, max_examples=150)
@given(
    moves=st.lists(st.tuples(st.integers(276, 299), quarters), max_size=6),
    swings=st.lists(st.tuples(st.sampled_from(sorted(SCENE.columns)), st.integers(280, 299), quarters), max_size=4),
    stop=quarters,
    target=quarters,
    ask=quarters,
    claim=st.integers(-2, 2),
    kind=st.sampled_from(DivergenceKind),
)
def test_a_short_on_mirrored_prices_gets_the_findings_of_the_long(
    moves: list[tuple[int, float]],
    swings: list[tuple[str, int, float]],
    stop: float,
    target: float,
    ask: float,
    claim: int,
    kind: DivergenceKind,
) -> None:
    # Arrange
    def made() -> Scene:
        scene = Scene()
        for index, move in moves:
            for column in (scene.low, scene.high, scene.open, scene.close):
                column[index] += move
        for name, index, move in swings:
            scene.columns[name][index] += move
        scene.stop_loss = Decimal("99.5") + Decimal(stop)
        scene.targets = (Decimal("108.25") + Decimal(target), Decimal("112"))
        scene.ask += abs(Decimal(ask))
        scene.p1_at, scene.kind = scene.time(scene.p1 + claim), kind
        return scene

    long, short = made(), made()

    # Act
    short.mirror()

    # Assert: rule 0 names the direction; the bounds of rule 5 lie mirrored around 50
    findings = zip(long.verdict().findings[1:], short.verdict().findings[1:], strict=True)
    assert all(_mirrors(a.measured, b.measured, a.code) and a.status is b.status for a, b in findings)
    assert long.verdict().score == pytest.approx(short.verdict().score)


def _mirrors(long: float | str, short: float | str, code: str) -> bool:
    if isinstance(long, str) or isinstance(short, str):
        return long == short
    expected = 100.0 - long if code == "5" else long
    return short == pytest.approx(expected, nan_ok=True)


ANY_DECIMAL = st.decimals(allow_nan=True, allow_infinity=True) | st.sampled_from(
    [Decimal("sNaN"), Decimal("1E+999999"), Decimal("1E-999999"), Decimal("-0"), Decimal("102"), Decimal("99.5")]
)
GARBAGE: st.SearchStrategy[object] = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | st.just([1]) | st.just({})
)
ANY_TIME = (
    st.integers(-10, 400).map(SCENE.time)
    | st.datetimes()
    | st.datetimes(timezones=st.just(UTC) | st.just(timezone(timedelta(hours=14))))
    | st.just(SCENE.time(281) + timedelta(microseconds=1))
    | st.just(datetime.max.replace(tzinfo=UTC))
    | GARBAGE
)
ANY_OSCILLATORS = (
    st.lists(st.sampled_from(["rsi", "mfi", "stoch_k", "macd_hist", "atr", "", "RSI"]) | GARBAGE, max_size=8).map(tuple)
    | GARBAGE
)
ANY_CLAIM = (
    st.builds(
        DivergenceClaim,
        kind=st.sampled_from(DivergenceKind) | GARBAGE,
        oscillators=ANY_OSCILLATORS,
        p1_at=ANY_TIME,
        p2_at=ANY_TIME,
        p1_price=ANY_DECIMAL | GARBAGE,
        p2_price=ANY_DECIMAL | GARBAGE,
    )
    | st.just(SIGNAL.claim)
    | GARBAGE
)
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "symbol": GARBAGE,
        "timeframe": st.sampled_from(Timeframe) | GARBAGE,
        "direction": st.sampled_from(Direction) | GARBAGE,
        "entry": ANY_DECIMAL | GARBAGE,
        "stop_loss": ANY_DECIMAL | GARBAGE,
        "targets": st.lists(ANY_DECIMAL | GARBAGE, max_size=3).map(tuple) | GARBAGE,
        "confidence": st.floats() | GARBAGE,
        "claim": ANY_CLAIM,
        "broker_id": GARBAGE,
    },
)


@settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(changes=CHANGES, quote=st.just(QUOTE) | st.none() | st.builds(lambda bid: replace(QUOTE, bid=bid), ANY_DECIMAL))
def test_garbage_never_raises_and_is_never_endorsed_with_a_failing_rule(
    changes: dict[str, object], quote: Quote | None
) -> None:
    # Arrange
    signal: EntrySignal = replace(SIGNAL, **changes)  # type: ignore[arg-type]  # that is the point

    # Act
    verdict = judge(signal, FEATURES, quote, SCENE.instrument, SCENE.validation, SCENE.divergence)

    # Assert
    failing = [each.code for each in verdict.findings if each.status is FindingStatus.FAIL]
    assert tuple(each.code for each in verdict.findings) == CODES
    assert isinstance(verdict, Endorsed) == (not failing)
    assert isinstance(verdict, Endorsed) or verdict.rejected_by == failing[0]
    assert all(isinstance(each.measured, float | str) for each in verdict.findings)


@settings(deadline=None, max_examples=100)
@given(
    k=st.integers(0, 299),
    holes=st.lists(st.tuples(st.sampled_from(sorted(SCENE.columns)), st.integers(0, 299)), max_size=30),
    p1=st.integers(0, 299),
    p2=st.integers(0, 299),
)
def test_undefined_indicators_and_short_histories_never_raise(
    k: int, holes: list[tuple[str, int]], p1: int, p2: int
) -> None:
    # Arrange
    scene = Scene()
    for name, index in holes:
        scene.columns[name][index] = math.nan
    scene.k = k
    scene.p1_at, scene.p2_at = scene.time(p1), scene.time(p2)

    # Act
    verdict = scene.verdict()

    # Assert
    assert tuple(each.code for each in verdict.findings) == CODES
    assert isinstance(verdict, Vetoed) or k == SCENE.k


def test_judging_twice_gives_the_same_and_changes_nothing() -> None:
    # Arrange
    lows = FEATURES.series.low.copy()

    # Act
    first, second = SCENE.verdict(), SCENE.verdict()

    # Assert
    assert first == second
    assert np.array_equal(lows, FEATURES.series.low)


# ------------------------------------------------------------------------------------------- the detector's own signals


@pytest.mark.parametrize("seed", [5, 6])
def test_what_the_detector_claims_passes_e1_to_e9_with_every_oscillator_left(seed: int) -> None:
    # Arrange
    divergence, validation = DivergenceSettings(), ValidationSettings()
    series = made_series.walk(seed, 3_000)
    instrument = default_registry().get(series.symbol)
    features = BatchFeatures(series, divergence, validation.bandwidth_lookback)
    strategy = DivergenceStrategy(divergence)
    task = StrategyTask.of("divergence", instrument, series.timeframe)
    signals = [
        (signal, snapshot)
        for snapshot in map(features.at, range(250, len(series)))
        for signal in strategy.signals(task, snapshot, instrument)
    ]

    # Act
    verdicts = [judge(signal, seen, None, instrument, validation, divergence) for signal, seen in signals]

    # Assert
    assert len(verdicts) > 20
    claimed = {f"E{number}" for number in range(1, 10)}
    untrue = [each for v in verdicts for each in v.findings if each.code in claimed and each.status is FAIL]
    assert untrue == []
    assert all(v.signal.claim and v.oscillators_left == v.signal.claim.oscillators for v in verdicts)
