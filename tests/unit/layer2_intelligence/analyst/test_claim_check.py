"""What is claimed beside the candles: truth passes, each lie is named for what it is, and levels are never taken."""

from dataclasses import replace
from typing import Any

import pytest

from bot.config import ValidationSettings
from bot.layer2_intelligence.analyst.claim_check import Checked
from bot.layer2_intelligence.evidence import ModelFault
from bot.layer2_intelligence.validator import judge
from bot.models import Direction
from tests.unit.layer2_intelligence.analyst.chart_readings import (
    DIVERGENCE,
    GOLD,
    NOTHING,
    charts,
    checked,
    found,
    one_chart,
    payload,
    true_answer,
)


@pytest.mark.parametrize("seed", [51, 52])
def test_who_sees_what_the_detector_sees_claims_nothing_untrue(seed: int) -> None:
    answers = [(each, setup) for each in charts(seed) for setup in each.setups]
    assert len(answers) > 25

    for features, setup in answers:
        result = checked(features, true_answer(features, setup))
        assert result.fault in (None, ModelFault.UNTRADABLE), (features.k, result.untrue)
        assert not any("the chart has no such value" in each for each in result.untrue)


def test_a_true_claim_has_the_levels_that_the_detector_gives_it() -> None:
    features = one_chart()
    [own] = found(features)

    signal = checked(features, true_answer(features)).claims

    assert signal is not None
    assert (signal.entry, signal.stop_loss, signal.targets) == (own.entry, own.stop_loss, own.targets)
    assert signal.claim is not None
    assert own.claim is not None
    assert signal.claim.oscillators == own.claim.oscillators
    assert signal.analyst == "claude:model-a"
    assert signal.confidence == 0.8


def test_the_validator_judges_a_true_claim_as_it_judges_the_detectors() -> None:
    features = one_chart()
    [own] = found(features)
    signal = checked(features, true_answer(features)).claims
    assert signal is not None

    verdicts = [
        judge(each, features, None, GOLD, ValidationSettings(), DIVERGENCE)
        for each in (own, replace(signal, confidence=own.confidence))
    ]

    assert [each.status for each in verdicts[0].findings] == [each.status for each in verdicts[1].findings]
    assert verdicts[0].score == verdicts[1].score


def test_nothing_to_trade_is_no_claim() -> None:
    result = checked(one_chart(), NOTHING)

    assert (result.signal, result.fault, result.untrue) == (None, None, ())


def lie(**changes: Any) -> Checked:
    """The one chart with a changed claim."""
    features = one_chart()
    return checked(features, true_answer(features, **changes))


def test_an_invented_price_is_a_fabrication() -> None:
    features = one_chart()
    price = true_answer(features)["divergence"]["first_price"]

    assert lie(first_price=price + 150).fault is ModelFault.FABRICATION


def test_an_invented_oscillator_value_is_a_fabrication_although_the_divergence_is_there() -> None:
    values = true_answer(one_chart())["divergence"]["oscillators"]
    invented = [{**values[0], "first": values[0]["first"] - 120}, *values[1:]]

    result = lie(oscillators=invented)

    assert result.fault is ModelFault.FABRICATION
    assert result.claims is None
    assert any(f"{values[0]['oscillator']} is said to be" in each for each in result.untrue)


def test_a_bar_that_is_no_pivot_is_a_fabrication() -> None:
    features = one_chart()
    claim = true_answer(features)["divergence"]

    assert lie(first_bar=claim["first_bar"] + 3).fault is ModelFault.FABRICATION


def test_the_other_kind_is_a_misreading() -> None:
    kind = true_answer(one_chart())["divergence"]["kind"]

    result = lie(kind="hidden" if kind == "regular" else "regular")

    assert result.fault is ModelFault.MISREADING


def test_the_other_direction_never_holds() -> None:
    direction = Direction(true_answer(one_chart())["divergence"]["direction"])

    assert lie(direction=direction.opposite.value).fault is not None


def test_a_claim_beside_the_pivot_is_led_to_it_for_its_stop() -> None:
    features = one_chart()
    [own] = found(features)
    claim = true_answer(features)["divergence"]

    result = lie(second_bar=claim["second_bar"] + 1)

    assert result.signal is not None
    assert result.signal.stop_loss == own.stop_loss


def test_a_second_pivot_that_is_not_confirmed_is_a_fabrication() -> None:
    assert lie(second_bar=payload(one_chart()).bars).fault is ModelFault.FABRICATION
