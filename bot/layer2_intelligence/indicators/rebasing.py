"""Following a series that lets go of its oldest candles: an index means another candle each time some fall off."""

from dataclasses import replace

import numpy as np

from bot.errors import DataError
from bot.models import CandleSeries, DivergenceSetup


def candles_dropped(known: CandleSeries, series: CandleSeries) -> int:
    """How many candles fell off the front of `known` (not empty) before it became `series`; all if none is left.

    Candles are told apart by the time they open. Raises DataError where `series` does not continue `known`.
    """
    if not len(series):
        raise _does_not_continue(known, series, len(known))
    first = series.opened_at_s.item(0)
    dropped = int(np.searchsorted(known.opened_at_s, first)) if known.opened_at_s.item(0) != first else 0
    left = len(known) - dropped
    if left and (
        known.opened_at_s.item(dropped) != first
        or len(series) < left
        or series.opened_at_s.item(left - 1) != known.opened_at_s.item(-1)
    ):
        raise _does_not_continue(known, series, left)
    return dropped


def _does_not_continue(known: CandleSeries, series: CandleSeries, left: int) -> DataError:
    return DataError(
        f"{series.symbol} {series.timeframe}: {len(series)} candles, but {left} were known, and candle {left - 1} must "
        f"open at {known.opened_at(-1):%Y-%m-%dT%H:%MZ}; features follow a series that only grows at its end and falls "
        "off at its front: start new ones for another series"
    )


def moved_setup(setup: DivergenceSetup, dropped: int) -> DivergenceSetup | None:
    """The setup in a series that has lost its first `dropped` candles; None if it stands on one of them."""
    if min(setup.p1, *(min(each.p1, each.q1) for each in setup.divergences)) < dropped:
        return None
    return replace(
        setup,
        known_at=setup.known_at - dropped,
        p1=setup.p1 - dropped,
        p2=setup.p2 - dropped,
        divergences=tuple(
            replace(
                each,
                p1=each.p1 - dropped,
                p2=each.p2 - dropped,
                q1=each.q1 - dropped,
                q2=each.q2 - dropped,
                known_at=each.known_at - dropped,
            )
            for each in setup.divergences
        ),
    )
