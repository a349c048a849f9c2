"""From a symbol to the broker that answers for it."""

import pytest

from bot.errors import BrokerError, ConfigError, UnknownSymbol
from bot.instruments import BINANCE, IG, OANDA, BrokerId, Symbol, default_registry
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter


class IdleBroker(BrokerInterface):
    """A broker that can only be closed; `failure` is raised then."""

    def __init__(self, broker_id: BrokerId, failure: Exception | None = None) -> None:
        self.closed = False
        self._broker_id = broker_id
        self._failure = failure

    @property
    def broker_id(self) -> BrokerId:
        return self._broker_id

    async def close(self) -> None:
        self.closed = True
        if self._failure:
            raise self._failure


# The rest of the contract is not what this file is about.
IdleBroker.__abstractmethods__ = frozenset()


def idle(broker_id: BrokerId, failure: Exception | None = None) -> IdleBroker:
    return IdleBroker(broker_id, failure)  # type: ignore[abstract]


def test_a_symbol_leads_to_the_broker_it_is_routed_to() -> None:
    binance, oanda = idle(BINANCE), idle(OANDA)
    router = BrokerRouter([binance, oanda], default_registry())

    assert router.for_symbol(Symbol("BTC/USDT")) is binance
    assert router.for_symbol(Symbol("EUR_USD")) is oanda
    assert router.broker(OANDA) is oanda
    assert list(router) == [binance, oanda]


def test_a_symbol_whose_broker_is_not_connected_is_refused_with_those_that_are() -> None:
    router = BrokerRouter([idle(BINANCE), idle(OANDA)], default_registry())

    with pytest.raises(ConfigError, match=r"symbol NVDA is routed to broker 'ig'.*connected: binance, oanda"):
        router.for_symbol(Symbol("NVDA"))
    with pytest.raises(ConfigError, match=r"broker 'ig' is not connected \(connected: binance, oanda\)"):
        router.broker(IG)
    with pytest.raises(ConfigError, match="no broker is connected"):
        BrokerRouter([], default_registry()).broker(IG)


def test_an_unknown_symbol_is_told_apart_from_a_missing_broker() -> None:
    with pytest.raises(UnknownSymbol, match="did you mean"):
        BrokerRouter([idle(OANDA)], default_registry()).for_symbol(Symbol("EUR_USDX"))


def test_two_brokers_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="an id occurs twice"):
        BrokerRouter([idle(OANDA), idle(OANDA)], default_registry())


async def test_closing_closes_every_broker_and_then_tells_all_that_failed() -> None:
    brokers = [
        idle(BINANCE, BrokerError("socket is gone")),
        idle(OANDA),
        idle(IG, RuntimeError("not ours")),
    ]

    with pytest.raises(BrokerError, match=r"2 of 3 brokers.*binance.*socket is gone.*ig.*not ours"):
        await BrokerRouter(brokers, default_registry()).close()

    assert [each.closed for each in brokers] == [True, True, True]


async def test_closing_healthy_brokers_is_silent() -> None:
    broker = idle(OANDA)

    await BrokerRouter([broker], default_registry()).close()

    assert broker.closed
