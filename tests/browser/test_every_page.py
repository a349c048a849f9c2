"""Every page that a link or a form leads to, in both themes, on a phone and on a desk: nothing is out of order.

The walk begins at the menu and follows what it finds, so that a new page is looked at without a word here.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from playwright.async_api import expect

from bot.dashboard.pages import PAGES
from tests.browser.conftest import Site, Visit, Visitor

_VENDOR: Final = Path(__file__).parent / "vendor"
_RULES: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
_RULES_OF_COLOUR: Final = ["color-contrast", "link-in-text-block"]  # all that another theme can change
_LOOK: Final = """async rules => {
  const found = await axe.run(document, { runOnly: rules, resultTypes: ["violations"] });
  return found.violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.target.join(" ")} ${node.html}`));
}"""
_HEADINGS: Final = "[...document.querySelectorAll('h1, h2, h3, h4')].map(each => Number(each.tagName[1]))"
_OVERFLOW: Final = "document.documentElement.scrollWidth - window.innerWidth"
_LEADS_TO: Final = """[
  ...[...document.querySelectorAll("a[href]")].map(each => each.href),
  ...[...document.querySelectorAll("form[method=get]")].map(each =>
    `${each.action}?${new URLSearchParams(new FormData(each))}`),
].filter(each => each.startsWith(location.origin)).map(each => each.split("#")[0])"""
_NO_PAGES: Final = ("/api/", "/static/", "/health", "/metrics", "/ready", "/events", "/logout")


@pytest.mark.parametrize("width", [390, 1280])
async def test_every_page_is_accessible_in_both_themes_fits_and_makes_no_error(
    site: Site, visit: Visitor, width: int
) -> None:
    browser = await visit(width=width, reduced_motion="reduce")  # colours change at once, not by and by
    problems: dict[str, list[str]] = {}
    seen: set[str] = set()

    async for url in _walk(browser, site):
        seen.add(urlsplit(url).path)
        if found := await _problems(browser):
            problems[url] = found

    assert problems == {}
    assert {each.path for each in site.app[PAGES].values() if each.in_menu} <= seen
    assert {"/position", "/order", "/signal", "/kill"} <= seen


async def test_every_link_leads_somewhere(site: Site, visit: Visitor) -> None:
    browser = await visit()
    links: set[str] = set()

    async for _ in _walk(browser, site):
        links |= set(await browser.page.evaluate(_LEADS_TO))
    dead = {
        each: answer.status for each in sorted(links) if (answer := await browser.page.request.get(each)).status >= 400
    }

    assert len(links) > 20
    assert dead == {}


async def _walk(browser: Visit, site: Site) -> AsyncIterator[str]:
    """One example of every address that can be come to, each shown when its turn has come."""
    waiting, known = [f"{site.url}/"], {"/"}
    while waiting:
        url = waiting.pop(0)
        await browser.page.goto(url)
        if await browser.page.locator("#live").count():
            await expect(browser.page.locator("#live")).to_have_attribute("data-state", "live")
        yield url
        for found in await browser.page.evaluate(_LEADS_TO):
            path = urlsplit(found).path
            if path not in known and not path.startswith(_NO_PAGES):
                known.add(path)
                waiting.append(found)


async def _problems(browser: Visit) -> list[str]:
    page, found = browser.page, list(browser.troubles)
    browser.troubles.clear()
    overflow: int = await page.evaluate(_OVERFLOW)
    if overflow > 0:
        found.append(f"is {overflow} px wider than its window")
    headings: list[int] = await page.evaluate(_HEADINGS)
    if headings[:1] != [1] or any(after > before + 1 for before, after in pairwise(headings)):
        found.append(f"headings go {headings}")
    await page.evaluate((_VENDOR / "axe.min.js").read_text(encoding="utf-8"))
    await page.emulate_media(color_scheme="dark")
    found += [f"dark: {each}" for each in await page.evaluate(_LOOK, _RULES_OF_COLOUR)]
    await page.emulate_media(color_scheme="light")
    found += await page.evaluate(_LOOK, _RULES)
    return found


def test_the_vendored_checker_is_what_its_readme_says() -> None:
    readme = (_VENDOR / "README.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (\S+) \|.*\| ([0-9a-f]{64}) \|$", readme, re.MULTILINE))
    found = {
        each.name: hashlib.sha256(each.read_bytes()).hexdigest()
        for each in _VENDOR.iterdir()
        if each.name != "README.md"
    }

    assert found == listed
