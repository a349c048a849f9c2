"""What is at stake at the venues and not in our record: counted in every limit, and never touched."""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from bot.differences import Difference, DifferenceKind, ForeignStake, difference_id
from bot.instruments import BrokerId
from bot.layer3_execution.adoption import TermsOf
from bot.layer3_execution.sightings import Sighting
from bot.models import Direction, Side

_NOT_RECORDED: Final = (DifferenceKind.FOREIGN_ORDER, DifferenceKind.ORPHAN_ORDER)


class ForeignStakes:
    """The stakes that the last complete comparison of each venue has seen."""

    def __init__(self, terms_of: TermsOf) -> None:
        self._terms_of = terms_of
        self._stakes: dict[BrokerId, tuple[ForeignStake, ...]] = {}

    def all(self) -> tuple[ForeignStake, ...]:
        """Positions, what the venue has more of than we do, and orders that could open something."""
        return tuple(each for stakes in self._stakes.values() for each in stakes)

    async def count(
        self, broker_id: BrokerId, sightings: Iterable[Sighting], differences: Iterable[Difference]
    ) -> None:
        """After a complete comparison: this is all there is, and what it tells of that."""
        ignored = {each.id for each in differences if not each.is_open}
        found = []
        for each in sightings:
            stake = await self._stake(broker_id, each)
            if stake is not None and stake.quantity > 0:
                alone = difference_id(broker_id, each.kind, each.subject) in ignored
                found.append(replace(stake, is_unbounded=_has_no_stop(each) and not alone))
        self._stakes[broker_id] = tuple(found)

    async def _stake(self, broker_id: BrokerId, seen: Sighting) -> ForeignStake | None:
        position, order = seen.position, seen.order
        if position is not None:
            quantity = position.quantity - seen.ours_quantity
            return await self._valued(broker_id, seen, position.direction, quantity, position.average_price)
        if order is None or order.reduces_only or seen.kind not in _NOT_RECORDED:
            return None
        direction = Direction.LONG if order.side is Side.BUY else Direction.SHORT
        left = order.quantity - order.filled_quantity
        return await self._valued(broker_id, seen, direction, left, order.price or Decimal(0))

    async def _valued(
        self, broker_id: BrokerId, seen: Sighting, direction: Direction, quantity: Decimal, price: Decimal
    ) -> ForeignStake:
        """At the price of now; where none is known at the venue's own, one of account currency for each point."""
        terms = await self._terms_of(seen.symbol, direction)
        return ForeignStake(
            broker_id=broker_id,
            symbol=seen.symbol,
            direction=direction,
            quantity=quantity,
            price=price if terms is None else terms.price,
            value_per_point=Decimal(1) if terms is None else terms.value_per_point,
            is_order=seen.position is None,
        )


def _has_no_stop(seen: Sighting) -> bool:
    """An order has none before it fills. What fills of ours have not told yet gets its own when they do."""
    if seen.kind is DifferenceKind.MISSING_FILL:
        return False
    return seen.position is None or seen.position.stop_price is None
