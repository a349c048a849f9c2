"""The whole ladder over the real library and the fake server: every way of not answering ends on its rung."""

from typing import Any

import pytest

from bot.analyst_calls import AnalystCall
from bot.config import AnalystSettings
from bot.layer2_intelligence.analyst.ladder import Consulted, Ladder
from bot.opinions import LadderRung
from tests.fakes.messages_api import KEY, Fault, Shape
from tests.unit.layer2_intelligence.analyst.chart_readings import NOTHING, one_chart, snapshot, true_answer
from tests.unit.layer2_intelligence.analyst.gateway_stand import NoWaiting, Stand, stand

# What the first model does, what that is called, and which rung decides when the second answers as usual.
WAYS: list[tuple[Fault | Shape, str, LadderRung]] = [
    (Shape.NO_TOOL, "no_tool", LadderRung.FALLBACK),
    (Shape.TWO_TOOLS, "two_tools", LadderRung.FALLBACK),
    (Shape.MAX_TOKENS, "max_tokens", LadderRung.FALLBACK),
    (Shape.REFUSAL, "refusal", LadderRung.FALLBACK),
    (Shape.PAUSE, "pause", LadderRung.FALLBACK),
    (Shape.CONTEXT_WINDOW, "context_window", LadderRung.FALLBACK),
    (Fault.REFUSED_PARAMETER, "refused_parameter", LadderRung.FALLBACK),
    (Fault.RETIRED, "retired_model", LadderRung.FALLBACK),
    (Fault.SERVER_ERROR_FINAL, "server_error", LadderRung.FALLBACK),
    (Fault.PAGE, "malformed", LadderRung.FALLBACK),
    (Fault.EMPTY_OBJECT, "malformed", LadderRung.FALLBACK),
    (Fault.BAD_KEY, "bad_key", LadderRung.DETECTOR),
    (Fault.NO_CREDIT, "no_credit", LadderRung.DETECTOR),
    (Fault.SPEND_LIMIT, "spend_limit", LadderRung.DETECTOR),
]


async def consulted(here: Stand, **settings: Any) -> Consulted:
    """What comes of asking about the one chart."""
    return await Ladder(here.gateway, AnalystSettings(**settings), NoWaiting()).consult(snapshot(one_chart()))


async def test_a_true_answer_comes_through_and_holds() -> None:
    async with stand() as here:
        here.fake.answer_with = lambda body: true_answer(one_chart())
        answer = await consulted(here)

    assert (answer.rung, answer.steps) == (LadderRung.MODEL, ())
    assert answer.checked is not None
    assert answer.checked.claims is not None


@pytest.mark.parametrize(("way", "reason", "rung"), WAYS, ids=[each[0].value for each in WAYS])
async def test_a_way_of_not_answering_is_named_and_ends_on_its_rung(
    way: Fault | Shape, reason: str, rung: LadderRung
) -> None:
    async with stand() as here:
        here.fake.answer_with = lambda body: NOTHING
        here.fake.script.append(way)
        answer = await consulted(here)

    assert answer.rung is rung
    assert [each.reason for each in answer.steps] == [reason]


async def test_a_storm_of_overload_ends_with_the_detector() -> None:
    async with stand() as here:
        here.fake.script.extend([Fault.OVERLOADED] * 6)
        answer = await consulted(here)

    assert answer.rung is LadderRung.DETECTOR
    assert [each.reason for each in answer.steps] == ["overloaded", "overloaded"]
    assert len(here.fake.posted) == 6


async def test_an_empty_budget_sends_nothing_and_ends_with_the_detector() -> None:
    async with stand(empty_budget="analyst_budget_hour") as here:
        answer = await consulted(here)

    assert here.fake.posted == []
    assert answer.rung is LadderRung.DETECTOR
    assert {each.reason for each in answer.steps} == {"budget_hour"}


async def test_an_answer_of_a_wrong_form_is_asked_for_again_and_both_are_paid() -> None:
    async with stand() as here:
        here.fake.answer_with = lambda body: NOTHING
        here.fake.script.append(Shape.WRONG_SCHEMA)
        answer = await consulted(here)
        stored: list[AnalystCall] = await here.stored()

    assert answer.rung is LadderRung.MODEL
    assert len(stored) == 2
    assert "could not be used" in here.fake.posted[1].text
    assert "surprise" not in here.fake.posted[1].text  # nothing of the answer goes back into a prompt


async def test_the_stable_part_of_two_questions_is_the_same_and_nothing_secret_is_in_it() -> None:
    async with stand() as here:
        here.fake.answer_with = lambda body: NOTHING
        for _ in range(2):
            await consulted(here)

    first, second = (each.body for each in here.fake.posted)
    assert first["system"] == second["system"]
    assert first["tools"] == second["tools"]
    assert first["system"][-1]["cache_control"] == {"type": "ephemeral"}
    assert all(KEY not in each.text for each in here.fake.posted)
