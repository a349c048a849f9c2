from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from bot.layer3_execution.positions import marked, pending_position, with_entry, with_exit, with_extremes_of
from bot.models import ApprovedOrder, Direction, Fill, Position, Side
from tests.builders import START, approved_order, plan
from tests.unit.layer3_execution.desk import BROKER

_NUMBERS = count()
EXACT = Decimal("1e-12")


def fill(quantity: float, price: float, side: Side = Side.BUY, fee: str = "0", minute: float = 0) -> Fill:
    return Fill(
        broker_id=BROKER,
        venue_fill_id=f"f-{next(_NUMBERS)}",
        client_order_id=approved_order().client_order_id,
        symbol=approved_order().symbol,
        side=side,
        quantity=Decimal(str(quantity)),
        price=Decimal(str(price)),
        fee=Decimal(fee),
        filled_at=START + timedelta(minutes=minute),
    )


def short_order() -> ApprovedOrder:
    return approved_order(side=Side.SELL, plan=plan(Direction.SHORT))


def after(order: ApprovedOrder, fills: Sequence[Fill]) -> Position:
    """The position once `fills` were applied in this order."""
    position = pending_position(order, at=START)
    for each in fills:
        position = with_entry(position, each) if each.side is order.side else with_exit(position, each, "EXIT")
    return position


def test_a_pending_position_has_nothing_in_it_and_knows_its_way_out() -> None:
    position = pending_position(approved_order(), at=START)
    assert position.is_pending
    assert not position.is_open
    assert position.stop_price == 98


def test_partial_fills_of_an_entry_average() -> None:
    position = after(approved_order(), [fill(4, 100), fill(6, 101)])
    assert (position.quantity, position.entry_price) == (Decimal(10), Decimal("100.6"))


def test_an_exit_never_changes_what_was_paid() -> None:
    position = after(approved_order(), [fill(10, 100), fill(4, 104, Side.SELL), fill(6, 99, Side.SELL)])
    assert position.entry_price == 100
    assert position.exit_price == Decimal(101)
    assert position.realised == 4 * 4 - 6
    assert position.closed_at is not None


def test_a_short_gains_when_the_price_falls() -> None:
    position = after(short_order(), [fill(10, 100, Side.SELL), fill(10, 97, Side.BUY, fee="1")])
    assert (position.realised, position.net) == (Decimal(30), Decimal(29))


def test_an_exit_told_before_its_entry_leaves_the_position_flat_with_the_same_result() -> None:
    position = after(approved_order(), [fill(10, 98, Side.SELL), fill(10, 100)])
    assert not position.is_open
    assert position.closed_at is not None
    assert position.realised == -20


def test_an_exit_told_before_its_entry_does_not_end_a_pending_position() -> None:
    assert after(approved_order(), [fill(10, 98, Side.SELL)]).closed_at is None


def test_a_late_entry_fill_opens_a_position_that_had_ended_without_one() -> None:
    given_up = replace(pending_position(approved_order(), at=START), closed_at=START, exit_reason="NOT_OPENED: lost")
    position = with_entry(given_up, fill(10, 100))
    assert position.is_open
    assert (position.closed_at, position.exit_reason) == (None, "")


def test_a_late_part_of_an_entry_keeps_the_best_price_that_was_seen() -> None:
    position = marked(after(approved_order(), [fill(4, 100)]), Decimal(103))
    assert with_entry(position, fill(6, 100)).best_price == 103


def test_a_part_that_filled_far_from_the_market_is_no_best_price_of_the_whole() -> None:
    position = with_entry(with_entry(pending_position(approved_order(), at=START), fill(1, 110)), fill(9, 100))
    assert {position.best_price, position.worst_price} == {Decimal(101)}
    first = marked(with_entry(pending_position(approved_order(), at=START), fill(1, 110)), Decimal(99))
    seen = with_entry(first, fill(9, 100))
    assert (seen.best_price, seen.worst_price) == (Decimal(101), Decimal(99))
    assert with_extremes_of(seen, first).best_price == 101


def test_more_closed_than_opened_leaves_nothing_open() -> None:
    position = after(approved_order(), [fill(10, 100), fill(10, 104, Side.SELL), fill(5, 105, Side.SELL)])
    assert position.quantity == 0
    assert position.closed_quantity == 15


@st.composite
def shuffled_fills(draw: st.DrawFn) -> tuple[ApprovedOrder, list[Fill], list[Fill]]:
    order = draw(st.sampled_from([approved_order(), short_order()]))
    sizes = st.integers(1, 9)
    prices = st.integers(9_000, 11_000).map(lambda ticks: ticks / 100)
    entries = [
        fill(size, price, order.side, "0.25")
        for size, price in draw(st.lists(st.tuples(sizes, prices), min_size=1, max_size=4))
    ]
    left, exits = sum(int(each.quantity) for each in entries), []
    for wanted, price in draw(st.lists(st.tuples(sizes, prices), max_size=5)):
        if size := min(wanted, left):
            exits.append(fill(size, price, Side.closing(order.plan.direction), "0.5"))
            left -= size
    told = [*entries, *exits]
    return order, told, draw(st.permutations(told))


@given(case=shuffled_fills())
@settings(deadline=None)
def test_the_order_in_which_fills_are_told_changes_neither_size_nor_result(
    case: tuple[ApprovedOrder, list[Fill], list[Fill]],
) -> None:
    order, told, shuffled = case
    one, other = after(order, told), after(order, shuffled)
    assert (one.first_quantity, one.quantity, one.closed_quantity) == (
        other.first_quantity,
        other.quantity,
        other.closed_quantity,
    )
    assert (one.closed_at is None) == (other.closed_at is None)
    for name in ("entry_price", "exit_price", "realised", "fees"):
        first, second = getattr(one, name), getattr(other, name)
        assert first == second or abs(first - second) < EXACT, name


@given(case=shuffled_fills())
@settings(deadline=None)
def test_what_a_closed_position_made_is_the_cash_that_its_fills_moved(
    case: tuple[ApprovedOrder, list[Fill], list[Fill]],
) -> None:
    order, _, shuffled = case
    position = after(order, shuffled)
    if position.closed_at is not None:
        cash = sum((-each.side.sign * each.price * each.quantity - each.fee for each in shuffled), Decimal(0))
        assert abs(position.net - cash) < EXACT


def test_what_the_venue_withheld_as_its_fee_never_becomes_part_of_the_position() -> None:
    bought = replace(fill(10, 100, fee="10"), withheld=Decimal("0.1"))

    position = after(approved_order(), [bought])

    assert (position.first_quantity, position.entry_price) == (Decimal("9.9"), Decimal(100))
    spent, worth = 10 * Decimal(100), position.first_quantity * 100
    assert spent == worth + position.fees


def test_less_than_one_step_cannot_be_sold_and_is_not_open() -> None:
    step = approved_order().plan.quantity_step
    bought = replace(fill(10, 100), withheld=step * Decimal("1.5"))

    opened = after(approved_order(), [bought])
    closed = with_exit(opened, replace(fill(1, 101, Side.SELL), quantity=opened.quantity), "EXIT")

    assert opened.quantity == 10 - 2 * step
    assert not closed.is_open
    assert closed.closed_at is not None
