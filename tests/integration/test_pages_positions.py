"""Home, Positions, Position, Orders and Order over HTTP: what they tell, how lists go on, acts that really happen."""

import html
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from yarl import URL

from bot.access import AuditResult, Role
from bot.dashboard.views.order_words import LIVE, STATE_WORDS, may_cancel
from bot.dashboard.views.plan_words import plan_words
from bot.dashboard.views.text import quantity
from bot.instruments import Symbol
from bot.models import (
    ClientOrderId,
    JournalEntry,
    OrderKind,
    OrderRole,
    OrderState,
    PositionId,
    SignalId,
    Trail,
    TrailKind,
)
from tests.builders import approved_order
from tests.fakes.awkward_broker import Fault
from tests.fakes.dashboard_day import NOW, add_user, entry_order, fill_day, open_position, store
from tests.fakes.dashboard_story import BITCOIN, EURO, GOLD, SOLANA, fill_story
from tests.integration.api_world import trading_of
from tests.integration.test_dashboard import Daemon, served, token_in
from tests.unit.layer3_execution.desk import Desk

_HOSTILE = '<script>alert(1)</script>"\'><img src=x onerror=alert(2)>{{7*7}}<hx-partial hx-target="#main">'
_OPENED = approved_order()


@pytest.fixture
async def day() -> AsyncIterator[Daemon]:
    """The believable day with all that happened to its positions; the admin is logged in."""
    async with served() as daemon:
        await fill_day(daemon.stores)
        await fill_story(daemon.stores)
        await daemon.enter()
        yield daemon


@pytest.fixture
async def desk() -> Desk:
    return Desk()


@pytest.fixture
async def trading(desk: Desk) -> AsyncIterator[Daemon]:
    """Pages over an order path that really trades."""
    add_user(desk.stores, "vera", Role.VIEWER)
    async with served(stores=desk.stores, trading=trading_of(desk)) as daemon:
        yield daemon


def words_of(page: str) -> str:
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    return re.sub(r" (?=[,.])", "", re.sub(r"\s+", " ", text))


def ids_in(page: str, path: str) -> list[str]:
    """What links to `path` name, in their order."""
    return [URL(html.unescape(each)).query["id"] for each in re.findall(rf'href="({path}\?[^"]+)"', page)]


async def shown(daemon: Daemon, path: str, **query: str) -> str:
    status, page = await daemon.get(str(URL(path).with_query(query)))
    assert status == 200, path
    return page


# ---------------------------------------------------------------------------------------------------------------- head


async def test_every_page_says_mode_health_and_kill_switch_without_asking_the_database(day: Daemon) -> None:
    for path in ("/", "/positions", "/orders", "/kill", "/signals"):
        words = words_of(await shown(day, path))
        for expected in ("DEV", "✓ Healthy", "Trading is on"):
            assert expected in words, f"{path}: {expected}"


async def test_a_stranger_learns_neither_mode_nor_health() -> None:
    async with served() as daemon:
        _, page = await daemon.get("/login")

    assert "Healthy" not in page
    assert "DEV" not in page


@pytest.mark.parametrize(
    ("cookie", "expected"), [("dark", ' data-theme="dark"'), ("light", ' data-theme="light"'), ("x", "")]
)
async def test_a_theme_is_one_of_two_or_that_of_the_system(day: Daemon, cookie: str, expected: str) -> None:
    day.client.cookie_jar.update_cookies({"theme": cookie}, day.url)

    assert f'<html lang="en"{expected}>' in await shown(day, "/")


# ----------------------------------------------------------------------------------------------------------- positions


async def test_positions_shows_what_is_open_what_waits_and_what_was_closed(day: Daemon) -> None:
    page = await shown(day, "/positions")
    words = words_of(page)

    assert ids_in(page, "/position") == [EURO, BITCOIN, GOLD, "position-4", SOLANA]
    for expected in ("64,790.00 +89.43 +0.90 R 63,571.36", "trailing", "Waiting for their entry", "+2.09 R TARGET_2"):
        assert expected in words, expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"symbol": "NVDA"}, ["position-4"]),
        ({"broker": "binance"}, [SOLANA]),
        ({"result": "won"}, [SOLANA]),
        ({"result": "lost", "broker": "ig"}, ["position-4"]),
        ({"strategy": "divergence", "symbol": ""}, ["position-4", SOLANA]),
        ({"strategy": "other"}, []),
    ],
    ids=str,
)
async def test_closed_positions_are_chosen_by_a_plain_form(
    day: Daemon, query: dict[str, str], expected: list[str]
) -> None:
    page = await shown(day, "/positions", **query)
    closed = page[page.index('id="closed_positions"') :]

    assert ids_in(closed, "/position") == expected
    assert expected or "No closed position is like that." in closed


async def test_closed_positions_go_on_page_by_page_without_a_gap(day: Daemon) -> None:
    for number in range(100, 160):
        made = open_position(
            number, "BTC/USDT", "100", quantity="1", risk="1", opened_at=NOW, signal_id=SignalId(str(number))
        )
        entry = ClientOrderId(f"TB{number}")
        ended = replace(made, entry_order_id=entry, quantity=Decimal(0), closed_at=NOW - timedelta(days=1))
        await store(day.stores, ended)

    first = await shown(day, "/positions", symbol="BTC/USDT")
    (older,) = re.findall(r'href="\?([^"]+)">Older', first)
    _, second = await day.get(f"/positions?{html.unescape(older)}")
    closed = [page[page.index('id="closed_positions"') :] for page in (first, second)]
    found = [*ids_in(closed[0], "/position"), *ids_in(closed[1], "/position")]

    assert found == [f"position-{number}" for number in range(159, 99, -1)]
    assert "Older" not in second
    assert 'href="/positions?symbol=BTC%2FUSDT">Newest' in second


@pytest.mark.parametrize("query", ["result=x", "before=x", "before=2025-01-01~a", "before=2025-01-01T00:00:00%2B00:00"])
async def test_a_filter_that_no_form_of_ours_sends_is_a_bad_request(day: Daemon, query: str) -> None:
    assert (await day.get(f"/positions?{query}"))[0] == 400


# ------------------------------------------------------------------------------------------------------------ position


async def test_a_position_tells_its_figures_plan_fills_stops_orders_and_journal(day: Daemon) -> None:
    words = words_of(await shown(day, "/position", id=EURO))

    for expected in (
        "EUR_USD ▼ short divergence 1h at oanda",
        "Open since 2025-03-04 07:00 UTC",
        "CLOSING All of it is being closed.",
        "Open result −22.36 USD −0.22 R, before costs",
        "The stop rests at the venue at 1.08960, moved from 1.09496; it closes whatever is left.",
        "Target 1 at 1.06027 closes 50 % of the first quantity: reached.",
        "Target 2 at 1.04076 closes the rest.",
        "2025-03-04 07:00:05 entry, sell 18,400 1.08412 4.98",
        "2025-03-04 10:00:05 exit, buy 9,200 1.07824 4.98",
        "2025-03-04 11:30:05 1.09120 TRAIL",
        "INTENT → SENDING → UNKNOWN",
        "stop moved stop 1.08960, reason TRAIL",
    ):
        assert expected in words, expected


async def test_a_closed_position_says_how_it_ended_and_cannot_be_closed(day: Daemon) -> None:
    page = await shown(day, "/position", id=SOLANA)
    words = words_of(page)

    assert "Closed 2025-03-04 09:00 UTC, TARGET_2" in words
    assert "Result +208.62 USD +2.09 R, after 4.18 costs" in words
    assert "/position/close" not in page


async def test_what_the_chart_draws_is_what_the_tables_say(day: Daemon) -> None:
    page = await shown(day, "/position", id=EURO)
    levels, marks = (
        json.loads(html.unescape(re.search(rf'data-{name}="([^"]*)"', page)[1]))  # type: ignore[index]
        for name in ("levels", "marks")
    )

    assert (levels["entry"], levels["stop"], levels["mark"]) == (1.08412, 1.0896, 1.08655)
    assert len(levels["targets"]) == 2
    assert len(levels["newest"]) == 3
    assert [(each["role"], each["side"], each["price"]) for each in marks["fills"]] == [
        ("entry", "sell", 1.08412),
        ("exit", "buy", 1.07824),
    ]
    assert [to for _, to in marks["stops"]] == [1.0949612, 1.0931, 1.0912, 1.0896]
    assert 'data-source="/api/chart?symbol=EUR_USD&amp;timeframe=1h&amp;limit=500"' in page


async def test_a_position_without_a_signal_says_that_it_was_taken_over(day: Daemon) -> None:
    adopted = open_position(50, "NVDA", "100", quantity="1", risk="1", entry_order_id=ClientOrderId("TBadopted"))
    await store(day.stores, adopted)

    page = await shown(day, "/position", id="position-50")

    assert "taken over from the venue" in page
    assert "/signal?" not in page


async def test_a_position_that_is_not_there_is_404_and_one_without_id_400(day: Daemon) -> None:
    assert (await day.get("/position?id=none"))[0] == 404
    assert (await day.get("/position"))[0] == 400
    assert (await day.get("/position?id=%00"))[0] == 400
    assert (await day.get("/position/close?id=none"))[0] == 404


# -------------------------------------------------------------------------------------------------------------- orders


async def test_orders_are_counted_by_state_and_an_unknown_one_is_explained(day: Daemon) -> None:
    words = words_of(await shown(day, "/orders"))

    assert f"1 UNKNOWN. {STATE_WORDS[OrderState.UNKNOWN]} Show it" in words
    assert "live 4 UNKNOWN 1 WORKING 3 FILLED 6" in words


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "UNKNOWN"}, ["TBd0123456789ABCDE02X2"]),
        ({"state": "live", "symbol": "XAU_USD"}, ["TBd0123456789ABCDE03E0"]),
        ({"role": "stop"}, ["TBd0123456789ABCDE01S0", "TBd0123456789ABCDE02S0"]),
        ({"role": "exit", "broker": "binance"}, ["TBd0123456789ABCDE05X1"]),
        ({"state": "DENIED"}, []),
    ],
    ids=str,
)
async def test_orders_are_chosen_by_a_plain_form(day: Daemon, query: dict[str, str], expected: list[str]) -> None:
    page = await shown(day, "/orders", **query)

    assert ids_in(page, "/order") == expected
    assert expected or "No order is like that." in page


async def test_orders_go_on_page_by_page_without_a_gap(day: Daemon) -> None:
    position = await day.stores.orders.position(BITCOIN)
    plain = entry_order(position, role=OrderRole.EXIT, signal_id=None, symbol=Symbol("ETH/USDT"))
    names = [f"TB{number:03d}" for number in range(60)]
    await day.stores.orders.record_intent(
        [replace(plain, client_order_id=ClientOrderId(each)) for each in names], signal_id=None
    )

    first = await shown(day, "/orders", symbol="ETH/USDT")
    (older,) = re.findall(r'href="\?([^"]+)">Older', first)
    _, second = await day.get(f"/orders?{html.unescape(older)}")

    assert [*ids_in(first, "/order"), *ids_in(second, "/order")] == names[::-1]


async def test_an_order_tells_every_step_it_took_and_what_its_state_means(day: Daemon) -> None:
    words = words_of(await shown(day, "/order", id="TBd0123456789ABCDE02X2"))

    assert STATE_WORDS[OrderState.UNKNOWN] in words
    assert "SENDING UNKNOWN oanda: no usable answer within 10 s" in words
    assert "Nothing of it was filled yet." in words


async def test_an_order_that_is_not_there_is_404_and_one_without_id_400(day: Daemon) -> None:
    assert (await day.get("/order?id=none"))[0] == 404
    assert (await day.get("/order"))[0] == 400


async def test_only_an_entry_that_waits_offers_to_be_cancelled(day: Daemon) -> None:
    assert "/order/cancel" in await shown(day, "/order", id="TBd0123456789ABCDE03E0")
    assert "/order/cancel" not in await shown(day, "/order", id="TBd0123456789ABCDE01E0")  # filled
    assert "/order/cancel" not in await shown(day, "/order", id="TBd0123456789ABCDE01S0")  # a stop protects
    assert "nothing to take back" in await shown(day, "/order/cancel", id="TBd0123456789ABCDE01S0")


# ---------------------------------------------------------------------------------------------------------------- acts


async def sent(daemon: Daemon, path: str, id_: str, reason: str = "") -> tuple[int, str]:
    """Ask, then confirm, as a person does with two clicks."""
    page = await shown(daemon, path, id=id_)
    answer = await daemon.post(path, {"csrf": token_in(page), "id": id_, "reason": reason})
    return answer.status, await answer.text()


async def test_a_position_is_closed_at_the_venue_after_a_question_and_written_down(desk: Desk, trading: Daemon) -> None:
    await trading.enter()
    await desk.bought()

    question = words_of(await shown(trading, "/position/close", id=_OPENED.position_id))
    asked = await desk.at_venue()
    status, _ = await sent(trading, "/position/close", _OPENED.position_id, "news")
    entries = [(each.who, each.what, each.detail, each.result) for each in await desk.stores.audit.page(1)]

    assert "is closed at market" in question
    assert asked is not None, "asking closes nothing"
    assert status == 303
    assert await desk.at_venue() is None
    assert len(await desk.exits()) == 1
    assert entries == [("admin", "position closed", f"{_OPENED.position_id} EUR_USD news", AuditResult.OK)]
    assert "Nothing of it is open" in await shown(trading, "/position/close", id=_OPENED.position_id)


async def test_a_second_click_on_an_old_page_closes_nothing_twice(desk: Desk, trading: Daemon) -> None:
    """O3: a stale tab, clicked twice."""
    await trading.enter()
    await desk.bought()
    page = await shown(trading, "/position/close", id=_OPENED.position_id)
    form = {"csrf": token_in(page), "id": _OPENED.position_id}

    statuses = [(await trading.post("/position/close", form)).status for _ in range(2)]

    assert statuses == [303, 303]
    assert len(await desk.exits()) == 1


async def test_a_close_that_the_venue_refuses_is_told_and_the_stop_stays(desk: Desk, trading: Daemon) -> None:
    await trading.enter()
    await desk.bought()
    desk.broker.place_faults.append(Fault.REJECTED)

    status, page = await sent(trading, "/position/close", _OPENED.position_id)
    resting = await desk.at_venue()

    assert status == 409
    assert "10 left" in page
    assert resting is not None
    assert resting.stop_price is not None


async def test_an_entry_that_waits_is_taken_back_at_the_venue(desk: Desk, trading: Daemon) -> None:
    await trading.enter()
    await desk.bought(kind=OrderKind.LIMIT, limit_price=Decimal(99))

    status, _ = await sent(trading, "/order/cancel", _OPENED.client_order_id)

    assert status == 303
    assert (await desk.order(_OPENED.client_order_id)).state is OrderState.CANCELED
    assert list(await desk.venue.open_orders()) == []


async def test_who_may_only_look_neither_closes_nor_cancels(desk: Desk, trading: Daemon) -> None:
    await desk.bought()
    await trading.send_login(user="vera")
    page = await shown(trading, "/position", id=_OPENED.position_id)
    form = {"csrf": token_in(page), "id": _OPENED.position_id}

    statuses = [(await trading.post(path, form)).status for path in ("/position/close", "/order/cancel")]

    assert 'data-may="read"' in page  # the button needs "trade", and is not shown
    assert statuses == [403, 403]
    assert (await trading.get(f"/position/close?id={_OPENED.position_id}"))[0] == 403
    assert await desk.at_venue() is not None


async def test_a_form_that_is_not_ours_closes_nothing(desk: Desk, trading: Daemon) -> None:
    await trading.enter()
    await desk.bought()

    answer = await trading.post("/position/close", {"csrf": "guessed", "id": _OPENED.position_id})

    assert answer.status == 403
    assert await desk.at_venue() is not None


# ------------------------------------------------------------------------------------------------------- hostile, words


async def test_hostile_text_of_orders_positions_and_journal_stays_text(day: Daemon) -> None:
    name = PositionId(_HOSTILE)
    hostile = open_position(60, "NVDA", "100", quantity="1", risk="1", exit_reason=_HOSTILE)
    hostile = replace(hostile, id=name, symbol=Symbol(_HOSTILE), entry_order_id=ClientOrderId(_HOSTILE))
    await store(day.stores, hostile, reason=_HOSTILE)
    data: dict[str, object] = {"position": name, _HOSTILE: _HOSTILE, "list": [_HOSTILE]}
    await day.stores.journal.append(JournalEntry(at=NOW, kind=_HOSTILE, task_id=None, data=data))

    pages = [
        await shown(day, path, id=_HOSTILE)
        for path in ("/position", "/order", "/position/close", "/order/cancel", "/positions", "/orders")
    ]

    for page in pages:
        assert "&lt;script&gt;alert(1)" in page
        for bad in ("<script>alert", "<img", "<hx-partial", "49<"):
            assert bad not in page


def test_every_state_of_an_order_is_explained() -> None:
    assert set(STATE_WORDS) == set(OrderState)


def test_only_live_entries_may_be_cancelled() -> None:
    position = open_position(1, "NVDA", "100", quantity="1", risk="1")

    assert all(may_cancel(entry_order(position, state=each)) is (each in LIVE) for each in OrderState)
    assert not any(may_cancel(entry_order(position, state=each, role=OrderRole.STOP)) for each in OrderState)


def test_a_plan_is_told_in_the_order_in_which_it_comes_to_pass() -> None:
    position = open_position(1, "NVDA", "100", quantity="1", risk="1", break_even=True)
    trail = Trail(kind=TrailKind.PERCENT, distance_ratio=Decimal("0.01"), activation_ratio=Decimal("0.02"))
    plan = replace(
        position.plan, break_even_fraction=Decimal("0.8"), trail=trail, deadline=NOW, deadline_reason="TIMEOUT"
    )

    told = plan_words(replace(position, plan=plan), quantity)

    assert told == [
        "The stop rests at the venue at 99; it closes whatever is left.",
        "Target 1 at 102.2 closes 50 % of the first quantity.",
        "Target 2 at 104 closes the rest.",
        "At 80 % of the way to the last target the stop moves to the entry. Done.",
        "From 2.0 % in profit on, the stop follows the best price at a distance of 1.0 %.",
        "What is left at 2025-03-04 14:00 UTC is closed at market (TIMEOUT).",
    ]


def test_a_progressive_trail_is_told_with_its_steps() -> None:
    position = open_position(1, "NVDA", "100", quantity="1", risk="1", trailing=True)
    plan = replace(position.plan, trail=Trail(kind=TrailKind.PROGRESSIVE), break_even_target=1)

    told = plan_words(replace(position, plan=plan), quantity)

    assert told[-2:] == [
        "After target 1 the stop moves to the entry.",
        "After target 1 the stop follows the best price, from 1 R behind it to 0.25 R at the last target, in steps of "
        "at least 0.1 R. It does so now.",
    ]
