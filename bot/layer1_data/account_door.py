"""No order and no question about the account passes before it is known whose account answers (RELIABILITY B21)."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from bot.errors import BotError, BrokerUnavailable, ConfigError, DatabaseUnavailable, KeyRefused
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.delegating_broker import DelegatingBroker

_OF_NO_ACCOUNT: Final = frozenset({"identity", "terms", "server_time", "candles", "quote"})
ASK_AGAIN_S: Final = 5.0
T = TypeVar("T")


class RefusedAtDoor(KeyRefused):
    """Our key was, by the question whose account it is; what made the door ask that was itself not asked or sent."""


class AccountDoor(DelegatingBroker):
    """Whoever comes first makes it known, by `verify`; under another account all that is open would look lost.

    `verify` asks the venue once. It raises BrokerError if that does not say who it is, ConfigError if it is not ours;
    for a moment afterwards everybody gets that error: what is asked of a venue that is silent is asked with urgency.
    """

    def __init__(self, broker: BrokerInterface, verify: Callable[[], Awaitable[None]], clock: Clock) -> None:
        super().__init__(broker)
        self._verify = verify
        self._verifying = asyncio.Lock()
        self._clock = clock
        self._error: BotError | None = None
        self._ask_again_s = 0.0
        self.is_known = False

    async def know(self) -> None:
        """Make sure that it is ours. Raises as `verify`."""
        async with self._verifying:  # whoever comes while the venue is asked has the same answer
            if self.is_known:
                return
            if self._error is not None and self._clock.monotonic() < self._ask_again_s:
                raise self._error.with_traceback(None)
            try:
                await self._verify()
            except BotError as error:
                self._error, self._ask_again_s = error, self._clock.monotonic() + ASK_AGAIN_S
                raise
            self.is_known = True

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if call not in _OF_NO_ACCOUNT:
            try:
                await self.know()
            except KeyRefused as error:
                raise RefusedAtDoor(str(error)) from error
            except (ConfigError, DatabaseUnavailable) as error:
                raise BrokerUnavailable(f"{self.broker_id}: nothing is asked or sent: {error}") from error
        return await send()
