"""People, sessions, tokens and the audit as stored: one suite over PostgreSQL and memory (S5, S6, S8, S20)."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.access import ApiToken, AuditEntry, AuditResult, Failures, Role, Scope, StoredSession, User
from bot.database.memory import MemoryStores
from bot.database.postgres import PostgresStores
from bot.errors import NotFound
from bot.interfaces import Stores
from tests.contract.store_builders import at
from tests.postgres import Databases, shared_databases


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    with shared_databases(tmp_path_factory) as made:
        yield made


@pytest.fixture(params=["memory", "postgresql"])
async def stores(request: pytest.FixtureRequest) -> AsyncIterator[Stores]:
    if request.param == "memory":
        yield MemoryStores()
        return
    databases: Databases = request.getfixturevalue("databases")
    async with databases.pool() as pool:
        yield PostgresStores(pool)


def user(name: str = "ann", role: Role = Role.VIEWER) -> User:
    return User(name=name, role=role, password_hash="$hash", created_at=at(0), password_at=at(0))


def session(number: int = 1, name: str = "ann", minutes: float = 0) -> StoredSession:
    return StoredSession(
        digest=bytes([number]) * 32,
        id=f"session-{number}",
        user=name,
        opened_at=at(minutes),
        used_at=at(minutes),
        stepped_up_at=None,
        address="203.0.113.9",
        agent="a \x00 browser",
    )


def token(number: int = 1, name: str = "ann") -> ApiToken:
    return ApiToken(
        id=f"t{number}",
        digest=bytes([number]) * 32,
        user=name,
        label="grafana",
        scopes=frozenset({Scope.READ, Scope.KILL}),
        created_at=at(number),
        expires_at=at(number) + timedelta(days=90),
    )


def entry(what: str, who: str = "ann") -> AuditEntry:
    return AuditEntry(
        at=at(0), who=who, how="session", address="::1", what=what, detail="\ud800", result=AuditResult.REFUSED
    )


async def test_a_person_comes_back_as_stored_and_a_name_is_given_once(stores: Stores) -> None:
    assert await stores.users.add(user())
    assert not await stores.users.add(user(role=Role.ADMIN))
    assert await stores.users.add(user("bob", Role.OPERATOR))
    assert await stores.users.get("ann") == user()
    assert await stores.users.get("nobody") is None
    assert [each.name for each in await stores.users.all()] == ["ann", "bob"]


async def test_each_change_of_a_person_leaves_the_others_alone(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.users.set_role("ann", Role.ADMIN)
    await stores.users.set_disabled("ann", at(3))
    await stores.users.set_second_factor("ann", b"sealed", [b"one"])
    await stores.users.set_password("ann", "$new", at=at(4), must_change=True, seeded_by="mark")
    assert await stores.users.get("ann") == replace(
        user(role=Role.ADMIN),
        disabled_at=at(3),
        sealed_seed=b"sealed",
        password_hash="$new",
        password_at=at(4),
        must_change=True,
        seeded_by="mark",
    )


async def test_a_late_rehash_does_not_bring_an_old_password_back(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.users.rehash("ann", was="$hash", password_hash="$stronger")
    await stores.users.rehash("ann", was="$hash", password_hash="$late")
    assert (await stores.users.get("ann") or user("bob")).password_hash == "$stronger"


async def test_changing_who_is_not_there_is_an_error(stores: Stores) -> None:
    with pytest.raises(NotFound, match="nobody"):
        await stores.users.set_role("nobody", Role.ADMIN)
    with pytest.raises(NotFound):
        await stores.users.set_second_factor("nobody", b"x", [b"y"])
    with pytest.raises(NotFound):
        await stores.sessions.open(session(name="nobody"))
    with pytest.raises(NotFound):
        await stores.tokens.add(token(name="nobody"))


async def test_of_many_who_use_a_code_at_once_one_gets_in(stores: Stores) -> None:
    """S5: single use, also concurrently."""
    await stores.users.add(user())
    await stores.users.set_second_factor("ann", b"sealed", [b"one", b"two"])
    steps = await asyncio.gather(*(stores.users.take_step("ann", 7) for _ in range(5)))
    codes = await asyncio.gather(*(stores.users.take_recovery_code("ann", b"one", at=at(1)) for _ in range(5)))
    assert (sorted(steps), sorted(codes)) == ([False] * 4 + [True], [False] * 4 + [True])
    assert not await stores.users.take_step("ann", 6)
    assert await stores.users.take_step("ann", 8)
    assert not await stores.users.take_recovery_code("ann", b"three", at=at(1))
    assert await stores.users.recovery_codes_left("ann") == 1


async def test_a_new_second_factor_voids_the_old_recovery_codes_but_no_used_step(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.users.set_second_factor("ann", b"first", [b"one"])
    await stores.users.take_step("ann", 7)
    await stores.users.set_second_factor("ann", b"second", [b"two"])
    assert not await stores.users.take_recovery_code("ann", b"one", at=at(1))
    assert not await stores.users.take_step("ann", 7)
    await stores.users.set_second_factor("ann", None, ())
    assert await stores.users.recovery_codes_left("ann") == 0


async def test_failures_are_counted_by_key_forgiven_and_forgotten(stores: Stores) -> None:
    for minute in range(3):
        await stores.users.fail("account a", at=at(minute), forget_before=at(-9))
    await stores.users.fail("address b", at=at(5), forget_before=at(-9))
    assert await stores.users.failures(["account a", "address b", "c"]) == {
        "account a": Failures(count=3, at=at(2)),
        "address b": Failures(count=1, at=at(5)),
    }
    await stores.users.forgive(["address b"])
    await stores.users.fail("c", at=at(9), forget_before=at(3))
    assert await stores.users.failures(["account a", "address b", "c"]) == {"c": Failures(count=1, at=at(9))}


async def test_a_session_comes_back_is_touched_forwards_only_and_ends(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.sessions.open(session())
    await stores.sessions.touch(session().digest, at(5))
    await stores.sessions.touch(session().digest, at(4))
    found = await stores.sessions.get(session().digest)
    assert found is not None
    assert (found.used_at, found.user, found.address) == (at(5), "ann", "203.0.113.9")
    assert await stores.sessions.close(session().digest)
    assert not await stores.sessions.close(session().digest)
    assert await stores.sessions.get(session().digest) is None


async def test_a_session_takes_the_place_of_another_one(stores: Stores) -> None:
    """S8: rotation."""
    await stores.users.add(user())
    await stores.sessions.open(session(1))
    await stores.sessions.open(session(2), instead_of=session(1).digest)
    assert [each.id for each in await stores.sessions.of("ann")] == ["session-2"]


async def test_all_sessions_of_one_person_end_but_this_one(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.users.add(user("bob"))
    for number in (1, 2, 3):
        await stores.sessions.open(session(number, minutes=number))
    await stores.sessions.open(session(4, "bob"))
    assert [each.id for each in await stores.sessions.of("ann")] == ["session-3", "session-2", "session-1"]
    assert await stores.sessions.close_all("ann", only_id="session-4") == 0, "another one's session"
    assert await stores.sessions.close_all("ann", only_id="session-1") == 1
    assert await stores.sessions.close_all("ann", but=session(3).digest) == 1
    assert [each.id for each in await stores.sessions.of("ann")] == ["session-3"]
    assert len(await stores.sessions.of("bob")) == 1


async def test_sessions_that_have_run_out_are_forgotten(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.sessions.open(session(1, minutes=0))
    await stores.sessions.open(session(2, minutes=5))
    await stores.sessions.open(session(3, minutes=9))
    assert await stores.sessions.purge(opened_before=at(0), used_before=at(5)) == 2
    assert [each.id for each in await stores.sessions.of("ann")] == ["session-3"]


async def test_a_token_comes_back_is_touched_and_revoked_once(stores: Stores) -> None:
    await stores.users.add(user())
    await stores.users.add(user("bob"))
    await stores.tokens.add(token())
    assert await stores.tokens.get("t1") == token()
    await stores.tokens.touch("t1", at(5))
    await stores.tokens.touch("t1", at(4))
    assert await stores.tokens.revoke("t1", at(6))
    assert not await stores.tokens.revoke("t1", at(7))
    assert not await stores.tokens.revoke("t9", at(7))
    assert await stores.tokens.get("t1") == replace(token(), used_at=at(5), revoked_at=at(6))
    await stores.tokens.add(token(2, "bob"))
    assert [each.id for each in await stores.tokens.recent(9)] == ["t2", "t1"]
    assert [each.id for each in await stores.tokens.recent(9, user="ann")] == ["t1"]
    assert [each.id for each in await stores.tokens.recent(1)] == ["t2"]


async def test_the_audit_is_read_newest_first_by_person_and_act_page_by_page(stores: Stores) -> None:
    for number in range(6):
        await stores.audit.append(entry("login" if number % 2 else "kill halt", "ann" if number < 4 else "bob"))
    newest = await stores.audit.page(2)
    older = await stores.audit.page(9, before=newest[-1].number)
    assert [each.number for each in (*newest, *older)] == [6, 5, 4, 3, 2, 1]
    assert [each.number for each in await stores.audit.page(9, who="bob")] == [6, 5]
    assert [each.number for each in await stores.audit.page(9, who="ann", what="login", before=4)] == [2]
    assert (newest[0].who, newest[0].what, newest[0].result) == ("bob", "login", AuditResult.REFUSED)
