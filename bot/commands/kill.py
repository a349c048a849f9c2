"""`botctl pause`, `flatten`, `halt` and `resume`: the kill switch from the command line (docs/kill-switch.md).

They write to the database themselves, so they need no page; where the database is not reached they write the file,
which the daemon sees within a second, or when it starts.
"""

import asyncio
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from bot.clock import SystemClock
from bot.commands.status import NoDaemon, find_daemon, settings_of_daemon
from bot.config import Loaded
from bot.errors import BotError, DatabaseUnavailable, UsageError
from bot.layer4_risk.kill_file import KillFile
from bot.layer4_risk.kill_switch import resume as resume_in
from bot.layer4_risk.kill_words import effect, levels, said
from bot.models import KillCause, KillLevel, KillState

_PATIENCE_S: Final = 3.0  # for the database; then the file is written, which nothing can delay

Reason = Annotated[str, Parameter(help="why; kept with the press")]
Data = Annotated[str | None, Parameter(help="data directory of the daemon; default: DATA_DIRECTORY")]


def pause(*, reason: Reason = "", data: Data = None) -> None:
    """Stop new entries. Open positions, their stops and exits go on. Ended by ./botctl resume."""
    _press(KillLevel.PAUSE, reason, data)


def flatten(*, reason: Reason = "", data: Data = None) -> None:
    """Close every position at market, cancel entries, and stop new ones. Ended by ./botctl resume."""
    _press(KillLevel.FLATTEN, reason, data)


def halt(*, reason: Reason = "", data: Data = None) -> None:
    """Send nothing that increases risk; keep positions with their stops. Ended by ./botctl resume and the password."""
    _press(KillLevel.HALT, reason, data)


def resume(
    *,
    reason: Reason = "",
    user: Annotated[str | None, Parameter(help="whose password it is; default: DASHBOARD_USER")] = None,
    password_file: Annotated[Path | None, Parameter(help="file with a password of the page; needed after HALT")] = None,
    data: Data = None,
) -> None:
    """Let entries go on. After HALT the password of the page is asked for. Exit code 1 if something still holds."""
    loaded = settings_of_daemon(data)
    if not loaded.settings.run.database_url:
        _needs_daemon(loaded)
    file = KillFile(loaded.data_directory)
    written = file.read()
    up_to = asyncio.run(_held(loaded))
    up_to = max(up_to, *(each.level for each in written), KillLevel.NONE)
    if up_to is KillLevel.HALT:
        asyncio.run(_check_password(loaded, user or loaded.settings.dashboard.dashboard_user, password_file))
    held = asyncio.run(_resume(loaded, file, up_to, reason))
    if any(not each.cause.ends_by_itself for each in held):
        raise BotError(f"not resumed: {said(held)} holds by now; look at it, then resume again")
    for each in held:
        print(f"still held, and ended by nobody before its time: {each.says}")
    if not held:
        print("resumed: entries go on with the next signal." if up_to > KillLevel.NONE else "nothing was pressed.")


def _press(level: KillLevel, reason: str, data: str | None) -> None:
    loaded = settings_of_daemon(data)
    try:
        is_new, held = asyncio.run(_stored(loaded, level, reason))
    except (BotError, TimeoutError, OSError) as error:
        KillFile(loaded.data_directory).write(level)
        why = str(error) or f"the database did not answer within {_PATIENCE_S:.0f} s"
        path = KillFile(loaded.data_directory).path
        print(
            f"{level.value.upper()} written to {path}: a running daemon obeys within a second, another when it starts."
        )
        print(f"The database was not reached: {why}", file=sys.stderr)
        return
    pressed = f"{level.value.upper()}{'' if is_new else ' holds already'}"
    together = f"; {levels(held)} hold together" if any(each.level is not level for each in held) else ""
    print(f"{pressed}{together}: {effect(held)}. ./botctl status shows it.")


async def _stored(loaded: Loaded, level: KillLevel, reason: str) -> tuple[bool, Sequence[KillState]]:
    """Write the press: whether it is new, and all that holds now, as far as that is told. Raises BotError or
    TimeoutError where it was not written."""
    from bot.wiring.stored import stores_of_running_daemon

    if not loaded.settings.run.database_url:
        _needs_daemon(loaded)  # else the embedded server would be started, and left behind
    state = KillState(level=level, by=person(), cause=KillCause.COMMAND, reason=reason, at=SystemClock().now())
    is_new, held = None, [state]
    try:
        async with asyncio.timeout(_PATIENCE_S), stores_of_running_daemon(loaded) as stores:
            is_new = await stores.kills.set(state)
            held = list(await stores.kills.active())
    except (BotError, TimeoutError, OSError):
        if is_new is None:
            raise
    return is_new, held


async def _held(loaded: Loaded) -> KillLevel:
    from bot.wiring.stored import stores_of_running_daemon

    async with stores_of_running_daemon(loaded) as stores:
        return (await stores.kills.current()).level


async def _resume(loaded: Loaded, file: KillFile, up_to: KillLevel, reason: str) -> Sequence[KillState]:
    """Release what holds; what holds then."""
    from bot.wiring.stored import stores_of_running_daemon

    async with stores_of_running_daemon(loaded) as stores:
        await resume_in(
            stores.kills,
            stores.snapshots,
            file,
            up_to=up_to,
            by=person(),
            reason=f"resumed on the command line{': ' if reason else ''}{reason}",
            clock=SystemClock(),
        )
        return await stores.kills.active()


async def _check_password(loaded: Loaded, name: str, password_file: Path | None) -> None:
    """Raises UsageError unless the caller knows the password, and the code, of somebody who may resume."""
    from bot.access import Scope
    from bot.commands.secrets_asked import asked_code, asked_password
    from bot.dashboard.login_desk import LoginDesk, wait_words
    from bot.dashboard.passwords import Hasher
    from bot.dashboard.pressing import RESUMES_NOTHING
    from bot.dashboard.second_factor import vault_of
    from bot.dashboard.sessions import Owed
    from bot.wiring.stored import stores_of_running_daemon

    async with stores_of_running_daemon(loaded) as stores:
        user = await stores.users.get(name.strip().lower())
        password = asked_password(f"HALT holds. Password of {name} on the page: ", password_file)
        code = asked_code() if user is not None and user.has_second_factor else ""
        vault = vault_of(loaded.settings.dashboard.dashboard_key, loaded.data_directory)
        desk = LoginDesk(users=stores.users, hasher=Hasher(), vault=vault, clock=SystemClock())
        answer = await desk.check(name, password, code)
    if answer.wait_s > 0:
        raise UsageError(f"{wait_words(answer.wait_s)} Nothing was resumed")
    if answer.user is None or not answer.user.role.may(Scope.TRADE):
        raise UsageError(f"that is not the password of {name}, or {name} may not resume; nothing was resumed")
    if answer.user.must_change:
        raise UsageError(RESUMES_NOTHING[Owed.PASSWORD].replace("NAME", answer.user.name))


def _needs_daemon(loaded: Loaded) -> None:
    """Its embedded database runs as long as it does. Raises DatabaseUnavailable."""
    try:
        find_daemon(loaded.data_directory)
    except NoDaemon as error:
        raise DatabaseUnavailable(f"{error}; what was pressed before holds from its first moment on") from error


def person() -> str:
    """Who calls, for what is kept."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user id without a name
        return f"user {os.getuid()}"
