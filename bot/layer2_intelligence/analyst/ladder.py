"""Who is asked, and who stands in: the model, the fallback model, the detector, or nobody.

Each step down has its reason. Nothing here raises, and nothing takes longer than the deadline.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Final

from bot.config.analyst import AnalystSettings
from bot.interfaces import Clock
from bot.layer2_intelligence.analyst.claim_check import Checked, Snapshot, check
from bot.layer2_intelligence.analyst.nouns import (
    AnalystGateway,
    AnalystReply,
    AnalystRequest,
    NoDecision,
    NoDecisionReason,
    Opinion,
)
from bot.layer2_intelligence.analyst.payload import Payload, payload_of
from bot.layer2_intelligence.analyst.prompts import question, repaired
from bot.layer2_intelligence.analyst.tools import Reading, ReadingFault, parse_reading
from bot.models import SignalId
from bot.opinions import LadderRung, LadderStep

_FIRST_SHARE: Final = 0.6  # of the deadline, where a fallback model may need the rest
_LEAST_S: Final = 1.0  # no answer comes in less: it is not worth the tokens
_GRACE_S: Final = 2.0  # a gateway keeps its deadline by itself; this is for one that does not
_R: Final = NoDecisionReason
_FOR_EVERY_MODEL: Final = frozenset({_R.BAD_KEY, _R.NO_KEY, _R.NO_PERMISSION, _R.NO_CREDIT, _R.SPEND_LIMIT, _R.LEDGER})


@dataclass(frozen=True, slots=True, kw_only=True)
class Consulted:
    """What came of asking about one chart. `checked` None: no usable answer, and `rung` says who decides instead.

    `falls_to` is who decides where an answer has no say.
    """

    rung: LadderRung
    falls_to: LadderRung
    steps: tuple[LadderStep, ...]
    sent: str = ""
    request_key: str = ""
    model: str = ""
    checked: Checked | None = None
    reply: AnalystReply | None = None
    no_decision: NoDecision | None = None

    @property
    def opinion(self) -> Opinion:
        """The same as evaluations count it."""
        checked = self.checked
        return Opinion(
            signal=checked.signal if checked else None,
            by=self.model,
            untrue=checked.untrue if checked else (),
            reply=self.reply,
            no_decision=self.no_decision,
        )


class Ladder:
    """Asks down the ladder."""

    def __init__(self, gateway: AnalystGateway, settings: AnalystSettings, clock: Clock) -> None:
        """`clock` runs in real seconds: a deadline is a person's time, also where the market is simulated."""
        self._gateway = gateway
        self._settings = settings
        self._clock = clock

    async def consult(self, shot: Snapshot, *, signal_id: SignalId | None = None) -> Consulted:
        """The first usable answer about a snapshot, or what stands in for it."""
        payload = payload_of(shot.features, shot.instrument, shot.divergence)
        if payload is None:
            return self._without(LadderStep(model="", reason="no_chart", says="too little history for a chart"))
        asked = question(
            payload,
            shot.divergence,
            model=self._settings.analyst_model,
            max_tokens=self._settings.analyst_max_output,
            symbol=shot.task.symbol,
            signal_id=signal_id,
        )
        ends = self._clock.monotonic() + self._settings.analyst_deadline_s
        steps: list[LadderStep] = []
        failed: NoDecision | None = None
        for rung, model, share in self._models():
            left = ends - self._clock.monotonic()
            if left < _LEAST_S:
                steps.append(LadderStep(model=model, reason=_R.TIMEOUT, says="no time was left to ask it"))
                break
            answer = await self._answer(replace(asked, model=model), payload, left * share)
            if not isinstance(answer, NoDecision):
                reading, reply = answer
                return Consulted(
                    rung=rung,
                    falls_to=self._floor,
                    steps=tuple(steps),
                    sent=payload.text,
                    request_key=reply.request_key,
                    model=model,
                    checked=check(reading, payload, shot, by=model),
                    reply=reply,
                )
            failed = answer
            steps.append(LadderStep(model=model, reason=answer.reason.value, says=answer.says))
            if answer.reason in _FOR_EVERY_MODEL:
                break
        return self._without(*steps, sent=payload.text, no_decision=failed)

    def _models(self) -> list[tuple[LadderRung, str, float]]:
        """Who is asked, and which share of the time that is left it may take."""
        main, fallback = self._settings.analyst_model, self._settings.analyst_fallback_model
        if not fallback:
            return [(LadderRung.MODEL, main, 1.0)]
        return [(LadderRung.MODEL, main, _FIRST_SHARE), (LadderRung.FALLBACK, fallback, 1.0)]

    def _without(self, *steps: LadderStep, sent: str = "", no_decision: NoDecision | None = None) -> Consulted:
        return Consulted(rung=self._floor, falls_to=self._floor, steps=steps, sent=sent, no_decision=no_decision)

    @property
    def _floor(self) -> LadderRung:
        return LadderRung.DETECTOR if self._settings.analyst_on_failure == "detector" else LadderRung.NO_ENTRIES

    async def _answer(
        self, asked: AnalystRequest, payload: Payload, deadline_s: float
    ) -> tuple[Reading, AnalystReply] | NoDecision:
        """A reading of the right form; one that is not gets a second chance, if there is time for it."""
        ends = self._clock.monotonic() + deadline_s
        reply = await self._ask(asked, deadline_s)
        read = _read(reply, payload)
        left = ends - self._clock.monotonic()
        if isinstance(read, ReadingFault) and left >= _LEAST_S:
            reply = await self._ask(repaired(asked, read), left)
            read = _read(reply, payload)
        if isinstance(reply, NoDecision):
            return reply
        if isinstance(read, Reading):
            return read, reply
        says = read.says if read else "nothing to read"
        return NoDecision(
            reason=_R.SCHEMA, says=says, request_key=reply.request_key, model=asked.model, usage=reply.usage
        )

    async def _ask(self, request: AnalystRequest, deadline_s: float) -> AnalystReply | NoDecision:
        try:
            async with asyncio.timeout(deadline_s + _GRACE_S):
                return await self._gateway.ask(request, deadline_s=deadline_s)
        except TimeoutError:
            return NoDecision(reason=_R.TIMEOUT, says=f"no answer within {deadline_s:.0f} s", model=request.model)


def _read(reply: AnalystReply | NoDecision, payload: Payload) -> Reading | ReadingFault | None:
    if isinstance(reply, NoDecision):
        return None
    answer = reply.tool_inputs[0] if len(reply.tool_inputs) == 1 else None
    return parse_reading(answer, payload.bars)
