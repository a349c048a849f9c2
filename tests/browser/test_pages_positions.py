"""Positions, their chart and orders in a real browser."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

from playwright.async_api import Page, expect

from bot.models import JournalEntry, OrderState, PositionId
from tests.browser.conftest import Site, Visit, Visitor
from tests.fakes.dashboard_day import NOW
from tests.fakes.dashboard_story import BITCOIN, GOLD, SOLANA

_WITHIN_MS = 2_000


async def _at_position(site: Site, visit: Visitor, id_: PositionId, **options: object) -> Visit:
    browser = await visit(**options)
    await browser.page.goto(f"{site.url}/position?id={id_}")
    return browser


async def _drawn(page: Page) -> bytes:
    """The chart as it is drawn, once it is."""
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    await expect(page.locator(".chart-legend")).to_contain_text("close 64213.50")
    return await page.locator("#price-chart .chart-canvas").screenshot()


async def test_the_chart_is_drawn_from_what_the_server_says_and_moves_with_the_mark(site: Site, visit: Visitor) -> None:
    browser = await _at_position(site, visit, BITCOIN)
    before = await _drawn(browser.page)
    position = await site.stores.orders.position(BITCOIN)

    await site.stores.orders.save_position(replace(position, mark_price=Decimal("65100.00")))
    await expect(browser.page.locator("#position .mark")).to_have_text("65,100.00", timeout=_WITHIN_MS)

    await expect(browser.page.locator("#position")).to_contain_text("+137.51")
    assert await _drawn(browser.page) != before
    assert browser.troubles == []


async def test_a_candle_that_closes_appears_in_the_chart(site: Site, visit: Visitor) -> None:
    browser = await _at_position(site, visit, BITCOIN)
    await _drawn(browser.page)
    await expect(browser.page.locator(".chart-legend")).to_contain_text("2025-03-04 13:00")

    site.candles_until += timedelta(hours=1)

    await expect(browser.page.locator(".chart-legend")).to_contain_text("2025-03-04 14:00", timeout=_WITHIN_MS)
    assert browser.troubles == []


async def test_an_indicator_and_another_theme_are_drawn_on_request(site: Site, visit: Visitor) -> None:
    browser = await _at_position(site, visit, BITCOIN, color_scheme="light")
    plain = await _drawn(browser.page)

    await browser.page.get_by_label("Indicator").select_option("RSI")
    with_indicator = await _drawn(browser.page)
    await browser.page.get_by_label("Indicator").select_option("none")
    without = await _drawn(browser.page)
    for _ in range(2):
        await browser.page.get_by_role("button", name="Theme").click()
    dark = await _drawn(browser.page)

    assert len({plain, with_indicator, dark}) == 3
    assert with_indicator != without
    assert browser.troubles == []


async def test_the_chart_of_a_phone_lets_the_page_scroll_past_it(site: Site, visit: Visitor) -> None:
    browser = await _at_position(site, visit, BITCOIN, width=390, has_touch=True)
    await _drawn(browser.page)

    await browser.page.locator("#position_journal").scroll_into_view_if_needed()

    await expect(browser.page.locator("#journal-title")).to_be_in_viewport()
    assert browser.troubles == []


async def test_a_position_that_nobody_follows_any_more_says_why_it_has_no_chart(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await browser.page.goto(f"{site.url}/position?id={GOLD}")

    await expect(browser.page.get_by_text("No candles of it are kept.")).to_be_visible()
    await expect(browser.page.locator("#price-chart")).to_have_count(0)
    assert browser.troubles == []


async def test_a_position_is_complete_without_scripts(site: Site, visit: Visitor) -> None:
    browser = await _at_position(site, visit, SOLANA, java_script_enabled=False)

    await expect(browser.page.locator("#price-chart-none")).to_contain_text("The chart needs scripts")
    await expect(browser.page.locator("#position_orders")).to_contain_text("INTENT → SENDING → FILLED")
    await expect(browser.page.locator("#position")).to_contain_text("+208.62")


async def test_an_order_that_changes_changes_on_the_page(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await browser.page.goto(f"{site.url}/orders?state=live&symbol=XAU_USD")
    await expect(browser.page.locator("#live")).to_have_attribute("data-state", "live")
    gold = await site.stores.orders.position(GOLD)
    row = browser.page.locator("#order_list tbody tr")
    await expect(row).to_contain_text("WORKING")

    await site.stores.orders.transition(
        gold.entry_order_id,
        expected=OrderState.WORKING,
        state=OrderState.CANCEL_PENDING,
        cause="test",
        at=gold.opened_at,
    )
    site.events.publish(JournalEntry(at=NOW, kind="order", task_id=None, data={}))

    await expect(row).to_contain_text("CANCEL_PENDING", timeout=_WITHIN_MS)
    assert browser.troubles == []


async def test_a_filter_is_chosen_by_keyboard_and_stays_in_the_address(site: Site, visit: Visitor) -> None:
    browser = await visit(width=390)
    await browser.page.goto(f"{site.url}/positions")

    await browser.page.get_by_label("Result").focus()
    await browser.page.keyboard.type("won")
    await browser.page.keyboard.press("Tab")
    await browser.page.keyboard.press("Enter")

    await expect(browser.page).to_have_url(f"{site.url}/positions?symbol=&broker=&strategy=&result=won")
    await expect(browser.page.locator("#closed_positions tbody tr")).to_have_count(1)
    await expect(browser.page.get_by_label("Result")).to_have_value("won")
