"""Hostile addresses and forms on every route: an answer that says nothing of what happened inside (S14, S17)."""

from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest
from yarl import URL

from bot.dashboard.pages import PAGES
from bot.dashboard.routes import DECLARED, Route
from bot.dashboard.sessions import SESSIONS, csrf_token_of
from tests.fakes.dashboard_day import USER, fill_day
from tests.integration.test_dashboard import Daemon, served

_TEXTS = (
    "",
    "\x00",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    "'; DROP TABLE users; --",
    "<script>alert(1)</script>",
    "9" * 400,
    "-1",
    "NaN",
    "1e999",
    "٣",
    "../../etc/passwd",
    "%00%ff",
    "2025-99-99T99:99:99Z",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "\u202eabc",
    "x" * 3_000,
)
_NAMES = (
    "id",
    "before",
    "before_at",
    "before_id",
    "older_than",
    "limit",
    "last",
    "since",
    "until",
    "from",
    "to",
    "level",
)
_MORE = (
    "symbol",
    "broker",
    "strategy",
    "result",
    "state",
    "role",
    "rule",
    "verdict",
    "timeframe",
    "period",
    "q",
    "text",
)
_INSIDE = ("Traceback", "asyncpg", "SELECT ", 'File "', "bot/dashboard")


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with served() as running:
        await fill_day(running.stores)
        yield running


async def _headers(daemon: Daemon) -> dict[str, str]:
    token = await daemon.app[SESSIONS].open(USER, proven=True)
    return {
        "Cookie": f"bot-session-{daemon.url.port}={token}",
        "Origin": str(daemon.url.origin()),
        "X-CSRF-Token": csrf_token_of(token),
    }


def _routes(daemon: Daemon, method: str) -> list[Route]:
    return [each for each in daemon.app[DECLARED].values() if each.method == method and not each.streams]


def _names(daemon: Daemon, path: str) -> set[str]:
    own = {name for page in daemon.app[PAGES].values() if page.path == path for name in page.query}
    return own or {*_NAMES, *_MORE}


@pytest.mark.parametrize("text", _TEXTS, ids=range(len(_TEXTS)))
async def test_no_address_breaks_a_page(daemon: Daemon, text: str) -> None:
    headers, wrong = await _headers(daemon), []
    for route in _routes(daemon, "GET"):
        path = route.path.replace("{id}", quote(text, safe="") or "x").replace("{what}", "x")
        for query in [f"{name}={quote(text, safe='')}" for name in sorted(_names(daemon, route.path))]:
            url = URL(f"{daemon.url.origin()}{path}?{query}", encoded=True)
            async with daemon.client.get(url, headers=headers, allow_redirects=False) as answer:
                said = await answer.text()
                told = [each for each in _INSIDE if each in said]
                raw = answer.content_type == "text/html" and text.startswith("<script") and text in said
                if (answer.status >= 500 and path not in ("/ready", "/health/deep")) or told or raw:
                    wrong.append((str(url)[:120], answer.status, told))

    assert wrong == []


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="csrf"\r\n\r\n'),
        ("multipart/form-data", b"--x"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--"),
        ("application/x-www-form-urlencoded; charset=nonsense", b"level=halt"),
        ("application/x-www-form-urlencoded; charset=utf-16", b"\xff\xfe\x00"),
        ("application/x-www-form-urlencoded", b"level=%ed%a0%80&id=%00&name=%ff&reason=%00%1b"),
        ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % each for each in range(5_000))),
        ("application/json", b"[" * 20_000),
        ("application/json", b'{"reason": "\\ud800"}'),
        ("text/plain", b"level=halt"),
    ],
    ids=range(10),
)
async def test_no_form_breaks_an_act(daemon: Daemon, kind: str, body: bytes) -> None:
    wrong = []
    for route in _routes(daemon, "POST"):
        headers = {**await _headers(daemon), "Content-Type": kind}
        path = route.path.replace("{id}", "x").replace("{act}", "add")
        async with daemon.client.post(
            f"{daemon.url.origin()}{path}", data=body, headers=headers, allow_redirects=False
        ) as answer:
            said = await answer.text()
            if answer.status >= 500 or any(each in said for each in _INSIDE):
                wrong.append((path, answer.status))

    assert wrong == []


async def test_a_position_without_a_stop_is_told_at_the_top_of_every_page() -> None:
    """The table beside it shows the stop that was decided, whether it rests or not."""
    gaps = {"now": 0.4, "worst": 9.0}
    health = {"mode": "dev", "status": "ok", "unprotected_s": gaps}
    async with served(health=lambda: health) as daemon:
        await daemon.enter()
        before = (await daemon.get("/"))[1]  # the moment between a fill and its stop is nothing to be told
        gaps["now"] = 12.4
        pages = [(await daemon.get(path))[1] for path in ("/", "/positions", "/log")]

    assert "No stop" not in before
    assert all("No stop for 12 s" in page for page in pages)
