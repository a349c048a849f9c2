"""Account, users and audit in a real browser: usable in both themes and on a phone, and the policy blocks nothing."""

import pytest
from playwright.async_api import Page, expect

from bot.dashboard.parts import PARTS
from bot.dashboard.second_factor import code_of, step_of
from tests.browser.conftest import Site, Visitor
from tests.fakes.dashboard_day import PASSWORD


async def _overflow(page: Page) -> int:
    """How many pixels it is too wide. A form's answer shows its text before its style sheets have come."""
    await page.wait_for_load_state()
    width: int = await page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    return width


async def _log_in_by_password(site: Site, page: Page) -> None:
    await page.context.clear_cookies()
    await page.goto(f"{site.url}/login")
    await page.get_by_label("Name").fill("admin")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await expect(page).to_have_url(f"{site.url}/")


async def _small_targets(page: Page) -> list[str]:
    """Buttons and fields below 24 px."""
    found: list[str] = await page.evaluate(
        """[...document.querySelectorAll("main button, main select, main input:not([type=hidden])")]
        .filter(each => each.offsetParent !== null)
        .filter(each => { const box = (each.closest("label") ?? each).getBoundingClientRect();
                          return box.width < 24 || box.height < 24; })
        .map(each => each.outerHTML)"""
    )
    return found


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_page_about_people_fits_and_is_clean(site: Site, visit: Visitor, width: int, scheme: str) -> None:
    browser = await visit(width=width, color_scheme=scheme)
    await _log_in_by_password(site, browser.page)
    found = {}
    for path in ("account", "users", "audit", "step-up"):
        await browser.page.goto(f"{site.url}/{path}")
        found[path] = (await _overflow(browser.page), await _small_targets(browser.page))

    await browser.page.goto(f"{site.url}/account")
    await browser.page.get_by_label("What is it for?").fill("screen in the hall")
    await browser.page.get_by_role("button", name="Make a token").click()
    await expect(browser.page.locator(".once")).to_contain_text("tb_")
    found["token"] = (await _overflow(browser.page), await _small_targets(browser.page))

    assert found == dict.fromkeys(found, (0, []))
    assert browser.troubles == []


async def test_a_second_factor_is_set_up_by_hand_and_asked_for_at_the_next_login(site: Site, visit: Visitor) -> None:
    browser = await visit(width=390)
    page = browser.page
    await _log_in_by_password(site, page)
    await page.goto(f"{site.url}/account")
    await page.get_by_role("button", name="Set one up").click()
    assert await page.locator("img.qr").evaluate("image => image.naturalWidth") > 100
    seed = (await page.locator("code.secret").inner_text()).replace(" ", "")
    await page.get_by_label("Code").fill(code_of(seed, step_of(site.app[PARTS].clock.now())))
    await page.get_by_role("button", name="Check the code").click()
    await expect(page.locator(".codes li")).to_have_count(10)
    recovery = await page.locator(".codes code").first.inner_text()
    await page.get_by_role("button", name="I have kept them").click()
    await expect(page.locator("#second-factor")).to_contain_text("10 of 10 recovery codes")

    await page.context.clear_cookies()
    await page.goto(f"{site.url}/login")
    await page.get_by_label("Name").fill("admin")
    await page.get_by_label("Password").fill(PASSWORD)
    await page.get_by_label("Code of your authenticator").fill(recovery)
    await page.get_by_role("button", name="Log in").click()

    await expect(page).to_have_url(f"{site.url}/")
    assert browser.troubles == []


async def test_whoever_came_by_the_printed_link_confirms_first_and_then_adds_somebody(
    site: Site, visit: Visitor
) -> None:
    browser = await visit()
    page = browser.page
    await page.goto(f"{site.url}/users")
    await page.get_by_role("link", name="confirm with your password").click()
    await page.get_by_label("Password of admin").fill(PASSWORD)
    await page.get_by_role("button", name="Confirm").click()
    await expect(page).to_have_url(f"{site.url}/users")
    await page.get_by_label("Name", exact=True).fill("carla")
    await page.get_by_role("button", name="Add").click()

    await expect(page.locator(".once")).to_contain_text("carla")
    await expect(page.locator("#people")).to_contain_text("must choose a password")
    await page.get_by_role("link", name="Audit").first.click()
    await expect(page.locator("#audit tbody tr").first).to_contain_text("user add")
    assert browser.troubles == []
