"""Logging in, second factors, sessions, tokens, proxies and the audit over HTTP (S1 to S23)."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from html import unescape
from typing import Any

import aiohttp
import pytest

from bot.access import AuditResult, Role, Scope
from bot.config import DashboardSettings
from bot.dashboard.factors import FACTORS
from bot.dashboard.login_desk import LOGIN_DESK
from bot.dashboard.parts import PARTS
from bot.dashboard.people import PEOPLE
from bot.dashboard.second_factor import code_of, step_of
from bot.dashboard.sessions import SESSIONS, digest
from bot.dashboard.tokens import TOKEN_DESK
from bot.errors import DatabaseUnavailable
from bot.models import KillLevel
from tests.fakes.dashboard_day import PASSWORD, USER, add_user
from tests.integration.test_dashboard import Daemon, served, token_in

_NEW = "a heron stands in the reeds"


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with served() as running:
        yield running


async def logged_in(daemon: Daemon, user: str = USER, **fields: str) -> None:
    answer = await daemon.send_login(user=user, **fields)
    assert answer.status == 303, await answer.text()


async def act(daemon: Daemon, path: str, page: str = "/account", **fields: str) -> tuple[int, str]:
    """Send a form as its page would."""
    _, text = await daemon.get(page)
    answer = await daemon.post(path, {"csrf": token_in(text), **fields})
    return answer.status, await answer.text()


async def with_second_factor(daemon: Daemon, name: str = USER) -> tuple[str, list[str]]:
    """Its seed and its recovery codes."""
    desk = daemon.app[FACTORS]
    factor = desk.begin(name)
    codes = await desk.finish(name, factor, code_of(factor.seed, step_of(daemon.clock.now())))
    daemon.clock.advance(30)
    return factor.seed, list(codes)


def code_now(daemon: Daemon, seed: str) -> str:
    return code_of(seed, step_of(daemon.clock.now()))


def session_cookie(daemon: Daemon) -> str:
    (found,) = (each.value for each in daemon.client.cookie_jar if "session" in each.key)
    return found


# ------------------------------------------------------------------------------------------------------ second factor


async def test_the_account_page_sets_a_second_factor_up_and_the_next_login_needs_its_code(daemon: Daemon) -> None:
    # Arrange
    await logged_in(daemon)
    _, page = await act(daemon, "/account/second-factor/begin")
    seed = re.search(r'class="secret">([A-Z2-7 ]+)<', page)
    sealed = re.search(r'name="sealed" value="([^"]+)"', page)
    assert seed
    assert sealed
    assert "data:image/svg+xml" in page

    # Act
    code = code_now(daemon, seed[1].replace(" ", ""))
    status, shown = await act(daemon, "/account/second-factor/finish", sealed=sealed[1], code=code)
    codes = re.findall(r'class="secret">([A-Z2-7-]+)<', shown)
    daemon.clock.advance(30)
    daemon.client.cookie_jar.clear()
    without = await daemon.send_login()
    right = await daemon.send_login(code=code_now(daemon, seed[1].replace(" ", "")))

    # Assert
    assert (status, len(codes)) == (200, 10)
    assert (without.status, right.status) == (401, 303)


async def test_a_login_without_the_code_or_with_a_wrong_one_is_the_same_no_as_a_wrong_password(daemon: Daemon) -> None:
    """S7."""
    await with_second_factor(daemon)
    answers = [await daemon.send_login(), await daemon.send_login(code="000000"), await daemon.send_login(password="x")]
    hidden = re.compile(r'name="csrf" value="[^"]+"')
    texts = {hidden.sub("", await each.text()) for each in answers}

    assert {each.status for each in answers} == {401}
    assert len(texts) == 1


async def test_a_code_is_good_once_also_for_two_who_send_it_at_the_same_moment(daemon: Daemon) -> None:
    """S5."""
    seed, _ = await with_second_factor(daemon)
    desk, code = daemon.app[LOGIN_DESK], code_now(daemon, seed)

    answers = await asyncio.gather(*(desk.check(USER, PASSWORD, code) for _ in range(3)))

    assert sum(each.user is not None for each in answers) == 1


async def test_a_code_lives_thirty_seconds(daemon: Daemon) -> None:
    """S5, ASVS 6.5.5."""
    seed, _ = await with_second_factor(daemon)
    code = code_now(daemon, seed)
    daemon.clock.advance(30)

    assert (await daemon.app[LOGIN_DESK].check(USER, PASSWORD, code)).user is None


async def test_a_recovery_code_takes_the_place_of_a_code_once(daemon: Daemon) -> None:
    """S5."""
    _, codes = await with_second_factor(daemon)
    desk = daemon.app[LOGIN_DESK]

    first = await desk.check(USER, PASSWORD, f" {codes[0].lower()} ")
    again = await desk.check(USER, PASSWORD, codes[0])

    assert first.user is not None
    assert again.user is None
    assert await daemon.stores.users.recovery_codes_left(USER) == 9


async def test_a_seed_and_the_recovery_codes_are_nowhere_in_the_clear(daemon: Daemon) -> None:
    """S5, S23."""
    seed, codes = await with_second_factor(daemon)
    user = await daemon.stores.users.get(USER)

    stored = repr(vars(daemon.stores.users)) + repr(user and user.sealed_seed)
    assert seed not in stored
    assert not any(each in stored or each.replace("-", "") in stored for each in codes)


async def test_a_seed_of_somebody_else_cannot_be_sent_back(daemon: Daemon) -> None:
    add_user(daemon.stores, "bob", Role.OPERATOR)
    sealed = daemon.app[FACTORS].begin("bob").sealed
    await logged_in(daemon)

    status, page = await act(daemon, "/account/second-factor/finish", sealed=sealed, code="123456")

    assert (status, "too old or not ours" in page) == (400, True)


# ------------------------------------------------------------------------------------------------------------ owing


async def test_a_first_password_opens_nothing_but_the_account_and_the_kill_switch(daemon: Daemon) -> None:
    # Arrange
    await daemon.app[PEOPLE].add("carla", Role.OPERATOR)
    first = await daemon.app[PEOPLE].reset("carla")
    await logged_in(daemon, "carla", password=first)

    # Act
    closed = await daemon.get("/")
    api = (await daemon.get("/api/status"))[0]
    kill = (await daemon.get("/kill?level=halt"))[0]
    weak = await act(daemon, "/account/password", new="password1", again="password1")
    chosen = await act(daemon, "/account/password", new=_NEW, again=_NEW)

    # Assert
    assert (closed[0], api, kill) == (303, 403, 200)
    assert (weak[0], "tried first" in weak[1]) == (400, True)
    assert chosen[0] == 303
    assert (await daemon.get("/"))[0] == 200


async def test_the_printed_link_opens_the_page_at_once_although_the_password_is_for_the_first_login() -> None:
    async with served(user="fresh") as daemon:
        await daemon.app[PEOPLE].reset("fresh")
        await daemon.enter()

        assert (await daemon.get("/"))[0] == 200


async def test_in_live_mode_whoever_may_act_must_have_a_second_factor_and_a_viewer_need_not() -> None:
    """S1."""
    async with served(second_factor_required=True) as daemon:
        add_user(daemon.stores, "viewer", Role.VIEWER)
        await logged_in(daemon)
        owner = (await daemon.get("/"))[0]
        token = await act(daemon, "/account/tokens/create", label="around it", scope="trade")
        assert (token[0], list(await daemon.stores.tokens.recent(9))) == (403, [])
        daemon.client.cookie_jar.clear()
        await logged_in(daemon, "viewer")

        assert (owner, (await daemon.get("/"))[0]) == (303, 200)


# ----------------------------------------------------------------------------------------------------------- sessions


async def test_a_restart_keeps_people_logged_in_and_no_token_is_stored_in_the_clear(daemon: Daemon) -> None:
    """S8."""
    await logged_in(daemon)
    token = session_cookie(daemon)
    parts = daemon.app[PARTS]
    restarted = type(daemon.app[SESSIONS])(parts.stores.sessions, parts.stores.users, parts.clock)

    assert await restarted.look(token) is not None
    assert token not in repr(vars(parts.stores.sessions))


async def test_a_session_of_the_attacker_is_not_the_one_that_is_logged_in(daemon: Daemon) -> None:
    """S8: fixation."""
    name = f"bot-session-{daemon.url.port}"
    daemon.client.cookie_jar.update_cookies({name: "chosen-by-somebody-else"}, daemon.url)

    await logged_in(daemon)

    assert session_cookie(daemon) != "chosen-by-somebody-else"
    assert await daemon.app[SESSIONS].look("chosen-by-somebody-else") is None


async def test_a_step_up_changes_the_token_and_the_old_one_is_dead(daemon: Daemon) -> None:
    """S8."""
    await daemon.enter()
    before = session_cookie(daemon)

    wrong = (await act(daemon, "/step-up", password="wrong"))[0]
    right = (await act(daemon, "/step-up", password=PASSWORD, next="/users"))[0]

    assert (wrong, right) == (401, 303)
    assert session_cookie(daemon) != before
    assert await daemon.app[SESSIONS].look(before) is None


async def test_a_new_password_ends_every_other_session_but_not_this_one(daemon: Daemon) -> None:
    """S9."""
    elsewhere = await daemon.app[SESSIONS].open(USER)
    await logged_in(daemon)

    await act(daemon, "/account/password", new=_NEW, again=_NEW)

    assert await daemon.app[SESSIONS].look(elsewhere) is None
    assert (await daemon.get("/"))[0] == 200


async def test_one_may_log_out_elsewhere_but_nobody_else_s_session(daemon: Daemon) -> None:
    """S9."""
    add_user(daemon.stores, "bob", Role.VIEWER)
    other = await daemon.app[SESSIONS].open(USER)
    of_bob = await daemon.app[SESSIONS].open("bob")
    bob = (await daemon.stores.sessions.of("bob"))[0]
    await daemon.enter()

    await act(daemon, "/account/sessions/end", session=bob.id)
    await act(daemon, "/account/sessions/end")

    assert await daemon.app[SESSIONS].look(other) is None
    assert await daemon.app[SESSIONS].look(of_bob) is not None
    assert (await daemon.get("/"))[0] == 200


async def test_whoever_is_disabled_or_loses_a_role_feels_it_at_once(daemon: Daemon) -> None:
    add_user(daemon.stores, "bob", Role.ADMIN)
    await logged_in(daemon, "bob")

    assert (await daemon.get("/users"))[0] == 200
    await daemon.app[PEOPLE].set_role("bob", Role.VIEWER)
    assert (await daemon.get("/users"))[0] == 403
    await daemon.app[PEOPLE].set_enabled("bob", False)
    assert (await daemon.get("/"))[0] == 303


async def test_a_stream_ends_within_five_seconds_of_the_revocation(daemon: Daemon) -> None:
    """S12."""
    await daemon.enter()
    async with asyncio.timeout(10), daemon.client.get(daemon.url / "events") as stream:
        await stream.content.readany()
        await daemon.app[PEOPLE].end_sessions(USER)
        reading = asyncio.create_task(stream.content.read())
        passed_s = 0.0
        while not reading.done():
            daemon.clock.advance(0.25)
            passed_s += 0.25
            await asyncio.wait((reading,), timeout=0.02)

    assert b"session-ended" in await reading
    assert passed_s <= 6.0


async def test_a_silent_database_does_not_keep_who_is_logged_in_from_the_kill_switch(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S30."""
    await daemon.enter()
    _, page = await daemon.get("/kill?level=halt")

    async def silent(*_: Any, **__: Any) -> Any:
        raise DatabaseUnavailable("gone")

    for store, names in (
        (daemon.stores.sessions, ("get", "touch")),
        (daemon.stores.users, ("get",)),
        (daemon.stores.audit, ("append",)),
    ):
        for name in names:
            monkeypatch.setattr(store, name, silent)
    daemon.clock.advance(120)
    answer = await daemon.post("/kill", {"csrf": token_in(page), "level": "halt"})

    assert answer.status == 303
    assert (await daemon.stores.kills.current()).level is KillLevel.HALT
    monkeypatch.undo()
    assert (await daemon.get("/kill?level=pause"))[0] == 200
    await act(daemon, "/account/sessions/end")
    written = [(each.what, each.who) for each in await daemon.stores.audit.page(9)]
    assert ("kill halt", USER) in written, "what could not be written then is written later"


async def test_a_database_that_hangs_does_not_hold_a_press_up(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """S30: not even where giving up on a question hangs as well."""
    # Arrange
    await daemon.enter()
    _, page = await daemon.get("/kill?level=halt")
    may = asyncio.Event()
    hanging = (
        (daemon.stores.sessions, "get"),
        (daemon.stores.users, "get"),
        (daemon.stores.audit, "append"),
        (daemon.stores.kills, "set"),
    )

    def hung(store: object, name: str) -> Callable[..., Awaitable[Any]]:
        real = getattr(store, name)

        async def wait(*given: Any) -> Any:
            while not may.is_set():
                with suppress(asyncio.CancelledError):
                    await may.wait()
            return await real(*given)

        return wait

    for store, name in hanging:
        monkeypatch.setattr(store, name, hung(store, name))
    monkeypatch.setattr("bot.dashboard.patience.PATIENCE_S", 0.01)
    monkeypatch.setattr("bot.dashboard.audit.PATIENCE_S", 0.01)
    monkeypatch.setattr("bot.dashboard.pressing._PATIENCE_S", 0.01)

    # Act
    answer = await daemon.post("/kill", {"csrf": token_in(page), "level": "halt"})
    text = await answer.text()
    held = daemon.app[PARTS].kill.known().level
    may.set()
    again = await daemon.post("/kill", {"csrf": token_in(page), "level": "halt"})

    # Assert
    assert (answer.status, held) == (202, KillLevel.HALT)
    assert "It holds from now on" in text
    assert again.status == 303
    assert (await daemon.stores.kills.current()).level is KillLevel.HALT
    assert len(await daemon.stores.kills.history(9)) == 1


# ----------------------------------------------------------------------------------------------------- slower guessing


async def test_a_stranger_does_not_shut_out_a_browser_that_has_logged_in_before(daemon: Daemon) -> None:
    """S6."""
    await logged_in(daemon)
    await act(daemon, "/logout")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as other:
        stranger = replace(daemon, client=other)
        for _ in range(4):
            await stranger.send_login(password="guess")
        refused = (await stranger.send_login()).status

    assert refused == 429
    await logged_in(daemon)


async def test_the_mark_of_a_known_browser_is_for_its_person_only(daemon: Daemon) -> None:
    desk = daemon.app[LOGIN_DESK]
    of_bob = desk.mark_of("bob")
    for _ in range(3):
        await desk.check(USER, "wrong", browser=of_bob)

    assert (await desk.check(USER, PASSWORD, browser=of_bob)).wait_s > 0
    assert (await desk.check(USER, PASSWORD, browser=desk.mark_of(USER))).user is not None


async def test_the_delay_survives_a_restart() -> None:
    """S6."""
    async with served() as daemon:
        for _ in range(3):
            await daemon.send_login(password="wrong")
        parts = daemon.app[PARTS]
        fresh = type(daemon.app[LOGIN_DESK])(
            users=parts.stores.users,
            hasher=daemon.app[LOGIN_DESK]._hasher,
            vault=parts.vault,
            clock=parts.clock,
        )

        assert (await fresh.check(USER, PASSWORD, address="127.0.0.1")).wait_s == 2.0


# ------------------------------------------------------------------------------------------------------------ tokens


async def test_a_token_is_shown_once_and_opens_what_its_scopes_say_until_it_is_revoked(daemon: Daemon) -> None:
    """S20."""
    # Arrange
    await logged_in(daemon)
    _, page = await act(daemon, "/account/tokens/create", label="red button", scope="kill", days="7")
    found = re.search(r"tb_[0-9a-f]{10}_[\w-]{43}", page)
    assert found
    bearer = {"Authorization": f"Bearer {found[0]}"}
    _, later = await daemon.get("/account")
    daemon.client.cookie_jar.clear()

    # Act
    read = (await daemon.get("/api/status", headers=bearer))[0]
    resume = await daemon.post("/kill", {"level": "none"}, bearer)
    press = await daemon.post("/kill", {"level": "halt", "reason": "script"}, bearer)
    await daemon.stores.tokens.revoke(found[0].split("_")[1], daemon.clock.now())
    after = await daemon.post("/kill", {"level": "pause"}, bearer)

    # Assert
    assert found[0] not in later
    assert found[0].split("_", 2)[2] not in repr(vars(daemon.stores.tokens))
    assert (read, resume.status, press.status, after.status) == (403, 403, 200, 401)
    pressed = await daemon.stores.kills.current()
    assert (pressed.level, pressed.by, pressed.reason) == (KillLevel.HALT, USER, "script")


async def test_a_token_cannot_have_more_than_its_owner_nor_keep_what_the_owner_lost(daemon: Daemon) -> None:
    """S20."""
    user = add_user(daemon.stores, "bob", Role.OPERATOR)
    await logged_in(daemon, "bob")
    status, page = await act(daemon, "/account/tokens/create", label="x", scope="admin")
    _, text = await daemon.app[TOKEN_DESK].create(user, label="t", scopes=[Scope.KILL, Scope.READ], days=1)

    await daemon.app[PEOPLE].set_role("bob", Role.VIEWER)
    principal = await daemon.app[TOKEN_DESK].recognise(text)

    assert (status, "cannot have admin" in page) == (400, True)
    assert principal is not None
    assert principal.scopes == {Scope.READ}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"label": "x", "scope": "read", "days": "366"}, "366 days"),
        ({"label": "x", "scope": "read", "days": "soon"}, "no number"),
        ({"label": "", "scope": "read", "days": "9"}, "needs a name"),
        ({"label": "x", "days": "9"}, "no scope"),
        ({"label": "x", "scope": "fly", "days": "9"}, "no scope"),
    ],
)
async def test_a_token_that_cannot_be_made_says_why(daemon: Daemon, fields: dict[str, str], says: str) -> None:
    await logged_in(daemon)
    status, page = await act(daemon, "/account/tokens/create", **fields)

    assert (status, says in unescape(page)) == (400, True)


async def test_nobody_revokes_a_token_of_somebody_else_but_an_admin(daemon: Daemon) -> None:
    admin = await daemon.app[PEOPLE].get(USER)
    add_user(daemon.stores, "bob", Role.OPERATOR)
    token, _ = await daemon.app[TOKEN_DESK].create(admin, label="t", scopes=[Scope.READ], days=1)
    bobs, _ = await daemon.app[TOKEN_DESK].create(
        await daemon.app[PEOPLE].get("bob"), label="t", scopes=[Scope.READ], days=1
    )

    await logged_in(daemon, "bob")
    refused = (await act(daemon, "/account/tokens/revoke", token=token.id))[0]
    daemon.client.cookie_jar.clear()
    await logged_in(daemon)
    done = (await act(daemon, "/account/tokens/revoke", token=bobs.id))[0]

    assert (refused, done) == (404, 303)
    assert [each.id for each in await daemon.stores.tokens.recent(9) if each.revoked_at] == [bobs.id]


# ------------------------------------------------------------------------------------------------------------ people


async def test_an_admin_adds_somebody_whose_first_password_is_shown_once_and_works(daemon: Daemon) -> None:
    await logged_in(daemon)
    status, page = await act(daemon, "/users/add", "/users", name=" Carla ", role="operator")
    made = re.search(r'class="secret">([\w-]{16})<', page)
    assert made
    daemon.client.cookie_jar.clear()

    await logged_in(daemon, "carla", password=made[1])

    assert status == 200
    user = await daemon.stores.users.get("carla")
    assert user is not None
    assert (user.role, user.must_change) == (Role.OPERATOR, True)


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a b", "", "x" * 65, "ünal", "../admin", "admin\x00"])
async def test_a_hostile_name_is_refused_and_shown_as_text(daemon: Daemon, name: str) -> None:
    """S14."""
    await logged_in(daemon)
    status, page = await act(daemon, "/users/add", "/users", name=name, role="viewer")

    assert status == 400
    assert "<script>alert" not in page
    assert [each.name for each in await daemon.stores.users.all()] == [USER]


async def test_the_last_admin_can_be_neither_disabled_nor_demoted(daemon: Daemon) -> None:
    await logged_in(daemon)
    disabled = await act(daemon, "/users/disable", "/users", name=USER)
    demoted = await act(daemon, "/users/role", "/users", name=USER, role="viewer")

    assert (disabled[0], demoted[0]) == (400, 400)
    assert "only admin" in disabled[1]
    assert (await daemon.get("/users"))[0] == 200


async def test_an_act_on_people_that_does_not_exist_is_not_found(daemon: Daemon) -> None:
    await logged_in(daemon)

    assert (await act(daemon, "/users/fly", "/users", name=USER))[0] == 404
    assert (await act(daemon, "/users/disable", "/users", name="nobody"))[0] == 400


# ------------------------------------------------------------------------------------------------------------- audit


async def test_every_act_is_written_down_with_who_how_where_and_result_also_a_refused_one(daemon: Daemon) -> None:
    """S32."""
    add_user(daemon.stores, "bob", Role.VIEWER)
    await daemon.send_login(user="bob", password="wrong")
    await logged_in(daemon, "bob")
    _, page = await daemon.get("/account")
    await daemon.post("/kill", {"csrf": token_in(page), "level": "halt"})
    await act(daemon, "/logout")
    await daemon.send_login(user="hunter2-typed-into-the-wrong-field")

    entries = [(each.who, each.what, each.how, each.result) for each in reversed(await daemon.stores.audit.page(9))]

    assert entries == [
        ("bob", "login", "password", AuditResult.REFUSED),
        ("bob", "login", "password", AuditResult.OK),
        ("bob", "/kill", "session", AuditResult.REFUSED),
        ("bob", "logout", "session", AuditResult.OK),
        ("unknown", "login", "password", AuditResult.REFUSED),
    ]
    assert {each.address for each in await daemon.stores.audit.page(9)} == {"127.0.0.1"}


async def test_a_stranger_who_only_knocks_writes_nothing(daemon: Daemon) -> None:
    for path in ("/kill", "/users/add", "/logout", "/nothing"):
        await daemon.post(path, {})

    assert list(await daemon.stores.audit.page(9)) == []


async def test_the_audit_page_filters_goes_back_in_time_and_shows_text_as_text(daemon: Daemon) -> None:
    await logged_in(daemon)
    for _ in range(60):
        await act(daemon, "/account/sessions/end", session="<b>x</b>")

    _, newest = await daemon.get("/audit?what=sessions+ended")
    link = re.search(r'href="(/audit\?[^"]*before[^"]*)"', newest)
    assert link
    _, older = await daemon.get(unescape(link[1]))

    assert newest.count("sessions ended</a>") == 50
    assert older.count("sessions ended</a>") == 10
    assert "&lt;b&gt;x" in newest
    assert (await daemon.get("/audit?before=x"))[0] == 400


# ------------------------------------------------------------------------------------------------------ proxies, bodies


def _behind(text: str) -> dict[str, Any]:
    return {"trusted_proxies": DashboardSettings(trusted_proxies=text).proxies}


async def test_behind_our_proxy_the_client_is_who_it_names_last_and_cookies_are_secure() -> None:
    """S10, S13, S16."""
    async with served(**_behind("127.0.0.1")) as daemon:
        add_user(daemon.stores, "bob", Role.VIEWER)
        hop = {"X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https"}
        async with daemon.client.get(daemon.url / "login", headers=hop) as form:
            csrf = token_in(await form.text())
            (made,) = form.cookies.values()
        cookie = {"Cookie": f"{made.key}={made.value}", "Origin": f"https://{daemon.url.authority}"}
        data = {"csrf": csrf, "user": USER, "password": PASSWORD}
        answer = await daemon.post("/login", data, {**hop, **cookie})

        assert answer.status == 303
        session = next(each for name, each in answer.cookies.items() if "session" in name)
        assert (session.key, session["secure"], session["path"]) == ("__Host-bot-session", True, "/")
        assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        assert (await daemon.stores.sessions.of(USER))[0].address == "203.0.113.9"


async def test_a_forwarded_address_from_anybody_else_is_not_believed(daemon: Daemon) -> None:
    """S16."""
    _, form = await daemon.get("/login")
    hop = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https", "Origin": str(daemon.url.origin())}
    answer = await daemon.post("/login", {"csrf": token_in(form), "user": USER, "password": PASSWORD}, hop)

    assert answer.status == 303
    assert "Strict-Transport-Security" not in answer.headers
    assert (await daemon.stores.sessions.of(USER))[0].address == "127.0.0.1"


@pytest.mark.parametrize("path", ["/login", "/kill", "/account/password", "/users/add", "/step-up"])
async def test_an_oversized_body_is_refused(daemon: Daemon, path: str) -> None:
    """S17."""
    await logged_in(daemon)
    answer = await daemon.post(path, {"csrf": "x" * 100_000})

    assert answer.status == 413


async def test_no_page_shows_a_hash_a_seed_or_the_token_of_a_session(daemon: Daemon) -> None:
    """S22, S23."""
    seed, _ = await with_second_factor(daemon)
    await logged_in(daemon, code=code_now(daemon, seed))
    secrets = [seed, session_cookie(daemon), digest(session_cookie(daemon)).hex(), "$argon2id$", PASSWORD]
    for path in ("/account", "/users", "/audit", "/", "/config"):
        status, page = await daemon.get(path)
        assert status == 200
        assert not any(each in page for each in secrets), path


async def test_an_unknown_name_is_hashed_like_a_known_one(daemon: Daemon) -> None:
    """S7: by the path of the code, not by the stopwatch."""
    seen: list[tuple[str | None, str]] = []
    hasher = daemon.app[LOGIN_DESK]._hasher
    real = hasher.matches

    async def noted(password_hash: str | None, password: str) -> bool:
        seen.append(("a hash" if password_hash else None, password))
        return await real(password_hash, password)

    hasher.matches = noted  # type: ignore[method-assign]
    await daemon.send_login(user=USER, password="wrong")
    await daemon.send_login(user="nobody-there", password="wrong")

    assert seen == [("a hash", "wrong"), (None, "wrong")]
