"""A daemon that hangs ends by itself, so that whoever started it starts it again. An open position keeps its stop at
the venue meanwhile, and the next start reconciles.

Platforms restart what has ended, not what does not answer: a health check of Fly.io, say, restarts nothing.
"""

import asyncio
import contextlib
import faulthandler
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from bot.interfaces import Clock
from bot.layer5_monitoring.service_manager import ALIVE, ServiceManager

HANGS_AFTER_S: Final = 90.0  # the systemd unit's WatchdogSec says the same
BEAT_EVERY_S: Final = 10.0
_LAST_WORDS_S: Final = 2.0  # for the stacks, which are lost if nobody reads stderr


@asynccontextmanager
async def watched(
    progress: Callable[[], object],
    service: ServiceManager,
    clock: Clock,
    *,
    hangs_after_s: float = HANGS_AFTER_S,
    beat_every_s: float = BEAT_EVERY_S,
    last_words_s: float = _LAST_WORDS_S,
) -> AsyncIterator[None]:
    """While the block runs: if the event loop stands still, or `progress` keeps its value, for `hangs_after_s`, the
    stack of every thread goes to stderr, and the process ends with status 1 after `last_words_s`, whether anybody
    reads stderr or not. `clock` runs in real seconds."""
    with _end(hangs_after_s, last_words_s) as put_off:
        beating = asyncio.create_task(_beat(progress, service, clock, put_off, beat_every_s), name="watchdog")
        try:
            yield
        finally:
            beating.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await beating


@contextmanager
def _end(hangs_after_s: float, last_words_s: float) -> Iterator[Callable[[], None]]:
    """What is yielded puts the end off; nothing is planned before its first call. Both halves are C and go on when
    Python does not: a signal shows the stacks, a thread ends the process. It would show them too, but to write to a
    pipe that is full takes for ever, so it writes to nowhere."""
    with Path(os.devnull).open("w") as nowhere:

        def put_off() -> None:
            signal.setitimer(signal.ITIMER_REAL, hangs_after_s)
            faulthandler.dump_traceback_later(hangs_after_s + last_words_s, exit=True, file=nowhere)

        faulthandler.register(signal.SIGALRM, file=sys.stderr)
        try:
            yield put_off
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            faulthandler.cancel_dump_traceback_later()
            faulthandler.unregister(signal.SIGALRM)


async def _beat(
    progress: Callable[[], object],
    service: ServiceManager,
    clock: Clock,
    put_off: Callable[[], None],
    beat_every_s: float,
) -> None:
    before: object = None
    while True:
        now = progress()
        if now != before:
            before = now
            put_off()
            service.tell(ALIVE)
        await clock.sleep(beat_every_s)
