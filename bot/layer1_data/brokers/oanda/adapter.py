"""One OANDA v20 account as a broker (docs/decisions/0008)."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from bot.errors import BrokerUnavailable
from bot.instruments import OANDA, BrokerId, Currency, Instrument, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import (
    BrokerCapabilities,
    BrokerInterface,
    DuplicateIds,
    LastWord,
    RateBudget,
    VenueIdentity,
    VenueOrder,
    VenueTerms,
    nothing_against,
)
from bot.layer1_data.brokers.limiter import Priority, RequestLimiter
from bot.layer1_data.brokers.oanda import from_oanda, to_oanda
from bot.layer1_data.brokers.oanda.access import Access, Environment, TimeOuts
from bot.layer1_data.brokers.oanda.desk import Desk
from bot.layer1_data.brokers.oanda.fills import read_fills
from bot.layer1_data.brokers.oanda.history import read_candles
from bot.layer1_data.brokers.oanda.lines import lines_of_history, lines_of_the_account
from bot.layer1_data.brokers.oanda.lookup import find_order
from bot.layer1_data.brokers.oanda.stream import PriceStream
from bot.layer1_data.brokers.oanda.trader import Trader
from bot.models import (
    ORDER_ID_PREFIX,
    AccountState,
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Fill,
    OrderAck,
    Quote,
    ReduceOrder,
    Timeframe,
    VenuePosition,
)

_REQUESTS_PER_S: Final = 100  # the venue's guidance; it refuses beyond 120
_RESERVED: Final = 20
_CAPABILITIES: Final = BrokerCapabilities(
    duplicate_ids=DuplicateIds.OPEN_ONLY,
    attached_stop=True,
    stop_follows_position=True,
    amends_stop=True,
    streams_quotes=True,
    limit_exits=False,
)

Json = Mapping[str, Any]


class OandaBroker(BrokerInterface):
    """Each entry is a trade of its own at the venue, bearing the entry's id; its stop is an order of that trade."""

    def __init__(
        self,
        access: Access,
        *,
        instruments: Sequence[Instrument],
        clock: Clock,
        broker_id: BrokerId = OANDA,
        time_outs: TimeOuts | None = None,
        order_id_prefix: str = ORDER_ID_PREFIX,
    ) -> None:
        from bot.layer1_data.brokers.oanda.transport import Client, ThreadLine  # it imports the library

        time_outs = time_outs or TimeOuts()
        self._access = access
        self._clock = clock
        self._names = from_oanda.Names(broker_id, {each.symbol: each for each in instruments}, order_id_prefix)
        self._limiter = RequestLimiter(
            clock, name="oanda requests", allowed=_REQUESTS_PER_S, window_s=1.0, reserved=_RESERVED
        )
        self._lines = lines_of_the_account(lambda: ThreadLine(access, time_outs), clock)
        self._history = lines_of_history(lambda: ThreadLine(access, time_outs), clock)
        self._desk = Desk(self._lines, self._history, self._limiter)
        self._trader = Trader(self._desk, self._names, time_outs.joined_s)
        self._new_stream: Callable[[], PriceStream] = lambda: PriceStream(
            Client(access, time_outs.stream_s), self._names
        )
        self._streams: set[PriceStream] = set()

    @property
    def broker_id(self) -> BrokerId:
        """The name by which instruments are routed here."""
        return self._names.broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        """The stop is attached, follows its trade and can be moved; an id may come again when its order has ended."""
        return _CAPABILITIES

    async def identity(self) -> VenueIdentity:
        """Whose account this is. No request of this venue withdraws; an account linked to MT4 must not be traded."""
        account = await self._desk.read(to_oanda.SUMMARY, Priority.PROTECTION, _account)
        linked = await self._desk.read(to_oanda.ACCOUNTS, Priority.PROTECTION, self._is_linked_to_mt4)
        return VenueIdentity(
            account=self._access.shown,
            fingerprint=self._access.fingerprint,
            is_live=self._access.environment is Environment.LIVE,
            currency=Currency(str(account["currency"])),
            may_trade=not linked,
            may_withdraw=False,
        )

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        """What the account may trade of these, and whether it may now."""
        told = await self._offered(symbols)
        if not told:
            return ()
        states = await self._desk.read(
            to_oanda.prices([self._known(each.symbol) for each in told]),
            Priority.READ,
            lambda answer: {self._names.symbol(each["instrument"]): each for each in answer["prices"]},
        )
        return tuple(from_oanda.with_state(each, states.get(each.symbol)) for each in told)

    async def server_time(self) -> datetime:
        """The time of an answer about prices: no cheaper question tells it."""
        some = next(iter(self._names.instruments.values())).venue_symbol
        return await self._desk.read(
            to_oanda.prices([some]), Priority.READ, lambda answer: from_oanda.instant(answer["time"])
        )

    @property
    def rate_budget(self) -> RateBudget | None:
        """Requests of the last second."""
        return self._limiter.budget

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        """Mid prices. Days end at 17:00 New York, all else lies on the UTC grid; the venue says what is complete."""
        return await read_candles(self._desk, self._known(symbol), timeframe, since=since, limit=limit)

    async def quote(self, symbol: Symbol) -> Quote:
        """The best bid and ask now. Raises BrokerUnavailable while the market is halted and one side is empty."""
        name = self._known(symbol)
        quote = await self._desk.read(
            to_oanda.prices([name]),
            Priority.READ,
            lambda answer: from_oanda.quote(answer["prices"][0], self._names),
        )
        if quote is None:
            raise BrokerUnavailable(f"oanda: {symbol} has no bid and ask now: its market is halted; ask later")
        return quote

    async def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """Quotes as they change, at most four a second each. Raises BrokerUnavailable when the stream breaks."""
        names = [self._known(each.symbol) for each in await self._offered(symbols)]
        if not names:
            raise BrokerUnavailable(f"oanda: the account offers none of {', '.join(symbols)}; correct the registry")
        stream = self._new_stream()
        self._streams.add(stream)
        try:
            async for quote in stream.read(to_oanda.price_stream(names)):
                yield quote
        finally:
            self._streams.discard(stream)
            stream.stop()

    async def account(self) -> AccountState:
        """Balance and equity now."""
        return await self._desk.read(
            to_oanda.SUMMARY,
            Priority.READ,
            lambda answer: from_oanda.account_state(answer["account"], self.broker_id, self._clock.now()),
        )

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        """One order. A reduction closes its one trade, which bears its name first; the trade is read if it was not."""
        return await self._trader.place(order, last_word)

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """A stop for a trade that has none; the venue refuses a second one."""
        return await self._trader.place_stop(position, stop_order_id, stop)

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Another price for the stop of one trade; its name is read first."""
        return await self._trader.amend_stop(entry_order_id, stop)

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        """Cancel a working order or a stop."""
        return await self._trader.cancel(client_order_id)

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        """Cancel an order that somebody else made."""
        return await self._trader.cancel_foreign(order)

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        """Look an order up; None only after the venue's whole list was read."""
        return await find_order(self._desk, self._names, client_order_id)

    async def open_orders(self) -> Sequence[VenueOrder]:
        """From the account as a whole, which is never cut into pages."""
        return await self._orders(protective=False)

    async def protective_orders(self) -> Sequence[VenueOrder]:
        """Stops and trailing stops of trades."""
        return await self._orders(protective=True)

    async def positions(self) -> Sequence[VenuePosition]:
        """Every open trade, with its stop from the same answer."""
        return tuple(each.position for each in await self._trader.trades(Priority.READ))

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """The cursor is the number of the last transaction; what is not ours is "foreign:<order>/<trade>"."""
        return await read_fills(self._desk, self._names, cursor)

    async def check_connectivity(self) -> None:
        """Ask for the account's summary."""
        await self._desk.read(to_oanda.SUMMARY, Priority.READ, _account)

    async def close(self) -> None:
        """Release connections."""
        for stream in self._streams:
            stream.stop()
        await self._limiter.close()
        await asyncio.gather(self._lines.close(), self._history.close())

    async def _orders(self, *, protective: bool) -> tuple[VenueOrder, ...]:
        return await self._desk.read(
            to_oanda.EVERYTHING,
            Priority.READ,
            lambda answer: from_oanda.pending_orders(answer["account"], self._names, protective=protective),
        )

    async def _offered(self, symbols: Sequence[Symbol]) -> list[VenueTerms]:
        """One name that the account does not have would spoil a whole question, so its list is read first."""
        wanted = {self._names.venue_symbol(each) for each in symbols}
        return await self._desk.read(
            to_oanda.INSTRUMENTS,
            Priority.READ,
            lambda answer: [
                from_oanda.terms(each, self._names) for each in answer["instruments"] if each["name"] in wanted
            ],
        )

    def _known(self, symbol: Symbol) -> str:
        name = self._names.venue_symbol(symbol)
        if name is None:
            raise BrokerUnavailable(f"oanda: {symbol} is not routed here; correct the registry or the call")
        return name

    def _is_linked_to_mt4(self, answer: Json) -> bool:
        mine = [each for each in answer["accounts"] if each["id"] == self._access.account]
        if not mine:
            raise ValueError("the token does not list this account")
        return bool(mine[0].get("mt4AccountID"))


def _account(answer: Json) -> Json:
    account: Json = answer["account"]
    return account
