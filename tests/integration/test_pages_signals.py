"""Signals, one signal, performance and risk over HTTP: what is shown, what is chosen, and that empty pages say why."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html import unescape

import pytest
from yarl import URL

from bot.dashboard.views.asked import chosen_day, place, with_choice
from bot.dashboard.views.plots import histogram, underwater
from bot.errors import UsageError
from bot.instruments import BINANCE
from bot.layer4_risk.exposure import RiskReport
from bot.models import KillCause, KillLevel, KillState, SignalId
from bot.reports import Bucket, EquityPoint
from tests.fakes.dashboard_day import (
    NOW,
    entry_signal,
    fill_day,
    open_position,
    risk_of,
    signal_record,
    store,
)
from tests.fakes.dashboard_years import fill_weeks, weeks
from tests.integration.test_dashboard import Daemon, served


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with served() as running:
        await running.enter()
        yield running


async def text_of(daemon: Daemon, path: str) -> str:
    """What a reader of a page reads."""
    status, page = await daemon.get(path)
    assert status == 200, page
    return words(page)


def words(page: str) -> str:
    without_scripts = re.sub(r"<script.*?</script>", " ", page, flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", without_scripts)))


def signal_page(signal_id: str) -> str:
    return str(URL("/signal").with_query(id=signal_id))


def ids_on(page: str) -> list[str]:
    """Ids of the signals that a list links to, in its order."""
    found = re.search(r'<section id="signal-list">.*?</section>', page, re.DOTALL)
    assert found is not None
    return [URL(unescape(each)).query["id"] for each in re.findall(r'href="(/signal\?[^"]+)"', found[0])]


# ------------------------------------------------------------------------------------------------------------ signals


async def test_signals_are_listed_with_verdict_reason_and_what_the_market_did(daemon: Daemon) -> None:
    await fill_day(daemon.stores)

    text = await text_of(daemon, "/signals")

    assert "5 signals, newest first" in text
    assert "SOL/USDT ▼ short" in text
    assert "✕ rejected rule 7, trend strength" in text
    assert "✕ stop first −1.00 R" in text
    assert "refused by risk risk: max open positions" in text


@pytest.mark.parametrize(
    ("choice", "symbols"),
    [
        ("verdict=refused", {"EUR_USD"}),
        ("stopped_by=7", {"SOL/USDT"}),
        ("stopped_by=MAX_OPEN_POSITIONS", {"EUR_USD"}),
        ("symbol=NVDA", {"NVDA"}),
        ("broker=binance", {"BTC/USDT", "SOL/USDT", "ETH/USDT"}),
        ("timeframe=4h", {"ETH/USDT"}),
        ("from=2025-03-04&to=2025-03-04", {"BTC/USDT", "SOL/USDT", "EUR_USD", "ETH/USDT", "NVDA"}),
        ("to=2025-03-03", set()),
        ("verdict=&symbol=&from=", {"BTC/USDT", "SOL/USDT", "EUR_USD", "ETH/USDT", "NVDA"}),
    ],
)
async def test_a_choice_of_the_form_is_what_is_listed(daemon: Daemon, choice: str, symbols: set[str]) -> None:
    await fill_day(daemon.stores)
    _, page = await daemon.get(f"/signals?{choice}")
    assert {each.split(":")[1] for each in ids_on(page)} == symbols


async def test_older_leads_through_every_signal_once_and_keeps_the_choice(daemon: Daemon) -> None:
    # Arrange
    drawn = weeks(signals=130, trades=0, snapshots=0)
    await fill_weeks(daemon.stores, drawn)
    wanted = [each.signal.id for each in reversed(drawn.records) if each.signal.symbol == "EUR_USD"]
    for number in range(90):  # more than a page of one symbol, all of the same instant
        await daemon.stores.signals.record(signal_record(entry_signal("NVDA", id=SignalId(f"same-{number:02d}"))))

    # Act
    seen = {}
    for symbol in ("EUR_USD", "NVDA"):
        found, path = [], f"/signals?symbol={symbol}"
        while path:
            _, page = await daemon.get(path)
            found += ids_on(page)
            older = re.search(r'href="([^"]+)" rel="next"', page)
            path = unescape(older[1]) if older else ""
        seen[symbol] = found

    # Assert
    assert seen["EUR_USD"] == wanted
    assert [each for each in seen["NVDA"] if each.startswith("same")] == [
        f"same-{each:02d}" for each in range(89, -1, -1)
    ]
    assert len(set(seen["NVDA"])) == len(seen["NVDA"])


async def test_the_counts_are_of_the_choice_but_not_of_the_verdict(daemon: Daemon) -> None:
    await fill_day(daemon.stores)

    text = await text_of(daemon, "/signals?broker=binance&verdict=vetoed")

    assert "3 signals of this choice" in text
    assert "✓ ordered 1 33 %" in text


async def test_a_count_leads_to_the_list_of_what_it_counted(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    _, page = await daemon.get("/signals")
    links = [unescape(each) for each in re.findall(r'<a href="(/signals\?[^"]*stopped_by=7[^"]*)"', page)]
    assert ids_on((await daemon.get(links[0]))[1]) == [entry_signal("SOL/USDT", 9).id]


@pytest.mark.parametrize(
    "address",
    [
        "/signals?from=yesterday",
        "/signals?to=9999-12-31",  # there is no day after it
        "/signals?timeframe=2h",
        "/signals?before=nonsense",
        "/signals?before=2025-03-04~x",
        "/signals?before=0001-01-01T00:00:00%2B23:59~x",  # before all time, in UTC
        "/signals?symbol=%00",  # which no text of the database can hold
        "/signals?before=2025-03-04T00:00:00Z~%00",
        "/performance?strategy=%00",
        "/signal?id=%00",
    ],
)
async def test_an_address_that_no_form_sends_is_400(daemon: Daemon, address: str) -> None:
    assert (await daemon.client.get(URL(f"{daemon.url.origin()}{address}", encoded=True))).status == 400


async def test_empty_lists_say_why_and_what_to_do(daemon: Daemon) -> None:
    assert "No signal yet." in await text_of(daemon, "/signals")
    assert "No signal is like that." in await text_of(daemon, "/signals?symbol=NVDA")
    performance = await text_of(daemon, "/performance")
    for expected in ("No trade of this choice", "No curve yet.", "Nothing to compare yet.", "Nothing was rejected"):
        assert expected in performance
    assert "No exposure." in await text_of(daemon, "/risk")


# --------------------------------------------------------------------------------------------------------- one signal


async def test_the_top_of_a_signal_says_in_one_sentence_why_not(daemon: Daemon) -> None:
    await fill_day(daemon.stores)

    vetoed = await text_of(daemon, signal_page(entry_signal("SOL/USDT", 9).id))
    refused = await text_of(daemon, signal_page(entry_signal("EUR_USD", 2).id))

    assert "Rejected: rule 7 trend strength: 17.2, needs >= 20." in vetoed
    assert "Sound, but refused by risk: 5 of 5 positions are open at oanda." in refused


async def test_a_sound_signal_without_a_setup_or_against_the_analyst_says_so(daemon: Daemon) -> None:
    for code, reason in (("MTF", "no live 4h setup long"), ("AN", "model-a sees nothing")):
        signal = entry_signal("NVDA", id=SignalId(code))
        await daemon.stores.signals.record(signal_record(signal, "vetoed", reason, rejected_by=code))
    assert "Sound by every rule, but no live 4h setup" in await text_of(daemon, signal_page("MTF"))
    assert "the analyst was against it: model-a sees nothing." in await text_of(daemon, signal_page("AN"))


async def test_a_signal_is_told_in_seven_steps(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    text = await text_of(daemon, signal_page(entry_signal("BTC/USDT", 1).id))
    steps = ["Candle", "Rules", "Analyst", "Risk", "Order", "Position", "Market"]
    places = [text.index(f" {each} ", text.index("position is open")) for each in steps]
    assert places == sorted(places)


async def test_orders_and_outcome_of_an_old_signal_are_shown_however_many_came_after(daemon: Daemon) -> None:
    # Arrange: the page once looked through the newest 500 rows
    drawn = weeks(signals=700, trades=600, snapshots=0)
    await fill_weeks(daemon.stores, drawn)
    order, position = drawn.trades[0]

    # Act
    text = await text_of(daemon, signal_page(position.signal_id))

    # Assert
    assert order.client_order_id in text
    assert "The position is closed" in text
    assert "Followed whether it was traded or not" in text


async def test_the_chart_of_a_signal_has_its_candles_levels_and_pivots(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    _, page = await daemon.get(signal_page(entry_signal("BTC/USDT", 1).id))
    assert '"name": "stop"' in page
    assert '"text": "P1"' in page
    assert 'id="signal-chart"' in page


async def test_a_signal_whose_candles_are_gone_says_so_and_keeps_its_numbers(daemon: Daemon) -> None:
    old = entry_signal("BTC/USDT", 7, candle_closed_at=NOW - timedelta(days=4000), claim=None)
    await daemon.stores.signals.record(signal_record(old))

    text = await text_of(daemon, signal_page(old.id))

    assert "No chart." in text
    assert "stop 63,571.36" in text or "stop 63,571.37" in text


async def test_hostile_text_in_the_data_of_a_chart_stays_data(daemon: Daemon) -> None:
    signal = entry_signal("BTC/USDT", 1)
    await daemon.stores.signals.record(signal_record(signal))
    hostile = "</script><script>alert(1)</script>"
    closed = open_position(1, "BTC/USDT", "64213.50", quantity="1", risk="1", closed_at=NOW, exit_reason=hostile)
    await store(daemon.stores, replace(closed, quantity=Decimal(0), exit_price=Decimal(1)))

    _, page = await daemon.get(signal_page(signal.id))

    assert "alert(1)" in page
    assert "<script>alert" not in page


# -------------------------------------------------------------------------------------------------------- performance


async def test_performance_shows_figures_groups_and_what_few_trades_cannot_tell(daemon: Daemon) -> None:
    await fill_weeks(daemon.stores, weeks(signals=150, trades=60, snapshots=500))

    text = await text_of(daemon, "/performance")

    assert "Closed trades 60 " in text
    assert re.search(r"Won \d+ % \d+ % to \d+ % \(95 %\)", text)
    assert re.search(r"simple_ma \d+ ", text)
    assert re.search(r"\d+ trades: too few to tell", text)
    assert "rule 8, ranging market" in text


@pytest.mark.parametrize(
    ("by", "name"),
    [
        ("symbol", "BTC/USDT"),
        ("broker", "oanda"),
        ("analyst", "claude:model-a"),
        ("timeframe", "4h"),
        ("direction", "short"),
        ("exit reason", "TARGET_2"),
        ("weekday", "Tuesday"),
        ("hour", "13:00"),
    ],
)
async def test_trades_are_told_apart_by_what_was_chosen(daemon: Daemon, by: str, name: str) -> None:
    await fill_weeks(daemon.stores, weeks(signals=200, trades=90, snapshots=0))
    text = await text_of(daemon, str(URL("/performance").with_query(by=by)))
    assert re.search(rf" {name} \d+ [+−][\d,.]+ \d+ % ", text)


async def test_a_period_counts_only_what_was_closed_in_it(daemon: Daemon) -> None:
    for number, days in ((1, 3), (2, 20), (3, 90)):
        done = open_position(number, "NVDA", "912.40", quantity="1", risk="10", closed_at=NOW - timedelta(days=days))
        await store(daemon.stores, replace(done, quantity=Decimal(0), realised=Decimal(5)))

    texts = [await text_of(daemon, f"/performance{query}") for query in ("?days=7", "?days=30", "?days=all", "")]

    assert [re.search(r"Closed trades (\d+)", each)[1] for each in texts] == ["1", "2", "3", "3"]  # type: ignore[index]
    assert (await daemon.get("/performance?days=8"))[0] == 400
    assert (await daemon.get("/performance?by=all"))[0] == 400
    assert (await daemon.get("/performance?by=moon"))[0] == 400


async def test_the_curve_is_there_without_scripts_as_picture_and_as_numbers(daemon: Daemon) -> None:
    await fill_weeks(daemon.stores, weeks(signals=0, trades=0, snapshots=3000))

    _, page = await daemon.get("/performance")

    assert page.count("<polyline") == 2
    assert 'aria-label="Fall below the peak, deepest' in page
    rows = re.search(r"The last value of each stretch.*?</table>", page, re.DOTALL)
    assert rows is not None
    assert 10 <= rows[0].count("<tr>") <= 13
    assert len(page.encode()) < 150_000


# --------------------------------------------------------------------------------------------------------------- risk


async def test_risk_shows_each_limit_used_against_allowed_and_the_worst_case(daemon: Daemon) -> None:
    await fill_day(daemon.stores)

    text = await text_of(daemon, "/risk")

    assert "positions ✓ free, 40 % 2 5" in text
    assert "By currency" in text
    assert "something is on its way" in text
    assert "open now" in text, "of a limit in money: what is open, beside the worst case"
    assert "a second entry of divergence:EUR_USD:1h its short EUR_USD is open" in text


async def test_a_pressed_kill_switch_refuses_every_entry_on_the_risk_page(daemon: Daemon) -> None:
    pressed = KillState(level=KillLevel.PAUSE, by="anna", cause=KillCause.PAGE, reason="looking", at=NOW)
    await daemon.stores.kills.set(pressed)
    assert "■ every entry PAUSE by anna (page)" in await text_of(daemon, "/risk")


async def test_a_full_broker_refuses_every_entry_there() -> None:
    async def risk() -> RiskReport:
        return await risk_of(running.stores)

    async with served(risk=risk) as running:
        await running.enter()
        for number in (1, 2):
            await store(running.stores, open_position(number, "BTC/USDT", "64213.50", quantity="0.1", risk="9"))
        text = await text_of(running, "/risk")

    assert f"every entry at {BINANCE} positions at {BINANCE}: 2 positions of at most 2 positions" in text
    assert "positions ■ full, 100 % 2 2" in text


# ------------------------------------------------------------------------------------------------------- how it is sent


@pytest.mark.parametrize("path", ["/signals", "/static/site.css", "/static/vendor/htmx.min.js"])
async def test_text_is_compressed_for_whoever_takes_it(daemon: Daemon, path: str) -> None:
    for accepted, coding in (("gzip", "gzip"), ("deflate", "deflate"), ("identity", None)):
        async with daemon.client.get(daemon.url.join(URL(path)), headers={"Accept-Encoding": accepted}) as answer:
            whole = await answer.read()
            assert answer.headers.get("Content-Encoding") == coding
            assert len(whole) > 1024
            assert answer.headers["Vary"] == "Accept-Encoding"


async def test_a_static_file_that_the_browser_has_is_not_sent_again(daemon: Daemon) -> None:
    url, accepted = daemon.url.join(URL("/static/site.css")), {"Accept-Encoding": "gzip"}
    async with daemon.client.get(url, headers=accepted) as answer:
        tag = answer.headers["ETag"]
    async with daemon.client.get(url, headers={**accepted, "If-None-Match": tag}) as again:
        assert (again.status, await again.read()) == (304, b"")
    async with daemon.client.get(url, headers=accepted) as answer:  # on the same connection
        assert answer.status == 200


@pytest.mark.parametrize("path", ["/signals", "/static/site.css"])
async def test_asking_for_the_head_alone_leaves_nothing_on_the_connection(daemon: Daemon, path: str) -> None:
    for _ in range(2):
        async with daemon.client.head(daemon.url.join(URL(path)), headers={"Accept-Encoding": "gzip"}) as answer:
            assert (answer.status, await answer.read()) == (200, b"")


async def test_a_stream_is_never_compressed(daemon: Daemon) -> None:
    url = daemon.url.join(URL("/events?page=signals"))
    async with daemon.client.get(url, headers={"Accept-Encoding": "gzip"}) as answer:
        assert answer.status == 200
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("path", ["/signals", "/performance", "/risk"])
async def test_each_page_moves_with_the_code_that_filled_it(daemon: Daemon, path: str) -> None:
    _, page = await daemon.get(path)
    stream = re.search(r'hx-sse:connect="([^"]+)"', page)
    assert stream is not None
    async with daemon.client.get(daemon.url.join(URL(unescape(stream[1]), encoded=True))) as answer:
        assert answer.status == 200
        first = (await answer.content.readuntil(b"\r\n\r\n")).decode()
    assert '<hx-partial hx-target="#' in first


# --------------------------------------------------------------------------------------------------------------- parts


def test_a_day_of_the_form_is_taken_with_its_end() -> None:
    assert chosen_day({"to": "2025-03-04"}, "to", end=True) == NOW.replace(hour=0, minute=0, second=0) + timedelta(
        days=1
    )
    assert chosen_day({"to": " "}, "to", end=True) is None
    with pytest.raises(UsageError, match="to 'soon'"):
        chosen_day({"to": "soon"}, "to")


def test_another_choice_begins_the_list_anew() -> None:
    query = {"symbol": "EUR_USD", "verdict": "", "before": "2025-03-04T00:00:00+00:00~x"}
    assert with_choice(query, verdict="vetoed") == "symbol=EUR_USD&verdict=vetoed"
    assert with_choice(query, symbol="") == ""
    found = place(query)
    assert found is not None
    assert found.id == "x"


def test_the_histogram_shows_empty_steps_between_results_but_none_beyond_them() -> None:
    rows = histogram([Bucket(low=None, high=-3.0, trades=1), Bucket(low=-2.5, high=-2.0, trades=4)])
    assert [(each.says, each.trades, each.share) for each in rows] == [
        ("below −3.0", 1, 0.25),
        ("−3.0 to −2.5", 0, 0.0),
        ("−2.5 to −2.0", 4, 1.0),
    ]


def test_falls_are_drawn_below_the_peak_to_the_full_height() -> None:
    points = [EquityPoint(at=NOW + timedelta(hours=each), equity=Decimal(9), drawdown=each / 4) for each in range(3)]
    drawn = underwater(points)
    assert drawn is not None
    assert (drawn.line, drawn.deepest) == ("0.0,0.0 300.0,35.0 600.0,70.0", 0.5)
    assert underwater(points[:1]) is None
