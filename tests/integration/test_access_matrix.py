"""Every route, whoever asks: new routes are held to it by themselves (S2, S11, S15, S20, S33)."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta

import pytest

from bot.access import Role, Scope
from bot.dashboard.people import PEOPLE
from bot.dashboard.routes import DECLARED, Route
from bot.dashboard.sessions import SESSIONS, csrf_token_of
from bot.dashboard.tokens import TOKEN_DESK
from tests.fakes.dashboard_day import add_user, fill_day
from tests.integration.test_dashboard import Daemon, served

_NOBODY = frozenset[Scope]()
_EVERY_PUBLIC_PATH = {"/login", "/health", "/ready"}


@dataclass(frozen=True)
class Visitor:
    """Somebody who asks: what they send, and what is open to them."""

    name: str
    headers: Mapping[str, str]
    scopes: frozenset[Scope] = _NOBODY
    is_token: bool = False


@pytest.fixture
async def daemon() -> AsyncIterator[Daemon]:
    async with served() as running:
        await fill_day(running.stores)
        for role in Role:
            add_user(running.stores, role.value, role)
        yield running


async def visitor(daemon: Daemon, name: str) -> Visitor:
    """One of those below, with a session or token of its own: an act may end it."""
    match name:
        case "nobody":
            return Visitor(name, {})
        case "viewer" | "operator" | "admin":
            return Visitor(name, await _session(daemon, name), Role(name).scopes)
        case "read token" | "kill token" | "trade token":
            scope = Scope(name.split()[0])
            return Visitor(name, await _token(daemon, scope), frozenset({scope}), is_token=True)
        case "expired token":
            headers = await _token(daemon, Scope.ADMIN, days=1)
            daemon.clock.advance(timedelta(days=1).total_seconds())
            return Visitor(name, headers)
        case "revoked token":
            headers = await _token(daemon, Scope.ADMIN)
            token_id = headers["Authorization"].split("_")[1]
            assert await daemon.stores.tokens.revoke(token_id, daemon.clock.now())
            return Visitor(name, headers)
        case "revoked session":
            headers = await _session(daemon, "admin")
            await daemon.app[PEOPLE].end_sessions("admin")
            return Visitor(name, headers)
    raise AssertionError(name)


async def _session(daemon: Daemon, user: str) -> Mapping[str, str]:
    token = await daemon.app[SESSIONS].open(user, proven=True)
    return {
        "Cookie": f"bot-session-{daemon.url.port}={token}",
        "Origin": str(daemon.url.origin()),
        "X-CSRF-Token": csrf_token_of(token),
    }


async def _token(daemon: Daemon, scope: Scope, *, days: int = 90) -> Mapping[str, str]:
    owner = await daemon.app[PEOPLE].get("admin")
    _, text = await daemon.app[TOKEN_DESK].create(owner, label="test", scopes=[scope], days=days)
    return {"Authorization": f"Bearer {text}"}


async def _answer(daemon: Daemon, route: Route, headers: Mapping[str, str]) -> tuple[int, str]:
    """Status, and where it leads."""
    path = route.path.replace("{act}", "add").replace("{id}", "x").replace("{what}", "orders")
    csrf = headers.get("X-CSRF-Token", "")
    data = {"csrf": csrf} if route.method == "POST" else None
    async with daemon.client.request(
        route.method, f"{daemon.url.origin()}{path}", headers=headers, data=data, allow_redirects=False
    ) as answer:
        return answer.status, answer.headers.get("Location", "")


async def _facts(daemon: Daemon) -> object:
    """What an act could have changed."""
    stores = daemon.stores
    return (
        await stores.users.all(),
        await stores.kills.history(9),
        await stores.alerts.recent(99),
        await stores.orders.open_positions(),
        await stores.orders.recent_orders(99),
        await stores.tasks.all(),
        len(await stores.tokens.recent(99)),
    )


@pytest.mark.parametrize(
    "name",
    [
        "nobody",
        "viewer",
        "operator",
        "admin",
        "read token",
        "kill token",
        "trade token",
        "expired token",
        "revoked token",
        "revoked session",
    ],
)
async def test_each_route_opens_to_those_it_is_for_and_changes_nothing_for_the_others(
    daemon: Daemon, name: str
) -> None:
    wrong = []
    for route in daemon.app[DECLARED].values():
        asks = await visitor(daemon, name)
        before = await _facts(daemon)
        status, leads_to = await _answer(daemon, route, asks.headers)
        wrong_password = route.path == "/step-up" and bool(asks.scopes)  # which is not in the empty form
        unknown = (status == 401 and not wrong_password) or leads_to.startswith("/login?")
        if route.needs is None:
            fits = not unknown and (status != 403 or route.path == "/login")
        elif not asks.scopes:
            fits = unknown
        elif route.needs in asks.scopes and (route.opens_to_tokens or not asks.is_token):
            fits = not unknown and status not in (403, 500)
        else:
            fits = status == 403
        refused = unknown or status == 403
        if not fits or (refused and await _facts(daemon) != before):
            wrong.append((route.method, route.path, status, leads_to))

    assert wrong == []


async def test_no_more_than_three_paths_are_open_to_everyone(daemon: Daemon) -> None:
    """S2."""
    public = {path for (_, path), route in daemon.app[DECLARED].items() if route.needs is None}

    assert public == _EVERY_PUBLIC_PATH


async def test_no_act_is_open_to_somebody_who_only_reads(daemon: Daemon) -> None:
    """A POST that needs READ alone is about oneself, and named here."""
    of_oneself = {
        path for (method, path), route in daemon.app[DECLARED].items() if method != "GET" and route.needs is Scope.READ
    }

    assert all(path.startswith(("/account/", "/logout", "/step-up")) for path in of_oneself), of_oneself


async def test_what_steps_up_asks_for_the_password_of_the_last_five_minutes(daemon: Daemon) -> None:
    """S15, and no token gets there."""
    for route in [each for each in daemon.app[DECLARED].values() if each.steps_up]:
        headers = await _session(daemon, "admin")
        daemon.clock.advance(5 * 60)
        before = await _facts(daemon)
        status, _ = await _answer(daemon, route, headers)
        assert status == 403, route.path
        assert (await _answer(daemon, route, await _token(daemon, Scope.ADMIN)))[0] == 403
        daemon.client.cookie_jar.clear()
        assert (await _facts(daemon))[:4] == before[:4], route.path  # type: ignore[index]


@pytest.mark.parametrize("missing", ["X-CSRF-Token", "Origin"])
async def test_no_act_of_a_session_goes_without_its_form_token_or_origin(daemon: Daemon, missing: str) -> None:
    """S11, on every route."""
    for route in [each for each in daemon.app[DECLARED].values() if each.method != "GET"]:
        headers = {key: value for key, value in (await _session(daemon, "admin")).items() if key != missing}
        before = await _facts(daemon)
        assert (await _answer(daemon, route, headers))[0] == 403, route.path
        assert await _facts(daemon) == before


async def test_an_act_of_another_site_is_refused_on_every_route(daemon: Daemon) -> None:
    """S11: with the right form token, even."""
    for route in [each for each in daemon.app[DECLARED].values() if each.method != "GET"]:
        headers = {**await _session(daemon, "admin"), "Origin": "https://elsewhere.example"}
        assert (await _answer(daemon, route, headers))[0] == 403, route.path


async def test_a_token_beside_a_cookie_counts_alone(daemon: Daemon) -> None:
    headers = {**await _session(daemon, "admin"), **await _token(daemon, Scope.READ)}
    kill = daemon.app[DECLARED][("POST", "/kill")]

    assert (await _answer(daemon, kill, headers))[0] == 403
