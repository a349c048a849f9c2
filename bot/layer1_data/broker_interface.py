"""The one contract that every broker implements: real, sandbox or simulated. Read after `models.py`.

A venue's no is an answer (an `OrderAck` with state REJECTED), not an error. Silence after sending is
`OrderFateUnknown`; anything that surely did nothing is `BrokerUnavailable`. No method retries an order.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final

from bot.errors import BrokerUnavailable
from bot.instruments import BrokerId, Currency, Symbol
from bot.models import (
    AccountState,
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Fill,
    OrderAck,
    OrderState,
    Quote,
    ReduceOrder,
    Side,
    Timeframe,
    VenuePosition,
)

# What every adapter says, whatever its venue's words are, when a stop was refused because the price is beyond it.
WOULD_TRIGGER: Final = "WOULD_TRIGGER"
FOREIGN: Final = "foreign:"
"""Begins the name, here, of what somebody else has made."""


def beyond_bound(word: str, side: Side, bound: Decimal) -> str:
    """Why an entry was not filled, or not all of it: the venue's own `word` for it, and what it means."""
    to_be_had = f"bought at {bound:f} or less" if side is Side.BUY else f"sold at {bound:f} or more"
    allowed = "the worst price allowed (MAX_ENTRY_SLIPPAGE_RATIO)"
    return f"{word}: it cannot be {to_be_had}, {allowed}; wait for the next signal"


LastWord = Callable[[], Awaitable[None]]
"""Whether an order may still leave. Raises EntryRefused if it may not."""


async def nothing_against() -> None:
    """The last word about what only reduces."""


class DuplicateIds(StrEnum):
    """What a venue does with a client order id it has seen before (RELIABILITY 2.2 rule 4)."""

    PERMANENT = "permanent"
    OPEN_ONLY = "open_only"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerCapabilities:
    """What a venue can do, so that nobody asks for its name.

    `stop_reserves`: a resting stop locks what it would sell, so nothing else can be sold beside it (spot).
    `request_expires_after_s`: the venue throws away a request older than that; None if it says nothing of the kind.
    `allows_short`: what is not held can be sold; a spot account has nothing to sell short with.
    `limit_exits`: a reduction may name its price; elsewhere every one of them closes at the market.
    `exits_end_with_position`: what rests to reduce a position is cancelled with it; elsewhere it would reduce another.
    `foreign_is_balance`: what is not ours there is a sum of one asset, told at the price of now since it has none of
    its own, and grown by what fees leave behind of our own trades (spot).
    """

    duplicate_ids: DuplicateIds
    attached_stop: bool
    stop_follows_position: bool
    amends_stop: bool
    streams_quotes: bool
    stop_reserves: bool = False
    request_expires_after_s: float | None = None
    allows_short: bool = True
    limit_exits: bool = True
    exits_end_with_position: bool = True
    foreign_is_balance: bool = False

    @property
    def keeps_stops(self) -> bool:
        """The venue attaches the stop and keeps it as large as the position: nothing is left for us to size."""
        return self.attached_stop and self.stop_follows_position


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueOrder:
    """An order as the venue tells it. `client_order_id` is None for orders that are not ours.

    `venue_order_id` is another one after each change, where the venue replaces what it was asked to change.
    """

    client_order_id: ClientOrderId | None
    venue_order_id: str
    symbol: Symbol
    side: Side
    state: OrderState
    quantity: Decimal
    filled_quantity: Decimal
    price: Decimal | None
    reduces_only: bool


def foreign_name(order: VenueOrder) -> ClientOrderId:
    """What an order of somebody else is called here."""
    return ClientOrderId(f"{FOREIGN}{order.venue_order_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueIdentity:
    """Which account answers, and what its key may do.

    `account` is what a person may see (never the whole number), `fingerprint` tells two accounts apart without naming
    them, `is_live`: real money. `may_withdraw` is None where the venue does not say.
    """

    account: str
    fingerprint: str
    is_live: bool
    currency: Currency
    may_trade: bool
    may_withdraw: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueTerms:
    """One instrument as the venue describes it now; the fields mean what they mean in `Instrument`.

    `is_open`: orders are taken at this moment; `says` has the venue's word for its state. `quote_currency` is None
    where the venue does not tell it.
    """

    symbol: Symbol
    tick: Decimal
    quantity_step: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    contract_size: Decimal
    is_open: bool
    says: str
    quote_currency: Currency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateBudget:
    """How much of the tightest request budget is used: `used` of `allowed` within `window_s` seconds."""

    name: str
    used: int
    allowed: int
    window_s: float


class BrokerInterface(ABC):
    """One account at one venue: data, orders and truth about both."""

    @property
    @abstractmethod
    def broker_id(self) -> BrokerId:
        """The name by which instruments are routed here."""

    @property
    @abstractmethod
    def capabilities(self) -> BrokerCapabilities:
        """What this venue can do."""

    @abstractmethod
    async def identity(self) -> VenueIdentity:
        """Whose account this is and what the key may do."""

    @abstractmethod
    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        """What the venue says of these instruments; those that it does not know are left out."""

    @abstractmethod
    async def server_time(self) -> datetime:
        """The venue's clock, aware UTC."""

    @property
    @abstractmethod
    def rate_budget(self) -> RateBudget | None:
        """What is used of the request budget; None where there is none."""

    @abstractmethod
    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """Closed candles, oldest first, at most `limit`: those opening at or after `since`, or the newest ones."""

    @abstractmethod
    async def quote(self, symbol: Symbol) -> Quote:
        """The best bid and ask now."""

    @abstractmethod
    def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """Quotes as they change, until the caller stops reading. Only where `streams_quotes`."""

    @abstractmethod
    async def account(self) -> AccountState:
        """Balance and equity now."""

    @abstractmethod
    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        """Send one order exactly once; an entry carries its protective stop where the venue attaches it.

        An entry never fills beyond its `price_bound`. What cannot fill within it when it arrives, or a MARKET that was
        filling in parts from then on, the venue ends by itself: of nothing filled the answer is REJECTED with
        `beyond_bound`, else it is EXPIRED (or WORKING, and the order is found EXPIRED), and what has filled is a
        position with its stop. A LIMIT rests until its price comes.
        `last_word`, also about a reduction, is asked when the order has waited for its turn, a quote or a login and its
        bytes are the next to leave; what it raises goes through, and nothing is sent.
        Raises OrderFateUnknown when no usable answer came after sending, BrokerUnavailable when nothing was sent.
        """

    @abstractmethod
    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Rest a reduce-only stop for the whole of `position`. Raises as `place`.

        Where the stop follows its position there is one at most; elsewhere several may rest beside each other.
        """

    @abstractmethod
    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Move the protective stop of one position; its quantity follows the position. Raises as `place`.

        Only where `stop_follows_position` and `amends_stop`.
        """

    async def resize_stop(self, stop_order_id: ClientOrderId, quantity: Decimal, stop: Decimal) -> OrderAck:
        """Give one resting stop what is left to protect, and its price. Raises as `place`.

        Only where `amends_stop` but not `stop_follows_position`; elsewhere nothing is sent.
        """
        raise BrokerUnavailable(f"{self.broker_id}: {stop_order_id} is not resized here; place another stop instead")

    @abstractmethod
    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        """Cancel a working order; the answer tells the state it was found in (FILLED if the fill came first).

        A second call while the first one waits for its answer does no harm: that one may have been lost.
        """

    @abstractmethod
    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        """Cancel a working order that somebody else made, by the venue's own number: it has no name of ours.

        The answer is about `foreign_name(order)`. REJECTED where the venue says no, or does not have it any more; the
        list of open orders tells what is true then.
        """

    @abstractmethod
    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        """Look an order up by our id. None only if the venue answered that it has none.

        Of an order that was replaced, some venues tell the one before for a while: it has ended, under its old id.
        """

    @abstractmethod
    async def open_orders(self) -> Sequence[VenueOrder]:
        """Every working order that is not a protective stop, ours or not."""

    @abstractmethod
    async def protective_orders(self) -> Sequence[VenueOrder]:
        """Every resting protective stop, wherever the venue keeps them."""

    @abstractmethod
    async def positions(self) -> Sequence[VenuePosition]:
        """Everything open at the venue, each with the stop that rests for all of it (none, if it covers a part)."""

    @abstractmethod
    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """Fills after `cursor` (empty: from the first that the venue keeps), oldest first, and the next cursor."""

    @abstractmethod
    async def check_connectivity(self) -> None:
        """Ask the cheapest authenticated question. Raises BrokerUnavailable with the venue's words."""

    @abstractmethod
    async def close(self) -> None:
        """Release connections; open orders and positions stay as they are."""
