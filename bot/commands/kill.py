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
from bot.commands.status import NoDaemon, find_daemon
from bot.config import Loaded, find_env_file, load_settings
from bot.errors import BotError, DatabaseUnavailable, UsageError
from bot.layer4_risk.kill_file import KillFile
from bot.layer4_risk.kill_switch import resume as resume_in
from bot.models import KillCause, KillLevel, KillState, strongest

_PATIENCE_S: Final = 3.0  # for the database; then the file is written, which nothing can delay
_DONE: Final = {
    KillLevel.PAUSE: "no new entries; positions, stops and exits go on",
    KillLevel.FLATTEN: "no new entries; every position is being closed at market",
    KillLevel.HALT: "nothing that increases risk is sent; stops and exits go on",
}

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
    password_file: Annotated[Path | None, Parameter(help="file with the page's password; needed after HALT")] = None,
    data: Data = None,
) -> None:
    """Let entries go on. After HALT the password of the page is asked for. Exit code 1 if something still holds."""
    loaded = _loaded(data)
    if not loaded.settings.run.database_url:
        _needs_daemon(loaded)
    file = KillFile(loaded.data_directory)
    written = file.read()
    up_to = asyncio.run(_held(loaded))
    up_to = max(up_to, written.level if written is not None else KillLevel.NONE)
    if up_to is KillLevel.HALT:
        _check_password(loaded, password_file)
    held = asyncio.run(_resume(loaded, file, up_to, reason))
    if any(not each.cause.ends_by_itself for each in held):
        raise BotError(f"not resumed: {strongest(held).says} holds by now; look at it, then resume again")
    for each in held:
        print(f"still held, and ended by nobody before its time: {each.says}")
    if not held:
        print("resumed: entries go on with the next signal." if up_to > KillLevel.NONE else "nothing was pressed.")


def _press(level: KillLevel, reason: str, data: str | None) -> None:
    loaded = _loaded(data)
    try:
        is_new = asyncio.run(_stored(loaded, level, reason))
    except (BotError, TimeoutError, OSError) as error:
        KillFile(loaded.data_directory).write(level)
        why = str(error) or f"the database did not answer within {_PATIENCE_S:.0f} s"
        path = KillFile(loaded.data_directory).path
        print(
            f"{level.value.upper()} written to {path}: a running daemon obeys within a second, another when it starts."
        )
        print(f"The database was not reached: {why}", file=sys.stderr)
        return
    print(f"{level.value.upper()}{'' if is_new else ' holds already'}: {_DONE[level]}. ./botctl status shows it.")


async def _stored(loaded: Loaded, level: KillLevel, reason: str) -> bool:
    """Write the press. Raises BotError or TimeoutError."""
    from bot.wiring.stored import stores_of_running_daemon

    if not loaded.settings.run.database_url:
        _needs_daemon(loaded)  # else the embedded server would be started, and left behind
    state = KillState(level=level, by=person(), cause=KillCause.COMMAND, reason=reason, at=SystemClock().now())
    async with asyncio.timeout(_PATIENCE_S), stores_of_running_daemon(loaded) as stores:
        return await stores.kills.set(state)


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


def _check_password(loaded: Loaded, password_file: Path | None) -> None:
    """Raises UsageError unless the person knows the password of the page."""
    from bot.dashboard.passwords import known_password, password_hash_of, password_matches

    known = known_password(loaded.settings, loaded.data_directory)
    if not known:
        raise UsageError("HALT holds, and there is no password of the page yet: start ./botctl run once, then resume")
    if password_file is not None:
        try:
            typed = password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"password file {password_file} cannot be read ({error}); name a readable one") from error
    elif sys.stdin.isatty():
        typed = getpass.getpass("HALT holds. Password of the page: ")
    else:
        raise UsageError("HALT holds and there is no terminal to ask for the password: name it with --password-file")
    if not password_matches(password_hash_of(known), typed):
        raise UsageError("that is not the password of the page; nothing was resumed")


def _loaded(data: str | None) -> Loaded:
    return load_settings(
        os.environ, find_env_file(Path.cwd()), command_line={} if data is None else {"DATA_DIRECTORY": data}
    )


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
