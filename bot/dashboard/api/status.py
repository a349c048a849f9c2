"""The daemon at a glance, for `botctl status` and other programs."""

from bot.dashboard.api.operations import Call
from bot.models import DaemonStatus


async def status(call: Call) -> DaemonStatus:
    """The daemon at a glance: mode, health, money, counts, jobs.

    Decimals are JSON numbers here, because this is for looking; everywhere else they are strings.
    """
    return await call.parts.status()
