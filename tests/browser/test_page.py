"""The page in a real browser: it moves, it stays put while it moves, and the policy blocks nothing of it."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from playwright.async_api import Page, expect

from bot.dashboard.parts import PARTS
from bot.dashboard.sessions import SESSIONS
from bot.instruments import Symbol
from bot.models import JournalEntry, KillCause, KillLevel, KillState, PositionId, SignalId
from tests.browser.conftest import Site, Visitor
from tests.fakes.dashboard_day import NOW, entry_signal, signal_record

_WITHIN_MS = 2_000
_ENTRY = JournalEntry(at=NOW, kind="test", task_id=None, data={})
_UNTIL_MESSAGE_WITH = """text => new Promise(resolve => {
  document.getElementById("stream").addEventListener("htmx:sse:before:message", event => {
    if (event.detail.message.data.includes(text)) setTimeout(resolve); // after whatever it would have changed
  });
})"""


async def _live(page: Page) -> None:
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")


async def _mark(site: Site, price: str) -> None:
    position = await site.stores.orders.position(PositionId("position-1"))
    await site.stores.orders.save_position(replace(position, mark_price=Decimal(price)))


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_phone_opens_the_menu_goes_to_a_page_and_logs_out(site: Site, visit: Visitor, scripts: bool) -> None:
    browser = await visit(width=390, java_script_enabled=scripts)
    menu = browser.page.get_by_role("button", name="Menu")

    await expect(browser.page.get_by_role("link", name="Orders", exact=True)).to_be_hidden()
    await menu.click()
    await browser.page.get_by_role("link", name="Orders", exact=True).click()
    await expect(browser.page.locator("h1")).to_have_text("Orders")
    await menu.click()
    await browser.page.get_by_role("button", name="Log out").click()

    await expect(browser.page).to_have_url(f"{site.url}/login")
    assert browser.troubles == []


async def test_what_matters_most_is_seen_on_a_phone_without_scrolling(visit: Visitor) -> None:
    browser = await visit(width=390)
    await browser.page.set_viewport_size({"width": 390, "height": 844})
    await _live(browser.page)

    for text in ("DEV", "Healthy", "Equity", "Today, since 00:00 UTC", "Open risk", "Nothing is stopped"):
        await expect(browser.page.get_by_text(text, exact=False).first).to_be_in_viewport(ratio=1)
    await expect(browser.page.get_by_role("button", name="Pause entries")).to_be_in_viewport(ratio=1)
    await expect(browser.page.get_by_role("button", name="Halt")).to_be_in_viewport(ratio=1)


async def test_a_chosen_theme_is_kept_and_is_there_before_any_script_runs(site: Site, visit: Visitor) -> None:
    browser = await visit(color_scheme="light")
    root, ground = browser.page.locator("html"), "getComputedStyle(document.documentElement).backgroundColor"
    button = browser.page.get_by_role("button", name="Theme")
    light = await browser.page.evaluate(ground)

    await button.click()
    await button.click()
    dark = await browser.page.evaluate(ground)
    answer = await browser.page.request.get(site.url)
    await browser.page.reload()

    assert light != dark
    assert 'data-theme="dark"' in await answer.text()
    await expect(root).to_have_attribute("data-theme", "dark")
    await expect(button).to_have_text("Theme: dark")
    await button.click()
    await expect(root).not_to_have_attribute("data-theme", re.compile(".*"))
    assert browser.troubles == []


async def test_a_press_of_the_kill_switch_is_seen_on_every_page_at_once(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await browser.page.goto(f"{site.url}/orders")
    await _live(browser.page)
    await expect(browser.page.locator("#state")).to_contain_text("Trading is on")

    state = KillState(level=KillLevel.PAUSE, by="ada", cause=KillCause.COMMAND, reason="lunch", at=NOW)
    await site.app[PARTS].kill.press(state)

    await expect(browser.page.locator("#state")).to_contain_text("PAUSE", timeout=_WITHIN_MS)


@pytest.mark.parametrize("width", [390, 1280])
async def test_a_price_changes_on_the_page_within_two_seconds_of_the_mark(
    site: Site, visit: Visitor, width: int
) -> None:
    browser = await visit(width=width)
    row = browser.page.locator("#positions tr", has_text="BTC/USDT")
    await _live(browser.page)
    await expect(row.locator(".mark")).to_have_text("64,790.00")

    await _mark(site, "64555.25")
    await expect(row.locator(".mark")).to_have_text("64,555.25", timeout=_WITHIN_MS)
    await _mark(site, "64102.75")
    await expect(row.locator(".mark")).to_have_text("64,102.75", timeout=_WITHIN_MS)

    await expect(row).to_contain_text("−17.18")
    assert browser.troubles == []


async def test_the_focus_and_the_place_in_a_table_stay_while_the_page_moves(site: Site, visit: Visitor) -> None:
    browser = await visit(width=390)
    await _live(browser.page)
    link = browser.page.locator("#positions a", has_text="BTC/USDT")
    await link.focus()
    await browser.page.evaluate("document.querySelector('#positions .scroll').scrollLeft = 80")

    await _mark(site, "64555.25")
    await expect(browser.page.locator("#positions .mark", has_text="64,555.25")).to_have_count(1, timeout=_WITHIN_MS)

    await expect(link).to_be_focused()
    assert await browser.page.evaluate("document.querySelector('#positions .scroll').scrollLeft") == 80


async def test_hostile_text_in_a_live_update_does_nothing(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await _live(browser.page)
    hostile = "<img src=x onerror=alert(1)><script>alert(2)</script><hx-partial hx-target='#main'>gone</hx-partial>"

    signal = replace(entry_signal(), id=SignalId(hostile), symbol=Symbol(hostile))
    await site.stores.signals.record(signal_record(signal, reason=hostile))
    site.events.publish(_ENTRY)

    await expect(browser.page.locator("#signals")).to_contain_text("<img src=x", timeout=_WITHIN_MS)
    assert await browser.page.locator("#signals img, #signals script").count() == 0
    await expect(browser.page.locator("#positions")).to_contain_text("BTC/USDT")
    assert browser.troubles == []


async def test_the_page_says_so_when_the_session_has_ended(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await _live(browser.page)
    cookies = await browser.context.cookies()
    (token,) = (each["value"] for each in cookies if "session" in each["name"])

    await site.app[SESSIONS].close(token)
    await _mark(site, "64555.25")

    await expect(browser.page.get_by_role("link", name="log in again")).to_be_visible()


async def test_a_page_that_is_not_let_watch_at_first_says_so_and_comes_again(site: Site, visit: Visitor) -> None:
    """A daemon that was started again has many at its door; the page must not look as if it were about to be live."""
    browser = await visit()
    await browser.page.clock.install()
    await browser.page.route("**/events?*", lambda route: route.fulfill(status=503), times=1)

    await browser.page.goto(site.url)
    await expect(browser.page.locator("#live")).to_have_text("Not live: trying again")
    await browser.page.clock.fast_forward(6_000)

    await _live(browser.page)


async def test_a_paused_page_holds_still_and_a_resumed_one_is_up_to_date(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await _live(browser.page)
    mark = browser.page.locator("#positions tr", has_text="BTC/USDT").locator(".mark")
    await browser.page.get_by_role("button", name="Freeze page", exact=True).click()

    await _mark(site, "64555.25")
    await browser.page.evaluate(_UNTIL_MESSAGE_WITH, "64,555.25")
    await expect(mark).to_have_text("64,790.00")
    await browser.page.get_by_role("button", name="Unfreeze page").click()

    await expect(mark).to_have_text("64,555.25")
    await _live(browser.page)


async def test_the_page_is_complete_without_scripts(site: Site, visit: Visitor) -> None:
    browser = await visit(java_script_enabled=False)

    await expect(browser.page.locator("#positions .mark").first).to_be_visible()
    await expect(browser.page.locator("#live")).to_have_text("Updates: reload the page")
    assert await browser.page.locator("#signals tbody tr").count() == 8
    assert await browser.page.get_by_role("button", name="Theme").count() == 0
