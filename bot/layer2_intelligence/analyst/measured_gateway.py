"""A gateway whose every question is timed and counted; answers go through as they are."""

from collections.abc import Callable

from bot.interfaces import Clock
from bot.layer2_intelligence.analyst.nouns import AnalystGateway, AnalystReply, AnalystRequest, NoDecision

Heard = Callable[[str, NoDecision | AnalystReply, float], None]


class MeasuredGateway:
    """Tells `heard` of each question: model, what came of it, seconds. It must not raise; the clock is a real one."""

    def __init__(self, gateway: AnalystGateway, clock: Clock, heard: Heard) -> None:
        self._gateway = gateway
        self._clock = clock
        self._heard = heard

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        """What the gateway answers."""
        begun_s = self._clock.monotonic()
        answer = await self._gateway.ask(request, deadline_s=deadline_s)
        self._heard(request.model, answer, self._clock.monotonic() - begun_s)
        return answer
