"""Shares with their uncertainty, and how far a stated confidence can be believed. Pure functions of numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev
from typing import Final

BINS: Final = 10
_Z: Final = NormalDist().inv_cdf(0.975)


@dataclass(frozen=True, slots=True)
class Share:
    """`hits` of `of`, and the 95 % interval of the share behind it. Nothing counted says nothing: 0 to 1."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """The share, 0..1; None where nothing was counted."""
        return self.hits / self.of if self.of else None

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self._ends[0]

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self._ends[1]

    @property
    def _ends(self) -> tuple[float, float]:
        """Source: Wilson (1927), the score interval; it holds for small counts and for shares of 0 and 1."""
        if not self.of:
            return 0.0, 1.0
        share, square = self.hits / self.of, _Z * _Z / self.of
        middle = (share + square / 2) / (1 + square)
        half = _Z * math.sqrt(share * (1 - share) / self.of + square / (4 * self.of)) / (1 + square)
        low = 0.0 if self.hits == 0 else middle - half
        return low, 1.0 if self.hits == self.of else middle + half


@dataclass(frozen=True, slots=True)
class Forecast:
    """A stated confidence, 0..1, and whether what it was about happened."""

    confidence: float
    happened: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Forecasts of nearly the same confidence: what was said on average, and how often it happened."""

    said: float
    happened: Share

    @property
    def holds(self) -> bool:
        """What was said lies in the interval of what happened."""
        return self.happened.low <= self.said <= self.happened.high


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """How a row of forecasts did.

    `brier` is the mean squared error (0 is perfect, 0.25 is what "one half" always gets). `gain` is by how much it is
    better than always saying the share that really happened, with its 95 % interval: the best constant there is, known
    only afterwards. `error` is the mean distance of said and happened over the bins, by their size.
    """

    count: int
    base_rate: Share
    brier: float | None
    gain: float | None
    gain_low: float | None
    gain_high: float | None
    error: float | None
    bins: tuple[ReliabilityBin, ...]


def calibration(forecasts: Sequence[Forecast]) -> Calibration:
    """The calibration of `forecasts`. Source: Brier (1950); Murphy (1973) for the comparison with the base rate."""
    base_rate = Share(sum(each.happened for each in forecasts), len(forecasts))
    share = base_rate.value
    if share is None:
        return Calibration(
            count=0, base_rate=base_rate, brier=None, gain=None, gain_low=None, gain_high=None, error=None, bins=()
        )
    gains = [(share - each.happened) ** 2 - (each.confidence - each.happened) ** 2 for each in forecasts]
    gain, half = fmean(gains), _half_width(gains)
    bins = _bins(forecasts)
    return Calibration(
        count=len(forecasts),
        base_rate=base_rate,
        brier=fmean((each.confidence - each.happened) ** 2 for each in forecasts),
        gain=gain,
        gain_low=None if half is None else gain - half,
        gain_high=None if half is None else gain + half,
        error=sum(each.happened.of * abs(each.said - (each.happened.value or 0.0)) for each in bins) / len(forecasts),
        bins=bins,
    )


def _half_width(values: Sequence[float]) -> float | None:
    """Half the 95 % interval of a mean; None for fewer than two values. The gates ask for far more than thirty."""
    return _Z * stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None


def _bins(forecasts: Sequence[Forecast]) -> tuple[ReliabilityBin, ...]:
    """Tenths of the confidence that hold a forecast, the lowest first."""
    groups: dict[int, list[Forecast]] = {}
    for each in forecasts:
        groups.setdefault(min(BINS - 1, int(each.confidence * BINS)), []).append(each)
    return tuple(
        ReliabilityBin(
            said=fmean(each.confidence for each in group),
            happened=Share(sum(each.happened for each in group), len(group)),
        )
        for _, group in sorted(groups.items())
    )
