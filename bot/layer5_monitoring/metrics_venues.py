"""How venues answer, how old their candles are, and how far our record agrees with theirs."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bot.differences import DifferenceKind
from bot.instruments import BrokerId
from bot.models import Timeframe

ORDER_CALLS: Final = ("place", "place_stop", "amend_stop", "resize_stop", "cancel", "cancel_foreign")
READ_CALLS: Final = (
    "identity",
    "terms",
    "server_time",
    "candles",
    "quote",
    "quotes",
    "account",
    "find_order",
    "open_orders",
    "protective_orders",
    "positions",
    "fills_since",
    "check_connectivity",
)
OUTCOMES: Final = ("ok", "rejected", "unavailable", "unknown", "error", "cancelled")
_REQUEST_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_RECONCILE_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0)
_DELAY_S: Final = (0.5, 1.0, 2.5, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 900.0)


class VenueMetrics:
    """Requests, feeds and reconciliation, by broker."""

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        brokers: Sequence[BrokerId],
        feeds: Sequence[tuple[BrokerId, Timeframe]],
    ) -> None:
        self._declare_requests(registry)
        self._declare_feeds(registry)
        self._declare_reconciliation(registry)
        for broker in brokers:
            self._begin(broker)
        for broker, timeframe in feeds:
            self.candle_delay.labels(broker, timeframe.value)
            self.feed_stale.labels(broker, timeframe.value)

    def _declare_requests(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "bot_broker_requests",
            "Calls of the broker contract and how they ended",
            ["broker", "call", "outcome"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "bot_broker_request_seconds",
            "How long they took, waiting for the rate budget included; kind: read or order",
            ["broker", "kind"],
            registry=registry,
            buckets=_REQUEST_S,
        )
        self.budget_used = Gauge(
            "bot_broker_rate_budget_used_ratio",
            "Share of the tightest request budget in use",
            ["broker"],
            registry=registry,
        )
        self.quoted_at = Gauge(
            "bot_last_quote_timestamp_seconds",
            "When the newest streamed quote came; 0: none yet",
            ["broker"],
            registry=registry,
        )
        self.streams = Gauge(
            "bot_broker_streams_quotes", "1 where the venue streams quotes", ["broker"], registry=registry
        )

    def _declare_feeds(self, registry: CollectorRegistry) -> None:
        of_feed = ["broker", "timeframe"]
        self.candle_delay = Histogram(
            "bot_candle_delay_seconds",
            "From the close of a candle until it was delivered, market time",
            of_feed,
            registry=registry,
            buckets=_DELAY_S,
        )
        self.feed_age = Gauge(
            "bot_feed_age_seconds",
            "Since the newest candle of any symbol closed, market time",
            of_feed,
            registry=registry,
        )
        self.feed_stale = Gauge(
            "bot_feed_stale", "Symbols without a candle although their market is open", of_feed, registry=registry
        )

    def _declare_reconciliation(self, registry: CollectorRegistry) -> None:
        self.reconcile_seconds = Histogram(
            "bot_reconcile_seconds",
            "How long one comparison with the venue took",
            ["broker"],
            registry=registry,
            buckets=_RECONCILE_S,
        )
        self.reconcile_complete = Gauge(
            "bot_reconcile_complete", "1 if the venue answered the newest comparison", ["broker"], registry=registry
        )
        self.reconciled_ago = Gauge(
            "bot_reconcile_age_seconds", "Since the newest comparison began, market time", ["broker"], registry=registry
        )
        self.differences = Gauge(
            "bot_reconcile_differences",
            "What differs now and nobody has answered, by class",
            ["broker", "kind"],
            registry=registry,
        )

    def _begin(self, broker: BrokerId) -> None:
        for call in (*ORDER_CALLS, *READ_CALLS):
            for outcome in OUTCOMES:
                self.requests.labels(broker, call, outcome)
        for kind in ("read", "order"):
            self.request_seconds.labels(broker, kind)
        for kind in DifferenceKind:
            self.differences.labels(broker, kind.value)
        for gauge in (self.quoted_at, self.streams, self.budget_used, self.reconcile_complete):
            gauge.labels(broker)
        self.reconcile_seconds.labels(broker)

    def heard(self, broker: BrokerId, call: str, outcome: str, seconds: float) -> None:
        """One call of the broker contract has ended."""
        self.requests.labels(broker, call, outcome).inc()
        kind = "order" if call in ORDER_CALLS else "read"
        self.request_seconds.labels(broker, kind).observe(seconds)
