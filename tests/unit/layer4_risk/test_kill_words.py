"""What holds, in words: every latch, every level, and what they do together."""

import pytest

from bot.instruments import IG, BrokerId
from bot.layer4_risk.kill_words import effect, levels, said
from bot.models import KillCause, KillLevel, KillState
from tests.builders import START

PAUSE, FLATTEN, HALT = KillLevel.PAUSE, KillLevel.FLATTEN, KillLevel.HALT
AT = f"{START:%Y-%m-%d %H:%M:%S} UTC"


def latch(level: KillLevel, broker_id: BrokerId | None = None, reason: str = "") -> KillState:
    return KillState(level=level, by="ada", cause=KillCause.COMMAND, reason=reason, at=START, broker_id=broker_id)


def test_every_latch_is_said_the_strongest_first() -> None:
    found = said([latch(PAUSE), latch(FLATTEN, reason="news"), latch(HALT)])
    assert found == f"HALT by ada (command), {AT}; FLATTEN by ada (command), {AT}: news; PAUSE by ada (command), {AT}"


def test_nothing_that_holds_is_said_to_be_so() -> None:
    assert (said([]), levels([])) == ("not pressed", "")


@pytest.mark.parametrize(
    ("latches", "expected"),
    [
        pytest.param([HALT], "HALT", id="one"),
        pytest.param([FLATTEN, HALT], "HALT and FLATTEN", id="two"),
        pytest.param([PAUSE, FLATTEN, PAUSE, HALT], "HALT, FLATTEN and PAUSE", id="each once"),
    ],
)
def test_each_level_is_named_once_the_strongest_first(latches: list[KillLevel], expected: str) -> None:
    assert levels([latch(each) for each in latches]) == expected


def test_a_level_of_one_broker_is_named_with_it() -> None:
    assert levels([latch(PAUSE, IG), latch(FLATTEN)]) == "FLATTEN and PAUSE at ig"


@pytest.mark.parametrize(
    ("latches", "expected"),
    [
        pytest.param([PAUSE], "no new entries; positions, stops and exits go on", id="pause"),
        pytest.param([PAUSE, FLATTEN], "no new entries; every position is being closed at market", id="flatten"),
        pytest.param([HALT], "nothing that increases risk is sent; positions, stops and exits go on", id="halt"),
        pytest.param(
            [FLATTEN, HALT],
            "nothing that increases risk is sent; every position is being closed at market",
            id="halt beside flatten",
        ),
    ],
)
def test_positions_that_are_being_closed_are_never_said_to_go_on(latches: list[KillLevel], expected: str) -> None:
    assert effect([latch(each) for each in latches]) == expected


def test_entries_that_one_broker_alone_holds_are_said_to_go_on_elsewhere() -> None:
    assert effect([latch(PAUSE, IG)]).startswith("no new entries at ig, others go on; ")
    assert effect([latch(PAUSE, IG), latch(PAUSE)]).startswith("no new entries; ")
