"""What page and API say of a position: every state has its words."""

from bot.dashboard.position_states import STATE_WORDS
from bot.layer3_execution.position_state import PositionState


def test_every_state_of_a_position_is_told_in_words() -> None:
    assert set(STATE_WORDS) == set(PositionState)
