"""The dashboard over HTTP: who gets in, what is shown, and that hostile text stays text."""

import asyncio
import hashlib
import json
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import argon2
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

import bot.dashboard
from bot.analyst_calls import Usage
from bot.clock import ManualClock
from bot.dashboard.app import create_app, serve
from bot.dashboard.forms import local_path
from bot.dashboard.live import TICK_S, LivePage
from bot.dashboard.pages import Section
from bot.dashboard.routes import DECLARED
from bot.dashboard.sessions import ABSOLUTE_S, IDLE_S, OneTimeLogin
from bot.dashboard.views.curve import equity_curve
from bot.dashboard.views.rows import PositionRow
from bot.dashboard.views.text import duration, in_r, money, price_writer, signed
from bot.database.memory import MemoryStores
from bot.errors import DatabaseUnavailable
from bot.instruments import BrokerId, Symbol, default_registry
from bot.layer5_monitoring.events import JournalEvents
from bot.models import (
    DaemonStatus,
    Finding,
    FindingStatus,
    JobHealth,
    JournalEntry,
    KillCause,
    KillLevel,
    KillState,
    OrderState,
    Position,
    SignalId,
    TaskId,
)
from bot.opinions import LadderRung, LadderStep, OpinionEffect, OpinionRecord
from tests.fakes.dashboard_day import (
    API_TOKEN,
    NOW,
    PASSWORD,
    PASSWORD_HASH,
    USER,
    dashboard_parts,
    entry_signal,
    fill_day,
    findings,
    open_position,
    signal_record,
    status_of,
    store,
)

_DEADLINE_S = 10.0
_STATIC = Path(bot.dashboard.__file__).parent / "static"
_HOSTILE = '<script>alert(1)</script>"\'><img src=x onerror=alert(2)>{{7*7}}<hx-partial hx-target="#main">'


@dataclass
class Daemon:
    """A served dashboard and a browser-like client."""

    app: web.Application
    url: URL
    client: aiohttp.ClientSession
    stores: MemoryStores
    events: JournalEvents
    clock: ManualClock
    one_time_login: OneTimeLogin

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        async with self.client.get(self.url.join(URL(path)), allow_redirects=False, **options) as answer:
            return answer.status, await answer.text()

    async def send_login(self, user: str = USER, password: str = PASSWORD, **fields: str) -> aiohttp.ClientResponse:
        _, form = await self.get("/login")
        data = {"csrf": token_in(form), "user": user, "password": password, **fields}
        return await self.post("/login", data)

    async def post(
        self, path: str, data: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        origin = {"Origin": str(self.url.origin())} if headers is None else headers
        return await self.client.post(self.url.join(URL(path)), data=data, headers=origin, allow_redirects=False)

    async def enter(self) -> None:
        status, _ = await self.get(f"/login?token={self.one_time_login.issue()}")
        assert status == 303


@asynccontextmanager
async def served(stores: MemoryStores | None = None, **changes: Any) -> AsyncIterator[Daemon]:
    stores, events, clock = stores or MemoryStores(), JournalEvents(), ManualClock()
    parts = dashboard_parts(stores, events, clock, **changes)
    assert parts.one_time_login is not None
    app = create_app(parts)
    listening = socket.create_server(("127.0.0.1", 0))
    url = URL(f"http://127.0.0.1:{listening.getsockname()[1]}/")
    runner = await serve(app, listening)
    try:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as client:
            yield Daemon(app, url, client, stores, events, clock, parts.one_time_login)
    finally:
        await runner.cleanup()


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with served() as running:
        yield running


def token_in(page: str) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def routes_of(app: web.Application) -> list[tuple[str, str]]:
    return [(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None]


# ------------------------------------------------------------------------------------------------------ who gets in


async def test_every_route_but_the_public_ones_refuses_a_stranger(daemon: Daemon) -> None:
    refused = []
    public = {path for (_, path), route in daemon.app[DECLARED].items() if route.needs is None}
    for method, path in routes_of(daemon.app):
        if path in public | {"/static"}:
            continue
        async with daemon.client.request(
            method, daemon.url.join(URL(path)), allow_redirects=False, headers={"Origin": str(daemon.url.origin())}
        ) as answer:
            to_login = answer.status == 303 and answer.headers["Location"].startswith("/login")
            assert to_login or answer.status == 401, f"{method} {path} answered {answer.status}"
        refused.append((method, path))

    assert len(refused) >= 15
    assert len(public) <= 3


async def test_an_unknown_address_tells_a_stranger_nothing_about_what_exists(daemon: Daemon) -> None:
    assert (await daemon.get("/no-such-page"))[0] == 303
    assert (await daemon.get("/api/no-such-list"))[0] == 401


async def test_the_api_token_opens_json_and_nothing_else(daemon: Daemon) -> None:
    bearer = {"Authorization": f"Bearer {API_TOKEN}"}

    assert (await daemon.get("/api/status", headers=bearer))[0] == 200
    assert (await daemon.get("/metrics", headers=bearer))[0] == 200
    assert (await daemon.get("/health/deep", headers=bearer))[0] == 503, "a check of that day fails"
    assert (await daemon.get("/", headers=bearer))[0] == 403
    assert (await daemon.get("/events", headers=bearer))[0] == 403
    assert (await daemon.get("/api/status", headers={"Authorization": f"Bearer {API_TOKEN}x"}))[0] == 401
    assert (await daemon.get("/api/status", headers={"Authorization": f"Basic {API_TOKEN}"}))[0] == 401


async def test_an_empty_api_token_accepts_no_token_at_all() -> None:
    async with served(api_token="") as daemon:
        for given_token in ("", " ", "x"):
            assert (await daemon.get("/api/status", headers={"Authorization": f"Bearer {given_token}"}))[0] == 401


async def test_the_right_password_opens_the_page_that_was_asked_for(daemon: Daemon) -> None:
    answer = await daemon.send_login(next="/signal?id=a%2Fb")

    assert (answer.status, answer.headers["Location"]) == (303, "/signal?id=a%2Fb")
    assert (await daemon.get("/"))[0] == 200


async def test_the_session_cookie_is_out_of_reach_for_scripts_and_other_sites(daemon: Daemon) -> None:
    answer = await daemon.send_login()

    cookies = {name: value for name, value in answer.cookies.items() if "session" in name}
    (cookie,) = cookies.values()
    assert cookie["httponly"]
    assert cookie["samesite"] == "Strict"
    assert len(cookie.value) >= 22  # 128 bits in base 64


async def test_a_login_never_goes_on_with_a_session_that_was_there_before(daemon: Daemon) -> None:
    await daemon.send_login()
    before = {each.key: each.value for each in daemon.client.cookie_jar}

    answer = await daemon.get(f"/login?token={daemon.one_time_login.issue()}")
    after = {each.key: each.value for each in daemon.client.cookie_jar}

    assert answer[0] == 303
    (name,) = (each for each in before if "session" in each)
    assert before[name] != after[name]
    old = {"Cookie": f"{name}={before[name]}"}
    async with (
        aiohttp.ClientSession() as stranger,
        stranger.get(daemon.url, headers=old, allow_redirects=False) as refused,
    ):
        assert refused.status == 303


async def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(daemon: Daemon) -> None:
    wrong_password = await daemon.send_login(password="wrong")
    unknown_name = await daemon.send_login(user="nobody")

    assert wrong_password.status == unknown_name.status == 401
    hidden = re.compile(r'name="csrf" value="[^"]+"')
    assert hidden.sub("", await wrong_password.text()) == hidden.sub("", await unknown_name.text())


async def test_guessing_gets_slower_with_each_failure_but_the_owner_is_not_shut_out(daemon: Daemon) -> None:
    for _ in range(3):
        assert (await daemon.send_login(password="wrong")).status == 401

    too_early = await daemon.send_login()
    daemon.clock.advance(2)
    assert (await daemon.send_login(password="wrong")).status == 401
    daemon.clock.advance(2)
    still_too_early = await daemon.send_login()
    daemon.clock.advance(2)
    accepted = await daemon.send_login()

    assert (too_early.status, too_early.headers["Retry-After"]) == (429, "2")
    assert (still_too_early.status, still_too_early.headers["Retry-After"]) == (429, "2")
    assert accepted.status == 303


async def test_the_longest_delay_is_a_minute_and_tries_during_it_do_not_lengthen_it(daemon: Daemon) -> None:
    for _ in range(12):
        daemon.clock.advance(61)
        assert (await daemon.send_login(password="wrong")).status == 401

    for _ in range(5):
        assert (await daemon.send_login()).status == 429
    daemon.clock.advance(60)
    assert (await daemon.send_login()).status == 303


async def test_a_session_ends_after_half_an_hour_without_use(daemon: Daemon) -> None:
    await daemon.enter()

    daemon.clock.advance(IDLE_S - 1)
    assert (await daemon.get("/api/orders"))[0] == 200
    daemon.clock.advance(IDLE_S - 1)
    assert (await daemon.get("/api/orders"))[0] == 200
    daemon.clock.advance(IDLE_S)
    assert (await daemon.get("/api/orders"))[0] == 401


async def test_a_session_ends_after_twelve_hours_however_much_it_is_used(daemon: Daemon) -> None:
    await daemon.enter()
    statuses = []

    for _ in range(int(ABSOLUTE_S // (IDLE_S / 2))):
        daemon.clock.advance(IDLE_S / 2)
        statuses.append((await daemon.get("/api/orders"))[0])

    assert set(statuses[:-1]) == {200}
    assert statuses[-1] == 401


async def test_logging_out_ends_the_session_on_the_server(daemon: Daemon) -> None:
    await daemon.enter()
    cookies = {each.key: each.value for each in daemon.client.cookie_jar}
    _, page = await daemon.get("/")

    answer = await daemon.post("/logout", {"csrf": token_in(page)})

    assert answer.status == 303
    daemon.client.cookie_jar.update_cookies(cookies, daemon.url)
    assert (await daemon.get("/"))[0] == 303


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[broken"},
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
async def test_a_change_from_another_site_is_forbidden(daemon: Daemon, headers: Mapping[str, str]) -> None:
    await daemon.enter()
    _, page = await daemon.get("/")

    assert (await daemon.post("/logout", {"csrf": token_in(page)}, headers)).status == 403
    assert (await daemon.get("/"))[0] == 200


async def test_a_form_without_its_token_is_forbidden(daemon: Daemon) -> None:
    await daemon.enter()

    assert (await daemon.post("/logout", {"csrf": "guessed"})).status == 403
    assert (await daemon.post("/logout", {})).status == 403
    daemon.client.cookie_jar.clear()
    assert (await daemon.post("/login", {"csrf": "", "user": USER, "password": PASSWORD})).status == 403


async def test_the_printed_link_works_once_and_leaves_the_address_bar(daemon: Daemon) -> None:
    token = daemon.one_time_login.issue()

    async with daemon.client.get(daemon.url / "login" % {"token": token}, allow_redirects=False) as first:
        assert (first.status, first.headers["Location"]) == (303, "/")
    daemon.client.cookie_jar.clear()
    status, page = await daemon.get(f"/login?token={token}")

    assert status == 401
    assert "has been used" in page
    assert token not in page


async def test_the_printed_link_is_no_longer_good_after_a_quarter_of_an_hour(daemon: Daemon) -> None:
    token = daemon.one_time_login.issue()
    daemon.clock.advance(15 * 60)

    assert (await daemon.get(f"/login?token={token}"))[0] == 401


async def test_asking_only_for_the_head_of_the_link_does_not_use_it_up(daemon: Daemon) -> None:
    token = daemon.one_time_login.issue()

    async with daemon.client.head(daemon.url / "login" % {"token": token}) as head:
        assert head.status == 200

    assert (await daemon.get(f"/login?token={token}"))[0] == 303


@pytest.mark.parametrize(
    "text",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "/%2f/evil", "javascript:x", "", "/login", "/\n"],
)
def test_nobody_is_sent_to_another_site_after_the_login(text: str) -> None:
    assert local_path(text) in ("/", "/%2f/evil")
    assert local_path("/signal?id=a") == "/signal?id=a"


def test_a_password_is_kept_as_argon2id_above_the_minimum() -> None:
    parameters = argon2.extract_parameters(PASSWORD_HASH)

    assert parameters.type is argon2.Type.ID
    assert parameters.time_cost >= 2
    assert parameters.memory_cost >= 19 * 1024


# ---------------------------------------------------------------------------------------------------------- headers


async def test_every_answer_carries_the_security_headers_errors_too(daemon: Daemon) -> None:
    await daemon.enter()
    paths = [path for method, path in routes_of(daemon.app) if method == "GET" and path != "/static"]
    for path in (*paths, "/static/page.js", "/static/nothing", "/no-such-page", "/api/no-such", "/signal?id=none"):
        async with daemon.client.get(daemon.url.join(URL(path)), allow_redirects=False) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy, path
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "same-origin"
            assert "aiohttp" not in answer.headers["Server"]
            expected = "no-cache" if path == "/static/page.js" else "no-store"
            assert answer.headers["Cache-Control"] == expected, path


async def test_no_page_has_script_or_style_in_it(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    await daemon.enter()
    signal = entry_signal("SOL/USDT", 9)
    for path in ("/", str(URL("/signal").with_query(id=signal.id)), "/login", "/nothing"):
        _, page = await daemon.get(path)
        inline = r"<style|\sstyle=|\son[a-z]+=|javascript:|<script(?![^>]*\s(src=|type=.application/json.))"
        assert not re.search(inline, page), path


async def test_trace_and_unknown_methods_are_refused(daemon: Daemon) -> None:
    await daemon.enter()
    for method in ("TRACE", "PUT", "DELETE", "PATCH"):
        async with daemon.client.request(
            method, daemon.url, headers={"Origin": str(daemon.url.origin())}, allow_redirects=False
        ) as answer:
            assert answer.status == 405


async def test_an_error_says_nothing_of_what_happened_inside() -> None:
    async def broken() -> DaemonStatus:
        raise RuntimeError("secret-of-the-database at postgresql://user:password@host")

    async with served(status=broken) as daemon:
        await daemon.enter()
        page_status, page = await daemon.get("/")
        api_status, answer = await daemon.get("/api/status")

    assert page_status == api_status == 500
    assert "secret" not in page + answer
    assert "Traceback" not in page + answer
    assert json.loads(answer)["title"] == "Internal Server Error"


async def test_a_database_that_does_not_answer_is_told_as_such() -> None:
    async def silent() -> DaemonStatus:
        raise DatabaseUnavailable("connection refused by 10.0.0.7")

    async with served(status=silent) as daemon:
        await daemon.enter()
        status, page = await daemon.get("/")

    assert status == 503
    assert "The database does not answer" in page
    assert "10.0.0.7" not in page


async def test_errors_of_the_api_are_problem_json(daemon: Daemon) -> None:
    await daemon.enter()
    for path, status in (("/api/orders?limit=0", 400), ("/api/orders?limit=x", 400), ("/api/nothing", 404)):
        async with daemon.client.get(daemon.url.join(URL(path))) as answer:
            assert (answer.status, answer.content_type) == (status, "application/problem+json")
            assert json.loads(await answer.text())["status"] == status


def test_the_vendored_files_are_what_their_readme_says() -> None:
    readme = (_STATIC / "vendor" / "README.md").read_text()
    listed = dict(re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", readme, re.MULTILINE))
    found = {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in (_STATIC / "vendor").iterdir()
        if each.name != "README.md"
    }

    assert found == listed


# -------------------------------------------------------------------------------------------------- what is shown


async def test_the_first_page_shows_the_day_without_scripts(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    await daemon.enter()

    _, page = await daemon.get("/")

    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for expected in (
        "DEV The market is simulated",
        "Healthy",
        "30,286.42",
        "64,790.00",  # the mark of the open position
        "+89.43",
        "+0.90 R",
        "entry sent, not filled yet",
        "rule 7 trend strength: 17.2, needs &gt;= 20 (fail)",
        "refused by risk",
        "waits as setup",
        "19 h",  # until a setup expires
    ):
        assert expected in text, expected
    assert '<polyline class="line" points="0.0,' in page


async def test_an_empty_page_says_why_and_what_comes_next(daemon: Daemon) -> None:
    await daemon.enter()

    _, page = await daemon.get("/")

    for expected in (
        "Nothing is open.",
        "No curve yet.",
        "No signal yet.",
        "runs every 5 min",
        "No setup is waiting.",
    ):
        assert expected in page, expected


async def test_the_signal_page_says_which_rule_failed_first_and_what_it_measured(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    await daemon.enter()
    signal = entry_signal("SOL/USDT", 9)

    status, page = await daemon.get(str(URL("/signal").with_query(id=signal.id)))

    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    assert status == 200
    assert "Failed first: rule 7, trend strength: measured 17.2, needs &gt;= 20." in text
    assert text.index("0 direction") < text.index("14 candle pattern") < text.index("E3 prices") < text.index("S score")
    assert "The stop was reached first" in text
    assert "No order followed" in text


async def test_the_signal_page_shows_the_orders_that_followed(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    await daemon.enter()
    signal = entry_signal("BTC/USDT", 1)

    _, page = await daemon.get(str(URL("/signal").with_query(id=signal.id)))

    assert "TBd0123456789ABCDE01E0" in page
    assert "The position is open: 0.15512 left" in page


async def test_the_signal_page_shows_what_the_analyst_was_sent_said_and_cost(daemon: Daemon) -> None:
    # Arrange
    await fill_day(daemon.stores)
    await daemon.enter()
    signal = entry_signal("BTC/USDT", 1)
    await daemon.stores.opinions.record(
        OpinionRecord(
            task_id=signal.task_id,
            candle_closed_at=signal.candle_closed_at,
            symbol=signal.symbol,
            timeframe=signal.timeframe,
            at=NOW,
            rung=LadderRung.FALLBACK,
            effect=OpinionEffect.SECOND_OPINION,
            why="claude:model-b is a second opinion",
            model="model-b",
            sent="chart 1: BTC/USDT",
            said={"divergence": None, "confidence": 60},
            confidence=0.6,
            steps=(LadderStep(model="model-a", reason="overloaded", says="HTTP 529"),),
            usage=Usage(input_tokens=3_100, output_tokens=90, cost=Decimal("0.00031")),
            latency_s=1.25,
        )
    )

    # Act
    _, page = await daemon.get(str(URL("/signal").with_query(id=signal.id)))

    # Assert
    section = re.search(r'<section id="analyst">.*?</section>', page, re.DOTALL)
    assert section
    for text in ("chart 1: BTC/USDT", "60 %", "3100", "$0.00031", "1.2 s", "model-a", "overloaded", "nothing is there"):
        assert text in section[0]


async def test_a_link_on_the_first_page_leads_to_its_signal(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    await daemon.enter()
    _, page = await daemon.get("/")
    links = set(re.findall(r'href="(/signal\?[^"]+)"', re.search(r'<section id="signals".*?</section>', page, re.S)[0]))  # type: ignore[index]

    statuses = [(await daemon.client.get(f"{daemon.url.origin()}{link}")).status for link in links]

    assert len(links) == 5
    assert set(statuses) == {200}


async def test_a_signal_that_is_not_there_is_404_and_one_without_id_400(daemon: Daemon) -> None:
    await daemon.enter()

    assert (await daemon.get("/signal?id=none"))[0] == 404
    assert (await daemon.get("/signal"))[0] == 400


async def test_hostile_text_is_shown_as_text_in_every_field() -> None:
    async def status() -> DaemonStatus:
        job = JobHealth(name=_HOSTILE, interval_s=60, last_error=_HOSTILE)
        return status_of(
            mode=_HOSTILE, health=_HOSTILE, last_error=_HOSTILE, currency=_HOSTILE, signals={_HOSTILE: 1}, jobs=(job,)
        )

    health = {"status": _HOSTILE, "mode": _HOSTILE}
    async with served(status=status, health=lambda: health, market_note=lambda: _HOSTILE, user=_HOSTILE) as daemon:
        await daemon.enter()
        signal_id = await _store_hostile(daemon.stores)
        pressed = KillState(level=KillLevel.HALT, by=_HOSTILE, cause=KillCause.PAGE, reason=_HOSTILE, at=NOW)
        await daemon.stores.kills.set(pressed)
        pages = [(await daemon.get(path))[1] for path in ("/", str(URL("/signal").with_query(id=signal_id)))]
        pages.append((await daemon.get(str(URL("/login").with_query(next=_HOSTILE))))[1])

    assert pages[0].count("&lt;script&gt;alert(1)") >= 15
    assert pages[1].count("&lt;script&gt;alert(1)") >= 10
    for page in pages:
        assert "<script>alert" not in page
        assert "<img" not in page
        assert "<hx-partial" not in page
        assert '"&#39;>' not in page
        assert "49<" not in page


def _bitcoin(number: int) -> Position:
    return open_position(number, "BTC/USDT", "100", quantity="1", risk="1")


async def _store_hostile(stores: MemoryStores) -> SignalId:
    hostile: dict[str, Any] = {"symbol": Symbol(_HOSTILE), "strategy": _HOSTILE}
    plain = entry_signal()
    assert plain.claim is not None
    hostile_claim = replace(plain.claim, oscillators=(_HOSTILE,))
    signal = replace(
        plain, id=SignalId(_HOSTILE), analyst=_HOSTILE, task_id=TaskId(_HOSTILE), claim=hostile_claim, **hostile
    )
    finding = Finding(_HOSTILE, _HOSTILE, FindingStatus.FAIL, _HOSTILE, _HOSTILE)
    await stores.signals.record(signal_record(signal, _HOSTILE, _HOSTILE, findings=(finding,), rejected_by=_HOSTILE))
    position = replace(_bitcoin(1), signal_id=signal.id, broker_id=BrokerId(_HOSTILE), **hostile)
    await store(stores, position, reason=_HOSTILE, venue_order_id=_HOSTILE)
    closed = replace(
        _bitcoin(2), quantity=Decimal(0), closed_at=NOW, exit_reason=_HOSTILE, exit_price=Decimal(1), **hostile
    )
    await store(stores, closed, state=OrderState.UNKNOWN)
    return signal.id


# ------------------------------------------------------------------------------------------------------------- live


async def test_a_journal_entry_brings_the_new_position_to_whoever_watches(daemon: Daemon) -> None:
    await daemon.enter()
    async with asyncio.timeout(_DEADLINE_S), daemon.client.get(daemon.url / "events") as stream:
        await _read_until(stream, "Nothing is open.")
        await store(daemon.stores, open_position(1, "EUR_USD", "1.08412", quantity="18400", risk="100"))
        daemon.events.publish(JournalEntry(at=NOW, kind="fill", task_id=None, data={}))

        arrived = await _tick_until(daemon, stream, "1.08412")

    assert stream.content_type == "text/event-stream"
    assert '<hx-partial hx-target="#positions" hx-swap="innerMorph">' in arrived


async def test_a_mark_that_moves_without_a_journal_entry_is_shown_too(daemon: Daemon) -> None:
    position = open_position(1, "BTC/USDT", "64213.50", quantity="0.1", risk="100")
    await store(daemon.stores, position)
    await daemon.enter()
    async with asyncio.timeout(_DEADLINE_S), daemon.client.get(daemon.url / "events") as stream:
        await _read_until(stream, "64,213.50")
        await daemon.stores.orders.save_position(replace(position, mark_price=Decimal("64300.25")))

        arrived = await _tick_until(daemon, stream, "64,300.25")

    assert "+8.68" in arrived


async def test_a_stream_ends_when_its_session_has_run_out(daemon: Daemon) -> None:
    await daemon.enter()
    async with asyncio.timeout(_DEADLINE_S), daemon.client.get(daemon.url / "events") as stream:
        await _read_until(stream, "Nothing is open.")
        daemon.clock.advance(IDLE_S)

        await _tick_until(daemon, stream, "event: session-ended")
        rest = await stream.content.read()

    assert b"hx-partial" not in rest


async def test_however_many_entries_come_a_watcher_gets_at_most_four_updates_a_second() -> None:
    clock, events, renders = ManualClock(), JournalEvents(), 0

    async def render(_: Section) -> str:
        nonlocal renders
        renders += 1
        return str(renders)

    async def load(*_: Any) -> Mapping[str, object]:
        return {}

    page = LivePage(
        sections=(Section(name="a", load=load, quickest_s=0.0, slowest_s=0.0),),
        render=render,
        events=events,
        clock=clock,
    )
    running = asyncio.create_task(page.run())
    updates = 0
    with page.watch() as watcher:
        await clock.run_for(0)
        for _ in range(40):  # 10 s with 1,000 entries each quarter
            for _ in range(1_000):
                events.publish(JournalEntry(at=NOW, kind="tick", task_id=None, data={}))
            await clock.run_for(TICK_S)
            updates += bool(await watcher.news())
    running.cancel()

    assert updates == 40
    assert renders <= 42


async def test_nothing_is_read_while_nobody_watches() -> None:
    clock, renders = ManualClock(), 0

    async def render(_: Section) -> str:
        nonlocal renders
        renders += 1
        return "x"

    async def load(*_: Any) -> Mapping[str, object]:
        return {}

    events = JournalEvents()
    page = LivePage(sections=(Section(name="a", load=load),), render=render, events=events, clock=clock)
    running = asyncio.create_task(page.run())
    await clock.run_for(60)
    assert (renders, events.readers) == (0, 0)

    with page.watch():
        await clock.run_for(1)
    seen = renders
    await clock.run_for(60)
    running.cancel()

    assert seen >= 1
    assert (renders, events.readers) == (seen, 0)


async def test_a_section_that_cannot_be_read_is_told_and_comes_back() -> None:
    clock, broken = ManualClock(), True

    async def render(_: Section) -> str:
        if broken:
            raise DatabaseUnavailable("gone")
        return "figures"

    async def load(*_: Any) -> Mapping[str, object]:
        return {}

    page = LivePage(sections=(Section(name="a", load=load),), render=render, events=JournalEvents(), clock=clock)
    running = asyncio.create_task(page.run())
    with page.watch() as watcher:
        await clock.run_for(0)
        trouble = (await watcher.news()).decode()
        broken = False
        await clock.run_for(5)
        healed = (await watcher.news()).decode()
    running.cancel()

    assert "could not be read" in trouble
    assert "figures" in healed
    assert '<hx-partial hx-target="#notice" hx-swap="innerMorph"></hx-partial>' in healed


async def _read_until(stream: aiohttp.ClientResponse, text: str) -> str:
    seen = ""
    while text not in seen:
        chunk = await stream.content.readany()
        assert chunk, f"the stream ended before {text!r} came"
        seen += chunk.decode()
    return seen


async def _tick_until(daemon: Daemon, stream: aiohttp.ClientResponse, text: str) -> str:
    """What came until `text` did, while the clock goes on."""
    reading = asyncio.create_task(_read_until(stream, text))
    while not reading.done():
        daemon.clock.advance(TICK_S)
        await asyncio.wait((reading,), timeout=0.02)
    return await reading


# ------------------------------------------------------------------------------------------------------------- JSON


async def test_the_status_has_the_field_names_as_keys_and_numbers_as_numbers(daemon: Daemon) -> None:
    _, text = await daemon.get("/api/status", headers={"Authorization": f"Bearer {API_TOKEN}"})

    answer = json.loads(text)
    assert set(answer) == set(DaemonStatus.__dataclass_fields__)
    assert (answer["equity"], answer["balance"], answer["open_positions"]) == (30286.42, 30097.15, 2)
    assert answer["signals"] == {"ordered": 1, "vetoed": 2, "refused": 1, "setup": 1}
    assert answer["jobs"][1]["missed"] == 2
    assert answer["now"] == "2025-03-04T14:00:05+00:00"


async def test_lists_keep_every_digit_of_a_decimal(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    await daemon.enter()

    positions = json.loads((await daemon.get("/api/positions?limit=1"))[1])
    signals = json.loads((await daemon.get("/api/signals?limit=2"))[1])["rows"]
    orders = json.loads((await daemon.get("/api/orders"))[1])["rows"]

    bitcoin = next(each for each in positions["open"] if each["symbol"] == "BTC/USDT")
    assert (bitcoin["quantity"], bitcoin["mark_price"]) == ("0.15512", "64790.00")
    assert bitcoin["open_result"] == "89.4266800"
    assert len(positions["closed"]) == 1
    assert [each["record"]["status"] for each in signals] == ["ordered", "vetoed"]
    assert len(orders) == 5


async def test_health_answers_a_stranger_without_asking_anyone() -> None:
    async def never() -> DaemonStatus:
        raise AssertionError("health must not ask for the status")

    async with served(status=never, health=lambda: {"status": "degraded", "failing_jobs": ["x"]}) as daemon:
        status, text = await daemon.get("/health")

    assert (status, json.loads(text)) == (200, {"status": "degraded", "failing_jobs": ["x"]})


# ---------------------------------------------------------------------------------------------------------- numbers


def test_numbers_are_written_with_sign_and_the_decimals_of_the_tick() -> None:
    price = price_writer(default_registry())

    assert signed(Decimal("-3.104")) == "−3.10"
    assert signed(Decimal("3.1")) == "+3.10"
    assert signed(Decimal(0)) == "0.00"
    assert money(Decimal("10012.4")) == "10,012.40"
    assert in_r(-0.424) == "−0.42 R"
    assert in_r(float("nan")) == "–"
    assert duration(12_000) == "3 h 20 min"
    assert price(Decimal("1.1"), Symbol("EUR_USD")) == "1.10000"
    assert price(Decimal("64213.5"), Symbol("BTC/USDT")) == "64,213.50"
    assert price(Decimal("0.25"), Symbol("UNKNOWN")) == "0.25"


def test_a_position_row_names_the_next_target_and_its_open_result_in_r() -> None:
    position = open_position(1, "BTC/USDT", "100", quantity="2", risk="4", mark_price=Decimal(103))

    first = PositionRow.of(position)
    last = PositionRow.of(replace(position, targets_hit=2, break_even=True))

    assert (first.open_r, first.next_target, first.target_text) == (1.5, Decimal("102.200"), "1 of 2")
    assert (last.next_target, last.target_text, last.stop_notes) == (None, "all reached", ("break-even",))


def test_a_curve_needs_two_points() -> None:
    assert equity_curve(()) is None


@settings(deadline=None)
@given(st.text())
def test_a_path_after_the_login_always_stays_here(text: str) -> None:
    assert URL(f"http://here.example{local_path(text)}").host == "here.example"
    assert local_path(text).startswith("/")
    assert not local_path(text).startswith("//")


def test_findings_of_the_sample_fail_only_where_told() -> None:
    assert [each.code for each in findings("7") if each.status is FindingStatus.FAIL] == ["7"]
