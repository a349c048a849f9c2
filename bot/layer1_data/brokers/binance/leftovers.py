"""What lies in the account beyond our entries: somebody's coins, or dust that fees left behind and nobody can sell."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from bot.instruments import Symbol
from bot.layer1_data.broker_interface import FOREIGN
from bot.layer1_data.brokers.binance.market import Market
from bot.models import VenuePosition

_STAYS: Final = Decimal("0.5")  # of the least notional: the price does not make it come and go


class Leftovers:
    """Counts them from the venue's least notional on, at the price of now, until they are worth half of that."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._told: frozenset[Symbol] = frozenset()

    async def without_dust(self, positions: Sequence[VenuePosition]) -> tuple[VenuePosition, ...]:
        """`positions` without the foreign ones that are dust. Where the least notional is not known, none of them is.

        Foreign ones bear the price of now.
        """
        foreign = [each for each in positions if each.entry_order_id.startswith(FOREIGN)]
        least = {each.symbol: await self._market.min_notional(each.symbol) for each in foreign}
        told = frozenset(each.symbol for each in foreign if self._counts(each, least[each.symbol]))
        self._told = frozenset(each for each in told if least[each])
        return tuple(each for each in positions if each not in foreign or each.symbol in told)

    def _counts(self, held: VenuePosition, least: Decimal) -> bool:
        worth = self._market.instrument(held.symbol).notional(held.quantity, held.average_price)
        return worth >= least * (_STAYS if held.symbol in self._told else 1)
