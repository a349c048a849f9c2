"""Tasks, Health, Alerts, Log and Config in a real browser: they act, they move, and they work without any script."""

from dataclasses import replace

from loguru import logger
from playwright.async_api import Page, expect

from bot.alerts import Severity
from bot.clock import SystemClock
from bot.dashboard.parts import PARTS
from tests.browser.conftest import Site, Visitor
from tests.fakes.operations_day import day_alert

_WITHIN_MS = 5_000


async def _open(page: Page, site: Site, path: str) -> None:
    await page.goto(site.url + path)
    await expect(page.locator("#live")).to_have_attribute("data-state", "live")


async def _raise(site: Site) -> None:
    """Now, so that its age moves each second."""
    now = SystemClock().now()
    alert = day_alert("fresh1", 0, severity=Severity.CRITICAL, title="EUR_USD: position without a stop", body="p: 1")
    await site.stores.alerts.save(replace(alert, raised_at=now, last_at=now))


async def test_an_alert_is_taken_note_of_by_its_button_also_after_the_page_has_moved(
    site: Site, visit: Visitor
) -> None:
    browser = await visit(width=390)
    await _raise(site)
    await _open(browser.page, site, "/alerts")
    button = browser.page.get_by_role("button", name="Take note of alert fresh1")
    age = browser.page.locator("#alerts_unsettled td.n").first
    before = await age.inner_text()
    await expect(age).not_to_have_text(before, timeout=_WITHIN_MS)

    await button.click()

    await expect(browser.page).to_have_url(f"{site.url}/alerts")
    await expect(button).to_have_count(0)
    assert [each.acked_by for each in await site.stores.alerts.recent(1)] == ["admin"]
    assert browser.troubles == []


async def test_a_new_line_of_the_log_appears_by_itself(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await _open(browser.page, site, "/log?level=WARNING")

    with site.app[PARTS].log.kept():
        logger.warning("a late candle <b>of</b> EUR_USD")

    await expect(browser.page.locator(".log .line").first).to_contain_text(
        "a late candle <b>of</b> EUR_USD", timeout=_WITHIN_MS
    )
    assert browser.troubles == []


async def test_filters_are_used_by_keyboard_and_keep_what_was_asked(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await _open(browser.page, site, "/config")
    await browser.page.get_by_label("Text").fill("telegram token")
    await browser.page.keyboard.press("Enter")

    await expect(browser.page.locator("#config_settings tbody tr")).to_have_count(1)
    await expect(browser.page.get_by_label("Text")).to_have_value("telegram token")
    await browser.page.get_by_role("link", name="Show all").click()
    await expect(browser.page).to_have_url(f"{site.url}/config")
    assert browser.troubles == []


async def test_everything_is_there_without_a_script(site: Site, visit: Visitor) -> None:
    browser = await visit(width=390, java_script_enabled=False)
    seen = {}
    for path, words in (
        ("/tasks", "9 of 10 run"),
        ("/checkup", "2 want attention"),
        ("/alerts", "1 waits for somebody"),
        ("/log?level=ERROR", "no answer within 10 s"),
        ("/config?changed=1", "RISK_PER_TRADE_RATIO"),
    ):
        await browser.page.goto(site.url + path)
        seen[path] = words in await browser.page.inner_text("main")
    await browser.page.goto(f"{site.url}/alerts")
    await browser.page.get_by_role("button", name="Take note of alert 9f31c2").click()

    assert seen == dict.fromkeys(seen, True)
    assert [each.acked_by for each in await site.stores.alerts.recent(1)] == ["admin"]


async def test_a_fold_of_the_history_stays_open_while_the_page_moves(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await _raise(site)
    await _open(browser.page, site, "/alerts")
    fold = browser.page.locator("#alerts_history details").first
    await fold.locator("summary").click()
    age = browser.page.locator("#alerts_unsettled td.n").first
    before = await age.inner_text()
    await expect(age).not_to_have_text(before, timeout=_WITHIN_MS)

    await expect(fold).to_have_attribute("open", "")
