"""Requests to models in memory: the twin of `postgres_analyst_calls`."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

from bot.analyst_calls import (
    ANSWERED,
    ZERO,
    AnalystCall,
    CallCosts,
    CallState,
    SpendCaps,
    SpendRefused,
    SpendWindow,
    Usage,
)
from bot.models import SignalId


class MemoryAnalystCalls:
    """`AnalystCallStore` in memory."""

    def __init__(self) -> None:
        self._calls: list[AnalystCall] = []

    async def reserve(self, call: AnalystCall, caps: SpendCaps) -> int | SpendRefused:
        """Store a call at the most it can cost, unless that passes a cap."""
        spent = await self.spent(call.at)
        for window in SpendWindow:
            if spent[window] + call.reserved > caps.of(window):
                return SpendRefused(window=window, spent=spent[window], asked=call.reserved, cap=caps.of(window))
        self._calls.append(replace(call, number=len(self._calls) + 1, state=CallState.RESERVED))
        return len(self._calls)

    async def settle(self, call: AnalystCall) -> None:
        """Say what came of a reserved call; one that was settled stays as it is."""
        if self._calls[call.number - 1].state in (CallState.RESERVED, CallState.UNKNOWN):
            self._calls[call.number - 1] = call

    async def expire(self, before: datetime) -> int:
        """Mark those reserved before `before` as unknown; how many."""
        dead = [each for each in self._calls if each.state is CallState.RESERVED and each.at < before]
        for each in dead:
            self._calls[each.number - 1] = replace(each, state=CallState.UNKNOWN)
        return len(dead)

    async def add(self, call: AnalystCall) -> bool:
        """Store a recording from elsewhere; False if key and model have that answer."""
        if any(_answer(each) == _answer(call) for each in self._calls):
            return False
        self._calls.append(replace(call, number=len(self._calls) + 1, state=CallState.IMPORTED))
        return True

    async def answered(self, key: str, model: str, *, origin: str) -> AnalystCall | None:
        """The newest answer of a model to a question, among those of one origin."""
        wanted = (key, model, origin, ANSWERED)
        found = (each for each in reversed(self._calls) if wanted == (each.key, each.model, each.origin, each.outcome))
        return next(found, None)

    async def about(self, signal_id: SignalId) -> Sequence[AnalystCall]:
        """The calls of one signal, oldest first."""
        return [each for each in self._calls if each.signal_id == signal_id]

    async def recent(self, limit: int) -> Sequence[AnalystCall]:
        """Newest first."""
        return self._calls[: -limit - 1 : -1]

    async def spent(self, at: datetime) -> Mapping[SpendWindow, Decimal]:
        """Dollars counted in the hour, day and month of `at`."""
        starts = {window: window.start(at) for window in SpendWindow}
        return {
            window: sum((each.counted for each in self._calls if each.at >= start), ZERO)
            for window, start in starts.items()
        }

    async def costs(self, since: datetime) -> Sequence[CallCosts]:
        """What was counted from `since` on, by day, symbol and model."""
        groups: dict[tuple[date, str, str], list[AnalystCall]] = defaultdict(list)
        for each in self._calls:
            if each.at >= since:
                groups[each.at.astimezone(UTC).date(), each.symbol, each.model].append(each)
        return [_costs(*names, groups[names]) for names in sorted(groups)]


def _answer(call: AnalystCall) -> tuple[object, ...]:
    return call.key, call.model, call.request_id, call.at


def _costs(day: date, symbol: str, model: str, calls: Sequence[AnalystCall]) -> CallCosts:
    return CallCosts(
        day=day,
        symbol=symbol,
        model=model,
        requests=len(calls),
        answered=sum(each.outcome == ANSWERED for each in calls),
        without_word=sum(each.state in (CallState.RESERVED, CallState.UNKNOWN) for each in calls),
        usage=Usage(
            input_tokens=sum(each.usage.input_tokens for each in calls),
            cache_write_tokens=sum(each.usage.cache_write_tokens for each in calls),
            cache_read_tokens=sum(each.usage.cache_read_tokens for each in calls),
            output_tokens=sum(each.usage.output_tokens for each in calls),
            cost=sum((each.counted for each in calls), ZERO),
        ),
    )
