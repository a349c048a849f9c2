"""Trade busts: the venue takes an exchange back, and position and order are as if it had never been."""

from decimal import Decimal

from bot.layer1_data.brokers.simulated.entries import BookPosition, Execution
from bot.layer1_data.brokers.simulated.matching import Book
from bot.models import OrderRole, OrderState


def can_be_undone(book: Book, done: Execution) -> bool:
    """Its order has ended, and what it opened is still open; what it closed was not opened anew since."""
    position = book.positions.get(done.order.entry_order_id)
    if not done.order.state.is_terminal or position not in (None, done.position):
        return False
    if done.order.role is not OrderRole.ENTRY:
        return True
    return position is not None and position.quantity + position.dust >= done.quantity - done.withheld


def undo(book: Book, done: Execution) -> None:
    """Take it back. What it had closed is open again, without a stop if all was closed; stops that are orders of their
    own stay as they are."""
    order, position = done.order, done.position
    order.filled -= done.quantity
    order.state, order.reason = OrderState.CANCELED, "BUSTED"
    if order.role is OrderRole.ENTRY:
        _shrink(book, position, done.quantity - done.withheld, done.price)
        return
    if order.entry_order_id not in book.positions:
        book.positions[order.entry_order_id] = position
        book.dust -= position.dust
        book.dust_cost -= position.dust * position.average_price
        position.stop = None
    position.quantity += done.quantity
    if position.stop is not None:
        position.stop.quantity += done.quantity


def _shrink(book: Book, position: BookPosition, grown: Decimal, price: Decimal) -> None:
    """Without what one fill of its entry had added."""
    held = position.quantity + position.dust
    left = held - grown
    if left:
        position.average_price = (position.average_price * held - price * grown) / left
    quantity = book.instrument.round_quantity(left)
    position.dust = left - quantity
    book.take_off(position, position.quantity - quantity)
