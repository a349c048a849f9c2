"""Refreshes gauges every few seconds, so that a scrape reads memory only and waits for nobody."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from loguru import logger

from bot.interfaces import Clock
from bot.layer5_monitoring.metrics_machine import MachineMetrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One group of gauges: how to refresh it, how often, and how long that may take (real seconds)."""

    name: str
    refresh: Callable[[], Awaitable[None]]
    every_s: float
    within_s: float


class Sampler:
    """Runs every probe in a loop of its own: one that fails or hangs costs its own gauges and nothing else."""

    def __init__(self, probes: Sequence[Probe], metrics: MachineMetrics, clock: Clock) -> None:
        self._probes = probes
        self._metrics = metrics
        self._clock = clock
        self._failing: set[str] = set()
        for each in probes:
            metrics.sampled.labels(each.name)
            metrics.sample_failures.labels(each.name)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            for each in self._probes:
                group.create_task(self._go_on(each), name=f"probe {each.name}")

    async def _go_on(self, probe: Probe) -> None:
        while True:
            await self.sample(probe)
            await self._clock.sleep(probe.every_s)

    async def sample(self, probe: Probe) -> None:
        """Refresh one group; a failure is counted, and told once."""
        try:
            async with asyncio.timeout(probe.within_s):
                await probe.refresh()
        except Exception as error:  # the edge: a figure that is missing must not end the others
            self._metrics.sample_failures.labels(probe.name).inc()
            if probe.name not in self._failing:
                self._failing.add(probe.name)
                logger.warning("metrics: {} was not refreshed: {!r}", probe.name, error)
        else:
            self._failing.discard(probe.name)
            self._metrics.sampled.labels(probe.name).set(self._clock.now().timestamp())
