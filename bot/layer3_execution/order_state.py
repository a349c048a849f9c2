"""The states of an order and every allowed move between them (docs/order-safety.md, docs/decisions/0014).

A pair that is not in the table is a bug and raises: it is never silently ignored, and no fact of the venue is dropped.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from bot.errors import IllegalTransition
from bot.models import ClientOrderId
from bot.models import OrderState as S


class OrderEvent(StrEnum):
    """What can happen to an order."""

    SEND = "send"
    ACK = "ack"
    REJECT = "reject"
    NO_ANSWER = "no_answer"
    NOT_SENT = "not_sent"
    PART_FILL = "part_fill"
    FULL_FILL = "full_fill"
    CANCEL_SENT = "cancel_sent"
    CANCELED = "canceled"
    EXPIRED = "expired"
    STALE = "stale"
    NEGATIVE_EVIDENCE = "negative_evidence"
    LATE_ARRIVAL = "late_arrival"


E = OrderEvent

_LIVE: Final = (S.WORKING, S.TRIGGERED, S.PARTIAL)
_ENDED_UNFILLED: Final = (S.CANCELED, S.EXPIRED, S.NOT_PLACED, S.REJECTED)
_LATE_WORDS: Final = (E.REJECT, E.NO_ANSWER, E.CANCELED, E.EXPIRED, E.NEGATIVE_EVIDENCE)


def _table() -> dict[tuple[S, E], S]:
    table: dict[tuple[S, E], S] = {
        (S.INTENT, E.SEND): S.SENDING,  # committed before the first byte leaves
        (S.INTENT, E.STALE): S.DENIED,  # found at start-up past its validity: never sent
        (S.INTENT, E.CANCEL_SENT): S.DENIED,  # nothing was sent, so nothing needs cancelling
        (S.SENDING, E.NOT_SENT): S.INTENT,  # proven: the connection was never made
        (S.SENDING, E.NEGATIVE_EVIDENCE): S.NOT_PLACED,  # a crash in SENDING is resolved like UNKNOWN
        (S.UNKNOWN, E.NEGATIVE_EVIDENCE): S.NOT_PLACED,  # evidence, never elapsed time alone
        (S.WORKING, E.REJECT): S.REJECTED,  # rare: acknowledged, then thrown out
        (S.TRIGGERED, E.REJECT): S.REJECTED,
        (S.WORKING, E.NEGATIVE_EVIDENCE): S.CANCELED,
        (S.TRIGGERED, E.NEGATIVE_EVIDENCE): S.CANCELED,
        (S.PARTIAL, E.NEGATIVE_EVIDENCE): S.CANCELED,  # keeps its fills; never REJECTED
        (S.CANCEL_PENDING, E.ACK): S.CANCEL_PENDING,  # the answer to its placing came late: the cancel is under way
        (S.CANCEL_PENDING, E.CANCEL_SENT): S.CANCEL_PENDING,  # sent again: the first one got no answer
        (S.CANCEL_PENDING, E.PART_FILL): S.CANCEL_PENDING,  # still waits for the venue's word
        (S.CANCEL_PENDING, E.NO_ANSWER): S.CANCEL_PENDING,
        (S.CANCEL_PENDING, E.NEGATIVE_EVIDENCE): S.CANCEL_PENDING,
        (S.CANCEL_PENDING, E.REJECT): S.WORKING,  # the cancel was refused: as before
        (S.FILLED, E.ACK): S.FILLED,  # the fill was read before the answer to our call
        (S.FILLED, E.PART_FILL): S.FILLED,  # read again, or more than was ordered: the store tells which
        (S.FILLED, E.FULL_FILL): S.FILLED,
    }
    for state in (S.SENDING, S.UNKNOWN):
        table |= {(state, E.ACK): S.WORKING, (state, E.REJECT): S.REJECTED, (state, E.NO_ANSWER): S.UNKNOWN}
        table[state, E.CANCEL_SENT] = state  # by its id, in case it has arrived; its fate is as unknown as before
    for state in (S.SENDING, S.UNKNOWN, *_LIVE, S.CANCEL_PENDING):
        table |= {(state, E.CANCELED): S.CANCELED, (state, E.EXPIRED): S.EXPIRED, (state, E.FULL_FILL): S.FILLED}
    for state in (S.SENDING, S.UNKNOWN, *_LIVE):
        table[state, E.PART_FILL] = S.PARTIAL
    for state in _LIVE:
        table |= {(state, E.ACK): state, (state, E.NO_ANSWER): state, (state, E.CANCEL_SENT): S.CANCEL_PENDING}
    for state in (S.INTENT, S.DENIED, *_ENDED_UNFILLED):  # ended or never sent here, and there all the same: facts win
        table |= {(state, E.PART_FILL): S.PARTIAL, (state, E.FULL_FILL): S.FILLED, (state, E.LATE_ARRIVAL): S.WORKING}
    for state in (S.FILLED, *_ENDED_UNFILLED):  # what else is told of it comes too late to matter
        table |= {(state, event): state for event in _LATE_WORDS}
    return table


TRANSITIONS: Final[Mapping[tuple[S, OrderEvent], S]] = _table()


def next_state(state: S, event: OrderEvent, order: ClientOrderId) -> S:
    """State after `event`. Raises IllegalTransition for a pair that the table does not know."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(
            f"order {order}: {event.value} is not possible in state {state.value}; "
            "the order is quarantined: compare it with the venue before anything else is done to it"
        ) from None
