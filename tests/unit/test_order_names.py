"""The names of orders say to what they belong (docs/decisions/0003)."""

import pytest

from bot.models import ClientOrderId, is_stop_leg, leg_of


@pytest.mark.parametrize(("leg", "is_stop"), [("S0", True), ("S3", True), ("19", True), ("X0", False), ("E0", False)])
def test_stops_are_known_by_their_leg(leg: str, is_stop: bool) -> None:
    assert is_stop_leg(leg_of(ClientOrderId("TBd0123456789ABCDEFE00"), leg)) is is_stop
