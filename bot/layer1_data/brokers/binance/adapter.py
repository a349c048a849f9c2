"""Binance spot behind the broker contract. It only puts together: market, account, ledgers and orders do the work."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from bot.errors import BrokerUnavailable
from bot.instruments import BINANCE, BrokerId, Currency, Instrument, Symbol
from bot.interfaces import Clock
from bot.layer1_data.broker_interface import (
    FOREIGN,
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
from bot.layer1_data.brokers.binance import to_binance
from bot.layer1_data.brokers.binance.account import Account, positions_of
from bot.layer1_data.brokers.binance.errors import readable
from bot.layer1_data.brokers.binance.fills import fill_of, read_cursor, written_cursor
from bot.layer1_data.brokers.binance.from_binance import ZERO, rejection
from bot.layer1_data.brokers.binance.ledger import SymbolLedger
from bot.layer1_data.brokers.binance.leftovers import Leftovers
from bot.layer1_data.brokers.binance.market import Market
from bot.layer1_data.brokers.binance.orders import Orders
from bot.layer1_data.brokers.binance.wire import Access, Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import (
    AccountState,
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Direction,
    Fill,
    OrderAck,
    Quote,
    ReduceOrder,
    Timeframe,
    VenuePosition,
)

USDT: Final = Currency("USDT")
_ENGINE_TIMEOUT_S: Final = 10.0  # the venue's matching engine answers within that or the order is thrown away
_TOLD_DIGITS: Final = 4


class BinanceBroker(BrokerInterface):
    """One spot account. Without a key in `access` only public data is answered."""

    def __init__(
        self,
        *,
        access: Access,
        instruments: Sequence[Instrument],
        clock: Clock,
        currency: Currency = USDT,
        timeout_s: float = 10.0,
        receive_window_s: float = 5.0,
        patience_s: float = 10.0,
        broker_id: BrokerId = BINANCE,
    ) -> None:
        """`patience_s`: how long a request waits for its turn in the request budget before it is given up unsent."""
        self._broker_id = broker_id
        self._clock = clock
        self._currency = currency
        self._access = access
        self._wire = Wire(access, clock, timeout_s=timeout_s, receive_window_s=receive_window_s, patience_s=patience_s)
        self._market = Market(self._wire, instruments, currency)
        self._ledgers = {each.symbol: SymbolLedger(each, self._wire) for each in instruments}
        self._account = Account(self._wire, self._ledgers)
        self._leftovers = Leftovers(self._market)
        self._orders = Orders(
            self._wire,
            self._account,
            self._ledgers,
            clock=clock,
            expires_after_s=receive_window_s + _ENGINE_TIMEOUT_S,
            quote=self._market.quote,
            foreign_quantity=self._foreign_quantity,
        )
        self._capabilities = BrokerCapabilities(
            duplicate_ids=DuplicateIds.OPEN_ONLY,
            attached_stop=False,
            stop_follows_position=False,
            amends_stop=False,
            streams_quotes=False,
            stop_reserves=True,
            request_expires_after_s=receive_window_s + _ENGINE_TIMEOUT_S,
            allows_short=False,
            foreign_is_balance=True,
        )

    @property
    def broker_id(self) -> BrokerId:
        return self._broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        return self._capabilities

    @property
    def rate_budget(self) -> RateBudget | None:
        """Of the request weight, which the venue counts for this address."""
        return self._wire.budget

    # --------------------------------------------------------------------------------------------------- public data

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        return await self._market.terms(symbols)

    async def server_time(self) -> datetime:
        return await self._wire.sync()

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        return await self._market.candles(symbol, timeframe, since=since, limit=limit)

    async def quote(self, symbol: Symbol) -> Quote:
        return await self._market.quote(symbol)

    def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """Nothing streams here: REST only."""
        raise BrokerUnavailable(f"{self._broker_id}: quotes are not streamed; ask for one with quote()")

    # ------------------------------------------------------------------------------------------------------- account

    async def identity(self) -> VenueIdentity:
        """With real money the key's own restrictions are asked; elsewhere only the account's are told (no /sapi)."""
        facts = await self._account.facts(Priority.PROTECTION)
        with readable("the account"):
            number = str(facts["uid"])
            may_trade = bool(facts["canTrade"])
        may_withdraw = None  # what the account can do is told everywhere, what this key may do only with real money
        if self._access.environment == "live":
            restrictions = await self._wire.ask(to_binance.RESTRICTIONS, {}, priority=Priority.PROTECTION)
            with readable("the key's restrictions"):
                may_trade = may_trade and restrictions["enableSpotAndMarginTrading"] is True
                may_withdraw = restrictions["enableWithdrawals"] is True
        return VenueIdentity(
            account=f"spot …{number[-_TOLD_DIGITS:]}",
            fingerprint=self._access.fingerprint(number),
            is_live=self._access.environment == "live",
            currency=self._currency,
            may_trade=may_trade,
            may_withdraw=may_withdraw,
        )

    async def account(self) -> AccountState:
        """Equity is the currency itself and our symbols' assets at their bids; balance is that without open results."""
        snapshot = await self._account.snapshot()
        held = [
            ledger
            for ledger in self._ledgers.values()
            if ledger.instrument.quote_currency == self._currency
            and snapshot.balances.get(ledger.instrument.base_currency, ZERO) > 0
        ]
        bids = await self._bids([each.instrument.symbol for each in held])
        equity, open_result, invested = snapshot.balances.get(self._currency, ZERO), ZERO, ZERO
        for ledger in held:
            bid = bids[ledger.instrument.symbol]
            equity += snapshot.balances[ledger.instrument.base_currency] * bid
            for holding in ledger.holdings.values():
                if holding.quantity > 0:
                    open_result += (bid - holding.average_price) * holding.quantity
                    invested += holding.average_price * holding.quantity
        return AccountState(
            broker_id=self._broker_id,
            currency=self._currency,
            balance=equity - open_result,
            equity=equity,
            margin_used=invested,
            at=await self._wire.server_now(),
        )

    async def positions(self) -> Sequence[VenuePosition]:
        """What our entries hold; what lies there beyond that is "foreign:<asset>", at the bid of now, if not dust."""
        snapshot = await self._account.snapshot()
        found = positions_of(self._ledgers.values(), snapshot, {})
        foreign = [each.symbol for each in found if each.entry_order_id.startswith(FOREIGN)]
        if not foreign:
            return found
        found = positions_of(self._ledgers.values(), snapshot, await self._bids(foreign))
        return await self._leftovers.without_dust(found)

    async def open_orders(self) -> Sequence[VenueOrder]:
        return (await self._account.working()).orders

    async def protective_orders(self) -> Sequence[VenueOrder]:
        return (await self._account.working()).stops

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """Of our orders only: what others did in this account shows as a foreign position.

        The cursor names the last trade of each symbol, since ids count within one. A fee in a third asset is worth
        that asset's price at the beginning of the minute of the trade.
        """
        last = read_cursor(cursor)
        found = []
        with readable("trades"):
            pages = await asyncio.gather(
                *(each.trades_after(last.get(each.instrument.venue_symbol, -1)) for each in self._ledgers.values())
            )
        for ledger, page in zip(self._ledgers.values(), pages, strict=True):
            for done, made_by in page:
                last[ledger.instrument.venue_symbol] = done.id
                if made_by.client_order_id is not None:
                    found.append((ledger.instrument, done, made_by))
        found.sort(key=lambda each: (each[1].at, each[0].symbol, each[1].id))
        fills = [await fill_of(*each, broker_id=self._broker_id, worth=self._market.worth) for each in found]
        return fills, written_cursor(last)

    async def check_connectivity(self) -> None:
        """One signed question; without a key the clock."""
        if not self._access.has_key:
            await self._wire.sync()
            return
        first = next(iter(self._ledgers))
        await self._account.working(symbols=(first,))

    # -------------------------------------------------------------------------------------------------------- orders

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        if isinstance(order, ApprovedOrder):
            return await self._orders.enter(order, last_word)
        return await self._orders.reduce(order, last_word)

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        ledger = self._ledgers.get(position.symbol)
        if ledger is None or position.direction is not Direction.LONG:
            return rejection(stop_order_id, "POSITION_NOT_FOUND")
        order_types = await self._market.order_types(ledger.instrument)
        return await self._orders.protect(
            position.entry_order_id, ledger, stop_order_id, position.quantity, stop, order_types
        )

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        """Never sent: a resting stop cannot be changed here, another one takes its place."""
        return rejection(entry_order_id, "NOT_AMENDABLE")

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        return await self._orders.cancel(client_order_id)

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        return await self._orders.cancel_foreign(order)

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        return await self._orders.find(client_order_id)

    async def close(self) -> None:
        await self._wire.close()

    # -------------------------------------------------------------------------------------------------------- inside

    async def _bids(self, symbols: Sequence[Symbol]) -> dict[Symbol, Decimal]:
        quotes = await asyncio.gather(*(self._market.quote(each) for each in symbols))
        return {each.symbol: each.bid for each in quotes}

    async def _foreign_quantity(self, entry: ClientOrderId, instrument: Instrument) -> Decimal:
        found = [each for each in await self.positions() if each.entry_order_id == entry]
        return next((each.quantity for each in found if each.symbol == instrument.symbol), ZERO)
