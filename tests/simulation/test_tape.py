"""What a seed draws, and how it is written down."""

import pytest

from bot.errors import UsageError
from bot.simulation.tape import Tape, parse_faults, written


def throws(tape: Tape, fault: str, count: int = 300) -> list[bool]:
    return [tape.fires(fault) for _ in range(count)]


def test_the_same_seed_throws_the_same() -> None:
    assert throws(Tape.drawn(3, {"N2": None}), "N2") == throws(Tape.drawn(3, {"N2": None}), "N2")


def test_a_fault_that_is_taken_away_leaves_the_others_as_they_were() -> None:
    both, alone = Tape.drawn(3, {"N2": None, "B1": None}), Tape.drawn(3, {"N2": None})
    throws(both, "B1")

    assert throws(both, "N2") == throws(alone, "N2")
    assert both.fired["B1"] > 0
    assert not any(throws(alone, "B1"))


def test_single_throws_can_be_picked() -> None:
    every, picked = Tape.drawn(3, {"N2": None}), Tape.drawn(3, {"N2": frozenset({2})})

    when = [index for index, fired in enumerate(throws(every, "N2")) if fired]

    assert [index for index, fired in enumerate(throws(picked, "N2")) if fired] == when[1:2]


def test_nothing_fires_once_faults_are_off() -> None:
    tape = Tape.drawn(3, {"N2": None})
    tape.stop()

    assert not any(throws(tape, "N2"))


@pytest.mark.parametrize("text", ["N2", "N2,B4:1+3", "M1:7"])
def test_what_is_written_is_read_back(text: str) -> None:
    assert written(parse_faults(text)) == text


def test_none_is_no_fault_at_all() -> None:
    assert parse_faults("none") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("X9", "known: N1"),
        ("N2:one", r"such as N2:1\+3"),
        ("N2:0", r"counted from 1 and joined by \+, such as N2:1\+3"),
        ("N2:1,B4,N2:3", r"N2 stands there twice; join its throws by \+, such as N2:1\+3"),
        ("", "'' names no fault; 'none' is none"),
        ("N2,,B4", "'' is not in the catalogue"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        parse_faults(text)
