"""What an exit plan would have done: played over candles or quotes of the side that it exits at (SPEC section 16).

Most prices change nothing: they lie between the stop and whatever is next in favour. Those are skipped by array
search; every other one goes through the same pure function as in live trading, in decimals.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from math import inf
from typing import Any, Final, Protocol

import numpy as np

from bot.instruments import Spread
from bot.layer1_data.feeds.tick_files import TickSeries
from bot.layer3_execution.exits import Close, ExitAction, ExitState, MoveStop, first_risk, on_candle, on_quote
from bot.models import CandleSeries, Direction, ExitPlan, Floats, Trail, TrailKind, decimal_of
from bot.replay.detection import plain
from bot.replay.exit_plan_file import WrittenPlan, has_stop

NO_SPREAD: Final = Spread()
_FIRST_LOOK: Final = 64
_LONGEST_LOOK: Final = 1 << 16
_MARGIN: Final = 1e-12  # floats of a shifted price may be this far off; a price looked at for nothing costs only time
Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialClose:
    """Part of the position closed at a candle or quote. `at` is its time in the file."""

    index: int
    at: datetime
    price: Decimal
    quantity: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialStop:
    """The stop moved at a candle or quote; it works from `price` on."""

    index: int
    at: datetime
    price: Decimal
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What became of a plan, in the order it happened. `looked_at` counts the candles or quotes until it ended."""

    plan: ExitPlan
    entry: Decimal
    quantity: Decimal
    events: tuple[TrialClose | TrialStop, ...]
    state: ExitState
    looked_at: int

    @property
    def closes(self) -> tuple[TrialClose, ...]:
        """The closes among the events."""
        return tuple(each for each in self.events if isinstance(each, TrialClose))

    @property
    def stops(self) -> tuple[TrialStop, ...]:
        """The moves of the stop among the events."""
        return tuple(each for each in self.events if isinstance(each, TrialStop))

    @property
    def pnl(self) -> Decimal:
        """Result of what was closed, before costs: quote currency, for a contract size of 1."""
        sign = self.plan.direction.sign
        return sum((sign * (each.price - self.entry) * each.quantity for each in self.closes), Decimal(0))

    @property
    def r_multiple(self) -> Decimal | None:
        """The result in multiples of what the whole quantity risked at its first stop; None if it had no stop."""
        if not has_stop(self.plan):
            return None
        return self.pnl / (self.quantity * first_risk(self.plan, self.entry))


class Prices(Protocol):
    """What a plan is played over. In `adverse` and `favour`, of shape (n,), more is better for long and short alike."""

    adverse: Floats
    favour: Floats

    def __len__(self) -> int: ...

    def first(self) -> Decimal:
        """The price an entry at the start pays."""
        ...

    def number(self, index: int) -> int:
        """The place of one candle or quote among those of the file that were asked for."""
        ...

    def at(self, index: int) -> datetime:
        """Time of one candle or quote, as in the file."""
        ...

    def due(self, deadline: datetime) -> int:
        """The first one that a deadline ends."""
        ...

    def best(self, start: int, stop: int) -> Decimal:
        """The exit-side price most in favour of `start..stop-1`."""
        ...

    def play(self, plan: ExitPlan, state: ExitState, index: int) -> tuple[ExitState, tuple[ExitAction, ...], Decimal]:
        """One of them through the plan; the price is what a close at market gets."""
        ...


def try_plan(written: WrittenPlan, prices: Prices, progress: Progress = lambda _: None) -> Trial:
    """Play the plan from the first price until nothing is left or the prices end. Raises DataError for its entry."""
    plan, entry = written.plan, written.entered(prices.first())
    state = ExitState.opened(plan, entry=entry, quantity=written.quantity)
    due = prices.due(plan.deadline) if plan.deadline is not None else len(prices)
    events: list[TrialClose | TrialStop] = []
    index = 0
    while state.quantity and index < len(prices):
        state, actions, market = prices.play(plan, state, index)
        number, at = prices.number(index), prices.at(index)
        for action in actions:
            if isinstance(action, MoveStop):
                events.append(TrialStop(index=number, at=at, price=action.price, reason=action.reason))
            else:
                events.append(_closed(number, at, action, market))
        index += 1
        if state.quantity:
            state, index = _past_the_quiet(plan, state, prices, index, due)
            progress(index)
    return Trial(
        plan=plan,
        entry=entry,
        quantity=written.quantity,
        events=tuple(events),
        state=state,
        looked_at=index,
    )


def trial_json(trial: Trial) -> dict[str, Any]:
    """The trial as JSON types; numbers have 12 significant digits."""
    state, multiple = trial.state, trial.r_multiple
    found: dict[str, Any] = plain(
        {
            "entry": float(trial.entry),
            "closes": [
                {
                    "index": each.index,
                    "time": utc(each.at),
                    "price": float(each.price),
                    "quantity": float(each.quantity),
                    "reason": each.reason,
                }
                for each in trial.closes
            ],
            "stops": [
                {"index": each.index, "time": utc(each.at), "price": float(each.price), "reason": each.reason}
                for each in trial.stops
            ],
            "remaining": float(state.quantity),
            "stop": float(state.stop) if has_stop(trial.plan) else None,
            "targets_hit": state.targets_hit,
            "best": float(state.best),
            "pnl": float(trial.pnl),
            "r_multiple": None if multiple is None else float(multiple),
            "looked_at": trial.looked_at,
        }
    )
    return found


def utc(instant: datetime) -> str:
    """ISO-8601 with Z."""
    return instant.isoformat().replace("+00:00", "Z")


def _closed(number: int, at: datetime, close: Close, market: Decimal) -> TrialClose:
    price = market if close.price is None else close.price
    return TrialClose(index=number, at=at, price=price, quantity=close.quantity, reason=close.reason)


# -------------------------------------------------------------------------------------------------------- the prices


class CandlePrices:
    """Candles of the exit side, or mid candles of an instrument whose `spread` lies half on either side of them."""

    def __init__(self, series: CandleSeries, direction: Direction, spread: Spread = NO_SPREAD) -> None:
        self._series, self._sign, self._spread = series, direction.sign, spread
        half = (float(spread.price) + float(spread.ratio) * series.open) / 2
        best, worst = (series.high, series.low) if self._sign > 0 else (series.low, series.high)
        self.adverse = self._sign * worst - half
        self.favour = self._sign * best - half
        self._best = best

    def __len__(self) -> int:
        return len(self._series)

    def first(self) -> Decimal:
        """The first open, as the other side pays it."""
        opened = decimal_of(self._series.open[0])
        return opened + self._sign * self._spread.at(opened) / 2

    def number(self, index: int) -> int:
        """No candle is ever left out."""
        return index

    def at(self, index: int) -> datetime:
        """Open of a candle."""
        return self._series.opened_at(index)

    def due(self, deadline: datetime) -> int:
        """The first candle that ends at or after it."""
        ends = self._series.opened_at_s + self._series.timeframe.seconds
        return int(np.searchsorted(ends, deadline.timestamp()))

    def best(self, start: int, stop: int) -> Decimal:
        """The furthest of highs (lows for a short)."""
        index = start + int(np.argmax(self.favour[start:stop]))
        return decimal_of(self._best[index]) - self._half(index)

    def play(self, plan: ExitPlan, state: ExitState, index: int) -> tuple[ExitState, tuple[ExitAction, ...], Decimal]:
        """One whole candle."""
        candle, half = self._series.candle(index), self._half(index)
        close = candle.close - half
        after, actions = on_candle(
            plan,
            state,
            open_=candle.open - half,
            high=candle.high - half,
            low=candle.low - half,
            close=close,
            closed_at=candle.closed_at,
        )
        return after, actions, close

    def _half(self, index: int) -> Decimal:
        """What the exit side lies below the mid (above it for a short): a short's is negative."""
        if self._spread is NO_SPREAD:
            return Decimal(0)
        return self._sign * self._spread.at(decimal_of(self._series.open[index])) / 2


class TickPrices:
    """Quotes: a long exits at the bid, a short at the ask."""

    def __init__(self, ticks: TickSeries, direction: Direction) -> None:
        self._ticks = ticks
        self._exit, self._enter = (ticks.bid, ticks.ask) if direction is Direction.LONG else (ticks.ask, ticks.bid)
        self.adverse = self.favour = direction.sign * self._exit

    def __len__(self) -> int:
        return len(self._ticks)

    def first(self) -> Decimal:
        """What the first quote asks of an entry."""
        return decimal_of(self._enter[0])

    def number(self, index: int) -> int:
        """Quotes left out for being crossed count."""
        return int(self._ticks.rows[index])

    def at(self, index: int) -> datetime:
        """Time of a quote."""
        return self._ticks.at(index)

    def due(self, deadline: datetime) -> int:
        """The first quote at or after it."""
        return self._ticks.first_at(deadline)

    def best(self, start: int, stop: int) -> Decimal:
        """The furthest exit price."""
        return decimal_of(self._exit[start + int(np.argmax(self.favour[start:stop]))])

    def play(self, plan: ExitPlan, state: ExitState, index: int) -> tuple[ExitState, tuple[ExitAction, ...], Decimal]:
        """One quote."""
        price = decimal_of(self._exit[index])
        return (*on_quote(plan, state, price, self._ticks.at(index)), price)


# --------------------------------------------------------------------------------------------------------- the search


def _past_the_quiet(plan: ExitPlan, state: ExitState, prices: Prices, start: int, due: int) -> tuple[ExitState, int]:
    """The next index at which anything can happen, and the state with the best price of those before it."""
    floor, ceiling = quiet_band(plan, state)
    floor, ceiling = floor + abs(floor) * _MARGIN, ceiling - abs(ceiling) * _MARGIN
    end = min(len(prices), max(start, due))
    found, length = start, _FIRST_LOOK
    if found < end and (prices.adverse[found] <= floor or prices.favour[found] >= ceiling):
        return state, found  # the usual case while a trail moves with every price: no array is worth it
    while found < end:
        stop = min(end, found + length)
        busy = (prices.adverse[found:stop] <= floor) | (prices.favour[found:stop] >= ceiling)
        first = int(np.argmax(busy))
        if busy[first]:
            found += first
            break
        found, length = stop, min(2 * length, _LONGEST_LOOK)
    if found == start:
        return state, found
    best = prices.best(start, found)
    better = plan.direction.sign * (best - state.best) > 0
    return (replace(state, best=best) if better else state), found


def quiet_band(plan: ExitPlan, state: ExitState) -> tuple[float, float]:
    """Prices times the direction's sign, between which the plan does nothing but remember the best: both ends excluded.

    Only after the plan has had a look at the state's best price.
    """
    sign = plan.direction.sign
    levels = [sign * float(each.price) for each in plan.targets[state.targets_hit : state.targets_hit + 1]]
    if plan.break_even_fraction is not None and not state.break_even and plan.targets:
        due = sign * (state.entry + plan.break_even_fraction * (plan.targets[-1].price - state.entry))
        if due > sign * state.best:  # else it came too late to improve the stop, and always will
            levels.append(float(due))
    if plan.trail is not None:
        levels.append(_trail_moves_at(plan, plan.trail, state))
    return sign * float(state.stop), min(levels, default=inf)


def _trail_moves_at(plan: ExitPlan, trail: Trail, state: ExitState) -> float:
    """The best price, times sign, from which on the trail can move the stop."""
    sign = plan.direction.sign
    goal = float(sign * state.stop + plan.tick)  # a stop on the tick moves by one at least
    if trail.kind is TrailKind.PERCENT:
        active = float(sign * state.entry * (1 + sign * trail.activation_ratio))
        return max(active, goal / (1 - sign * float(trail.distance_ratio)))
    if not state.targets_hit:
        return inf
    risk = float(first_risk(plan, state.entry))
    if state.trailing:
        goal = max(goal, float(sign * state.stop) + float(trail.step_r) * risk)
    first, last = (sign * float(each.price) for each in (plan.targets[0], plan.targets[-1]))
    start, end = float(trail.start_r) * risk, float(trail.end_r) * risk
    corners = [(first - start, first), (last - end, last)]  # (candidate stop, best price), growing together
    return _inverse(corners, goal) if last > first else goal + end


def _inverse(corners: list[tuple[float, float]], goal: float) -> float:
    """The best price whose candidate is `goal`: slope 1 outside the corners, straight lines between them."""
    (low, at_low), (high, at_high) = corners[0], corners[-1]
    if goal <= low:
        return at_low - (low - goal)
    for (left, at_left), (right, at_right) in pairwise(corners):
        if goal <= right:
            return at_left + (goal - left) * (at_right - at_left) / (right - left)
    return at_high + goal - high
