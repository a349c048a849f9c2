"""Where a request comes from (S16)."""

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from bot.clock import ManualClock
from bot.config import DashboardSettings
from bot.dashboard.parts import PARTS
from bot.dashboard.visitor import address_of, comes_around_the_proxy, is_secure
from bot.database.memory import MemoryStores
from bot.layer5_monitoring.events import JournalEvents
from tests.fakes.dashboard_day import dashboard_parts

_OURS = "10.0.0.0/8, fdaa::/16"


def request(peer: str, proxies: str = _OURS, **headers: str) -> web.Request:
    app = web.Application()
    trusted = DashboardSettings(trusted_proxies=proxies).proxies
    app[PARTS] = dashboard_parts(MemoryStores(), JournalEvents(), ManualClock(), trusted_proxies=trusted)
    sent = {name.replace("_", "-"): text for name, text in headers.items()}
    return make_mocked_request("GET", "/", headers=sent, app=app).clone(remote=peer)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("10.1.1.1", "203.0.113.9", "203.0.113.9"),
        ("::ffff:10.1.1.1", "203.0.113.9", "203.0.113.9"),
        ("fdaa:0:1::3", "2001:db8::7", "2001:db8::7"),
        ("10.1.1.1", "6.6.6.6, 203.0.113.9, 10.2.2.2", "203.0.113.9"),
        ("10.1.1.1", "6.6.6.6, rubbish", "10.1.1.1"),
        ("10.1.1.1", "", "10.1.1.1"),
        ("203.0.113.9", "6.6.6.6", "203.0.113.9"),
        ("::ffff:203.0.113.9", "6.6.6.6", "203.0.113.9"),
        ("127.0.0.1", "6.6.6.6", "127.0.0.1"),
    ],
)
def test_only_what_our_proxies_wrote_is_believed(peer: str, forwarded: str, expected: str) -> None:
    assert address_of(request(peer, X_Forwarded_For=forwarded)) == expected


def test_without_proxies_nothing_is_believed() -> None:
    assert address_of(request("10.1.1.1", "", X_Forwarded_For="6.6.6.6")) == "10.1.1.1"
    assert not is_secure(request("10.1.1.1", "", X_Forwarded_Proto="https"))


def test_a_connection_is_secure_if_our_proxy_says_so_last() -> None:
    assert is_secure(request("10.1.1.1", X_Forwarded_Proto="http, https"))
    assert not is_secure(request("10.1.1.1", X_Forwarded_Proto="https, http"))
    assert not is_secure(request("203.0.113.9", X_Forwarded_Proto="https"))


@pytest.mark.parametrize(
    ("peer", "proxies", "expected"),
    [
        ("203.0.113.9", _OURS, True),
        ("10.1.1.1", _OURS, False),
        ("::ffff:10.1.1.1", _OURS, False),
        ("127.0.0.1", _OURS, False),
        ("::ffff:127.0.0.1", _OURS, False),
        ("203.0.113.9", "", False),
    ],
)
def test_who_comes_around_the_proxy_is_known(peer: str, proxies: str, expected: bool) -> None:
    assert comes_around_the_proxy(request(peer, proxies)) is expected
