"""Hostile text in every field that could reach a prompt or come back in a reply: decisions stay, output is escaped."""

import copy
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from typing import Any

import aiohttp_jinja2
import jinja2
import pytest

from bot.clock import ManualClock
from bot.config.analyst import AnalystSettings
from bot.dashboard.app import create_app
from bot.database.memory import MemoryStores
from bot.instruments import Symbol
from bot.layer2_intelligence.analyst.advice import Advice, advice
from bot.layer2_intelligence.analyst.ladder import Consulted, Ladder
from bot.layer2_intelligence.analyst.nouns import AnalystReply, AnalystRequest, NoDecision, NoDecisionReason
from bot.layer2_intelligence.analyst.payload import payload_of
from bot.layer2_intelligence.analyst.prompts import question
from bot.layer2_intelligence.analyst.tools import ReadingFault, parse_reading
from bot.layer5_monitoring.events import JournalEvents
from bot.models import StrategyName, TaskId, Timeframe
from bot.opinions import AnalystGate, LadderRung, LadderStep, OpinionEffect, OpinionRecord
from tests.builders import START
from tests.fakes.dashboard_day import dashboard_parts
from tests.unit.layer2_intelligence.analyst.chart_readings import (
    DIVERGENCE,
    GOLD,
    NOTHING,
    ScriptedGateway,
    found,
    one_chart,
    payload,
    reply,
    snapshot,
    true_answer,
)
from tests.unit.layer2_intelligence.analyst.hostile_text import HOSTILE

GATE = AnalystGate(model="model-a", may_decide=True, confidence_counts=True, by="ada", says="", at=START)
WHERE_IN_A_REPLY = [
    ("divergence",),
    ("confidence",),
    ("divergence", "direction"),
    ("divergence", "kind"),
    ("divergence", "first_bar"),
    ("divergence", "second_price"),
    ("divergence", "oscillators"),
    ("divergence", "oscillators", 0),
    ("divergence", "oscillators", 0, "oscillator"),
    ("divergence", "oscillators", 0, "first"),
]


def test_there_are_at_least_200_different_ones() -> None:
    assert len(set(HOSTILE)) >= 200


# --------------------------------------------------------------------------------------------------- towards a prompt


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_of_a_task_or_symbol_reaches_a_prompt(hostile: str) -> None:
    features, plain = one_chart(), _SHOWN()

    assert payload_of(features, replace(GOLD, symbol=Symbol(hostile)), DIVERGENCE) is None
    named = replace(GOLD, venue_symbol=hostile, correlation_group=hostile)
    assert payload_of(features, named, DIVERGENCE) == plain


# ------------------------------------------------------------------------------------------------- back in the answer


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_no_field_of_a_reading_takes_a_text_and_no_fault_repeats_it(hostile: str) -> None:
    answers = [_with(place, hostile) for place in WHERE_IN_A_REPLY]
    answers += [{**_true(), hostile: 1}, {**_true(), "note": hostile}, {hostile: hostile}]
    answers.append({**_true(), "divergence": {**_true()["divergence"], hostile: hostile}})

    for answer in answers:
        read = parse_reading(answer, _SHOWN().bars)
        assert isinstance(read, ReadingFault)
        assert hostile not in read.says


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
async def test_what_stands_beside_an_answer_changes_no_decision(hostile: str) -> None:
    for answer in (_true(), NOTHING):
        plain, spoiled = await _decided(answer, ""), await _decided(answer, hostile)
        assert spoiled == plain


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
async def test_what_a_server_says_instead_of_an_answer_reaches_no_prompt_and_no_decision(hostile: str) -> None:
    gateway = ScriptedGateway(NoDecision(reason=NoDecisionReason.BAD_REQUEST, says=hostile))

    consulted = await Ladder(gateway, AnalystSettings(), ManualClock(START)).consult(snapshot(one_chart()))

    asked = question(_SHOWN(), DIVERGENCE, model="model-a", max_tokens=1_024)
    assert {(each.user_text, each.system) for each in gateway.asked} == {(asked.user_text, asked.system)}
    assert advice(consulted, found(one_chart()), GATE, waited=True).effect is OpinionEffect.DETECTOR_DECIDED


# ------------------------------------------------------------------------------------------------------- on the page


@pytest.fixture(scope="module")
def page() -> jinja2.Environment:
    """The templates as the dashboard renders them."""
    parts = dashboard_parts(MemoryStores(), JournalEvents(), ManualClock(START))
    return aiohttp_jinja2.get_env(create_app(parts))


class Parsed(HTMLParser):
    """Which elements a page has, and all of its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.said = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """An element."""
        self.elements.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        """Text."""
        self.said += data


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text_on_the_page(page: jinja2.Environment, hostile: str) -> None:
    harmless, spoiled = _rendered(page, "harmless"), _rendered(page, hostile)

    assert spoiled.elements == harmless.elements
    assert spoiled.said.count(hostile) >= 15


def _rendered(page: jinja2.Environment, text: str) -> Parsed:
    """The section of an opinion whose every text is `text`."""
    pivots = dict.fromkeys(("first_bar", "second_bar", "first_price", "second_price"), text)
    oscillators = [{"oscillator": text, "first": text, "second": text}]
    record = OpinionRecord(
        task_id=TaskId(text),
        candle_closed_at=START,
        symbol=Symbol(text),
        timeframe=Timeframe.H1,
        at=START,
        rung=LadderRung.FALLBACK,
        effect=OpinionEffect.VOID,
        why=text,
        model=text,
        sent=text,
        said={"divergence": {"kind": text, "direction": text, "oscillators": oscillators, **pivots}},
        fault=text,
        untrue=(text,),
        struck_out=(text,),
        steps=(LadderStep(model=text, reason=text, says=text),),
        request_key=text,
        origin=text,
    )
    return Parsed(page.get_template("opinion.html").render(opinion=record, gate=replace(GATE, says=text)))


def _true() -> dict[str, Any]:
    answer: dict[str, Any] = copy.deepcopy(_TRUE())
    return answer


_TRUE = cache(lambda: true_answer(one_chart()))
_SHOWN = cache(lambda: payload(one_chart()))


def _with(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    answer = _true()
    place: Any = answer
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return answer


class Talkative(ScriptedGateway):
    """Says something beside each answer, in every text that a reply has."""

    def __init__(self, answer: object, hostile: str) -> None:
        super().__init__(answer)
        self._hostile = hostile

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        """The answer, with the text."""
        self.asked.append(request)
        plain = reply(request, self.answers[0])
        return replace(
            plain,
            text=self._hostile,
            model_answered=self._hostile or plain.model_answered,
            stop_reason=self._hostile or plain.stop_reason,
            request_id=self._hostile or plain.request_id,
        )


async def _decided(answer: object, hostile: str) -> Advice:
    """What follows from an answer; the task and its strategy are named like the text, too."""
    shot = snapshot(one_chart())
    shot = replace(shot, task=replace(shot.task, strategy=StrategyName(hostile or shot.task.strategy)))
    consulted: Consulted = await Ladder(Talkative(answer, hostile), AnalystSettings(), ManualClock(START)).consult(shot)
    given = advice(consulted, found(one_chart()), GATE, waited=True)
    plain_name = snapshot(one_chart()).task.strategy
    signals = tuple(replace(each, signal=replace(each.signal, strategy=plain_name)) for each in given.signals)
    return replace(given, signals=signals)
