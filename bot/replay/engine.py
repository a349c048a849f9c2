"""Recorded candles through the pipeline, one event at a time; the clock moves only with the candles.

Every candle goes through the pipeline. Its inside (open, stop, targets, close) is played only where something can
happen in it: `QuietBand` knows, from arrays of highs and lows, which candles an open position sleeps through.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Protocol

from bot.clock import ReplayClock
from bot.instruments import Instrument, Symbol
from bot.layer1_data.brokers.simulated.adapter import SimulatedBroker
from bot.layer3_execution.book import Book
from bot.layer3_execution.order_tracker import OrderTracker
from bot.layer3_execution.positions import marked
from bot.layer3_execution.protection import PositionGuard
from bot.layer3_execution.reconciliation import Reconciler
from bot.layer4_risk.drawdown import DrawdownWatch
from bot.layer5_monitoring.outcome_tracker import OutcomeTracker
from bot.models import CandleSeries, Direction, FeatureSet, Outcome, Position, Quote, StrategyTask, decimal_of
from bot.pipeline import Pipeline
from bot.replay.equity import EquityCurve
from bot.replay.quiet import QuietBand

PROGRESS_EVERY = 2_000
OUTCOMES_EVERY = 500  # how often only costs time: outcomes come out the same


class Features(Protocol):
    """Batch features of the series."""

    def at(self, k: int) -> FeatureSet:
        """What is known at the close of candle k."""


@dataclass(frozen=True, slots=True)
class ReplayTrack:
    """One task on its candles. `closes_with` maps each base candle to the task's candle that closes with it, or -1."""

    task: StrategyTask
    features: Features
    closes_with: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayParts:
    """What wiring hands over. `tracks` are judged in order: the longer timeframe first (SPEC section 15)."""

    series: CandleSeries
    instrument: Instrument
    tracks: Sequence[ReplayTrack]
    clock: ReplayClock
    venue: SimulatedBroker
    pipeline: Pipeline
    book: Book
    guard: PositionGuard
    tracker: OrderTracker
    reconciler: Reconciler
    outcomes: OutcomeTracker
    drawdown: DrawdownWatch


class ReplayEngine:
    """Plays one instrument's candles against the simulated venue."""

    def __init__(self, parts: ReplayParts) -> None:
        self._parts = parts
        self._series = parts.series
        self._opened = parts.series.opened_at_s.tolist()
        self._low = parts.series.low.tolist()
        self._high = parts.series.high.tolist()
        self._band = QuietBand(parts.instrument)
        self._asleep_from = 0
        self._now = 0
        self.equity = EquityCurve(parts.series, parts.instrument)
        self.finished_outcomes: list[Outcome] = []

    async def run(self, progress: Callable[[int], None]) -> None:
        """All candles, oldest first; `progress` is told how many are done, now and then."""
        parts, seconds = self._parts, self._series.timeframe.seconds
        self.equity.hold(0, float((await parts.venue.account()).balance), ())
        for k, opened in enumerate(self._opened):
            self._now = k
            if not self._sleeps_through(k):
                await self._play(k)
            parts.clock.set_time(datetime.fromtimestamp(opened + seconds, UTC))
            for track in parts.tracks:
                index = track.closes_with[k]
                if index >= 0 and await parts.pipeline.on_candle(track.task, track.features.at(index)):
                    self.refit()
            if k % PROGRESS_EVERY == 0:
                progress(k)
            if k % OUTCOMES_EVERY == 0:
                await self._finish_outcomes()
        self._wake(len(self._opened))
        await self._finish_outcomes()
        progress(len(self._opened))

    async def quote_of(self, symbol: Symbol) -> Quote | None:
        """The market at the close of the current candle: the close, half the typical spread to either side.

        The venue is shown it too, and trades again with the next open: an order decided at a close fills there.
        """
        if symbol != self._series.symbol:
            return None
        close, at = decimal_of(self._series.close[self._now]), self._series.closed_at(self._now)
        half = self._parts.instrument.typical_spread.at(close) / 2
        quote = Quote(symbol=symbol, bid=close - half, ask=close + half, at=at)
        self._parts.venue.observe(symbol, bid=quote.bid, ask=quote.ask, at=at, gap=False)
        self._parts.venue.pause(symbol)
        return quote

    def _sleeps_through(self, k: int) -> bool:
        if not self._parts.book.has(self._series.symbol):
            return True
        return self._band.holds(self._low[k], self._high[k], self._opened[k] + self._series.timeframe.seconds)

    async def _play(self, k: int) -> None:
        """One candle from the inside: its open, the way to its extremes (the stop first), its close."""
        self._wake(k)
        parts, symbol, candle = self._parts, self._series.symbol, self._series.candle(k)
        half = parts.instrument.typical_spread.at(candle.open) / 2
        parts.clock.set_time(candle.opened_at)
        opening = (candle.open - half, candle.open + half)
        parts.venue.observe(symbol, bid=opening[0], ask=opening[1], at=candle.opened_at, gap=True)
        await self._react(*opening, check_deadline=False)
        parts.venue.observe_range(
            symbol,
            bid_low=candle.low - half,
            bid_high=candle.high - half,
            ask_low=candle.low + half,
            ask_high=candle.high + half,
            at=candle.opened_at,
        )
        await self._react(candle.high - half, candle.low + half, check_deadline=False)
        parts.clock.set_time(candle.closed_at)
        closing = (candle.close - half, candle.close + half)
        parts.venue.observe(symbol, bid=closing[0], ask=closing[1], at=candle.closed_at, gap=False)
        await self._react(*closing, check_deadline=True)
        await parts.reconciler.resolve(parts.instrument.broker_id)  # of an entry that a gap was beyond nothing is told
        parts.venue.pause(symbol)
        await self._settle(k)

    async def _react(self, bid: Decimal, ask: Decimal, *, check_deadline: bool) -> None:
        parts = self._parts
        await parts.tracker.collect(parts.instrument.broker_id)
        await parts.guard.on_price(self._series.symbol, bid=bid, ask=ask, check_deadline=check_deadline)

    async def _settle(self, k: int) -> None:
        """After a played candle: equity, the drawdown switch, and the band in which nothing will happen."""
        parts = self._parts
        account = await parts.venue.account()
        positions = parts.book.open_of(self._series.symbol)
        self.equity.settle(k, float(account.equity))
        brokers = [account.broker_id]
        await parts.drawdown.observe([account], len(positions), parts.clock.now(), brokers=brokers)
        self.refit()
        self.equity.hold(k + 1, float(account.balance), positions)
        self._asleep_from = k + 1

    def refit(self) -> None:
        """Look at what is open now: call it when something was decided outside of a candle."""
        symbol, book = self._series.symbol, self._parts.book
        self._band.set(book.open_of(symbol), pending=any(each.is_pending for each in book.positions()))

    def _wake(self, k: int) -> None:
        """Take in what was slept through: the extremes of open positions, and equity."""
        if k <= self._asleep_from:
            return
        self.equity.advance(k)
        positions = self._parts.book.open_of(self._series.symbol)
        if positions:
            low = decimal_of(self._series.low[self._asleep_from : k].min())
            high = decimal_of(self._series.high[self._asleep_from : k].max())
            for position in positions:
                self._parts.book.put_position(self._widened(position, low, high))
        self._asleep_from = k

    def _widened(self, position: Position, low: Decimal, high: Decimal) -> Position:
        side = 1 if position.direction is Direction.LONG else -1
        half = self._parts.instrument.typical_spread.at(low) / 2 * side
        return marked(marked(position, low - half), high - half)

    async def _finish_outcomes(self) -> None:
        for outcome in await self._parts.outcomes.update():
            self.finished_outcomes.append(outcome)
            facts = {
                "signal": outcome.signal_id,
                "accepted": outcome.accepted,
                "verdict": outcome.verdict.value,
                "r": None if outcome.r is None else round(outcome.r, 9),
                "mfe_r": round(outcome.mfe_r, 9),
                "mae_r": round(outcome.mae_r, 9),
                "checkpoints": {name: str(price) for name, price in outcome.checkpoints.items()},
                "followed_until": outcome.followed_until.isoformat(),
            }
            await self._parts.pipeline.record("outcome", None, facts)
