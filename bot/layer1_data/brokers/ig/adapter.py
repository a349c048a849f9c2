"""IG behind the broker contract. It only puts together: session, markets, ledger and orders do the work."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from bot.errors import BrokerUnavailable
from bot.instruments import IG, BrokerId, Currency, Instrument, Symbol
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
from bot.layer1_data.brokers.ig import to_ig
from bot.layer1_data.brokers.ig.access import Access
from bot.layer1_data.brokers.ig.errors import readable
from bot.layer1_data.brokers.ig.finder import Finder
from bot.layer1_data.brokers.ig.from_ig import OpenDeal
from bot.layer1_data.brokers.ig.ledger import Deal, Ledger
from bot.layer1_data.brokers.ig.market import number
from bot.layer1_data.brokers.ig.markets import Markets
from bot.layer1_data.brokers.ig.orders import Orders
from bot.layer1_data.brokers.ig.recent import Recent
from bot.layer1_data.brokers.ig.session import Session
from bot.layer1_data.brokers.ig.wire import Allowance, Wire
from bot.layer1_data.brokers.limiter import Priority
from bot.models import (
    AccountState,
    ApprovedOrder,
    Candle,
    ClientOrderId,
    Fill,
    OrderAck,
    Quote,
    ReduceOrder,
    Side,
    Timeframe,
    VenuePosition,
)

_CAPABILITIES: Final = BrokerCapabilities(
    duplicate_ids=DuplicateIds.NONE,
    attached_stop=True,
    stop_follows_position=True,
    amends_stop=True,
    streams_quotes=False,
    limit_exits=False,
)
_HALF_A_SECOND: Final = timedelta(seconds=0.5)
# What a demo account is observed to be granted; a live one is granted what is published.
DEMO_ALLOWANCE: Final = Allowance(reads=9, trades=90)


class IGBroker(BrokerInterface):
    """One account. A stop belongs to its position; a close names the deal that it ends and can open nothing."""

    def __init__(
        self,
        *,
        access: Access,
        instruments: Sequence[Instrument],
        clock: Clock,
        allowance: Allowance | None = None,
        timeout_s: float = 10.0,
        patience_s: float = 15.0,
        confirm_tries: int = 6,
        confirm_wait_s: float = 1.0,
        quote_fresh_s: float = 2.0,
        shared_s: float = 1.0,
        account_shared_s: float = 10.0,
        broker_id: BrokerId = IG,
    ) -> None:
        """`quote_fresh_s`: how old a quote may be that was asked for together with another symbol's.

        `shared_s`: for how long positions, working orders or activity that were read answer other reads, unless
        something was sent or seen to have happened meanwhile; `account_shared_s`: the same for the balance.
        """
        granted = allowance or (DEMO_ALLOWANCE if access.environment == "demo" else Allowance())
        self._broker_id = broker_id
        self._access = access
        self._wire = Wire(access, clock, allowance=granted, timeout_s=timeout_s, patience_s=patience_s)
        self._session = Session(access, self._wire, clock)
        self._markets = Markets(self._session, self._wire, clock, instruments, fresh_s=quote_fresh_s)
        recent = Recent(clock)
        self._ledger = Ledger(self._session, self._wire, clock, recent)
        self._finder = Finder(self._session, self._markets, self._ledger, recent, shared_s=shared_s)
        self._activity = recent.shared(self._ledger.refresh, shared_s)
        self._account = recent.shared(self._asked_account, account_shared_s)
        self._orders = Orders(
            self._session,
            self._markets,
            self._ledger,
            self._finder,
            recent,
            clock,
            confirm_tries=confirm_tries,
            confirm_wait_s=confirm_wait_s,
        )

    @property
    def broker_id(self) -> BrokerId:
        return self._broker_id

    @property
    def capabilities(self) -> BrokerCapabilities:
        return _CAPABILITIES

    @property
    def rate_budget(self) -> RateBudget | None:
        """The tightest of requests, deals and the week's history."""
        return max(self._wire.budget, self._markets.points, key=lambda each: each.used / each.allowed)

    # --------------------------------------------------------------------------------------------------------- market

    async def terms(self, symbols: Sequence[Symbol]) -> Sequence[VenueTerms]:
        return await self._markets.terms(symbols)

    async def server_time(self) -> datetime:
        """From the head of an answer, which cuts it to whole seconds: in the middle of that second."""
        await self._session.ask(to_ig.SESSION)
        return self._wire.server_now + _HALF_A_SECOND

    async def candles(
        self, symbol: Symbol, timeframe: Timeframe, *, since: datetime | None, limit: int
    ) -> Sequence[Candle]:
        return await self._markets.candles(symbol, timeframe, since=since, limit=limit)

    async def quote(self, symbol: Symbol) -> Quote:
        return await self._markets.quote(symbol)

    def quotes(self, symbols: Sequence[Symbol]) -> AsyncIterator[Quote]:
        """Nothing streams here: REST only."""
        raise BrokerUnavailable(f"{self._broker_id}: quotes are not streamed; ask for one with quote()")

    # -------------------------------------------------------------------------------------------------------- account

    async def identity(self) -> VenueIdentity:
        row, _ = await self._account.get(Priority.PROTECTION)
        with readable("the account"):
            return VenueIdentity(
                account=self._access.shown(self._session.account),
                fingerprint=self._access.fingerprint(self._session.account),
                is_live=self._access.environment == "live",
                currency=Currency(str(row["currency"])),
                may_trade=row["status"] == "ENABLED" and self._session.may_deal,
                may_withdraw=None,
            )

    async def account(self) -> AccountState:
        row, at = await self._account.get(Priority.READ)
        with readable("the balance"):
            balance = row["balance"]
            return AccountState(
                broker_id=self._broker_id,
                currency=Currency(str(row["currency"])),
                balance=number(balance["balance"]),
                equity=number(balance["balance"]) + number(balance["profitLoss"]),
                margin_used=number(balance["deposit"]),
                at=at,
            )

    async def positions(self) -> Sequence[VenuePosition]:
        """What is not ours is "foreign:<deal id>"; what is not in the registry keeps the venue's units and epic."""
        by_entry: dict[ClientOrderId, list[OpenDeal]] = {}
        for each in await self._held():
            by_entry.setdefault(self._finder.entry(each), []).append(each)
        return tuple(self._position(entry, held) for entry, held in by_entry.items())

    async def open_orders(self) -> Sequence[VenueOrder]:
        await self._markets.learn()
        found = await self._finder.resting(Priority.READ)
        if any(self._ledger.name_of(each.deal_id, "") is None for each in found):
            await self._ledger.refresh()
        return tuple(self._finder.resting_order(each) for each in found)

    async def protective_orders(self) -> Sequence[VenueOrder]:
        """The stops of positions: they are no orders of their own here."""
        return tuple(
            self._finder.stop(each, self._ledger.stop_of(self._finder.entry(each)) if self._is_ours(each) else None)
            for each in await self._held()
            if each.stop is not None
        )

    async def fills_since(self, cursor: str) -> tuple[Sequence[Fill], str]:
        """Of our entries only. A close of one that we did not ask for has "foreign:<deal id>" as its order.

        The cursor holds the instant of the newest one and marks of what was told around it, since activity has no
        numbers. Fees are not in activity: they show in the balance alone.
        """
        await self._markets.learn()
        await self._activity.get(Priority.READ)
        with readable("activity"):
            found, following = self._ledger.deals_after(cursor)
            return tuple(self._fill(each) for each in found if self._ledger.is_of_ours(each)), following

    async def check_connectivity(self) -> None:
        await self._session.ask(to_ig.SESSION)

    # --------------------------------------------------------------------------------------------------------- orders

    async def place(self, order: ApprovedOrder | ReduceOrder, last_word: LastWord = nothing_against) -> OrderAck:
        if isinstance(order, ApprovedOrder):
            return await self._orders.enter(order, last_word)
        return await self._orders.reduce(order, last_word)

    async def place_stop(self, position: VenuePosition, stop_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        return await self._orders.protect(position, stop_order_id, stop)

    async def amend_stop(self, entry_order_id: ClientOrderId, stop: Decimal) -> OrderAck:
        return await self._orders.amend(entry_order_id, stop)

    async def cancel(self, client_order_id: ClientOrderId) -> OrderAck:
        await self._markets.learn()
        return await self._orders.cancel(client_order_id)

    async def cancel_foreign(self, order: VenueOrder) -> OrderAck:
        return await self._orders.cancel_foreign(order)

    async def find_order(self, client_order_id: ClientOrderId) -> VenueOrder | None:
        await self._markets.learn()
        return await self._finder.find(client_order_id)

    async def close(self) -> None:
        await self._wire.close()

    # --------------------------------------------------------------------------------------------------------- inside

    async def _asked_account(self, priority: Priority) -> tuple[Any, datetime]:
        data = await self._session.ask(to_ig.ACCOUNTS, priority)
        with readable("accounts"):
            row = next(each for each in data["accounts"] if each["accountId"] == self._session.account)
        return row, self._wire.server_now

    async def _held(self) -> list[OpenDeal]:
        await self._markets.learn()
        return await self._finder.open_deals(Priority.READ)

    def _is_ours(self, held: OpenDeal) -> bool:
        return self._ledger.name_of(held.deal_id, held.reference) is not None

    def _position(self, entry: ClientOrderId, held: list[OpenDeal]) -> VenuePosition:
        epic, size = held[0].epic, sum((each.size for each in held), Decimal(0))
        level = sum((each.level * each.size for each in held), Decimal(0)) / size
        stop = None if any(each.stop is None for each in held) else held[0].stop
        return VenuePosition(
            entry_order_id=entry,
            symbol=self._finder.symbol(epic),
            direction=held[0].direction,
            quantity=self._finder.quantity(epic, size),
            average_price=self._finder.price(epic, level),
            stop_price=None if stop is None else self._finder.price(epic, stop),
            stop_order_id=None if stop is None else self._ledger.stop_of(entry),
        )

    def _fill(self, deal: Deal) -> Fill:
        epic = deal.event.epic
        return Fill(
            broker_id=self._broker_id,
            venue_fill_id=deal.event.key,
            client_order_id=deal.name,
            symbol=self._finder.symbol(epic),
            side=Side.BUY if deal.is_buy else Side.SELL,
            quantity=self._finder.quantity(epic, deal.event.size),
            price=self._finder.price(epic, deal.event.level),
            fee=Decimal(0),
            filled_at=deal.event.at,
            cause=deal.cause,
        )
