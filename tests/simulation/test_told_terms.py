"""What a simulated venue says of its instruments, and what a start that asks it keeps out."""

from contextlib import closing
from dataclasses import replace

import pytest

from bot.instruments import DEFAULT_UNIVERSE, Instrument, Symbol
from bot.layer1_data.broker_interface import VenueTerms
from bot.layer1_data.venue_terms import VenueDescriptions, money_fault
from bot.simulation.scenario import Scenario
from bot.simulation.tape import Tape
from bot.simulation.told_terms import Inquiry, ToldTerms
from bot.wiring.simulate import world_of

QUIET = Scenario.drawn(1, faults={})
EURO, POUND = Symbol("EUR_USD"), Symbol("GBP_USD")


@pytest.mark.parametrize("instrument", DEFAULT_UNIVERSE, ids=lambda each: each.symbol)
def test_what_is_described_otherwise_is_always_worth_something_else(instrument: Instrument) -> None:
    alike = VenueTerms(
        symbol=instrument.symbol,
        tick=instrument.tick,
        quantity_step=instrument.quantity_step,
        min_quantity=instrument.min_quantity,
        min_notional=instrument.min_notional,
        contract_size=instrument.contract_size,
        is_open=True,
        says="simulated",
    )

    for seed in range(30):
        described = ToldTerms(Tape(seed, {}))
        assert described.told([alike]) == [alike]
        described.distort(instrument.symbol)
        (told,) = described.told([alike])
        assert money_fault(instrument, told)


def test_a_venue_that_does_not_answer_at_the_start_is_asked_again_and_keeps_out_what_it_counts_otherwise() -> None:
    # Arrange
    world = world_of(replace(QUIET, symbols=(EURO, POUND)))
    (line,) = world.lines.values()
    line.dark_until = 10.0
    line.described.distort(EURO)
    known = VenueDescriptions()
    inquiry = Inquiry([line], registry=world.registry, descriptions=known, clock=world.clock)

    # Act
    with closing(world.loop):
        world.loop.run_until_complete(inquiry.begin())
        at_first = [bool(known.blocked(line.broker_id, each)) for each in (EURO, POUND)]
        world.loop.run_until_complete(inquiry.go_on())
        later = [bool(known.blocked(line.broker_id, each)) for each in (EURO, POUND)]

    # Assert
    assert at_first == [True, True]
    assert later == [True, False]
