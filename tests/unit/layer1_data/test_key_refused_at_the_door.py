"""What is noted when the question whose account it is meets the refusal, whoever it was asked for (O5, B21)."""

from collections.abc import Awaitable, Callable

import pytest

from bot.clock import ManualClock
from bot.errors import KeyRefused
from bot.instruments import OANDA
from bot.layer1_data.account_door import ASK_AGAIN_S, AccountDoor
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.key_watch import KeyWatch, Refusal, RefusedKeys
from tests.builders import approved_order
from tests.contract.stands import SimulatedStand

NAME = approved_order().client_order_id
Ask = Callable[[BrokerInterface], Awaitable[object]]

ASKS: dict[str, Ask] = {
    "place": lambda broker: broker.place(approved_order()),
    "cancel": lambda broker: broker.cancel(NAME),
    "positions": lambda broker: broker.positions(),
}


async def refused(*_: object) -> None:
    raise KeyRefused("oanda: revoked")


class Watched:
    """A simulated venue behind a door, watched from outside of it as a daemon does."""

    def __init__(self) -> None:
        self.venue = SimulatedStand().broker
        self.key_is_revoked = False
        self.clock = ManualClock()
        self.keys = RefusedKeys()
        self.broker = KeyWatch(AccountDoor(self.venue, self._verify, self.clock), self.keys, self.clock)

    async def _verify(self) -> None:
        if self.key_is_revoked:
            await refused()


@pytest.mark.parametrize("ask", ASKS.values(), ids=ASKS)
async def test_a_refusal_met_by_the_question_whose_account_it_is_is_no_refusal_of_an_order(ask: Ask) -> None:
    watched = Watched()
    watched.key_is_revoked = True

    with pytest.raises(KeyRefused, match="oanda: revoked"):
        await ask(watched.broker)

    assert watched.keys.refusal(OANDA) == Refusal(why="oanda: revoked", of_order=False, at_s=watched.clock.monotonic())


async def test_an_order_that_comes_while_that_answer_is_remembered_has_met_no_refusal_either() -> None:
    watched = Watched()
    watched.key_is_revoked = True
    with pytest.raises(KeyRefused):
        await watched.broker.positions()

    with pytest.raises(KeyRefused):
        await watched.broker.cancel(NAME)

    found = watched.keys.refusal(OANDA)
    assert found is not None
    assert not found.of_order


async def test_an_order_that_is_refused_once_the_account_is_known_is_noted_as_one() -> None:
    # Arrange: the key was refused at the door first, and is let in by now
    watched = Watched()
    watched.key_is_revoked = True
    with pytest.raises(KeyRefused):
        await watched.broker.positions()
    watched.key_is_revoked = False
    await watched.clock.run_for(ASK_AGAIN_S)
    watched.venue.cancel = refused  # type: ignore[method-assign, assignment]

    # Act
    with pytest.raises(KeyRefused):
        await watched.broker.cancel(NAME)

    # Assert
    found = watched.keys.refusal(OANDA)
    assert found is not None
    assert found.of_order
