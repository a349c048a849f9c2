"""Signals: a list by filter, one with everything that followed, and what the rules and limits did with all of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bot.dashboard.api.fields import ABroker, AnyTimeframe, AStrategy, ASymbol, Moment, Name, Older
from bot.dashboard.api.operations import Asked, Call
from bot.dashboard.api.pages import Page, page_of
from bot.dashboard.api.positions import PositionFigures
from bot.models import Order, Outcome, SignalId, SignalRecord
from bot.opinions import OpinionRecord
from bot.reports import Before, SignalFilter, SignalLine, VerdictFigures


class Verdicts(Asked):
    """Which signals. `stopped_by` is the code of the rule or limit that ended them."""

    status: Literal["vetoed", "setup", "refused", "ordered", "endorsed"] | None = None
    stopped_by: Name | None = None
    symbol: ASymbol | None = None
    broker: ABroker | None = None
    strategy: AStrategy | None = None
    timeframe: AnyTimeframe | None = None
    since: Moment | None = None
    until: Moment | None = None

    @property
    def chosen(self) -> SignalFilter:
        """The same for the store."""
        return SignalFilter(
            status=self.status,
            stopped_by=self.stopped_by,
            symbol=self.symbol,
            broker_id=self.broker,
            strategy=self.strategy,
            timeframe=self.timeframe,
            since=self.since,
            until=self.until,
        )


class SignalsAsked(Verdicts, Older):
    """Which signals, and how many."""


class OneSignal(Asked):
    """Which signal; `/` in an id is written `%2F`."""

    id: Name


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalStory:
    """One signal with every finding, and what followed: null where nothing did."""

    signal: SignalRecord
    opinion: OpinionRecord | None
    orders: Sequence[Order]
    position: PositionFigures | None
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictList:
    """One row for each way to end."""

    rows: Sequence[VerdictFigures]


async def signals(call: Call, asked: SignalsAsked) -> Page[SignalLine]:
    """Judged signals by filter, accepted and rejected, newest first; findings are at the signal itself."""
    found = await call.parts.stores.reports.signals(asked.chosen, limit=asked.limit, before=asked.before)
    return page_of(found, asked, lambda row: Before(at=row.record.decided_at, id=row.record.signal.id))


async def signal(call: Call, asked: OneSignal) -> SignalStory:
    """One signal: what each rule measured, what the analyst said, and what followed."""
    stores, name = call.parts.stores, SignalId(asked.id)
    record = await stores.signals.get(name)
    entry = await stores.orders.entry_of(name)
    position = None if entry is None else await stores.orders.position(entry.position_id)
    return SignalStory(
        signal=record,
        opinion=await stores.opinions.of_candle(record.signal.task_id, record.signal.candle_closed_at),
        orders=[] if entry is None else await stores.orders.orders_of(entry.position_id),
        position=None if position is None else PositionFigures.of(position),
        outcome=await stores.outcomes.of_signal(name),
    )


async def verdicts(call: Call, asked: Verdicts) -> VerdictList:
    """How signals ended, and what the market did with them: what each rule and limit rejects, saves and costs."""
    return VerdictList(rows=await call.parts.stores.reports.verdicts(asked.chosen))
