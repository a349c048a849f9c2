"""P1 and P2 in the report are kills that happened: a seed may draw one at a step that its process never reaches."""

from dataclasses import replace

import pytest

from bot.simulation.campaign import result_of
from bot.simulation.scenario import Crash, Scenario
from bot.simulation.tape import Tape, parse_faults
from bot.wiring.simulate import world_of

AT_ONCE = Crash(step=1, boundary=None, down_s=1.0)
NEVER = Crash(step=10_000_000, boundary=None, down_s=1.0)


@pytest.mark.parametrize(
    ("crashes", "counted"),
    [
        ((NEVER,), {}),
        ((NEVER, AT_ONCE), {}),
        ((AT_ONCE,), {"P1": 1}),
        ((AT_ONCE, NEVER), {"P1": 1}),
        ((AT_ONCE, AT_ONCE, NEVER), {"P1": 1, "P2": 1}),
        ((AT_ONCE, AT_ONCE, AT_ONCE), {"P1": 1, "P2": 2}),
    ],
)
def test_only_a_kill_that_struck_is_counted(crashes: tuple[Crash, ...], counted: dict[str, int]) -> None:
    # Arrange
    tape = Tape.drawn(1, parse_faults("P1,P2"))
    tape.fired.update({"P1": 1, "P2": len(crashes) - 1})
    scenario = replace(Scenario.drawn(1, faults={}), tape=tape, crashes=crashes)

    # Act
    result = result_of(world_of(scenario))

    # Assert
    assert result.thrown == counted
    assert result.seen["crashes"] == sum(counted.values())


def test_a_kill_that_was_drawn_and_never_struck_can_be_left_out_without_a_difference() -> None:
    drawn = world_of(Scenario.drawn(8, faults=parse_faults("P1,P2")))

    result, without = result_of(drawn), result_of(world_of(Scenario.drawn(8, faults={})))

    assert drawn.tape.fired == {"P1": 1}
    assert result == without


def test_a_kill_loop_counts_once_however_often_it_strikes() -> None:
    result = result_of(world_of(Scenario.drawn(3, faults=parse_faults("P3"))))

    assert result.thrown == {"P3": 1}
    assert result.seen["crashes"] > 1
