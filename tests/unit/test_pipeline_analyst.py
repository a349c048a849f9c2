"""The pipeline with an analyst: who decides, what is stored, and what an answer that never comes leaves untouched."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bot.clock import ManualClock
from bot.config import DivergenceSettings, ValidationSettings
from bot.config.analyst import AnalystSettings
from bot.layer2_intelligence.analyst.desk import AnalystDesk
from bot.layer2_intelligence.analyst.ladder import Ladder
from bot.layer2_intelligence.analyst.nouns import AnalystReply, AnalystRequest, NoDecision, NoDecisionReason
from bot.models import ApprovedOrder, EntrySignal, SignalId, SignalRecord, StrategyTask, Timeframe
from bot.opinions import AnalystGate, LadderRung, OpinionEffect, OpinionRecord
from bot.pipeline import Pipeline
from tests.unit.layer2_intelligence.analyst.chart_readings import NOTHING, ScriptedGateway
from tests.unit.layer2_intelligence.judged_scene import Scene
from tests.unit.test_pipeline import SOL, Bench, _at, _moved

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
MAIN = AnalystSettings().analyst_model
TASK = StrategyTask.of("divergence", SOL, Timeframe.M15)
AGREES: dict[str, Any] = {
    "divergence": {
        "direction": "long",
        "kind": "regular",
        "first_bar": 72 - 18,
        "second_bar": 72 - 4,
        "first_price": 50,
        "second_price": 0,
        "oscillators": [
            {"oscillator": "rsi", "first": 280, "second": 350},
            {"oscillator": "macd_hist", "first": -200, "second": -100},
            {"oscillator": "stoch_k", "first": 100, "second": 200},
        ],
    },
    "confidence": 80,
}
OVERLOADED = NoDecision(reason=NoDecisionReason.OVERLOADED, says="HTTP 529")


class LateGateway(ScriptedGateway):
    """Holds each answer until `answer_now` is set."""

    def __init__(self, *answers: object) -> None:
        super().__init__(*answers)
        self.answer_now = asyncio.Event()

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        """The next answer, in its time."""
        await self.answer_now.wait()
        return await super().ask(request, deadline_s=deadline_s)


class AnalystBench(Bench):
    """A bench whose candles of 15 minutes are also shown to an analyst."""

    def __init__(self, gateway: ScriptedGateway, **changes: Any) -> None:
        super().__init__()
        self.problems: list[str] = []
        settings = AnalystSettings.model_validate(changes)
        parts = self.pipeline._parts
        self.desk = AnalystDesk(
            ladder=Ladder(gateway, settings, ManualClock(NOON)),
            opinions=self.stores.opinions,
            settings=settings,
            divergence=DivergenceSettings(),
            validation=ValidationSettings(),
            clock=self.clock,
            record=self.pipeline.record,
            on_problem=self.problems.append,
        )
        self.pipeline = Pipeline(replace(parts, strategies={"divergence": self.strategy}, analyst=self.desk))

    async def open_gate(self, *, confidence_counts: bool = False, model: str = MAIN) -> None:
        """The model has earned a say."""
        gate = AnalystGate(
            model=model, may_decide=True, confidence_counts=confidence_counts, by="test", says="", at=NOON
        )
        await self.stores.opinions.set_gate(gate)

    async def show(self, at: datetime = NOON, *, candidate: bool = True) -> EntrySignal:
        """A candle that closes at `at`, with a sound signal of the detector unless there is to be none."""
        scene = Scene(timeframe=Timeframe.M15)
        signal = replace(_at(scene.signal(), scene, at), id=SignalId(f"detector/{at.isoformat()}"), task_id=TASK.id)
        self.clock.advance((at - self.clock.now()).total_seconds())
        self.observe()
        features = scene.features()
        features = replace(features, series=_moved(features.series, int(at.timestamp())))
        self.strategy.says = [signal] if candidate else []
        await self.pipeline.on_candle(TASK, features)
        return signal

    def observe(self) -> None:
        """The venue quotes the close and a tick, now."""
        bid = Scene(timeframe=Timeframe.M15).bid
        self.venue.observe(SOL.symbol, bid=bid, ask=bid + SOL.tick, at=self.clock.now(), gap=True)

    async def opinion(self, at: datetime = NOON) -> OpinionRecord:
        """What is stored of the analyst about a candle."""
        found = await self.stores.opinions.of_candle(TASK.id, at)
        assert found is not None
        return found

    async def records(self) -> dict[str, SignalRecord]:
        """Stored signals by who said them; of one analyst the newest."""
        recent = await self.stores.signals.recent(20)
        return {each.signal.analyst: each for each in reversed(list(recent))}


# --------------------------------------------------------------------------------------------------- a second opinion


async def test_behind_a_closed_gate_the_detector_trades_before_any_answer() -> None:
    gateway = LateGateway(NOTHING)
    bench = AnalystBench(gateway)

    await bench.show()
    placed_before = len(bench.broker.placed)
    gateway.answer_now.set()
    await bench.desk.settle()

    assert placed_before == len(bench.broker.placed) == 1
    assert (await bench.opinion()).effect is OpinionEffect.SECOND_OPINION


async def test_a_second_opinion_is_judged_stored_and_followed_and_never_traded() -> None:
    bench = AnalystBench(ScriptedGateway(AGREES), analyst_gate="always")

    await bench.show(candidate=False)
    await bench.desk.settle()

    record = (await bench.records())[f"claude:{MAIN}"]
    assert (record.status, record.rejected_by) == ("vetoed", "AN")
    assert "has not earned a say" in record.reason
    assert [each.signal_id for each in await bench.stores.outcomes.unfinished()] == [record.signal.id]
    assert bench.broker.placed == []


async def test_candidates_are_asked_about_and_nothing_else() -> None:
    gateway = ScriptedGateway(NOTHING)
    bench = AnalystBench(gateway)

    await bench.show(candidate=False)
    await bench.show(NOON + timedelta(minutes=15))
    await bench.desk.settle()

    assert len(gateway.asked) == 1


# ------------------------------------------------------------------------------------------------- a model with a say


async def test_with_a_say_the_entry_waits_and_is_made_when_the_model_sees_the_same() -> None:
    gateway = LateGateway(AGREES)
    bench = AnalystBench(gateway)
    await bench.open_gate()

    await bench.show()
    assert bench.broker.placed == []
    gateway.answer_now.set()
    await bench.desk.settle()

    assert len(bench.broker.placed) == 1
    records = await bench.records()
    assert {name: each.status for name, each in records.items()} == {f"claude:{MAIN}": "ordered"}
    assert (await bench.opinion()).effect is OpinionEffect.CONFIRMED


async def test_an_answer_that_comes_after_its_task_was_paused_enters_nothing_and_says_why() -> None:
    gateway = LateGateway(AGREES)
    bench = AnalystBench(gateway)
    await bench.open_gate()

    await bench.show()
    bench.pipeline.is_paused = {TASK.id}.__contains__
    gateway.answer_now.set()
    await bench.desk.settle()

    record = (await bench.records())[f"claude:{MAIN}"]
    assert bench.broker.placed == []
    assert (record.status, "was paused" in record.reason) == ("vetoed", True)


async def test_a_model_that_sees_nothing_withholds_the_entry_and_the_candidate_is_followed() -> None:
    bench = AnalystBench(ScriptedGateway(NOTHING))
    await bench.open_gate()

    await bench.show()
    await bench.desk.settle()

    record = (await bench.records())["detector"]
    assert (record.status, record.rejected_by) == ("vetoed", "AN")
    assert record.reason == f"claude:{MAIN} says that nothing is there"
    assert bench.broker.placed == []
    assert len(await bench.stores.outcomes.unfinished()) == 1


async def test_a_lie_is_stored_with_its_class_and_enters_nothing() -> None:
    lie = {**AGREES, "divergence": {**AGREES["divergence"], "first_price": 4_000}}
    bench = AnalystBench(ScriptedGateway(lie))
    await bench.open_gate(confidence_counts=True)

    await bench.show()
    await bench.desk.settle()

    opinion = await bench.opinion()
    assert (opinion.effect, opinion.fault) == (OpinionEffect.VOID, "fabrication")
    assert any("p1_price" in each for each in opinion.untrue)
    assert bench.broker.placed == []
    assert (await bench.records())[f"claude:{MAIN}"].rejected_by == "E3"


async def test_an_answer_that_comes_too_late_is_refused_by_risk() -> None:
    gateway = LateGateway(AGREES)
    bench = AnalystBench(gateway)
    await bench.open_gate()

    await bench.show()
    bench.clock.advance(2 * 3_600)
    bench.observe()
    gateway.answer_now.set()
    await bench.desk.settle()

    record = (await bench.records())[f"claude:{MAIN}"]
    assert record.status == "refused"
    assert record.reason.startswith("STALE_SIGNAL")
    assert bench.broker.placed == []


async def test_a_candle_that_was_asked_about_is_not_decided_a_second_time() -> None:
    gateway = ScriptedGateway(AGREES)
    bench = AnalystBench(gateway)
    await bench.open_gate()

    await bench.show()
    await bench.desk.settle()
    await bench.show()  # as after a restart
    await bench.desk.settle()

    assert len(bench.broker.placed) == 1


async def test_one_entry_more_than_the_hour_allows_closes_the_gate() -> None:
    bench = AnalystBench(ScriptedGateway(AGREES), analyst_max_entries_hour=1)
    await bench.open_gate()

    for minutes in (0, 15):
        await bench.show(NOON + timedelta(minutes=minutes))
        await bench.desk.settle()

    assert (await bench.opinion(NOON + timedelta(minutes=15))).effect is OpinionEffect.THROTTLED
    gate = await bench.stores.opinions.gate(MAIN)
    assert gate is not None
    assert (gate.may_decide, gate.by) == (False, "daemon")
    assert len(bench.broker.placed) == 1
    assert "ANALYST_MAX_ENTRIES_HOUR" in bench.problems[0]


# --------------------------------------------------------------------------------------------------------- the ladder


async def test_where_nobody_answers_the_detector_decides_and_everything_says_so() -> None:
    bench = AnalystBench(ScriptedGateway(OVERLOADED))
    await bench.open_gate()

    await bench.show()
    await bench.desk.settle()

    assert len(bench.broker.placed) == 1
    opinion = await bench.opinion()
    assert (opinion.rung, [each.reason for each in opinion.steps]) == (LadderRung.DETECTOR, ["overloaded"] * 2)
    assert bench.desk.health()["rung"] == "detector"
    assert "overloaded" in bench.problems[0]
    told = [each.data for each in bench.journal if each.kind == "analyst"]
    assert [each["rung"] for each in told] == ["detector"]


async def test_where_nobody_answers_nothing_is_entered_if_the_setting_says_so() -> None:
    bench = AnalystBench(ScriptedGateway(OVERLOADED), analyst_on_failure="no_entries")
    await bench.open_gate()

    await bench.show()
    await bench.desk.settle()

    assert bench.broker.placed == []
    assert (await bench.records())["detector"].rejected_by == "AN"


async def test_a_bug_of_ours_enters_nothing_and_is_told() -> None:
    class Failing(ScriptedGateway):
        async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
            raise RuntimeError("a bug of ours")

    bench = AnalystBench(Failing())
    await bench.open_gate()

    await bench.show()
    await bench.desk.settle()

    assert bench.broker.placed == []
    assert bench.problems == [f"analyst of {TASK.id}: RuntimeError"]


async def test_while_the_api_hangs_other_candles_go_on_and_positions_get_their_stops_back() -> None:
    # Arrange: a position, and then a question that nobody answers.
    gateway = LateGateway(AGREES)
    bench = AnalystBench(gateway)
    await bench.show()
    await bench.open_gate()
    await bench.show(NOON + timedelta(minutes=15))
    [position] = [each for each in bench.book.positions() if each.is_open]
    bench.clock.advance(60)

    # Act
    await bench.broker.lose_stop(position.entry_order_id)
    await bench.guard.verify(SOL.broker_id)

    # Assert
    [at_venue] = await bench.venue.positions()
    assert at_venue.stop_price == position.stop_price
    assert bench.desk.health()["waiting"] == 2
    await bench.desk.close()
    assert bench.desk.health()["waiting"] == 0


async def test_closing_forgets_what_was_asked_and_enters_nothing() -> None:
    bench = AnalystBench(LateGateway(AGREES))
    await bench.open_gate()

    await bench.show()
    await asyncio.wait_for(bench.desk.close(), 5)

    assert bench.broker.placed == []
    assert await bench.stores.opinions.of_candle(TASK.id, NOON) is None


async def test_how_sure_a_model_is_changes_neither_size_nor_stop() -> None:
    orders = []
    for percent in (80, 100):
        bench = AnalystBench(ScriptedGateway({**AGREES, "confidence": percent}))
        await bench.open_gate(confidence_counts=True)
        await bench.show()
        await bench.desk.settle()
        [order] = bench.broker.placed
        assert isinstance(order, ApprovedOrder)
        orders.append((order.quantity, order.plan, order.risk_amount))

    assert orders[0] == orders[1]
