"""The page in a real browser: it moves, it stays put while it moves, and the policy blocks nothing of it."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from playwright.async_api import Page, expect

from bot.dashboard.sessions import SESSIONS
from bot.instruments import Symbol
from bot.models import JournalEntry, PositionId, SignalId
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


async def _overflow(page: Page) -> Any:
    return await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")


async def _mark(site: Site, price: str) -> None:
    position = await site.stores.orders.position(PositionId("position-1"))
    await site.stores.orders.save_position(replace(position, mark_price=Decimal(price)))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_loads_without_an_error_and_without_sideways_scrolling(
    site: Site, visit: Visitor, width: int, scheme: str
) -> None:
    browser = await visit(width=width, color_scheme=scheme)
    await _live(browser.page)
    widths = [await _overflow(browser.page)]

    await browser.page.locator("#signals tbody a").nth(1).click()
    await expect(browser.page.locator("h1")).to_contain_text("SOL/USDT")
    widths.append(await _overflow(browser.page))
    await browser.page.get_by_label("Breadcrumb").get_by_role("link", name="Home").click()
    await _live(browser.page)
    await browser.page.get_by_role("button", name="Log out").click()
    await expect(browser.page).to_have_url(f"{site.url}/login")
    widths.append(await _overflow(browser.page))

    assert browser.troubles == []
    assert widths == [0, 0, 0]


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
    await browser.page.evaluate("document.querySelector('#positions .scroll').scrollLeft = 150")

    await _mark(site, "64555.25")
    await expect(browser.page.locator("#positions .mark", has_text="64,555.25")).to_have_count(1, timeout=_WITHIN_MS)

    await expect(link).to_be_focused()
    assert await browser.page.evaluate("document.querySelector('#positions .scroll').scrollLeft") == 150


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

    site.app[SESSIONS].close(token)
    await _mark(site, "64555.25")

    await expect(browser.page.get_by_role("link", name="log in again")).to_be_visible()


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
    assert await browser.page.locator("#signals tbody tr").count() == 5
