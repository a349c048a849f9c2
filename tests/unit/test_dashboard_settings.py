"""Settings of the page: what refuses to start (S1, S16), each by name, value, bound and next step."""

import pytest

from bot.config import load_settings
from bot.errors import ConfigError

_PASSWORD = "correct horse battery"
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - refused


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"HTTP_HOST": _EVERYWHERE}, "TRUSTED_PROXIES"),
        ({"HTTP_HOST": "::"}, "TRUSTED_PROXIES"),
        ({"HTTP_HOST": "192.0.2.7"}, "TRUSTED_PROXIES"),
        ({"HTTP_HOST": "page.example"}, "TRUSTED_PROXIES"),
        ({"TRUSTED_PROXIES": "0.0.0.0/0"}, "every address there is"),
        ({"TRUSTED_PROXIES": "10.0.0.0/8, proxy"}, "'proxy' is no address"),
        ({"DASHBOARD_PASSWORD": "short"}, "at least 8"),
        ({"DASHBOARD_KEY": "short"}, "openssl rand -hex 32"),
        ({"DASHBOARD_USER_1_NAME": "bob"}, "a name, and either a password or its hash"),
        ({"DASHBOARD_USER_1_PASSWORD": _PASSWORD}, "a name, and either"),
        (
            {
                "DASHBOARD_USER_1_NAME": "b",
                "DASHBOARD_USER_1_PASSWORD": _PASSWORD,
                "DASHBOARD_USER_1_HASH": "$argon2id",
            },
            "a name, and either",
        ),
        ({"DASHBOARD_USER_1_ROLE": "root"}, "viewer"),
        ({"MODE": "live"}, "live"),
    ],
    ids=str,
)
def test_a_page_that_would_be_open_to_others_is_not_started(environment: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        load_settings(environment, None)
    assert _PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HTTP_HOST": "localhost"},
        {"HTTP_HOST": "::1"},
        {"HTTP_HOST": "127.0.0.2"},
        {"HTTP_HOST": _EVERYWHERE, "TRUSTED_PROXIES": "10.1.2.3, fdaa::/16"},
        {"DASHBOARD_USER_1_NAME": "bob", "DASHBOARD_USER_1_PASSWORD": _PASSWORD, "DASHBOARD_USER_1_ROLE": "operator"},
    ],
    ids=str,
)
def test_a_page_of_this_machine_or_behind_a_proxy_is_started(environment: dict[str, str]) -> None:
    load_settings(environment, None)


def test_users_of_the_settings_are_read_with_the_setting_that_names_them() -> None:
    environment = {
        "DASHBOARD_USER_1_NAME": "bob",
        "DASHBOARD_USER_1_PASSWORD": _PASSWORD,
        "DASHBOARD_USER_3_NAME": "eve",
        "DASHBOARD_USER_3_HASH": "$argon2id$x",
        "DASHBOARD_USER_3_ROLE": "admin",
    }
    found = load_settings(environment, None).settings.dashboard.further_users

    assert [(each.setting, each.name, each.role) for each in found] == [
        ("DASHBOARD_USER_1", "bob", "viewer"),
        ("DASHBOARD_USER_3", "eve", "admin"),
    ]
    assert _PASSWORD not in repr(found)
