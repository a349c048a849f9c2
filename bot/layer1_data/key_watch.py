"""Which venues do not let our key in, as heard from everything that is asked of them."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from bot.errors import KeyRefused
from bot.instruments import BrokerId
from bot.interfaces import Clock
from bot.layer1_data.account_door import RefusedAtDoor
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.delegating_broker import CHANGES, DelegatingBroker
from bot.models import OrderAck, OrderState

_PRICES: Final = frozenset({"candles", "quote"})  # of one instrument, which may be forbidden by itself
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The newest one of a venue, at seconds of the clock. `of_order`: an order met it, and no question did since: the
    key may still read, and only an order shows when it may trade again."""

    why: str
    of_order: bool
    at_s: float


class RefusedKeys:
    """Holds the newest refusal of each venue until it is known to be over."""

    def __init__(self) -> None:
        self._refusals: dict[BrokerId, Refusal] = {}

    def refusal(self, broker_id: BrokerId) -> Refusal | None:
        """Why the venue does not let our key in; None if it does."""
        return self._refusals.get(broker_id)

    def note(self, broker_id: BrokerId, refusal: Refusal) -> None:
        """It was met once more."""
        self._refusals[broker_id] = refusal

    def forget(self, broker_id: BrokerId) -> None:
        """It is over."""
        self._refusals.pop(broker_id, None)


class KeyWatch(DelegatingBroker):
    """Notes each refusal of our key in `keys`, whoever met it with an order or a question about the account.

    An order that is taken leaves the rest to a question; one that came no further than the account door met nothing.
    """

    def __init__(self, broker: BrokerInterface, keys: RefusedKeys, clock: Clock) -> None:
        super().__init__(broker)
        self._keys = keys
        self._clock = clock

    async def _through(self, call: str, send: Callable[[], Coroutine[Any, Any, T]]) -> T:
        try:
            answer = await send()
        except KeyRefused as error:
            if call not in _PRICES:
                self._note(str(error), of_order=call in CHANGES and not isinstance(error, RefusedAtDoor))
            raise
        if isinstance(answer, OrderAck) and answer.state is not OrderState.REJECTED:
            known = self._keys.refusal(self.broker_id)
            if known is not None:
                self._note(known.why, of_order=False)
        return answer

    def _note(self, why: str, *, of_order: bool) -> None:
        self._keys.note(self.broker_id, Refusal(why=why, of_order=of_order, at_s=self._clock.monotonic()))
