from dataclasses import replace

from bot.layer3_execution.book import Book
from bot.models import OrderRole, OrderState
from tests.builders import EUR_USD, START, position
from tests.unit.layer3_execution.desk import Desk


def test_a_position_that_ended_is_forgotten() -> None:
    book = Book()
    book.put_position(position())
    book.put_position(replace(position(), closed_at=START))
    assert book.positions() == ()
    assert not book.has(EUR_USD)


def test_a_position_of_which_something_is_left_is_open_also_while_its_entry_still_fills() -> None:
    book = Book()
    book.put_position(position())
    assert book.open_of(EUR_USD) == (position(),)


async def test_an_order_is_forgotten_with_its_last_state_and_found_by_role_until_then() -> None:
    desk = Desk()
    approved = await desk.bought()
    (stop,) = desk.book.orders_of(approved.position_id)
    assert stop.role is OrderRole.STOP
    assert desk.book.orders_of(approved.position_id, OrderRole.EXIT) == ()
    desk.book.put_order(replace(stop, state=OrderState.FILLED))
    assert desk.book.orders() == ()


async def test_a_day_of_trades_leaves_nothing_in_the_book() -> None:
    desk = Desk()
    await desk.bought()
    await desk.price(97)
    assert (desk.book.positions(), desk.book.orders(), desk.book.brokers()) == ((), (), ())
