"""`botctl users`: the people who may see the page (docs/users.md). Whoever may run it here may do anything to them."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from bot.access import AuditEntry, AuditResult, Role, User
from bot.clock import SystemClock
from bot.commands.kill import person
from bot.commands.secrets_asked import new_password
from bot.commands.status import find_daemon, settings_of_daemon
from bot.config import Loaded
from bot.dashboard.passwords import Hasher, password_hash_of
from bot.dashboard.people import PeopleDesk
from bot.errors import UsageError
from bot.interfaces import Stores

Action = Literal["list", "add", "passwd", "role", "disable", "enable", "totp", "reset", "hash"]
_SAID: Final = {
    "disable": "{name} is shut out: sessions have ended, tokens open nothing. ./botctl users enable {name} undoes it.",
    "enable": "{name} may log in again.",
    "totp": "{name} logs in with the password alone, and can set up another second factor on the account page.",
    "passwd": "{name} has a new password; every session of {name} has ended.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What was typed."""

    action: Action
    name: str
    role: Role | None
    password_file: Path | None


def users(
    action: Annotated[
        Action, Parameter(help="list, add, passwd, role, disable, enable, totp (remove it), reset, or hash")
    ] = "list",
    name: Annotated[str | None, Parameter(help="whom it is about")] = None,
    /,
    *,
    role: Annotated[Role | None, Parameter(help="viewer reads, operator also trades, admin everything")] = None,
    password_file: Annotated[Path | None, Parameter(help="file with the new password; otherwise it is asked")] = None,
    data: Annotated[str | None, Parameter(help="data directory of the daemon; default: DATA_DIRECTORY")] = None,
) -> None:
    """Show and change who may see the page. A new person, or one after reset, gets a password for one login."""
    if action == "hash":
        print(password_hash_of(new_password(password_file)))
        return
    loaded = settings_of_daemon(data)
    if action == "list":
        asyncio.run(_list(loaded))
        return
    if name is None:
        raise UsageError(f"{action} needs a name: ./botctl users {action} NAME")
    if action == "role" and role is None:
        raise UsageError(f"role needs one: ./botctl users role {name} --role viewer, operator or admin")
    asyncio.run(_change(loaded, _Asked(action=action, name=name, role=role, password_file=password_file)))


async def _list(loaded: Loaded) -> None:
    async with opened_stores(loaded) as stores:
        _show(await stores.users.all())


async def _change(loaded: Loaded, asked: _Asked) -> None:
    async with opened_stores(loaded) as stores:
        desk = PeopleDesk(stores=stores, hasher=Hasher(), clock=SystemClock())
        says = await _done(desk, asked)
        await noted(stores, f"user {asked.action}", f"{asked.name} {asked.role or ''}".strip())
    print(says)


async def _done(desk: PeopleDesk, asked: _Asked) -> str:
    """Do it, and say so."""
    name = asked.name
    match asked.action:
        case "add":
            password = new_password(asked.password_file) if asked.password_file else ""
            user, made = await desk.add(name, asked.role or Role.VIEWER, password)
            return f"{user.name} has the role {user.role.value}." + (_first_login(made) if made else "")
        case "role":
            await desk.set_role(name, asked.role or Role.VIEWER)
            return f"{name} has the role {asked.role} from now on."
        case "reset":
            return f"{name} has no second factor any more, and every session has ended." + _first_login(
                await desk.reset(name)
            )
        case "passwd":
            await desk.set_password(name, new_password(asked.password_file))
        case "totp":
            await desk.remove_second_factor(name)
        case "disable" | "enable":
            await desk.set_enabled(name, asked.action == "enable")
    return _SAID[asked.action].format(name=name)


def _first_login(made: str) -> str:
    return f"\nPassword for the first login, shown once: {made}"


def _show(people: Sequence[User]) -> None:
    if not people:
        print("Nobody yet: the first start makes an admin.")
    for each in people:
        marks = [
            "disabled" if not each.is_enabled else "",
            "second factor" if each.has_second_factor else "password only",
            "must choose a password" if each.must_change else "",
        ]
        print(f"{each.name:<24} {each.role.value:<9} {', '.join(mark for mark in marks if mark)}")


@asynccontextmanager
async def opened_stores(loaded: Loaded) -> AsyncIterator[Stores]:
    """The stores of the daemon that runs here. Raises NoDaemon if its database would have to be started."""
    from bot.wiring.stored import stores_of_running_daemon

    if not loaded.settings.run.database_url:
        find_daemon(loaded.data_directory)
    async with stores_of_running_daemon(loaded) as stores:
        yield stores


async def noted(stores: Stores, what: str, detail: str) -> None:
    """Write the act into the audit."""
    await stores.audit.append(
        AuditEntry(
            at=SystemClock().now(),
            who=person(),
            how="command line",
            address="",
            what=what,
            detail=detail,
            result=AuditResult.OK,
        )
    )
