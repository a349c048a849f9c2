"""An event loop whose time is virtual and whose order is drawn: the same seed runs the same steps in the same order.

It leans on private parts of asyncio (`_run_once`, `_ready`, `_scheduled`, the `_callback`, `_context` and `_when` of a
handle), which `tests/simulation/test_loop.py` pins for each supported Python.
"""

import asyncio
import hashlib
import heapq
import random
import selectors
import sys
import warnings
from array import array
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Final

WORLD: Final = 0
_MOST_CLOSES: Final = 100
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
        self._suspended: dict[int, list[object]] = {}
        self._trace_times = array("d")
        self._trace_names: list[str] = []
        self.steps = 0
        self.before_step: Callable[[int], None] | None = None
        self.get_debug = bool  # type: ignore[method-assign]  # False, without a call into Python: it is asked for all
        self.on_kill: Callable[[int], None] = lambda _: None
        self.set_exception_handler(lambda *_: None)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._virtual_s

    def trace_hash(self) -> str:
        """SHA-256 over (virtual time, task name, coroutine name) of every step so far."""
        names = "\n".join(self._trace_names).encode()
        return hashlib.sha256(self._trace_times.tobytes() + names).hexdigest()

    def kill(self, process: int) -> None:
        """kill -9: no task or timer of `process` runs again; `on_kill` is told once."""
        if process not in self._dead:
            self._dead.add(process)
            self._graveyard.append(asyncio.all_tasks(self))  # none may be taken apart, and so run its `finally`
            self.on_kill(process)

    def is_dead(self, process: int) -> bool:
        """It was killed."""
        return process in self._dead

    def suspend(self, process: int, until: float) -> None:
        """No task or timer of `process` runs before then; what is due meanwhile runs then, in its order."""
        if process not in self._suspended:
            self._suspended[process] = []
            self.call_at(until, self.wake, process, context=self.context_of(WORLD))

    def is_suspended(self, process: int) -> bool:
        """It stands still."""
        return process in self._suspended

    def wake(self, process: int) -> None:
        """Let it run on, if it is suspended."""
        self._ready.extend(self._suspended.pop(process, ()))  # type: ignore[attr-defined]

    def context_of(self, process: int) -> Context:
        """A context in which everything started belongs to `process`."""
        context = copy_context()
        context.run(PROCESS.set, process)
        return context

    def bury(self) -> None:
        """End what is left, when all is over: coroutines are closed, nothing of them is logged."""
        with warnings.catch_warnings(), _quiet_garbage():
            warnings.simplefilter("ignore", RuntimeWarning)  # a coroutine that was killed before its first step
            for task in asyncio.all_tasks(self):
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                _close(task.get_coro())
            self._graveyard.clear()
            self._ready.clear()  # type: ignore[attr-defined]
            self._scheduled.clear()  # type: ignore[attr-defined]
        self.close()

    # ------------------------------------------------------------------------------------------------- what is asked

    def call_soon(  # type: ignore[override]
        self, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, without its checks, which were a third of what a simulation cost."""
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, without its checks."""
        return self.call_at(self._virtual_s + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Any, *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """As asyncio's, without its checks."""
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._scheduled, timer)  # type: ignore[attr-defined]
        return timer

    # ------------------------------------------------------------------------------------------------------- inside

    def _run_once(self) -> None:
        """Rounds until somebody stops the loop: what is ready now, else the next timer."""
        ready = self._ready  # type: ignore[attr-defined]
        while True:
            if not self._collect():
                return
            if len(ready) == 1:
                self._step(ready.popleft())
            else:
                batch = list(ready)
                ready.clear()
                self._shuffle_steps(batch)
                for handle in batch:
                    self._step(handle)
            if self._stopping:  # type: ignore[attr-defined]
                return

    def _collect(self) -> bool:
        """Move what is due to what is ready, and time forward if nothing is; False if the loop was stopped instead."""
        ready, scheduled = self._ready, self._scheduled  # type: ignore[attr-defined]
        if not ready:
            while scheduled and scheduled[0]._cancelled:
                heapq.heappop(scheduled)._scheduled = False
            if not scheduled:
                if self._stopping:  # type: ignore[attr-defined]
                    return False
                raise Deadlock(f"at {self._virtual_s:.3f} s nothing is ready and no timer is set")
            self._virtual_s = max(self._virtual_s, scheduled[0]._when)
        while scheduled and scheduled[0]._when <= self._virtual_s:
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            ready.append(handle)
        return True

    def _shuffle_steps(self, batch: list[Any]) -> None:
        places = [index for index, each in enumerate(batch) if task_of(each) is not None]
        if len(places) > 1:
            drawn = places.copy()
            self._chance.shuffle(drawn)
            moved = [batch[index] for index in drawn]
            for index, handle in zip(places, moved, strict=True):
                batch[index] = handle

    def _step(self, handle: Any) -> None:
        if handle._cancelled:
            return
        process = handle._context.get(PROCESS, WORLD)
        if process != WORLD:
            if self.before_step is not None and process not in self._dead:
                self.before_step(process)
            if process in self._dead:
                self._graveyard.append(handle)
                return
            if process in self._suspended:
                self._suspended[process].append(handle)
                return
        task = task_of(handle)
        if task is not None:
            self.steps += 1
            self._trace_times.append(self._virtual_s)
            self._trace_names.append(_name_of(task))
        if process == WORLD:
            handle._context.run(handle._callback, *handle._args)  # a fault of the world itself ends the run, loudly
        else:
            handle._run()


class _Handle(asyncio.Handle):
    """As asyncio's, without a question to the loop."""

    __slots__ = ()

    def __init__(self, callback: Any, args: Any, loop: SimulatedLoop, context: Context | None) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None


class _Timer(asyncio.TimerHandle):
    """As asyncio's, without a question to the loop."""

    __slots__ = ()

    def __init__(self, when: float, callback: Any, args: Any, loop: SimulatedLoop, context: Context | None) -> None:
        self._context = copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._when = when
        self._scheduled = True

    def __lt__(self, other: Any) -> bool:
        return self._when < other._when  # type: ignore[no-any-return]


def task_of(handle: Any) -> "asyncio.Task[Any] | None":
    """The task that `handle` would take one step further; None for any other callback."""
    owner = getattr(handle._callback, "__self__", None)
    return owner if type(owner) is asyncio.Task else None


def _name_of(task: "asyncio.Task[Any]") -> str:
    """Task name and coroutine; not a name that asyncio numbered itself, because it counts over the whole process."""
    name = task.get_name()
    coroutine = getattr(task.get_coro(), "__qualname__", "?")
    return coroutine if name.startswith("Task-") else f"{name} {coroutine}"


@contextmanager
def _quiet_garbage() -> Iterator[None]:
    """What breaks while the dead are taken apart is told to nobody: a coroutine that awaits in its `finally`."""
    told, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = told


def _close(work: Any) -> None:
    """Close a coroutine, also one that awaits something while it is being closed."""
    for _ in range(_MOST_CLOSES):
        with suppress(BaseException):
            work.close()
            return
