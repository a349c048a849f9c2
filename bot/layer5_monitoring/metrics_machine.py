"""The process itself: progress, jobs, event loop, database, disk, alerts, watchers."""

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

from bot.alerts import Channel, DeliveryState, Severity
from bot.models import JobHealth

_LAG_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class MachineMetrics:
    """Whether the daemon itself is well. Seconds are real ones."""

    def __init__(self, registry: CollectorRegistry, *, mode: str, version: str) -> None:
        Info("bot_build", "Version and mode", registry=registry).info({"mode": mode, "version": version})
        self._followed: dict[Counter, float] = {}
        self._declare_progress(registry)
        self._declare_jobs(registry)
        self._declare_resources(registry)
        self._declare_alerts(registry)

    def _declare_progress(self, registry: CollectorRegistry) -> None:
        self.ready = Gauge("bot_ready", "1 while it is started, reconciled and not stopping", registry=registry)
        self.heartbeat = Gauge(
            "bot_heartbeat_timestamp_seconds", "When analysis and monitor last made progress", registry=registry
        )
        self.sampled = Gauge(
            "bot_sample_timestamp_seconds", "When a group of gauges was last refreshed", ["probe"], registry=registry
        )
        self.sample_failures = Counter(
            "bot_sample_failures", "Refreshes that failed or took too long", ["probe"], registry=registry
        )
        self.loop_lag = Histogram(
            "bot_event_loop_lag_seconds", "How late the event loop woke a sleeper", registry=registry, buckets=_LAG_S
        )
        self.faults = Counter("bot_faults", "Steps of the supervisor that failed and were told", registry=registry)

    def _declare_jobs(self, registry: CollectorRegistry) -> None:
        self.job_runs = Counter("bot_job_runs", "Runs of a job", ["job_name"], registry=registry)
        self.job_missed = Counter(
            "bot_job_missed", "Runs that were due and did not happen", ["job_name"], registry=registry
        )
        self.job_failures = Counter("bot_job_failures", "Runs that failed", ["job_name"], registry=registry)
        self.job_failing = Gauge(
            "bot_job_failing", "Failures since the last run that went well", ["job_name"], registry=registry
        )
        self.job_age = Gauge(
            "bot_job_age_seconds", "Since the last run that went well was seen", ["job_name"], registry=registry
        )
        self.job_interval = Gauge(
            "bot_job_interval_seconds", "How often it should run", ["job_name"], registry=registry
        )
        self.job_duration = Gauge(
            "bot_job_duration_seconds", "How long its last run took", ["job_name"], registry=registry
        )

    def _declare_resources(self, registry: CollectorRegistry) -> None:
        self.database_up = Gauge("bot_database_up", "1 if the database answered when last asked", registry=registry)
        self.database_seconds = Gauge(
            "bot_database_check_seconds", "How long its newest answer took", registry=registry
        )
        self.connections = Gauge("bot_database_connections", "Connections of the pool", ["state"], registry=registry)
        self.most_connections = Gauge(
            "bot_database_connections_most", "Most connections of the pool", registry=registry
        )
        self.disk_free = Gauge("bot_disk_free_bytes", "Free bytes where the data directory is", registry=registry)
        self.watchers = Gauge("bot_page_watchers", "Browsers that watch a moving page", registry=registry)
        self.events_dropped = Counter(
            "bot_events_dropped",
            "Journal entries that a reader was too slow for (the journal has them)",
            registry=registry,
        )
        for state in ("used", "idle"):
            self.connections.labels(state)

    def _declare_alerts(self, registry: CollectorRegistry) -> None:
        self.alerts = Counter("bot_alerts", "Alerts raised", ["severity"], registry=registry)
        self.deliveries = Counter(
            "bot_alert_deliveries", "Deliveries by way and how they ended", ["channel", "outcome"], registry=registry
        )
        self.unacknowledged = Gauge(
            "bot_alerts_unacknowledged", "Critical alerts that wait for somebody", registry=registry
        )
        self.outbox_waiting = Gauge(
            "bot_outbox_waiting", "Critical alerts that reached nobody yet, where a way is set", registry=registry
        )
        self.outbox_age = Gauge(
            "bot_outbox_oldest_seconds", "How long the oldest of them has waited; 0: none waits", registry=registry
        )
        for severity in Severity:
            self.alerts.labels(severity.value)
        for channel in Channel:
            for state in DeliveryState:
                self.deliveries.labels(channel.value, state.value)

    def follow(self, counter: Counter, total: float, *labels: str) -> None:
        """Bring a counter up to a total that is counted elsewhere; it never falls."""
        child = counter.labels(*labels) if labels else counter
        grown = total - self._followed.get(child, 0.0)
        self._followed[child] = total
        child.inc(max(0.0, grown))

    def show_jobs(self, jobs: Sequence[JobHealth], ages_s: Mapping[str, float], *, speed: float) -> None:
        """Every job; `ages_s` are real seconds since a good run was seen, intervals come in the clock's seconds."""
        for job in jobs:
            self.follow(self.job_runs, job.runs, job.name)
            self.follow(self.job_missed, job.missed, job.name)
            self.follow(self.job_failures, job.failures, job.name)
            self.job_failing.labels(job.name).set(job.failing)
            self.job_interval.labels(job.name).set(job.interval_s / speed)
            self.job_duration.labels(job.name).set(job.last_duration_s)
            self.job_age.labels(job.name).set(ages_s[job.name])
