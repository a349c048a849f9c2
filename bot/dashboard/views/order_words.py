"""Orders in words: what a state means, and what a person may do about it. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from bot.models import Order, OrderRole, OrderState

STATE_WORDS: Final[Mapping[OrderState, str]] = {
    OrderState.INTENT: "Stored before anything is sent; nothing has left yet.",
    OrderState.SENDING: "The request is leaving, or has left; the venue has not answered yet.",
    OrderState.UNKNOWN: "The venue gave no usable answer, so the order may be live there or not. It is looked up there "
    "by its own name, never sent again. Until it is found, or proven not to be there, its risk counts in full.",
    OrderState.WORKING: "The venue has it, and it rests there.",
    OrderState.TRIGGERED: "Its stop price was reached; the venue is filling it.",
    OrderState.PARTIAL: "A part is filled, the rest still works.",
    OrderState.CANCEL_PENDING: "The venue was asked to cancel it. A fill can still come first.",
    OrderState.FILLED: "Done: all of it was filled.",
    OrderState.CANCELED: "Ended without the rest being filled: cancelled.",
    OrderState.EXPIRED: "Ended by the venue: by its own time limit, or the rest was not to be had at its worst price.",
    OrderState.REJECTED: "The venue refused it.",
    OrderState.DENIED: "It was never sent: something of ours refused it first.",
    OrderState.NOT_PLACED: "Proven never to have reached the venue.",
}
TROUBLED: Final = frozenset({OrderState.UNKNOWN, OrderState.REJECTED, OrderState.DENIED})
LIVE: Final = frozenset(each for each in OrderState if not each.is_terminal)

Event = tuple[datetime, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderStory:
    """One order with its way from state to state."""

    order: Order
    events: Sequence[Event]

    @property
    def chain(self) -> str:
        """The states in the order they came: INTENT → SENDING → FILLED. One that was confirmed again is told once."""
        return " → ".join(to for before, to in pairwise(["", *(to for _, _, to, _ in self.events)]) if to != before)


def may_cancel(order: Order) -> bool:
    """An entry that can still open something. A stop protects, an exit reduces: neither is cancelled by hand."""
    return order.role is OrderRole.ENTRY and order.state in LIVE
