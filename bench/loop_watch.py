"""How late an event loop wakes its sleepers, in wall time and in CPU time.

On a machine that others share a late waking is mostly theirs. The CPU time that the loop's own thread used between the
moment a sleeper was due and the moment it ran is ours alone: what the lag would be with a core to itself.
"""

import asyncio
import selectors
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

PROBE_EVERY_S = 0.01


class WatchedSelector(selectors.DefaultSelector):
    """Writes down when the loop went to wait and when it came back, on both clocks."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_s: list[float] = []
        self.cpu_s: list[float] = []
        self.is_on = False

    def select(self, timeout: float | None = None) -> Any:
        """As its parent."""
        self._note()
        ready = super().select(timeout)
        self._note()
        return ready

    def _note(self) -> None:
        if not self.is_on:
            return
        self.wall_s.append(time.monotonic())
        self.cpu_s.append(time.thread_time())


@dataclass(slots=True, kw_only=True)
class Lag:
    """What one measurement saw; milliseconds come out."""

    due_s: list[float] = field(default_factory=list)
    ran_s: list[float] = field(default_factory=list)
    ran_cpu_s: list[float] = field(default_factory=list)
    late_cpu_s: Any = None
    busy_share: float = 0.0

    def figures(self, name: str) -> dict[str, float]:
        """p99 and worst on both clocks, and the share of a core that the loop's thread took."""
        wall_s = np.subtract(self.ran_s, self.due_s)
        return {
            f"{name}: loop lag p50, CPU ms": _ms(np.percentile(self.late_cpu_s, 50)),
            f"{name}: loop lag p99, CPU ms": _ms(np.percentile(self.late_cpu_s, 99)),
            f"{name}: loop lag worst, CPU ms": _ms(np.max(self.late_cpu_s)),
            f"{name}: loop lag p99, wall ms": _ms(np.percentile(wall_s, 99)),
            f"{name}: share of one core": round(self.busy_share, 2),
        }


def watched(work: Coroutine[Any, Any, dict[str, float]]) -> dict[str, float]:
    """Run `work` on a loop that can be measured."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(WatchedSelector())) as runner:
        return runner.run(work)


@asynccontextmanager
async def lag() -> AsyncIterator[Lag]:
    """Measure the running loop while the context is open."""
    selector: WatchedSelector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    selector.wall_s.clear()
    selector.cpu_s.clear()
    selector.is_on = True
    seen, begun_s, begun_cpu_s = Lag(), time.monotonic(), time.thread_time()
    probing = asyncio.create_task(_probe(seen))
    try:
        yield seen
    finally:
        probing.cancel()
        selector.is_on = False
        due_cpu_s = np.interp(seen.due_s, selector.wall_s, selector.cpu_s)
        seen.late_cpu_s = np.subtract(seen.ran_cpu_s, due_cpu_s)
        seen.busy_share = (time.thread_time() - begun_cpu_s) / (time.monotonic() - begun_s)


async def _probe(seen: Lag) -> None:
    while True:
        due_s = time.monotonic() + PROBE_EVERY_S
        await asyncio.sleep(PROBE_EVERY_S)
        seen.due_s.append(due_s)
        seen.ran_s.append(time.monotonic())
        seen.ran_cpu_s.append(time.thread_time())


def _ms(seconds: Any) -> float:
    return round(float(seconds) * 1000, 1)
