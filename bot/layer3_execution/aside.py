"""Work that does not wait for each other: each piece at its own pace."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

MOMENT_S: Final = 1.0  # what takes longer is not waited for
_ASK_AGAIN_S: Final = 3.0
_ASKED_AT_MOST: Final = 3

T = TypeVar("T")
Work = Coroutine[Any, Any, T]


async def side_by_side(works: Sequence[Awaitable[T]]) -> list[T]:
    """All of them at once; when all have ended, the first failure is raised."""
    if len(works) < 2:
        return [await each for each in works]
    done = await asyncio.gather(*works, return_exceptions=True)
    return [_answer(each) for each in done]


async def insisted(ask: Callable[[], Work[T]], *, again_after_s: float = _ASK_AGAIN_S) -> T:
    """What has the same effect once or twice, asked again while no answer comes. Raises what the first one met.

    A request that was lost is known to be lost only when its time is up; by then another one may have been answered.
    """
    first = asyncio.ensure_future(ask())
    asked = [first]
    try:
        while not first.done():
            waiting = [each for each in asked if not each.done()]
            ended, _ = await asyncio.wait(waiting, timeout=again_after_s, return_when=asyncio.FIRST_COMPLETED)
            answered = [each for each in waiting if each in ended and each.exception() is None]
            if answered:
                return answered[0].result()
            if not ended and len(asked) < _ASKED_AT_MOST:
                asked.append(asyncio.ensure_future(ask()))
        return first.result()
    finally:
        for each in asked:
            each.cancel()


class Aside:
    """Does each piece in a task of its own, so that whoever comes upon it need not wait."""

    def __init__(self) -> None:
        self._running: dict[asyncio.Task[Any], None] = {}  # in the order in which they began

    def begin(self, work: Work[T], *, name: str) -> "asyncio.Task[T]":
        """Start it. Its failure is for whoever keeps the task."""
        task = asyncio.create_task(work, name=name)
        self._running[task] = None
        task.add_done_callback(self._running.pop)
        return task

    def once(self, work: Callable[[], Work[T]], *, name: str) -> "asyncio.Task[T]":
        """The piece of that name that is under way, else it begins now. Its failure is for those who wait for it."""
        for each in self._running:
            if each.get_name() == name:
                return each
        return self.begin(work(), name=name)

    async def stop(self) -> None:
        """Let what runs come to its end, if that is soon; cancel the rest. What is being sent is sent to its end."""
        running = list(self._running)
        if running:
            await asyncio.wait(running, timeout=MOMENT_S)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _answer(done: T | BaseException) -> T:
    if isinstance(done, BaseException):
        raise done
    return done
