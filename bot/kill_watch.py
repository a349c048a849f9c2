"""Acts on the kill switch while the daemon runs: hears of a press at once, and works until what it asks for is done.
Entries are cancelled and positions closed at each venue by itself: none of that waits for another one that hangs.

Heard: PostgreSQL's word on a connection of its own, a look at the file ten times a second, at file and database each
second, and with each monitor run.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from loguru import logger

from bot.errors import BotError
from bot.instruments import BrokerId
from bot.interfaces import Clock, KillNews
from bot.joined_reading import JoinedReading
from bot.layer3_execution.flatten import Flattener
from bot.layer3_execution.order_tracker import Recorder, never_failing
from bot.layer4_risk.kill_switch import KillSwitch
from bot.models import KillLevel

LOOK_EVERY_S: Final = 1.0
FILE_EVERY_S: Final = 0.1  # one failing open: cheap
_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0)  # between turns that left something; the last one for ever


@dataclass(frozen=True, slots=True)
class _Work:
    """At one venue: close what is open, or cancel the entries."""

    broker_id: BrokerId
    closes: bool

    @property
    def says(self) -> str:
        return f"{self.broker_id}: {'close positions' if self.closes else 'cancel entries'}"


class KillWatch:
    """Turns a press into cancels and closes. Entries need nobody here: each one asks the switch itself.

    `clock` runs in real seconds, also where the market is simulated: whoever presses is a person. `settle` compares one
    venue with our record. `news` is None where nobody else can press. `on_problem` is told of each turn that left
    something.
    """

    def __init__(
        self,
        *,
        switch: KillSwitch,
        flattener: Flattener,
        news: KillNews | None,
        settle: Callable[[BrokerId], Awaitable[object]],
        clock: Clock,
        record: Recorder,
        on_problem: Callable[[str], None],
    ) -> None:
        self._switch = switch
        self._flattener = flattener
        self._news = news
        self._settle = settle
        self._clock = clock
        self._record = never_failing(record)
        self._woken = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._acting: dict[_Work, asyncio.Task[None]] = {}
        self._settling: dict[BrokerId, JoinedReading[object]] = {}
        self._on_problem = on_problem
        switch.pressed = self._woken.set

    async def start(self) -> None:
        """Take what is latched, then begin to listen. Call it before anything that could send."""
        await self._switch.look()
        self._tasks = [asyncio.create_task(self._look_on(), name="kill switch: look")]
        self._tasks.append(asyncio.create_task(self._tick(), name="kill switch: tick"))
        if self._news is not None:
            self._tasks.append(asyncio.create_task(self._hear(self._news), name="kill switch: listen"))

    async def stop(self) -> None:
        """End. A close that is being sent is sent to its end; what is left stays latched for the next start."""
        tasks = [*self._tasks, *self._acting.values()]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look(self) -> None:
        """Read the switch, and begin to act if it asks for that; what is known already waits for no database."""
        self._begin()
        await self._switch.look()
        self._begin()

    def _begin(self) -> None:
        for work in self._left():
            if work not in self._acting:
                self._acting[work] = asyncio.create_task(self._act(work), name=f"kill switch: {work.says}")

    async def _look_on(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.look()
            except Exception as error:  # the edge: a fault must not end the watch
                logger.opt(exception=error).error("kill switch: a look failed")

    async def _tick(self) -> None:
        while True:
            self._woken.set()
            if not self._switch.has_file:
                await self._clock.sleep(LOOK_EVERY_S)
                continue
            for _ in range(round(LOOK_EVERY_S / FILE_EVERY_S)):
                await self._clock.sleep(FILE_EVERY_S)
                if self._switch.file_presses():
                    break

    async def _hear(self, news: KillNews) -> None:
        while True:
            try:
                await news.listen(self._woken.set)
            except BotError as error:
                logger.debug("kill switch: {}", error)  # the look of each second goes on
            except Exception as error:  # the edge
                logger.opt(exception=error).error("kill switch: listening failed")
            await self._clock.sleep(LOOK_EVERY_S)

    def _left(self) -> list[_Work]:
        """What the switch wants done and is not."""
        wants_flat = self._switch.wants_flat()
        halts = wants_flat or self._switch.known().level is KillLevel.HALT
        opened = self._flattener.opened_at() if wants_flat else ()
        entries = self._flattener.entries_at() if halts else ()
        return [*(_Work(each, closes=True) for each in opened), *(_Work(each, closes=False) for each in entries)]

    async def _act(self, work: _Work) -> None:
        """Turn until nothing is left or nobody wants it any more; never give up."""
        try:
            turns = await self._turn_until_done(work)
        finally:
            del self._acting[work]
        logger.warning("kill switch: {}: done after {} turns", work.says, turns)
        self._begin()  # what was cancelled may have filled
        if not self._acting:
            await self._record("kill", None, {"what": "done", "flat": self._flattener.is_flat()})

    async def _turn_until_done(self, work: _Work) -> int:
        """How many turns it took."""
        turns = 0
        while work in self._left():
            left = await self._turn(work)
            turns += 1
            if work not in self._left():
                break
            pause_s = _PAUSES_S[min(turns, len(_PAUSES_S)) - 1]
            text = f"{work.says}: turn {turns}: {'; '.join(left) or 'not done yet'}; again in {pause_s:.0f} s"
            logger.error("kill switch: {}", text)
            self._on_problem(text)
            facts = {"what": "kill switch: not done yet", "broker": work.broker_id, "turn": turns, "left": left}
            await self._record("incident", None, facts)
            await self._clock.sleep(pause_s)
        return turns

    async def _turn(self, work: _Work) -> list[str]:
        """One turn, then the truth about what has no answer; what is left, in sentences."""
        broker_id = work.broker_id
        act = self._flattener.close_positions if work.closes else self._flattener.cancel_entries
        try:
            left = list(await act(broker_id))
            if self._flattener.is_unsettled(broker_id):
                settle = partial(self._settle, broker_id)
                await self._settling.setdefault(broker_id, JoinedReading(settle)).next()
        except Exception as error:  # the edge: the next turn tries again
            logger.opt(exception=error).error("kill switch: a turn failed")
            return [str(error) if isinstance(error, BotError) else type(error).__name__]
        return left
