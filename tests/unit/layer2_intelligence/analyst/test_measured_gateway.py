"""Questions are counted by what came of them; answers stay as they are."""

from bot.clock import ManualClock
from bot.layer2_intelligence.analyst.measured_gateway import MeasuredGateway
from bot.layer2_intelligence.analyst.nouns import AnalystReply, AnalystRequest, NoDecision, NoDecisionReason
from tests.unit.layer2_intelligence.analyst.gateway_stand import question


class Silent:
    """A gateway that has no answer, after a while."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self.given = NoDecision(reason=NoDecisionReason.TIMEOUT, says="no answer")

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> NoDecision:
        self._clock.advance(deadline_s)
        return self.given


async def test_a_question_is_told_with_its_model_what_came_of_it_and_how_long_that_took() -> None:
    clock, heard = ManualClock(), list[tuple[str, NoDecision | AnalystReply, float]]()
    silent = Silent(clock)
    gateway = MeasuredGateway(silent, clock, lambda *facts: heard.append(facts))

    answer = await gateway.ask(question(model="a-model"), deadline_s=7)

    assert answer is silent.given
    assert heard == [("a-model", silent.given, 7)]
