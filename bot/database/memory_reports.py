"""Reports in memory: the twin of `postgres_reports`. Reads everything each time, as a test's day allows."""

import sys
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from statistics import fmean, stdev
from typing import Final

from bot.interfaces import OrderStore, OutcomeStore, SignalStore, SnapshotStore
from bot.models import EntrySignal, Outcome, OutcomeVerdict, PortfolioSnapshot, Position, SignalId, SignalRecord
from bot.reports import (
    HISTOGRAM_STEPS,
    Before,
    Bucket,
    EquityPoint,
    SignalFilter,
    SignalLine,
    Slots,
    TradeFigures,
    TradeFilter,
    TradeGroup,
    TradeResult,
    VerdictFigures,
    bucket_ends,
    deepest_fall,
    middle,
    stopped_by,
)

_EVERY: Final = sys.maxsize
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO: Final = Decimal(0)


class MemoryReports:
    """`ReportStore` over the other stores in memory."""

    def __init__(
        self, *, signals: SignalStore, orders: OrderStore, outcomes: OutcomeStore, snapshots: SnapshotStore
    ) -> None:
        self._signals = signals
        self._orders = orders
        self._outcomes = outcomes
        self._snapshots = snapshots

    async def signals(self, chosen: SignalFilter, *, limit: int, before: Before | None = None) -> Sequence[SignalLine]:
        """Newest first by verdict, then by id."""
        found = await self._chosen(chosen)
        if before is not None:
            found = [each for each in found if (each.decided_at, each.signal.id) < (before.at, before.id)]
        outcomes = await self._followed()
        return [_line_of(each, outcomes.get(each.signal.id)) for each in found[:limit]]

    async def stops(self) -> Sequence[str]:
        """The code of everything that ever stopped a signal, sorted."""
        return sorted({stopped_by(each) for each in await self._signals.recent(_EVERY)} - {""})

    async def verdicts(self, chosen: SignalFilter) -> Sequence[VerdictFigures]:
        """One row for each status and what stopped it."""
        groups: dict[tuple[str, str], list[SignalId]] = defaultdict(list)
        for each in await self._chosen(chosen):
            groups[each.status, stopped_by(each)].append(each.signal.id)
        outcomes = await self._followed()
        return [
            _verdict_figures(status, code, [outcomes.get(each) for each in ids])
            for (status, code), ids in sorted(groups.items())
        ]

    async def trades(self, chosen: TradeFilter, *, limit: int, before: Before | None = None) -> Sequence[Position]:
        """Closed positions, newest first by close, then by id."""
        found = await self._closed(chosen)
        if before is not None:
            found = [each for each in found if _closed_key(each) < (before.at, before.id)]
        return found[:limit]

    async def trade_figures(self, chosen: TradeFilter, by: TradeGroup) -> Sequence[TradeFigures]:
        """One row for each group that has a closed position, by name."""
        signals = {each.signal.id: each.signal for each in await self._signals.recent(_EVERY)}
        groups: dict[str, list[Position]] = defaultdict(list)
        for each in reversed(await self._closed(chosen)):
            groups[_KEYS[by](each, signals.get(each.signal_id))].append(each)
        return [_trade_figures(name, rows) for name, rows in sorted(groups.items())]

    async def histogram(self, chosen: TradeFilter) -> Sequence[Bucket]:
        """How many closed positions gave how much, in R; lowest first, without empty buckets."""
        lows = [bucket_ends(number)[0] for number in range(1, HISTOGRAM_STEPS + 2)]
        counted: dict[int, int] = defaultdict(int)
        for each in await self._closed(chosen):
            if each.risk_amount:
                counted[bisect_right([low for low in lows if low is not None], each.r_multiple)] += 1
        return [_bucket(number, trades) for number, trades in sorted(counted.items())]

    async def equity(self, *, since: datetime | None, until: datetime, points: int) -> Sequence[EquityPoint]:
        """Equity in at most `points` slots of the same length, oldest first."""
        found = await self._snapshots.since(_EVER, _EVERY)
        begin = since or (found[0].at if found else until)
        slots = Slots.of(begin, until, points)
        filled: dict[int, list[PortfolioSnapshot]] = defaultdict(list)
        for each in found:
            if slots.begin <= each.at < until:
                filled[(each.at - slots.begin) // slots.length].append(each)
        return [_equity_point(each) for each in filled.values()]

    async def _chosen(self, chosen: SignalFilter) -> list[SignalRecord]:
        return [each for each in await self._signals.recent(_EVERY) if _is_chosen_signal(each, chosen)]

    async def _closed(self, chosen: TradeFilter) -> list[Position]:
        return [each for each in await self._orders.closed_positions(_EVERY) if _is_chosen_trade(each, chosen)]

    async def _followed(self) -> Mapping[SignalId, Outcome]:
        return {each.signal_id: each for each in await self._outcomes.recent(_EVERY)}


_KEYS: Final[Mapping[TradeGroup, Callable[[Position, EntrySignal | None], str]]] = {
    TradeGroup.ALL: lambda position, signal: "all",
    TradeGroup.STRATEGY: lambda position, signal: position.strategy,
    TradeGroup.SYMBOL: lambda position, signal: position.symbol,
    TradeGroup.BROKER: lambda position, signal: position.broker_id,
    TradeGroup.DIRECTION: lambda position, signal: position.direction.value,
    TradeGroup.ANALYST: lambda position, signal: signal.analyst if signal else "",
    TradeGroup.TIMEFRAME: lambda position, signal: signal.timeframe.value if signal else "",
    TradeGroup.EXIT_REASON: lambda position, signal: position.exit_reason,
    TradeGroup.WEEKDAY: lambda position, signal: str(position.opened_at.astimezone(UTC).isoweekday()),
    TradeGroup.HOUR: lambda position, signal: f"{position.opened_at.astimezone(UTC):%H}",
}


def _is_chosen_signal(record: SignalRecord, chosen: SignalFilter) -> bool:
    signal, at = record.signal, record.decided_at
    pairs = (
        (chosen.status, record.status),
        (chosen.stopped_by, stopped_by(record)),
        (chosen.symbol, signal.symbol),
        (chosen.broker_id, signal.broker_id),
        (chosen.strategy, signal.strategy),
        (chosen.timeframe, signal.timeframe),
    )
    return all(wanted in (None, found) for wanted, found in pairs) and _is_within(at, chosen.since, chosen.until)


def _is_chosen_trade(position: Position, chosen: TradeFilter) -> bool:
    pairs = (
        (chosen.symbol, position.symbol),
        (chosen.broker_id, position.broker_id),
        (chosen.strategy, position.strategy),
        (chosen.direction, position.direction),
        (chosen.result, _result_of(position)),
    )
    at, _ = _closed_key(position)
    return all(wanted in (None, found) for wanted, found in pairs) and _is_within(at, chosen.since, chosen.until)


def _is_within(at: datetime, since: datetime | None, until: datetime | None) -> bool:
    return (since is None or at >= since) and (until is None or at < until)


def _result_of(position: Position) -> TradeResult:
    if not position.net:
        return TradeResult.EVEN
    return TradeResult.WON if position.net > 0 else TradeResult.LOST


def _closed_key(position: Position) -> tuple[datetime, str]:
    if position.closed_at is None:
        raise ValueError(f"position {position.id} is not closed")
    return position.closed_at, position.id


def _line_of(record: SignalRecord, outcome: Outcome | None) -> SignalLine:
    verdict, r = (outcome.verdict, outcome.r) if outcome else (None, None)
    return SignalLine(record=replace(record, findings=()), verdict=verdict, r=r)


def _verdict_figures(status: str, code: str, outcomes: Sequence[Outcome | None]) -> VerdictFigures:
    decided = [each for each in outcomes if each is not None and each.verdict is not OutcomeVerdict.OPEN]
    results = [each.r for each in decided if each.r is not None]
    return VerdictFigures(
        status=status,
        stopped_by=code,
        signals=len(outcomes),
        decided=len(decided),
        targets=sum(each.verdict is OutcomeVerdict.TARGET_HIT for each in decided),
        stops=sum(each.verdict is OutcomeVerdict.STOP_HIT for each in decided),
        r_sum=sum(results, 0.0),
        deviation_r=stdev(results) if len(results) > 1 else None,
    )


def _trade_figures(name: str, rows: Sequence[Position]) -> TradeFigures:
    """Of the closed positions of one group, oldest first."""
    nets = [each.net for each in rows]
    results = [each.r_multiple for each in rows if each.risk_amount]
    return TradeFigures(
        name=name,
        trades=len(rows),
        won=sum(each > 0 for each in nets),
        lost=sum(each < 0 for each in nets),
        net=sum(nets, _ZERO),
        costs=sum((each.fees for each in rows), _ZERO),
        gained=sum((each for each in nets if each > 0), _ZERO),
        lost_money=-sum((each for each in nets if each < 0), _ZERO),
        measured=len(results),
        mean_r=fmean(results) if results else None,
        median_r=middle(results),
        deviation_r=stdev(results) if len(results) > 1 else None,
        fall_r=deepest_fall(results),
    )


def _equity_point(slot: Sequence[PortfolioSnapshot]) -> EquityPoint:
    peak = max(each.peak for each in slot)
    fall = max(each.peak - each.equity for each in slot)
    drawdown = float(fall) / float(peak) if peak > 0 else 0.0
    return EquityPoint(at=slot[-1].at, equity=slot[-1].equity, drawdown=drawdown)


def _bucket(number: int, trades: int) -> Bucket:
    low, high = bucket_ends(number)
    return Bucket(low=low, high=high, trades=trades)
