"""A gateway over the real library, a fake server on this machine, and a ledger in memory."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from bot.analyst_calls import AnalystCall
from bot.clock import SystemClock
from bot.config import AnalystSettings
from bot.database.memory import MemoryStores
from bot.instruments import Symbol
from bot.interfaces import AnalystCallStore, Clock
from bot.layer2_intelligence.analyst.budget import Budget, caps_of
from bot.layer2_intelligence.analyst.claude_client import ClaudeClient
from bot.layer2_intelligence.analyst.gateway import LiveGateway
from bot.layer2_intelligence.analyst.nouns import AnalystReply, AnalystRequest, NoDecision, SystemBlock, Tool
from bot.models import SignalId
from tests.fakes.messages_api import KEY, FakeMessagesApi

SCHEMA = {
    "type": "object",
    "properties": {"direction": {"type": "string", "enum": ["long", "short", "none"]}},
    "required": ["direction"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """What a test needs at hand."""

    fake: FakeMessagesApi
    gateway: LiveGateway
    client: ClaudeClient
    calls: AnalystCallStore

    async def ask(self, request: AnalystRequest | None = None, *, deadline_s: float = 20) -> AnalystReply | NoDecision:
        """Ask the question, or the usual one."""
        return await self.gateway.ask(request or question(), deadline_s=deadline_s)

    async def stored(self) -> list[AnalystCall]:
        """Every call, oldest first."""
        return list(reversed(await self.calls.recent(1_000)))


@asynccontextmanager
async def stand(
    clock: Clock | None = None,
    calls: "AnalystCallStore | Instead | None" = None,
    *,
    empty_budget: str | None = None,
    **settings: Any,
) -> AsyncIterator[Stand]:
    """A gateway and what it talks to; waits between requests take no time with a `NoWaiting` clock."""
    used = clock or NoWaiting()
    chosen = AnalystSettings(**settings)
    if empty_budget is not None:
        chosen = chosen.model_copy(update={empty_budget: Decimal(0)})
    store = cast(AnalystCallStore, calls or MemoryStores().analyst_calls)
    async with FakeMessagesApi(clock=used) as fake:
        client = ClaudeClient(key=KEY, url=fake.url)
        gateway = LiveGateway(
            client=client,
            budget=Budget(store, used, caps_of(chosen)),
            clock=used,
            dice=random.Random(1),
            settings=chosen,
        )
        yield Stand(fake=fake, gateway=gateway, client=client, calls=store)
        fake.release()
        await gateway.close()


class NoWaiting(SystemClock):
    """Real time, except that a wait between two requests is noted and not waited for."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []

    async def sleep(self, seconds: float) -> None:
        """Note it."""
        self.waits_s.append(seconds)


class Instead:
    """A ledger of which some methods are others."""

    def __init__(self, calls: AnalystCallStore, **methods: Callable[..., Awaitable[object]]) -> None:
        self._calls = calls
        self._methods = methods

    def __getattr__(self, name: str) -> object:
        return self._methods.get(name) or getattr(self._calls, name)


def question(**changes: Any) -> AnalystRequest:
    """A small question."""
    usual = AnalystRequest(
        model="claude-haiku-5-5",
        system=(SystemBlock(text="You read candles.", cached=True),),
        user_text="closes 1 2 3",
        tool=Tool(name="submit_opinion", description="Say what you see.", schema=SCHEMA),
        max_tokens=500,
        symbol=Symbol("EUR_USD"),
        signal_id=SignalId("s1"),
    )
    return replace(usual, **changes)
