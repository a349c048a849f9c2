"""Figures for Prometheus: every name and label that rules and dashboards may use, in a registry of the daemon's own.

Whoever measures sets what is declared here; a scrape reads memory and asks nobody. Money and counts of what is open are
gauges, because they fall. Known label values are there from the start, or `increase()` would miss the first event.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from bot.instruments import BrokerId
from bot.layer5_monitoring.metrics_analyst import AnalystMetrics
from bot.layer5_monitoring.metrics_machine import MachineMetrics
from bot.layer5_monitoring.metrics_trading import TradingMetrics
from bot.layer5_monitoring.metrics_venues import VenueMetrics
from bot.models import Timeframe


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricLabels:
    """Every value that a label may have; none comes from a venue, a model or a person."""

    mode: str
    version: str
    brokers: Sequence[BrokerId]
    feeds: Sequence[tuple[BrokerId, Timeframe]]
    strategies: Sequence[str]
    models: Sequence[str]
    no_answers: Sequence[str]


class Metrics:
    """All of them. One for each daemon: nothing is shared between two in one process."""

    def __init__(self, labels: MetricLabels) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # they would double the number of series
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.machine = MachineMetrics(self.registry, mode=labels.mode, version=labels.version)
        self.trading = TradingMetrics(self.registry, brokers=labels.brokers, strategies=labels.strategies)
        self.venues = VenueMetrics(self.registry, brokers=labels.brokers, feeds=labels.feeds)
        self.analyst = AnalystMetrics(self.registry, models=labels.models, reasons=labels.no_answers)
