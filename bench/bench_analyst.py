"""What the analyst's gateway adds to a question: canonical form, budget, library, reading, recording.

The server is the fake on this machine and the ledger is in memory. The reference is the same body posted to the same
server with bare aiohttp and parsed; the overhead is what a question through the gateway takes longer, in pairs of the
same run. Times are CPU time of client and server together, so that a busy machine does not count.
"""

import asyncio
import random
import time
from decimal import Decimal
from typing import Final

import aiohttp
import orjson

from bot.clock import SystemClock
from bot.config import AnalystSettings
from bot.database.memory import MemoryStores
from bot.layer2_intelligence.analyst.budget import Budget, caps_of
from bot.layer2_intelligence.analyst.claude_client import ClaudeClient
from bot.layer2_intelligence.analyst.gateway import LiveGateway
from bot.layer2_intelligence.analyst.nouns import AnalystReply, AnalystRequest, SystemBlock, Tool
from tests.fakes.messages_api import KEY, FakeMessagesApi

_WARM: Final = 20
_HEADERS: Final = {"Authorization": f"Bearer {KEY}", "anthropic-version": "2026-10-21"}
_SCHEMA: Final = {
    "type": "object",
    "properties": {"direction": {"type": "string"}},
    "required": ["direction"],
    "additionalProperties": False,
}


def run(repeats: int = 300) -> dict[str, float]:
    """Milliseconds: median and p99 of a question, of the reference, and of the difference; and their ratio."""
    asked, bare = asyncio.run(_measured(repeats))
    over = [one - other for one, other in zip(asked, bare, strict=True)]
    figures = {}
    for name, spent in (("question", asked), ("reference", bare), ("overhead", over)):
        ordered = sorted(spent)
        figures[f"{name}_median_ms"] = ordered[repeats // 2] * 1_000
        figures[f"{name}_p99_ms"] = ordered[repeats * 99 // 100] * 1_000
    return figures | {"ratio": figures["question_median_ms"] / figures["reference_median_ms"]}


async def _measured(repeats: int) -> tuple[list[float], list[float]]:
    clock = SystemClock()
    settings = AnalystSettings(analyst_budget_hour=Decimal(1_000), analyst_budget_day=Decimal(1_000))
    async with FakeMessagesApi(clock=clock) as fake, aiohttp.ClientSession(headers=_HEADERS) as session:
        client = ClaudeClient(key=KEY, url=fake.url)
        budget = Budget(MemoryStores().analyst_calls, clock, caps_of(settings))
        gateway = LiveGateway(client=client, budget=budget, clock=clock, dice=random.Random(1), settings=settings)
        asked, bare = [], []
        for number in range(repeats + _WARM):
            asked.append(await _asked(gateway, number))
            bare.append(await _bare(session, fake))
            fake.seen.clear()
        await gateway.close()
    return asked[_WARM:], bare[_WARM:]


async def _asked(gateway: LiveGateway, number: int) -> float:
    request = AnalystRequest(
        model="claude-haiku-5-5",
        system=(SystemBlock(text="Rule. " * 3_000, cached=True),),
        user_text=f"{number}: " + "1.23456 " * 500,
        tool=Tool(name="submit_opinion", description="Say what you see.", schema=_SCHEMA),
        max_tokens=500,
    )
    start = time.process_time()
    reply = await gateway.ask(request, deadline_s=30)
    spent = time.process_time() - start
    if not isinstance(reply, AnalystReply):
        raise SystemExit(f"bench_analyst: the fake gave no answer ({reply.says}); correct the scene in this file")
    return spent


async def _bare(session: aiohttp.ClientSession, fake: FakeMessagesApi) -> float:
    data = fake.seen[-1].text.encode()
    start = time.process_time()
    async with session.post(f"{fake.url}/v1/messages", data=data) as response:
        orjson.loads(await response.read())
    return time.process_time() - start
