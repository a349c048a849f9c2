"""What is open in our record and missing at its venue, look after look: closed there by somebody else.

Reconciliation ends a position that is missing when its fills are told, or after two minutes; until then nothing is sent
for it. Where a part is missing a person answers; until then no more rests than the venue shows.
"""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from bot.interfaces import Clock
from bot.models import Position, PositionId

ZERO: Final = Decimal(0)
LOOKS_NEEDED: Final = 3
GONE_AFTER_S: Final = 30.0  # venues may hide for that long what they have taken


@dataclass(slots=True, kw_only=True)
class _Absence:
    """The venue shows less than we know of by `lacking`, which our own closes leave as it is; `opened` is what our
    entry had filled by then."""

    lacking: Decimal
    opened: Decimal
    since_s: float
    looks: int = 0
    is_believed: bool = False


class MissingPositions:
    """Counts complete answers of a venue that lack a position, or always the same part of it.

    More may be lacking for a moment, by a fill of ours that is not told yet: the smaller part goes on being counted.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lacking: dict[PositionId, list[_Absence]] = {}  # the newest answer last, the larger the later

    def note(self, position: Position, shown: Decimal) -> None:
        """What one complete answer said is open of it."""
        if shown >= position.quantity:
            self._lacking.pop(position.id, None)
            return
        lacking, absences = position.quantity - shown, self._lacking.setdefault(position.id, [])
        while absences and (absences[-1].lacking > lacking or absences[-1].opened != position.first_quantity):
            absences.pop()
        if not absences or absences[-1].lacking != lacking:
            absences.append(_Absence(lacking=lacking, opened=position.first_quantity, since_s=self._clock.monotonic()))
        absences[-1].looks += 1
        absences[-1].is_believed = self._lasts(absences[-1])

    def is_gone(self, position: Position) -> bool:
        """It has been missing for so long that no stop may rest for it and no close makes sense."""
        return position.is_open and self.open_of(position) == ZERO

    def open_of(self, position: Position) -> Decimal:
        """What our record says, or the less that the venue has shown for so long that it is to be believed."""
        absences = [each for each in self._lacking.get(position.id, ()) if each.opened == position.first_quantity]
        believed = [
            each.lacking for each in absences if each.is_believed or (each is absences[-1] and self._lasts(each))
        ]
        return position.quantity - min(position.quantity, max(believed, default=ZERO))

    def is_doubted(self, position: Position) -> bool:
        """The venue shows less of it, and no look yet has found that for long enough: the next ones decide."""
        absences = self._lacking.get(position.id)
        return absences is not None and not absences[-1].is_believed

    def _lasts(self, absence: _Absence) -> bool:
        return absence.looks >= LOOKS_NEEDED and self._clock.monotonic() - absence.since_s >= GONE_AFTER_S

    def keep_only(self, positions: Collection[PositionId]) -> None:
        """Forget what has ended."""
        for ended in [each for each in self._lacking if each not in positions]:
            del self._lacking[ended]
