import pytest

from bot.errors import IllegalTransition
from bot.layer3_execution.order_state import TRANSITIONS, OrderEvent, next_state
from bot.models import ClientOrderId, OrderState

ORDER = ClientOrderId("TBd0123456789ABCDEFE00")
CELLS = [(state, event) for state in OrderState for event in OrderEvent]


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda each: each.value)
def test_every_cell_of_the_table_moves_or_raises(state: OrderState, event: OrderEvent) -> None:
    expected = TRANSITIONS.get((state, event))
    if expected is None:
        with pytest.raises(IllegalTransition, match=rf"{ORDER}.*{event.value}.*{state.value}"):
            next_state(state, event, ORDER)
    else:
        assert next_state(state, event, ORDER) is expected


def test_silence_after_sending_is_unknown_and_never_rejected() -> None:
    assert next_state(OrderState.SENDING, OrderEvent.NO_ANSWER, ORDER) is OrderState.UNKNOWN


def test_unknown_stays_unknown_when_the_question_also_fails() -> None:
    assert next_state(OrderState.UNKNOWN, OrderEvent.NO_ANSWER, ORDER) is OrderState.UNKNOWN


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
