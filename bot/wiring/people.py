"""Wiring of people: the key of the page, those that the settings name, and what the terminal says about logging in."""

from dataclasses import dataclass, field
from pathlib import Path

from bot.clock import SystemClock
from bot.config import Settings
from bot.dashboard.passwords import Hasher
from bot.dashboard.people import PeopleDesk
from bot.dashboard.second_factor import Vault, vault_of
from bot.dashboard.seeding import Seeding
from bot.interfaces import Stores


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who may come in, and how the first one does."""

    owner: str
    vault: Vault
    login: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)  # what the log must hide


async def people_of(settings: Settings, data: Path, stores: Stores) -> People:
    """Bring the settings' people into the database. Raises ConfigError or StorageError."""
    clock, hasher = SystemClock(), Hasher()
    vault = vault_of(settings.dashboard.dashboard_key, data)
    desk = PeopleDesk(stores=stores, hasher=hasher, clock=clock)
    seeding = Seeding(users=stores.users, people=desk, hasher=hasher, clock=clock)
    seeded = await seeding.apply(settings.dashboard)
    made = seeded.one_time_password
    if made:
        login = f"{seeded.owner} / {made}   (shown once, for the first login: you then choose your own)"
    elif settings.dashboard.dashboard_password:
        login = f"{seeded.owner} / the password of DASHBOARD_PASSWORD, or the one you chose since"
    else:
        login = f"{seeded.owner} / your password; forgotten: ./botctl users reset {seeded.owner}"
    return People(owner=seeded.owner, vault=vault, login=login, secrets=(made,) if made else ())
