"""Symbol to broker: which account answers for an instrument."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence

from bot.errors import BrokerError, ConfigError
from bot.instruments import BrokerId, InstrumentRegistry, Symbol
from bot.layer1_data.broker_interface import BrokerInterface


class BrokerRouter:
    """The connected brokers, in the order they were given, and the way from a symbol to one of them.

    Raises ConfigError when two brokers carry one id: orders would go to whichever came last.
    """

    def __init__(self, brokers: Sequence[BrokerInterface], registry: InstrumentRegistry) -> None:
        self._by_id: Mapping[BrokerId, BrokerInterface] = {each.broker_id: each for each in brokers}
        self.registry = registry
        if len(self._by_id) != len(brokers):
            names = ", ".join(each.broker_id for each in brokers)
            raise ConfigError(f"brokers {names}: an id occurs twice; connect each broker once")

    def __iter__(self) -> Iterator[BrokerInterface]:
        return iter(self._by_id.values())

    def for_symbol(self, symbol: Symbol) -> BrokerInterface:
        """The broker of `symbol`. Raises UnknownSymbol, or ConfigError if its broker is not connected."""
        instrument = self.registry.get(symbol)
        found = self._by_id.get(instrument.broker_id)
        if found is None:
            raise ConfigError(
                f"symbol {symbol} is routed to broker {instrument.broker_id!r}, which is not connected "
                f"({self._connected()}); enable {instrument.broker_id!r} or remove the symbol from the tasks"
            )
        return found

    def broker(self, broker_id: BrokerId) -> BrokerInterface:
        """The broker called `broker_id`. Raises ConfigError if it is not connected."""
        found = self._by_id.get(broker_id)
        if found is None:
            raise ConfigError(
                f"broker {broker_id!r} is not connected ({self._connected()}); enable it or name one of those"
            )
        return found

    async def close(self) -> None:
        """Close every broker, also when another one fails; then raise BrokerError, naming each that failed."""
        answers = await asyncio.gather(*(each.close() for each in self), return_exceptions=True)
        failed = {broker: error for broker, error in zip(self._by_id, answers, strict=True) if error is not None}
        if failed:
            texts = "; ".join(f"{broker}: {error!r}" for broker, error in failed.items())
            first = next(iter(failed.values()))
            raise BrokerError(f"{len(failed)} of {len(self._by_id)} brokers did not close cleanly: {texts}") from first

    def _connected(self) -> str:
        return f"connected: {', '.join(self._by_id)}" if self._by_id else "no broker is connected"
