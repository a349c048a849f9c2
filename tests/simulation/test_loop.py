"""The loop under the simulation, and the private parts of asyncio that it leans on."""

import asyncio
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from bot.simulation.clock import LoopClock
from bot.simulation.loop import PROCESS, WORLD, Deadlock, SimulatedLoop, task_of

PROJECT = Path(__file__).parents[2]


def race(seed: int) -> tuple[str, list[int]]:
    """Five tasks that wake at the same instants: the trace, and the order of their first wakes."""
    loop, woken = SimulatedLoop(seed), list[int]()
    clock = LoopClock(loop)

    async def runner(number: int) -> None:
        for _ in range(3):
            await clock.sleep(1)
            woken.append(number)

    async def all_of_them() -> None:
        await asyncio.gather(*(loop.create_task(runner(number), name=f"runner {number}") for number in range(5)))

    loop.run_until_complete(all_of_them())
    trace = loop.trace_hash()
    loop.close()
    return trace, woken[:5]


def test_the_same_seed_takes_the_same_steps() -> None:
    assert [race(7) for _ in range(3)] == [race(7)] * 3


def test_another_seed_takes_them_in_another_order() -> None:
    traces = {race(seed)[0] for seed in range(20)}

    assert len(traces) == 20


def test_an_hour_passes_at_once() -> None:
    loop = SimulatedLoop(1)

    loop.run_until_complete(LoopClock(loop).sleep(3_600))

    assert loop.time() == 3_600.0
    loop.close()


def test_waiting_for_nobody_is_a_deadlock() -> None:
    loop = SimulatedLoop(1)
    waiting = loop.create_task(asyncio.Event().wait())

    with pytest.raises(Deadlock, match="no timer is set"):
        loop.run_until_complete(waiting)

    loop.bury()


def test_a_killed_process_runs_no_finally_while_the_world_goes_on() -> None:
    loop, seen = SimulatedLoop(1), list[str]()
    clock = LoopClock(loop)

    async def victim() -> None:
        try:
            await clock.sleep(10)
        finally:
            seen.append("finally")

    async def world() -> None:
        loop.create_task(victim(), context=loop.context_of(1))
        await clock.sleep(1)
        loop.kill(1)
        await clock.sleep(100)
        seen.append("world")

    loop.run_until_complete(world())

    assert seen == ["world"]
    loop.bury()


def test_what_a_process_starts_belongs_to_it() -> None:
    loop, found = SimulatedLoop(1), list[int]()

    async def child() -> None:
        found.append(PROCESS.get())

    async def parent() -> None:
        await asyncio.gather(child(), child())

    loop.run_until_complete(loop.create_task(parent(), context=loop.context_of(3)))

    assert found == [3, 3]
    assert PROCESS.get() == WORLD
    loop.close()


def test_asyncio_still_has_the_private_parts_that_the_loop_leans_on() -> None:
    loop = SimulatedLoop(1)

    async def nothing() -> None: ...

    task = loop.create_task(nothing())
    timer = loop.call_later(1.0, print)
    step = loop._ready[0]  # type: ignore[attr-defined]

    assert task_of(step) is task
    assert task_of(timer) is None
    assert timer in loop._scheduled  # type: ignore[attr-defined]
    assert timer._when == 1.0  # type: ignore[attr-defined]
    assert not timer.cancelled()
    assert step._context is not None
    assert "self._run_once()" in inspect.getsource(asyncio.base_events.BaseEventLoop.run_forever)
    timer.cancel()
    loop.run_until_complete(task)
    loop.close()


def test_a_whole_seed_takes_the_same_steps_whatever_strings_hash_to() -> None:
    program = (
        "from loguru import logger; logger.disable('bot')\n"
        "from bot.wiring.simulate import run_seed\n"
        "print([run_seed(seed).trace for seed in (2, 12, 29)])"
    )

    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=PROJECT,
            env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("0", "1", "77")
    }

    assert len(traces) == 1
