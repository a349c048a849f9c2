"""An incident to the message about it: from the journal entry, by the daemon's own wiring of alerts (desk, outbox in
PostgreSQL, courier, Telegram's library), to the moment at which a fake Bot API has taken it. Bound: 5 s.

The reference is the same library sending one message to the same fake, with nothing in between. `at once` are incidents
of one moment, as when a venue fails that holds many positions.
"""

import asyncio
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from loguru import logger

from bench.bench_pages import database
from bot.clock import ManualClock, SystemClock
from bot.config import load_settings
from bot.database.memory import MemoryStores
from bot.database.migrate import migrate
from bot.database.pool import open_pool
from bot.database.postgres import PostgresStores
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.logger import Redactor
from bot.layer5_monitoring.recent_log import RecentLog
from bot.layer5_monitoring.telegram import open_telegram
from bot.models import DaemonStatus, JournalEntry
from bot.wiring.alerts import AlertingParts, alerting
from tests.fakes.dashboard_day import NOW, PRICES, risk_of, status_of
from tests.fakes.dashboard_trading import DayTrading
from tests.fakes.telegram import TOKEN, FakeTelegram

CHAT, OTHER_CHAT = 42, 43
INCIDENTS, AT_ONCE, REFERENCES, APART_S = 50, 10, 7, 2.0
LOOK_EVERY_S, PATIENCE_S = 0.005, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """A daemon's alerts, and who gets them."""

    fake: FakeTelegram
    url: str
    events: JournalEvents


def run(incidents: int = INCIDENTS) -> dict[str, float]:
    """Seconds by name."""
    logger.remove()
    return asyncio.run(_measured(incidents))


async def _measured(incidents: int) -> dict[str, float]:
    async with _stand() as stand:
        reference_s, one_by_one_s = await _sent_directly_s(stand), []
        for number in range(incidents):
            one_by_one_s += await _told_s(stand, [f"single-{number}"])
            await asyncio.sleep(APART_S + number % 10 / 20)  # not in step with those who look
        await asyncio.sleep(2 * APART_S)
        at_once_s = await _told_s(stand, [f"many-{number}" for number in range(AT_ONCE)])
    return {
        "reference: one message by the library alone, p50 s": _p(reference_s, 50),
        f"{incidents} incidents, one by one: p50 s": _p(one_by_one_s, 50),
        f"{incidents} incidents, one by one: worst s": _p(one_by_one_s, 100),
        f"{AT_ONCE} incidents at once: first s": _p(at_once_s, 0),
        f"{AT_ONCE} incidents at once: last s": _p(at_once_s, 100),
    }


async def _told_s(stand: Stand, names: Sequence[str]) -> list[float]:
    """How long after its incident each name was in a message."""
    begun_s, found = time.monotonic(), dict[str, float]()
    for name in names:
        facts = {"what": "position without a stop", "position": name, "symbol": name, "broker": "oanda"}
        stand.events.publish(JournalEntry(at=NOW, kind="incident", task_id=None, data=facts))
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < len(names):
            await asyncio.sleep(LOOK_EVERY_S)
            shown = "\n".join(stand.fake.shown(CHAT)[-len(names) :])
            seen = [name for name in names if name not in found and f"{name} oanda" in shown]
            found |= dict.fromkeys(seen, time.monotonic() - begun_s)
    return list(found.values())


async def _sent_directly_s(stand: Stand) -> list[float]:
    took_s = []
    async with open_telegram(TOKEN, url=stand.url, redact=str) as telegram:
        for number in range(REFERENCES):
            begun_s = time.monotonic()
            await telegram.send(OTHER_CHAT, f"reference {number}")
            took_s.append(time.monotonic() - begun_s)
            await asyncio.sleep(APART_S + number % 10 / 20)  # not in step with those who look
    return took_s


@asynccontextmanager
async def _stand() -> AsyncIterator[Stand]:
    folder, events, clock = Path(tempfile.mkdtemp(prefix="bench-alerts-")), JournalEvents(), SystemClock()
    fake = FakeTelegram(clock, chats={CHAT: "private", OTHER_CHAT: "private"})
    url = await fake.start()
    said = {"TELEGRAM_TOKEN": TOKEN, "TELEGRAM_OPERATORS": str(CHAT), "TELEGRAM_URL": url}
    day = MemoryStores()

    async def status() -> DaemonStatus:
        return status_of()

    try:
        async with database() as dsn:
            pool = await open_pool(dsn)
            await migrate(pool, clock)
            parts = AlertingParts(
                settings=load_settings(said, None).settings,
                data=folder,
                stores=PostgresStores(pool),
                events=events,
                redactor=Redactor([]),
                log=RecentLog(str),
                core=DayTrading(day, ManualClock(NOW), PRICES).core,
                health=dict,
                jobs=tuple,
                status=status,
                reconciliations=tuple,
                risk=lambda: risk_of(day),
                features=lambda *_: None,
            )
            async with alerting(parts):
                yield Stand(fake=fake, url=url, events=events)
            await pool.close()
    finally:
        await fake.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _p(values: Sequence[float], share: float) -> float:
    return round(float(np.percentile(values, share)), 3)


if __name__ == "__main__":
    for figure, value in run(int(sys.argv[1]) if len(sys.argv) > 1 else INCIDENTS).items():
        print(f"{figure:<70}{value:>10}")
