"""The registry: one for each daemon, known labels from the start, a bounded number of series, nothing but totals up."""

import ast
import re
import time
from decimal import Decimal
from pathlib import Path

import pytest
from prometheus_client import REGISTRY, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import bot.layer4_risk
from bot.analyst_calls import Usage
from bot.instruments import BINANCE, IG, OANDA
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer5_monitoring.metrics import MetricLabels, Metrics
from bot.layer5_monitoring.metrics_trading import LIMITS, OTHER, RULES
from bot.layer5_monitoring.metrics_venues import ORDER_CALLS, READ_CALLS
from bot.models import JobHealth, Timeframe
from tests.unit.layer2_intelligence.judged_scene import CODES

_FORBIDDEN_LABELS = {"order", "order_id", "client_order_id", "position", "price", "message", "reason"}
_OF_THE_SERVER = {"job", "instance"}  # it would rename ours to exported_job
_CODE = re.compile("[A-Z]{2,}(_[A-Z]+)*")
_NO_REFUSALS = {"BREAKEVEN", "DRAWDOWN", "KILL", "LOSS", "WIN"}  # results, a limit that presses the switch, a file
_NOT_OF_THE_CONTRACT = {"close"}  # ends the adapter, asks nobody


def metrics() -> Metrics:
    return Metrics(
        MetricLabels(
            mode="paper",
            version="1.2.3",
            brokers=(BINANCE, OANDA, IG),
            feeds=[(each, timeframe) for each in (BINANCE, OANDA, IG) for timeframe in (Timeframe.H1, Timeframe.H4)],
            strategies=("divergence",),
            models=("first-model", "second-model"),
            no_answers=("timeout", "budget_day"),
        )
    )


def test_two_daemons_in_one_process_share_no_figure() -> None:
    one, other = metrics(), metrics()

    one.trading.incidents.inc()

    assert one.registry.get_sample_value("bot_incidents_total") == 1
    assert other.registry.get_sample_value("bot_incidents_total") == 0
    assert REGISTRY.get_sample_value("bot_incidents_total") is None


def test_known_labels_are_there_at_zero_so_that_the_first_event_is_seen_as_an_increase() -> None:
    registry = metrics().registry

    first = {"broker": "oanda", "call": "place", "outcome": "unknown"}
    assert registry.get_sample_value("bot_broker_requests_total", first) == 0
    assert registry.get_sample_value("autotrader_signal_total", {"setup": "divergence", "outcome": "ordered"}) == 0
    assert registry.get_sample_value("bot_signal_rejections_total", {"stage": "limits", "rule": "DAILY_LOSS"}) == 0
    assert registry.get_sample_value("bot_analyst_calls_total", {"model": "first-model", "outcome": "timeout"}) == 0
    assert registry.get_sample_value("bot_reconcile_differences", {"broker": "ig", "kind": "lost order"}) == 0


def test_series_are_few_and_no_label_names_an_order_or_a_price() -> None:
    families = list(text_string_to_metric_families(generate_latest(metrics().registry).decode()))

    samples = [sample for family in families for sample in family.samples]
    assert len(samples) < 2_000
    assert not (_FORBIDDEN_LABELS | _OF_THE_SERVER) & {label for sample in samples for label in sample.labels}
    assert not [sample.name for sample in samples if sample.name.endswith("_created")]


def test_a_scrape_costs_little_of_the_event_loop() -> None:
    registry = metrics().registry

    def cost_s() -> float:
        begun_s = time.process_time()  # other work of this machine does not count
        generate_latest(registry)
        return time.process_time() - begun_s

    assert min(cost_s() for _ in range(5)) < 0.1


def test_every_metric_says_what_it_is_and_bears_our_prefix() -> None:
    families = text_string_to_metric_families(generate_latest(metrics().registry).decode())

    ours = [each for each in families if not each.name.startswith(("process_", "python_"))]
    assert len(ours) > 60
    assert not [each.name for each in ours if not each.name.startswith(("bot_", "autotrader_"))]
    assert not [each.name for each in ours if len(each.documentation) < 10]


def test_every_rule_of_the_validator_has_its_label() -> None:
    assert set(CODES) == set(RULES) - {"MTF", "AN", OTHER}  # test_validator holds CODES against what is judged


def test_every_limit_of_risk_has_its_label_and_no_label_is_left_over() -> None:
    said = set()
    for path in Path(bot.layer4_risk.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _CODE.fullmatch(node.value):
                said.add(node.value)

    assert said - _NO_REFUSALS == set(LIMITS) - {OTHER}


def test_every_call_of_the_broker_contract_is_of_a_kind() -> None:
    asked = {
        name
        for name, member in vars(BrokerInterface).items()
        if not name.startswith("_") and callable(member) and name not in _NOT_OF_THE_CONTRACT
    }

    assert asked == set(ORDER_CALLS) | set(READ_CALLS)


def test_a_total_counted_elsewhere_only_rises() -> None:
    machine = (found := metrics()).machine
    jobs = [JobHealth(name="analysis", interval_s=300, runs=runs) for runs in (5, 7, 7)]

    for each in jobs:
        machine.show_jobs([each], {"analysis": 1.0}, speed=1.0)

    assert found.registry.get_sample_value("bot_job_runs_total", {"job_name": "analysis"}) == 7


def test_a_recorded_answer_costs_nothing_and_a_new_one_what_it_cost() -> None:
    found = metrics()
    usage = Usage(input_tokens=100, cache_read_tokens=900, output_tokens=50, cost=Decimal("0.012"))

    found.analyst.heard("first-model", "recorded", 0.1, usage)
    found.analyst.heard("first-model", "answered", 2.0, usage)
    found.analyst.heard("first-model", "timeout", 30.0, None)

    value = found.registry.get_sample_value
    assert value("bot_analyst_cost_usd_total", {"model": "first-model"}) == pytest.approx(0.012)
    assert value("bot_analyst_tokens_total", {"model": "first-model", "kind": "cache_read"}) == 900
    assert value("bot_analyst_call_seconds_count", {"model": "first-model"}) == 2
