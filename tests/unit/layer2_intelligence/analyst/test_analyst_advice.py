"""What an answer does to the entries of its candle: it can withhold them, and it can never make them larger."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from bot.layer2_intelligence.analyst.advice import Advice, advice, throttled
from bot.layer2_intelligence.analyst.ladder import Consulted
from bot.models import Direction, EntrySignal
from bot.opinions import AnalystGate, LadderRung, LadderStep, OpinionEffect, closed_gate
from tests.builders import START
from tests.unit.layer2_intelligence.analyst.chart_readings import NOTHING, checked, found, one_chart, true_answer

CLOSED = closed_gate("model-a")
DECIDES = AnalystGate(
    model="model-a", may_decide=True, confidence_counts=False, by="evaluation", says="Brier 0.17", at=START
)
TRUSTED = replace(DECIDES, confidence_counts=True)


def after(
    answer: dict[str, Any] | None,
    gate: AnalystGate,
    *,
    waited: bool | None = None,
    candidates: Sequence[EntrySignal] | None = None,
    falls_to: LadderRung = LadderRung.DETECTOR,
) -> Advice:
    """The advice on the one chart after an answer; None: nobody answered."""
    features = one_chart()
    steps = () if answer else (LadderStep(model="model-a", reason="overloaded", says="HTTP 529"),)
    consulted = Consulted(
        rung=LadderRung.MODEL if answer else falls_to,
        falls_to=falls_to,
        steps=steps,
        model="model-a" if answer else "",
        checked=checked(features, answer) if answer else None,
    )
    given = found(features) if candidates is None else candidates
    return advice(consulted, given, gate, waited=gate.may_decide if waited is None else waited)


def entering(given: Advice) -> list[EntrySignal]:
    return [each.signal for each in given.signals if not each.withheld]


def agreeing(**changes: Any) -> dict[str, Any]:
    return true_answer(one_chart(), **changes)


def lying() -> dict[str, Any]:
    return agreeing(first_price=agreeing()["divergence"]["first_price"] + 500)


def against() -> tuple[EntrySignal, ...]:
    [own] = found(one_chart())
    assert own.direction is not None
    return (replace(own, direction=own.direction.opposite),)


@pytest.mark.parametrize("answer", [agreeing, lying, lambda: NOTHING], ids=["agrees", "lies", "sees nothing"])
def test_behind_a_closed_gate_an_answer_enters_nothing_whatever_it_says(answer: Any) -> None:
    given = after(answer(), CLOSED)

    assert entering(given) == []
    assert given.effect is OpinionEffect.SECOND_OPINION


def test_a_second_opinion_is_judged_and_followed_all_the_same() -> None:
    given = after(agreeing(), CLOSED)

    [only] = given.signals
    assert only.signal.analyst == "claude:model-a"
    assert "never evaluated" in only.withheld


def test_who_sees_the_same_enters_with_the_confidence_of_the_detector() -> None:
    [own] = found(one_chart())

    [signal] = entering(after(agreeing(), DECIDES))

    assert (signal.analyst, signal.confidence) == ("claude:model-a", own.confidence)
    assert (signal.stop_loss, signal.targets) == (own.stop_loss, own.targets)


@pytest.mark.parametrize(("percent", "expected"), [(40, 0.40), (100, None)])
def test_a_confidence_that_counts_can_only_lower_that_of_the_detector(percent: int, expected: float | None) -> None:
    [own] = found(one_chart())

    [signal] = entering(after({**agreeing(), "confidence": percent}, TRUSTED))

    assert signal.confidence == (own.confidence if expected is None else expected)


def test_who_sees_nothing_withholds_what_the_detector_found() -> None:
    given = after(NOTHING, DECIDES)

    assert entering(given) == []
    assert given.effect is OpinionEffect.DECLINED
    assert [each.signal for each in given.signals] == list(found(one_chart()))


def test_a_void_claim_withholds_everything_and_names_its_class() -> None:
    given = after(lying(), DECIDES)

    assert entering(given) == []
    assert given.effect is OpinionEffect.VOID
    assert "void claim (fabrication)" in given.why


def test_what_a_model_alone_sees_is_not_entered_before_its_confidence_counts() -> None:
    given = after(agreeing(), DECIDES, candidates=())

    assert entering(given) == []
    assert given.effect is OpinionEffect.DECLINED


def test_what_a_model_alone_sees_is_entered_once_its_confidence_counts() -> None:
    given = after(agreeing(), TRUSTED, candidates=())

    [signal] = entering(given)
    assert given.effect is OpinionEffect.ENTERED
    assert signal.confidence == 0.8


@pytest.mark.parametrize("gate", [DECIDES, TRUSTED])
def test_the_other_direction_is_withheld(gate: AnalystGate) -> None:
    given = after(agreeing(), gate, candidates=against())

    assert against()[0] not in entering(given)
    assert {each.signal.direction for each in given.signals} == set(Direction)


def test_where_nobody_answers_the_detector_decides() -> None:
    given = after(None, CLOSED, waited=True)

    assert entering(given) == list(found(one_chart()))
    assert "overloaded" in given.why


def test_where_nobody_answers_nothing_is_entered_if_the_setting_says_so() -> None:
    given = after(None, CLOSED, waited=True, falls_to=LadderRung.NO_ENTRIES)

    assert entering(given) == []
    assert given.effect is OpinionEffect.NO_ENTRY


def test_an_answer_of_a_model_without_a_say_leaves_the_decision_to_the_detector() -> None:
    given = after(NOTHING, CLOSED, waited=True)  # the fallback model stood in for one whose gate is open

    assert entering(given) == list(found(one_chart()))


def test_what_did_not_wait_is_never_entered_twice() -> None:
    for answer in (agreeing(), NOTHING, None):
        for gate in (CLOSED, DECIDES, TRUSTED):
            assert entering(after(answer, gate, waited=False)) == []


def test_too_many_entries_withhold_all_of_the_candle() -> None:
    given = throttled(after(agreeing(), DECIDES), found(one_chart()), "too many")

    assert entering(given) == []
    assert len(given.signals) == 2
