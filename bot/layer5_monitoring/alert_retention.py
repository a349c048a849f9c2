"""Keeps the record of alerts bounded: what ended long ago goes, a little at a time."""

from datetime import timedelta
from typing import Final

from loguru import logger

from bot.errors import BotError
from bot.interfaces import AlertStore, Clock

_LOOK_EVERY_S: Final = 3_600.0
_AT_ONCE: Final = 1_000  # short statements: alerts are stored meanwhile
_PAUSE_S: Final = 1.0


class AlertRetention:
    """Removes alerts that nothing happened to for `keep_days`; what lasts or waits for somebody stays."""

    def __init__(self, store: AlertStore, clock: Clock, *, keep_days: int) -> None:
        self._store = store
        self._clock = clock
        self._keep = timedelta(days=keep_days)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            more = False
            try:
                more = await self.turn()
            except BotError as error:
                logger.debug("alerts: old ones are not removed yet: {}", error)
            except Exception as error:  # the edge: it must come back
                logger.opt(exception=error).error("alerts: old ones are not removed")
            await self._clock.sleep(_PAUSE_S if more else _LOOK_EVERY_S)

    async def turn(self) -> bool:
        """Remove some; whether more may be left."""
        removed = await self._store.forget(self._clock.now() - self._keep, _AT_ONCE)
        if removed:
            logger.info("alerts: {} that ended more than {} days ago were removed", removed, self._keep.days)
        return removed == _AT_ONCE
