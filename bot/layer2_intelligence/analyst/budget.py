"""The money: what a request can cost at most is taken before it is sent, and what it did cost is put in its place.

A process that dies in between leaves its reservation counted in full. When it is past every deadline it is marked as
unknown; it is never given back, because nothing proves that the request was not answered and paid.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

from loguru import logger

from bot.analyst_calls import ANSWERED, AnalystCall, CallState, SpendCaps, SpendRefused, SpendWindow
from bot.config import AnalystSettings
from bot.errors import BotError
from bot.interfaces import AnalystCallStore, Clock
from bot.layer2_intelligence.analyst.nouns import AnalystReply, NoDecision, NoDecisionReason

_NOBODY_WAITS_AFTER: Final = timedelta(hours=1)  # the longest deadline that can be set is 10 minutes
_REASONS: Final[Mapping[SpendWindow, NoDecisionReason]] = {
    SpendWindow.HOUR: NoDecisionReason.BUDGET_HOUR,
    SpendWindow.DAY: NoDecisionReason.BUDGET_DAY,
    SpendWindow.MONTH: NoDecisionReason.BUDGET_MONTH,
}


class Budget:
    """Reserves and settles. The caps hold over all processes that share the store."""

    def __init__(self, store: AnalystCallStore, clock: Clock, caps: SpendCaps) -> None:
        self._store = store
        self._clock = clock
        self._caps = caps

    async def reserve(self, call: AnalystCall) -> AnalystCall | NoDecision:
        """The call with its number, or why it must not be sent. What cannot be counted is not sent."""
        try:
            answer = await self._store.reserve(call, self._caps)
        except BotError as error:
            return _refused(call, NoDecisionReason.LEDGER, f"the budget could not be asked ({error}); nothing was sent")
        if isinstance(answer, SpendRefused):
            return _refused(call, _REASONS[answer.window], _says(answer))
        return replace(call, number=answer)

    async def settle(
        self,
        call: AnalystCall,
        result: AnalystReply | NoDecision,
        *,
        is_free: bool,
        reply_body: Mapping[str, object] | None,
    ) -> None:
        """Store what came of it. A cost that nobody told is what was reserved, unless it surely `is_free`."""
        usage = result.usage
        if usage is not None and usage.cost > call.reserved:
            logger.error("analyst call {} cost {}, more than its bound {}", call.number, usage.cost, call.reserved)
        settled = replace(
            call,
            state=CallState.SETTLED if usage is not None or is_free else CallState.UNKNOWN,
            outcome=ANSWERED if isinstance(result, AnalystReply) else result.reason.value,
            says="" if isinstance(result, AnalystReply) else result.says,
            usage=call.usage if usage is None else usage,
            reply_body=reply_body,
        )
        try:
            await self._store.settle(settled)
        except BotError as error:
            logger.warning("analyst call {} stays counted at {} dollars: {}", call.number, call.reserved, error)

    async def expire(self) -> int:
        """Mark what earlier processes left behind; how many. Call it at the start."""
        return await self._store.expire(self._clock.now() - _NOBODY_WAITS_AFTER)


def caps_of(settings: AnalystSettings) -> SpendCaps:
    """The caps of the settings."""
    return SpendCaps(
        hour=settings.analyst_budget_hour, day=settings.analyst_budget_day, month=settings.analyst_budget_month
    )


def _refused(call: AnalystCall, reason: NoDecisionReason, says: str) -> NoDecision:
    return NoDecision(reason=reason, says=says, request_key=call.key, model=call.model)


def _says(refused: SpendRefused) -> str:
    name = f"ANALYST_BUDGET_{refused.window.value.upper()}"
    return (
        f"{refused.spent + refused.asked:.4f} dollars would be counted this {refused.window.value}, {name} is "
        f"{_plain(refused.cap)}; wait for the next {refused.window.value}, or raise it"
    )


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
