"""`botctl tokens`: the ways in of programs (docs/users.md)."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from bot.access import ApiToken, Scope
from bot.clock import SystemClock
from bot.commands.status import settings_of_daemon
from bot.commands.users import noted, opened_stores
from bot.config import Loaded
from bot.dashboard.passwords import Hasher
from bot.dashboard.people import PeopleDesk
from bot.dashboard.tokens import DEFAULT_DAYS, TokenDesk
from bot.errors import UsageError

_LISTED: Final = 50


def tokens(
    action: Annotated[Literal["list", "create", "revoke"], Parameter(help="list, create LABEL, or revoke ID")] = "list",
    which: Annotated[str | None, Parameter(help="what the new token is for, or the id of an old one")] = None,
    /,
    *,
    scope: Annotated[Sequence[Scope], Parameter(help="read, kill, trade or admin; may be repeated")] = (Scope.READ,),
    user: Annotated[str | None, Parameter(help="in whose name; default: DASHBOARD_USER")] = None,
    days: Annotated[int, Parameter(help="how long it lasts, at most 365")] = DEFAULT_DAYS,
    data: Annotated[str | None, Parameter(help="data directory of the daemon; default: DATA_DIRECTORY")] = None,
) -> None:
    """Show, make and revoke tokens of programs. A new one is printed once; send it as Authorization: Bearer TOKEN."""
    loaded = settings_of_daemon(data)
    if action != "list" and which is None:
        raise UsageError(f"{action} needs {'a label' if action == 'create' else 'an id: ./botctl tokens lists them'}")
    match action:
        case "create":
            owner = user or loaded.settings.dashboard.dashboard_user
            asyncio.run(_create(loaded, owner, which or "", scope, days))
        case "revoke":
            asyncio.run(_revoke(loaded, which or ""))
        case "list":
            asyncio.run(_list(loaded, (user or "").lower()))


async def _create(loaded: Loaded, owner: str, label: str, scopes: Sequence[Scope], days: int) -> None:
    async with opened_stores(loaded) as stores:
        desk = TokenDesk(stores.tokens, stores.users, SystemClock())
        holder = await PeopleDesk(stores=stores, hasher=Hasher(), clock=SystemClock()).get(owner)
        made, text = await desk.create(holder, label=label, scopes=scopes, days=days)
        await noted(stores, "token created", f"{made.id} {label}, {' '.join(sorted(made.scopes))}, of {holder.name}")
    print(f"{text}\nShown once. {_line(made)}")


async def _revoke(loaded: Loaded, token_id: str) -> None:
    async with opened_stores(loaded) as stores:
        if not await stores.tokens.revoke(token_id, SystemClock().now()):
            raise UsageError(f"token {token_id!r} is not there, or is revoked already; ./botctl tokens lists them")
        await noted(stores, "token revoked", token_id)
    print(f"{token_id} opens nothing any more.")


async def _list(loaded: Loaded, user: str) -> None:
    async with opened_stores(loaded) as stores:
        found = await stores.tokens.recent(_LISTED, user=user)
    for each in found:
        print(_line(each))
    if not found:
        print('No token yet: ./botctl tokens create "what it is for" --scope read')


def _line(token: ApiToken) -> str:
    used = f"last used {token.used_at:%Y-%m-%d %H:%M}" if token.used_at else "never used"
    ends = f"ends {token.expires_at:%Y-%m-%d %H:%M} UTC"
    if token.revoked_at:
        ends = f"revoked {token.revoked_at:%Y-%m-%d %H:%M} UTC"
    return f"{token.id}  {token.label}  {' '.join(sorted(token.scopes))}  of {token.user}  {ends}  {used}"
