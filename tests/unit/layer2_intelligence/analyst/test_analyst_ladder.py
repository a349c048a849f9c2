"""Who is asked, in which order, how often, and who stands in; a gateway that never answers holds nobody up."""

import asyncio
from typing import Any

import pytest

from bot.clock import ManualClock
from bot.config.analyst import AnalystSettings
from bot.layer2_intelligence.analyst.ladder import Consulted, Ladder
from bot.layer2_intelligence.analyst.nouns import AnalystReply, AnalystRequest, NoDecision, NoDecisionReason
from bot.opinions import LadderRung
from tests.builders import START
from tests.unit.layer2_intelligence import made_series
from tests.unit.layer2_intelligence.analyst.chart_readings import (
    NOTHING,
    ScriptedGateway,
    features_of,
    one_chart,
    reply,
    snapshot,
    true_answer,
)

MAIN, FALLBACK = AnalystSettings().analyst_model, AnalystSettings().analyst_fallback_model
BROKEN = {"divergence": None, "confidence": 300}


def no(reason: NoDecisionReason) -> NoDecision:
    return NoDecision(reason=reason, says=f"the server said {reason.value}")


async def consulted(gateway: ScriptedGateway, **changes: Any) -> Consulted:
    settings = AnalystSettings.model_validate(changes)
    return await Ladder(gateway, settings, ManualClock(START)).consult(snapshot(one_chart()))


async def test_the_main_model_answers_and_nobody_else_is_asked() -> None:
    gateway = ScriptedGateway(true_answer(one_chart()))

    answer = await consulted(gateway)

    assert [each.model for each in gateway.asked] == [MAIN]
    assert (answer.rung, answer.model, answer.steps) == (LadderRung.MODEL, MAIN, ())
    assert answer.checked is not None
    assert answer.checked.claims is not None
    assert answer.opinion.signal == answer.checked.signal


PASSED_ON = [
    each
    for each in NoDecisionReason
    if each.value not in ("bad_key", "no_key", "no_permission", "no_credit", "spend_limit", "ledger")
]


@pytest.mark.parametrize("reason", PASSED_ON)
async def test_the_fallback_model_is_asked_when_the_first_gives_no_decision(reason: NoDecisionReason) -> None:
    gateway = ScriptedGateway(no(reason), NOTHING)

    answer = await consulted(gateway)

    assert [each.model for each in gateway.asked] == [MAIN, FALLBACK]
    assert answer.rung is LadderRung.FALLBACK
    assert [(each.model, each.reason) for each in answer.steps] == [(MAIN, reason.value)]


@pytest.mark.parametrize("reason", ["bad_key", "no_key", "no_permission", "no_credit", "spend_limit", "ledger"])
async def test_what_no_model_could_do_is_not_asked_of_a_second_one(reason: str) -> None:
    gateway = ScriptedGateway(no(NoDecisionReason(reason)))

    answer = await consulted(gateway)

    assert len(gateway.asked) == 1
    assert answer.rung is LadderRung.DETECTOR


@pytest.mark.parametrize(
    ("setting", "rung"), [("detector", LadderRung.DETECTOR), ("no_entries", LadderRung.NO_ENTRIES)]
)
async def test_when_nobody_answers_the_setting_says_who_decides(setting: str, rung: LadderRung) -> None:
    gateway = ScriptedGateway(no(NoDecisionReason.RETIRED_MODEL), no(NoDecisionReason.OVERLOADED))

    answer = await consulted(gateway, analyst_on_failure=setting)

    assert (answer.rung, answer.checked) == (rung, None)
    assert [each.reason for each in answer.steps] == ["retired_model", "overloaded"]


async def test_without_a_fallback_the_main_model_has_the_whole_deadline() -> None:
    gateway = ScriptedGateway(NOTHING)

    await consulted(gateway, analyst_fallback_model="", analyst_deadline_s=20)

    assert gateway.deadlines_s == [20]


async def test_the_first_model_leaves_time_for_the_second() -> None:
    gateway = ScriptedGateway(no(NoDecisionReason.TIMEOUT), NOTHING)

    await consulted(gateway, analyst_deadline_s=20)

    assert gateway.deadlines_s == [12, 20]


async def test_an_answer_of_a_wrong_form_gets_one_second_chance() -> None:
    gateway = ScriptedGateway(BROKEN, NOTHING)

    answer = await consulted(gateway)

    assert [each.model for each in gateway.asked] == [MAIN, MAIN]
    assert "confidence" in gateway.asked[1].user_text.removeprefix(gateway.asked[0].user_text)
    assert answer.rung is LadderRung.MODEL


async def test_two_answers_of_a_wrong_form_are_no_decision() -> None:
    gateway = ScriptedGateway(BROKEN)

    answer = await consulted(gateway)

    assert [each.model for each in gateway.asked] == [MAIN, MAIN, FALLBACK, FALLBACK]
    assert [each.reason for each in answer.steps] == ["schema", "schema"]
    assert answer.no_decision is not None
    assert answer.no_decision.usage is not None  # what it cost is known all the same


class SlowGateway(ScriptedGateway):
    """Every answer takes `takes_s` seconds of the clock."""

    def __init__(self, clock: ManualClock, takes_s: float, *answers: object) -> None:
        super().__init__(*answers)
        self._clock, self._takes_s = clock, takes_s

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        self._clock.advance(self._takes_s)
        return await super().ask(request, deadline_s=deadline_s)


async def test_without_time_there_is_no_second_chance_and_no_second_model() -> None:
    clock = ManualClock(START)
    gateway = SlowGateway(clock, 30, BROKEN)
    ladder = Ladder(gateway, AnalystSettings(), clock)

    answer = await ladder.consult(snapshot(one_chart()))

    assert len(gateway.asked) == 1
    assert [each.reason for each in answer.steps] == ["schema", "timeout"]


async def test_a_gateway_that_keeps_no_deadline_is_left_alone_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hanging:
        async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
            await asyncio.Event().wait()
            return reply(request, NOTHING)

    loop = asyncio.get_running_loop()
    called_at = loop.time()
    monkeypatch.setattr(loop, "time", lambda: called_at)
    asking = asyncio.create_task(
        Ladder(Hanging(), AnalystSettings(), ManualClock(START)).consult(snapshot(one_chart()))
    )
    while not asking.done():  # each turn of the loop is 40 s later
        await loop.run_in_executor(None, int)
        called_at += 40.0
    answer = await asking

    assert [each.reason for each in answer.steps] == ["timeout", "timeout"]


async def test_without_history_nobody_is_asked() -> None:
    gateway = ScriptedGateway(NOTHING)
    shot = snapshot(features_of(made_series.walk(9, 300)).at(200))

    answer = await Ladder(gateway, AnalystSettings(), ManualClock(START)).consult(shot)

    assert gateway.asked == []
    assert [each.reason for each in answer.steps] == ["no_chart"]
