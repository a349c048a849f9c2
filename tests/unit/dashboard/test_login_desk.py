"""Guessing, in virtual time (S3, S6)."""

import asyncio
from datetime import UTC, datetime

import argon2

from bot.access import Role, User
from bot.clock import ManualClock
from bot.dashboard.login_desk import LoginDesk, delay_s
from bot.dashboard.passwords import Hasher
from bot.dashboard.second_factor import Vault
from bot.database.memory import MemoryStores

_AT = datetime(2025, 1, 1, tzinfo=UTC)
_QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)  # a test tries a thousand
_PASSWORD = "correct horse battery"


class Quick(Hasher):
    """Checks with the parameters that the hash names, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.looked_at = 0

    async def matches(self, password_hash: str | None, password: str) -> bool:
        self.looked_at += 1
        return password_hash is not None and await super().matches(password_hash, password)

    @staticmethod
    def is_old(password_hash: str) -> bool:
        return False


class Held(Quick):
    """Looks at nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may = asyncio.Event()

    async def matches(self, password_hash: str | None, password: str) -> bool:
        await self.may.wait()
        return await super().matches(password_hash, password)


async def desk_of(hasher: Hasher, clock: ManualClock) -> tuple[LoginDesk, MemoryStores]:
    stores = MemoryStores()
    user = User(
        name="admin",
        role=Role.ADMIN,
        password_hash=_QUICK.hash(_PASSWORD),
        created_at=_AT,
        password_at=_AT,
    )
    await stores.users.add(user)
    return LoginDesk(users=stores.users, hasher=hasher, vault=Vault(b"k"), clock=clock), stores


async def test_a_thousand_tries_in_a_row_from_a_thousand_addresses_are_a_handful_of_guesses() -> None:
    clock, hasher = ManualClock(), Quick()
    desk, _ = await desk_of(hasher, clock)

    for number in range(1_000):  # ten a second, for 100 s
        await desk.check("admin", f"guess {number}", address=f"203.0.113.{number}")
        clock.advance(0.1)

    assert hasher.looked_at <= 9


async def test_a_thousand_names_from_one_address_are_a_handful_of_guesses_too() -> None:
    clock, hasher = ManualClock(), Quick()
    desk, _ = await desk_of(hasher, clock)

    for number in range(1_000):
        await desk.check(f"name {number}", "guess", address="203.0.113.9")
        clock.advance(0.1)

    assert hasher.looked_at <= 16


async def test_the_owner_gets_in_all_the_while_with_a_known_browser_and_within_a_minute_with_another() -> None:
    clock = ManualClock()
    desk, _ = await desk_of(Quick(), clock)
    known = desk.mark_of("admin")
    for number in range(1_000):
        await desk.check("admin", "guess", address=f"203.0.113.{number}")
        clock.advance(1)
        if number % 100 == 0:
            assert (await desk.check("admin", _PASSWORD, browser=known)).user is not None

    answer = await desk.check("admin", _PASSWORD, address="198.51.100.1")
    assert 0 < answer.wait_s <= 60
    clock.advance(answer.wait_s)
    assert (await desk.check("admin", _PASSWORD, address="198.51.100.1")).user is not None


async def test_a_right_login_forgives_the_failures_before_it() -> None:
    clock = ManualClock()
    desk, _ = await desk_of(Quick(), clock)
    for _ in range(2):
        await desk.check("admin", "wrong", address="::1")
    await desk.check(" Admin ", _PASSWORD, address="::1")

    for _ in range(3):
        assert (await desk.check("admin", "wrong", address="::1")).wait_s == 0


def test_delays_double_up_to_a_minute() -> None:
    assert [delay_s(each) for each in (0, 2, 3, 4, 5, 8, 9, 10_000)] == [0, 0, 2, 4, 8, 60, 60, 60]


async def test_an_old_hash_is_made_anew_at_the_next_login_and_a_wrong_password_changes_nothing() -> None:
    """S3."""
    desk, stores = await desk_of(Hasher(), ManualClock())
    before = await stores.users.get("admin")
    await desk.check("admin", "wrong")
    assert await stores.users.get("admin") == before

    await desk.check("admin", _PASSWORD)

    after = await stores.users.get("admin")
    assert after is not None
    parameters = argon2.extract_parameters(after.password_hash)
    assert (parameters.time_cost, parameters.memory_cost) == (3, 65_536)
    assert (await desk.check("admin", _PASSWORD)).user is not None


async def test_the_loop_goes_on_while_twenty_log_in() -> None:
    """S3: hashing happens in threads."""
    clock, ticks = ManualClock(), 0
    desk, _ = await desk_of(Hasher(), clock)

    async def tick() -> None:
        nonlocal ticks
        while True:
            await clock.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    answers = await asyncio.gather(*(desk.check("admin", _PASSWORD, address=f"10.0.0.{each}") for each in range(20)))
    ticking.cancel()

    assert all(each.user is not None for each in answers)
    assert ticks > 1_000


async def test_a_crowd_of_strangers_is_sent_away_but_not_a_browser_that_is_known() -> None:
    # Arrange
    clock, hasher = ManualClock(), Held()
    desk, _ = await desk_of(hasher, clock)
    crowd = [asyncio.create_task(desk.check(f"name {each}", "x")) for each in range(20)]
    await clock.sleep(0)

    # Act
    stranger = await desk.check("admin", _PASSWORD, address="203.0.113.9")
    known = asyncio.create_task(desk.check("admin", _PASSWORD, browser=desk.mark_of("admin")))
    hasher.may.set()
    answer, *_ = await asyncio.gather(known, *crowd)

    # Assert
    assert stranger.wait_s > 0
    assert answer.user is not None


async def test_all_addresses_of_one_ipv6_network_are_slowed_down_together() -> None:
    """S6: whoever has one of them has 2 to the power of 64."""
    hasher, clock = Quick(), ManualClock()
    desk, _ = await desk_of(hasher, clock)
    for each in range(30):
        await desk.check(f"nobody{each}", "guess", address=f"2001:db8:0:1::{each:x}")

    assert hasher.looked_at == 10
    assert (await desk.check("nobody", "guess", address="2001:db8:0:2::1")).wait_s == 0
