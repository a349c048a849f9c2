"""What followed each signal, traded or not: so that every rule can be asked what it saved or cost (product row D3)."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Final

import numpy as np

from bot.instruments import InstrumentRegistry
from bot.interfaces import CandleSource, OutcomeStore
from bot.models import (
    CandleSeries,
    Direction,
    EntrySignal,
    Outcome,
    OutcomeVerdict,
    decimal_of,
)

CHECKPOINTS: Final[Mapping[str, timedelta]] = {
    "1h": timedelta(hours=1),
    "4h": timedelta(hours=4),
    "24h": timedelta(hours=24),
}
_LONGEST: Final = max(CHECKPOINTS.values())


def outcome_of(signal: EntrySignal, *, accepted: bool, paid: Decimal) -> Outcome | None:
    """The outcome to follow for a signal; None where there is nothing to measure (no direction, stop or target)."""
    stop, direction = signal.stop_loss, signal.direction
    if direction is None or stop is None or not signal.targets or not stop.is_finite() or not paid.is_finite():
        return None
    target = signal.targets[0]
    if direction.sign * (paid - stop) <= 0 or direction.sign * (target - paid) <= 0:
        return None
    return Outcome(
        signal_id=signal.id,
        symbol=signal.symbol,
        timeframe=signal.timeframe,
        direction=direction,
        accepted=accepted,
        paid=paid,
        stop=stop,
        target=target,
        started_at=signal.candle_closed_at,
        followed_until=signal.candle_closed_at,
    )


def followed(outcome: Outcome, series: CandleSeries, *, horizon_candles: int, half_spread: float) -> Outcome:
    """`outcome` after all candles of `series` that it has not seen. How often this is called changes nothing.

    Candles are mid prices; the exit side lies `half_spread` away (a price distance). Inside one candle the stop comes
    before the target, as for positions.
    """
    first = int(np.searchsorted(series.opened_at_s, int(outcome.followed_until.timestamp())))
    room = _candles_wanted(outcome, horizon_candles) - outcome.candles
    fresh = series.slice(first, min(len(series), first + max(0, room)))
    if not len(fresh):
        return outcome
    outcome = _with_checkpoints(outcome, series)
    if outcome.verdict is OutcomeVerdict.OPEN:
        outcome = _with_excursion(outcome, fresh, half_spread)
    outcome = replace(outcome, candles=outcome.candles + len(fresh), followed_until=fresh.closed_at(len(fresh) - 1))
    return _closed(outcome, horizon_candles)


def _candles_wanted(outcome: Outcome, horizon_candles: int) -> int:
    day = -(-_LONGEST // outcome.timeframe.duration)
    return max(horizon_candles, day)


def _with_checkpoints(outcome: Outcome, series: CandleSeries) -> Outcome:
    """Prices at the instants that have passed: the last close not later (over a closure, the close before it)."""
    found = dict(outcome.checkpoints)
    newest_close = int(series.opened_at_s[-1]) + series.timeframe.seconds
    for name, after in CHECKPOINTS.items():
        due = int((outcome.started_at + after).timestamp())
        if name not in found and newest_close >= due:
            latest_open = due - series.timeframe.seconds
            index = int(np.searchsorted(series.opened_at_s, latest_open, side="right")) - 1
            found[name] = decimal_of(series.close[max(index, 0)])
    return replace(outcome, checkpoints=found) if len(found) != len(outcome.checkpoints) else outcome


def _with_excursion(outcome: Outcome, fresh: CandleSeries, half_spread: float) -> Outcome:
    sign = outcome.direction.sign
    long = outcome.direction is Direction.LONG
    best = (fresh.high if long else fresh.low) - sign * half_spread
    worst = (fresh.low if long else fresh.high) - sign * half_spread
    paid, stop, target = float(outcome.paid), float(outcome.stop), float(outcome.target)
    stopped = _first(sign * (worst - stop) <= 0)
    reached = _first(sign * (best - target) >= 0)
    end = min(stopped, reached, len(fresh) - 1)
    risk = abs(paid - stop)
    outcome = replace(
        outcome,
        mfe_r=max(outcome.mfe_r, float(np.max(sign * (best[: end + 1] - paid))) / risk),
        mae_r=min(outcome.mae_r, float(np.min(sign * (worst[: end + 1] - paid))) / risk),
    )
    if stopped <= reached and stopped < len(fresh):
        return replace(outcome, verdict=OutcomeVerdict.STOP_HIT, r=-1.0)
    if reached < len(fresh):
        return replace(outcome, verdict=OutcomeVerdict.TARGET_HIT, r=abs(target - paid) / risk)
    return replace(outcome, r=float(sign * (fresh.close[-1] - sign * half_spread - paid)) / risk)


def _first(mask: np.ndarray) -> int:
    found = int(mask.argmax())
    return found if mask[found] else len(mask)


def _closed(outcome: Outcome, horizon_candles: int) -> Outcome:
    complete = outcome.candles >= _candles_wanted(outcome, horizon_candles)
    decided = outcome.verdict is not OutcomeVerdict.OPEN and len(outcome.checkpoints) == len(CHECKPOINTS)
    if not (complete or decided):
        return outcome
    verdict = OutcomeVerdict.NEITHER if outcome.verdict is OutcomeVerdict.OPEN else outcome.verdict
    return replace(outcome, verdict=verdict, done=True)


class OutcomeTracker:
    """Follows every signal until its outcome is known."""

    def __init__(
        self, store: OutcomeStore, candles: CandleSource, registry: InstrumentRegistry, *, horizon_candles: int
    ) -> None:
        self._store = store
        self._candles = candles
        self._registry = registry
        self._horizon = horizon_candles

    async def follow(self, signal: EntrySignal, *, accepted: bool, paid: Decimal) -> None:
        """Begin to follow a signal, where there is something to measure."""
        outcome = outcome_of(signal, accepted=accepted, paid=paid)
        if outcome is not None:
            await self._store.save(outcome)

    async def update(self) -> list[Outcome]:
        """Take in the candles that have closed since; answer the outcomes that became final."""
        changed = []
        for outcome in await self._store.unfinished():
            series = self._candles.series(outcome.symbol, outcome.timeframe)
            spread = float(self._registry.get(outcome.symbol).typical_spread.at(outcome.paid))
            after = followed(outcome, series, horizon_candles=self._horizon, half_spread=spread / 2)
            if after != outcome:
                changed.append(after)
        await self._store.save(*changed)
        return [each for each in changed if each.done]
