"""What is noted of a venue that refuses our key, whoever met it."""

import pytest

from bot.clock import ManualClock
from bot.errors import BrokerUnavailable, KeyRefused
from bot.instruments import OANDA, Symbol
from bot.layer1_data.key_watch import KeyWatch, RefusedKeys
from bot.models import ClientOrderId, Timeframe
from tests.builders import approved_order
from tests.contract.stands import SimulatedStand

NAME = ClientOrderId("nobody-knows")
EUR = Symbol("EUR_USD")


async def refused(*_: object, **__: object) -> object:
    raise KeyRefused("oanda: revoked")


async def silent(*_: object) -> object:
    raise BrokerUnavailable("oanda: timeout")


class Watched:
    """A simulated venue, watched."""

    def __init__(self) -> None:
        self.venue = SimulatedStand().broker
        self.keys = RefusedKeys()
        self.broker = KeyWatch(self.venue, self.keys, ManualClock())

    def kind(self) -> str:
        """Of the newest refusal."""
        found = self.keys.refusal(OANDA)
        if found is None:
            return ""
        return "order" if found.of_order else "question"


@pytest.mark.parametrize(("call", "kind"), [("positions", "question"), ("cancel", "order")])
async def test_a_refusal_is_noted_and_raised(call: str, kind: str) -> None:
    watched = Watched()
    setattr(watched.venue, call, refused)

    with pytest.raises(KeyRefused):
        await (watched.broker.positions() if call == "positions" else watched.broker.cancel(NAME))

    assert watched.kind() == kind


async def test_silence_says_nothing_about_the_key() -> None:
    watched = Watched()
    watched.venue.positions = silent  # type: ignore[method-assign, assignment]

    with pytest.raises(BrokerUnavailable):
        await watched.broker.positions()

    assert watched.kind() == ""


@pytest.mark.parametrize("call", ["candles", "quote"])
async def test_prices_of_one_instrument_that_are_forbidden_say_nothing_about_the_key(call: str) -> None:
    """Else a venue closed with each look at that instrument and opened with each look at the account, a critical alert
    each time. A key that is refused is met by the next question about the account."""
    watched = Watched()
    setattr(watched.venue, call, refused)
    asking = (
        watched.broker.candles(EUR, Timeframe.H1, since=None, limit=1)
        if call == "candles"
        else watched.broker.quote(EUR)
    )

    with pytest.raises(KeyRefused):
        await asking

    assert watched.kind() == ""


async def test_a_question_that_is_refused_too_shows_that_it_is_not_only_orders() -> None:
    watched = Watched()
    watched.venue.cancel = refused  # type: ignore[method-assign, assignment]
    watched.venue.positions = refused  # type: ignore[method-assign, assignment]

    for asking in (watched.broker.cancel(NAME), watched.broker.positions()):
        with pytest.raises(KeyRefused):
            await asking

    assert watched.kind() == "question"


async def test_an_order_that_is_rejected_for_itself_does_not_show_that_orders_are_taken_again() -> None:
    watched = Watched()
    well = watched.venue.cancel
    watched.venue.cancel = refused  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyRefused):
        await watched.broker.cancel(NAME)
    watched.venue.cancel = well  # type: ignore[method-assign]

    await watched.broker.cancel(NAME)

    assert watched.kind() == "order"


async def test_an_order_that_is_taken_leaves_the_rest_to_the_next_comparison() -> None:
    stand = SimulatedStand()
    keys = RefusedKeys()
    broker = KeyWatch(stand.broker, keys, ManualClock())
    stand.price("100", "100")
    well = stand.broker.cancel
    stand.broker.cancel = refused  # type: ignore[method-assign, assignment]
    with pytest.raises(KeyRefused):
        await broker.cancel(NAME)
    stand.broker.cancel = well  # type: ignore[method-assign]

    await broker.place(approved_order())

    found = keys.refusal(OANDA)
    assert found is not None
    assert not found.of_order
