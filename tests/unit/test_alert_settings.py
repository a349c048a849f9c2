"""Settings of alerts: what cannot be meant is refused, and no secret is shown."""

from datetime import time

import pytest

from bot.config import load_settings, secret_values
from bot.errors import ConfigError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TELEGRAM_OPERATORS", "ada"),
        ("TELEGRAM_OPERATORS", "42, -7"),
        ("TELEGRAM_VIEWERS", "0"),
        ("TELEGRAM_GROUP", "100"),
        ("TELEGRAM_URL", "http://10.0.0.1:80"),
        ("TELEGRAM_TOKEN", "123:abc/def"),
        ("SMS_TO", "0411111111"),
        ("CLICKSEND_URL", "https://rest.example.org"),
        ("QUIET_HOURS", "22-7"),
        ("QUIET_HOURS", "25:00-07:00"),
        ("ALERT_ZONE", "Mars/Olympus"),
        ("HEARTBEAT_URL", "http://example.org/ping"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings({name: value}, None)


def test_who_is_an_operator_is_no_viewer_as_well() -> None:
    alerts = load_settings({"TELEGRAM_OPERATORS": "42, 43", "TELEGRAM_VIEWERS": "43,44"}, None).settings.alerts
    assert (alerts.operator_ids, alerts.viewer_ids) == (frozenset({42, 43}), frozenset({44}))


def test_quiet_hours_are_read_with_minutes() -> None:
    alerts = load_settings({"QUIET_HOURS": "22:30-07:15"}, None).settings.alerts
    assert alerts.quiet == (time(22, 30), time(7, 15))


def test_tokens_keys_and_the_address_of_the_heartbeat_are_secrets() -> None:
    given = {
        "TELEGRAM_TOKEN": "123456:canarytoken",
        "CLICKSEND_API_KEY": "canarykey",
        "HEARTBEAT_URL": "https://hc.example.org/canaryping",
    }
    loaded = load_settings(given, None)
    assert set(given.values()) <= set(secret_values(loaded.settings))
    assert "canary" not in repr(loaded.settings)
