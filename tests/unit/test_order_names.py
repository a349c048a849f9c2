"""The names of orders say to what they belong (docs/decisions/0003)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import pytest

from bot.layer3_execution.legs import exit_name, stop_row
from bot.models import ClientOrderId, Position, entry_of, is_stop_leg, leg_of
from tests.unit.layer3_execution.desk import Desk

MORE_THAN_A_WEEKEND: Final = 30_000  # attempts, one every 10 s


@pytest.mark.parametrize(("leg", "is_stop"), [("S0", True), ("S1", True), ("X0", False), ("E0", False), ("T1", False)])
@pytest.mark.parametrize("attempt", [0, 9, 123])
def test_stops_are_known_by_their_leg(leg: str, attempt: int, is_stop: bool) -> None:
    assert is_stop_leg(leg_of(ClientOrderId("TBd0123456789ABCDEFE00"), leg, attempt)) is is_stop


async def test_no_name_of_a_position_ever_comes_again_and_all_lead_back_to_its_entry() -> None:
    desk = Desk()
    await desk.bought()
    position = await desk.position()

    names = [position.entry_order_id, leg_of(position.entry_order_id, "S0")]
    for number in range(MORE_THAN_A_WEEKEND):
        names += [exit_name(position, reason, number) for reason in ("STOP", "TARGET_1", "TARGET_2")]
        names.append(_stop_name(position, number))

    assert len(set(names)) == len(names)
    assert {entry_of(each) for each in names} == {position.entry_order_id}
    assert max(map(len, names)) <= 30  # IG takes no more


def _stop_name(position: Position, tried: int) -> ClientOrderId:
    row = stop_row(position, Decimal(1), Decimal(98), "STOP", tried, datetime(2026, 1, 1, tzinfo=UTC))
    return row.client_order_id
