"""Nothing is asked of an account, and nothing is sent to it, before it is known to be ours (B21)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, ConfigError, DatabaseUnavailable, KeyRefused
from bot.instruments import Symbol
from bot.layer1_data.account_door import ASK_AGAIN_S, AccountDoor
from bot.layer1_data.broker_interface import BrokerInterface
from tests.builders import approved_order
from tests.contract.stands import SimulatedStand

EUR = Symbol("EUR_USD")
Ask = Callable[[BrokerInterface], Awaitable[object]]

OF_THE_ACCOUNT: dict[str, Ask] = {
    "place": lambda broker: broker.place(approved_order()),
    "positions": lambda broker: broker.positions(),
    "open_orders": lambda broker: broker.open_orders(),
    "fills_since": lambda broker: broker.fills_since(""),
    "account": lambda broker: broker.account(),
    "cancel": lambda broker: broker.cancel(approved_order().client_order_id),
    "check_connectivity": lambda broker: broker.check_connectivity(),  # Binance is asked for open orders, signed
}


class Door:
    """A simulated venue behind a door, and what `verify` was asked to say."""

    def __init__(self, *says: Exception | None) -> None:
        self.venue = SimulatedStand().broker
        self.asked = 0
        self.takes_s = 0.0
        self._says = list(says)
        self.clock = ManualClock()
        self.broker = AccountDoor(self.venue, self._verify, self.clock)

    async def _verify(self) -> None:
        self.asked += 1
        await self.clock.sleep(self.takes_s)
        if (error := self._says.pop(0)) is not None:
            raise error


@pytest.mark.parametrize("ask", OF_THE_ACCOUNT.values(), ids=OF_THE_ACCOUNT)
@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (BrokerUnavailable("oanda: timeout"), BrokerUnavailable),
        (KeyRefused("oanda: revoked"), KeyRefused),
        (DatabaseUnavailable("the database does not answer"), BrokerUnavailable),
        (ConfigError("this database belongs to account 1"), BrokerUnavailable),
    ],
)
async def test_nothing_passes_while_it_is_not_known_whose_account_it_is(
    ask: Ask, error: Exception, raised: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    door, passed = Door(error), []
    for name in OF_THE_ACCOUNT:
        monkeypatch.setattr(door.venue, name, lambda *_, **__: passed.append("something"))

    with pytest.raises(raised, match=str(error)):
        await ask(door.broker)

    assert passed == []


async def test_who_comes_soon_after_a_silence_does_not_ask_again() -> None:
    door = Door(BrokerUnavailable("oanda: timeout"))

    for _ in range(3):
        with pytest.raises(BrokerUnavailable, match="timeout"):
            await door.broker.positions()

    assert door.asked == 1


async def test_who_comes_later_asks_again_and_who_comes_after_an_answer_does_not() -> None:
    door = Door(BrokerUnavailable("oanda: timeout"), None)

    with pytest.raises(BrokerUnavailable):
        await door.broker.positions()
    await door.clock.run_for(ASK_AGAIN_S)
    first, second = await door.broker.positions(), await door.broker.open_orders()

    assert (first, second) == ((), ())
    assert door.asked == 2


async def test_who_comes_while_the_venue_is_asked_has_the_same_answer() -> None:
    door = Door(BrokerUnavailable("oanda: timeout"))
    door.takes_s = 1

    asking = asyncio.gather(*(door.broker.positions() for _ in range(3)), return_exceptions=True)
    await door.clock.run_for(1)
    answers = await asking

    assert [str(each) for each in answers] == 3 * ["oanda: timeout"]
    assert door.asked == 1


async def test_the_clock_and_the_terms_of_a_venue_need_no_account() -> None:
    door = Door()

    await door.broker.server_time()
    await door.broker.terms([EUR])

    assert door.asked == 0
