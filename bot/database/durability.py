"""Would a commit survive a power cut? What the server is set to, and which mode may run on it (RELIABILITY D8)."""

from collections.abc import Mapping, Sequence
from typing import Final

from bot.database.access import translated
from bot.database.pool import Connection, Pool

_SAFE: Final[Mapping[str, Sequence[str]]] = {
    "fsync": ("on",),
    "full_page_writes": ("on",),
    "synchronous_commit": ("on", "remote_apply", "remote_write", "local"),
}
_SETTINGS: Final = "SELECT name, setting FROM pg_settings WHERE name = ANY($1) ORDER BY name"
_TOLERANT: Final = ("dev", "paper")
NEXT_STEP: Final = "as the server's administrator ALTER SYSTEM SET that setting = on, then SELECT pg_reload_conf()"


async def durability_faults(pool: "Pool | Connection") -> tuple[str, ...]:
    """Settings in force here under which a power cut can undo a commit, as sentences; empty when there are none.

    Raises DatabaseUnavailable.
    """
    with translated():
        rows = await pool.fetch(_SETTINGS, list(_SAFE))
    return tuple(
        f"PostgreSQL setting {name} is {value!r}, needs 'on': a power cut can undo what was committed"
        for name, value in rows
        if value not in _SAFE[name]
    )


def durability_refusal(faults: Sequence[str], mode: str) -> str:
    """Why `mode` may not start on a server with these faults; empty if it may, and they are only told.

    Where no real money moves, a lost commit costs a comparison with the venue; with real money it could cost an order
    that nobody remembers.
    """
    if not faults or mode in _TOLERANT:
        return ""
    return f"MODE={mode} does not start on this database: {'; '.join(faults)}. Next step: {NEXT_STEP}"
