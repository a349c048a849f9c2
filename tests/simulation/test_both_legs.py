"""B10 on the line: the stop of a position fills right before a target or a close of it is taken."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from typing import Final

import pytest

from bot.errors import OrderFateUnknown
from bot.instruments import Symbol
from bot.models import ApprovedOrder, ClientOrderId, OrderAck, OrderKind, OrderState, ReduceOrder, Side, leg_of
from bot.simulation.ports import at_once
from bot.simulation.scenario import KINDS, Scenario
from bot.simulation.tape import Tape
from bot.simulation.world import World
from bot.wiring.simulate import world_of
from tests.builders import approved_order, plan

D = Decimal
EURO: Final = Symbol("EUR_USD")
SEED: Final = 1


class Street:
    """One venue behind its line, with 1,000 bought and a stop for all of it."""

    def __init__(self, world: World) -> None:
        (self.line,) = world.lines.values()
        self.line.watch.sending = lambda *_: None  # there is no record here that it could be held against
        self.loop = world.loop
        self.tape = world.tape
        self.clock = world.clock
        self.entry = approved_order(
            symbol=EURO, quantity=D(1_000), decided_price=D("1.1"), plan=plan(stop=D("1.09"), targets=())
        )
        self.tick()
        at_once(self.line.venue.place(self.entry))

    def tick(self) -> None:
        at = at_once(self.line.venue.server_time())
        self.line.venue.observe(EURO, bid=D("1.1"), ask=D("1.1"), at=at, gap=True)

    def close(self) -> OrderAck:
        """Over the line."""
        return self.loop.run_until_complete(self.line.place(closing_order(self.entry)))

    def told(self) -> list[ClientOrderId]:
        return [each.client_order_id for each in self.line.told.fills("")[0]]


def closing_order(entry: ApprovedOrder) -> ReduceOrder:
    return ReduceOrder(
        client_order_id=leg_of(entry.client_order_id, "X0"),
        position_id=entry.position_id,
        entry_order_id=entry.client_order_id,
        broker_id=entry.broker_id,
        symbol=EURO,
        side=Side.SELL,
        kind=OrderKind.MARKET,
        quantity=D(1_000),
        limit_price=None,
        reason="TIME",
    )


@pytest.fixture
def street() -> Iterator[Street]:
    tape = Tape(SEED, {"B10": 1.0})
    world = world_of(replace(Scenario.drawn(SEED, faults={}), symbols=(EURO,), tape=tape, kind=KINDS[0]))
    with closing(world.loop):
        yield Street(world)


def test_the_stop_has_filled_when_the_close_arrives_and_that_is_counted(street: Street) -> None:
    ack = street.close()

    sold = [each for each in at_once(street.line.venue.fills_since(""))[0] if each.side is Side.SELL]
    assert [(each.quantity, each.cause) for each in sold] == [(D(1_000), "stop")]
    assert (ack.state, ack.reason) == (OrderState.REJECTED, "POSITION_NOT_FOUND")
    assert street.tape.fired["B10"] == 1


def test_where_no_stop_rests_nothing_is_counted(street: Street) -> None:
    at_once(street.line.venue.cancel(street.entry.stop_order_id))

    ack = street.close()

    assert ack.state is OrderState.FILLED
    assert street.tape.fired["B10"] == 0


def test_a_close_that_never_arrives_meets_no_stop(street: Street) -> None:
    street.line.mute_until = 100.0

    with pytest.raises(OrderFateUnknown):
        street.close()

    assert street.tape.fired["B10"] == 0
    assert [each.quantity for each in at_once(street.line.venue.positions())] == [D(1_000)]


def test_what_the_stop_has_sold_may_be_told_after_what_came_later(street: Street) -> None:
    stops = street.line.venue.stop_out(street.entry.client_order_id)
    street.line.told.tell_late(stops, 5.0)

    at_first = street.told()
    street.loop.run_until_complete(street.clock.sleep(5.1))
    later = street.told()

    assert at_first == [street.entry.client_order_id]
    assert later == [street.entry.client_order_id, *stops]
