"""What the chart of one signal draws: the candles around it, its levels, its pivots and its fills. Pure."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from bot.instruments import Instrument
from bot.models import Direction, EntrySignal, FeatureSet, Position

_CANDLES_BEFORE: Final = 20
_CANDLES_AFTER: Final = 60
_WITHOUT_CLAIM: Final = 40  # candles before the signal, where no pivot says how far back to look
_MOST_CANDLES: Final = 240


def chart_of(
    signal: EntrySignal, instrument: Instrument, found: FeatureSet, position: Position | None
) -> Mapping[str, object] | None:
    """As JSON types, for the script that draws it; None where the candles of the signal are not kept any more."""
    series, step = found.series, signal.timeframe.seconds
    without_claim = signal.candle_closed_at - _WITHOUT_CLAIM * signal.timeframe.duration
    begin = signal.claim.p1_at if signal.claim else without_claim
    first_s = begin.timestamp() - _CANDLES_BEFORE * step
    last_s = signal.candle_closed_at.timestamp() + _CANDLES_AFTER * step
    times = series.opened_at_s[: found.k + 1]
    low, high = (int(each) for each in times.searchsorted([first_s, last_s]))
    low = max(low, high - _MOST_CANDLES)
    if high - low < 2 or times[high - 1] + step < signal.candle_closed_at.timestamp():
        return None
    columns = (series.open, series.high, series.low, series.close)
    values = [times[low:high].tolist(), *(each[low:high].tolist() for each in columns)]
    exponent = instrument.tick.normalize().as_tuple().exponent
    return {
        "digits": max(-exponent, 0) if isinstance(exponent, int) else 0,
        "is_long": signal.direction is not Direction.SHORT,
        "candles": list(zip(*values, strict=True)),
        "levels": _levels(signal),
        "marks": _marks(signal, position, step),
    }


def _levels(signal: EntrySignal) -> Sequence[Mapping[str, object]]:
    named = [("entry", signal.entry, "entry"), ("stop", signal.stop_loss, "stop")]
    named += [(f"target {number}", each, "target") for number, each in enumerate(signal.targets, start=1)]
    return [{"name": name, "price": float(price), "kind": kind} for name, price, kind in named if price is not None]


def _marks(signal: EntrySignal, position: Position | None, step: int) -> Sequence[Mapping[str, object]]:
    """What happened at which candle, oldest first."""
    told = [(signal.candle_closed_at - timedelta(seconds=step), "signal", "signal")]
    if signal.claim is not None:
        told += [(signal.claim.p1_at, "P1", "pivot"), (signal.claim.p2_at, "P2", "pivot")]
    if position is not None and not position.is_pending:
        told.append((position.opened_at, "in", "in"))
        if position.closed_at is not None:
            told.append((position.closed_at, position.exit_reason, "out"))
    return [{"at_s": at.timestamp(), "text": text, "kind": kind} for at, text, kind in sorted(told)]
