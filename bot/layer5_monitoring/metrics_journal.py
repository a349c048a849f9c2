"""Counts what the journal tells. It reads the event stream beside everybody else: no order waits for a figure."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final

from loguru import logger

from bot.interfaces import Clock
from bot.layer5_monitoring.metrics_analyst import AnalystMetrics
from bot.layer5_monitoring.metrics_trading import LIMITS, OTHER, RULES, TradingMetrics
from bot.models import JournalEntry, OrderRole, OrderState, TaskId

BrokerOf = Callable[[str], str]
_MOST_SENDING: Final = 1_000  # orders whose answer never came are forgotten then
_STAGES: Final = {"vetoed": ("rules", RULES), "refused": ("limits", LIMITS)}


class JournalMeter:
    """Takes entries one by one. Latencies are differences of a clock of real seconds, as the entries come in."""

    def __init__(
        self,
        trading: TradingMetrics,
        analyst: AnalystMetrics,
        clock: Clock,
        *,
        broker_of: BrokerOf,
    ) -> None:
        """`broker_of` a symbol. What has no label of its own is counted as "other"."""
        self._trading = trading
        self._analyst = analyst
        self._clock = clock
        self._broker_of = broker_of
        self._symbols: dict[str, str] = {}  # of open positions: some entries name only those
        self._approved_s: dict[TaskId | None, float] = {}
        self._sending_s: dict[str, float] = {}
        self._kinds: Final[Mapping[str, Callable[[JournalEntry], None]]] = {
            "signal": self._signal,
            "order": self._order,
            "fill": self._fill,
            "position_opened": self._opened,
            "position_closed": self._closed,
            "protection": self._protection,
            "incident": lambda _: self._trading.incidents.inc(),
            "analyst": self._opinion,
        }

    async def follow(self, entries: AsyncIterator[JournalEntry]) -> None:
        """Count each as it comes, until they end."""
        async for entry in entries:
            try:
                self.take(entry)
            except Exception as error:  # the edge: one odd entry must not end the others
                logger.opt(exception=error).error("metrics: a journal entry of kind {} was not counted", entry.kind)

    def take(self, entry: JournalEntry) -> None:
        """Count one entry; most kinds are of no interest."""
        count = self._kinds.get(entry.kind)
        if count is not None:
            count(entry)

    def _signal(self, entry: JournalEntry) -> None:
        status = str(entry.data.get("status"))
        strategy = (entry.task_id or "").partition(":")[0]  # the id of a task begins with it
        self._trading.signals.labels(strategy if strategy in self._trading.strategies else OTHER, status).inc()
        if status in _STAGES:
            stage, rules = _STAGES[status]
            rule = str(entry.data.get("code"))
            self._trading.rejections.labels(stage, rule if rule in rules else OTHER).inc()
        if status == "ordered":
            self._approved_s[entry.task_id] = self._clock.monotonic()

    def _order(self, entry: JournalEntry) -> None:
        name, role, state = (str(entry.data.get(each)) for each in ("order", "role", "state"))
        broker = self._broker(entry)
        self._trading.orders.labels(broker, role, state).inc()
        if role != OrderRole.ENTRY:
            return
        now_s = self._clock.monotonic()
        if state == OrderState.SENDING:
            approved_s = self._approved_s.pop(entry.task_id, None)
            if approved_s is not None:
                self._trading.signal_to_order.observe(now_s - approved_s)
            if len(self._sending_s) >= _MOST_SENDING:
                self._sending_s.clear()
            self._sending_s[name] = now_s
        elif name in self._sending_s:
            self._trading.order_answer.labels(broker).observe(now_s - self._sending_s.pop(name))

    def _fill(self, entry: JournalEntry) -> None:
        self._trading.fills.labels(self._broker(entry), str(entry.data.get("role"))).inc()

    def _opened(self, entry: JournalEntry) -> None:
        self._symbols[str(entry.data.get("position"))] = str(entry.data.get("symbol"))

    def _closed(self, entry: JournalEntry) -> None:
        self._symbols.pop(str(entry.data.get("position")), None)
        result = "win" if float(str(entry.data.get("net", 0))) > 0 else "loss"
        self._trading.closed.labels(self._broker(entry), result).inc()

    def _protection(self, entry: JournalEntry) -> None:
        gap_s = entry.data.get("gap_s")
        if isinstance(gap_s, int | float) and "unseen_s" not in entry.data:  # else it is about no fill
            self._trading.fill_to_stop.labels(self._broker(entry)).observe(gap_s)

    def _opinion(self, entry: JournalEntry) -> None:
        rung, effect = str(entry.data.get("rung")), str(entry.data.get("effect"))
        self._analyst.opinions.labels(rung, effect).inc()

    def _broker(self, entry: JournalEntry) -> str:
        symbol = entry.data.get("symbol") or self._symbols.get(str(entry.data.get("position")))
        broker = self._broker_of(str(symbol))
        return broker if broker in self._trading.brokers else OTHER
