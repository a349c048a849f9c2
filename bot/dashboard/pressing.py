"""Pressing the kill switch for a person or a program: it holds at once, and nobody waits long for the database. And who
may not end it yet."""

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import web
from loguru import logger

from bot.dashboard.sessions import Owed
from bot.layer4_risk.kill_switch import KillSwitch
from bot.models import KillState

_PATIENCE_S: Final = 3.0
SILENT: Final = (
    "It holds from now on. The database does not answer: it is stored as soon as that is back, so look again."
)
RESUMES_NOTHING: Final[Mapping[Owed, str]] = {
    Owed.PASSWORD: "The password of the first login resumes nothing. Choose your own first, on the page Account or "
    "with ./botctl users passwd NAME; then resume.",
    Owed.SECOND_FACTOR: "Without a second factor nobody resumes. Set one up first, on the page Account; then resume.",
}


class Presses:
    """Presses, and keeps those that a silent database has not answered yet."""

    def __init__(self, kill: KillSwitch) -> None:
        self._kill = kill
        self._going: set[asyncio.Future[bool]] = set()

    async def press(self, state: KillState) -> bool | None:
        """Whether something new holds now; None if the database has not said: it holds all the same.

        Raises StorageError if it can be kept nowhere.
        """
        pressing = asyncio.ensure_future(self._kill.press(state))  # it holds from here on
        self._going.add(pressing)
        pressing.add_done_callback(self._ended)
        done, _ = await asyncio.wait((pressing,), timeout=_PATIENCE_S)
        is_new = pressing.result() if done else None
        return is_new if self._kill.is_stored(state) else None

    def _ended(self, pressing: asyncio.Future[bool]) -> None:
        self._going.discard(pressing)
        if not pressing.cancelled() and pressing.exception() is not None:
            logger.error("kill switch: a press holds in this process only: {}", pressing.exception())


PRESSES: Final = web.AppKey("presses", Presses)
