"""/metrics over a real socket: each text format that a scraper asks for, who may read it, a real daemon's figures."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from bot.clock import ManualClock
from bot.dashboard.app import create_app, serve
from bot.database.memory import MemoryStores
from bot.instruments import OANDA
from bot.layer5_monitoring.events import JournalEvents
from bot.layer5_monitoring.metrics import MetricLabels, Metrics
from tests.fakes.dashboard_day import API_TOKEN, dashboard_parts
from tests.integration.daemons import PATIENCE_S, PROJECT, RunningDaemon, until

BEARER = {"Authorization": f"Bearer {API_TOKEN}", "Accept-Encoding": "identity"}
ORDERED = 'autotrader_signal_total{outcome="ordered",setup="divergence"}'
FILLS = 'bot_fills_total{broker="oanda",role="entry"}'


@asynccontextmanager
async def scraped() -> AsyncIterator[tuple[aiohttp.ClientSession, str]]:
    """A served dashboard with three fills, and a client."""
    metrics = Metrics(
        MetricLabels(
            mode="paper", version="1", brokers=(OANDA,), feeds=(), strategies=("divergence",), models=(), no_answers=()
        )
    )
    metrics.trading.fills.labels("oanda", "entry").inc(3)
    app = create_app(dashboard_parts(MemoryStores(), JournalEvents(), ManualClock(), metrics=metrics.registry))
    listening = socket.create_server(("127.0.0.1", 0))
    runner = await serve(app, listening)
    try:
        async with aiohttp.ClientSession() as client:
            yield client, f"http://127.0.0.1:{listening.getsockname()[1]}/metrics"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=1.0.0", "text/plain; version=1.0.0; charset=utf-8"),
        ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
async def test_each_scraper_gets_the_format_that_it_asks_for(accept: str | None, content_type: str) -> None:
    headers = BEARER | ({"Accept": accept} if accept else {})
    async with scraped() as (client, url), client.get(url, headers=headers) as answer:
        text = await answer.text()

    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith(content_type)
    assert text.endswith("\n")
    is_openmetrics = "openmetrics" in content_type
    assert text.endswith("# EOF\n") is is_openmetrics
    assert f"# TYPE bot_fills{'' if is_openmetrics else '_total'} counter" in text
    families = {each.name: each for each in (read_openmetrics if is_openmetrics else read_text)(text)}
    assert max(each.value for each in families["bot_fills"].samples) == 3.0
    assert "_created" not in text


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, deflate"])
async def test_a_compressed_answer_reads_the_same(encoding: str) -> None:
    headers = BEARER | {"Accept-Encoding": encoding}
    async with scraped() as (client, url), client.get(url, headers=headers) as answer:
        text = await answer.text()

    assert answer.headers["Content-Encoding"] in ("gzip", "deflate")
    assert FILLS + " 3.0" in text


async def test_only_what_is_named_is_given() -> None:
    async with (
        scraped() as (client, url),
        client.get(url, params={"name[]": "bot_fills_total"}, headers=BEARER) as answer,
    ):
        text = await answer.text()

    assert "bot_fills_total" in text
    assert "bot_orders" not in text
    assert "bot_ready" not in text


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_a_stranger_is_told_to_bring_a_token(headers: Mapping[str, str]) -> None:
    async with scraped() as (client, url), client.get(url, headers=headers, allow_redirects=False) as answer:
        text = await answer.text()

    assert answer.status == 401
    assert "bot_" not in text


# ----------------------------------------------------------------------------------------------------- a real daemon


def figures(text: str) -> dict[str, float]:
    """Every sample with its labels, such as `bot_ready` or `bot_fills_total{broker="ig",role="entry"}`."""
    return {
        line.rpartition(" ")[0]: float(line.rpartition(" ")[2])
        for line in text.splitlines()
        if line and not line.startswith("#")
    }


def fetch(url: str, token: str = "") -> str:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> object:
    """A daemon in dev mode with a port for metrics alone."""
    port = free_port()
    daemon = RunningDaemon(Path(tmp_path_factory.mktemp("metrics")) / "data", METRICS_PORT=str(port))
    try:
        until(lambda: figures(fetch(f"http://127.0.0.1:{port}/metrics"))["bot_ready"] == 1)  # gauges are refreshed
        yield daemon, f"http://127.0.0.1:{port}"
    finally:
        daemon.stop()


Watched = tuple[RunningDaemon, str]


def test_a_daemon_tells_what_it_decided_sent_and_holds(watched: Watched) -> None:
    daemon, _ = watched

    def scraped_now() -> dict[str, float]:
        return figures(fetch(f"{daemon.url}/metrics", daemon.token))

    until(lambda: scraped_now()[ORDERED] > 0)
    until(lambda: sum(value for name, value in scraped_now().items() if name.startswith("bot_fills_total{")) > 0)

    found = scraped_now()

    assert found["bot_ready"] == 1
    assert found["bot_database_up"] == 1
    assert time.time() - found["bot_heartbeat_timestamp_seconds"] < 30
    assert sum(value for name, value in found.items() if name.startswith("bot_equity{")) > 20_000
    assert found["bot_signal_to_order_seconds_count"] > 0
    assert found['bot_broker_requests_total{broker="ig",call="fills_since",outcome="ok"}'] > 0
    assert found['bot_job_runs_total{job_name="analysis"}'] > 0
    assert found["bot_unprotected_seconds_total"] == 0
    assert found['bot_kill_level{broker="oanda"}'] == 0
    assert found["bot_event_loop_lag_seconds_count"] > 0
    assert found['bot_reconcile_seconds_count{broker="oanda"}'] > 0
    assert sum(value for name, value in found.items() if name.startswith("bot_candle_delay_seconds_count{")) > 0


def test_counters_only_rise_and_no_probe_fails(watched: Watched) -> None:
    daemon, _ = watched
    first = figures(fetch(f"{daemon.url}/metrics", daemon.token))
    runs = 'bot_job_runs_total{job_name="analysis"}'
    until(lambda: figures(fetch(f"{daemon.url}/metrics", daemon.token))[runs] > first[runs])

    later = figures(fetch(f"{daemon.url}/metrics", daemon.token))

    assert not [name for name in first if re.search("_(total|bucket|count)", name) and later[name] < first[name]]
    assert not [name for name, value in later.items() if name.startswith("bot_sample_failures_total") and value]


def test_the_port_of_its_own_needs_no_token_and_has_nothing_else(watched: Watched) -> None:
    daemon, alone = watched

    assert "bot_ready 1.0" in fetch(f"{alone}/metrics")
    for path in ("/", "/health", "/api/status", "/login", "/metrics/"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            fetch(alone + path)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        fetch(f"{daemon.url}/metrics")


def test_a_running_daemon_is_ready_and_well_in_depth(watched: Watched) -> None:
    daemon, _ = watched

    assert daemon.api("/ready") == {"ready": True, "reason": ""}
    report = daemon.api("/health/deep")
    names = {each["name"].split(" ")[0] for each in report["checks"]}
    assert {
        "database",
        "migrations",
        "broker",
        "feed",
        "protection",
        "kill",
        "analyst",
        "alerts",
        "disk",
        "job",
    } <= names
    assert not [each for each in report["checks"] if each["status"] == "fail"]


def test_a_port_that_is_taken_is_told_with_the_way_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "bot.cli", "run", "--data", str(tmp_path / "data"), "--port", "0"],
            env={**os.environ, "PYTHONPATH": str(PROJECT), "METRICS_PORT": str(taken.getsockname()[1])},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    assert done.returncode == 3
    assert "METRICS_PORT" in done.stderr
    assert "cannot listen on 127.0.0.1" in done.stderr
