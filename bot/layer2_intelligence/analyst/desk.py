"""Takes the candles that are worth a question, waits for answers aside, and hands on what follows from them.

The analysis of other candles never waits for a model, and positions know nothing of it: while an answer is awaited,
only the entries of its own candle are.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from loguru import logger

from bot.config import DivergenceSettings, ValidationSettings
from bot.config.analyst import AnalystSettings
from bot.errors import BotError
from bot.instruments import Instrument
from bot.interfaces import Clock, OpinionStore
from bot.layer2_intelligence.analyst.advice import Advice, advice, throttled
from bot.layer2_intelligence.analyst.claim_check import Snapshot
from bot.layer2_intelligence.analyst.ladder import Consulted, Ladder
from bot.layer2_intelligence.analyst.payload import LEAST_HISTORY
from bot.models import EntrySignal, FeatureSet, StrategyTask, TaskId
from bot.opinions import AnalystGate, OpinionRecord, closed_gate

Act = Callable[[StrategyTask, FeatureSet, Advice], Awaitable[None]]
Record = Callable[[str, TaskId | None, Mapping[str, object]], Awaitable[None]]

_MOST_WAITING: Final = 64  # questions at once; what comes on top goes on without an answer
_BURST: Final = timedelta(hours=1)
NO_ANALYST: Final = {"rung": "detector", "says": "no model is asked"}


class AnalystDesk:
    """The analyst as the pipeline sees it."""

    def __init__(
        self,
        *,
        ladder: Ladder,
        opinions: OpinionStore,
        settings: AnalystSettings,
        divergence: DivergenceSettings,
        validation: ValidationSettings,
        clock: Clock,
        record: Record,
        on_problem: Callable[[str], None],
    ) -> None:
        """`clock` is the market's; `on_problem` is told what failed, in one line."""
        self._ladder = ladder
        self._opinions = opinions
        self._settings = settings
        self._divergence = divergence
        self._validation = validation
        self._clock = clock
        self._record = record
        self._on_problem = on_problem
        self._asking: set[asyncio.Task[Consulted]] = set()
        self._working: set[asyncio.Task[None]] = set()
        self._deciding = asyncio.Lock()
        self._last: OpinionRecord | None = None

    async def take(
        self, task: StrategyTask, features: FeatureSet, instrument: Instrument, found: Sequence[EntrySignal], act: Act
    ) -> Sequence[EntrySignal]:
        """The detector's signals that go on now. The others wait for an answer, and reach `act` with it.

        While the gate of the model is closed nothing waits: the answer comes as a second opinion. An unknown gate is a
        closed one.
        """
        if not self._is_worth_asking(features, found):
            return found
        if len(self._working) >= _MOST_WAITING:
            self._on_problem(f"analyst: {_MOST_WAITING} questions wait already; {task.id} goes on without an answer")
            return () if self._settings.analyst_on_failure == "no_entries" and await self._has_a_say() else found
        waits = await self._has_a_say()
        shot = Snapshot(
            task=task,
            features=features,
            instrument=instrument,
            divergence=self._divergence,
            validation=self._validation,
        )
        work = asyncio.create_task(self._work(shot, tuple(found), act, waited=waits), name=f"analyst of {task.id}")
        self._working.add(work)
        work.add_done_callback(self._working.discard)
        return () if waits else found

    async def settle(self) -> None:
        """Wait until every question has its end."""
        while self._working:
            await asyncio.wait(self._working)

    async def close(self) -> None:
        """Ask nothing more, forget the questions, and finish what is being decided."""
        for asking in self._asking:
            asking.cancel()
        await self.settle()

    def health(self) -> Mapping[str, object]:
        """Who answered last and why not somebody better; without I/O."""
        last = self._last
        return {
            "waiting": len(self._working),
            "rung": last.rung.value if last else "not asked yet",
            "says": "; ".join(f"{each.model}: {each.reason}" for each in last.steps) if last else "",
            "at": last.at.isoformat() if last else None,
        }

    def _is_worth_asking(self, features: FeatureSet, found: Sequence[EntrySignal]) -> bool:
        if features.k < LEAST_HISTORY:
            return False
        return bool(found) or self._settings.analyst_gate == "always"

    async def _has_a_say(self) -> bool:
        return (await self._gate(self._settings.analyst_model)).may_decide

    async def _gate(self, model: str) -> AnalystGate:
        return await self._opinions.gate(model) or closed_gate(model)

    async def _work(self, shot: Snapshot, found: Sequence[EntrySignal], act: Act, *, waited: bool) -> None:
        """One candle from the question to what follows. What fails is told, and nothing is entered."""
        what = f"analyst of {shot.task.id}"
        signal_id = found[0].id if found else None
        asking = asyncio.create_task(self._ladder.consult(shot, signal_id=signal_id), name=what)
        self._asking.add(asking)
        try:
            consulted = await asking
            await self._follow(shot, found, consulted, act, waited=waited)
        except asyncio.CancelledError:
            if not asking.cancelled():
                raise
        except Exception as error:
            logger.opt(exception=error).error("{} failed", what)
            self._on_problem(f"{what}: {error if isinstance(error, BotError) else type(error).__name__}")
        finally:
            self._asking.discard(asking)

    async def _follow(
        self, shot: Snapshot, found: Sequence[EntrySignal], consulted: Consulted, act: Act, *, waited: bool
    ) -> None:
        """Stored before it is acted on, so that a restart asks and acts no second time."""
        async with self._deciding:  # what the throttle counts must be stored before the next one counts
            gate = await self._gate(consulted.model)
            given = advice(consulted, found, gate, waited=waited)
            if given.effect.lets_enter:
                given = await self._throttled(given, found, gate)
            record = self._record_of(shot, consulted, given)
            if not await self._opinions.record(record):
                return
        self._last = record
        if consulted.checked is None:
            self._on_problem(f"analyst of {record.task_id}: {record.why}")
        await self._record("analyst", shot.task.id, _facts(record))
        await act(shot.task, shot.features, given)

    async def _throttled(self, given: Advice, found: Sequence[EntrySignal], gate: AnalystGate) -> Advice:
        """Too many entries within an hour are no run of luck: the gate closes, and a person looks (fault L5)."""
        now, most = self._clock.now(), self._settings.analyst_max_entries_hour
        entered = await self._opinions.entered_since(now - _BURST)
        if entered < most:
            return given
        why = (
            f"{entered} entries of the analyst within an hour, limit {most} (ANALYST_MAX_ENTRIES_HOUR); its gate closes"
        )
        shut = replace(gate, may_decide=False, confidence_counts=False, by="daemon", says=why, at=now)
        await self._opinions.set_gate(shut)
        self._on_problem(f"analyst: {why}; evaluate it again before it decides again")
        return throttled(given, found, why)

    def _record_of(self, shot: Snapshot, consulted: Consulted, given: Advice) -> OpinionRecord:
        checked, reply = consulted.checked, consulted.reply
        usage = reply.usage if reply else consulted.no_decision.usage if consulted.no_decision else None
        record = OpinionRecord(
            task_id=shot.task.id,
            candle_closed_at=shot.features.closed_at,
            symbol=shot.task.symbol,
            timeframe=shot.task.timeframe,
            at=self._clock.now(),
            rung=consulted.rung,
            effect=given.effect,
            why=given.why,
            model=consulted.model,
            sent=consulted.sent,
            steps=consulted.steps,
            request_key=consulted.request_key,
        )
        if usage is not None:
            record = replace(record, usage=usage)
        if reply is not None:
            record = replace(record, latency_s=reply.latency_s, origin=reply.origin)
        if checked is None:
            return record
        return replace(
            record,
            said=checked.reading.model_dump(mode="json"),
            direction=checked.signal.direction if checked.signal else None,
            confidence=checked.reading.confidence / 100,
            fault=checked.fault.value if checked.fault else "",
            untrue=checked.untrue,
            struck_out=checked.struck_out,
        )


def _facts(record: OpinionRecord) -> Mapping[str, object]:
    """The journal's line."""
    return {
        "symbol": record.symbol,
        "candle": record.candle_closed_at.isoformat(),
        "rung": record.rung.value,
        "model": record.model,
        "effect": record.effect.value,
        "why": record.why,
        "direction": record.direction.value if record.direction else None,
        "fault": record.fault,
        "confidence": record.confidence,
        "cost": str(record.usage.cost),
        "latency_s": round(record.latency_s, 3),
        "steps": [f"{each.model}: {each.reason}" for each in record.steps],
    }
