"""`botctl analyst export | import`: recorded answers as files, out of and into the database of a daemon."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from bot.commands.status import find_daemon, settings_of_daemon
from bot.errors import UsageError
from bot.interfaces import Stores
from bot.layer2_intelligence.analyst.recordings import (
    cassette_of,
    import_cassettes,
    read_cassettes,
    write_cassettes,
)

_MOST: Final = 100_000

Data = Annotated[str | None, Parameter(help="Data directory of the daemon; default: DATA_DIRECTORY.")]


def export(
    directory: Annotated[Path, Parameter(help="Where the files go; it is made if it is not there.")],
    /,
    *,
    last: Annotated[int, Parameter(help="How many requests to look back.")] = 10_000,
    data: Data = None,
) -> None:
    """Write recorded answers as one JSON file each, for `analyst replay` and `analyst evaluate`."""
    if not 1 <= last <= _MOST:
        raise UsageError(f"--last {last} must be from 1 to {_MOST:,}")
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"{directory} is no directory; name another")

    async def write(stores: Stores) -> int:
        found = [cassette_of(each) for each in await stores.analyst_calls.recent(last)]
        return write_cassettes((each for each in found if each is not None), directory)

    print(f"{_with_stores(write, data):,} recordings in {directory}")


def import_recordings(
    directory: Annotated[Path, Parameter(help="Where the files are.")], /, *, data: Data = None
) -> None:
    """Store recorded answers in the daemon's database. They cost nothing there, and keep saying who answered."""
    cassettes = read_cassettes(directory)

    async def read(stores: Stores) -> int:
        return await import_cassettes(cassettes, stores.analyst_calls)

    print(f"{_with_stores(read, data):,} of {len(cassettes):,} recordings were new and are stored")


def _with_stores(work: Callable[[Stores], Awaitable[int]], data: str | None) -> int:

    loaded = settings_of_daemon(data)
    if not loaded.settings.run.database_url:
        find_daemon(loaded.data_directory)  # says how to start one; its database runs as long as it does

    async def ask() -> int:
        from bot.wiring.stored import stores_of_running_daemon

        async with stores_of_running_daemon(loaded) as stores:
            return await work(stores)

    return asyncio.run(ask())
