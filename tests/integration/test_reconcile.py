"""`botctl reconcile` against a real daemon, one of whose venues was traded at by somebody else while it was down."""

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

from bot.clock import ManualClock
from bot.instruments import IG, Currency, Symbol, default_registry
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer1_data.brokers.simulated.state import FileVenueState
from bot.models import ClientOrderId
from tests.builders import START, approved_order, plan
from tests.integration.daemons import PROJECT, Start, until

SPY = Symbol("SPY")


def reconcile(data: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", "-m", "bot.cli", "reconcile", "--data", str(data), *words],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "COLUMNS": "200"},
        cwd=data.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ids(data: Path) -> list[str]:
    told = json.loads(reconcile(data, "--json").stdout)
    return [row["id"] for each in told for row in each["differences"] if not row["ignored_by"]]


async def bought_by_hand(data: Path, *names: str) -> None:
    """Somebody buys in the venue's own app, with a stop far away."""
    venue = SimulatedBroker(
        broker_id=IG,
        instruments=default_registry().of_broker(IG),
        clock=ManualClock(START),
        currency=Currency("USD"),
        balance=Decimal(10_000),
        state=FileVenueState(data / "dev" / "venue-ig.json"),
    )
    venue.observe(SPY, bid=Decimal("267.00"), ask=Decimal("267.10"), at=START, gap=True)
    for name in names:
        order = approved_order(
            client_order_id=ClientOrderId(name),
            stop_order_id=ClientOrderId(f"{name}-stop"),
            broker_id=IG,
            symbol=SPY,
            quantity=Decimal(2),
            decided_price=Decimal(267),
            plan=plan(stop=Decimal(20)),
        )
        await venue.place(order)


def test_without_a_daemon_the_command_says_so_and_how_to_start_one(data: Path) -> None:
    done = reconcile(data)
    assert done.returncode == 1
    assert "no daemon runs here" in done.stderr
    assert "./botctl run" in done.stderr


async def test_foreign_positions_are_adopted_flattened_or_ignored_by_id_and_a_kill_forgets_no_answer(
    data: Path, start: Start
) -> None:
    first = start()
    until(lambda: first.api("/health")["status"] == "ok")
    first.stop()
    await bought_by_hand(data, "foreign:1", "foreign:2", "foreign:3")

    daemon = start()
    until(lambda: bool(daemon.api("/api/differences")["brokers"][2]["differences"]))
    to_adopt, to_flatten, to_ignore = ids(data)
    assert reconcile(data).returncode == 4
    adopted = reconcile(data, "--adopt", to_adopt)
    assert "adopt done: adopted with a stop at 20" in adopted.stdout, adopted.stderr
    assert (adopted.stdout.count(to_adopt), adopted.returncode) == (1, 4), "it is not in the comparison that is shown"
    assert "flatten done: closed" in reconcile(data, "--flatten", to_flatten).stdout
    last = reconcile(data, "--ignore", to_ignore)
    assert ("ignore done" in last.stdout, "ignored by" in last.stdout, last.returncode) == (True, True, 0)

    daemon.stop(signal.SIGKILL)
    again = start()
    until(lambda: again.api("/health")["status"] == "ok")
    assert reconcile(data).returncode == 0
    assert "ignored by" in reconcile(data).stdout
    (ig,) = json.loads(reconcile(data, "--broker", "ig", "--json").stdout)
    assert ig["classes"]["positions"] >= 1  # the adopted one, and what the bot has bought meanwhile
    assert ig["classes"]["balances"] is None
    assert "balances not compared" in reconcile(data, "--broker", "ig").stdout
    assert [each["strategy"] for each in again.api("/api/positions")["open"]].count("adopted") == 1


def test_wrong_calls_are_refused_before_anything_is_stored(data: Path, start: Start) -> None:
    daemon = start()
    until(lambda: daemon.api("/health")["status"] == "ok")
    assert reconcile(data, "--broker", "nobody").returncode == 2
    assert "no difference 'zzzzzz'" in reconcile(data, "--ignore", "zzzzzz").stderr
    assert "--fix asks on a terminal" in reconcile(data, "--fix").stderr
    assert "one answer at a time" in reconcile(data, "--ignore", "a", "--adopt", "b").stderr
