"""The exam tells analysts of known skill apart, and shows by which figure each of them gives itself away."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from bot.analyst_calls import Usage
from bot.config import DivergenceSettings, ValidationSettings
from bot.instruments import default_registry
from bot.layer2_intelligence.analyst.evaluation.baselines import BASELINES, Detector, baseline
from bot.layer2_intelligence.analyst.evaluation.charts import Rung
from bot.layer2_intelligence.analyst.evaluation.figures import Figures, figures
from bot.layer2_intelligence.analyst.evaluation.gates import Gate, analyst_gate, gate_states
from bot.layer2_intelligence.analyst.evaluation.marks import Mark, Question, Said
from bot.layer2_intelligence.analyst.evaluation.paper import PaperMaker, PaperSize
from bot.layer2_intelligence.analyst.nouns import AnalystReply, NoDecision, NoDecisionReason, Opinion
from bot.layer2_intelligence.evidence import ModelFault
from bot.models import Direction
from bot.replay.analyst.exam import Exam, ExamRules, Result

RULES = ExamRules(validation=ValidationSettings(), divergence=DivergenceSettings(), horizon_candles=48)
SIZE = PaperSize(planted=40, absent=40, null=100, changed=40, repeated=20, again=2)
NOW = datetime(2024, 1, 1, tzinfo=UTC)


def exam_of(size: PaperSize = SIZE, rules: ExamRules = RULES) -> Exam:
    maker = PaperMaker(default_registry(), rules.divergence, rules.validation, size=size, seed=1)
    return Exam(maker.made(), rules)


@pytest.fixture(scope="module")
def results() -> Mapping[str, Result]:
    exam = exam_of()
    analysts = (baseline(name, RULES.divergence, exam.foresight, 1) for name in BASELINES)
    return {each.name: asyncio.run(exam.of(each, lambda _: None)) for each in analysts}


@pytest.fixture(scope="module")
def known(results: Mapping[str, Result]) -> Mapping[str, Figures]:
    return {name: each.figures for name, each in results.items()}


def test_analysts_of_known_skill_are_ranked_by_it(known: Mapping[str, Figures]) -> None:
    ranking = sorted(known, key=lambda name: -known[name].score)

    assert ranking[:2] == ["perfect", "detector"]
    assert ranking[-1] == "fabricating"
    assert known["detector"].score > 4 * max(known["random"].score, known["always-long"].score)


def test_perfect_analyst_fails_in_nothing_and_its_confidence_is_right(known: Mapping[str, Figures]) -> None:
    found = known["perfect"]

    assert found.score == pytest.approx(100.0, abs=0.1)
    assert found.made.brier == pytest.approx(0.0004, abs=1e-6)
    assert found.made.gain_low is not None
    assert found.made.gain_low > 0.2


def test_only_the_confidence_tells_the_detector_from_the_perfect_analyst(known: Mapping[str, Figures]) -> None:
    found, perfect = known["detector"], known["perfect"]

    assert (found.precision, found.recall, found.null_seen) == (perfect.precision, perfect.recall, perfect.null_seen)
    assert found.made.gain is not None
    assert found.made.gain < 0.0


def test_random_analyst_gives_itself_away_by_changing_its_mind(known: Mapping[str, Figures]) -> None:
    found = known["random"]

    assert found.repeated.high < 0.8
    assert found.mirrored.high < 0.6
    assert found.null_false.low > 0.4


def test_always_long_gives_itself_away_upside_down_and_on_random_walks(known: Mapping[str, Figures]) -> None:
    found = known["always-long"]

    assert found.mirrored.hits == 0
    assert found.null_seen.value == 1.0
    assert found.repeated.value == 1.0  # steady, and still wrong


def test_fabricating_analyst_gives_itself_away_by_its_claims(known: Mapping[str, Figures]) -> None:
    found = known["fabricating"]

    assert found.fabrication.value == 1.0
    assert found.planted_found.hits == 0
    assert all(known[name].fabrication.hits == 0 for name in ("perfect", "detector"))


def test_no_baseline_opens_a_gate(known: Mapping[str, Figures]) -> None:
    assert not any(state.is_open for each in known.values() for state in gate_states(each))


def test_detector_sees_as_much_in_random_walks_as_it_is_said_to(results: Mapping[str, Result]) -> None:
    null = [each for each in results["detector"].marks if each.rung is Rung.NULL]

    assert sum(each.said is Said.CLAIM for each in null) == sum(bool(each.detector) for each in null)


class Paid:
    """The detector's answers as if a model had given them, at a price."""

    name = "paid"

    def __init__(self, cost: str, *, recorded: bool = False) -> None:
        self._detector = Detector(RULES.divergence)
        self._cost = Decimal(cost)
        self._recorded = recorded
        self.asked = 0

    async def opinion(self, question: Question) -> Opinion:
        self.asked += 1
        reply = AnalystReply(
            request_key=question.name.split(" again")[0],
            model_asked=self.name,
            model_answered=self.name,
            stop_reason="tool_use",
            tool_inputs=({},),
            text="",
            usage=Usage(input_tokens=1, output_tokens=1, cost=self._cost),
            latency_s=2.0,
            request_id="",
            at=NOW,
            from_recording=self._recorded,
        )
        return replace(await self._detector.opinion(question), reply=reply)


SMALL = PaperSize(planted=4, absent=4, null=4, changed=4, repeated=2, again=2)


async def test_nothing_is_asked_that_could_cost_more_than_the_budget() -> None:
    analyst = Paid("0.30")

    result = await exam_of(SMALL, replace(RULES, most_dollars=Decimal("1.00"))).of(analyst, lambda _: None)

    assert analyst.asked == 3
    assert result.figures.cost == Decimal("0.90")
    assert result.figures.unanswered == {"budget_day": 21}
    assert result.figures.answered.hits == 3


class Slow(Paid):
    """Answers when all that may be open at a time are open."""

    def __init__(self, together: int) -> None:
        super().__init__("0")
        self._barrier = asyncio.Barrier(together)

    async def opinion(self, question: Question) -> Opinion:
        await self._barrier.wait()
        return await super().opinion(question)


async def test_several_questions_are_open_at_a_time_and_marks_keep_their_order() -> None:
    together = await exam_of(SMALL, replace(RULES, concurrency=4)).of(Slow(4), lambda _: None)
    one_by_one = await exam_of(SMALL).of(Paid("0"), lambda _: None)

    assert together == one_by_one


async def test_a_recording_read_twice_is_no_proof_of_steadiness() -> None:
    exam = exam_of(SMALL)

    live = (await exam.of(Paid("0"), lambda _: None)).figures
    recorded = (await exam.of(Paid("0", recorded=True), lambda _: None)).figures

    assert (live.repeated.hits, live.repeated.of) == (4, 4)
    assert recorded.repeated.of == 0
    assert (recorded.mirrored.hits, recorded.mirrored.of) == (4, 4)


async def test_cost_and_latency_are_those_of_the_answers() -> None:
    found = (await exam_of(SMALL).of(Paid("0.001"), lambda _: None)).figures

    assert found.cost_per_answer == Decimal("0.001")
    assert found.latency_median_s == 2.0
    assert found.live.value == 1.0


async def test_progress_counts_every_question() -> None:
    told: list[int] = []

    await exam_of(SMALL).of(Detector(RULES.divergence), told.append)

    assert told == list(range(1, 25))


class Broken:
    """Gives an answer of the wrong form, or none."""

    name = "broken"

    def __init__(self, reason: NoDecisionReason) -> None:
        self._reason = reason

    async def opinion(self, question: Question) -> Opinion:
        return Opinion(signal=None, by=self.name, no_decision=NoDecision(reason=self._reason, says=""))


async def test_answer_of_the_wrong_form_is_no_silence() -> None:
    found = (await exam_of(SMALL).of(Broken(NoDecisionReason.SCHEMA), lambda _: None)).figures

    assert found.valid.value == 0.0
    assert found.absent_quiet.of == 0
    assert found.score == 0.0


async def test_no_answer_counts_neither_for_nor_against_the_form() -> None:
    found = (await exam_of(SMALL).of(Broken(NoDecisionReason.OVERLOADED), lambda _: None)).figures

    assert found.valid.of == 0
    assert found.unanswered == {"overloaded": 24}
    assert found.score == 0.0


# ------------------------------------------------------------------------------------------------------------- gates


def mark(number: int, **changes: object) -> Mark:
    """A live answer on real candles where the detector has a long."""
    standard = Mark(
        chart=f"c{number}",
        rung=Rung.RECORDED,
        twin="",
        symbol="EUR_USD",
        regime="trending",
        said=Said.CLAIM,
        detector=frozenset({Direction.LONG}),
        planted=None,
        direction=Direction.LONG,
        p2=1,
        confidence=0.8,
        origin="live",
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


def skilled(count: int = 400, *, origin: str = "live") -> list[Mark]:
    """A model that knows: it keeps what is worth it, and says 0.9 and 0.1 where that happens in 9 and 1 of 10."""
    marks = []
    for each in range(count):
        keeps = each % 2 == 0
        hit = (each // 2) % 10 != 0 if keeps else (each // 2) % 10 == 0
        r = 2.2 if hit else -1.0
        marks.append(mark(each, hit=hit, r=r, detector_r=r, confidence=0.9 if keeps else 0.1, origin=origin))
        if not keeps:
            marks.append(mark(count + each, said=Said.NOTHING, direction=None, detector_r=r, origin=origin))
    for rung, number in ((Rung.PLANTED, 40), (Rung.ABSENT, 40), (Rung.NULL, 100)):
        for each in range(number):
            is_there = rung is Rung.PLANTED
            answer = mark(
                each,
                chart=f"{rung} {each}",
                rung=rung,
                said=Said.CLAIM if is_there else Said.NOTHING,
                direction=Direction.LONG if is_there else None,
                planted=Direction.LONG if is_there else None,
                detector=frozenset({Direction.LONG}) if is_there else frozenset(),
                origin=origin,
            )
            marks.append(answer)
            if is_there:
                again = replace(answer, twin=answer.chart, chart=f"{answer.chart} again", rung=Rung.REPEATED)
                larger = replace(again, chart=f"{answer.chart} x4", rung=Rung.RESCALED)
                turned = replace(again, chart=f"{answer.chart} mirrored", rung=Rung.MIRRORED, direction=Direction.SHORT)
                marks += [again, larger, turned]
    return marks


def open_gates(marks: list[Mark]) -> set[Gate]:
    return {each.gate for each in gate_states(figures("model", marks)) if each.is_open}


def failing(marks: list[Mark]) -> set[str]:
    """Conditions of the confidence that do not hold."""
    state = gate_states(figures("model", marks))[1]
    return {each.name for each in state.conditions if not each.holds}


def test_a_model_that_proves_itself_opens_both_gates() -> None:
    assert open_gates(skilled()) == {Gate.MODEL_MAY_DECIDE, Gate.CONFIDENCE_COUNTS}


def test_answers_that_no_model_gave_open_nothing() -> None:
    assert open_gates(skilled(origin="hand")) == set()


def test_few_real_outcomes_leave_the_confidence_without_a_say() -> None:
    assert failing(skilled(200)) == {"outcomes on real candles"}


@pytest.mark.parametrize("fault", [ModelFault.FABRICATION, ModelFault.MALFORMED])
def test_invented_claims_close_the_gate(fault: ModelFault) -> None:
    marks = [replace(each, fault=fault) if number % 10 == 0 else each for number, each in enumerate(skilled())]

    assert Gate.MODEL_MAY_DECIDE not in open_gates(marks)


def test_one_and_the_same_confidence_has_no_gain_and_no_say() -> None:
    marks = [replace(each, confidence=0.5) if each.rung is Rung.RECORDED else each for each in skilled()]

    assert failing(marks) == {"gain over the base rate"}


def test_overconfidence_closes_the_gate_of_the_confidence_only() -> None:
    marks = [replace(each, confidence=1.0 if each.confidence == 0.9 else each.confidence / 2) for each in skilled()]
    sure = [replace(each, hit=each.chart.endswith("0")) if each.rung is Rung.RECORDED else each for each in marks]

    assert open_gates(sure) == {Gate.MODEL_MAY_DECIDE}
    assert failing(sure) >= {"distance of said and happened", "steps of confidence that do not hold"}


def test_a_yes_that_is_worth_no_more_than_a_no_closes_the_gate() -> None:
    marks = [
        replace(each, detector_r=0.3 if int(each.chart[1:]) % 4 < 2 else -0.3) if each.rung is Rung.RECORDED else each
        for each in skilled()
    ]

    state = gate_states(figures("model", marks))[0]

    assert not state.is_open
    assert "worth of its yes over its no" in state.says


def test_a_claim_that_is_too_late_is_true_and_still_a_no_in_front_of_the_detector() -> None:
    late = [mark(each, fault=ModelFault.UNTRADABLE, hit=True, r=2.2, detector_r=2.2) for each in range(4)]
    kept = [mark(10 + each, hit=True, r=2.2, detector_r=2.2) for each in range(2)]

    found = figures("model", late + kept)

    assert (found.filter.kept, found.filter.declined) == (2, 4)
    assert found.true_claims.hits == 6
    assert found.recorded.count == 2


def test_stored_gate_opens_only_if_a_person_wants_it_too() -> None:
    found = figures("model", skilled())

    shut, opened = (analyst_gate(found, at=NOW, may_open=wanted) for wanted in (False, True))

    assert (shut.may_decide, shut.confidence_counts) == (False, False)
    assert "would open it" in shut.says
    assert (opened.may_decide, opened.confidence_counts, opened.model) == (True, True, "model")


def test_stored_gate_of_bad_figures_is_closed_whoever_wants_it() -> None:
    gate = analyst_gate(figures("model", skilled(origin="fake")), at=NOW, may_open=True)

    assert (gate.may_decide, gate.confidence_counts) == (False, False)
    assert "answers of the model itself" in gate.says
