"""The people that the settings name. What people changed since stays, until the setting itself is changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.access import Role, User
from bot.config import DashboardSettings, SeededUser
from bot.dashboard.password_rules import password_fault
from bot.dashboard.passwords import Hasher, check_hash
from bot.dashboard.people import PeopleDesk, checked_name
from bot.dashboard.sessions import digest
from bot.errors import ConfigError, UsageError
from bot.interfaces import Clock, UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """Who owns the daemon, and the password that was made for the first login; empty if none was."""

    owner: str
    one_time_password: str


class Seeding:
    """Brings the settings' people into the store."""

    def __init__(self, *, users: UserStore, people: PeopleDesk, hasher: Hasher, clock: Clock) -> None:
        self._users = users
        self._people = people
        self._hasher = hasher
        self._clock = clock

    async def apply(self, settings: DashboardSettings) -> Seeded:
        """Add and change people as `settings` say. Raises ConfigError for a name or password that is not taken."""
        seeds = checked_seeds(settings)
        for each in seeds:
            await self._sow(each)
        owner = checked_name(settings.dashboard_user)
        if await self._users.get(owner) is not None:
            return Seeded(owner=owner, one_time_password="")
        _, made = await self._people.add(owner, Role.ADMIN)
        return Seeded(owner=owner, one_time_password=made)

    async def _sow(self, seed: SeededUser) -> None:
        """The setting is kept as a password is: as slow to guess, and known again whatever becomes of our key."""
        setting = digest(f"{seed.name} {seed.role} {seed.password} {seed.password_hash}").hex()
        known = await self._users.get(seed.name)
        if known is not None and known.seeded_by and await self._hasher.matches(known.seeded_by, setting):
            return
        mark = await self._hasher.hash_of(setting)
        now, role = self._clock.now(), Role(seed.role)
        password_hash = seed.password_hash or await self._hasher.hash_of(seed.password)
        if known is None:
            user = User(
                name=seed.name,
                role=role,
                password_hash=password_hash,
                created_at=now,
                password_at=now,
                seeded_by=mark,
            )
            await self._users.add(user)
            return
        await self._users.set_password(seed.name, password_hash, at=now, must_change=False, seeded_by=mark)
        await self._users.set_role(seed.name, role)
        await self._people.end_sessions(seed.name)


def checked_seeds(settings: DashboardSettings) -> Sequence[SeededUser]:
    """Who has a password in the settings. Raises ConfigError (S1)."""
    seeds = list(settings.further_users)
    if settings.dashboard_password:
        first = SeededUser(
            setting="DASHBOARD_USER",
            name=settings.dashboard_user,
            password=settings.dashboard_password,
            password_hash="",
            role="admin",
        )
        seeds.insert(0, first)
    checked = [_checked(each) for each in seeds]
    names = [each.name for each in checked]
    if twice := {each for each in names if names.count(each) > 1}:
        raise ConfigError(f"the settings name user {', '.join(sorted(twice))} more than once; give each another name")
    return checked


def _checked(seed: SeededUser) -> SeededUser:
    first = seed.setting == "DASHBOARD_USER"
    try:
        name = checked_name(seed.name)
    except UsageError as error:
        raise ConfigError(f"{seed.setting if first else seed.setting + '_NAME'}: {error}") from None
    if seed.password_hash:
        check_hash(f"{seed.setting}_HASH", seed.password_hash)
    elif fault := password_fault(seed.password, name=name):
        setting = "DASHBOARD_PASSWORD" if first else f"{seed.setting}_PASSWORD"
        raise ConfigError(f"{setting} of user {name} is refused: {fault}")
    return SeededUser(
        setting=seed.setting, name=name, password=seed.password, password_hash=seed.password_hash, role=seed.role
    )
