"""What a simulated venue remembers over our crash: everything it knows, saved as one state before each answer."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from bot.errors import StorageError
from bot.instruments import Symbol
from bot.interfaces import VenueStateStore
from bot.layer1_data.brokers.simulated.entries import BookOrder
from bot.layer1_data.brokers.simulated.ledger import Ledger
from bot.layer1_data.brokers.simulated.matching import Book
from bot.layer1_data.brokers.simulated.snapshot import (
    VERSION,
    Plain,
    fill_of,
    order_of,
    plain_fill,
    plain_order,
    plain_position,
    position_of,
)
from bot.models import ClientOrderId, OrderRole


class VenueMemory:
    """Saves and restores the books, the ledger and the order counter of one venue.

    Finished orders and fills hardly ever change again, so their plain form is made once; see `forget`.
    """

    def __init__(
        self,
        store: VenueStateStore,
        *,
        orders: dict[ClientOrderId, BookOrder],
        books: Mapping[Symbol, Book],
        ledger: Ledger,
    ) -> None:
        self._store = store
        self._orders = orders
        self._books = books
        self._ledger = ledger
        self._finished: dict[ClientOrderId, Plain] = {}
        self._fills: list[Plain] = []
        self._fill_count = 0

    def save(self, *, order_count: int) -> None:
        """Write everything, durably. Raises StorageError."""
        self._store.save(
            {
                "version": VERSION,
                "balance": str(self._ledger.balance),
                "order_count": order_count,
                "fill_count": self._ledger.fill_count,
                "orders": [self._plain(each) for each in self._orders.values()],
                "positions": [
                    plain_position(each) for book in self._books.values() for each in book.positions.values()
                ],
                "fills": self._plain_fills(),
                "busted": sorted(self._ledger.busted),
                "prices": {
                    symbol: [str(book.bid), str(book.ask), book.at.isoformat()]
                    for symbol, book in self._books.items()
                    if book.at is not None
                },
                "dust": {
                    symbol: [str(book.dust), str(book.dust_cost)] for symbol, book in self._books.items() if book.dust
                },
            }
        )

    def restore(self) -> int:
        """Fill the empty books and the ledger from the last saved state; the order counter.

        Raises StorageError if the state is of another version or names an instrument this venue does not have.
        """
        state: Mapping[str, Any] | None = self._store.load()
        if state is None:
            return 0
        if state.get("version") != VERSION:
            raise StorageError(
                f"venue state has version {state.get('version')}, this program writes {VERSION}; "
                "move the state away to start that simulated account anew"
            )
        try:
            return self._take(state)
        except (KeyError, ValueError, ArithmeticError) as error:
            raise StorageError(
                f"venue state is not usable: {error!r} (an instrument that is no longer routed here, or a damaged "
                "file); route the instrument here again, or move the state away to start anew"
            ) from error

    def _take(self, state: Mapping[str, Any]) -> int:
        self._ledger.balance = Decimal(state["balance"])
        self._ledger.fill_count = self._fill_count = int(state["fill_count"])
        self._ledger.fills = [fill_of(each) for each in state["fills"]]
        self._fills = list(state["fills"])
        self._ledger.busted = set(state.get("busted", ()))  # states of earlier programs have none
        for plain in state["orders"]:
            order = order_of(plain)
            self._orders[order.client_order_id] = order
            if order.state.is_terminal:
                continue
            book = self._books[order.symbol]
            if order.role is not OrderRole.STOP:
                book.orders[order.client_order_id] = order
            elif not book.traits.stop_follows_position:
                book.rest_loose(order)
        for plain in state["positions"]:
            position = position_of(plain, self._orders)
            self._books[position.symbol].positions[position.entry_order_id] = position
        for symbol, (bid, ask, at) in state["prices"].items():
            if symbol in self._books:  # a price of an instrument that is no longer here is of no use
                self._books[symbol].remember(Decimal(bid), Decimal(ask), datetime.fromisoformat(at))
        for symbol, (dust, cost) in state.get("dust", {}).items():
            if symbol in self._books:
                self._books[symbol].dust, self._books[symbol].dust_cost = Decimal(dust), Decimal(cost)
        return int(state["order_count"])

    def _plain(self, order: BookOrder) -> Plain:
        if not order.state.is_terminal:
            return plain_order(order)
        known = self._finished.get(order.client_order_id)
        if known is None:
            known = self._finished[order.client_order_id] = plain_order(order)
        return known

    def _plain_fills(self) -> list[Plain]:
        """Plain forms of the fills the ledger keeps: only the new ones are made."""
        newer = self._ledger.fill_count - self._fill_count
        self._fills.extend(plain_fill(each) for each in self._ledger.fills[len(self._ledger.fills) - newer :])
        self._fill_count = self._ledger.fill_count
        del self._fills[: len(self._fills) - len(self._ledger.fills)]
        return self._fills

    def forget(self, client_order_id: ClientOrderId) -> None:
        """A finished order is no longer kept, or has changed."""
        self._finished.pop(client_order_id, None)
