"""No order and no question about the account passes before it is known whose account answers (RELIABILITY B21)."""

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from bot.errors import BrokerUnavailable, ConfigError, DatabaseUnavailable
from bot.joined_reading import JoinedReading
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.delegating_broker import DelegatingBroker

_OF_NO_ACCOUNT: Final = frozenset({"identity", "terms", "server_time", "check_connectivity", "candles", "quote"})
T = TypeVar("T")


class AccountDoor(DelegatingBroker):
    """Whoever comes first makes it known, by `verify`; under another account all that is open would look lost.

    `verify` asks the venue once. It raises BrokerError if that does not say who it is, ConfigError if it is not ours.
    """

    def __init__(self, broker: BrokerInterface, verify: Callable[[], Awaitable[None]]) -> None:
        super().__init__(broker)
        self._verifying = JoinedReading(verify)
        self.is_known = False

    async def know(self) -> None:
        """Make sure that it is ours. Raises as `verify`."""
        if not self.is_known:
            await self._verifying.next()
            self.is_known = True

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if call not in _OF_NO_ACCOUNT:
            try:
                await self.know()
            except (ConfigError, DatabaseUnavailable) as error:
                raise BrokerUnavailable(f"{self.broker_id}: nothing is asked or sent: {error}") from error
        return await send()
