"""`botctl alerts`: what people were told, taking note of it, and a test of every way to them (docs/alerts.md)."""

import asyncio
import getpass
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from cyclopts import Parameter

from bot.alerts import Alert
from bot.clock import SystemClock
from bot.commands.status import find_daemon, settings_of_daemon
from bot.config import Loaded
from bot.errors import BotError, UsageError

_LISTED: Final = 20
_LOOK_BACK: Final = 1_000
_FINE: Final = ("sent", "queued", "not ")


def alerts(
    action: Annotated[Literal["list", "ack", "test"], Parameter(help="list, ack ID (or ack all), or test")] = "list",
    which: Annotated[str | None, Parameter(help="id of an alert, or all")] = None,
    /,
    *,
    sms: Annotated[bool, Parameter(help="test: text messages too; they cost money.", negative="")] = False,
    data: Annotated[str | None, Parameter(help="Data directory of the daemon; default: DATA_DIRECTORY.")] = None,
) -> None:
    """Show the newest alerts, take note of one, or send a test by every way. Exit code 1 if a test did not go out."""
    loaded = settings_of_daemon(data)
    if action == "test":
        asyncio.run(_test(loaded, with_sms=sms))
        return
    if action == "ack" and which is None:
        raise UsageError("ack needs the id of an alert, or all: ./botctl alerts lists them")
    if not loaded.settings.run.database_url:
        find_daemon(loaded.data_directory)  # says how to start one; its database runs as long as it does
    asyncio.run(_acknowledge(loaded, which) if which is not None and action == "ack" else _list(loaded))


async def _list(loaded: Loaded) -> None:
    from bot.wiring.stored import stores_of_running_daemon

    async with stores_of_running_daemon(loaded) as stores:
        _show(await stores.alerts.recent(_LISTED))


async def _acknowledge(loaded: Loaded, which: str) -> None:
    """The running daemon hears of it within seconds."""
    from bot.wiring.stored import stores_of_running_daemon

    async with stores_of_running_daemon(loaded) as stores:
        waiting = [each.id for each in await stores.alerts.recent(_LOOK_BACK) if each.waits]
        chosen = waiting if which == "all" else [which]
        by, now = getpass.getuser(), SystemClock().now()
        taken = [each for each in chosen if await stores.alerts.acknowledge(each, by=by, at=now)]
    print(f"{len(taken)} taken note of{': ' if taken else ''}{', '.join(taken)}")


async def _test(loaded: Loaded, *, with_sms: bool) -> None:
    from bot.wiring.alert_trial import sent_messages

    failed = []
    async for where, told in sent_messages(loaded.settings, at=SystemClock().now(), with_sms=with_sms):
        print(f"{where}: {told}")
        if not told.startswith(_FINE):
            failed.append(where)
    if failed:
        raise BotError(f"no test message went out to {', '.join(failed)}; correct that, then test again")


def _show(newest: Sequence[Alert]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if not newest:
        print("no alert yet.")
        return
    table = Table("id", "at (UTC)", "severity", "times", "alert", "state", "told")
    for each in newest:
        ways = ", ".join(f"{way.channel.value} {way.state.value}" for way in each.deliveries)
        style = "bold red" if each.waits else ""
        at = f"{each.raised_at:%m-%d %H:%M:%S}"
        table.add_row(
            each.id, at, each.severity.value, str(each.count), Text(each.title, style=style), _state(each), ways
        )
    Console().print(table)


def _state(alert: Alert) -> str:
    if alert.resolved_at is not None:
        return f"resolved {alert.resolved_at:%H:%M:%S}"
    if alert.acked_at is not None:
        return f"taken by {alert.acked_by}"
    return "waits for ack" if alert.waits else ""
