"""How long each open position has been without a stop for all of it: protect-or-flatten acts on it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal

from bot.instruments import BrokerId
from bot.interfaces import Clock
from bot.models import ClientOrderId, Position


@dataclass(slots=True, kw_only=True)
class Gap:
    """One stretch of time without protection; `refused` counts the definite refusals of a stop in it.

    `unseen_s`: where a look found no stop for `quantity`, how long before that one was last seen. Whether it was gone
    for all of that, or has just filled, shows when the gap ends. `flatten`: no stop is asked for any more, the position
    is to be closed. `given_up`: we close it, for want of a stop; `closing` is the newest attempt at that.
    """

    broker_id: BrokerId
    since: float
    unseen_s: float = 0.0
    quantity: Decimal = Decimal(0)
    refused: int = 0
    flatten: bool = False
    given_up: bool = False
    closing: ClientOrderId | None = None


class UnprotectedTime:
    """Gaps by entry, and the longest of all, in seconds of the clock. A gap ends when the stop was read back.

    A gap lasts from when we know of it: until then nobody could have acted. When it ends, a stop that was gone counts
    as gone since it was last seen, in the longest and in the sum.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._gaps: dict[ClientOrderId, Gap] = {}
        self._seen_s: dict[ClientOrderId, float] = {}  # when all of it was last seen protected
        self._worst_s = 0.0
        self._ended_s = 0.0

    def begin(self, position: Position, *, ago_s: float = 0.0) -> Gap:
        """The gap of a position; a new one if it had none, which then began `ago_s` before now."""
        gap = self._gaps.get(position.entry_order_id)
        if gap is None:
            gap = Gap(broker_id=position.broker_id, since=self._clock.monotonic() - max(0.0, ago_s))
            self._gaps[position.entry_order_id] = gap
        return gap

    def found_gone(self, position: Position) -> Gap:
        """The gap of a position that a look shows without its stop."""
        is_new = position.entry_order_id not in self._gaps
        gap = self.begin(position)
        if is_new:
            gap.unseen_s = gap.since - self._seen_s.get(position.entry_order_id, gap.since)
            gap.quantity = position.quantity
        return gap

    def rests(self, position: Position) -> Gap | None:
        """A stop for all of it was read back: the gap that it ends, None if there was none.

        Where less is open than before, the stop had not gone: it has filled.
        """
        self._seen_s[position.entry_order_id] = self._clock.monotonic()
        return self._ended(position.entry_order_id, was_gone=lambda gap: position.quantity >= gap.quantity)

    def end(self, entry_order_id: ClientOrderId) -> None:
        """Nothing is left to protect. Unless we have closed it for that, its stop may have done so: it was there."""
        self._seen_s.pop(entry_order_id, None)
        self._ended(entry_order_id, was_gone=lambda gap: gap.given_up)

    def _ended(self, entry_order_id: ClientOrderId, *, was_gone: Callable[[Gap], bool]) -> Gap | None:
        gap = self._gaps.pop(entry_order_id, None)
        if gap is not None:
            gap.unseen_s = gap.unseen_s if was_gone(gap) else 0.0
            self._worst_s = max(self._worst_s, self.length_s(gap) + gap.unseen_s)
            self._ended_s += self.length_s(gap) + gap.unseen_s
        return gap

    def length_s(self, gap: Gap) -> float:
        """How long it has lasted, as far as anybody could act on it."""
        return self._clock.monotonic() - gap.since

    def keep_only(self, entries: Collection[ClientOrderId]) -> None:
        """Positions that are no longer there need no stop."""
        for entry_order_id in [each for each in {**self._gaps, **self._seen_s} if each not in entries]:
            self.end(entry_order_id)

    def is_open(self, broker_id: BrokerId) -> bool:
        """Something at that broker waits for its stop."""
        return any(each.broker_id == broker_id for each in self._gaps.values())

    def is_unprotected(self, entry_order_id: ClientOrderId) -> bool:
        """That position waits for its stop."""
        return entry_order_id in self._gaps

    def of(self, entry_order_id: ClientOrderId) -> float:
        """For how long that position has waited for its stop; 0 if it does not."""
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
