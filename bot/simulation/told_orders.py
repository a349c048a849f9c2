"""What a bad line makes of a venue's orders, positions and fills: hidden, cut short, old, twice, out of order."""

from collections.abc import Sequence
from dataclasses import replace

from bot.layer1_data.broker_interface import VenueOrder
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.models import ClientOrderId, Fill, OrderState, VenuePosition, leg_of
from bot.simulation.loop import SimulatedLoop
from bot.simulation.ports import at_once
from bot.simulation.tape import Tape
from bot.simulation.watch import Watch


class ToldOrders:
    """The answers about one account, over restarts of the bot. What is true is in `venue`."""

    def __init__(self, venue: SimulatedBroker, *, loop: SimulatedLoop, tape: Tape, watch: Watch) -> None:
        self._venue = venue
        self._loop = loop
        self._tape = tape
        self._watch = watch
        self._hidden: dict[ClientOrderId, float] = {}
        self._told_late: dict[ClientOrderId, float] = {}
        self._replaced: dict[ClientOrderId, tuple[float, VenueOrder]] = {}
        self._disagreeing_until = 0.0
        self._old_positions: Sequence[VenuePosition] = ()
        self._seen = ""
        self._held: list[Fill] = []
        self._told: list[Fill] = []

    # ------------------------------------------------------------------------------------------------------- answers

    def found(self, name: ClientOrderId) -> VenueOrder | None:
        """One order by our id."""
        is_hidden = self._is_hidden(name)
        until, old = self._replaced.get(name, (0.0, None))
        if old is None or is_hidden or self._loop.time() >= until:
            self._watch.told_replaced(name, None)
            return None if is_hidden else at_once(self._venue.find_order(name))
        self._watch.told_replaced(name, old.venue_order_id)
        return old

    def listed(self, orders: Sequence[VenueOrder]) -> Sequence[VenueOrder]:
        """A list of orders. B17: the second half of it is missing."""
        shown = [each for each in orders if not self._is_hidden(each.client_order_id)]
        return shown[: len(shown) // 2] if shown and self._tape.fires("B17") else shown

    def positions(self) -> Sequence[VenuePosition]:
        """What is open, or was (N14)."""
        if self._loop.time() < self._disagreeing_until:
            return self._old_positions
        return [each for each in at_once(self._venue.positions()) if not self._is_hidden(each.entry_order_id)]

    def fills(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """Fills that may be told now; the cursor counts what was told, not what happened."""
        fresh, self._seen = at_once(self._venue.fills_since(self._seen))
        self._held.extend(fresh)
        shown = [each for each in self._held if not self._is_untold(each)]
        self._held = [each for each in self._held if self._is_untold(each)]
        if shown and self._tape.fires("N12"):
            shown = [each for fill in reversed(shown) for each in (fill, fill)]
        self._told.extend(shown)
        after = self._told[int(cursor or 0) :]
        return [each for each in after if not self._venue.is_taken_back(each)], str(len(self._told))

    # ------------------------------------------------------------------------------------------------------ the faults

    def may_hide(self, name: ClientOrderId) -> None:
        """It was just taken. B18: no answer has it for a while."""
        if name not in self._hidden and self._tape.fires("B18"):
            self._hidden[name] = self._loop.time() + self._tape.amount("B18", 5.0, 30.0)

    def may_replace(self, name: ClientOrderId) -> str | None:
        """It was just changed. B9: by another order under a new id, the answer; look-ups tell of the old one."""
        if not self._tape.fires("B9"):
            return None
        old = at_once(self._venue.find_order(name))
        if old is not None:
            until = self._loop.time() + self._tape.amount("B9", 1.0, 30.0)
            self._replaced[name] = (until, replace(old, state=OrderState.CANCELED))
        return self._venue.renumber(name)

    def tell_late(self, names: Sequence[ClientOrderId], seconds: float) -> None:
        """What these orders have filled is told only then, after what happened later (B10)."""
        self._told_late |= dict.fromkeys(names, self._loop.time() + seconds)

    def disagree(self, seconds: float) -> None:
        """Positions are told as they were (N14)."""
        self._old_positions = self.positions()
        self._disagreeing_until = self._loop.time() + seconds

    def tell_again(self) -> None:
        """The newest fills are told once more (N11)."""
        self._told.extend(self._told[-6:])

    def heal(self) -> None:
        """From now on everything is told as it is."""
        self._disagreeing_until = 0.0
        self._hidden.clear()
        self._told_late.clear()
        self._replaced.clear()

    def hides(self, entry_order_id: ClientOrderId) -> bool:
        """Some order of that entry is in no answer at this moment (B18)."""
        now = self._loop.time()
        return any(until > now and leg_of(name, "E0") == entry_order_id for name, until in self._hidden.items())

    def _is_hidden(self, name: ClientOrderId | None) -> bool:
        return name is not None and self._hidden.get(name, 0.0) > self._loop.time()

    def _is_untold(self, fill: Fill) -> bool:
        return (
            self._is_hidden(fill.client_order_id) or self._told_late.get(fill.client_order_id, 0.0) > self._loop.time()
        )
