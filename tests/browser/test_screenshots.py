"""The pictures of the manual: each shows what the page beside it speaks of, without an error, and is small.

They are taken in every run, and written where BOT_SCREENSHOTS names a directory:
BOT_SCREENSHOTS=docs/images ./botctl test tests/browser/test_screenshots.py
"""

import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final, Literal

import pytest
from PIL import Image
from playwright.async_api import Page, expect
from yarl import URL

from bot.dashboard.parts import PARTS
from bot.models import KillCause, KillLevel, KillState
from tests.browser.conftest import Site, Visitor
from tests.fakes.dashboard_day import NOW, entry_signal
from tests.fakes.dashboard_story import BITCOIN
from tests.fakes.dashboard_years import fill_weeks, weeks

_WRITE_TO: Final = os.environ.get("BOT_SCREENSHOTS", "")
_IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
_MOST_BYTES: Final = 120_000
_COLOURS: Final = 200
_DESK: Final = 1280
_PHONE: Final = 390

Prepare = Callable[[Site], Awaitable[None]]


async def _nothing(_: Site) -> None:
    """The day as it is."""


async def _weeks_before(site: Site) -> None:
    await fill_weeks(site.stores, weeks(signals=300, trades=80, snapshots=0))


async def _flatten(site: Site) -> None:
    reason = "spreads are mad"
    await site.app[PARTS].kill.press(
        KillState(level=KillLevel.FLATTEN, by="carla", cause=KillCause.COMMAND, reason=reason, at=NOW)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shot:
    """One picture: `shows` is what it is about, `from_` the element that it begins with (none: the top of the page)."""

    name: str
    path: str
    shows: str
    height: int = 800
    width: int = _DESK
    theme: Literal["light", "dark"] = "light"
    from_: str = ""
    drawn: str = ""  # a canvas that must be there
    before: Prepare = _nothing


def _signal(symbol: str, number: int) -> str:
    return str(URL("/signal").with_query(id=entry_signal(symbol, number).id))


# Of one width in this order: what a `before` adds to the site stays for the shots that follow.
SHOTS: Final[Sequence[Shot]] = (
    Shot(name="home", path="/", shows="Nothing is stopped", height=900),
    Shot(
        name="position",
        path=str(URL("/position").with_query(id=BITCOIN)),
        shows="BTC/USDT",
        drawn="#price-chart canvas",
        theme="dark",
    ),
    Shot(name="signal", path=_signal("BTC/USDT", 1), shows="Traded", drawn="#signal-chart canvas", height=760),
    Shot(name="rules", path=_signal("SOL/USDT", 9), shows="failed first", from_="#rules", height=600),
    Shot(name="settings", path="/config?text=oanda", shows="OANDA_ACCOUNT_ID", height=640),
    Shot(name="signals", path="/signals", shows="What stopped them", before=_weeks_before),
    Shot(name="performance", path="/performance", shows="R", drawn="#performance-plot canvas", theme="dark"),
    Shot(name="stopped", path="/", shows="FLATTEN", before=_flatten, height=460),
    Shot(name="home-phone", path="/", shows="Nothing is stopped", width=_PHONE, height=844, theme="dark"),
    Shot(name="ask-phone", path="/kill?level=flatten", shows="Flatten", width=_PHONE, height=844),
)


@pytest.mark.parametrize("width", [_DESK, _PHONE])
async def test_every_picture_of_the_manual_shows_what_it_is_about(
    site: Site, visit: Visitor, tmp_path: Path, width: int
) -> None:
    browser = await visit(width=width, reduced_motion="reduce")
    target = Path(_WRITE_TO).absolute() if _WRITE_TO else tmp_path
    sizes: dict[str, int] = {}

    for shot in SHOTS:
        if shot.width != width:
            continue
        await shot.before(site)
        await _show(browser.page, site, shot)
        file = target / f"{shot.name}.png"
        _write(await browser.page.screenshot(), file)
        sizes[shot.name] = file.stat().st_size

    assert browser.troubles == []
    assert {name: size for name, size in sizes.items() if size > _MOST_BYTES} == {}


def test_the_manual_has_exactly_these_pictures() -> None:
    kept = {each.stem for each in _IMAGES.glob("*.png")}

    assert kept == {each.name for each in SHOTS}, (
        "BOT_SCREENSHOTS=docs/images ./botctl test tests/browser/test_screenshots.py"
    )


async def _show(page: Page, site: Site, shot: Shot) -> None:
    """The page as a reader sees it who has waited for it."""
    await page.set_viewport_size({"width": shot.width, "height": shot.height})
    await page.emulate_media(color_scheme=shot.theme)
    await page.goto(f"{site.url}{shot.path}")
    if await page.locator("#live").count():
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
    if shot.drawn:
        await expect(page.locator(shot.drawn).first).to_be_visible()
    if shot.from_:
        await page.locator(shot.from_).first.evaluate("element => element.scrollIntoView()")
    await expect(page.locator(shot.from_ or "main").get_by_text(shot.shows).first).to_be_in_viewport()


def _write(png: bytes, file: Path) -> None:
    """In few colours, which a page of text and lines has anyway."""
    picture = Image.open(BytesIO(png)).convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    picture.save(file, optimize=True)
