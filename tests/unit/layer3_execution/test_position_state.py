"""The states of RELIABILITY 3.3: each follows from what is stored, and each pair of them is a legal move or none."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

import pytest

from bot.layer3_execution.flatten import KILL_REASON
from bot.layer3_execution.last_resort import UNPROTECTED
from bot.layer3_execution.legs import entry_rows, exit_name, exit_row
from bot.layer3_execution.position_state import MOVES, PositionState, is_legal, state_of
from bot.layer3_execution.positions import pending_position
from bot.models import Order, OrderState, Position, PositionId
from tests.builders import START, approved_order, at, position

P = PositionState

# One row per state, one column per state that one commit may lead to; a dot is illegal, and staying is no move.
# F(LAT) O(PENING) U(NPROTECTED) P(ROTECTED) R(EDUCING) C(LOSING) E(nded: CLOSED) Q(UARANTINED) X: FLATTENING.
LETTERS: Final = dict(zip("FOUPRCEQX", P, strict=True))
TABLE: Final = {
    # F O U P R C E Q X
    P.FLAT: ". O U . . . . . .",
    P.OPENING: "F . U P . . E Q X",
    P.OPEN_UNPROTECTED: ". . . P R C E Q X",
    P.OPEN_PROTECTED: ". . U . R C E Q X",
    P.REDUCING: ". . U P . C E Q X",
    P.CLOSING: ". . U P R . E Q X",
    P.CLOSED: ". . U P . . . Q X",
    P.QUARANTINED: "F O U P R C E . X",
    P.FLATTENING: "F O U P R C E Q .",
}


def stop(quantity: int = 10, state: OrderState = OrderState.WORKING) -> Order:
    return replace(entry_rows(approved_order(), START)[1], quantity=Decimal(quantity), state=state)


def close(quantity: int, reason: str = "TARGET_1", state: OrderState = OrderState.WORKING) -> Order:
    name = exit_name(position(), reason, 0)
    return replace(exit_row(position(), name, Decimal(quantity), None, reason, START), state=state)


PENDING: Final = pending_position(approved_order(), at=START)
NEVER_OPENED: Final = replace(PENDING, closed_at=at(5), exit_reason="NOT_OPENED: no funds")
OPEN: Final = position()
LEFT_OVER: Final = position(quantity=Decimal(0), closed_quantity=Decimal(10))  # being adopted anew
ENDED: Final = replace(LEFT_OVER, closed_at=at(5), exit_reason="STOP")
DERIVED: Final = {
    "nothing": (None, [], P.FLAT),
    "an entry that never was": (NEVER_OPENED, [], P.FLAT),
    "an entry that waits": (PENDING, [stop(state=OrderState.SENDING)], P.OPENING),
    "a stop for all of it": (OPEN, [stop()], P.OPEN_PROTECTED),
    "two stops that are enough together": (OPEN, [stop(4), stop(6)], P.OPEN_PROTECTED),
    "a stop that is too small": (OPEN, [stop(9)], P.OPEN_UNPROTECTED),
    "no stop": (OPEN, [], P.OPEN_UNPROTECTED),
    "a stop on its way": (OPEN, [stop(state=OrderState.SENDING)], P.OPEN_UNPROTECTED),
    "a stop that is being cancelled": (OPEN, [stop(state=OrderState.CANCEL_PENDING)], P.OPEN_UNPROTECTED),
    "a target at work beside its stop": (OPEN, [stop(), close(5)], P.REDUCING),
    "a target of unknown fate": (OPEN, [stop(), close(5, state=OrderState.UNKNOWN)], P.REDUCING),
    "a target that shares it with a stop": (OPEN, [stop(5), close(5)], P.REDUCING),
    "a target that has no stop for the rest": (OPEN, [stop(4), close(5)], P.OPEN_UNPROTECTED),
    "a target that was never sent": (OPEN, [stop(), close(5, state=OrderState.INTENT)], P.OPEN_PROTECTED),
    "a target that was filled": (OPEN, [stop(), close(5, state=OrderState.FILLED)], P.OPEN_PROTECTED),
    "a close of all of it": (OPEN, [stop(), close(10, "OPERATOR_CLOSE")], P.CLOSING),
    "a close where the stop had to go": (OPEN, [close(10, "OPERATOR_CLOSE")], P.CLOSING),
    "a close because nothing protects it": (OPEN, [close(10, UNPROTECTED)], P.FLATTENING),
    "a close by the kill switch": (OPEN, [stop(), close(10, KILL_REASON)], P.FLATTENING),
    "nothing left, and not ended yet": (LEFT_OVER, [stop()], P.CLOSED),
    "an end": (ENDED, [], P.CLOSED),
}


@pytest.mark.parametrize(("known", "orders", "state"), DERIVED.values(), ids=DERIVED)
def test_the_state_follows_from_the_position_and_its_orders(
    known: Position | None, orders: Sequence[Order], state: PositionState
) -> None:
    assert state_of(known, orders) is state


def test_orders_of_another_position_protect_nothing_here() -> None:
    others = replace(stop(), position_id=PositionId("position-2"))

    assert state_of(OPEN, [others]) is P.OPEN_UNPROTECTED


@pytest.mark.parametrize(("known", "orders", "state"), DERIVED.values(), ids=DERIVED)
def test_quarantine_stands_in_front_of_all_but_the_ends_and_of_nothing_that_is_being_flattened(
    known: Position | None, orders: Sequence[Order], state: PositionState
) -> None:
    expected = state if state in (P.FLAT, P.CLOSED, P.FLATTENING) else P.QUARANTINED
    assert state_of(known, orders, is_quarantined=True) is expected


@pytest.mark.parametrize(("known", "orders", "state"), DERIVED.values(), ids=DERIVED)
def test_what_is_to_be_flattened_is_so_until_it_has_ended(
    known: Position | None, orders: Sequence[Order], state: PositionState
) -> None:
    expected = state if state in (P.FLAT, P.CLOSED) else P.FLATTENING
    assert state_of(known, orders, is_quarantined=True, is_flattened=True) is expected


@pytest.mark.parametrize("before", P, ids=str)
@pytest.mark.parametrize("letter", LETTERS)
def test_every_pair_of_states_is_a_legal_move_as_written_or_none(before: PositionState, letter: str) -> None:
    after = LETTERS[letter]
    written = TABLE[before].split()[list(LETTERS).index(letter)]

    assert written in (letter, ".")
    assert (after in MOVES[before]) == (written == letter)
    assert is_legal(before, after) == (written == letter or before is after)


def test_what_was_opened_never_becomes_an_entry_that_waits() -> None:
    opened = (P.OPEN_UNPROTECTED, P.OPEN_PROTECTED, P.REDUCING, P.CLOSING, P.CLOSED)

    assert not any(MOVES[each] & {P.FLAT, P.OPENING} for each in opened)
