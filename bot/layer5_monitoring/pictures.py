"""Pictures of alerts, drawn aside: whoever sends looks whether one is there, and never waits for it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from loguru import logger

from bot.alerts import Alert
from bot.errors import BotError
from bot.interfaces import Clock

WITHIN_S: Final = 3.0  # then the text goes out alone, and the picture follows if it comes
_MOST_BYTES: Final = 200_000
_KEPT: Final = 20
_SIGNAL: Final = "signal "

Draw = Callable[[str], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Drawing:
    begun_s: float
    work: asyncio.Task[bytes | None]


class Pictures:
    """Draws the signals that alerts are about, each once for all chats. `draw` takes the id of a signal."""

    def __init__(self, draw: Draw, clock: Clock) -> None:
        self._draw = draw
        self._clock = clock
        self._turn = asyncio.Lock()  # one at a time: drawing takes a processor
        self._drawings: dict[str, _Drawing] = {}

    def may_have(self, alert: Alert) -> bool:
        """Alerts of its kind have a picture."""
        return alert.key.startswith(_SIGNAL)

    def keeps_waiting(self, alert: Alert) -> bool:
        """Begin to draw, if nobody did; whether it is worth waiting for that."""
        if self.may_have(alert) and alert.id not in self._drawings:
            self._begin(alert)
        drawing = self._drawings.get(alert.id)
        if drawing is None or drawing.work.done():
            return False
        return self._clock.monotonic() - drawing.begun_s < WITHIN_S

    def comes(self, alert: Alert) -> bool:
        """It is still being drawn, however long that takes."""
        drawing = self._drawings.get(alert.id)
        return drawing is not None and not drawing.work.done()

    def of(self, alert: Alert) -> bytes | None:
        """The picture, if it is there."""
        drawing = self._drawings.get(alert.id)
        done = drawing is not None and drawing.work.done() and not drawing.work.cancelled()
        return drawing.work.result() if drawing is not None and done else None

    async def close(self) -> None:
        """Nothing is drawn any more."""
        works = [each.work for each in self._drawings.values()]
        for each in works:
            each.cancel()
        await asyncio.gather(*works, return_exceptions=True)

    # -------------------------------------------------------------------------------------------------------- inside

    def _begin(self, alert: Alert) -> None:
        work = asyncio.create_task(self._drawn(alert), name=f"picture {alert.id}")
        self._drawings[alert.id] = _Drawing(begun_s=self._clock.monotonic(), work=work)
        while len(self._drawings) > _KEPT:
            self._drawings.pop(next(iter(self._drawings))).work.cancel()

    async def _drawn(self, alert: Alert) -> bytes | None:
        """Never raises: an alert without its picture is still an alert."""
        try:
            async with self._turn:
                picture = await self._draw(alert.key.removeprefix(_SIGNAL))
        except BotError as error:
            logger.info("alerts: no picture for {}: {}", alert.id, error)
            return None
        except Exception as error:  # the edge: a drawing library may raise anything
            logger.opt(exception=error).error("alerts: the picture for {} was not drawn", alert.id)
            return None
        if len(picture) > _MOST_BYTES:
            logger.warning("alerts: the picture for {} has {:,} bytes, more than is sent", alert.id, len(picture))
            return None
        return picture
