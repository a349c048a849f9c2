"""A daemon that hangs ends by itself, so that whoever started it starts it again. An open position keeps its stop at
the venue meanwhile, and the next start reconciles.

Platforms restart what has ended, not what does not answer: a health check of Fly.io, say, restarts nothing.
"""

import asyncio
import contextlib
import faulthandler
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from bot.interfaces import Clock
from bot.layer5_monitoring.service_manager import ALIVE, ServiceManager

HANGS_AFTER_S: Final = 90.0  # the systemd unit's WatchdogSec says the same
BEAT_EVERY_S: Final = 10.0


@asynccontextmanager
async def watched(
    progress: Callable[[], object],
    service: ServiceManager,
    clock: Clock,
    *,
    hangs_after_s: float = HANGS_AFTER_S,
    beat_every_s: float = BEAT_EVERY_S,
) -> AsyncIterator[None]:
    """While the block runs: if the event loop stands still, or `progress` keeps its value, for `hangs_after_s`, the
    stack of every thread goes to stderr and the process ends with status 1. `clock` runs in real seconds."""
    beating = asyncio.create_task(_beat(progress, service, clock, hangs_after_s, beat_every_s), name="watchdog")
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
        faulthandler.cancel_dump_traceback_later()


async def _beat(
    progress: Callable[[], object], service: ServiceManager, clock: Clock, hangs_after_s: float, beat_every_s: float
) -> None:
    before: object = None
    while True:
        now = progress()
        if now != before:
            before = now
            # A thread of C: it goes on when Python does not, and each call puts its end off.
            faulthandler.dump_traceback_later(hangs_after_s, exit=True)
            service.tell(ALIVE)
        await clock.sleep(beat_every_s)
