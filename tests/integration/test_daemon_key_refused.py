"""O5 on a real daemon: a venue takes our key away and gives it back, and a person sees it everywhere."""

import asyncio
from pathlib import Path

from bot.clock import SystemClock
from tests.fakes.street import Street
from tests.integration.daemons import RunningDaemon, until


async def test_a_refused_key_is_seen_in_health_and_alerts_while_it_lasts_and_other_venues_go_on(tmp_path: Path) -> None:
    street = await Street(SystemClock()).open()
    settings = {"MODE": "paper", "BROKERS": "binance,oanda", "MONITOR_INTERVAL_S": "1", "ANALYSIS_INTERVAL_S": "1"}
    daemon = await asyncio.to_thread(RunningDaemon, tmp_path / "data", **settings, **street.settings)
    try:
        await asyncio.to_thread(until, lambda: daemon.api("/health")["last_analysis"] is not None)
        assert daemon_blocked(await asyncio.to_thread(daemon.api, "/health")) == []

        street.binance.key_is_revoked = True
        await asyncio.to_thread(until, lambda: told(daemon) == [("key binance", True)])
        health = await asyncio.to_thread(daemon.api, "/health")
        street.binance.key_is_revoked = False
        await asyncio.to_thread(
            until, lambda: told(daemon) == [("key binance", False), ("key accepted binance", False)]
        )
        after = await asyncio.to_thread(daemon.api, "/health")
    finally:
        ended = await asyncio.to_thread(daemon.stop)
        await street.close()

    assert ended == 0
    assert daemon_blocked(health) == ["binance refuses our key"]
    assert (health["keys_refused"], after["keys_refused"]) == (["binance"], [])
    assert daemon_blocked(after) == []


def daemon_blocked(health: dict[str, list[str]]) -> list[str]:
    """What blocks entries, up to the first colon."""
    return [each.partition(":")[0] for each in health["entries_blocked"]]


def told(daemon: RunningDaemon) -> list[tuple[str, bool]]:
    """Alerts about keys, oldest first: which, and whether it still holds."""
    rows = daemon.api("/api/alerts")["rows"]
    found = sorted((each for each in rows if each["key"].startswith("key ")), key=lambda each: each["raised_at"])
    return [(each["key"], each["lasts"] and each["resolved_at"] is None) for each in found]
