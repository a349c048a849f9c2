"""What the journal tells is counted: signals, orders, fills and gaps, under labels that are known beforehand."""

from collections.abc import Mapping

import pytest

from bot.clock import ManualClock
from bot.instruments import IG, OANDA
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.metrics import MetricLabels, Metrics
from bot.layer5_monitoring.metrics_journal import JournalMeter
from bot.models import JournalEntry, TaskId, Timeframe

TASK = TaskId("divergence:EUR_USD:1h")


class Desk:
    """A meter over a registry of its own."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics(
            MetricLabels(
                mode="paper",
                version="1",
                brokers=(OANDA, IG),
                feeds=[(OANDA, Timeframe.H1)],
                strategies=("divergence",),
                models=(),
                no_answers=(),
            )
        )
        self.meter = JournalMeter(
            self.metrics.trading,
            self.metrics.analyst,
            self.clock,
            broker_of=lambda symbol: {"EUR_USD": "oanda", "AAPL": "ig"}.get(symbol, "other"),
        )

    def tell(self, kind: str, /, task: TaskId | None = TASK, **data: object) -> None:
        self.meter.take(JournalEntry(at=self.clock.now(), kind=kind, task_id=task, data=data))

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_vetoed_signal_counts_by_strategy_and_by_the_first_rule_that_failed(desk: Desk) -> None:
    desk.tell("signal", status="vetoed", code="4", symbol="EUR_USD")

    assert desk.value("autotrader_signal_total", setup="divergence", outcome="vetoed") == 1
    assert desk.value("bot_signal_rejections_total", stage="rules", rule="4") == 1


def test_a_refused_signal_counts_by_the_limit(desk: Desk) -> None:
    desk.tell("signal", status="refused", code="DAILY_LOSS", symbol="EUR_USD")

    assert desk.value("autotrader_signal_total", setup="divergence", outcome="refused") == 1
    assert desk.value("bot_signal_rejections_total", stage="limits", rule="DAILY_LOSS") == 1


def test_what_nobody_has_named_is_other_and_makes_no_new_series(desk: Desk) -> None:
    desk.tell("signal", TaskId("who knows"), status="vetoed", code="<script>", symbol="EUR_USD")
    desk.tell("fill", symbol="XYZ", role="entry")

    assert desk.value("autotrader_signal_total", setup="other", outcome="vetoed") == 1
    assert desk.value("bot_signal_rejections_total", stage="rules", rule="other") == 1
    assert desk.value("bot_fills_total", broker="other", role="entry") == 1


def test_the_time_from_approval_to_sending_and_to_the_answer_is_measured(desk: Desk) -> None:
    desk.tell("signal", status="ordered", code="", symbol="EUR_USD")
    desk.clock.advance(0.2)
    desk.tell("order", order="TBp1E00", role="entry", symbol="EUR_USD", state="SENDING")
    desk.clock.advance(1.5)
    desk.tell("order", order="TBp1E00", role="entry", symbol="EUR_USD", state="UNKNOWN")
    desk.clock.advance(60)
    desk.tell("order", order="TBp1E00", role="entry", symbol="EUR_USD", state="FILLED")

    assert desk.value("bot_signal_to_order_seconds_sum") == pytest.approx(0.2)
    assert desk.value("bot_order_answer_seconds_sum", broker="oanda") == pytest.approx(1.5)
    assert desk.value("bot_order_answer_seconds_count", broker="oanda") == 1
    assert desk.value("bot_orders_total", broker="oanda", role="entry", state="UNKNOWN") == 1


def test_an_order_without_an_approval_measures_no_decision(desk: Desk) -> None:
    desk.tell("order", order="TBp1S00", role="stop", symbol="EUR_USD", state="SENDING")
    desk.tell("order", order="TBp1E00", role="entry", symbol="EUR_USD", state="SENDING")

    assert desk.value("bot_signal_to_order_seconds_count") == 0


@pytest.mark.parametrize("facts", [{"symbol": "AAPL", "position": "p-1"}, {"position": "p-1"}])
def test_the_gap_until_the_stop_counts_for_the_broker_of_the_position(desk: Desk, facts: Mapping[str, str]) -> None:
    desk.tell("position_opened", position="p-1", symbol="AAPL")

    desk.tell("protection", TASK, **{"what": "stop rests again", "gap_s": 0.7, **facts})
    desk.tell("protection", TASK, **{"what": "stop not sized yet", "error": "silence", **facts})
    desk.tell("protection", TASK, **{"what": "stop rests again", "gap_s": 0.2, "unseen_s": 9.0, **facts})

    assert desk.value("bot_fill_to_stop_seconds_count", broker="ig") == 1
    assert desk.value("bot_fill_to_stop_seconds_bucket", broker="ig", le="1.0") == 1
    assert desk.value("bot_fill_to_stop_seconds_bucket", broker="ig", le="0.5") == 0


def test_closed_positions_are_wins_or_losses_after_costs(desk: Desk) -> None:
    desk.tell("position_closed", position="p-1", symbol="EUR_USD", net="12.50", r=1.2)
    desk.tell("position_closed", position="p-2", symbol="EUR_USD", net="0", r=0.0)

    assert desk.value("bot_positions_closed_total", broker="oanda", result="win") == 1
    assert desk.value("bot_positions_closed_total", broker="oanda", result="loss") == 1


def test_incidents_and_opinions_are_counted_and_other_kinds_are_not(desk: Desk) -> None:
    desk.tell("incident", what="late arrival")
    desk.tell("analyst", rung="detector", effect="detector decided")
    desk.tell("instrument", what="tick differs")

    assert desk.value("bot_incidents_total") == 1
    assert desk.value("bot_analyst_opinions_total", rung="detector", effect="detector decided") == 1


async def test_an_entry_that_nobody_understands_costs_the_others_nothing(desk: Desk) -> None:
    events = JournalEvents()
    async with events.subscribe() as entries:
        for net in ("not a number", "5.00"):
            data = {"position": "p-1", "symbol": "EUR_USD", "net": net}
            events.publish(JournalEntry(at=desk.clock.now(), kind="position_closed", task_id=TASK, data=data))
        events.close()
        await desk.meter.follow(entries)

    assert desk.value("bot_positions_closed_total", broker="oanda", result="win") == 1
