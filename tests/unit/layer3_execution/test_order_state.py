"""The state table against RELIABILITY 3.1: each cell as it is written there, or a difference with its reason."""

from collections.abc import Mapping
from typing import Final

import pytest

from bot.errors import IllegalTransition
from bot.layer3_execution.order_state import TRANSITIONS, OrderEvent, next_state
from bot.models import ClientOrderId, OrderState

S, E = OrderState, OrderEvent
Cell = tuple[str, str]
ORDER: Final = ClientOrderId("TBd0123456789ABCDEFE00")

REQUIRED: Final = """
| from \\ event | send_started | ack | definite reject | ambiguous | partial fill | full fill | cancel sent \
| replace sent | canceled (venue) | expired | E2/E3 negative | late fill / appears |
| INTENT | SENDING | x | x | x | x | x | DENIED \
| x | x | DENIED (stale) | x | incident, adopt |
| SENDING | x | WORKING | REJECTED | UNKNOWN | PARTIAL | FILLED | mark cancel_wanted \
| x | CANCELED | EXPIRED | x | adopt |
| UNKNOWN | only per 2.2 rule 4 | WORKING | REJECTED | stay | PARTIAL | FILLED \
| mark cancel_wanted, send cancel by client id \
| x | CANCELED | EXPIRED | NOT_PLACED | adopt |
| WORKING | x | stay | REJECTED (venue, rare) | stay | PARTIAL | FILLED | CANCEL_PENDING \
| REPLACE_PENDING | CANCELED | EXPIRED | targeted query, then CANCELED/quarantine | - |
| TRIGGERED | x | stay | REJECTED | stay | PARTIAL | FILLED | CANCEL_PENDING \
| REPLACE_PENDING | CANCELED | EXPIRED | as WORKING | - |
| PARTIAL | x | stay | x | stay | PARTIAL | FILLED | CANCEL_PENDING \
| REPLACE_PENDING | CANCELED (keep fills) | EXPIRED (keep) | CANCELED (keep), never REJECTED | - |
| CANCEL_PENDING | x | stay | previous | stay | stay, add fill | FILLED | stay \
| x | CANCELED | EXPIRED | stays unresolved until evidence | - |
| REPLACE_PENDING | x | previous + new terms | previous | stay | stay, add fill | FILLED | CANCEL_PENDING \
| stay | CANCELED | EXPIRED | stays unresolved until evidence | - |
| CANCELED / EXPIRED / NOT_PLACED / REJECTED | x | incident, adopt | - | - | PARTIAL + incident | FILLED + incident \
| x | x | - | - | - | PARTIAL/FILLED + incident |
| FILLED | x | - | - | - | overfill incident | overfill incident | x \
| x | - | - | - | dedup or overfill |
"""
NO_ROW: Final = ("DENIED",)  # a state of 3.1 without a row: nothing is expected of what was never sent
ILLEGAL: Final = "illegal"
SAME: Final = "same"
MEANING: Final[Mapping[str, str]] = {
    "x": ILLEGAL,
    "only per 2.2 rule 4": "SENDING",
    "-": SAME,  # nothing comes of it
    "stay": SAME,
    "stay, add fill": SAME,
    "stays unresolved until evidence": SAME,
    "mark cancel_wanted": SAME,  # a mark is no state
    "mark cancel_wanted, send cancel by client id": SAME,
    "overfill incident": SAME,
    "dedup or overfill": SAME,
    "incident, adopt": "WORKING",
    "adopt": "WORKING",
    "PARTIAL/FILLED + incident": "PARTIAL or FILLED",
    "targeted query, then CANCELED/quarantine": "CANCELED",
    "as WORKING": "CANCELED",
    "CANCELED (keep), never REJECTED": "CANCELED",
    "previous": "WORKING, TRIGGERED or PARTIAL",
    "previous + new terms": "WORKING, TRIGGERED or PARTIAL",
}  # any other cell begins with the state it means
EVENTS: Final[Mapping[str, OrderEvent | None]] = {
    "send_started": E.SEND,
    "ack": E.ACK,
    "definite reject": E.REJECT,
    "ambiguous": E.NO_ANSWER,
    "partial fill": E.PART_FILL,
    "full fill": E.FULL_FILL,
    "cancel sent": E.CANCEL_SENT,
    "replace sent": None,
    "canceled (venue)": E.CANCELED,
    "expired": E.EXPIRED,
    "E2/E3 negative": E.NEGATIVE_EVIDENCE,
    "late fill / appears": E.LATE_ARRIVAL,
}
NOT_IN_3_1: Final = {(S.INTENT, E.STALE): S.DENIED, (S.SENDING, E.NOT_SENT): S.INTENT}  # 2.2 and 2.3 have them

# Why ours is another one, each explained in docs/decisions/0014.
NO_REPLACE = "a stop that is changed in place is fenced, not committed first: no state and no event for it"
NOT_THE_VENUE = "the venue cannot expire what it never got: past its validity it is STALE, an event of its own"
FACTS_WIN = "what the venue has counts, also where our record says that it was never sent; it is an incident"
A_CRASH = "an order found in SENDING is resolved as it is, by the evidence that ends UNKNOWN"
NEXT_NAME = "never sent again under its name: an entry not at all, what reduces as an order of its own"
FOUND_IS_ACK = "what is found at the venue is acknowledged; LATE_ARRIVAL is for what had ended"
LIVES = "what lives cannot arrive late; its fills have events of their own"
SHOWN_NOT_SAID = "an answer that comes after the end proves nothing; what the venue shows working is LATE_ARRIVAL"
APPEARS = "a late fill is PART_FILL or FULL_FILL; what appears without one works"
FILLED_ALREADY = "what has filled is not revived; doubled and surplus fills are fills"
NO_MEMORY = (
    "a cancel that is refused leads to WORKING: what is filled stands in the row, and all three are treated alike"
)

LIVE_AND_PENDING: Final = ("WORKING", "TRIGGERED", "PARTIAL", "CANCEL_PENDING")
ENDED_UNFILLED: Final = ("CANCELED", "EXPIRED", "NOT_PLACED", "REJECTED")
DIFFERENCES: Final[Mapping[Cell, tuple[str, str]]] = {
    ("INTENT", "partial fill"): ("PARTIAL", FACTS_WIN),
    ("INTENT", "full fill"): ("FILLED", FACTS_WIN),
    ("INTENT", "expired"): (ILLEGAL, NOT_THE_VENUE),
    ("SENDING", "E2/E3 negative"): ("NOT_PLACED", A_CRASH),
    ("SENDING", "late fill / appears"): (ILLEGAL, FOUND_IS_ACK),
    ("UNKNOWN", "send_started"): (ILLEGAL, NEXT_NAME),
    ("UNKNOWN", "late fill / appears"): (ILLEGAL, FOUND_IS_ACK),
    ("CANCEL_PENDING", "definite reject"): ("WORKING", NO_MEMORY),
    **{(state, "replace sent"): (ILLEGAL, NO_REPLACE) for state in ("WORKING", "TRIGGERED", "PARTIAL")},
    **{("REPLACE_PENDING", event): (ILLEGAL, NO_REPLACE) for event in EVENTS if event != "send_started"},
    **{(state, "late fill / appears"): (ILLEGAL, LIVES) for state in LIVE_AND_PENDING},
    **{(state, "ack"): (ILLEGAL, SHOWN_NOT_SAID) for state in ENDED_UNFILLED},
    **{(state, "late fill / appears"): ("WORKING", APPEARS) for state in ENDED_UNFILLED},
    ("FILLED", "late fill / appears"): (ILLEGAL, FILLED_ALREADY),
    ("DENIED", "partial fill"): ("PARTIAL", FACTS_WIN),
    ("DENIED", "full fill"): ("FILLED", FACTS_WIN),
    ("DENIED", "late fill / appears"): ("WORKING", FACTS_WIN),
}


def required_cells() -> dict[Cell, str]:
    """Each cell of 3.1: the state it leads to, or that it is illegal."""
    head, *rows = ([each.strip() for each in line.strip("|").split("|")] for line in REQUIRED.strip().splitlines())
    cells = {(state, event): ILLEGAL for state in NO_ROW for event in EVENTS}
    for states, *row in rows:
        for state in states.split(" / "):
            for event, written in zip(head[1:], row, strict=True):
                means = MEANING.get(written) or written.split()[0]
                cells[state, event] = state if means == SAME else means
    return cells


def ours(state: str, event: str) -> str:
    """The same cell of our table."""
    known = EVENTS[event]
    if known is None or state not in list(S):
        return ILLEGAL
    after = TRANSITIONS.get((S(state), known))
    return ILLEGAL if after is None else after.value


REQUIRED_CELLS: Final = required_cells()
CELLS: Final = [(state, event) for state in S for event in E]


@pytest.mark.parametrize("cell", REQUIRED_CELLS, ids=" ".join)
def test_each_cell_is_that_of_the_requirement_or_differs_as_it_is_listed(cell: Cell) -> None:
    if cell in DIFFERENCES:
        listed, _ = DIFFERENCES[cell]
        assert ours(*cell) == listed != REQUIRED_CELLS[cell]
    else:
        assert ours(*cell) == REQUIRED_CELLS[cell]


def test_the_requirement_has_fourteen_states_and_twelve_events() -> None:
    assert len(REQUIRED_CELLS) == 14 * 12
    assert {state for state, _ in REQUIRED_CELLS} == {*S, "REPLACE_PENDING"}
    assert DIFFERENCES.keys() <= REQUIRED_CELLS.keys()


def test_beyond_the_requirement_only_what_was_never_sent_has_events_of_its_own() -> None:
    assert {event for event in E if event not in EVENTS.values()} == {event for _, event in NOT_IN_3_1}
    assert {cell: after for cell, after in TRANSITIONS.items() if cell[1] not in EVENTS.values()} == NOT_IN_3_1


@pytest.mark.parametrize(("state", "event"), CELLS, ids=lambda each: each.value)
def test_every_cell_moves_as_written_or_raises(state: OrderState, event: OrderEvent) -> None:
    expected = TRANSITIONS.get((state, event))
    if expected is None:
        with pytest.raises(IllegalTransition, match=rf"{ORDER}.*{event.value}.*{state.value}"):
            next_state(state, event, ORDER)
    else:
        assert next_state(state, event, ORDER) is expected


def test_every_state_can_be_reached_from_an_intent() -> None:
    reached, newest = {S.INTENT}, {S.INTENT}
    while newest:
        newest = {after for (before, _), after in TRANSITIONS.items() if before in newest} - reached
        reached |= newest
    assert reached == set(S) - {S.TRIGGERED}  # the venue's own word for a stop that works


def test_silence_after_sending_is_unknown_and_never_rejected() -> None:
    assert next_state(S.SENDING, E.NO_ANSWER, ORDER) is S.UNKNOWN


@pytest.mark.parametrize("ended", ENDED_UNFILLED)
def test_a_fill_that_overtook_our_record_is_applied_from_every_unfilled_end(ended: str) -> None:
    assert next_state(S(ended), E.FULL_FILL, ORDER) is S.FILLED
    assert next_state(S(ended), E.PART_FILL, ORDER) is S.PARTIAL


def test_a_filled_order_stays_filled_whatever_comes() -> None:
    assert {state for (before, _), state in TRANSITIONS.items() if before is S.FILLED} == {S.FILLED}


def test_nothing_leads_back_to_intent_but_proof_that_nothing_was_sent() -> None:
    leading_back = {pair for pair, state in TRANSITIONS.items() if state is S.INTENT}
    assert leading_back == {(S.SENDING, E.NOT_SENT)}


def test_a_partly_filled_order_is_never_called_rejected() -> None:
    assert (S.PARTIAL, E.REJECT) not in TRANSITIONS
