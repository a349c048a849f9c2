"""In which state a position is, for page and API, and what that means in words."""

from collections.abc import Iterable, Mapping
from typing import Final

from bot.dashboard.parts import DashboardParts
from bot.layer3_execution.position_state import PositionState, state_of
from bot.models import KillLevel, Order, Position

STATE_WORDS: Final[Mapping[PositionState, str]] = {
    PositionState.FLAT: "Nothing of it was ever opened.",
    PositionState.OPENING: "Its entry may still fill; until then its risk counts in full.",
    PositionState.OPEN_UNPROTECTED: "Not all of it has a stop. One is asked for; if none rests in time, it is closed.",
    PositionState.OPEN_PROTECTED: "A stop rests at the venue for all of it.",
    PositionState.REDUCING: "A part of it is being closed; a stop rests for what stays.",
    PositionState.CLOSING: "All of it is being closed.",
    PositionState.CLOSED: "Nothing of it is left.",
    PositionState.QUARANTINED: "The venue tells something else of this instrument: no entries there, its stop stays.",
    PositionState.FLATTENING: "It is closed at market, tried again until nothing is left.",
}


def state_in(parts: DashboardParts, position: Position, orders: Iterable[Order]) -> PositionState:
    """The state of a position with its orders, as the newest comparison and the kill switch have it. No I/O."""
    differences = [
        each
        for report in parts.reconciliations()
        if report.broker_id == position.broker_id
        for each in report.differences
    ]
    return state_of(
        position,
        orders,
        is_quarantined=any(each.symbol == position.symbol and each.counts and each.is_open for each in differences),
        is_flattened=any(
            each.level is KillLevel.FLATTEN and each.holds_for(position.broker_id) for each in parts.kill.latches()
        ),
    )
