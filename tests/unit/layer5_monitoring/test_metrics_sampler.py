"""Gauges are refreshed at their pace; a probe that fails or hangs costs its own figures and nothing else."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from bot.clock import ManualClock, SystemClock
from bot.errors import DatabaseUnavailable
from bot.layer5_monitoring.metrics_machine import MachineMetrics
from bot.layer5_monitoring.metrics_sampler import Probe, Sampler


class Gauges:
    """Two probes, one of which may fail."""

    def __init__(self) -> None:
        self.good = self.asked = 0
        self.fault: Exception | None = None

    async def refresh_good(self) -> None:
        self.good += 1

    async def refresh_bad(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise self.fault


def machine(registry: CollectorRegistry) -> MachineMetrics:
    return MachineMetrics(registry, mode="paper", version="1")


async def test_a_probe_that_fails_is_counted_and_the_others_go_on() -> None:
    clock, registry, gauges = ManualClock(), CollectorRegistry(), Gauges()
    gauges.fault = DatabaseUnavailable("gone")
    probes = [
        Probe(name="bad", refresh=gauges.refresh_bad, every_s=2, within_s=1),
        Probe(name="good", refresh=gauges.refresh_good, every_s=2, within_s=1),
    ]
    running = asyncio.create_task(Sampler(probes, machine(registry), clock).run())

    await clock.run_for(5)
    running.cancel()

    assert (gauges.asked, gauges.good) == (3, 3)
    assert registry.get_sample_value("bot_sample_failures_total", {"probe": "bad"}) == 3
    assert registry.get_sample_value("bot_sample_timestamp_seconds", {"probe": "bad"}) == 0
    seen_at = registry.get_sample_value("bot_sample_timestamp_seconds", {"probe": "good"})
    assert seen_at == clock.now().timestamp() - 1


async def test_a_probe_that_hangs_is_ended_and_counted() -> None:
    registry = CollectorRegistry()
    never = asyncio.Event()

    async def hang() -> None:
        await never.wait()

    probe = Probe(name="hangs", refresh=hang, every_s=1, within_s=0.01)
    sampler = Sampler([probe], machine(registry), SystemClock())
    async with asyncio.timeout(5):
        await sampler.sample(probe)

    assert registry.get_sample_value("bot_sample_failures_total", {"probe": "hangs"}) == 1


@pytest.mark.parametrize("wanted", ["bot_sample_failures_total", "bot_sample_timestamp_seconds"])
def test_every_probe_is_known_before_its_first_run(wanted: str) -> None:
    registry, gauges = CollectorRegistry(), Gauges()

    Sampler([Probe(name="good", refresh=gauges.refresh_good, every_s=2, within_s=1)], machine(registry), ManualClock())

    assert registry.get_sample_value(wanted, {"probe": "good"}) == 0
