"""Asks a model: within the budget, within the deadline, again where that helps, and never raises into the pipeline."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from loguru import logger

from bot.analyst_calls import AnalystCall
from bot.config import AnalystSettings
from bot.interfaces import Clock
from bot.layer2_intelligence.analyst.breaker import Breaker
from bot.layer2_intelligence.analyst.budget import Budget
from bot.layer2_intelligence.analyst.capabilities import ModelTraits, traits_of
from bot.layer2_intelligence.analyst.claude_client import Answered, ClaudeClient, Failed
from bot.layer2_intelligence.analyst.nouns import AnalystReply, AnalystRequest, NoDecision, NoDecisionReason
from bot.layer2_intelligence.analyst.replies import read_reply
from bot.layer2_intelligence.analyst.wire import wire_body, worst_cost

_FIRST_WAIT_S: Final = 0.5
_LONGEST_WAIT_S: Final = 8.0
_LEAST_USEFUL_S: Final = 1.0  # a request with less time than this would be paid and not read
_WRITE_SHARE: Final = 0.05  # of the deadline, kept for writing down how it ended
_WRITE_AT_MOST_S: Final = 0.5


class LiveGateway:
    """Every request goes out to Anthropic and is stored. Takes real time: a paced clock would shorten its waits."""

    def __init__(
        self, *, client: ClaudeClient, budget: Budget, clock: Clock, dice: random.Random, settings: AnalystSettings
    ) -> None:
        self._client = client
        self._budget = budget
        self._clock = clock
        self._dice = dice
        self._attempts = settings.analyst_attempts
        self._places = asyncio.Semaphore(settings.analyst_concurrency)
        self._breaker = Breaker(
            clock=clock, failures=settings.analyst_breaker_failures, pause_s=settings.analyst_breaker_pause_s
        )

    async def ask(self, request: AnalystRequest, *, deadline_s: float) -> AnalystReply | NoDecision:
        """The model's answer, or why there is none, after at most `deadline_s` of real time."""
        traits = traits_of(request.model)
        if traits is None:
            says = f"{request.model} is not in the table of models, so its price is unknown; name one of those"
            return _none(request, NoDecisionReason.UNKNOWN_MODEL, says)
        if not self._client.key:
            return _none(request, NoDecisionReason.NO_KEY, "ANTHROPIC_API_KEY is empty; set it to ask a model")
        started_s = self._clock.monotonic()
        waiting = NoDecisionReason.BUSY
        try:
            async with asyncio.timeout(deadline_s):
                async with self._places:
                    waiting = NoDecisionReason.TIMEOUT
                    until_s = started_s + deadline_s - min(_WRITE_AT_MOST_S, deadline_s * _WRITE_SHARE)
                    return await self._asked(request, traits, until_s)
        except TimeoutError:
            return _none(request, waiting, f"{request.model} gave no answer within {deadline_s:g} s")
        except Exception as error:  # the edge of the analyst: its bugs cost an opinion, not the pipeline
            logger.opt(exception=error).error("the analyst's gateway failed")
            return _none(request, NoDecisionReason.BUG, f"the gateway failed: {type(error).__name__}; see the log")

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _asked(self, request: AnalystRequest, traits: ModelTraits, until_s: float) -> AnalystReply | NoDecision:
        body = wire_body(request, traits)
        if self._client.holds_secret(body):
            return _none(request, NoDecisionReason.SECRET_IN_REQUEST, "the API key is in the question; it was not sent")
        attempt = 1
        while True:
            if says := self._breaker.shut(request.model):
                return _none(request, NoDecisionReason.BREAKER_OPEN, says)
            result, failed = await self._attempt(request, traits, body, attempt, until_s)
            if failed is None or not failed.may_retry or attempt >= self._attempts:
                return result
            wait_s = self._wait_s(failed, attempt)
            if self._clock.monotonic() + wait_s + _LEAST_USEFUL_S > until_s:
                return result
            await self._clock.sleep(wait_s)
            attempt += 1

    async def _attempt(
        self, request: AnalystRequest, traits: ModelTraits, body: Mapping[str, Any], attempt: int, until_s: float
    ) -> tuple[AnalystReply | NoDecision, Failed | None]:
        """One request, reserved before and settled after; with its failure if it was not answered."""
        call = await self._budget.reserve(self._call_of(request, traits, body, attempt))
        if isinstance(call, NoDecision):
            return call, None
        started_s = self._clock.monotonic()
        answer = await self._sent(body, until_s - started_s)
        call = replace(call, latency_s=self._clock.monotonic() - started_s, request_id=answer.request_id)
        if isinstance(answer, Failed):
            result: AnalystReply | NoDecision = _none(request, answer.reason, f"{request.model}: {answer.says}")
        else:
            result = read_reply(answer.body, traits, call)
        self._breaker.note(request.model, result.reason if isinstance(result, NoDecision) else None)
        reply_body = answer.body if isinstance(answer, Answered) and isinstance(answer.body, Mapping) else None
        is_free = isinstance(answer, Failed) and answer.is_free
        await self._budget.settle(call, result, is_free=is_free, reply_body=reply_body)
        return result, answer if isinstance(answer, Failed) else None

    async def _sent(self, body: Mapping[str, Any], timeout_s: float) -> Answered | Failed:
        if timeout_s <= 0:
            says = "counting it took all the time there was; it was not sent"
            return Failed(reason=NoDecisionReason.TIMEOUT, says=says, is_free=True, may_retry=False)
        # The library's time-out counts the silence between two bytes; this one counts all of it.
        try:
            async with asyncio.timeout(timeout_s):
                return await self._client.send(body, timeout_s=timeout_s)
        except TimeoutError:
            says = f"no whole answer within {timeout_s:.1f} s"
            return Failed(reason=NoDecisionReason.TIMEOUT, says=says, is_free=False, may_retry=False)

    def _call_of(
        self, request: AnalystRequest, traits: ModelTraits, body: Mapping[str, Any], attempt: int
    ) -> AnalystCall:
        return AnalystCall(
            key=request.key,
            model=request.model,
            at=self._clock.now(),
            reserved=worst_cost(body, traits, request.image),
            request_body=body,
            symbol=request.symbol or "",
            signal_id=request.signal_id or "",
            attempt=attempt,
            origin=self._client.origin,
        )

    def _wait_s(self, failed: Failed, attempt: int) -> float:
        """As long as the server asks, and a little more each by chance, so that not all come back at once."""
        if failed.retry_after_s is not None:
            return failed.retry_after_s * (1 + self._dice.random() / 10)
        return min(_FIRST_WAIT_S * 2.0 ** (attempt - 1), _LONGEST_WAIT_S) * (0.5 + self._dice.random() / 2)


def _none(request: AnalystRequest, reason: NoDecisionReason, says: str) -> NoDecision:
    return NoDecision(reason=reason, says=says, request_key=request.key, model=request.model)
