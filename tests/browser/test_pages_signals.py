"""Signals, one signal, performance and risk in a real browser: charts are drawn, choices work, pages move."""

from dataclasses import replace

import pytest
from playwright.async_api import expect
from yarl import URL

from bot.models import JournalEntry, KillCause, KillLevel, KillState, SignalId
from tests.browser.conftest import Site, Visitor
from tests.fakes.dashboard_day import NOW, entry_signal, signal_record
from tests.fakes.dashboard_years import fill_weeks, weeks

_WITHIN_MS = 2_500
_ENTRY = JournalEntry(at=NOW, kind="test", task_id=None, data={})
_HAS_INK = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return data.some(value => value > 0);
}"""


def signal_page(site: Site, number: int = 1, symbol: str = "BTC/USDT") -> str:
    return str(URL(f"{site.url}/signal").with_query(id=entry_signal(symbol, number).id))


async def test_a_choice_lists_only_that_and_older_goes_on(site: Site, visit: Visitor) -> None:
    await fill_weeks(site.stores, weeks(signals=300, trades=0, snapshots=0))
    browser = await visit()

    await browser.page.goto(f"{site.url}/signals")
    await browser.page.get_by_label("Symbol").select_option("EUR_USD")
    await browser.page.get_by_role("button", name="Show").click()
    first = await browser.page.locator("#signal-list tbody th a").all_inner_texts()
    await browser.page.get_by_role("link", name="Older").click()
    await expect(browser.page.get_by_role("heading", name="Older ones")).to_be_visible()
    second = await browser.page.locator("#signal-list tbody th a").all_inner_texts()

    assert set(first) == set(second) == {"EUR_USD"}
    assert browser.troubles == []


async def test_a_new_signal_appears_in_the_list_without_a_reload(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await browser.page.goto(f"{site.url}/signals")
    await expect(browser.page.locator("#live")).to_have_attribute("data-state", "live")

    fresh = entry_signal("NVDA", id=SignalId("fresh"))
    await site.stores.signals.record(signal_record(fresh, "refused", "OPEN_RISK: too much of it"))
    site.events.publish(_ENTRY)

    await expect(browser.page.locator("#signal-list")).to_contain_text("too much of it", timeout=_WITHIN_MS)


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_chart_of_a_signal_is_drawn(site: Site, visit: Visitor, scheme: str) -> None:
    browser = await visit(color_scheme=scheme)
    await browser.page.goto(signal_page(site))
    canvas = browser.page.locator("#signal-chart canvas").first
    await expect(canvas).to_be_visible()
    drawn = [await each.evaluate(_HAS_INK) for each in await browser.page.locator("#signal-chart canvas").all()]
    assert any(drawn)
    assert browser.troubles == []


async def test_the_steps_of_a_signal_lead_to_what_they_speak_of(site: Site, visit: Visitor) -> None:
    browser = await visit(width=390)
    await browser.page.goto(signal_page(site, 9, "SOL/USDT"))
    await browser.page.locator("ol.steps").get_by_text("Rules").click()
    await expect(browser.page.locator("#rules")).to_be_in_viewport()
    await expect(browser.page.locator("tr.first-failure")).to_contain_text("trend strength")
    assert browser.troubles == []


async def test_equity_and_falls_are_drawn_in_the_place_of_the_still_pictures(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await browser.page.goto(f"{site.url}/performance")

    plots = browser.page.locator("#performance-plot .uplot canvas")
    await expect(plots).to_have_count(2)
    assert [await each.evaluate(_HAS_INK) for each in await plots.all()] == [True, True]
    await expect(browser.page.locator("#curves svg").first).to_be_hidden()
    assert browser.troubles == []


async def test_without_scripts_the_pictures_of_the_server_are_there(site: Site, visit: Visitor) -> None:
    browser = await visit(java_script_enabled=False)
    await browser.page.goto(f"{site.url}/performance")
    await expect(browser.page.locator("#curves svg").first).to_be_visible()
    await browser.page.goto(f"{site.url}/signals")
    await browser.page.get_by_role("link", name="rule 7").click()
    await expect(browser.page.locator("#signal-list tbody tr")).to_have_count(1)


async def test_a_press_of_the_kill_switch_is_seen_on_the_risk_page_at_once(site: Site, visit: Visitor) -> None:
    browser = await visit()
    await browser.page.goto(f"{site.url}/risk")
    await expect(browser.page.locator("#live")).to_have_attribute("data-state", "live")

    pressed = KillState(level=KillLevel.PAUSE, by="anna", cause=KillCause.PAGE, reason="", at=NOW)
    await site.stores.kills.set(replace(pressed, reason="a look"))
    site.events.publish(_ENTRY)

    await expect(browser.page.locator("#risk-entries")).to_contain_text("PAUSE by anna", timeout=_WITHIN_MS)


@pytest.mark.parametrize("width", [390, 1280])
async def test_no_page_is_wider_than_the_screen_with_weeks_of_rows(site: Site, visit: Visitor, width: int) -> None:
    await fill_weeks(site.stores, weeks(signals=200, trades=80, snapshots=400))
    browser = await visit(width=width)
    for path in ("/signals", "/performance", "/performance?by=symbol", "/risk"):
        await browser.page.goto(f"{site.url}{path}")
        assert await browser.page.evaluate("document.documentElement.scrollWidth") <= width, path
    await browser.page.goto(signal_page(site))
    assert await browser.page.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.troubles == []
