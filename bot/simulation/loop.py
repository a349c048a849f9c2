"""An event loop whose time is virtual and whose order is drawn: the same seed runs the same steps in the same order.

It leans on private parts of asyncio (`_run_once`, `_ready`, `_scheduled`, the `_callback`, `_context` and `_when` of a
handle), which `tests/simulation/test_loop.py` pins for each supported Python.
"""

import asyncio
import hashlib
import heapq
import random
import selectors
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

WORLD: Final = 0
PROCESS: Final = ContextVar("process", default=WORLD)  # which simulated process a task or timer belongs to


class Deadlock(RuntimeError):
    """Everybody waits and nothing will ever wake anybody."""


class _NoSelector(selectors.BaseSelector):
    """Nothing outside ever becomes ready: all input and output of a simulation is simulated."""

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return {}


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Steps of tasks that are ready together run in seeded order; callbacks keep theirs, because transports need it.

    Each step belongs to a process (`PROCESS`). A killed process takes no further step: its tasks are kept, so that not
    even their `finally` runs, as after kill -9. `before_step` is asked before each step of a process other than the
    world; it may kill that process.
    """

    def __init__(self, seed: int) -> None:
        super().__init__(_NoSelector())
        self._chance = random.Random(f"{seed}/order")
        self._virtual_s = 0.0
        self._dead: set[int] = set()
        self._graveyard: list[object] = []
        self._trace: list[str] = []
        self.steps = 0
        self.before_step: Callable[[int], None] = lambda _: None
        self.set_exception_handler(lambda *_: None)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_s

    def trace_hash(self) -> str:
        """SHA-256 over (virtual time, task name, coroutine name) of every step so far."""
        return hashlib.sha256("\n".join(self._trace).encode()).hexdigest()

    def kill(self, process: int) -> None:
        """kill -9: no task or timer of `process` runs again."""
        self._dead.add(process)

    def is_dead(self, process: int) -> bool:
        """It was killed."""
        return process in self._dead

    def context_of(self, process: int) -> Context:
        """A context in which everything started belongs to `process`."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return context

    def bury(self) -> None:
        """End what is left, when all is over: coroutines are closed, nothing of them is logged."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a coroutine that was killed before its first step
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                with suppress(BaseException):
                    task.get_coro().close()  # type: ignore[union-attr, unused-ignore]
            self._graveyard.clear()
            self._ready.clear()  # type: ignore[attr-defined]
            self._scheduled.clear()  # type: ignore[attr-defined]
        self.close()

    # ------------------------------------------------------------------------------------------------------- inside

    def _run_once(self) -> None:
        """One round: what is ready now, else the next timer, else nobody will ever wake anybody."""
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                if self._stopping:  # type: ignore[attr-defined]
                    return
                raise Deadlock(f"at {self._virtual_s:.3f} s nothing is ready and no timer is set")
            self._virtual_s = max(self._virtual_s, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._virtual_s:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        batch = list(ready)
        ready.clear()
        self._shuffle_steps(batch)
        for handle in batch:
            if not handle._cancelled:
                self._step(handle)

    def _shuffle_steps(self, batch: list[Any]) -> None:
        places = [index for index, each in enumerate(batch) if task_of(each) is not None]
        if len(places) > 1:
            drawn = places.copy()
            self._chance.shuffle(drawn)
            moved = [batch[index] for index in drawn]
            for index, handle in zip(places, moved, strict=True):
                batch[index] = handle

    def _step(self, handle: Any) -> None:
        process = handle._context.get(PROCESS, WORLD)
        if process != WORLD:
            if process not in self._dead:
                self.before_step(process)
            if process in self._dead:
                self._graveyard.append(handle)
                return
        task = task_of(handle)
        if task is not None:
            self.steps += 1
            self._trace.append(f"{self._virtual_s:.6f} {_name_of(task)}")
        handle._run()


def task_of(handle: Any) -> "asyncio.Task[Any] | None":
    """The task that `handle` would take one step further; None for any other callback."""
    owner = getattr(handle._callback, "__self__", None)
    return owner if isinstance(owner, asyncio.Task) else None


def _name_of(task: "asyncio.Task[Any]") -> str:
    """Task name and coroutine; not a name that asyncio numbered itself, because it counts over the whole process."""
    name = task.get_name()
    coroutine = getattr(task.get_coro(), "__qualname__", "?")
    return coroutine if name.startswith("Task-") else f"{name} {coroutine}"
