"""Real input and output in virtual time: an ordinary event loop that runs only while the simulated one stands still.

A step of the simulation that needs a real socket does all of its real work within that step. Virtual time cannot pass
meanwhile and no other task of the simulation can take a step, so how long a real server takes never reaches the order
of what is simulated. Transports belong to the ordinary loop: their callbacks keep asyncio's own order and its timers
run on real time.

One loop is run inside a callback of another, for which asyncio has `_set_running_loop`. That holds for CPython 3.11 to
3.13; later versions keep the current task per thread.
"""

import asyncio
import sys
import warnings
from asyncio import events
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from bot.errors import UsageError
from bot.simulation.loop import Deadlock

T = TypeVar("T")

_OLDEST: Final = (3, 11)
_NEWEST: Final = (3, 13)
_PATIENCE_S: Final = 60.0


class Abandoned(BaseException):
    """Whoever asked for the work was killed in the middle of it. Like a cancellation it is no error of anybody."""


class RealLoop:
    """The real half. Its own objects (pools, connections) live on it from call to call."""

    def __init__(self, *, patience_s: float = _PATIENCE_S, python: tuple[int, int] = sys.version_info[:2]) -> None:
        """`patience_s`, in real seconds, ends work that nobody will ever finish. Raises UsageError on other Pythons."""
        if not _OLDEST <= python <= _NEWEST:
            raise UsageError(
                f"tier B needs CPython 3.11 to 3.13, this is {python[0]}.{python[1]}: its asyncio may not let one "
                "event loop run inside another; use --tier a, or one of those versions"
            )
        self._loop = asyncio.SelectorEventLoop()
        self._patience_s = patience_s
        self._graveyard: list[asyncio.Task[Any]] = []

    @property
    def is_working(self) -> bool:
        """A `run` is under way, and it is its work that asks."""
        return self._loop.is_running()

    def run(self, work: "Coroutine[Any, Any, T]") -> T:
        """Do it now, to its end, whatever loop runs already. Raises Abandoned, Deadlock, and what `work` raises."""
        around = events._get_running_loop()
        events._set_running_loop(None)
        try:
            task = self._loop.create_task(work)
            task.add_done_callback(self._ended)
            impatience = self._loop.call_later(self._patience_s, self._loop.stop)
            self._loop.run_forever()
            is_late = self._loop.time() >= impatience.when()
            impatience.cancel()
            task.remove_done_callback(self._ended)  # should it end later after all, it must not end another's run
        finally:
            events._set_running_loop(around)
        if task.done():
            return task.result()
        self._graveyard.append(task)
        if is_late:
            raise Deadlock(f"{work!r} waits for something real that did not come within {self._patience_s:g} s")
        raise Abandoned

    async def abandon(self) -> None:
        """Called in work: its `run` ends with Abandoned, and the work stays as it is; not even a `finally` runs."""
        self._loop.stop()
        await self._loop.create_future()

    def _ended(self, _: "asyncio.Task[Any]") -> None:
        self._loop.stop()

    def close(self) -> None:
        """End what is left."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # transports and coroutines that were abandoned on purpose
            for task in asyncio.all_tasks(self._loop):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(BaseException):
                    task.get_coro().close()  # type: ignore[union-attr, unused-ignore]
            self._graveyard.clear()
            self._loop.close()
