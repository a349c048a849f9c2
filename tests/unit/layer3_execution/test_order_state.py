"""The state table against RELIABILITY 3.1, written down here once more and walked cell by cell."""

from collections.abc import Mapping
from typing import Final

import pytest

from bot.errors import IllegalTransition
from bot.layer3_execution.order_state import TRANSITIONS, OrderEvent, next_state
from bot.models import ClientOrderId, OrderState

ORDER = ClientOrderId("TBd0123456789ABCDEFE00")
CELLS: Final = [(state, event) for state in OrderState for event in OrderEvent]

# One row per state, one column per event; a dot is illegal and raises. I(NTENT) S(ENDING) U(NKNOWN) W(ORKING)
# T(RIGGERED) P(ARTIAL) R(EPLACE_PENDING) C(ANCEL_PENDING). Ended: f(illed) c(anceled) e(xpired)
# r(ejected) d(enied) n(ot placed).
# STALE and NOT_SENT are ours; "late fill / appears" is PART_FILL, FULL_FILL and LATE_ARRIVAL.
LETTERS: Final[Mapping[str, OrderState]] = {
    "I": OrderState.INTENT,
    "S": OrderState.SENDING,
    "U": OrderState.UNKNOWN,
    "W": OrderState.WORKING,
    "T": OrderState.TRIGGERED,
    "P": OrderState.PARTIAL,
    "R": OrderState.REPLACE_PENDING,
    "C": OrderState.CANCEL_PENDING,
    "f": OrderState.FILLED,
    "c": OrderState.CANCELED,
    "e": OrderState.EXPIRED,
    "r": OrderState.REJECTED,
    "d": OrderState.DENIED,
    "n": OrderState.NOT_PLACED,
}
COLUMNS: Final = list(OrderEvent)
TABLE: Final[Mapping[str, str]] = {
    # send ack reject no_answer not_sent part full cancel replace canceled expired stale negative late
    "INTENT": "S . . . . P f d . . . d . W",
    "SENDING": ". W r U I P f S . c e . n .",
    "UNKNOWN": ". W r U . P f U . c e . n .",
    "WORKING": ". W r W . P f C R c e . c .",
    "TRIGGERED": ". T r T . P f C R c e . c .",
    "PARTIAL": ". P . P . P f C R c e . c .",
    "REPLACE_PENDING": ". W W R . R f C R c e . R .",
    "CANCEL_PENDING": ". C W C . C f C . c e . C .",
    "FILLED": ". f f f . f f . . f f . f .",
    "CANCELED": ". . c c . P f . . c c . c W",
    "EXPIRED": ". . e e . P f . . e e . e W",
    "REJECTED": ". . r r . P f . . r r . r W",
    "DENIED": ". . . . . P f . . . . . . W",
    "NOT_PLACED": ". . n n . P f . . n n . n W",
}


def expected_after(state: OrderState, event: OrderEvent) -> OrderState | None:
    """The cell as it is written above; None: illegal."""
    return LETTERS.get(TABLE[state.value].split()[COLUMNS.index(event)])


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda each: each.value)
def test_every_cell_moves_as_written_or_raises(state: OrderState, event: OrderEvent) -> None:
    expected = expected_after(state, event)
    if expected is None:
        with pytest.raises(IllegalTransition, match=rf"{ORDER}.*{event.value}.*{state.value}"):
            next_state(state, event, ORDER)
    else:
        assert next_state(state, event, ORDER) is expected


def test_the_walk_visits_every_legal_and_every_illegal_cell() -> None:
    legal = {cell for cell in CELLS if expected_after(*cell) is not None}
    illegal = set(CELLS) - legal
    assert legal == set(TRANSITIONS)
    assert (len(legal), len(illegal), len(OrderState) * len(OrderEvent)) == (116, 80, 196)


def test_every_state_can_be_reached_from_an_intent() -> None:
    reached, newest = {OrderState.INTENT}, {OrderState.INTENT}
    while newest:
        newest = {after for (before, _), after in TRANSITIONS.items() if before in newest} - reached
        reached |= newest
    assert reached == set(OrderState) - {OrderState.TRIGGERED}  # the venue's own word for a stop that works


def test_silence_after_sending_is_unknown_and_never_rejected() -> None:
    assert next_state(OrderState.SENDING, OrderEvent.NO_ANSWER, ORDER) is OrderState.UNKNOWN


@pytest.mark.parametrize("ended", [OrderState.CANCELED, OrderState.EXPIRED, OrderState.NOT_PLACED, OrderState.REJECTED])
def test_a_fill_that_overtook_our_record_is_applied_from_every_unfilled_end(ended: OrderState) -> None:
    assert next_state(ended, OrderEvent.FULL_FILL, ORDER) is OrderState.FILLED
    assert next_state(ended, OrderEvent.PART_FILL, ORDER) is OrderState.PARTIAL


def test_a_filled_order_stays_filled_whatever_comes() -> None:
    assert {state for (before, _), state in TRANSITIONS.items() if before is OrderState.FILLED} == {OrderState.FILLED}


def test_nothing_leads_back_to_intent_but_proof_that_nothing_was_sent() -> None:
    leading_back = {pair for pair, state in TRANSITIONS.items() if state is OrderState.INTENT}
    assert leading_back == {(OrderState.SENDING, OrderEvent.NOT_SENT)}


def test_a_partly_filled_order_is_never_called_rejected() -> None:
    assert (OrderState.PARTIAL, OrderEvent.REJECT) not in TRANSITIONS
