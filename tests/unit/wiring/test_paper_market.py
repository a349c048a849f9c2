"""A venue whose description cannot be read is silent: nothing opens there, the others go on, it is asked again."""

from collections.abc import Sequence

from bot.instruments import OANDA, Symbol
from bot.layer1_data.broker_interface import BrokerInterface, VenueTerms
from bot.layer1_data.delegating_broker import DelegatingBroker
from bot.wiring.paper_market import open_paper_market
from bot.wiring.venues import Venue
from tests.contract.stands import EUR_USD, SimulatedStand


class Unreadable(DelegatingBroker):
    """Its library fails at the first description, in a way that nobody foresaw."""

    def __init__(self, broker: BrokerInterface) -> None:
        super().__init__(broker)
        self.asked = 0

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        self.asked += 1
        if self.asked == 1:
            raise KeyError("pipLocation")
        return await super().terms(symbols)


async def test_a_description_that_nobody_can_read_closes_its_venue_until_it_can_be_read() -> None:
    broker = Unreadable(SimulatedStand().broker)

    market = await open_paper_market([Venue(broker=broker, says="test")])
    before = market.descriptions.blocked(OANDA, EUR_USD.symbol)
    await market.ask_silent()

    assert before == "oanda has not described its instruments yet; it is asked again by itself"
    assert market.descriptions.silent == frozenset()
    assert EUR_USD.symbol in market.registry, "our own description is kept meanwhile"
