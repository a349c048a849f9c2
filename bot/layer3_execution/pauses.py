"""What has failed is tried again after 1, 2, 5, then every 10 s, after a quarter of an hour each minute, for ever.

RELIABILITY 2.5 rule 4 says every 10 s for ever. A market that is closed for a weekend then refuses 23,000 orders, and
each attempt would have to read the rows of all that went before.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from bot.interfaces import Clock
from bot.models import ClientOrderId, PositionId

_PAUSES_S: Final = (1, 2, 5, *[10] * 90, 60)
_AGES_KEPT: Final = 1_000


def pause_after_s(failures: int, pauses_s: Sequence[int] = _PAUSES_S) -> int:
    """Seconds to wait after so many failures in a row; 0 after none."""
    return pauses_s[min(failures, len(pauses_s)) - 1] if failures else 0


@dataclass(slots=True)
class _Failures:
    count: int
    last_s: float


class Pauses:
    """Failures in a row by position, in this process."""

    def __init__(self, clock: Clock, pauses_s: Sequence[int] = _PAUSES_S) -> None:
        """`pauses_s` after the first failure, the second, and so on; the last one counts for all that follow."""
        self._clock = clock
        self._pauses_s = pauses_s
        self._failures: dict[PositionId, _Failures] = {}

    def failed(self, position_id: PositionId) -> None:
        """One more."""
        before = self._failures.get(position_id)
        count = 1 if before is None else before.count + 1
        self._failures[position_id] = _Failures(count, self._clock.monotonic())

    def succeeded(self, position_id: PositionId) -> None:
        """Nothing is to be tried again."""
        self._failures.pop(position_id, None)

    def keep_only(self, positions: Collection[PositionId]) -> None:
        """Forget what has ended."""
        for ended in [each for each in self._failures if each not in positions]:
            del self._failures[ended]

    def is_early(self, position_id: PositionId) -> bool:
        """The next attempt has to wait."""
        failures = self._failures.get(position_id)
        if failures is None:
            return False
        return self._clock.monotonic() - failures.last_s < pause_after_s(failures.count, self._pauses_s)


class Ages:
    """How long ago rows were written. A wall clock that is set meanwhile stretches no pause.

    It is asked once for each row, at the first look; from then on monotonic time counts. What it says of a row from
    the future is worth nothing: that one counts as old.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._written_s: dict[tuple[ClientOrderId, datetime], float] = {}

    def of_s(self, client_order_id: ClientOrderId, written_at: datetime) -> float:
        """Seconds since an order was written as it is now."""
        row, now_s = (client_order_id, written_at), self._clock.monotonic()
        if row not in self._written_s:
            age_s = (self._clock.now() - written_at).total_seconds()
            self._written_s[row] = now_s - age_s if age_s >= 0 else -math.inf
            if len(self._written_s) > _AGES_KEPT:
                del self._written_s[next(iter(self._written_s))]
        return now_s - self._written_s[row]
