"""The cases name orders as they like; a real venue knows our orders by their prefix, and what belongs together by the
stem of the name. `OurNames` gives each name of a case one of ours, and gives the case its own name back."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from bot.layer1_data.broker_interface import BrokerInterface, LastWord, VenueOrder, nothing_against
from bot.layer1_data.delegating_broker import DelegatingBroker
from bot.models import ApprovedOrder, ClientOrderId, Fill, OrderAck, ReduceOrder, VenuePosition, leg_of


class OurNames(DelegatingBroker):
    """Gives every name of a case one of ours and back."""

    def __init__(self, broker: BrokerInterface, names: dict[ClientOrderId, ClientOrderId]) -> None:
        super().__init__(broker)
        self._names = names

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        if isinstance(order, ApprovedOrder):
            name = self._named(order.client_order_id, order.client_order_id, "E0")
            stop = self._named(order.stop_order_id, order.client_order_id, "S0")
            return self._told(await super().place(replace(order, client_order_id=name, stop_order_id=stop), last_word))
        entry = self._named(order.entry_order_id, order.entry_order_id, "E0")
        name = self._named(order.client_order_id, order.entry_order_id, "X0")
        return self._told(await super().place(replace(order, client_order_id=name, entry_order_id=entry), last_word))

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        entry = self._named(position.entry_order_id, position.entry_order_id, "E0")
        name = self._named(stop_order_id, position.entry_order_id, "S1")
        return self._told(await super().place_stop(replace(position, entry_order_id=entry), name, stop))

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        return self._told(await super().amend_stop(self._named(entry_order_id, entry_order_id, "E0"), stop))

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        name = self._named(stop_order_id, stop_order_id, "E0")
        return self._told(await super().resize_stop(name, quantity, stop))

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        return self._told(await super().cancel(self._named(client_order_id, client_order_id, "E0")))

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        found = await super().find_order(self._named(client_order_id, client_order_id, "E0"))
        return None if found is None else self._order(found)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return tuple(self._order(each) for each in await super().open_orders())

    async def protective_orders(self) -> Sequence[VenueOrder]:
        return tuple(self._order(each) for each in await super().protective_orders())

    async def positions(self) -> Sequence[VenuePosition]:
        return tuple(
            replace(
                each,
                entry_order_id=self._back(each.entry_order_id),
                stop_order_id=None if each.stop_order_id is None else self._back(each.stop_order_id),
            )
            for each in await super().positions()
        )

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        fills, after = await super().fills_since(cursor)
        return tuple(replace(each, client_order_id=self._back(each.client_order_id)) for each in fills), after

    def _named(self, name: ClientOrderId, entry: ClientOrderId, leg: str) -> ClientOrderId:
        """Of the stem of its entry; the next attempt for each further order of that leg."""
        if name not in self._names:
            same = [each for each in self._names.values() if each.startswith(leg_of(entry, leg)[:-1])]
            self._names[name] = leg_of(entry, leg, len(same))
        return self._names[name]

    def _back(self, ours: ClientOrderId) -> ClientOrderId:
        return next((name for name, given in self._names.items() if given == ours), ours)

    def _told(self, ack: OrderAck) -> OrderAck:
        return replace(ack, client_order_id=self._back(ack.client_order_id))

    def _order(self, order: VenueOrder) -> VenueOrder:
        known = order.client_order_id
        return order if known is None else replace(order, client_order_id=self._back(known))
