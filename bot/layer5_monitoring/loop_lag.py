"""How late the event loop wakes a sleeper: what everybody else's coroutines cost."""

from collections import deque
from collections.abc import Callable
from typing import Final

from bot.interfaces import Clock

_EVERY_S: Final = 0.1
_REMEMBERED: Final = 600  # a minute


class LoopLag:
    """Sleeps, and measures how much longer that took; the clock must run in real seconds."""

    def __init__(self, clock: Clock, heard: Callable[[float], object]) -> None:
        """`heard` gets every measurement, in seconds."""
        self._clock = clock
        self._heard = heard
        self._recent: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def worst_s(self) -> float:
        """The latest waking of about the last minute; 0 before the first."""
        return max(self._recent, default=0.0)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            begun_s = self._clock.monotonic()
            await self._clock.sleep(_EVERY_S)
            lag_s = max(0.0, self._clock.monotonic() - begun_s - _EVERY_S)
            self._recent.append(lag_s)
            self._heard(lag_s)
