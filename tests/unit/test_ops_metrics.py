"""The files of ops/: every metric and label they name exists, and Prometheus' own tool has read and tried them."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any, Final

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from bot.clock import ManualClock
from bot.instruments import BINANCE, IG, OANDA
from bot.layer5_monitoring.metrics import MetricLabels, Metrics
from bot.layer5_monitoring.metrics_machine import MachineMetrics
from bot.layer5_monitoring.metrics_sampler import Probe, Sampler
from bot.models import JobHealth, Timeframe

PROJECT: Final = Path(__file__).resolve().parents[2]
PROMETHEUS: Final = PROJECT / "ops" / "prometheus"
DASHBOARDS: Final = sorted((PROJECT / "ops" / "grafana" / "dashboards").glob("*.json"))
NAME: Final = re.compile(r"\b(?:bot_|autotrader_|process_)[a-z0-9_]+\b|\bup\b")
SELECTOR: Final = re.compile(r"\b((?:bot|autotrader)_[a-z0-9_]+)\{([^}]*)\}")
LABEL: Final = re.compile(r"([a-z_]+)\s*(?:=~|!~|!=|=)")
GROUPED: Final = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")
SCRAPED: Final = {"job", "instance", "alertname", "alertstate"}  # the server adds these
PANELS: Final = {"timeseries", "stat", "gauge", "bargauge", "table", "text", "row", "state-timeline", "heatmap", "logs"}
NOT_SHOWN: Final = {
    "bot_build_info",
    "bot_balance",
    "bot_job_runs",
    "bot_job_duration_seconds",
    "bot_sample_failures",
}
promtool = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(promtool is None, reason="promtool is not installed: apt-get install prometheus")


def running_metrics() -> Metrics:
    """All series of a daemon that has run for a while."""
    metrics = Metrics(
        MetricLabels(
            mode="paper",
            version="1",
            brokers=(BINANCE, OANDA, IG),
            feeds=[(OANDA, Timeframe.H1)],
            strategies=("divergence",),
            models=("a-model",),
            no_answers=("timeout",),
        )
    )
    machine: MachineMetrics = metrics.machine
    machine.show_jobs([JobHealth(name="analysis", interval_s=300)], {"analysis": 0.0}, speed=1)
    Sampler([Probe(name="stakes", refresh=_nothing, every_s=2, within_s=1)], machine, ManualClock())
    for gauge in (metrics.trading.equity, metrics.trading.balance, metrics.trading.margin_used):
        gauge.labels("oanda", "USD")
    metrics.venues.feed_age.labels("oanda", "1h")
    metrics.venues.reconciled_ago.labels("oanda")
    return metrics


async def _nothing() -> None:
    """Refreshes nothing."""


@pytest.fixture(scope="module")
def labels_of() -> Mapping[str, set[str]]:
    """Every sample that is exposed, with the labels it has."""
    found: dict[str, set[str]] = {"up": set()}  # the server itself makes this one
    for family in text_string_to_metric_families(generate_latest(running_metrics().registry).decode()):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def expressions(dashboard: Mapping[str, Any]) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def check_names(text: str, labels_of: Mapping[str, set[str]]) -> None:
    named = set(NAME.findall(text))
    assert named, text
    assert not {each for each in named if each not in labels_of}, text
    for name, selector in SELECTOR.findall(text):
        assert set(LABEL.findall(re.sub(r'"[^"]*"', '""', selector))) <= labels_of[name] | SCRAPED, text
    grouped = {each.strip() for group in GROUPED.findall(text) for each in group.split(",") if each.strip()}
    assert grouped <= set.union(*(labels_of[each] for each in named)) | SCRAPED, text


# ------------------------------------------------------------------------------------------------------------- rules


def test_every_rule_names_metrics_and_labels_that_exist(labels_of: Mapping[str, set[str]]) -> None:
    for each in alerts():
        check_names(each["expr"], labels_of)


def test_every_rule_has_a_severity_a_sentence_and_a_next_step_and_stands_in_the_manual() -> None:
    manual = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")

    for each in alerts():
        assert each["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "next"} <= each["annotations"].keys()
        assert f"`{each['alert']}`" in manual, f"{each['alert']} has no row in docs/metrics.md"


def test_every_metric_stands_in_the_manual(labels_of: Mapping[str, set[str]]) -> None:
    manual = (PROJECT / "docs" / "metrics.md").read_text(encoding="utf-8")
    ours = {re.sub("_(bucket|count|sum)$", "", each) for each in labels_of if each.startswith(("bot_", "autotrader_"))}

    assert not {each for each in ours if f"`{each}`" not in manual}


def test_what_is_provisioned_leads_to_the_dashboards_and_a_data_source_with_a_fixed_name() -> None:
    folder = PROJECT / "ops" / "grafana" / "provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards" / "bot.yml").read_text(encoding="utf-8"))["providers"]
    (source,) = yaml.safe_load((folder / "datasources" / "bot.yml").read_text(encoding="utf-8"))["datasources"]

    assert provider["options"]["path"].endswith("/dashboards")
    assert (source["type"], source["uid"]) == ("prometheus", "prom")


@needs_promtool
@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "alerts.yml"),
        ("test", "rules", "alerts_test.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_takes_the_files(command: tuple[str, ...]) -> None:
    done = subprocess.run([str(promtool), *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_finds_no_fault_in_names_and_help_of_our_metrics() -> None:
    exposed = generate_latest(running_metrics().registry)

    done = subprocess.run([str(promtool), "check", "metrics"], input=exposed, capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# -------------------------------------------------------------------------------------------------------- dashboards


@pytest.fixture(params=DASHBOARDS, ids=lambda path: path.stem)
def dashboard(request: pytest.FixtureRequest) -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = json.loads(request.param.read_text(encoding="utf-8"))
    return loaded


def test_there_is_a_dashboard() -> None:
    assert DASHBOARDS


def test_a_dashboard_names_metrics_and_labels_that_exist(
    dashboard: Mapping[str, Any], labels_of: Mapping[str, set[str]]
) -> None:
    for each in expressions(dashboard):
        check_names(each, labels_of)


def test_every_metric_of_ours_is_shown_or_ruled_on(labels_of: Mapping[str, set[str]]) -> None:
    boards = [json.loads(path.read_text(encoding="utf-8")) for path in DASHBOARDS]
    used = {name for board in boards for each in expressions(board) for name in NAME.findall(each)}
    used |= {name for each in alerts() for name in NAME.findall(each["expr"])}
    families = {re.sub("_(bucket|count|sum|total)$", "", each) for each in used}
    ours = {re.sub("_(bucket|count|sum|total)$", "", each) for each in labels_of if each.startswith(("bot_", "auto"))}

    assert ours - families <= NOT_SHOWN


def test_a_dashboard_can_be_provisioned(dashboard: Mapping[str, Any]) -> None:
    assert dashboard["id"] is None
    assert re.fullmatch("[A-Za-z0-9_-]{1,40}", dashboard["uid"])
    assert "__inputs" not in dashboard
    assert "__requires" not in dashboard
    defined = {each["name"] for each in dashboard["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(dashboard))) - {"__rate_interval", "__all"}
    assert used == defined


def test_panels_have_their_own_ids_lie_within_the_grid_and_do_not_overlap(dashboard: Mapping[str, Any]) -> None:
    panels = dashboard["panels"]
    taken: dict[tuple[int, int], int] = {}
    for panel in panels:
        place = panel["gridPos"]
        assert panel["type"] in PANELS
        assert place["x"] + place["w"] <= 24
        columns = range(place["x"], place["x"] + place["w"])
        for cell in product(columns, range(place["y"], place["y"] + place["h"])):
            assert taken.setdefault(cell, panel["id"]) == panel["id"], f"{panel['title']} overlaps"
    assert len({each["id"] for each in panels}) == len(panels)


def test_thresholds_begin_without_a_value_and_counters_are_shown_as_rates(dashboard: Mapping[str, Any]) -> None:
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][0]["value"] is None
        for target in panel.get("targets", ()):
            counted = re.findall(r"(\w+)\(\s*\w+_(?:total|bucket)\b", target["expr"])
            assert len(counted) == len(re.findall(r"_(?:total|bucket)\b", target["expr"])), target["expr"]
            assert set(counted) <= {"rate", "increase"}, target["expr"]
