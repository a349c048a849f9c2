"""The kill switch and the risk report on the page: forms, confirmation, password; no script is needed."""

import re
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from yarl import URL

from bot.dashboard.parts import PARTS
from bot.dashboard.people import PEOPLE
from bot.database.memory import MemoryStores
from bot.errors import DatabaseUnavailable
from bot.layer4_risk.exposure import RiskReport
from bot.layer4_risk.kill_file import KillFile
from bot.models import KillCause, KillLevel, KillState
from tests.fakes.dashboard_day import API_TOKEN, NOW, PASSWORD, USER, fill_day, risk_of
from tests.integration.test_dashboard import Daemon, served, token_in


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with served() as running:
        await running.enter()
        yield running


def seen_in(page: str) -> str:
    found = re.search(r'name="seen" value="([^"]*)"', page)
    assert found is not None
    return found[1]


async def sent(daemon: Daemon, level: str, **fields: str) -> tuple[int, str]:
    """Ask, then confirm, as a person does with two clicks."""
    _, page = await daemon.get(f"/kill?level={level}")
    data = {"csrf": token_in(page), "seen": seen_in(page), "level": level, **fields}
    answer = await daemon.post("/kill", data)
    return answer.status, await answer.text()


async def held(daemon: Daemon) -> KillState:
    return await daemon.stores.kills.current()


@pytest.mark.parametrize("level", ["pause", "flatten", "halt"])
async def test_each_level_is_asked_about_then_pressed_with_name_and_reason(daemon: Daemon, level: str) -> None:
    status, page = await daemon.get(f"/kill?level={level}")
    assert status == 200
    assert 'method="post"' in page
    assert 'type="password"' not in page, "stopping must not wait for a password"
    assert (await held(daemon)).level is KillLevel.NONE, "asking presses nothing"
    assert (await sent(daemon, level, reason="looks wrong"))[0] == 303
    now = await held(daemon)
    assert (now.level.value, now.by, now.cause, now.reason) == (level, USER, KillCause.PAGE, "looks wrong")


async def test_home_shows_the_state_large_and_the_buttons_as_plain_forms(daemon: Daemon) -> None:
    _, before = await daemon.get("/")
    assert "Trading is on" in before
    assert 'action="/kill"' in before
    assert "Resume" not in before
    await sent(daemon, "flatten", reason="news")
    _, after = await daemon.get("/")
    assert "FLATTEN</strong>" in after
    assert "news" in after
    assert "Resume" in after


async def test_a_double_click_is_one_row(daemon: Daemon) -> None:
    await sent(daemon, "pause")
    await sent(daemon, "pause")
    assert len(await daemon.stores.kills.history(9)) == 1


async def test_home_names_every_level_that_holds_and_what_they_do_together(daemon: Daemon) -> None:
    await sent(daemon, "flatten")
    await sent(daemon, "halt")
    _, page = await daemon.get("/")
    assert "HALT and FLATTEN</strong>" in page
    assert "</span> HALT and FLATTEN</a>" in page, "at the top of every page"
    assert "Nothing that increases risk is sent; every position is being closed at market" in page


async def test_the_page_that_asks_names_every_level_that_holds(daemon: Daemon) -> None:
    await sent(daemon, "flatten")
    await sent(daemon, "halt")
    _, page = await daemon.get("/kill?level=pause")
    assert re.search("Now: <strong>HALT by admin .*; FLATTEN by admin ", page)


async def test_a_form_without_its_token_presses_nothing(daemon: Daemon) -> None:
    answer = await daemon.post("/kill", {"level": "halt", "csrf": "guessed"})
    assert answer.status == 403
    assert (await held(daemon)).level is KillLevel.NONE


async def test_a_form_of_another_site_presses_nothing(daemon: Daemon) -> None:
    _, page = await daemon.get("/kill?level=halt")
    data = {"level": "halt", "csrf": token_in(page)}
    answer = await daemon.post("/kill", data, {"Origin": "https://elsewhere.example"})
    assert answer.status == 403
    assert (await held(daemon)).level is KillLevel.NONE


async def test_the_api_token_reads_the_risk_and_presses_nothing() -> None:
    bearer = {"Authorization": f"Bearer {API_TOKEN}"}
    async with served() as stranger:
        async with stranger.client.get(stranger.url.join(URL("/api/risk")), headers=bearer) as answer:
            report = await answer.json()
        refused = await stranger.post("/kill", {"level": "halt"}, bearer | {"Origin": str(stranger.url.origin())})
        assert refused.status == 401
        assert (await held(stranger)).level is KillLevel.NONE
    assert report["kill"]["level"] == "none"
    assert {each["name"] for each in report["limits"]} >= {"positions", "daily loss", "drawdown"}


@pytest.mark.parametrize("level", ["stop", "", "NONE"])
async def test_a_level_that_does_not_exist_is_a_bad_request(daemon: Daemon, level: str) -> None:
    assert (await daemon.get(f"/kill?level={level}"))[0] == 400


async def test_pause_and_flatten_are_resumed_by_whoever_is_logged_in(daemon: Daemon) -> None:
    await sent(daemon, "pause")
    await sent(daemon, "flatten")
    assert (await sent(daemon, "none", reason="all well"))[0] == 303
    assert (await held(daemon)).level is KillLevel.NONE
    newest = (await daemon.stores.kills.history(1))[0]
    assert (newest.by, newest.reason) == (USER, "resumed on the page: all well")


async def test_halt_is_resumed_with_the_password_only(daemon: Daemon) -> None:
    await sent(daemon, "halt")
    assert (await sent(daemon, "none"))[0] == 401
    status, page = await sent(daemon, "none", password="wrong")
    assert (status, "The password or the code is not right" in page) == (401, True)
    assert (await held(daemon)).level is KillLevel.HALT
    assert (await sent(daemon, "none", password=PASSWORD))[0] == 303
    assert (await held(daemon)).level is KillLevel.NONE


async def test_a_password_that_still_has_to_be_changed_ends_no_halt_and_the_page_says_what_to_do() -> None:
    # Arrange: in by the printed link, which opens the page before the password was changed
    async with served(user="fresh") as daemon:
        first = await daemon.app[PEOPLE].reset("fresh")
        await daemon.enter()
        await sent(daemon, "halt")

        # Act
        status, page = await sent(daemon, "none", password=first)

        # Assert
        assert (status, "Choose your own first" in page, "users passwd" in page) == (403, True, True)
        assert (await held(daemon)).level is KillLevel.HALT


async def test_whoever_came_in_with_a_first_password_is_told_what_to_do_before_resuming() -> None:
    async with served(user="fresh") as daemon:
        first = await daemon.app[PEOPLE].reset("fresh")
        await daemon.send_login("fresh", first)
        await sent(daemon, "halt")

        status, page = await sent(daemon, "none", password=first)

        assert (status, "Choose your own first" in page) == (403, True)
        assert (await held(daemon)).level is KillLevel.HALT


async def test_guessing_the_password_of_a_halt_is_slowed_down(daemon: Daemon) -> None:
    await sent(daemon, "halt")
    statuses = [(await sent(daemon, "none", password=f"guess {each}"))[0] for each in range(5)]
    assert statuses[-1] == 429
    assert (await sent(daemon, "none", password=PASSWORD))[0] == 429
    assert (await held(daemon)).level is KillLevel.HALT


async def test_a_page_shown_before_a_stronger_press_resumes_nothing(daemon: Daemon) -> None:
    # Arrange: a tab that shows PAUSE, and a HALT that came after it
    await sent(daemon, "pause")
    _, stale = await daemon.get("/kill?level=none")
    await sent(daemon, "halt")

    # Act
    answer = await daemon.post("/kill", {"csrf": token_in(stale), "seen": seen_in(stale), "level": "none"})

    # Assert
    assert answer.status == 409
    assert "changed after this page was shown" in await answer.text()
    assert (await held(daemon)).level is KillLevel.HALT


async def test_a_page_of_an_earlier_pause_does_not_resume_a_later_one(daemon: Daemon) -> None:
    await sent(daemon, "pause")
    _, stale = await daemon.get("/kill?level=none")
    await sent(daemon, "none")
    daemon.clock.advance(5)
    await sent(daemon, "pause")
    answer = await daemon.post("/kill", {"csrf": token_in(stale), "seen": seen_in(stale), "level": "none"})
    assert answer.status == 409
    assert (await held(daemon)).level is KillLevel.PAUSE


async def test_resuming_also_removes_the_file(tmp_path: Path) -> None:
    file = KillFile(tmp_path)
    async with served(kill_file=file) as daemon:
        await daemon.enter()
        file.write(KillLevel.PAUSE)
        await daemon.app[PARTS].kill.look()
        assert (await sent(daemon, "none"))[0] == 303
        assert not file.path.exists()
        assert (await daemon.app[PARTS].kill.look()).level is KillLevel.NONE


async def test_what_a_daily_loss_holds_is_still_shown_after_a_resume(daemon: Daemon) -> None:
    latch = KillState(level=KillLevel.PAUSE, by="daemon", cause=KillCause.DAILY_LOSS, reason="3.1 %", at=NOW)
    await daemon.stores.kills.set(latch)
    await sent(daemon, "pause")
    await sent(daemon, "none")
    assert list(await daemon.stores.kills.active()) == [latch]
    assert "daily loss" in (await daemon.get("/"))[1]


async def test_pressing_works_while_the_database_is_down(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    async def down(*_: object) -> bool:
        raise DatabaseUnavailable("the database did not answer")

    monkeypatch.setattr(daemon.stores.kills, "set", down)
    monkeypatch.setattr(daemon.stores.kills, "active", down)
    status, page = await sent(daemon, "halt")
    assert (status, "It holds from now on" in page) == (202, True)
    assert "HALT by admin" in (await daemon.get("/kill?level=halt"))[1]


async def test_the_page_names_a_loss_that_no_stop_of_ours_bounds_beside_the_figure_that_leaves_it_out() -> None:
    stores = MemoryStores()

    async def risk() -> RiskReport:
        return replace(await risk_of(stores), unbounded=("long 2 SPY at ig",))

    async with served(stores, risk=risk) as daemon:
        await daemon.enter()
        _, page = await daemon.get("/risk")
        _, home = await daemon.get("/")

    assert "long 2 SPY at ig" in page
    assert "no stop bounds" in page
    assert "and 1 without a bound" in home


async def test_the_page_shows_limits_used_and_exposure(daemon: Daemon) -> None:
    await fill_day(daemon.stores)
    _, page = await daemon.get("/risk")
    assert "Limits: used against allowed" in page
    for word in ("correlated: crypto long", "BTC", "divergence", "Worst case"):
        assert word in page
