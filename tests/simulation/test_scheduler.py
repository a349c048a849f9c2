"""The scheduler of a simulation: the daemon's contract on virtual time, with runs that come too late on purpose."""

from datetime import timedelta

from bot.simulation.clock import LoopClock
from bot.simulation.loop import SimulatedLoop
from bot.simulation.scheduler import SimulatedScheduler


def test_a_job_is_late_from_the_end_of_its_interval_until_it_runs() -> None:
    # Arrange: each second a run; the second one comes 20 s too late
    loop = SimulatedLoop(1)
    clock, delays, runs = LoopClock(loop), [20.0], list[float]()
    scheduler = SimulatedScheduler(lambda *_: None, lambda: delays.pop() if delays else 0.0)

    async def run() -> None:
        runs.append(loop.time())

    async def watched() -> list[float]:
        scheduler.every("look", timedelta(seconds=1), run)
        await scheduler.start()
        late = []
        for _ in range(54):
            await clock.sleep(0.4)
            if scheduler.is_late("look"):
                late.append(round(loop.time(), 1))
        return late

    # Act
    late = loop.run_until_complete(watched())
    loop.bury()

    # Assert
    assert runs == [0.0, 21.0]
    assert (min(late), max(late)) == (1.2, 20.8)
