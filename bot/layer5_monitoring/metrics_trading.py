"""What was decided, sent, filled and is at stake."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bot.instruments import BrokerId
from bot.models import OrderRole, OrderState

OTHER: Final = "other"  # stands for every value that nobody has named here
SIGNAL_OUTCOMES: Final = ("vetoed", "refused", "setup", "ordered")
RULES: Final = (
    *(str(number) for number in range(15)),
    *(f"E{number}" for number in range(1, 12)),
    "S",
    "MTF",
    "AN",
    OTHER,
)
LIMITS: Final = (
    "KILL_SWITCH",
    "RECONCILING",
    "NO_SHORT",
    "ACCOUNT",
    "CONVERSION",
    "STALE_SIGNAL",
    "STALE_QUOTE",
    "CROSSED_QUOTE",
    "WIDE_SPREAD",
    "PRICE_COLLAR",
    "TASK_HAS_POSITION",
    "DAILY_LOSS",
    "ORDER_NOTIONAL",
    "LEVERAGE",
    "ORDER_RISK",
    "MAX_OPEN_POSITIONS",
    "CORRELATED_EXPOSURE",
    "GROSS_LEVERAGE",
    "OPEN_RISK",
    "ENTRY_RATE",
    "TURNOVER_HOUR",
    "TURNOVER_DAY",
    "CORRELATED_EVERYWHERE",
    "STRATEGY_POSITIONS",
    "STRATEGY_RATE",
    "CURRENCY_EXPOSURE",
    "NO_DIRECTION",
    "STOP_PASSED",
    "SIZE_BELOW_MINIMUM",
    OTHER,
)
_FAST_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_GAP_S: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)


class TradingMetrics:
    """Signals, orders, positions and money. Money is in the currency of the accounts."""

    def __init__(self, registry: CollectorRegistry, *, brokers: Sequence[BrokerId], strategies: Sequence[str]) -> None:
        self.brokers = frozenset(brokers)
        self.strategies = frozenset(strategies)
        self._declare_decisions(registry)
        self._declare_orders(registry)
        self._declare_stakes(registry)
        self._begin(brokers, strategies)

    def _declare_decisions(self, registry: CollectorRegistry) -> None:
        self.signals = Counter(
            "autotrader_signal",  # the one name that was asked for as it is
            "Signals by strategy and what was decided",
            ["setup", "outcome"],
            registry=registry,
        )
        self.rejections = Counter(
            "bot_signal_rejections",
            "Signals that went no further, by stage (rules or limits) and the first that said no",
            ["stage", "rule"],
            registry=registry,
        )
        self.signal_to_order = Histogram(
            "bot_signal_to_order_seconds",
            "From the approval of a signal until its order is stored as being sent",
            registry=registry,
            buckets=_FAST_S,
        )
        self.order_answer = Histogram(
            "bot_order_answer_seconds",
            "From sending an entry until the venue's answer is stored",
            ["broker"],
            registry=registry,
            buckets=_FAST_S,
        )

    def _declare_orders(self, registry: CollectorRegistry) -> None:
        self.orders = Counter(
            "bot_orders", "Orders that came into a state", ["broker", "role", "state"], registry=registry
        )
        self.fills = Counter("bot_fills", "Fills applied", ["broker", "role"], registry=registry)
        self.closed = Counter("bot_positions_closed", "Positions closed", ["broker", "result"], registry=registry)
        self.incidents = Counter("bot_incidents", "Incidents told in the journal", registry=registry)
        self.working_orders = Gauge("bot_working_orders", "Orders not at their end", ["broker"], registry=registry)
        self.unknown_orders = Gauge(
            "bot_unknown_orders", "Orders whose fate at the venue is not known", ["broker"], registry=registry
        )
        self.unknown_order_age = Gauge(
            "bot_unknown_order_age_seconds",
            "How long the oldest of them has been so, market time",
            ["broker"],
            registry=registry,
        )
        self.fill_to_stop = Histogram(
            "bot_fill_to_stop_seconds",
            "From a fill that no stop covered until the stop was read back, market time",
            ["broker"],
            registry=registry,
            buckets=_GAP_S,
        )
        self.unprotected = Counter(
            "bot_unprotected_seconds",
            "Seconds without a stop for all of it, all positions, market time",
            registry=registry,
        )
        self.unprotected_now = Gauge(
            "bot_unprotected_now_seconds", "The longest gap that is open now, market time; 0: none", registry=registry
        )
        self.unprotected_worst = Gauge(
            "bot_unprotected_worst_seconds", "The longest gap since the start, market time", registry=registry
        )

    def _declare_stakes(self, registry: CollectorRegistry) -> None:
        per_broker = ["broker"]
        self.equity = Gauge("bot_equity", "Equity of the account", ["broker", "currency"], registry=registry)
        self.balance = Gauge("bot_balance", "Balance of the account", ["broker", "currency"], registry=registry)
        self.margin_used = Gauge("bot_margin_used", "Margin in use", ["broker", "currency"], registry=registry)
        self.drawdown = Gauge("bot_drawdown_ratio", "Fall of all equity from its peak, 0 to 1", registry=registry)
        self.drawdown_limit = Gauge(
            "bot_drawdown_limit_ratio", "Drawdown at which entries are paused", registry=registry
        )
        self.realized = Gauge(
            "bot_realized_pnl_day", "Net result of positions closed in this session day", per_broker, registry=registry
        )
        self.unrealized = Gauge("bot_unrealized_pnl", "Open result before fees", per_broker, registry=registry)
        self.open_positions = Gauge("bot_open_positions", "Positions open now", per_broker, registry=registry)
        self.open_risk = Gauge("bot_open_risk", "Lost if every stop is hit now", per_broker, registry=registry)
        self.kill_level = Gauge(
            "bot_kill_level", "Kill switch: 0 not pressed, 1 pause, 2 flatten, 3 halt", per_broker, registry=registry
        )
        self.entries_blocked = Gauge(
            "bot_entries_blocked", "1 while a venue's truth blocks entries there", per_broker, registry=registry
        )

    def _begin(self, brokers: Sequence[BrokerId], strategies: Sequence[str]) -> None:
        for strategy in (*strategies, OTHER):
            for outcome in SIGNAL_OUTCOMES:
                self.signals.labels(strategy, outcome)
        for rule in RULES:
            self.rejections.labels("rules", rule)
        for limit in LIMITS:
            self.rejections.labels("limits", limit)
        for broker in (*brokers, OTHER):
            for role in OrderRole:
                self.fills.labels(broker, role.value)
                for state in OrderState:
                    self.orders.labels(broker, role.value, state.value)
            for result in ("win", "loss"):
                self.closed.labels(broker, result)
        for broker in brokers:
            self.order_answer.labels(broker)
            self.fill_to_stop.labels(broker)
            for gauge in (self.working_orders, self.unknown_orders, self.unknown_order_age, self.open_positions):
                gauge.labels(broker)
            for gauge in (self.unrealized, self.realized, self.open_risk, self.kill_level, self.entries_blocked):
                gauge.labels(broker)
