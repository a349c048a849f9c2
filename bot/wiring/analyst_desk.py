"""Wiring of the analyst: with a key the ladder over the real gateway, without one nothing at all."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.clock import SystemClock
from bot.config import Settings
from bot.interfaces import Clock, Stores
from bot.layer2_intelligence.analyst.budget import Budget, caps_of
from bot.layer2_intelligence.analyst.claude_client import ClaudeClient
from bot.layer2_intelligence.analyst.desk import AnalystDesk, Record
from bot.layer2_intelligence.analyst.gateway import LiveGateway
from bot.layer2_intelligence.analyst.ladder import Ladder
from bot.layer2_intelligence.analyst.nouns import AnalystGateway
from bot.layer2_intelligence.analyst.recordings import CachedGateway


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalystSeat:
    """Where questions go, before there is anybody to ask them; None: no model is asked."""

    gateway: AnalystGateway | None

    def desk(
        self,
        settings: Settings,
        stores: Stores,
        clock: Clock,
        *,
        record: Record,
        on_problem: Callable[[str], None],
    ) -> AnalystDesk | None:
        """The analyst of a daemon; `clock` is the market's."""
        if self.gateway is None:
            return None
        return AnalystDesk(
            ladder=Ladder(self.gateway, settings.analyst, SystemClock()),
            opinions=stores.opinions,
            settings=settings.analyst,
            divergence=settings.divergence,
            validation=settings.validation,
            clock=clock,
            record=record,
            on_problem=on_problem,
        )


@asynccontextmanager
async def analyst_seat(settings: Settings, stores: Stores) -> AsyncIterator[AnalystSeat]:
    """A gateway while the daemon runs; dev mode asks nobody outside this machine, whatever key it is given."""
    analyst = settings.analyst
    if not analyst.anthropic_api_key or (settings.run.mode == "dev" and not analyst.anthropic_url):
        yield AnalystSeat(gateway=None)
        return
    clock = SystemClock()
    budget = Budget(stores.analyst_calls, clock, caps_of(analyst))
    await budget.expire()
    client = ClaudeClient(key=analyst.anthropic_api_key, url=analyst.anthropic_url)
    gateway = LiveGateway(client=client, budget=budget, clock=clock, dice=random.Random(), settings=analyst)  # noqa: S311 - chance in waiting, no secret
    try:
        # What was answered before a crash is not paid twice.
        yield AnalystSeat(gateway=CachedGateway(stores.analyst_calls, gateway, origin=client.origin))
    finally:
        await gateway.close()
