"""How long each open position has been without a stop for all of it: protect-or-flatten acts on it."""

from collections.abc import Collection
from dataclasses import dataclass

from bot.instruments import BrokerId
from bot.interfaces import Clock
from bot.models import ClientOrderId, Position


@dataclass(slots=True, kw_only=True)
class Gap:
    """One stretch of time without protection; `refused` counts the definite refusals of a stop in it.

    `flatten`: no stop is asked for any more, the position is closed. `closing` is the newest attempt at that.
    """

    broker_id: BrokerId
    since: float
    refused: int = 0
    flatten: bool = False
    closing: ClientOrderId | None = None


class UnprotectedTime:
    """Gaps by entry, and the longest of all, in seconds of the clock. A gap ends when the stop was read back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gaps: dict[ClientOrderId, Gap] = {}
        self._worst_s = 0.0
        self._ended_s = 0.0

    def begin(self, position: Position, *, ago_s: float = 0.0) -> Gap:
        """The gap of a position; a new one if it had none, which then began `ago_s` before now."""
        gap = self._gaps.get(position.entry_order_id)
        if gap is None:
            gap = Gap(broker_id=position.broker_id, since=self._clock.monotonic() - max(0.0, ago_s))
            self._gaps[position.entry_order_id] = gap
        self._worst_s = max(self._worst_s, self.length_s(gap))
        return gap

    def end(self, entry_order_id: ClientOrderId) -> float | None:
        """The stop rests, or nothing is left to protect: how long the gap was, None if there was none."""
        gap = self._gaps.pop(entry_order_id, None)
        if gap is None:
            return None
        length_s = self.length_s(gap)
        self._worst_s = max(self._worst_s, length_s)
        self._ended_s += length_s
        return length_s

    def length_s(self, gap: Gap) -> float:
        """How long it has lasted."""
        return self._clock.monotonic() - gap.since

    def keep_only(self, entries: Collection[ClientOrderId]) -> None:
        """Positions that are no longer there need no stop."""
        for entry_order_id in [each for each in self._gaps if each not in entries]:
            self.end(entry_order_id)

    def is_open(self, broker_id: BrokerId) -> bool:
        """Something at that broker waits for its stop."""
        return any(each.broker_id == broker_id for each in self._gaps.values())

    def is_unprotected(self, entry_order_id: ClientOrderId) -> bool:
        """That position waits for its stop."""
        return entry_order_id in self._gaps

    def of(self, entry_order_id: ClientOrderId) -> float:
        """For how long that position has waited; 0 if it does not."""
        gap = self._gaps.get(entry_order_id)
        return 0.0 if gap is None else self.length_s(gap)

    @property
    def longest_now_s(self) -> float:
        """The longest gap that is open now; 0 if none is."""
        return max((self.length_s(each) for each in self._gaps.values()), default=0.0)

    @property
    def worst_s(self) -> float:
        """The longest gap since this process began."""
        return max(self._worst_s, self.longest_now_s)

    @property
    def total_s(self) -> float:
        """All gaps since this process began, one beside another counted each."""
        return self._ended_s + sum(self.length_s(each) for each in self._gaps.values())
