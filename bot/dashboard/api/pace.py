"""How fast one token or person may ask. What is urgent is never counted."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from bot.dashboard.api.problems import Problem
from bot.interfaces import Clock

_REMEMBERED: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """`at_once` requests, and from then on `per_s`."""

    per_s: float
    at_once: int


READS: Final = Pace(per_s=20.0, at_once=200)
ACTS: Final = Pace(per_s=2.0, at_once=40)
VENUES: Final = Pace(
    per_s=0.1, at_once=10
)  # IG takes 30 requests a minute, and the comparison with our book needs some
_EVERYBODY: Final = ""


class PaceDesk:
    """Counts by who asks: each has a store that fills with time and that every request takes one from."""

    def __init__(self, clock: Clock, *, reads: Pace = READS, acts: Pace = ACTS, venues: Pace = VENUES) -> None:
        self._clock = clock
        self._paces = {"reads": reads, "acts": acts, "questions to venues": venues}
        self._left: OrderedDict[tuple[str, str], tuple[float, float]] = OrderedDict()

    def take(self, who: str, *, is_act: bool) -> None:
        """Count one request. Raises Problem 429 with the seconds to wait."""
        self._take(who, "acts" if is_act else "reads")

    def take_venues(self) -> None:
        """Count one question to a venue, whoever asks. Raises Problem 429 with the seconds to wait."""
        self._take(_EVERYBODY, "questions to venues")

    def _take(self, who: str, kind: str) -> None:
        pace, now_s = self._paces[kind], self._clock.monotonic()
        left, at_s = self._left.pop((who, kind), (float(pace.at_once), now_s))
        left = min(left + (now_s - at_s) * pace.per_s, float(pace.at_once))
        self._left[who, kind] = (max(left - 1, 0.0) if left >= 1 else left, now_s)
        if len(self._left) > _REMEMBERED:
            self._left.popitem(last=False)
        if left < 1:
            wait_s = max(math.ceil((1 - left) / pace.per_s), 1)
            detail = f"more than {pace.at_once} {kind} at once, or {pace.per_s:g} a second; wait {wait_s} s, then go on"
            raise Problem(429, detail, retry_after_s=wait_s)


PACE_DESK: Final = web.AppKey("pace_desk", PaceDesk)
