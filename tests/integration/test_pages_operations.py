"""Tasks, Health, Alerts, Log and Config over HTTP: what they tell, who may act, and that no secret leaves."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from html import unescape

import aiohttp
import pytest
from loguru import logger
from yarl import URL

from bot.access import AuditResult, Role
from bot.alerts import Channel, Delivery, DeliveryState, DeskState, Severity, Way
from bot.clock import ManualClock
from bot.dashboard.live import TICK_S
from bot.dashboard.pages import PAGES
from bot.dashboard.routes import DECLARED
from bot.dashboard.views.alerts_page import WayRow
from bot.differences import ClassCounts, Reconciliation
from bot.instruments import IG, OANDA
from bot.layer5_monitoring.checkup import Checkup
from bot.layer5_monitoring.logger import Redactor
from bot.layer5_monitoring.recent_log import RecentLog
from bot.models import TaskId, TaskState
from tests.fakes.dashboard_day import API_TOKEN, NOW, add_user, fill_day
from tests.fakes.operations_day import SECRETS, day_alert
from tests.integration.test_dashboard import Daemon, served, token_in

_DEADLINE_S = 10.0
_HOSTILE = '<script>alert(1)</script>"\'><img src=x onerror=alert(2)>{{7*7}}<hx-partial hx-target="#main">'
_CANARY = "CANARY"


@pytest.fixture
async def day() -> AsyncIterator[Daemon]:
    """A day with tasks and alerts; the admin is logged in."""
    async with served() as daemon:
        await fill_day(daemon.stores)
        await daemon.enter()
        yield daemon


def rows_of(page: str, text: str) -> list[str]:
    """The table rows that hold `text`, without markup."""
    found = [each for each in re.findall(r"<tr>.*?</tr>", page, re.DOTALL) if text in each]
    return [" ".join(re.sub(r"<[^>]*>", " ", each).split()) for each in found]


def row_of(page: str, text: str) -> str:
    """The only one."""
    (found,) = rows_of(page, text)
    return found


# --------------------------------------------------------------------------------------------------------------- tasks


async def test_a_task_is_shown_with_its_age_what_it_found_and_how_it_is(day: Daemon) -> None:
    _, page = await day.get("/tasks")

    assert "9 of 10 run" in page
    hourly, four_hourly = rows_of(page, "BTC/USDT")
    assert hourly == "BTC/USDT 1h binance ✓ running 2025-03-04 14:00 5 s 1 0 divergence Pause"
    assert four_hourly == "BTC/USDT 4h binance ✓ running 2025-03-04 12:00 2 h 5 s 0 0 divergence Pause"
    assert all("◷ behind" in each for each in rows_of(page, "GBP_USD"))
    assert [each.split()[3:5] for each in rows_of(page, "NVDA")] == [["◷", "waits"], ["○", "paused"]]
    assert "left=7" in rows_of(page, "NVDA")[1]


async def test_jobs_are_shown_with_what_they_missed(day: Daemon) -> None:
    _, page = await day.get("/tasks")

    assert row_of(page, ">monitor<").startswith("monitor 2 min 1030 2 0 4 ms")


async def test_without_tasks_the_page_says_why_and_what_to_do() -> None:
    async with served() as daemon:
        await daemon.enter()
        _, page = await daemon.get("/tasks")

    assert "No strategy task yet." in page
    assert "TIMEFRAMES" in page


async def test_a_task_is_paused_and_run_again_by_its_button_and_both_are_audited(day: Daemon) -> None:
    _, page = await day.get("/tasks")
    csrf = token_in(page)

    paused = await day.post("/tasks/run", {"csrf": csrf, "pause": "divergence:BTC/USDT:1h"})
    _, after = await day.get("/tasks")
    await day.post("/tasks/run", {"csrf": csrf, "resume": "divergence:BTC/USDT:1h"})
    _, again = await day.get("/tasks")

    assert (paused.status, paused.headers["Location"]) == (303, "/tasks")
    assert "○ paused" in rows_of(after, "BTC/USDT")[0]
    assert "✓ running" in rows_of(again, "BTC/USDT")[0]
    entries = await day.stores.audit.page(2)
    assert [(each.what, each.detail) for each in entries] == [
        ("task resumed", "divergence:BTC/USDT:1h"),
        ("task paused", "divergence:BTC/USDT:1h"),
    ]


async def test_a_task_that_has_ended_for_good_is_not_resumed(day: Daemon) -> None:
    await day.stores.tasks.set_state(TaskId("divergence:BTC/USDT:1h"), TaskState.STOPPED)
    _, page = await day.get("/tasks")

    answer = await day.post("/tasks/run", {"csrf": token_in(page), "resume": "divergence:BTC/USDT:1h"})

    assert answer.status == 409
    assert "Resume BTC/USDT 1h" not in page


@pytest.mark.parametrize(
    ("form", "status"),
    [
        pytest.param({"pause": "nosuch"}, 404, id="not known"),
        pytest.param({}, 400, id="none"),
        pytest.param({"pause": "a", "resume": "b"}, 400, id="both"),
    ],
)
async def test_a_task_that_is_not_there_cannot_be_paused(day: Daemon, form: dict[str, str], status: int) -> None:
    _, page = await day.get("/tasks")

    answer = await day.post("/tasks/run", {"csrf": token_in(page), **form})

    assert answer.status == status


# -------------------------------------------------------------------------------------------------------------- health


async def test_what_is_not_well_comes_first_with_what_to_do(day: Daemon) -> None:
    _, page = await day.get("/checkup")

    assert [rows_of(page, each)[0] for each in ("broker ig", "> disk", "> database")] == [
        "✕ failed: broker ig no answer within 5 s look at the network and the venue&#39;s status page; entries there "
        "wait by themselves meanwhile 0.0 ms",
        "! warning: disk 0.9 GB free free at least 1 GiB, or move DATA_DIRECTORY 0.0 ms",
        "✓ ok: database answers 1.4 ms",
    ]
    assert page.find("broker ig") < page.find("> disk") < page.find("> database")
    assert "2 want attention" in page


async def test_a_broker_that_is_silent_and_one_whose_entries_are_blocked_are_told_with_the_reason() -> None:
    silent = Reconciliation(
        broker_id=IG,
        compared_at=None,
        complete=False,
        error="no answer within 10 s",
        matched=0,
        blocked="ig is not reconciled yet",
        differences=(),
    )
    fine = replace(
        silent, broker_id=OANDA, compared_at=NOW - timedelta(seconds=90), complete=True, error="", matched=3, blocked=""
    )
    fine = replace(fine, classes=ClassCounts(entries=1, exits=0, stops=1, positions=1, fills=0))
    async with served(reconciliations=lambda: (silent, fine)) as daemon:
        await daemon.enter()
        _, page = await daemon.get("/checkup")

    assert row_of(page, "ig is not reconciled yet").startswith("ig ✕ no answer no answer within 10 s ! blocked")
    assert row_of(page, ">oanda<") == (
        "oanda ✓ answers ✓ open 2025-03-04 13:58:35 1 min 30 s "
        "3 entries 1, exits 0, stops 1, positions 1; fills 0 new; balances not compared 0"
    )


async def test_the_rung_of_the_analyst_and_the_versions_are_told() -> None:
    analyst = {"rung": "cheaper model", "says": "opus: budget of the day is used up", "waiting": 1, "at": None}
    async with served(health=lambda: {"status": "ok", "mode": "dev", "analyst": analyst}) as daemon:
        await daemon.enter()
        _, page = await daemon.get("/checkup")

    assert "cheaper model" in page
    assert "budget of the day is used up" in page
    assert "<dt>trading-bot</dt>" in re.sub(r"\s+", " ", page)


async def test_before_the_first_question_the_health_page_says_so() -> None:
    async with served(checkup=Checkup([], ManualClock())) as daemon:
        await daemon.enter()
        _, page = await daemon.get("/checkup")

    assert "Nothing is asked." in page


# ----------------------------------------------------------------------------------------------------------------- log


def log_of(*secrets: str) -> RecentLog:
    return RecentLog(Redactor(secrets).redact)


async def test_the_log_is_chosen_by_level_and_text_and_newest_first() -> None:
    log = log_of()
    with log.kept("DEBUG"):
        logger.debug("a debug fish")
        logger.info("an info fish")
        logger.warning("a warning fish")
        logger.error("an error bird")
    async with served(log=log) as daemon:
        await daemon.enter()
        _, standard = await daemon.get("/log")
        _, warnings = await daemon.get("/log?level=warning&text=FISH")
        _, nothing = await daemon.get("/log?text=whale")
        _, odd = await daemon.get("/log?level=nonsense")

    assert [standard.find(each) > 0 for each in ("a debug fish", "an info fish")] == [False, True]
    assert standard.find("an error bird") < standard.find("a warning fish")
    assert "a warning fish" in warnings
    assert "an error bird" not in warnings
    assert "<option selected>WARNING</option>" in warnings
    assert 'value="FISH"' in warnings
    assert "No such line." in nothing
    assert "an info fish" in odd


async def test_the_log_page_is_bounded() -> None:
    log = log_of()
    with log.kept():
        for number in range(600):
            logger.info("line {}", number)
    async with served(log=log) as daemon:
        await daemon.enter()
        _, page = await daemon.get("/log")

    assert len(re.findall(r'<td class="line">', page)) == 200


async def test_older_lines_of_the_log_are_one_step_away_and_so_are_the_newest() -> None:
    log = log_of()
    with log.kept():
        for number in range(250):
            logger.info("line {:03}", number)
    async with served(log=log) as daemon:
        await daemon.enter()
        _, first = await daemon.get("/log?text=line")
        (older,) = re.findall(r'<a href="(\?[^"]+)">Older</a>', first)
        _, second = await daemon.get(f"/log{unescape(older)}")
        _, beyond = await daemon.get("/log?before=1")
        odd, _ = await daemon.get("/log?before=x")

    assert "line 050" in first
    assert "line 049" not in first
    assert re.findall(r'<td class="line">(line \d+)', second) == [f"line {number:03}" for number in range(49, -1, -1)]
    assert '<a href="/log?text=line">Newest</a>' in second
    assert "Older" not in second
    assert "No line before this one is kept any more" in beyond
    assert odd == 400


async def test_hostile_text_stays_text_in_the_log_the_search_and_the_alerts() -> None:
    log = log_of()
    with log.kept():
        logger.bind(x=1).warning("{}", _HOSTILE)
    hostile = day_alert(
        "bad001",
        0,
        severity=Severity.CRITICAL,
        title=_HOSTILE,
        body=_HOSTILE,
        acked_by=_HOSTILE,
        acked_at=NOW,
        lasts=True,
        deliveries=(Delivery(channel=Channel.SMS, recipient="+1", state=DeliveryState.FAILED, at=NOW, says=_HOSTILE),),
    )
    async with served(log=log) as daemon:
        await daemon.stores.alerts.save(hostile)
        await daemon.enter()
        pages = [
            await daemon.get(str(URL(path).with_query(query)))
            for path, query in (
                ("/log", {"text": "script"}),
                ("/log", {"text": _HOSTILE}),
                ("/alerts", {}),
                ("/alerts", {"older_than": _HOSTILE}),
                ("/config", {"text": _HOSTILE}),
            )
        ]

    for status, page in pages:
        assert status == 200
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "<hx-partial" not in page
        assert "49" not in re.findall(r"onerror=alert\(2\)&gt;(\S+?)&lt;", page)


async def test_a_new_line_reaches_those_who_watch_its_filter_and_no_other() -> None:
    log = log_of()
    async with served(log=log) as daemon:
        await daemon.enter()
        with log.kept():
            address = daemon.url.join(URL("/events?page=log&text=fish"))
            async with asyncio.timeout(_DEADLINE_S), daemon.client.get(address) as stream:
                reading = asyncio.create_task(_read_until(stream, "a new fish"))
                logger.warning("a bird")
                logger.warning("a new fish")
                while not reading.done():
                    daemon.clock.advance(TICK_S)
                    await asyncio.wait((reading,), timeout=0.02)
                seen = await reading

    assert "a bird" not in seen


async def _read_until(stream: aiohttp.ClientResponse, *texts: str) -> str:
    """What came until all of `texts` were there, each after the one before it."""
    seen, place = "", 0
    for text in texts:
        while (found := seen.find(text, place)) < 0:
            chunk = await stream.content.readany()
            assert chunk, f"the stream ended before {text!r} came"
            seen += chunk.decode()
        place = found + len(text)
    return seen


# -------------------------------------------------------------------------------------------------------------- config


async def test_every_setting_is_shown_with_its_origin_its_bounds_and_its_meaning(day: Daemon) -> None:
    _, page = await day.get("/config")

    risk = row_of(page, "RISK_PER_TRADE_RATIO")
    assert risk.startswith("RISK_PER_TRADE_RATIO 0.004 environment ; default 0.01 share of equity")
    assert "a number above 0 to 0.05" in risk
    hidden = row_of(page, "TELEGRAM_TOKEN")
    assert hidden.startswith("TELEGRAM_TOKEN *** environment ; default empty")
    assert "postgresql://bot:***@db.example/bot" in row_of(page, ">DATABASE_URL<")


async def test_settings_are_searched_and_secrets_are_not_found_by_what_they_are(day: Daemon) -> None:
    _, quiet = await day.get("/config?text=quiet+hours")
    _, changed = await day.get("/config?changed=1")
    _, secret = await day.get("/config?text=" + SECRETS["OANDA_TOKEN"])

    assert re.findall(r'<th scope="row"><code>(\w+)</code>', quiet) == ["QUIET_HOURS", "ALERT_ZONE"]
    assert set(re.findall(r'<th scope="row"><code>(\w+)</code>', changed)) == {*SECRETS, "MODE", "RISK_PER_TRADE_RATIO"}
    assert "No such setting." in secret


# -------------------------------------------------------------------------------------------------------------- alerts


async def test_what_waits_for_somebody_comes_first_and_then_the_history_page_by_page(day: Daemon) -> None:
    _, first = await day.get("/alerts")
    (older,) = re.findall(r'href="(/alerts\?older_than=[^"#]+)', first)
    _, second = await day.get(older)

    opened, history = first.split('id="alerts_history"')
    assert re.findall(r'<th scope="row"><code>(\w+)</code>', opened) == ["9f31c2", "b07d11"]
    assert "1 waits for somebody" in opened
    shown = re.findall(r'<th scope="row"><code>(\w+)</code>', history)
    more = re.findall(r'<th scope="row"><code>(\w+)</code>', second.split('id="alerts_history"')[1])
    assert (len(shown), len(more)) == (50, 13)
    assert len({*shown, *more}) == 63
    assert "note taken by ada" in row_of(history, "55aa01")


async def test_taking_note_of_an_alert_is_stored_and_audited(day: Daemon) -> None:
    _, page = await day.get("/alerts")

    answer = await day.post("/alerts/ack", {"csrf": token_in(page), "alert": "9f31c2"})

    assert (answer.status, answer.headers["Location"]) == (303, "/alerts")
    (taken,) = [each for each in await day.stores.alerts.recent(99) if each.id == "9f31c2"]
    assert taken.acked_by == "admin"
    (entry, *_) = await day.stores.audit.page(1)
    assert (entry.who, entry.what, entry.detail, entry.result) == (
        "admin",
        "alert taken note of",
        "9f31c2",
        AuditResult.OK,
    )
    assert "Nothing is open" not in (await day.get("/alerts"))[1]  # what lasts is open as long as it lasts


async def test_all_that_wait_are_taken_note_of_at_once(day: Daemon) -> None:
    await day.stores.alerts.save(day_alert("second", 3, severity=Severity.CRITICAL))
    _, page = await day.get("/alerts")

    await day.post("/alerts/ack", {"csrf": token_in(page), "alert": "all"})

    assert [each for each in await day.stores.alerts.unsettled(99) if each.waits] == []


@pytest.mark.parametrize(("alert", "status"), [("nosuch", 404), ("", 400)])
async def test_an_alert_that_is_not_there_cannot_be_taken_note_of(day: Daemon, alert: str, status: int) -> None:
    _, page = await day.get("/alerts")

    answer = await day.post("/alerts/ack", {"csrf": token_in(page), "alert": alert})

    assert answer.status == status


async def test_a_form_of_somebody_else_takes_note_of_nothing(day: Daemon) -> None:
    _, page = await day.get("/alerts")

    stale = await day.post("/alerts/ack", {"csrf": "x" * 43, "alert": "9f31c2"})
    foreign = await day.post(
        "/alerts/ack", {"csrf": token_in(page), "alert": "9f31c2"}, headers={"Origin": "https://evil.example"}
    )

    assert (stale.status, foreign.status) == (403, 403)
    assert [each.acked_by for each in await day.stores.alerts.unsettled(1)] == [""]


async def test_a_viewer_reads_alerts_and_takes_note_of_none() -> None:
    async with served() as daemon:
        await fill_day(daemon.stores)
        add_user(daemon.stores, "vera", Role.VIEWER)
        await daemon.send_login(user="vera")
        status, page = await daemon.get("/alerts")
        answer = await daemon.post("/alerts/ack", {"csrf": token_in(page), "alert": "9f31c2"})
        left = [each.acked_by for each in await daemon.stores.alerts.unsettled(1)]

    assert status == 200
    assert 'data-may="read"' in page  # the buttons need "trade", and are not shown
    assert answer.status == 403
    assert left == [""]


async def test_a_mute_is_told_while_it_holds(day: Daemon) -> None:
    await day.stores.alerts.save_state(DeskState(muted_until=day.clock.now() + timedelta(minutes=5)))
    _, muted = await day.get("/alerts")
    day.clock.advance(301)
    _, over = await day.get("/alerts")

    assert "everything but critical alerts is held back" in muted
    assert "is held back" not in over


def test_a_way_fails_until_something_is_sent_again() -> None:
    way = Way(name="Telegram", channel=Channel.TELEGRAM, is_set=True, says="1 may command")
    sent = Delivery(channel=Channel.TELEGRAM, recipient="42", state=DeliveryState.SENT, at=NOW)
    failed = replace(sent, state=DeliveryState.FAILED, at=NOW + timedelta(seconds=1))
    of_another = replace(failed, channel=Channel.SMS)

    assert WayRow.of(way, []).state == "not used yet"
    assert WayRow.of(way, [sent, of_another]).state == "works"
    assert WayRow.of(way, [sent, failed]).state == "failing"
    assert WayRow.of(way, [replace(sent, at=NOW + timedelta(seconds=2)), failed]).state == "works"
    assert WayRow.of(replace(way, is_set=False), [sent]).state == "off"


# ------------------------------------------------------------------------------------------------------------- secrets


async def test_no_secret_is_in_any_page_any_stream_or_any_answer_of_the_api(day: Daemon) -> None:
    """S22, S23: every secret that can be set is, and each holds a word that must never leave."""
    # Arrange
    gets = [path for (method, path), _ in day.app[DECLARED].items() if method == "GET" and "{" not in path]
    bearer = {"Authorization": f"Bearer {API_TOKEN}"}
    assert len(gets) >= 20

    # Act
    seen = {}
    for path in gets:
        if path in ("/events", "/api/events", "/ws"):
            continue
        seen[path] = (await day.get(path))[1] + (await day.get(path, headers=bearer))[1]
    for name in day.app[PAGES]:
        seen[f"stream of {name}"] = await _first_of_stream(day, name)

    # Assert
    assert {path for path, text in seen.items() if _CANARY in text} == set()
    assert "TELEGRAM_TOKEN" in seen["/config"]
    assert "TELEGRAM_TOKEN" in seen["stream of config"]


async def _first_of_stream(daemon: Daemon, name: str) -> str:
    address = daemon.url.join(URL(f"/events?page={name}"))
    async with asyncio.timeout(_DEADLINE_S), daemon.client.get(address) as stream:
        return await _read_until(stream, "hx-partial", "\r\n\r\n")
