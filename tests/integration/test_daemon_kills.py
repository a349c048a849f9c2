"""Twenty real kills: a process with open positions dies at moments nobody chose, and its books stay true."""

import json
import random
import signal
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg

from bot.clock import SystemClock
from bot.database.embedded import EmbeddedPostgres
from tests.integration.daemons import Start, until

KILLS = 20
SEED = 20_261_121

# Each answers with the rows that break it.
BROKEN_CHAINS = """
    SELECT client_order_id, sequence FROM (
        SELECT client_order_id, sequence, from_state,
               coalesce(lag(to_state) OVER (PARTITION BY client_order_id ORDER BY sequence), '') AS before
        FROM order_events
    ) AS chain WHERE from_state <> before
"""
WRONG_STATES = """
    SELECT o.client_order_id FROM orders o
    JOIN LATERAL (SELECT to_state FROM order_events e WHERE e.client_order_id = o.client_order_id
                  ORDER BY sequence DESC LIMIT 1) AS newest ON true
    WHERE o.state <> newest.to_state
"""
ENTERED_TWICE = """
    SELECT signal_id FROM orders WHERE role = 'entry' GROUP BY signal_id HAVING count(*) > 1
"""
OVERFILLED = """
    SELECT o.client_order_id FROM orders o JOIN fills f USING (client_order_id)
    GROUP BY o.client_order_id, o.quantity HAVING sum(f.quantity) > o.quantity
"""
WRONG_QUANTITIES = """
    SELECT p.id FROM positions p JOIN orders o ON o.position_id = p.id LEFT JOIN fills f USING (client_order_id)
    GROUP BY p.id, p.first_quantity, p.closed_quantity, p.quantity
    HAVING coalesce(sum(f.quantity) FILTER (WHERE o.role = 'entry'), 0) <> p.first_quantity
        OR coalesce(sum(f.quantity) FILTER (WHERE o.role <> 'entry'), 0) <> p.closed_quantity
        OR p.first_quantity - p.closed_quantity <> p.quantity
"""
CHECKS = {
    "order events form a chain": BROKEN_CHAINS,
    "an order is where its newest event left it": WRONG_STATES,
    "a signal is entered once": ENTERED_TWICE,
    "no order is filled beyond its quantity": OVERFILLED,
    "positions are the sum of their fills": WRONG_QUANTITIES,
}


async def test_twenty_kills_lose_nothing_double_nothing_and_leave_no_position_without_a_stop(
    data: Path, start: Start
) -> None:
    chance = random.Random(SEED)
    kills_with_positions = 0
    for _ in range(KILLS):
        daemon = start()
        until(lambda: daemon.api("/health")["status"] == "ok")  # noqa: B023 called within this turn
        assert daemon.api("/health")["entries_blocked"] == []
        moment = time.monotonic() + chance.uniform(0.0, 1.5)
        until(lambda: time.monotonic() >= moment)  # noqa: B023 called within this turn
        kills_with_positions += daemon.api("/api/status")["open_positions"] > 0
        daemon.stop(signal.SIGKILL)
    survivor = start()
    until(lambda: survivor.api("/health")["status"] == "ok")
    assert survivor.stop() == 0

    assert kills_with_positions >= 3, "the kills met no open position: they proved little"
    assert await broken(data) == {}
    assert unprotected(data) == []


async def broken(data: Path) -> dict[str, list[Any]]:
    """Checks of the books that fail, with the rows that break them; and positions that the venues do not have."""
    server = EmbeddedPostgres(data / "postgres", sleep=SystemClock().sleep)
    dsn = await server.start()
    try:
        connection = await asyncpg.connect(dsn)
        try:
            found = {name: [tuple(row) for row in await connection.fetch(query)] for name, query in CHECKS.items()}
            ours = await connection.fetch("SELECT entry_order_id, quantity FROM positions WHERE quantity > 0")
        finally:
            await connection.close()
    finally:
        await server.stop()
    book = {row["entry_order_id"]: row["quantity"] for row in ours}
    venues = {each["entry"]: Decimal(each["quantity"]) for each in venue_positions(data)}
    found["the venues hold what we hold"] = [] if book == venues else [(book, venues)]
    return {name: rows for name, rows in found.items() if rows}


def unprotected(data: Path) -> list[str]:
    """Entries whose position rests at a venue without a stop."""
    return [each["entry"] for each in venue_positions(data) if not each["stop"]]


def venue_positions(data: Path) -> list[dict[str, Any]]:
    """What the simulated venues remember as open."""
    states = [json.loads(path.read_text()) for path in sorted((data / "dev").glob("venue-*.json"))]
    return [position for state in states for position in state["positions"]]
