"""People of the settings (D17, S1)."""

from pathlib import Path

import argon2
import pytest

from bot.access import Role, User
from bot.clock import ManualClock
from bot.config import DashboardSettings, Settings
from bot.dashboard.passwords import Hasher, check_hash, password_matches
from bot.dashboard.people import PeopleDesk
from bot.dashboard.seeding import Seeded, Seeding
from bot.dashboard.sessions import Sessions
from bot.database.memory import MemoryStores
from bot.errors import ConfigError
from bot.wiring.people import people_of

_FIRST = "correct horse battery"
_SECOND = "a heron stands in the reeds"


class Start:
    """Starts of one daemon, with settings that change."""

    def __init__(self) -> None:
        self.stores = MemoryStores()
        self.clock = ManualClock()
        self.hasher = Hasher()
        self.people = PeopleDesk(stores=self.stores, hasher=self.hasher, clock=self.clock)

    async def __call__(self, **settings: str) -> Seeded:
        seeding = Seeding(users=self.stores.users, people=self.people, hasher=self.hasher, clock=self.clock)
        return await seeding.apply(DashboardSettings.model_validate(settings))

    async def user(self, name: str = "admin") -> User:
        return await self.people.get(name)

    async def has(self, password: str, name: str = "admin") -> bool:
        return password_matches((await self.user(name)).password_hash, password)


async def test_the_very_first_start_makes_an_admin_whose_password_is_for_one_login() -> None:
    start = Start()
    first, second = await start(), await start()

    assert (first.owner, second.one_time_password) == ("admin", "")
    assert await start.has(first.one_time_password)
    user = await start.user()
    assert (user.role, user.must_change) == (Role.ADMIN, True)


async def test_users_of_the_settings_are_there_with_password_or_hash_and_role() -> None:
    start = Start()
    await start(
        dashboard_user="Ann",
        dashboard_password=_FIRST,
        dashboard_user_1_name="bob",
        dashboard_user_1_hash=argon2.PasswordHasher().hash(_SECOND),
        dashboard_user_1_role="operator",
    )

    assert [(each.name, each.role) for each in await start.stores.users.all()] == [
        ("ann", Role.ADMIN),
        ("bob", Role.OPERATOR),
    ]
    assert await start.has(_FIRST, "ann")
    assert await start.has(_SECOND, "bob")


async def test_what_people_changed_stays_until_the_setting_is_changed() -> None:
    start = Start()
    await start(dashboard_password=_FIRST)
    await start.people.set_password("admin", _SECOND)

    await start(dashboard_password=_FIRST)
    stayed = await start.has(_SECOND)
    session = await Sessions(start.stores.sessions, start.stores.users, start.clock).open("admin")
    await start(dashboard_password="another one altogether")

    assert stayed
    assert await start.has("another one altogether")
    assert await Sessions(start.stores.sessions, start.stores.users, start.clock).look(session) is None


async def test_a_disabled_person_stays_disabled_whatever_the_settings_say() -> None:
    start = Start()
    names = {"dashboard_user_1_name": "bob", "dashboard_user_1_role": "viewer"}
    await start(**names, dashboard_user_1_password=_FIRST)
    await start.people.set_enabled("bob", False)

    await start(**names, dashboard_user_1_password=_SECOND)

    assert not (await start.user("bob")).is_enabled


async def test_what_the_database_keeps_of_a_setting_is_as_slow_to_guess_as_a_password() -> None:
    """S23."""
    start, other = Start(), Start()
    await start(dashboard_password=_FIRST)
    await other(dashboard_password=_FIRST)

    assert (await start.user()).seeded_by != (await other.user()).seeded_by
    check_hash("mark", (await start.user()).seeded_by)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"dashboard_password": "admin123"}, "DASHBOARD_PASSWORD of user admin is refused"),
        ({"dashboard_password": "password1"}, "DASHBOARD_PASSWORD of user admin is refused"),
        ({"dashboard_user": "a b", "dashboard_password": _FIRST}, "DASHBOARD_USER: 'a b' cannot be a name"),
        ({"dashboard_user_2_name": "bob", "dashboard_user_2_password": "qwertyuiop"}, "DASHBOARD_USER_2_PASSWORD"),
        ({"dashboard_user_2_name": "<b>", "dashboard_user_2_password": _FIRST}, "DASHBOARD_USER_2_NAME"),
        ({"dashboard_user_1_name": "bob", "dashboard_user_1_hash": "plain"}, "DASHBOARD_USER_1_HASH is not an argon2"),
        (
            {
                "dashboard_user_1_name": "bob",
                "dashboard_user_1_hash": argon2.PasswordHasher(time_cost=1, memory_cost=1024).hash("x"),
            },
            "needs argon2id with at least 2",
        ),
        (
            {"dashboard_password": _FIRST, "dashboard_user_1_name": "Admin", "dashboard_user_1_password": _FIRST},
            "user admin more than once",
        ),
    ],
)
async def test_a_weak_or_wrong_credential_stops_the_start_by_name(settings: dict[str, str], says: str) -> None:
    """S1."""
    start = Start()
    with pytest.raises(ConfigError, match=says):
        await start(**settings)
    assert list(await start.stores.users.all()) == []


async def test_another_key_of_the_page_brings_no_old_password_of_the_settings_back(tmp_path: Path) -> None:
    """S28: a key that was renewed, or lost, changes no setting."""
    start = Start()
    for key in ("a" * 32, "b" * 32):
        named = DashboardSettings(dashboard_password=_FIRST, dashboard_key=key)
        await people_of(Settings(dashboard=named), tmp_path, start.stores)
        if key[0] == "a":
            await start.people.set_password("admin", _SECOND)

    assert await start.has(_SECOND)
