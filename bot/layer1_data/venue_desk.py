"""Questions a person asks the venues: candles, quotes, and what each account holds. Nothing here changes anything."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from bot.errors import BotError, UsageError
from bot.instruments import BrokerId, Symbol
from bot.layer1_data.broker_interface import BrokerInterface
from bot.layer1_data.broker_router import BrokerRouter
from bot.models import Timeframe

MOST_CANDLES: Final = 5_000
ANSWER_WITHIN_S: Final = 20.0

Row = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeskAnswer:
    """Rows of all venues that answered, each with its `broker`, and the words of those that did not."""

    rows: Sequence[Row]
    errors: Mapping[str, str]


class VenueDesk:
    """Asks one venue or all at once; one that is down hides no other."""

    def __init__(self, router: BrokerRouter) -> None:
        self._router = router

    async def candles(self, symbol: str, timeframe: str, last: int, broker_id: str | None = None) -> DeskAnswer:
        """The newest closed candles, oldest first. Raises UsageError for a name or number that cannot be meant."""
        if not 1 <= last <= MOST_CANDLES:
            raise UsageError(f"--last {last} must be from 1 to {MOST_CANDLES:,}")
        length, name = Timeframe.parse(timeframe), self._symbol(symbol)

        async def ask(broker: BrokerInterface) -> Sequence[Row]:
            found = await broker.candles(name, length, since=None, limit=last)
            return [asdict(each) for each in found]

        return await self._of([self._for(name, broker_id)], ask)

    async def quotes(self, symbols: Sequence[str], broker_id: str | None = None) -> DeskAnswer:
        """One quote of each symbol."""
        names = [self._symbol(each) for each in symbols]
        by_broker: dict[BrokerId, list[Symbol]] = {}
        for name in names:
            by_broker.setdefault(self._for(name, broker_id).broker_id, []).append(name)

        async def ask(broker: BrokerInterface) -> Sequence[Row]:
            found = await asyncio.gather(*(broker.quote(each) for each in by_broker[broker.broker_id]))
            return [{**asdict(each), "spread": each.spread} for each in found]

        return await self._of([self._router.broker(each) for each in by_broker], ask)

    async def orders(self, broker_id: str | None = None) -> DeskAnswer:
        """Working orders and protective stops."""

        async def ask(broker: BrokerInterface) -> Sequence[Row]:
            working, stops = await asyncio.gather(broker.open_orders(), broker.protective_orders())
            rows = [("order", each) for each in working] + [("stop", each) for each in stops]
            return [{"kind": kind, **asdict(each)} for kind, each in rows]

        return await self._of(self._chosen(broker_id), ask)

    async def positions(self, broker_id: str | None = None) -> DeskAnswer:
        """What is open, with the stop that rests for it."""

        async def ask(broker: BrokerInterface) -> Sequence[Row]:
            return [asdict(each) for each in await broker.positions()]

        return await self._of(self._chosen(broker_id), ask)

    async def accounts(self, broker_id: str | None = None) -> DeskAnswer:
        """Balance and equity."""

        async def ask(broker: BrokerInterface) -> Sequence[Row]:
            identity, account = await asyncio.gather(broker.identity(), broker.account())
            return [{"account": identity.account, "real_money": identity.is_live, **asdict(account)}]

        return await self._of(self._chosen(broker_id), ask)

    # -------------------------------------------------------------------------------------------------------- inside

    def _symbol(self, symbol: str) -> Symbol:
        return self._router.registry.get(symbol.upper() if symbol not in self._router.registry else symbol).symbol

    def _for(self, symbol: Symbol, broker_id: str | None) -> BrokerInterface:
        """The broker that answers for `symbol`; `broker_id` may only confirm it."""
        routed = self._router.for_symbol(symbol)
        if broker_id is not None and broker_id != routed.broker_id:
            self._router.broker(BrokerId(broker_id))
            raise UsageError(f"symbol {symbol} is traded at {routed.broker_id}, not at {broker_id}")
        return routed

    def _chosen(self, broker_id: str | None) -> Sequence[BrokerInterface]:
        return list(self._router) if broker_id is None else [self._router.broker(BrokerId(broker_id))]

    async def _of(
        self, brokers: Sequence[BrokerInterface], ask: Callable[[BrokerInterface], Awaitable[Sequence[Row]]]
    ) -> DeskAnswer:
        answers = await asyncio.gather(*(self._one(each, ask) for each in brokers))
        rows: list[Row] = []
        errors: dict[str, str] = {}
        for broker, answer in zip(brokers, answers, strict=True):
            if isinstance(answer, str):
                errors[broker.broker_id] = answer
            else:
                rows += [{"broker": broker.broker_id, **_without_broker(each)} for each in answer]
        return DeskAnswer(rows=rows, errors=errors)

    async def _one(
        self, broker: BrokerInterface, ask: Callable[[BrokerInterface], Awaitable[Sequence[Row]]]
    ) -> Sequence[Row] | str:
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return await ask(broker)
        except TimeoutError:
            return f"no answer within {ANSWER_WITHIN_S:.0f} s"
        except BotError as error:
            return str(error).removeprefix(f"{broker.broker_id}: ")


def _without_broker(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "broker_id"}
