"""Where requests go: one host for each environment, and none but this machine for a fake."""

from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable
from bot.layer1_data.brokers.binance.to_binance import ORDER
from bot.layer1_data.brokers.binance.wire import TIME, Access, Wire
from bot.layer1_data.brokers.limiter import Priority

Environment = Literal["demo", "testnet", "live"]
HOSTS: list[tuple[Environment, str]] = [
    ("demo", "https://demo-api.binance.com/api/v3"),
    ("testnet", "https://testnet.binance.vision/api/v3"),
    ("live", "https://api.binance.com/api/v3"),
]


def wire_of(access: Access) -> Wire:
    return Wire(access, ManualClock(datetime(2026, 1, 1, tzinfo=UTC)), timeout_s=1, receive_window_s=5, patience_s=1)


@pytest.mark.parametrize(("environment", "host"), HOSTS)
async def test_each_environment_has_its_host(environment: Environment, host: str) -> None:
    wire = wire_of(Access(environment=environment, key="k", secret="s"))
    urls: dict[str, Any] = wire._opened().urls["api"]
    await wire.close()

    assert (urls["public"], urls["private"]) == (host, host)


@pytest.mark.parametrize("environment", [each for each, _ in HOSTS])
async def test_a_fake_is_asked_instead_for_everything_that_is_sent(environment: Environment) -> None:
    wire = wire_of(Access(environment=environment, key="k", secret="s", url="http://127.0.0.1:9"))
    urls: dict[str, Any] = wire._opened().urls["api"]
    await wire.close()

    assert (urls["public"], urls["private"], urls["sapi"]) == (
        "http://127.0.0.1:9/api/v3",
        "http://127.0.0.1:9/api/v3",
        "http://127.0.0.1:9/sapi/v1",
    )


async def test_a_closed_wire_sends_nothing() -> None:
    wire = wire_of(Access(environment="testnet"))
    await wire.close()

    with pytest.raises(BrokerUnavailable, match="closed"):
        await wire.send(TIME, {}, priority=Priority.READ)


async def test_what_must_be_signed_is_not_sent_without_a_key_and_the_setting_is_named() -> None:
    wire = wire_of(Access(environment="testnet", key="k"))

    with pytest.raises(BrokerUnavailable, match="BINANCE_API_SECRET"):
        await wire.send(ORDER, {}, priority=Priority.ORDER)
    await wire.close()
